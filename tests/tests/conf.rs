//! A machine that is what a file says: started, checked, reloaded, and held to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Uid, chown, mkfifo, seteuid};
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::lab::{
    self, Control, Lab, N1, N2, Needs, Netisrd, PATIENCE, Said, Setup, binary, on_tap, settle, settled,
    virtual_host,
};

/// Never to be seen but in the file.
const SECRET: &str = "secret";
/// The first node, which is MASTER.
const START: &str = "\
# The first of two.
net.inet.carp.log=2
net.inet.carp.preempt=1
netisrd_taps=\"em0@br0\"
netisrd_netisrs=2
cloned_interfaces=\"carp0\"
ifconfig_em0=\"inet 10.77.0.1/24\"
ifconfig_carp0=\"vhid 1 pass secret \\
    10.77.0.100/24\"
";

fn file(lab: &Lab, text: &str) -> PathBuf {
    let path = lab.dir().join("netisrd.conf");
    write(&path, text, 0o600);
    path
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn netisrd(words: &[&str]) -> Said {
    let mut command = Command::new(binary("netisrd"));
    command.args(words).env_remove("NETISRD_SOCK").env_remove("RUST_LOG");
    Said::by(None, command)
}

fn check(path: &Path) -> Said {
    netisrd(&["check", path.to_str().unwrap()])
}

fn reload(machine: &Netisrd) -> Said {
    netisrd(&["reload", "-S", machine.tools.sock().to_str().unwrap()])
}

/// The lines of a failure, and that it is one.
fn failed(said: &Said) -> Vec<&str> {
    assert_eq!((said.status.code(), said.stdout.as_str()), (Some(1), ""), "{said:?}");
    assert!(!said.stderr.contains(SECRET), "{said:?}");
    said.stderr.lines().map(|l| l.strip_prefix("netisrd: ").unwrap_or(l)).collect()
}

/// A machine of nothing but a file, and a worse one beside it.
fn stage(body: impl FnOnce(&Lab, &Path, Netisrd, Netisrd)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let path = file(lab, START);
        let us = lab.netisrd("us").args(&["-f", path.to_str().unwrap()]).spawn();
        us.wait_ready();
        us.wait_master("carp0");
        let peer = on_tap(lab, "peer", "em1@br0", N2);
        peer.carp("carp0", &virtual_host(200));
        body(lab, &path, us, peer);
    });
}

#[test]
fn a_reload_changes_what_has_changed_and_no_master() {
    stage(|lab, path, us, peer| {
        let wire = lab.wire("br0");
        settled(&wire, 1, ["carp0", "carp0"], [&us, &peer]);
        let (mark, log) = (wire.mark(), peer.proc.log.len());
        assert_eq!(reload(&us).ok(), "nothing has changed\n");
        let changed =
            START.replace("vhid 1 pass", "vhid 1 advskew 100 pass").replace("\"carp0\"", "\"carp0 carp1\"")
                + "net.inet.carp.dscp=46\nifconfig_carp1='vhid 2 pass secret'\n";
        write(path, &changed, 0o600);
        let done = "sysctl net.inet.carp.dscp=46\nifconfig carp0 advskew 100\nifconfig carp1 create\n\
                    ifconfig carp1 vhid 2 pass *\n";
        assert_eq!(reload(&us).ok(), done);
        wire.wait_count(mark, 3, "advertisements with the new skew", |f| {
            f.advert().is_some_and(|a| (a.vhid, a.advskew) == (1, 100))
        });
        // Nobody has left, nobody has taken over.
        let adverts: Vec<_> = wire.since(mark).iter().filter_map(|f| f.advert()).collect();
        assert!(adverts.iter().all(|a| a.src == N1 && !a.is_bow_out()), "{adverts:?}");
        assert_eq!((us.state("carp0").as_str(), peer.state("carp0").as_str()), ("MASTER", "BACKUP"));
        assert_eq!(peer.proc.log.since(log), [""; 0]);
        assert!(us.ifconfig("carp1").ok().contains("vhid 2"));

        // And what leaves the file, leaves.
        write(path, START, 0o600);
        assert!(reload(&us).ok().contains("ifconfig carp1 destroy\n"));
        assert!(!us.ifconfig("carp1").status.success());
        assert_eq!(us.sysctl("-n net.inet.carp.dscp"), "4\n");
    });
}

