//! What a running `netisrd` has given up, and that it works without it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, chown};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use tests::lab::{
    self, Lab, N1, N2, Needs, Netisrd, PATIENCE, Proc, Said, Tools, VIP, binary, on_tap, on_veth,
    virtual_host,
};

/// CAP_NET_ADMIN and CAP_NET_RAW.
const TWO: u64 = 1 << 12 | 1 << 13;
/// A user who is nobody else.
const NOBODY: u32 = 65_534;
const GROUP: u32 = 4242;

/// Of each thread, a line of its `status`, which must be one for all.
fn status(machine: &Netisrd, key: &str) -> String {
    let mut all: Vec<String> = fs::read_dir(format!("/proc/{}/task", machine.proc.pid()))
        .unwrap()
        .map(|task| {
            let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {key}: {text}")).trim().to_owned()
        })
        .collect();
    assert!(all.len() >= 2, "a netisr has a thread: {all:?}");
    all.dedup();
    assert_eq!(all.len(), 1, "{key}: {all:?}");
    all.remove(0)
}

fn caps(machine: &Netisrd, key: &str) -> u64 {
    u64::from_str_radix(&status(machine, key), 16).unwrap()
}

/// What the log says of a part of the sandbox.
fn said(machine: &Netisrd, part: &str) -> String {
    let head = format!("sandbox: {part} ");
    let lines = machine.proc.log.lines();
    let mut found = lines.iter().filter_map(|l| l.split_once(&head).map(|(_, rest)| rest.to_owned()));
    let one = found.next().unwrap_or_else(|| panic!("nothing of {part}: {lines:?}"));
    assert_eq!(found.next(), None, "{part} is said once");
    one
}

/// Nothing that the sandbox forbids was missed.
fn missed_nothing(machine: &Netisrd) {
    let lines = machine.proc.log.lines();
    let missed = lines.iter().find(|l| ["not permitted", "ermission", "EPERM"].iter().any(|w| l.contains(w)));
    assert_eq!(missed, None);
}

/// Ends it, and finds everything removed.
fn ends_cleanly(machine: &Netisrd, signal: Signal) {
    machine.signal(signal);
    assert!(machine.wait_exit().success());
    missed_nothing(machine);
    let sock = machine.tools.sock();
    assert!(!sock.exists() && !PathBuf::from(format!("{}.lock", sock.display())).exists());
}

#[test]
fn every_thread_has_two_capabilities_no_new_privileges_and_a_filter() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = on_tap(lab, "m1", "em0", N1);
        let sets = ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"].map(|set| caps(&machine, set));
        assert_eq!(sets, [TWO, TWO, 0, 0, 0]);
        assert_eq!(status(&machine, "NoNewPrivs"), "1");
        assert_eq!(status(&machine, "Seccomp"), "2");
        assert_eq!(said(&machine, "capabilities"), "on: CAP_NET_ADMIN CAP_NET_RAW; bounding set: none");
        assert_eq!(said(&machine, "no_new_privs"), "on: for good");
        assert!(said(&machine, "seccomp").starts_with("on: "));
        let files = said(&machine, "landlock");
        let on = format!("on: files are removed in {}", lab.dir().display());
        assert!(files.starts_with(&on) || files == "off: this kernel has none", "{files}");
        ends_cleanly(&machine, Signal::SIGTERM);
    });
}

