//! The control socket and the life of the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::os::unix::net::UnixStream;
use tests::lab::{self, Control, N1, Needs, Netisrd, PATIENCE, on_tap, virtual_host};

/// How many requests fit into a socket that nobody reads, at most.
const MANY: usize = 100_000;

fn stage(body: impl FnOnce(&lab::Lab, Netisrd)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = on_tap(lab, "m1", "em0", N1);
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &virtual_host(0));
        machine.wait_master("carp0");
        body(lab, machine);
    });
}

#[test]
fn a_stale_socket_is_replaced_after_a_kill() {
    stage(|lab, machine| {
        let sock = machine.tools.sock().to_owned();
        machine.proc.kill();
        assert!(sock.exists(), "a killed daemon cannot remove its socket");
        lab.wait_gone("em0");
        let next = lab.netisrd("m2").sock(&sock).tap("em0").start();
        assert_eq!(next.state("carp0"), "", "a new machine");
        next.ifconfig(&format!("em0 {N1}/24")).ok();
        next.sysctl("net.inet.carp.preempt=1");
        next.carp("carp0", &virtual_host(0));
        next.wait_master("carp0");
    });
}

#[test]
fn a_second_daemon_on_a_live_socket_fails_with_one_line() {
    stage(|lab, machine| {
        let second = lab.netisrd("m2").sock(machine.tools.sock()).tap("em5").spawn();
        let status = second.wait_exit();
        assert!(status.code().is_some_and(|c| c != 0), "{status}");
        assert_eq!(second.proc.log.len(), 1, "{:?}", second.proc.log.lines());
        assert!(!lab.has_link("em5"), "it left its tap");
        assert_eq!(machine.state("carp0"), "MASTER", "the first one goes on");
    });
}

#[test]
fn a_socket_path_that_is_something_else_is_left_alone() {
    stage(|lab, _machine| {
        let path = lab.dir().join("precious");
        std::fs::write(&path, "data").unwrap();
        let second = lab.netisrd("m2").sock(&path).spawn();
        let status = second.wait_exit();
        assert!(status.code().is_some_and(|c| c != 0), "{status}");
        assert_eq!(second.proc.log.len(), 1, "{:?}", second.proc.log.lines());
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
    });
}

/// Sends a packet on a connection of its own that has been used before.
fn errno_of(machine: &Netisrd, packet: &[u8]) -> u32 {
    let control = Control::connect(machine.tools.sock());
    control.send(&Control::sysctl("net.inet.carp.preempt")).unwrap();
    assert_eq!(control.reply(), Some(0));
    control.send(packet).unwrap();
    control.reply().expect("a reply rather than the end of the connection")
}

#[test]
fn malformed_packets_get_an_errno_and_the_daemon_lives() {
    stage(|_, machine| {
        let good = Control::sysctl("net.inet.carp.preempt");
        assert_eq!(errno_of(&machine, &good), 0);
        for len in 1..good.len() {
            assert_ne!(errno_of(&machine, &good[..len]), 0, "truncated to {len}");
        }
        let with = |at: usize, bytes: &[u8]| {
            let mut p = good.clone();
            p[at..at + bytes.len()].copy_from_slice(bytes);
            p
        };
        for (what, packet) in [
            ("wrong magic", with(0, b"XXXX")),
            ("version 0", with(4, &[0, 0])),
            ("version 99", with(4, &[99, 0])),
            ("op 0", with(6, &[0, 0])),
            ("op 99", with(6, &[99, 0])),
            ("lengths that overflow", with(12, &[0xff; 8])),
            ("an argument longer than the packet", with(12, &1000_u32.to_ne_bytes())),
            ("something behind the end", [&good[..], b"more"].concat()),
            ("a sysctl that is not there", Control::sysctl("net.inet.carp.none")),
            ("a sysctl without a name", Control::sysctl("")),
            ("a name that is not text", Control::request(1, 2, 0, &[0xff, 0, 0xfe], b"")),
            ("an ioctl that is not there", Control::request(1, 1, 0xdead_beef, &[0; 32], b"")),
            ("SIOCGVH without its struct", Control::request(1, 1, 0xc020_69f6, b"", b"")),
            ("SIOCGVH with half of it", Control::request(1, 1, 0xc020_69f6, &[0; 16], b"")),
            ("SIOCSVH of nothing", Control::request(1, 1, 0xc020_69f5, &[0; 32], b"")),
            ("SIOCSVH with little data", Control::request(1, 1, 0xc020_69f5, &carp0(), b"x")),
            ("SIOCSVH with negative numbers", Control::request(1, 1, 0xc020_69f5, &carp0(), &[0xff; 36])),
        ] {
            assert_ne!(errno_of(&machine, &packet), 0, "{what}");
        }
        assert_eq!(machine.state("carp0"), "MASTER");
        assert!(machine.ifconfig("carp0").ok().contains("vhid 1 advbase 1 advskew 0"));
    });
}

/// An `ifreq` for `carp0`.
fn carp0() -> [u8; 32] {
    let mut ifreq = [0; 32];
    ifreq[..5].copy_from_slice(b"carp0");
    ifreq
}

