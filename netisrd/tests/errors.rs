//! Errors that CARP implementations have made, each with its test; those that
//! concern libcarp alone are tested there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP, VMAC, addr, name, parse6, setvh};
use compat::net::if_::{IfDrv, IfReq, LinkState};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use libcarp::carpreq::{CARPGDEVNAME, CARPPEERS, CarpPeers, CarpReq, SIOCGVH};
use netisrd::dev::lan::filter;
use netisrd::sim::MachineId;
use std::time::Duration;
use zerocopy::FromBytes;

/// Error: negative or large demotion truncated into two masters.
#[test]
fn no_demotion_makes_two_masters() {
    for adj in [i32::MAX, 70_000, 256, 255, -1, -256, -70_000, i32::MIN + 1] {
        let mut lab = Lab::new(1);
        let ids = [lab.machine(2, 1, 10), lab.machine(3, 1, 100)];
        lab.sysctl(ids[1], "net.inet.carp.preempt", 1);
        lab.world.run_for(10 * SEC);
        for id in ids {
            lab.sysctl(id, "net.inet.carp.demotion", adj);
            lab.world.run_for(20 * SEC);
            let states = lab.states(&ids);
            assert!(states == [2, 1] || states == [1, 2], "{states:?} after {adj}");
        }
        for id in ids {
            lab.sysctl(id, "net.inet.carp.demotion", -adj);
            assert_eq!(lab.int(id, "net.inet.carp.demotion"), 0);
        }
    }
}

/// Error: demotion left behind by destroy, detach or down.
#[test]
fn demotion_goes_with_its_cause() {
    for end in 0..4 {
        let mut lab = Lab::new(2);
        let a = lab.machine(2, 1, 0);
        lab.carp(a, "carp1", 2, 0, [10, 0, 0, 22]);
        lab.world.run_for(5 * SEC);
        lab.lan.set_link(name("em2"), false);
        lab.world.run_for(10 * SEC);
        assert_eq!(
            (lab.int(a, "net.inet.carp.suppress_preempt"), lab.int(a, "net.inet.carp.demotion")),
            (2, 480)
        );
        for carp in ["carp0", "carp1"] {
            match end {
                0 => drop(lab.ok(a, Request::ioctl(SIOCIFDESTROY, &IfReq::new(name(carp))))),
                1 => lab.set_up(a, name(carp), false),
                2 => lab.set_up(a, name("em2"), false),
                _ => drop(lab.lan.set_link(name("em2"), true)),
            }
        }
        if end == 2 {
            // Now the parent's being down is the reason, until it is up.
            assert_eq!(lab.int(a, "net.inet.carp.suppress_preempt"), 2);
            lab.lan.set_link(name("em2"), true);
            lab.set_up(a, name("em2"), true);
        }
        lab.world.run_for(10 * SEC);
        let left = (lab.int(a, "net.inet.carp.suppress_preempt"), lab.int(a, "net.inet.carp.demotion"));
        assert_eq!(left, (0, 0), "way {end}");
    }
}

/// Error: a link that is gone is noticed by nobody.
#[test]
fn a_machine_whose_link_is_lost_leaves_the_other_links_to_its_peer() {
    let mut lab = Lab::new(3);
    let ids = [lab.machine(2, 1, 0), lab.machine(3, 1, 100)];
    let other = netisrd::dev::lan::Lan::new();
    let mut index = 0;
    for (n, id) in [(2u8, ids[0]), (3, ids[1])] {
        let em = name(&format!("em{}", n + 10));
        let i = lab.world.attach(id, other.attach(em, [2, 0, 0, 0, 1, n], 1)).unwrap();
        index = if n == 2 { i } else { index };
        lab.ok(id, addr(em, [10, 1, 0, n]));
        lab.carp(id, "carp1", 2, if n == 2 { 0 } else { 100 }, [10, 1, 0, 1]);
        lab.sysctl(id, "net.inet.carp.preempt", 1);
    }
    lab.world.run_for(10 * SEC);
    assert_eq!(lab.states(&ids), [2, 1]);
    // The second cable is pulled: both addresses go to the peer.
    lab.world.link_state(ids[0], index, LinkState::Down);
    other.set_link(name("em12"), false);
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.states(&ids), [1, 2]);
    assert_eq!((carp_state(&mut lab, ids[0], "carp1"), carp_state(&mut lab, ids[1], "carp1")), (0, 2));
    lab.world.link_state(ids[0], index, LinkState::Up);
    other.set_link(name("em12"), true);
    lab.world.run_for(10 * SEC);
    assert_eq!((lab.states(&ids), lab.int(ids[0], "net.inet.carp.demotion")), (vec![2, 1], 0));
}

