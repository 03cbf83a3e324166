#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::dev::testns::{
    BROADCAST, PATIENCE, arp, error_of, frames_until, in_namespace, ip, ipv4, rx, without_rights,
};
use crate::dev::watch::{Change, LinkWatch};
use crate::net::if_::Hardware;
use compat::net::if_::LinkState;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

#[test]
fn an_address_is_stable_local_and_of_its_name() {
    let a = derive_lladdr(b"0123\n", 7, "em0");
    assert_eq!(a, derive_lladdr(b"0123", 7, "em0"));
    assert_eq!(a[0], 0x02);
    for other in [
        derive_lladdr(b"0123", 7, "em1"),
        derive_lladdr(b"0123", 8, "em0"),
        derive_lladdr(b"0124", 7, "em0"),
        derive_lladdr(b"", 7, "em0"),
    ] {
        assert_ne!(a, other);
        assert_eq!(other[0], 0x02);
    }
    let taken = lladdr("em0", None);
    let next = lladdr("em0", Some(taken));
    assert_eq!((taken[..5].to_vec(), taken[5] ^ 1), (next[..5].to_vec(), next[5]));
}

#[test]
fn bad_arguments_are_refused_in_a_sentence() {
    let err = |name, bridge, queues| open(name, bridge, queues).unwrap_err().to_string();
    for name in ["", "sixteen_bytes_xx", "a/b", "tap%d", "a:b", ".."] {
        let want = format!("tap {name}: not a name for an interface (1 to 15 printable bytes without / : %)");
        assert_eq!(err(name, None, 1), want);
    }
    assert_eq!(err("em0", None, 0), "tap em0: 0 queues (1 to 256)");
    assert_eq!(err("em0", None, 257), "tap em0: 257 queues (1 to 256)");
    assert_eq!(err("em0", Some("no_such_bridge"), 1), "bridge no_such_bridge: No such device");
    assert_eq!(err("em0", Some("lo"), 1), "bridge lo: not a bridge");
}

#[test]
fn two_taps_on_a_bridge_exchange_frames_from_the_first_one_on() {
    in_namespace(module_path!(), "two_taps_on_a_bridge_exchange_frames_from_the_first_one_on", || {
        ip("link add br0 type bridge mcast_snooping 0");
        ip("link set br0 up");
        let mut a = open("em0", Some("br0"), 1).unwrap();
        let mut b = open("em1", Some("br0"), 1).unwrap();
        assert!(forwarding("em0").unwrap() && forwarding("em1").unwrap());
        assert_eq!((a.name.as_str(), a.mtu, a.shared_with_host, a.addrs.len()), ("em0", 1500, false, 0));
        assert_ne!(a.lladdr, b.lladdr);
        assert_ne!(Some(a.lladdr), link::by_name("em0").unwrap().lladdr);

        let ask = arp(BROADCAST, a.lladdr, 1);
        a.tx.transmit(0, &ask).unwrap();
        frames_until(rx(&mut b), &ask);
        let answer = arp(a.lladdr, b.lladdr, 2);
        b.tx.transmit(0, &answer).unwrap();
        let heard = frames_until(rx(&mut a), &answer);
        assert!(!heard.contains(&ask), "a heard itself");

        assert_eq!(a.tx.set_promisc(true), Ok(()));
        assert_eq!(a.tx.transmit(0, &[0; 13]), Err(Errno::EINVAL));
        assert_eq!(a.tx.transmit(0, &[0; 1515]), Err(Errno::EMSGSIZE));
        assert_eq!(
            open("em0", None, 1).unwrap_err().to_string(),
            "tap em0: an interface of that name exists already"
        );
        assert_eq!(
            open("br0", None, 2).unwrap_err().to_string(),
            "tap br0: an interface of that name exists already"
        );
    });
}

#[test]
fn a_host_without_ipv6_on_the_tap_stays_silent() {
    in_namespace(module_path!(), "a_host_without_ipv6_on_the_tap_stays_silent", || {
        let a = open("em0", None, 1).unwrap();
        let conf = std::fs::read_to_string("/proc/sys/net/ipv6/conf/em0/disable_ipv6");
        assert_eq!(conf.map_or("1\n".into(), |s| s), "1\n");
        assert!(forwarding("em0").unwrap());
        drop(a);
        assert_eq!(forwarding("em0").unwrap_err().to_string(), "tap em0: No such device");
    });
}

#[test]
fn answers_come_back_on_the_queue_that_asked() {
    in_namespace(module_path!(), "answers_come_back_on_the_queue_that_asked", || {
        ip("link add br0 type bridge mcast_snooping 0");
        ip("link set br0 up");
        let mut a = open("em0", Some("br0"), 4).unwrap();
        let mut b = open("em1", Some("br0"), 1).unwrap();
        let (ours, theirs) = (a.lladdr, b.lladdr);
        assert_eq!(a.rx.len(), 4);
        // Teaches the bridge where b is, then sends one flow from each queue.
        let hello = arp(BROADCAST, theirs, 9);
        b.tx.transmit(0, &hello).unwrap();
        for n in 0..4 {
            let tx = Arc::clone(&a.tx);
            let ask = ipv4(theirs, ours, 112, n as u8);
            tx.transmit(n, &ask).unwrap();
            frames_until(rx(&mut b), &ask);
        }
        for n in 0..4 {
            let mut answer = ipv4(ours, theirs, 112, n as u8);
            // The same sum, so the checksum holds.
            answer[26..34].rotate_left(4);
            b.tx.transmit(0, &answer).unwrap();
            frames_until(a.rx[n].as_mut(), &answer);
        }
    });
}