/// A node with several virtual addresses of both families, on that card.
fn several(card: &str, n: u8, advskew: u8) -> String {
    let mut text = format!(
        "net.inet.carp.log=2\nnet.inet.carp.preempt=1\ncloned_interfaces=carp0\n\
         ifconfig_{card}='10.77.0.{n}/24'\nifconfig_{card}_ipv6='inet6 fd77::{n}/64'\n\
         ifconfig_carp0='vhid 1 advskew {advskew} pass secret 10.77.0.100/24'\n\
         ifconfig_carp0_ipv6='inet6 fd77::100/64'\n"
    );
    for alias in 0..4 {
        text += &format!("ifconfig_carp0_alias{alias}='10.77.0.{}/24'\n", 101 + alias);
    }
    text
}

/// The better one of two starts while the other is MASTER: it takes over, once, and
/// whatever it says, it says with all addresses.
fn takes_over_once(lab: &Lab, start: impl Fn(u8, u8) -> Netisrd) {
    let peer = start(2, 100);
    peer.wait_master("carp0");
    let (wire, log) = (lab.wire("br0"), peer.proc.log.len());
    assert_eq!(settle(&wire, 1), IpAddr::from(N2));
    let mark = wire.mark();
    let us = start(1, 0);
    us.wait_master("carp0");
    peer.wait_backup("carp0");
    assert_eq!(settle(&wire, 1), IpAddr::from(N1));
    let leaves = wire.since(mark).iter().filter_map(|f| f.advert()).find(|a| a.is_bow_out());
    assert_eq!((leaves, peer.stats().badauth), (None, 0));
    let of = |lines: Vec<String>| lines.into_iter().filter(|l| l.contains(" -> ")).collect::<Vec<_>>();
    let (ours, theirs) = (of(us.proc.log.lines()), of(peer.proc.log.since(log)));
    assert!(matches!(&ours[..], [only] if only.contains("INIT -> MASTER (preempting)")), "{ours:?}");
    assert!(matches!(&theirs[..], [only] if only.contains("MASTER -> BACKUP")), "{theirs:?}");
}

fn start_by<'a>(lab: &'a Lab, n: u8, text: &str) -> Setup<'a> {
    let path = lab.dir().join(format!("{n}.conf"));
    write(&path, text, 0o600);
    lab.netisrd(&format!("node{n}")).args(&["-f", path.to_str().unwrap()])
}

#[test]
fn who_comes_with_several_addresses_takes_over_once_with_all_of_them() {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        takes_over_once(lab, |n, advskew| {
            let card = format!("em{n}");
            let text = several(&card, n, advskew) + &format!("netisrd_taps='{card}@br0'\n");
            let machine = start_by(lab, n, &text).spawn();
            machine.wait_ready();
            machine
        });
    });
}

#[test]
fn who_comes_on_a_host_with_several_addresses_takes_over_once_with_all_of_them() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        let host =
            |n: u8| lab.host6(&format!("h{n}"), "br0", &format!("10.77.0.{n}/24"), &format!("fd77::{n}/64"));
        let hosts = [1, 2].map(host);
        takes_over_once(lab, |n, advskew| {
            let text = several("v0", n, advskew) + "netisrd_interfaces=v0\n";
            let machine = start_by(lab, n, &text).netns(&hosts[usize::from(n) - 1].ns).spawn();
            machine.wait_ready();
            machine
        });
    });
}