fn carp_state(lab: &mut Lab, id: MachineId, carp: &str) -> i32 {
    let r = lab.ok(id, Request::ioctl(SIOCGVH, &IfReq::new(name(carp))));
    CarpReq::read_from_bytes(&r.data).unwrap().carpr_state
}

/// Error: parent left promiscuous after the last carp is gone.
#[test]
fn the_parent_is_promiscuous_as_long_as_it_backs_anything() {
    let mut lab = Lab::new(4);
    let a = lab.machine(2, 1, 0);
    let promisc = |lab: &mut Lab| {
        let r = lab.ok(a, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(name("em2"))));
        IfReq::read_from_bytes(&r.arg).unwrap().flags().contains(compat::net::if_::Iff::PROMISC)
    };
    assert!(promisc(&mut lab));
    lab.carp(a, "carp1", 2, 0, [10, 0, 0, 22]);
    lab.set_up(a, name("em2"), false);
    assert!(!promisc(&mut lab));
    lab.set_up(a, name("em2"), true);
    lab.ok(a, Request::ioctl(SIOCIFDESTROY, &IfReq::new(name("carp0"))));
    assert!(promisc(&mut lab));
    lab.ok(a, common::del(name("carp1"), [10, 0, 0, 22]));
    assert!(!promisc(&mut lab));
}

/// Error: a timer fires after destroy.
#[test]
fn nothing_is_sent_after_destroy() {
    for at in 0..40 {
        let mut lab = Lab::new(at);
        let a = lab.machine(2, 2, 0);
        lab.world.run_for(Duration::from_millis(100 * at));
        lab.ok(a, Request::ioctl(SIOCIFDESTROY, &IfReq::new(name("carp0"))));
        lab.wire.lock().unwrap().clear();
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.wire.lock().unwrap().len(), 0);
    }
}

