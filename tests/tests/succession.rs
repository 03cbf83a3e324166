//! A new netisrd goes on in the place of a running one, and nobody notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tests::lab::{
    self, Control, Host, Lab, Manager, N1, N2, Needs, Netisrd, PATIENCE, Pinger, Said, Ucarp, UcarpSetup,
    VIP, Wire, binary, on_host, one_voice, virtual_host,
};

/// The op, its two steps and the format of a takeover.
const TAKEOVER: u16 = 5;
const MEET: u32 = 1;
const FREEZE: u32 = 2;
const FORMAT: u32 = 6;
/// A hundred a second.
const PACE: Duration = Duration::from_millis(10);

/// A machine that is MASTER on host `a`, by its interface, and a BACKUP on `b`.
struct Pair<'a> {
    lab: &'a Lab,
    a: Host,
    client: Host,
    wire: Wire,
    /// `-i` of all.
    card: &'a str,
    old: Netisrd,
    backup: Netisrd,
}

fn pair(card: &str, body: impl FnOnce(&Pair<'_>)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let a = lab.host("a", "br0", "10.77.0.1/24");
        let b = lab.host("b", "br0", "10.77.0.2/24");
        let client = lab.host("c", "br0", "10.77.0.9/24");
        let old = on_host(lab, &a, card).start();
        old.carp("carp0", &virtual_host(0));
        old.wait_master("carp0");
        let backup = on_host(lab, &b, card).start();
        backup.carp("carp0", &virtual_host(100));
        backup.wait_backup("carp0");
        body(&Pair { lab, a, client, wire: lab.wire("br0"), card, old, backup });
    });
}

impl Pair<'_> {
    /// One that would take over.
    fn successor(&self, name: &str, old: &Netisrd) -> Netisrd {
        self.lab.netisrd(name).netns("a").mirrored(self.card).takeover(old).spawn()
    }
}

/// Transitions in a log, from a mark on.
fn transitions(machine: &Netisrd, mark: usize) -> Vec<String> {
    machine.proc.log.since(mark).into_iter().filter(|l| l.contains(" -> ")).collect()
}

/// Waits for so many more advertisements.
fn wait_adverts(wire: &Wire, n: usize) {
    wire.wait_count(wire.mark(), n, "advertisements", |f| f.advert().is_some());
}

/// How the carp interfaces are, without what depends on when one asks.
fn snapshot(machine: &Netisrd) -> (Value, f64) {
    let sock = machine.tools.sock().to_str().unwrap().replace(".sock", "-events.sock");
    let stream = UnixStream::connect(sock).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let mut all: Value = serde_json::from_str(&line).unwrap();
    all["time"] = Value::Null;
    // Of an hour, in seconds: it is reckoned from the present.
    let mut since = 0.0;
    for interface in all["interfaces"].as_array_mut().unwrap() {
        let text = interface["since"].take();
        let text = text.as_str().unwrap();
        let (minutes, seconds) = (&text[14..16], &text[17..26]);
        since += minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap();
        interface["peers"] = Value::Null;
    }
    (all, since)
}

fn same(before: &(Value, f64), after: &(Value, f64)) {
    assert_eq!(before.0, after.0);
    assert!((before.1 - after.1).abs() < 0.1, "since {} and {}", before.1, after.1);
}

/// All that can be seen of its configuration.
fn configuration(machine: &Netisrd) -> String {
    let mut all = machine.ifconfig("-a -k").ok();
    all += &machine.tools.tool("route-carp", &["show"]).ok();
    let sysctls = machine.sysctl("-a");
    let ours = sysctls
        .lines()
        .filter(|l| l.starts_with("net.inet.carp.") && !l.contains(".stats") && !l.contains(".othervhid"));
    all += &ours.collect::<Vec<_>>().join("\n");
    for group in ["carp", "web"] {
        all += &machine.ifconfig(&format!("-g {group}")).stdout;
    }
    all
}

fn wait_ended(old: &Netisrd) {
    assert_eq!(old.wait_exit().code(), Some(0));
    let lines = old.proc.log.lines();
    assert!(lines.iter().any(|l| l.contains("goes on in this one's place")), "{lines:?}");
}

#[test]
fn an_interface_of_the_host_goes_on_under_another_netisrd_and_no_peer_no_ping_and_no_connection_notices() {
    goes_on("v0");
}

#[test]
fn so_does_one_on_the_tap_path() {
    goes_on("v0:tap");
}