#[test]
fn a_virtual_address_that_nothing_backs_is_told_of() {
    stage(|_, path, us, _| {
        let told = "warning: nothing backs 10.78.0.100/24: no interface has an address of 10.78.0.0/24";
        let elsewhere = START.replace("10.77.0.100/24", "10.78.0.100/24");
        write(path, &elsewhere, 0o600);
        let said = reload(&us).ok();
        assert!(said.lines().next().unwrap().ends_with(told), "{said}");
        let checked = check(path);
        assert!(checked.status.success() && checked.stderr.trim_end().ends_with(told), "{checked:?}");
        let mark = us.proc.log.len();
        us.signal(Signal::SIGHUP);
        us.proc.log.wait_line(mark, told, PATIENCE, |l| l.ends_with(told));
        // On a parent that is chosen by name it needs nobody.
        write(path, &elsewhere.replace("vhid 1", "carpdev em0 vhid 1"), 0o600);
        let said = reload(&us).ok();
        assert!(!said.contains("warning"), "{said}");
        us.wait_master("carp0");
    });
}

#[test]
fn sighup_reads_the_file_again_and_says_in_the_log_what_came_of_it() {
    stage(|_, path, us, _| {
        let line =
            |mark: usize, what: &str| us.proc.log.wait_line(mark, what, PATIENCE, |l| l.contains(what));
        let mark = us.proc.log.len();
        write(path, &START.replace("vhid 1 pass", "vhid 1 advskew 9 pass"), 0o600);
        us.signal(Signal::SIGHUP);
        let done = line(mark, "netisrd.conf: ifconfig carp0 advskew 9");
        assert!(us.ifconfig("carp0").ok().contains("advskew 9"));
        write(path, &START.replace("vhid 1 pass", "vhid 1 advskew 255 pass"), 0o600);
        us.signal(Signal::SIGHUP);
        let refused = line(done, "netisrd.conf:8:32: advskew 255: must be a number from 0 to 254");
        line(refused, "netisrd.conf is not applied");
        assert!(us.ifconfig("carp0").ok().contains("advskew 9"));
        assert_eq!(us.state("carp0"), "MASTER");
    });
}

#[test]
fn a_bad_file_changes_nothing_and_all_of_it_is_told_to_whoever_asked() {
    stage(|_, path, us, _| {
        let shown = || us.ifconfig("-a").ok() + &us.sysctl("net.inet.carp.preempt net.inet.carp.dscp");
        let before = shown();
        let bad = START.replace("preempt=1", "preempt=0").replace("vhid 1 pass", "vhid 300 pass")
            + "net.inet.carp.dscp=46\nifconfig_em0_alias1='10.77.0.9/24'\nfoo=$bar\nifconfig_em9=up\n";
        write(path, &bad, 0o600);
        let said = reload(&us);
        let places: Vec<_> = failed(&said)
            .iter()
            .map(|l| l.split(": ").next().unwrap().rsplit_once("netisrd.conf:").unwrap().1.to_owned())
            .collect();
        assert_eq!(places, ["8:22", "11:1", "12:5"], "{said:?}");
        assert_eq!(check(path).stderr, said.stderr);
        assert_eq!(shown(), before);
        // A card that the file has and the machine has not.
        write(
            path,
            &START.replace("em0@br0\"", "em0@br0 em9\"").replace("ifconfig_em0=", "ifconfig_em9="),
            0o600,
        );
        let said = reload(&us);
        let expected = "netisrd.conf:7:1: expected an interface of this machine: em9 is none; \
                        what it starts with makes its cards";
        assert!(failed(&said)[0].ends_with(expected), "{said:?}");
        assert_eq!(check(path).ok(), "");
        fs::remove_file(path).unwrap();
        assert!(failed(&reload(&us))[0].ends_with("netisrd.conf: No such file or directory"));
        assert_eq!(shown(), before);
        assert_eq!(us.state("carp0"), "MASTER");
    });
}