/// Error: own advertisements looped back.
#[test]
fn a_hub_that_echoes_everything_disturbs_nobody() {
    let mut lab = Lab::new(5);
    let ids = [lab.machine(2, 1, 0), lab.machine(3, 1, 100)];
    let echo = lab.client();
    lab.world.run_for(5 * SEC);
    let mut from = 0;
    for _ in 0..30 {
        let frames: Vec<_> = lab.wire.lock().unwrap()[from..].to_vec();
        frames.iter().for_each(|f| echo.dev.tx.transmit(0, f).unwrap());
        from = lab.wire.lock().unwrap().len();
        lab.world.run_for(SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
    }
    assert!(lab.int(ids[0], "net.inet.carp.ownechoes") >= 29);
}

/// Error: uninitialised bytes in a get reply.
#[test]
fn every_byte_of_a_reply_means_something() {
    let mut lab = Lab::new(6);
    let a = lab.machine(2, 1, 7);
    let devname = |lab: &mut Lab| {
        let ifd = IfDrv { ifd_name: name("carp0"), ifd_cmd: CARPGDEVNAME, ifd_len: 16, ifd_data: 0 };
        lab.ok(a, Request::ioctl(SIOCGDRVSPEC, &ifd)).data
    };
    assert_eq!(devname(&mut lab), *b"em2\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let expected = [1i32, 1, 7, 1].map(i32::to_ne_bytes).concat();
    let r = lab.ok(a, Request::ioctl(SIOCGVH, &IfReq::new(name("carp0"))));
    assert_eq!(r.data, [&expected[..], b"secret\0\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat());
    let ifd = IfDrv { ifd_name: name("carp0"), ifd_cmd: CARPPEERS, ifd_len: 48, ifd_data: 0 };
    let peers = CarpPeers::read_from_bytes(&lab.ok(a, Request::ioctl(SIOCGDRVSPEC, &ifd)).data).unwrap();
    assert_eq!(
        (peers.carpp_vhid, peers.carpp_addr.sin_zero, peers.carpp_addr6.sin6_scope_id),
        (1, [0; 8], 0)
    );
    lab.set_up(a, name("em2"), false);
    assert_eq!(devname(&mut lab), [0; 16]);
}

/// Error: broadcast duplicated.
#[test]
fn a_broadcast_is_heard_once_however_many_carp_interfaces_there_are() {
    let mut lab = Lab::new(7);
    let a = lab.machine(2, 1, 0);
    for n in 2..20u8 {
        lab.carp(a, &format!("carp{n}"), n.into(), 0, [10, 0, 0, 100 + n]);
    }
    let mut c = lab.client();
    lab.world.run_for(5 * SEC);
    c.all_heard();
    c.arp_request([10, 0, 0, 2]);
    c.arp_request(VIP);
    lab.world.run_for(SEC / 100);
    assert_eq!(c.heard().len(), 2);
}

/// Error: parent destroyed with a packet in flight.
#[test]
fn a_parent_that_leaves_with_packets_under_way_takes_nobody_with_it() {
    for seed in 0..30 {
        let mut lab = Lab::new(seed);
        let a = lab.machine(2, 4, 0);
        let c = lab.client();
        lab.world.run_for(5 * SEC);
        for n in 0..50 {
            c.ping(VMAC, VIP);
            c.arp_request(VIP);
            c.solicit(parse6("2001:db8::1"));
            c.send([0x01, 0, 0x5e, 0, 0, 0x12], 0x800, &[0x45, n]);
        }
        let index = if_index(&mut lab, a, "em2");
        lab.world.detach(a, index);
        lab.world.run_for(5 * SEC);
        assert_eq!(carp_state(&mut lab, a, "carp0"), 0);
        let gone = lab.world.syscall(a, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(name("em2"))));
        assert_eq!(gone.error, Some(Errno::ENXIO));
    }
}

fn if_index(lab: &mut Lab, id: MachineId, ifname: &str) -> u16 {
    let r = lab.ok(id, Request::ioctl(SIOCGIFINDEX, &IfReq::new(name(ifname))));
    let ifr = IfReq::read_from_bytes(&r.arg).unwrap();
    u16::from_ne_bytes([ifr.ifr_ifru[0], ifr.ifr_ifru[1]])
}

/// Error: several backups promoted at once.
#[test]
fn several_backups_promoted_at_once_leave_one_master_whose_word_is_the_last() {
    for seed in 0..20 {
        let mut lab = Lab::new(seed);
        let ids: Vec<_> = (2..8).map(|n| lab.machine(n, 1, i32::from(n) * 10 - 20)).collect();
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&ids), [2, 1, 1, 1, 1, 1]);
        let c = lab.client();
        // All of them hear the bow-out, and all take over.
        lab.world.halt(ids[0]);
        let mut left = ids[1..].to_vec();
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&left), [2, 1, 1, 1, 1], "seed {seed}");
        // The switch's last word on where the virtual MAC is.
        let wire = lab.wire.lock().unwrap();
        let last = wire.iter().rev().find(|f| f[6..12] == VMAC).unwrap();
        assert_eq!(last[26..30], [10, 0, 0, 3], "seed {seed}");
        drop(wire);
        drop((left.pop(), c));
    }
}