fn goes_on(card: &str) {
    pair(card, |p| {
        let listener = lab::within(Some(&p.a.ns), || TcpListener::bind((VIP, 7)).unwrap());
        let echo = std::thread::spawn(move || {
            let (mut here, _) = listener.accept().unwrap();
            let mut there = here.try_clone().unwrap();
            std::io::copy(&mut here, &mut there).unwrap()
        });
        let mut stream = lab::within(Some(&p.client.ns), || TcpStream::connect((VIP, 7)).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut say = |what: &[u8; 3]| {
            stream.write_all(what).unwrap();
            let mut heard = [0; 3];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(heard, *what);
        };
        say(b"old");
        wait_adverts(&p.wire, 1);
        let pinger = Pinger::start(&p.client, VIP, PACE);
        pinger.wait_answer();
        // But for whose it is.
        let link = || {
            let shown = p.a.run("ip -o link show dev carp0").ok();
            shown.split("alias").next().unwrap_or_default().to_owned()
        };
        let links = link();
        let (before, shown) = (snapshot(&p.old), configuration(&p.old));
        let (mark, heard) = (p.wire.mark(), p.backup.proc.log.len());
        let new = p.successor("new", &p.old);
        new.wait_ready();
        wait_ended(&p.old);
        wait_adverts(&p.wire, 4);
        pinger.wait_answer();
        say(b"new");

        one_voice(&p.wire, mark);
        assert_eq!(pinger.longest_gap().1, 0, "no ping is lost");
        assert_eq!(transitions(&p.backup, heard), Vec::<String>::new());
        assert_eq!(transitions(&new, 0), Vec::<String>::new());
        assert_eq!(p.backup.state("carp0"), "BACKUP");
        same(&before, &snapshot(&new));
        assert_eq!(configuration(&new), shown);
        // It is the same interface, by its index too.
        assert_eq!(link(), links);

        // And a third one, then an end as ever.
        let third = p.successor("third", &new);
        third.wait_ready();
        wait_ended(&new);
        wait_adverts(&p.wire, 2);
        say(b"3rd");
        one_voice(&p.wire, mark);
        drop(stream);
        assert_eq!(echo.join().unwrap(), 9);
        assert_eq!(pinger.longest_gap().1, 0);
        drop(pinger);
        ends_as_ever(p, &third);
    });
}

/// The last one leaves nothing.
fn ends_as_ever(p: &Pair<'_>, last: &Netisrd) {
    last.signal(Signal::SIGTERM);
    assert_eq!(last.wait_exit().code(), Some(0));
    p.backup.wait_master("carp0");
    assert!(!p.a.run("ip link show dev carp0").status.success());
    assert_eq!(p.a.run("cat /proc/sys/net/ipv4/conf/v0/arp_ignore").ok().trim(), "0");
    let left: Vec<_> = fs::read_dir(p.lab.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with("on-a")), "{left:?}");
}