#[test]
fn random_packets_get_an_errno_or_the_end_of_the_connection() {
    stage(|_, machine| {
        let mut x = 0x5eed_u64;
        let mut control = Control::connect(machine.tools.sock());
        for n in 0..2000_usize {
            let mut byte = || {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 24) as u8
            };
            let mut packet: Vec<u8> = (0..1 + n % 300).map(|_| byte()).collect();
            if n % 2 == 0 && packet.len() >= 8 {
                // far enough to be read on
                packet[..8].copy_from_slice(&Control::sysctl("")[..8]);
            }
            let replied = control.send(&packet).ok().and_then(|()| control.reply());
            match replied {
                Some(errno) => assert_ne!(errno, 0, "{packet:02x?}"),
                None => control = Control::connect(machine.tools.sock()),
            }
        }
        assert_eq!(machine.state("carp0"), "MASTER");
    });
}

#[test]
fn a_connection_that_never_reads_does_not_block_others() {
    stage(|_, machine| {
        let request = Control::sysctl("sysctl.names");
        let deaf: Vec<_> = (0..8).map(|_| Control::connect(machine.tools.sock())).collect();
        for control in &deaf {
            let full = (0..MANY).find_map(|_| control.try_send(&request).err());
            assert!(matches!(full, Some(Errno::EAGAIN | Errno::EPIPE | Errno::ECONNRESET)), "{full:?}");
        }
        let said = lab::Said::by(None, {
            let mut c = lab::command("timeout 60");
            c.arg(lab::binary("ifconfig-carp")).arg("-a").env("NETISRD_SOCK", machine.tools.sock());
            c
        });
        assert!(said.ok().contains("vhid 1 "));
        assert_eq!(machine.state("carp0"), "MASTER");
        drop(deaf);
        assert_eq!(machine.state("carp0"), "MASTER", "after they have gone");
    });
}

#[test]
fn idle_and_half_open_connections_are_no_obstacle() {
    stage(|_, machine| {
        let idle: Vec<_> = (0..50).map(|_| Control::connect(machine.tools.sock())).collect();
        assert!(UnixStream::connect(machine.tools.sock()).is_err(), "a stream is not a packet socket");
        assert_eq!(machine.state("carp0"), "MASTER");
        drop(idle);
        assert_eq!(machine.state("carp0"), "MASTER");
    });
}

/// Whether the connection is served.
fn is_served(control: &Control) -> bool {
    control.send(&Control::sysctl("net.inet.carp.preempt")).is_ok() && control.reply() == Some(0)
}

/// So many connections, one after the other; how many of them are served.
fn connections(machine: &Netisrd, n: usize) -> (Vec<Control>, usize) {
    let all: Vec<_> = (0..n).map(|_| Control::connect(machine.tools.sock())).collect();
    let served = all.iter().filter(|c| is_served(c)).count();
    (all, served)
}

#[test]
fn a_user_has_32_connections_and_root_as_many_as_it_asks_for() {
    stage(|_, machine| {
        let Some((mut held, served)) = lab::as_user(1001, || connections(&machine, 40)) else { return };
        assert_eq!(served, 32, "the others were closed");
        assert_eq!(lab::as_user(1001, || connections(&machine, 1).1), Some(0), "none more");
        assert_eq!(lab::as_user(1002, || connections(&machine, 40).1), Some(32), "another user has its own");
        // One that goes makes room for one.
        held.truncate(32);
        held.pop();
        assert!(held.iter().all(is_served));
        assert_eq!(lab::as_user(1001, || connections(&machine, 2).1), Some(1));
        assert_eq!(connections(&machine, 100).1, 100, "root");
        assert_eq!(machine.state("carp0"), "MASTER");
    });
}

#[test]
fn when_all_places_are_taken_root_gets_that_of_the_idlest_other() {
    stage(|_, machine| {
        let mut others = Vec::new();
        for uid in 1001..=1008 {
            let Some((held, served)) = lab::as_user(uid, || connections(&machine, 32)) else { return };
            assert_eq!(served, 32, "{uid}");
            others.extend(held);
        }
        assert_eq!(lab::as_user(1009, || connections(&machine, 1).1), Some(0), "256 are all there are");
        // The first is the last that said something, the second listens.
        assert!(is_served(&others[0]));
        others[1].send(&Control::route()).unwrap();
        assert_eq!(others[1].reply(), Some(0));
        let (root, served) = connections(&machine, 10);
        assert_eq!(served, 10, "root is never refused");
        let gone: Vec<_> = (0..256).filter(|k| *k != 1 && !is_served(&others[*k])).collect();
        assert_eq!(gone, (2..12).collect::<Vec<_>>(), "the idlest, one for each");
        assert_eq!(others[1].told(), None, "who listens has nothing to say, and is there");
        assert!(root.iter().all(is_served));
        assert_eq!(machine.state("carp0"), "MASTER");
    });
}

#[test]
fn sigterm_and_sigint_exit_with_0_and_leave_neither_socket_nor_tap() {
    stage(|lab, machine| {
        let sock = machine.tools.sock().to_owned();
        machine.signal(Signal::SIGTERM);
        assert_eq!(machine.wait_exit().code(), Some(0));
        assert!(!sock.exists());
        lab.wait_gone("em0");

        let second = on_tap(lab, "m2", "em0", N1);
        let sock = second.tools.sock().to_owned();
        second.signal(Signal::SIGINT);
        assert_eq!(second.proc.wait_exit(PATIENCE).code(), Some(0));
        assert!(!sock.exists());
        lab.wait_gone("em0");
    });
}
