//! What a service manager hears of netisrd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use tests::lab::{self, Manager, Needs, Netisrd, Said, binary, virtual_host};

#[test]
fn it_hears_when_netisrd_is_ready_what_it_does_and_when_it_stops() {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let manager = Manager::new(lab, "notify");
        let m1 = manager.start(lab, "m1", &[], &["--tap", "em1@br0"]);
        assert_eq!(manager.next(), "READY=1\nSTATUS=no carp interface\n");
        // Then it is: its devices are there, and its socket listens.
        m1.ifconfig("em1 10.77.0.1/24").ok();
        lab.ip("link set dev em1 up");
        m1.ifconfig("carp0 create").ok();
        assert_eq!(manager.next(), "STATUS=1 INIT\n");
        m1.ifconfig(&format!("carp0 {}", virtual_host(0))).ok();
        assert_eq!(manager.next(), "STATUS=1 BACKUP\n");
        assert_eq!(manager.next(), "STATUS=1 MASTER\n");
        m1.ifconfig("carp1 create").ok();
        assert_eq!(manager.next(), "STATUS=1 MASTER, 1 INIT\n");
        m1.signal(Signal::SIGTERM);
        assert_eq!(manager.next(), "STOPPING=1\nSTATUS=halting\n");
        assert_eq!(m1.wait_exit().code(), Some(0));
    });
}

#[test]
fn it_hears_of_reloads_however_they_end() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let conf = lab.dir().join("netisrd.conf");
        let write = |text: &str| {
            fs::write(&conf, text).unwrap();
            fs::set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
        };
        write("netisrd_taps=em0\n");
        let manager = Manager::new(lab, "notify");
        let m1 = manager.start(lab, "m1", &[], &["-f", conf.to_str().unwrap()]);
        assert_eq!(manager.next(), "READY=1\nSTATUS=no carp interface\n");
        let reload = || {
            let mut reload = Command::new(binary("netisrd"));
            reload.arg("reload").arg("-S").arg(m1.tools.sock());
            Said::by(None, reload)
        };
        let reloaded = || {
            let (began, ended) = (manager.next(), manager.next());
            let usec = began.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|u| u.strip_suffix('\n'));
            assert!(usec.is_some_and(|u| u.parse::<u64>().is_ok()), "{began}");
            assert_eq!(ended, "READY=1\n");
        };
        write("netisrd_taps=em0\nnetisrd_hz=100\nnetisrd_netisrs=3\n");
        let said = reload().ok();
        let netisrs = "warning: netisrd_netisrs has changed: that needs a restart, or without a transition netisrd --takeover";
        assert_eq!(said, format!("{netisrs}\nnetisrd_hz=100\n"));
        reloaded();
        assert_eq!(m1.sysctl("-n kern.hz"), "100\n");
        write("nonsense\n");
        assert!(!reload().status.success());
        reloaded();
        write("netisrd_taps=em0\n");
        m1.signal(Signal::SIGHUP);
        reloaded();
        assert_eq!(m1.sysctl("-n kern.hz"), "0\n");
    });
}

#[test]
fn the_watchdog_is_fed_in_the_middle_of_a_long_turn_too() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let conf = lab.dir().join("netisrd.conf");
        let vhid = |n: u8| format!("ifconfig_em0_alias{}='vhid {n} pass x 10.77.0.{n}/32'\n", n - 1);
        let lines: String = (1..=250).map(vhid).collect();
        fs::write(&conf, format!("netisrd_taps=em0\nifconfig_em0='10.77.0.254/24'\n{lines}")).unwrap();
        fs::set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
        let manager = Manager::new(lab, "notify");
        let env = [("WATCHDOG_USEC", "4000")];
        let _m1 = manager.start(lab, "m1", &env, &["-f", conf.to_str().unwrap()]);
        // All of it is one turn: before it is ready nobody else says so.
        assert_eq!(manager.next(), "WATCHDOG=1\n");
        while manager.next() == "WATCHDOG=1\n" {}
    });
}

#[test]
fn an_abstract_name_will_do_and_one_that_nobody_has_is_an_error() {
    lab::run(Needs::namespaces(), |lab| {
        let name = SocketAddr::from_abstract_name(b"netisrd-notify").unwrap();
        let manager = Manager::on(UnixDatagram::bind_addr(&name).unwrap(), "@netisrd-notify");
        let m1 = manager.start(lab, "m1", &[], &[]);
        assert_eq!(manager.next(), "READY=1\nSTATUS=no carp interface\n");
        drop(m1);
        let nobody = lab.netisrd("m2").env("NOTIFY_SOCKET", "/run/lab/nobody").spawn();
        assert_eq!(nobody.wait_exit().code(), Some(1));
        assert_eq!(
            nobody.proc.log.lines(),
            ["netisrd: NOTIFY_SOCKET: No such file or directory (os error 2)"]
        );
    });
}

/// The thread of that name.
fn thread_of(machine: &Netisrd, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", machine.proc.pid())).unwrap();
    let is_it = |dir: &fs::DirEntry| fs::read_to_string(dir.path().join("comm")).unwrap().trim() == name;
    let found = tasks.map(Result::unwrap).find(is_it).unwrap_or_else(|| panic!("no thread {name}"));
    Pid::from_raw(found.file_name().to_str().unwrap().parse().unwrap())
}

/// Stops one thread, and nothing else, while `f` runs.
fn without(thread: Pid, f: impl FnOnce()) {
    ptrace::seize(thread, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(thread).unwrap();
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    f();
    ptrace::detach(thread, None).unwrap();
}

#[test]
fn the_watchdog_is_fed_while_every_netisr_answers_and_only_then() {
    lab::run(Needs::namespaces(), |lab| {
        // The second one is the measure of time.
        let (at1, at2) = (Manager::new(lab, "one"), Manager::new(lab, "two"));
        let env = [("WATCHDOG_USEC", "100000")];
        let m1 = at1.start(lab, "m1", &env, &["-n", "2"]);
        let _m2 = at2.start(lab, "m2", &env, &["-n", "2"]);
        for manager in [&at1, &at2] {
            assert!(manager.next().starts_with("READY=1\n"));
            manager.wait_pings(3);
        }
        for netisr in ["netisr 0", "netisr 1"] {
            without(thread_of(&m1, netisr), || {
                at2.pings_there();
                at1.pings_there();
                at2.wait_pings(20);
                // One may have been under way.
                assert!(at1.pings_there() <= 1, "{netisr} does not answer");
            });
            at1.wait_pings(3);
        }
        // It is somebody else's.
        let _m3 = at1.start(lab, "m3", &[("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")], &[]);
        while !at1.next().starts_with("READY=1\n") {}
        drop(m1);
        at1.pings_there();
        at2.pings_there();
        at2.wait_pings(20);
        assert_eq!(at1.pings_there(), 0);
    });
}