/// Error: flip-flop on equal intervals.
#[test]
fn equal_machines_do_not_take_turns() {
    for seed in 0..10 {
        for preempt in [0, 1] {
            let mut lab = Lab::new(seed);
            let ids = [lab.machine(2, 1, 50), lab.machine(3, 1, 50)];
            ids.iter().for_each(|id| lab.sysctl(*id, "net.inet.carp.preempt", preempt));
            lab.world.run_for(20 * SEC);
            let settled = lab.states(&ids);
            assert!(settled == [2, 1] || settled == [1, 2], "{settled:?}");
            for _ in 0..60 {
                lab.world.run_for(SEC);
                assert_eq!(lab.states(&ids), settled);
            }
        }
    }
}

/// Error: after a split brain heals the neighbours keep the loser's MAC. The
/// loser yields to the first advertisement that it hears, in silence; if the
/// winner heard one of its before, it announces its addresses.
#[test]
fn after_a_split_the_winners_word_is_the_last() {
    let (mut heard, mut unheard) = (0, 0);
    for tenths in (40..300).step_by(7) {
        let mut lab = Lab::new(1);
        let ids = [lab.machine(2, 1, 0), lab.machine(3, 1, 100)];
        lab.world.run_for(10 * SEC);
        // Both were MASTER before, and both have heard the other.
        for up in [false, true] {
            lab.set_up(ids[0], name("carp0"), up);
            lab.world.run_for(5 * SEC);
        }
        ids.iter().for_each(|id| lab.sysctl(*id, "net.inet.carp.preempt", 1));
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
        // They do not hear each other, but everyone else hears both.
        lab.lan.set_medium(Some(filter(|_, f| f[23] != 112)));
        lab.world.run_for(tenths * SEC / 10);
        let split = lab.states(&ids);
        lab.lan.set_medium(None);
        lab.wire.lock().unwrap().clear();
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&ids), [2, 1], "{tenths} tenths");
        assert_eq!(ids.map(|id| lab.int(id, "net.inet.carp.ownechoes")), [0, 0]);
        let wire = lab.wire.lock().unwrap();
        let arps = wire.iter().filter(|f| f[12..14] == [8, 6] && f[28..32] == VIP).count();
        let is_losers = |f: &&Vec<u8>| f[12..14] == [8, 0] && f[23] == 112 && f[29] == 3;
        match wire.iter().find(is_losers) {
            Some(_) => {
                assert_eq!((&split[..], arps), (&[2, 2][..], 2), "at once and two advertisements later")
            }
            None => assert_eq!(arps, 0, "nobody else was heard"),
        }
        let last = wire.iter().rev().find(|f| f[6..12] == VMAC).unwrap();
        assert_eq!(last[26..30], [10, 0, 0, 2]);
        *(if arps > 0 { &mut heard } else { &mut unheard }) += 1;
    }
    assert!(heard > 5 && unheard > 5, "both happen: {heard} and {unheard}");
}

/// Error: a change of configuration costs the mastership.
#[test]
fn a_request_that_changes_nothing_is_no_transition() {
    let mut lab = Lab::new(8);
    let ids = [lab.machine(2, 1, 0), lab.machine(3, 1, 100)];
    lab.world.run_for(10 * SEC);
    let sent = lab.stats(ids[0]).carps_opackets;
    for _ in 0..50 {
        lab.ok(ids[0], setvh(name("carp0"), 1, 0));
        lab.ok(ids[0], addr(name("carp0"), VIP));
        lab.world.run_for(SEC / 10);
        assert_eq!(lab.states(&ids), [2, 1]);
    }
    let now = lab.stats(ids[0]).carps_opackets;
    assert!((4..=6).contains(&(now - sent)), "{} advertisements in five seconds", now - sent);
}