#[test]
fn what_is_no_ethernet_is_no_card() {
    lab::run(Needs::namespaces(), |lab| {
        let path = file(lab, "netisrd_interfaces=\"nosuch lo\"\n");
        let said = check(&path);
        assert_eq!(failed(&said).len(), 1);
        assert!(
            failed(&said)[0].ends_with("netisrd.conf:1:28: expected an Ethernet interface: lo is none"),
            "{said:?}"
        );
        // It may come.
        let said = check(&file(lab, "netisrd_interfaces=\"nosuch\"\nifconfig_nosuch=\"10.0.0.1/24\"\n"));
        let what = "netisrd.conf:1:21: warning: nosuch: this host has none of that name; \
                    it is used once it is there and up\n";
        assert!(said.status.success() && said.stderr.ends_with(what), "{said:?}");
    });
}

#[test]
fn a_port_of_a_bridge_is_warned_of_where_macvlans_serve() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        for port in ["v0", "v1"] {
            lab.ip(&format!("link add name {port} type veth peer name of-{port}"));
            lab.ip(&format!("link set dev {port} master br0"));
        }
        let said = check(&file(lab, "netisrd_interfaces=\"br0 v0 v1:tap\"\n"));
        let what = "netisrd.conf:1:25: warning: v0 is a port of the bridge br0: use -i br0, or -i v0:tap \
                    with carpdev v0\n";
        assert!(said.status.success() && said.stderr.ends_with(what), "{said:?}");
        assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
    });
}

#[test]
fn a_bad_file_starts_nothing() {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        for (bad, errors) in [
            (format!("{START}foo=bar\nifconfig_em0_alias0='vhid 0 10.77.0.7/32'\n"), 2),
            (START.replace("vhid 1", "vhid 1 carpdev em5"), 1),
            (START.replace("\"\n", "\n"), 1),
        ] {
            let path = file(lab, &bad);
            let us = lab.netisrd("us").args(&["-f", path.to_str().unwrap()]).spawn();
            assert_eq!(us.wait_exit().code(), Some(1));
            let log = us.proc.log.lines();
            assert!(log.len() >= errors && log.iter().all(|l| l.contains("netisrd.conf:")), "{log:?}");
            assert!(!log.iter().any(|l| l.contains(SECRET)), "{log:?}");
            assert!(!lab.has_link("em0") && !us.tools.sock().exists());
        }
        // What no trial can tell: there is no such bridge.
        let path = file(lab, &START.replace("@br0", "@br7"));
        assert_eq!(check(&path).ok(), "");
        let us = lab.netisrd("us").args(&["-f", path.to_str().unwrap()]).spawn();
        assert_eq!(us.wait_exit().code(), Some(1));
        assert!(!lab.has_link("em0"));
    });
}

#[test]
fn the_command_line_wins_and_a_file_has_a_socket_of_its_own() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let sock = lab.dir().join("own.sock");
        let text = format!("{START}netisrd_socket='{}'\n", sock.display()).replace("em0", "em3");
        let path = file(lab, &text.replace("em3@br0", "em0@br7").replace("10.77.0.1/", "10.77.0.5/"));
        let mut command = Command::new(binary("netisrd"));
        command.args(["-f", path.to_str().unwrap(), "--tap", "em3", "-n", "1"]).env_remove("NETISRD_SOCK");
        let proc = lab::Proc::spawn("us", None, command);
        proc.log.wait_line(0, "netisrd: ready", PATIENCE, |l| l.ends_with("netisrd: ready, 1 netisrs"));
        let tools = lab::Tools::at(&sock);
        assert_eq!(tools.ifconfig("-l").ok(), "em3 carp0\n");
        assert!(tools.ifconfig("em3").ok().contains("10.77.0.5"));
        assert_eq!(netisrd(&["reload", "-S", sock.to_str().unwrap()]).ok(), "nothing has changed\n");
        proc.signal(Signal::SIGTERM);
        assert_eq!(proc.wait_exit(PATIENCE).code(), Some(0));
    });
}