#[test]
fn a_tap_and_all_that_was_typed_go_on_under_another_netisrd() {
    lab::run(Needs::namespaces().taps().programs(&["ucarp"]), |lab| {
        lab.bridge("br0");
        let client = lab.host("c", "br0", "10.77.0.9/24");
        let b = lab.host("b", "br0", "10.77.0.2/24");
        let old = lab.netisrd("old").tap("em0@br0").tap("em1@br0").args(&["-n", "2"]).start();
        old.ifconfig(&format!("em0 {N1}/24")).ok();
        old.sysctl("net.inet.carp.preempt=1");
        old.carp("carp0", &virtual_host(0));
        old.wait_master("carp0");
        let ucarp = Ucarp::start(lab, &b, &UcarpSetup::new(VIP, 100));
        ucarp.wait_state("BACKUP");
        // All sorts of things that no file knows.
        for words in [
            "em1 inet6 fd00::7/64",
            "em1 10.78.0.1/24 broadcast 10.78.0.254",
            "em1 group web monitor -arp promisc debug link1",
            "em0 link0 link2",
            "carp3 create vhid 9 advbase 2 advskew 7 pass \u{e9}x carpdev em1 peer 10.78.0.9 10.78.0.5/24",
            "carp3 inet6 fd00::9/64 alias",
            "carp3 group web -group carp",
            "em1 vhid 77 pass y 10.78.0.77/32",
            "carp4 create -arp promisc",
            "carp5 create vhid 3 192.0.2.1/24 down",
            "-g web carpdemote 3",
        ] {
            old.ifconfig(words).ok();
        }
        old.sysctl("net.inet.carp.demotion=5");
        old.sysctl("net.inet.carp.dscp=8");
        old.wait_master("carp3");
        old.wait_master("carp0");
        let wire = lab.wire("br0");
        let pinger = Pinger::start(&client, VIP, PACE);
        pinger.wait_answer();
        let (before, shown) = (snapshot(&old), configuration(&old));
        let uptime = |m: &Netisrd| m.sysctl("-n kern.uptime").trim().parse::<u32>().unwrap();
        let (up, sent, mark) = (uptime(&old), old.stats().opackets, wire.mark());

        let new = lab.netisrd("new").tap("em0@br0").tap("em1@br0").args(&["-n", "2"]).takeover(&old).spawn();
        new.wait_ready();
        wait_ended(&old);
        wire.wait_count(wire.mark(), 4, "advertisements", |f| f.advert().is_some_and(|a| a.vhid == 1));
        pinger.wait_answer();

        let of_first: Vec<_> =
            wire.since(mark).iter().filter_map(|f| f.advert()).filter(|a| a.vhid == 1).collect();
        for two in of_first.windows(2) {
            assert_eq!((two[0].src, two[0].counter.wrapping_add(1)), (two[1].src, two[1].counter));
        }
        assert_eq!(pinger.longest_gap().1, 0, "no ping is lost");
        assert_eq!(ucarp.state(), "BACKUP");
        assert_eq!(configuration(&new), shown);
        same(&before, &snapshot(&new));
        assert!(uptime(&new) >= up && new.stats().opackets > sent);
        assert_eq!(transitions(&new, 0), Vec::<String>::new());
        // It can be changed as ever.
        new.ifconfig("carp4 vhid 44 10.77.0.44/24").ok();
        new.ifconfig("-g web -carpdemote 3").ok();
        drop(pinger);
        drop(new);
        ucarp.wait_state("MASTER");
    });
}

/// A packet that says that there is more to come.
const MORE: [u8; 1] = [0];