#[test]
fn programs_on_transitions_take_nothing_from_the_sandbox_and_have_the_two_capabilities() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let dir = lab.dir().join("carp.d");
        fs::create_dir(&dir).unwrap();
        let file = lab.dir().join("written");
        let script = format!(
            "#!/bin/sh\necho $$ >{}\ngrep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status\n",
            file.display()
        );
        fs::write(dir.join("10-status"), script).unwrap();
        fs::set_permissions(dir.join("10-status"), Permissions::from_mode(0o755)).unwrap();
        let without = on_tap(lab, "m1", "em0", N1);
        let machine = lab.netisrd("m2").tap("em1").args(&["--hooks", dir.to_str().unwrap()]).start();
        for set in
            ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters"]
        {
            assert_eq!(status(&machine, set), status(&without, set), "{set}");
        }
        assert_eq!(caps(&machine, "CapBnd"), 0);
        for part in ["capabilities", "no_new_privs", "landlock"] {
            assert_eq!(said(&machine, part), said(&without, part));
        }
        // It sees how its child has ended.
        let calls = |machine: &Netisrd| {
            let said = said(machine, "seccomp");
            said.split_whitespace()
                .nth(1)
                .and_then(|n| n.parse::<u32>().ok())
                .unwrap_or_else(|| panic!("{said}"))
        };
        assert_eq!(calls(&machine), calls(&without) + 1);

        machine.ifconfig(&format!("em1 {N2}/24")).ok();
        machine.carp("carp0", &virtual_host(0));
        machine.proc.log.wait_line(0, "the program", PATIENCE, |l| l.contains("hook 10-status: Seccomp:"));
        let two = format!("{TWO:016x}");
        let mut wanted: Vec<String> =
            ["CapPrm", "CapEff", "CapBnd"].map(|set| format!("{set}:\t{two}")).into();
        wanted.extend(["NoNewPrivs:\t1".to_owned(), "Seccomp:\t2".to_owned()]);
        let lines = machine.proc.log.lines();
        for line in wanted {
            assert!(
                lines.iter().any(|l| l.ends_with(&format!("hook 10-status: {line}"))),
                "{line}: {lines:#?}"
            );
        }
        assert!(file.exists(), "files are theirs");
        ends_cleanly(&machine, Signal::SIGTERM);
    });
}

#[test]
fn a_takeover_a_change_and_an_end_work_in_the_sandbox() {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        let host = lab.host("h1", "br0", &format!("{N2}/24"));
        let machines = [on_tap(lab, "m1", "em0@br0", N1), on_veth(lab, &host)];
        let [first, second] = &machines;
        first.carp("carp0", &virtual_host(0));
        first.wait_master("carp0");
        second.carp("carp0", &virtual_host(100));
        second.wait_backup("carp0");
        assert_eq!(client.ping(VIP, 2), 2);
        // everything that can be asked of them
        for machine in &machines {
            machine.sysctl("net.inet.carp.preempt=1");
            machine.ifconfig("carp1 create vhid 7 10.77.0.101/24").ok();
            machine.ifconfig("carp1 inet6 2001:db8::1/64").ok();
            machine.ifconfig("carp1 destroy").ok();
            for words in ["-a", "-a -k", "carp0 vhaddr"] {
                machine.ifconfig(words).ok();
            }
            machine.tools.tool("route-carp", &["show"]).ok();
            machine.tools.tool("netstat-carp", &["-s", "-z"]).ok();
        }
        // a cable that comes and goes, and an interface that does
        lab.ip("link set dev em0 down");
        second.wait_master("carp0");
        lab.ip("link set dev em0 up");
        first.wait_master("carp0");
        second.wait_backup("carp0");
        ends_cleanly(first, Signal::SIGTERM);
        second.wait_master("carp0");
        assert_eq!(client.ping(VIP, 2), 2);
        lab.ip_in(Some("h1"), "link del v0");
        second.proc.log.wait_line(0, "v0 leaves", PATIENCE, |l| l.contains("v0: detached"));
        ends_cleanly(second, Signal::SIGINT);
    });
}

#[test]
fn each_part_can_be_turned_off_and_the_log_says_so() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let own: u64 = {
            let text = fs::read_to_string("/proc/self/status").unwrap();
            let set = text.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap();
            u64::from_str_radix(set.trim(), 16).unwrap()
        };
        assert_ne!(own, TWO, "the laboratory has all of them");
        let all = ["--keep-caps", "--no-seccomp", "--no-landlock"];
        for (n, off) in [&all[..1], &all[1..2], &all[2..], &all].into_iter().enumerate() {
            let machine = lab.netisrd(&format!("m{n}")).tap(&format!("em{n}")).args(off).start();
            let is_off = |option: &str| off.contains(&option);
            assert_eq!(caps(&machine, "CapEff"), if is_off("--keep-caps") { own } else { TWO }, "{off:?}");
            assert_eq!(
                status(&machine, "Seccomp"),
                if is_off("--no-seccomp") { "0" } else { "2" },
                "{off:?}"
            );
            assert_eq!(status(&machine, "NoNewPrivs"), if off.len() == 3 { "0" } else { "1" }, "{off:?}");
            for (part, option) in [("capabilities", all[0]), ("seccomp", all[1]), ("landlock", all[2])] {
                let by_option = said(&machine, part) == format!("off: {option}");
                assert_eq!(by_option, is_off(option), "{off:?}: {part}");
            }
            assert_eq!(said(&machine, "no_new_privs") == "off: nothing needs it", off.len() == 3);
            ends_cleanly(&machine, Signal::SIGTERM);
        }
    });
}