#[test]
fn a_host_s_interface_carries_vhids_as_on_freebsd() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        let host = lab.host("h1", "br0", "10.77.0.1/24");
        let text = "net.inet.carp.log=2\nnetisrd_interfaces=\"v0\"\n\
                    ifconfig_v0_alias0=\"vhid 2 pass secret 10.77.0.200/32\"\n";
        let path = file(lab, text);
        let us = lab.netisrd("us").netns(&host.ns).args(&["-f", path.to_str().unwrap()]).spawn();
        us.wait_ready();
        us.proc.log.wait_line(0, "a MASTER", PATIENCE, |l| l.contains("2@v0") && l.contains("MASTER"));
        let wire = lab.wire("br0");
        let mark = wire.mark();
        write(&path, &text.replace("pass secret", "advskew 7 pass secret"), 0o600);
        assert_eq!(reload(&us).ok(), "ifconfig v0 vhid 2 advskew 7\n");
        wire.wait_count(mark, 2, "advertisements with the new skew", |f| {
            f.advert().is_some_and(|a| (a.vhid, a.advskew) == (2, 7))
        });
        assert!(wire.since(mark).iter().filter_map(|f| f.advert()).all(|a| !a.is_bow_out()));
        write(&path, "netisrd_interfaces=\"v0\"\nnet.inet.carp.log=2\n", 0o600);
        assert_eq!(reload(&us).ok(), "v0 without vhid 2\n");
        wire.wait_for(mark, "its leave", PATIENCE, |f| f.advert().is_some_and(|a| a.is_bow_out()));
        assert!(us.ifconfig("v0").ok().contains("10.77.0.1 "), "the host's address stays");
    });
}

#[test]
fn no_password_is_seen_outside_of_its_file() {
    stage(|_, path, us, _| {
        write(path, &START.replace("secret", "hunter2"), 0o644);
        let said = reload(&us);
        assert!(said.stdout.contains("ifconfig carp0 pass *\n"), "{said:?}");
        assert!(
            said.stdout.contains("netisrd.conf:6:20: warning: everybody can read this password"),
            "{said:?}"
        );
        let proc = |file: &str| fs::read(format!("/proc/{}/{file}", us.proc.pid())).unwrap();
        let seen = [
            said.stdout.into_bytes(),
            check(path).stderr.into_bytes(),
            us.proc.log.lines().concat().into_bytes(),
            proc("cmdline"),
            proc("environ"),
        ];
        for seen in seen.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
            assert!(!seen.contains(SECRET) && !seen.contains("hunter2"), "{seen}");
        }
        assert!(us.ifconfig("-k carp0").ok().contains("hunter2"), "and yet it is in use");
    });
}