/// A successor that never goes on.
enum Fake {
    Dies,
    Waits,
    /// The same thing as fast as it can.
    Says(&'static [u8]),
    /// One more byte, when one has waited for the next.
    SaysNowAndThen,
}

impl Fake {
    /// Until the old one has had enough. What it must keep open.
    fn plays(&self, control: Control, is_over: impl Fn() -> bool, log: &lab::Log) -> Option<Control> {
        match self {
            Fake::Dies => return None,
            Fake::Waits => {}
            Fake::Says(packet) => while control.send(packet).is_ok() && !is_over() {},
            Fake::SaysNowAndThen => {
                while !is_over() && control.send(&[0, b' ']).is_ok() {
                    log.wait_more(log.len(), Duration::from_millis(40));
                }
            }
        }
        Some(control)
    }
}

#[test]
fn one_that_fails_leaves_all_to_the_old_one() {
    pair("v0", |p| {
        let sock = p.old.tools.sock();
        // A state is known before its line is read.
        let begun = |l: &str| l.ends_with("carp0: INIT -> BACKUP");
        let heard = 1 + p.backup.proc.log.wait_line(0, "its beginning", PATIENCE, begun);
        let goes_on = |what: &str| {
            assert_eq!(p.old.state("carp0"), "MASTER", "{what}");
            wait_adverts(&p.wire, 1);
        };
        // Another set of cards.
        p.lab.ip("link add name x0 type veth peer name x1");
        p.lab.ip("link set x0 netns a");
        p.lab.ip_in(Some("a"), "link set x0 up");
        for (args, why) in [
            (&["--takeover"][..], "takeover: v0: the running netisrd has it, and this one was not given it"),
            (&["--takeover", "-i", "v0:none"], "takeover: v0: the running netisrd uses it in another way"),
            (&["--takeover", "-i", "v0:tap"], "takeover: v0: the running netisrd uses it in another way"),
            (&["--takeover", "-i", "v0", "-i", "x0"], "takeover: x0: the running netisrd does not have it"),
            (&["--takeover", "-i", "v0", "--tap", "em0"], "takeover: the running netisrd has no tap em0"),
            (&["--takeover", "-i", "nosuch"], "takeover: nosuch: the running netisrd does not have it"),
        ] {
            let new = p.lab.netisrd("new").netns("a").sock(sock).args(args).spawn();
            assert_eq!(new.wait_exit().code(), Some(1));
            let lines = new.proc.log.lines();
            assert!(lines.last().unwrap().ends_with(why), "{why}: {lines:?}");
            goes_on(why);
        }
        let without = p.lab.netisrd("alone").netns("a").args(&["--takeover"]).spawn();
        assert_eq!(without.wait_exit().code(), Some(1));

        // One that speaks another format, and one who may ask for no such step.
        let asks = |cmd: u32, format: u32| {
            let client = Control::connect(sock);
            client.send(&Control::request(1, TAKEOVER, cmd, &format.to_ne_bytes(), b"")).unwrap();
            client
        };
        assert_eq!(asks(MEET, FORMAT + 1).reply(), Some(43));
        assert_eq!(asks(3, FORMAT).reply(), Some(22));
        goes_on("a refusal");

        // Those that die while the machine stands still, or are never ready, whatever
        // they say.
        let log = &p.old.proc.log;
        let mut mark = log.len();
        for (fake, why) in [
            (Fake::Dies, "it has ended"),
            (Fake::Waits, "it takes too long"),
            (Fake::Says(&MORE), "a message that makes no sense"),
            (Fake::Says(&[0, b' ']), "a message that makes no sense"),
            (Fake::SaysNowAndThen, "it takes too long"),
        ] {
            let client = asks(MEET, FORMAT);
            assert_eq!(client.reply(), Some(0));
            let frozen = asks(FREEZE, FORMAT);
            assert_eq!(frozen.reply(), Some(0));
            let kept =
                fake.plays(frozen, || log.since(mark).iter().any(|l| l.contains("does not go on")), log);
            mark = log.wait_line(mark, why, PATIENCE, |l| l.contains("does not go on") && l.contains(why));
            drop(kept);
            goes_on(why);
        }
        assert_eq!(transitions(&p.backup, heard), Vec::<String>::new());
        one_voice(&p.wire, 0);
        // And then one that can.
        let new = p.successor("new", &p.old);
        new.wait_ready();
        wait_ended(&p.old);
        wait_adverts(&p.wire, 3);
        one_voice(&p.wire, 0);
    });
}

#[test]
fn the_file_as_it_was_applied_goes_along_and_what_has_changed_in_it_is_done() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let conf = lab.dir().join("netisrd.conf");
        let write = |skew: u8, more: &str| {
            let carp0 = format!("vhid 1 advskew {skew} pass secret {VIP}/24");
            let text = format!(
                "netisrd_taps=em0\nifconfig_em0={N1}/24\ncloned_interfaces=carp0\nifconfig_carp0='{carp0}'\n{more}"
            );
            fs::write(&conf, text).unwrap();
            fs::set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
        };
        write(0, "net.inet.carp.preempt=1\n");
        let file = ["-f", conf.to_str().unwrap()];
        let old = lab.netisrd("old").args(&file).spawn();
        old.wait_ready();
        lab.ip("link set dev em0 up");
        old.wait_master("carp0");
        // By hand, and not in the file: it stays.
        old.ifconfig("carp0 inet6 fd00::1/64").ok();
        write(7, "");
        let new = lab.netisrd("new").args(&file).takeover(&old).spawn();
        new.wait_ready();
        wait_ended(&old);
        // It is tried beside, and then done.
        new.proc.log.wait_line(0, "advskew 7", PATIENCE, |l| l.ends_with("ifconfig carp0 advskew 7"));
        let shown = new.ifconfig("carp0").ok();
        assert!(shown.contains("MASTER vhid 1 advbase 1 advskew 7") && shown.contains("fd00::1"), "{shown}");
        assert_eq!(new.sysctl("-n net.inet.carp.preempt").trim(), "0");
        let mut reload = Command::new(binary("netisrd"));
        reload.arg("reload").arg("-S").arg(new.tools.sock());
        assert_eq!(Said::by(None, reload).ok(), "nothing has changed\n");
    });
}