#[test]
fn a_frame_for_a_tap_that_is_down_or_gone_is_an_error() {
    in_namespace(module_path!(), "a_frame_for_a_tap_that_is_down_or_gone_is_an_error", || {
        for queues in [1, 2] {
            let mut a = open("em0", None, queues).unwrap();
            let frame = arp(BROADCAST, a.lladdr, 1);
            ip("link set em0 down");
            assert_eq!(a.tx.transmit(0, &frame), Err(Errno::ENETDOWN));
            assert_eq!(rx(&mut a).receive(1, &mut |_| {}).unwrap(), 0);
            ip("link set em0 up");
            assert_eq!(a.tx.transmit(0, &frame), Ok(()));
            ip("link del em0");
            for queue in &mut a.rx {
                let err = error_of(queue.as_mut());
                assert_eq!(err.to_string(), "tap em0: the interface was removed");
                assert_eq!(sys::bsd_errno(&err), Errno::ENXIO);
            }
            assert_eq!(a.tx.transmit(0, &frame), Err(Errno::ENXIO));
        }
    });
}

#[test]
fn a_tap_whose_cable_is_out_or_that_is_set_down_is_told_once_each_way() {
    in_namespace(
        module_path!(),
        "a_tap_whose_cable_is_out_or_that_is_set_down_is_told_once_each_way",
        || {
            let taps = ["em0", "em1"].map(|name| open(name, None, 1).unwrap());
            let mut links = LinkWatch::new([(7, 0), (9, 1)].map(|(if_index, n)| {
                let tap: &Device = &taps[n];
                (tap.name, Some((if_index, tap.host_index)), None)
            }))
            .unwrap();
            // How they are, whatever the machine took them for.
            let mtu = |n, mtu| Change::Hardware(n, Hardware::Mtu(mtu));
            let first = [7, 9].map(|n| [Change::Link(n, LinkState::Up), mtu(n, 1500)]);
            assert_eq!((links.changes().unwrap(), links.changes().unwrap()), (first.concat(), Vec::new()));
            // The address of the host's side is not the machine's.
            ip("link set em1 address 02:00:00:00:00:77");
            ip("link set em1 mtu 9000");
            assert_eq!(next_changes(&mut links), [mtu(9, 9000)]);
            for (down, up) in [
                ("link set em1 down", "link set em1 up"),
                ("link set em1 carrier off", "link set em1 carrier on"),
            ] {
                for (act, state) in [(down, LinkState::Down), (up, LinkState::Up)] {
                    ip(act);
                    assert_eq!(next_changes(&mut links), [Change::Link(9, state)], "{act}");
                    assert_eq!(links.changes().unwrap(), []);
                }
            }
            ip("link del em1");
            assert_eq!(next_changes(&mut links), [Change::Gone(9)]);
            ip("link set em0 down");
            assert_eq!(next_changes(&mut links), [Change::Link(7, LinkState::Down)]);
        },
    );
}

/// What changes next, in a bounded time.
fn next_changes(links: &mut LinkWatch) -> Vec<Change> {
    loop {
        let changes = links.changes().unwrap();
        if !changes.is_empty() {
            return changes;
        }
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        let mut fds = [PollFd::new(links.poll_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, patience), Ok(1), "nothing changes");
    }
}

#[test]
fn without_privilege_the_error_says_what_is_needed() {
    without_rights(":", module_path!(), "without_privilege_the_error_says_what_is_needed", || {
        let err = open("em0", None, 1).unwrap_err();
        let want = "tap em0: Operation not permitted (needs CAP_NET_ADMIN and /dev/net/tun)";
        assert_eq!((err.to_string().as_str(), sys::bsd_errno(&err)), (want, Errno::EPERM));
    });
}

#[test]
fn a_bridge_with_spanning_tree_is_opened_but_not_forwarding() {
    in_namespace(module_path!(), "a_bridge_with_spanning_tree_is_opened_but_not_forwarding", || {
        ip("link add br0 type bridge stp_state 1 forward_delay 200");
        ip("link set br0 up");
        let start = Instant::now();
        let a = open("em0", Some("br0"), 1).unwrap();
        let took = start.elapsed();
        // Listening and learning take two forward delays of two seconds.
        assert!(took >= FORWARDING_WAIT, "{took:?}");
        assert!(!forwarding("em0").unwrap());
        assert!(wait_forwarding("em0", PATIENCE).unwrap());
        drop(a);
    });
}

#[test]
fn a_killed_process_leaves_no_tap() {
    const CHILD: &str = "NETISRD_TEST_TAP_CHILD";
    let name = "a_killed_process_leaves_no_tap";
    in_namespace(module_path!(), name, || {
        if std::env::var_os(CHILD).is_some() {
            let _tap = open("em0", None, 2).unwrap();
            println!("\nready");
            loop {
                std::thread::park();
            }
        }
        let path = std::env::args().skip_while(|a| a != "--exact").nth(1).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &path, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        assert!(out.lines().any(|line| line.unwrap() == "ready"));
        let watch = RtWatch::of_links().unwrap();
        assert!(forwarding("em0").unwrap());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        let until = Instant::now() + PATIENCE;
        while link::by_name("em0") != Err(Linux::ENODEV) {
            assert!(watch.wait(until).unwrap(), "the tap outlives its process");
        }
    });
}