#[test]
fn whose_a_file_is_and_who_may_write_it_decides_whether_it_is_read() {
    lab::run(Needs::namespaces(), |lab| {
        let path = file(lab, "");
        assert_eq!(check(&path).ok(), "");
        let ends = |said: &Said, what: &str| {
            let lines = failed(said);
            assert!(lines.len() == 1 && lines[0].ends_with(what), "{what}: {lines:?}");
        };
        for (mode, shown) in [(0o602, "0602"), (0o666, "0666"), (0o777, "0777")] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            ends(
                &check(&path),
                &format!("netisrd.conf: mode {shown} lets others write it: chmod go-w it first"),
            );
        }
        write(&path, "a=\u{fffd}", 0o644);
        fs::write(&path, [b'#', 0xff]).unwrap();
        ends(&check(&path), "netisrd.conf: expected text in UTF-8, which ends after 1 bytes");
        fs::remove_file(&path).unwrap();
        ends(&check(&path), "netisrd.conf: No such file or directory");
        mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        ends(&check(&path), "netisrd.conf: not a regular file");
        ends(&check(lab.dir()), "lab: not a regular file");

        // The same of a password's file.
        let secret = lab.dir().join("key");
        let path = lab.dir().join("more.conf");
        let line = format!("ifconfig_em0='vhid 1 passfile {} 10.77.0.100/32'\n", secret.display());
        write(&path, &line, 0o644);
        write(&secret, SECRET, 0o600);
        assert_eq!(check(&path).ok(), "");
        write(&secret, SECRET, 0o640);
        let place = "more.conf:1:31: passfile: /run/lab/key: ";
        ends(&check(&path), &format!("{place}mode 0640 is open to others: chmod 600 it first"));
        write(&secret, SECRET, 0o600);
        if let Err(e) = chown(&secret, Some(Uid::from_raw(1)), None) {
            return lab::skip(&format!("there is no other user here: {e}"));
        }
        ends(&check(&path), &format!("{place}is owned by user 1: chown it to root first"));
        chown(&path, Some(Uid::from_raw(1)), None).unwrap();
        ends(&check(&path), "more.conf: is owned by user 1: chown it to root first");
    });
}

#[test]
fn only_who_may_change_the_machine_may_have_the_file_read_again() {
    stage(|_, _, us, _| {
        let errno = || {
            let control = Control::connect(us.tools.sock());
            control.send(&Control::request(1, 4, 0, b"", b"")).unwrap();
            control.reply()
        };
        assert_eq!(errno(), Some(0));
        if let Err(e) = seteuid(Uid::from_raw(1)) {
            return lab::skip(&format!("there is no other user here: {e}"));
        }
        let refused = errno();
        seteuid(Uid::from_raw(0)).unwrap();
        assert_eq!(refused, Some(1), "EPERM");
    });
}

#[test]
fn a_reload_without_a_file_or_without_a_machine_says_so() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = on_tap(lab, "m1", "em0", N1);
        let said = reload(&machine);
        assert_eq!(failed(&said), ["netisrd was started without a configuration (-f)"]);
        machine.signal(Signal::SIGTERM);
        machine.wait_exit();
        let said = reload(&machine);
        assert_eq!(failed(&said), [format!("no netisrd is listening on {}", machine.tools.sock().display())]);
    });
}

#[test]
fn what_keeps_a_carp_interface_in_init_is_told_by_a_check_and_at_the_start() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        let host = lab.host("h1", "br0", "10.77.0.1/24");
        let text = "netisrd_interfaces=v0\ncloned_interfaces='carp0 carp1'\nifconfig_carp0='10.77.0.100/24'\n\
                    ifconfig_carp1='vhid 1 pass secret 10.77.0.1/24'\n";
        let path = file(lab, text);
        let told = [
            "netisrd.conf:3:17: warning: carp0 has no vhid: it stays INIT",
            "netisrd.conf:4:17: warning: 10.77.0.1 is v0's own address on the host: carp1 stays INIT",
        ];
        let mut command = Command::new(binary("netisrd"));
        command.args(["check", path.to_str().unwrap()]);
        let checked = Said::by(Some(&host.ns), command);
        assert!(checked.status.success(), "{checked:?}");
        let us = lab.netisrd("us").netns(&host.ns).args(&["-f", path.to_str().unwrap()]).spawn();
        us.wait_ready();
        let log = us.proc.log.lines();
        for what in told {
            assert!(checked.stderr.lines().any(|l| l.ends_with(what)), "{checked:?}");
            assert!(log.iter().any(|l| l.ends_with(what)), "{log:?}");
        }
        // And so it is.
        let what = "10.77.0.1 is v0's own address";
        us.proc.log.wait_line(0, what, PATIENCE, |l| l.ends_with(what));
        us.wait_state("carp1", "INIT", PATIENCE);
        assert!(!us.ifconfig("carp0").ok().contains("carp: "));
    });
}