/// Whether there are users beside root, and a program where they may run it.
fn program_for_others(lab: &Lab, name: &str) -> Option<PathBuf> {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let uids: u64 = map.lines().filter_map(|l| l.split_whitespace().last()?.parse::<u64>().ok()).sum();
    if uids <= u64::from(NOBODY) {
        lab::skip(&format!("this user namespace has {uids} uid, so there is nobody without rights"));
        return None;
    }
    let program = lab.dir().join(name);
    fs::copy(binary(name), &program).unwrap();
    Some(program)
}

#[test]
fn a_user_with_two_capabilities_can_run_it() {
    lab::run(Needs::namespaces().taps().programs(&["setpriv"]), |lab| {
        let Some(program) = program_for_others(lab, "netisrd") else { return };
        let dir = lab.dir().join("own");
        fs::create_dir(&dir).unwrap();
        chown(&dir, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
        let sock = dir.join("netisrd.sock");
        let mut command = Command::new("setpriv");
        let user =
            ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+net_admin,+net_raw"];
        command
            .args(user)
            .args(["--inh-caps=-all,+net_admin,+net_raw", "--ambient-caps=-all,+net_admin,+net_raw"]);
        command.arg("--").arg(program).args(["--tap", "em0", "-S"]).arg(&sock).env("NO_COLOR", "1");
        let proc = Proc::spawn("m1", None, command);
        let machine = Netisrd { name: "m1".into(), tools: Tools::at(&sock), proc };
        machine.wait_ready();
        assert_eq!(status(&machine, "Uid"), "65534\t65534\t65534\t65534");
        let sets = ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"].map(|set| caps(&machine, set));
        assert_eq!(sets, [TWO, TWO, 0, 0, TWO]);
        let bound = "bounding set: left as it was (no CAP_SETPCAP)";
        assert_eq!(said(&machine, "capabilities"), format!("on: CAP_NET_ADMIN CAP_NET_RAW; {bound}"));
        machine.ifconfig(&format!("em0 {N1}/24")).ok();
        machine.carp("carp0", &virtual_host(0));
        lab.ip("link set dev em0 up");
        machine.wait_master("carp0");
        ends_cleanly(&machine, Signal::SIGTERM);
    });
}

#[test]
fn the_sockets_mode_and_group_say_who_may_look_and_who_may_change() {
    lab::run(Needs::namespaces().taps().programs(&["setpriv"]), |lab| {
        let Some(program) = program_for_others(lab, "ifconfig-carp") else { return };
        let group = GROUP.to_string();
        let as_user = |machine: &Netisrd, groups: &[&str], words: &str| {
            let mut command = Command::new("setpriv");
            command.arg("--reuid=65534").args(groups).arg("--").arg(&program);
            command.args(words.split_whitespace()).env("NETISRD_SOCK", machine.tools.sock());
            Said::by(None, command)
        };
        let stranger = ["--regid=65534", "--clear-groups"];
        let member = ["--regid=65534", "--groups=77,4242"];
        let mode_of = |machine: &Netisrd| {
            let control = machine.tools.sock();
            let [control, events] = [control, &ifconfig_carp::events_path(control)].map(|path| {
                let meta = fs::metadata(path).unwrap();
                assert!(meta.file_type().is_socket());
                (meta.mode() & 0o7777, meta.gid())
            });
            assert_eq!(control, events);
            control
        };
        let open = lab.netisrd("m1").tap("em0").args(&["--socket-group", &group]).start();
        assert_eq!(mode_of(&open), (0o666, GROUP));
        // Who could open the lock could hold it.
        let lock = format!("{}.lock", open.tools.sock().display());
        assert_eq!(fs::metadata(lock).unwrap().mode() & 0o777, 0o600);
        as_user(&open, &stranger, "em0").ok();
        assert!(!as_user(&open, &stranger, "carp0 create").status.success());
        as_user(&open, &member, "carp0 create vhid 1 pass secret").ok();
        as_user(&open, &["--regid=4242", "--clear-groups"], "carp0 destroy").ok();

        let shut =
            lab.netisrd("m2").tap("em1").args(&["--socket-group", &group, "--socket-mode", "0660"]).start();
        assert_eq!(mode_of(&shut), (0o660, GROUP));
        assert!(!as_user(&shut, &stranger, "em1").status.success());
        as_user(&shut, &member, "carp0 create").ok();

        let without = lab.netisrd("m3").tap("em2").start();
        assert_eq!(mode_of(&without), (0o666, 0));
        assert!(!as_user(&without, &member, "carp0 create").status.success());
    });
}

#[test]
fn a_crash_leaves_no_core_unless_it_may() {
    lab::run(Needs::namespaces(), |lab| {
        let by = format!("cd {}; ulimit -c unlimited; exec \"$@\"", lab.dir().display());
        let limit = |machine: &Netisrd| {
            let limits = fs::read_to_string(format!("/proc/{}/limits", machine.proc.pid())).unwrap();
            let line = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap().to_owned();
            line.split_whitespace().nth(4).unwrap().to_owned()
        };
        let machine = lab.netisrd("m1").by(&by).start();
        assert_eq!(said(&machine, "no core"), "on: passwords stay in memory");
        assert_eq!(limit(&machine), "1");
        machine.signal(Signal::SIGABRT);
        let end = machine.wait_exit();
        assert_eq!((end.signal(), end.core_dumped()), (Some(Signal::SIGABRT as i32), false));
        let open = lab.netisrd("m2").by(&by).args(&["--core"]).start();
        assert_eq!((said(&open, "no core"), limit(&open)), ("off: --core".into(), "unlimited".into()));
        // A service manager has set one that nobody can raise.
        let by = "ulimit -c 0; exec setpriv --bounding-set=-sys_resource \"$@\"";
        let none = lab.netisrd("m3").by(by).start();
        assert_eq!(
            (said(&none, "no core"), limit(&none)),
            ("on: passwords stay in memory".into(), "0".into())
        );
    });
}

#[test]
fn a_reload_reads_where_the_configuration_was_and_nowhere_else() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let write = |path: &PathBuf, text: &str| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        };
        let [conf, key, moved] =
            ["conf/netisrd.conf", "conf/key", "elsewhere/key"].map(|p| lab.dir().join(p));
        for file in [&conf, &moved] {
            fs::create_dir(file.parent().unwrap()).unwrap();
        }
        write(&key, "secret\n");
        write(&moved, "secret\n");
        let text = |skew: u8, key: &PathBuf| {
            let carp0 = format!("vhid 1 advskew {skew} passfile {} {VIP}/24", key.display());
            let cards = format!("netisrd_taps=em0\nifconfig_em0='inet {N1}/24'\n");
            format!("{cards}cloned_interfaces=carp0\nifconfig_carp0='{carp0}'\n")
        };
        write(&conf, &text(0, &key));
        let machine = lab.netisrd("m1").args(&["-f", conf.to_str().unwrap()]).spawn();
        machine.wait_ready();
        // As an editor leaves it: another file of that name.
        let new = conf.with_extension("new");
        write(&new, &text(7, &key));
        fs::rename(&new, &conf).unwrap();
        let reload = || {
            let mut reload = Command::new(binary("netisrd"));
            reload.arg("reload").arg("-S").arg(machine.tools.sock());
            Said::by(None, reload)
        };
        assert_eq!(reload().ok(), "ifconfig carp0 advskew 7\n");
        missed_nothing(&machine);
        write(&conf, &text(9, &moved));
        let elsewhere = reload();
        if said(&machine, "landlock").starts_with("on: ") {
            assert!(
                !elsewhere.status.success() && elsewhere.stderr.contains("ermission denied"),
                "{elsewhere:?}"
            );
            assert!(machine.ifconfig("carp0").ok().contains("advskew 7"));
        } else {
            elsewhere.ok();
        }
        machine.signal(Signal::SIGTERM);
        assert!(machine.wait_exit().success());
    });
}