#[test]
fn the_service_manager_hears_whose_it_is_and_programs_hear_of_nothing() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let manager = Manager::new(lab, "notify");
        let next = || manager.next();
        let hooks: PathBuf = lab.dir().join("carp.d");
        fs::create_dir(&hooks).unwrap();
        fs::write(hooks.join("10-words"), "#!/bin/sh\necho \"$@\"\n").unwrap();
        fs::set_permissions(hooks.join("10-words"), Permissions::from_mode(0o755)).unwrap();
        let args = ["--hooks", hooks.to_str().unwrap(), "--http", "0", "--tap", "em0"];
        let old = manager.start(lab, "old", &[], &args);
        assert_eq!(next(), "READY=1\nSTATUS=no carp interface\n");
        lab.ip("link set dev em0 up");
        old.ifconfig(&format!("em0 {N2}/24")).ok();
        old.sysctl("net.inet.carp.preempt=1");
        old.carp("carp0", &virtual_host(0));
        while next() != "STATUS=1 MASTER\n" {}
        let of = |m: &Netisrd, what: &str| m.proc.log.wait_line(0, what, PATIENCE, |l| l.contains(what));
        of(&old, "hook 10-words: 1@em0 MASTER carp0 INIT preempting");
        let at = of(&old, "http: listening on ");
        let listens = old.proc.log.lines().swap_remove(at);
        let new = lab.netisrd("new").args(&args).takeover(&old).spawn();
        let reloading = next();
        let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|u| u.strip_suffix('\n'));
        assert!(usec.is_some_and(|u| u.parse::<u64>().is_ok()), "{reloading}");
        assert_eq!(next(), format!("MAINPID={}\n", new.proc.pid()));
        assert_eq!(next(), "READY=1\nSTATUS=1 MASTER\n");
        wait_ended(&old);
        // The page is where it was, and remembers.
        let mut page = TcpStream::connect(listens.split_whitespace().last().unwrap()).unwrap();
        page.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut html = String::new();
        page.read_to_string(&mut html).unwrap();
        assert!(html.contains("preempting"), "{html}");
        // The first that the new one's programs hear of is what happens to it.
        new.ifconfig("carp0 down").ok();
        let heard = of(&new, "hook 10-words: ");
        assert!(new.proc.log.lines()[heard].contains("1@em0 INIT carp0 MASTER down"));
        assert!(!old.proc.log.lines().iter().any(|l| l.contains("hook 10-words: 1@em0 INIT")));
    });
}

#[test]
fn an_upgrade_is_a_takeover_by_another_program_and_a_reload_by_the_same() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let manager = Manager::new(lab, "notify");
        let next = || manager.next();
        let conf = lab.dir().join("netisrd.conf");
        fs::write(&conf, "netisrd_taps=em0\n").unwrap();
        fs::set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
        let file = ["-f", conf.to_str().unwrap()];
        let old = manager.start(lab, "old", &[], &file);
        old.wait_ready();
        old.ifconfig("carp0 create").ok();
        while next() != "STATUS=1 INIT\n" {}
        // Whatever it starts has its standard error, so that this is a file.
        let log = lab.dir().join("log");
        let upgrade = |program: &PathBuf, pid: i32, options: &[&str]| {
            let mut sh = Command::new("sh");
            sh.args(["-c", "exec \"$0\" \"$@\" 2>\"$LOG\""])
                .arg(program)
                .env("LOG", &log)
                .env("NO_COLOR", "1");
            sh.arg("upgrade").arg(pid.to_string()).arg("-S").arg(old.tools.sock());
            Said::by(None, {
                sh.args(file).args(["--hooks", ""]).args(options);
                sh
            })
        };
        let (same, other) = (binary("netisrd"), lab.dir().join("other"));
        fs::copy(&same, &other).unwrap();
        assert_eq!(upgrade(&same, old.proc.pid(), &[]).ok(), "nothing has changed\n");
        assert!(next().starts_with("RELOADING=1\n") && next() == "READY=1\n");
        // One that fails leaves the old one, and is told of.
        assert!(!upgrade(&other, old.proc.pid(), &["--tap", "em7"]).status.success());
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains("takeover: the running netisrd has no tap em7"), "{said}");
        assert!(old.proc.is_running());

        assert_eq!(upgrade(&other, old.proc.pid(), &[]).ok(), "");
        wait_ended(&old);
        assert!(next().starts_with("RELOADING=1\n"));
        let main = next();
        let pid: i32 =
            main.strip_prefix("MAINPID=").and_then(|m| m.trim_end().parse().ok()).expect("a process");
        assert_eq!(next(), "READY=1\nSTATUS=1 INIT\n");
        assert_eq!(fs::read_link(format!("/proc/{pid}/exe")).unwrap(), other);
        assert!(old.ifconfig("carp0").ok().contains("carp0"));
        assert_eq!(upgrade(&other, pid, &[]).ok(), "nothing has changed\n");
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert!(next().starts_with("RELOADING=1\n") && next() == "READY=1\n");
        assert_eq!(next(), "STOPPING=1\nSTATUS=halting\n");
    });
}
