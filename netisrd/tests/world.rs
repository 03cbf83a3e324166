//! Whole machines in virtual time, on a LAN in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP, VMAC, addr, name, setvh};
use compat::net::if_::{IfReq, Iff};
use compat::sys::ctlsock::{Op, Request};
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use compat::sys::time::Time;
use libcarp::carpreq::{CarpReq, SIOCGVH, SIOCSVH};
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

#[test]
fn the_better_one_is_master_and_its_successor_takes_over_to_the_microsecond() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.machine(2, 2, 0), lab.machine(3, 2, 100));
    lab.world.run_for(10 * SEC);
    assert_eq!(lab.states(&[a, b]), [2, 1]);
    let heard = lab.stats(b).carps_ipackets;
    assert_eq!(lab.stats(a).carps_opackets, heard);
    // a advertises at whole seconds: 3 s, 4 s, ... The last is at 10 s.
    lab.world.crash(a);
    lab.world.run_until(Time(13_390_624_999));
    assert_eq!(lab.state(b), 1);
    lab.world.run_until(Time(13_390_625_000));
    assert_eq!(lab.state(b), 2);
}

#[test]
fn a_halt_hands_over_without_a_pause() {
    let mut lab = Lab::new(2);
    let (a, b) = (lab.machine(2, 2, 0), lab.machine(3, 2, 100));
    lab.world.run_for(10 * SEC);
    let before = lab.world.now();
    lab.world.halt(a);
    lab.world.run_until(before);
    assert_eq!((lab.state(b), lab.world.now()), (2, before));
}

#[test]
fn with_ticks_the_times_are_those_of_a_bsd_kernel() {
    let mut lab = Lab::new(3);
    let id = lab.world.boot(1, 100);
    let em = name("em2");
    let dev = lab.lan.attach(em, [2, 0, 0, 0, 0, 2], 1);
    lab.world.attach(id, dev).unwrap();
    lab.ok(id, addr(em, [10, 0, 0, 2]));
    lab.carp(id, "carp0", 1, 100, VIP);
    lab.world.run_for(3 * SEC + Duration::from_millis(409));
    assert_eq!(lab.state(id), 1);
    lab.world.run_for(Duration::from_millis(1));
    assert_eq!(lab.state(id), 2);
}

#[test]
fn only_the_master_answers_and_only_with_the_virtual_mac() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let ids = [lab.machine(2, 1, 0), lab.machine(3, 4, 100)];
        let mut c = lab.client();
        lab.world.run_for(5 * SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
        c.arp_request(VIP);
        lab.world.run_for(SEC / 100);
        let arp = c.heard();
        assert_eq!(arp.len(), 1, "one answer to one question");
        assert_eq!((&arp[0][6..12], &arp[0][22..28], &arp[0][28..32]), (&VMAC[..], &VMAC[..], &VIP[..]));
        c.ping(VMAC, VIP);
        lab.world.run_for(SEC / 100);
        let echo = c.heard();
        assert_eq!(echo.len(), 1);
        assert_eq!((&echo[0][6..12], echo[0][34], &echo[0][42..]), (&VMAC[..], 0, &b"hi"[..]));
        // To the backup's own MAC: it is not the backup's address.
        c.ping([2, 0, 0, 0, 0, 3], VIP);
        lab.world.run_for(SEC / 100);
        assert_eq!(c.heard().len(), 0);
        // Its own address it answers for, with its own MAC.
        c.arp_request([10, 0, 0, 3]);
        c.ping([2, 0, 0, 0, 0, 3], [10, 0, 0, 3]);
        lab.world.run_for(SEC / 100);
        let own = c.heard();
        assert_eq!(own.len(), 2, "seed {seed}");
        assert!(own.iter().all(|f| f[6..12] == [2, 0, 0, 0, 0, 3]));
    }
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_one_other_bytes() {
    let run = |seed, ncpus| {
        let mut lab = Lab::new(seed);
        let a = lab.machine(2, ncpus, 0);
        lab.machine(3, ncpus, 100);
        let c = lab.client();
        lab.world.run_for(6 * SEC);
        c.arp_request(VIP);
        c.ping(VMAC, VIP);
        lab.world.run_for(SEC);
        lab.world.crash(a);
        lab.world.run_for(6 * SEC);
        std::mem::take(&mut *lab.wire.lock().unwrap())
    };
    for ncpus in [1, 4] {
        assert_eq!(run(7, ncpus), run(7, ncpus));
        assert_ne!(run(7, ncpus), run(8, ncpus));
    }
}

#[test]
fn carp_interfaces_come_and_go_under_traffic_on_every_netisr() {
    let mut lab = Lab::new(5);
    let a = lab.machine(2, 4, 0);
    let mut c = lab.client();
    lab.world.run_for(4 * SEC);
    c.arp_request(VIP);
    for round in 0..50u8 {
        for i in 0..4 {
            c.ping(VMAC, VIP);
            c.arp_request([10, 0, 0, 100 + i]);
        }
        let (vhid, ifname) = (i32::from(round % 5) + 10, format!("carp{}", round % 5 + 1));
        if round % 10 < 5 {
            lab.carp(a, &ifname, vhid, 50, [10, 0, 0, 100 + round % 5]);
        } else {
            lab.ok(a, Request::ioctl(SIOCIFDESTROY, &IfReq::new(name(&ifname))));
        }
        lab.world.run_for(SEC / 10);
        assert!(!c.heard().is_empty());
    }
    let r = lab.ok(a, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(name("em2"))));
    assert!(IfReq::read_from_bytes(&r.arg).unwrap().flags().contains(Iff::PROMISC));
    lab.ok(a, Request::ioctl(SIOCIFDESTROY, &IfReq::new(name("carp0"))));
    let r = lab.ok(a, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(name("em2"))));
    assert!(!IfReq::read_from_bytes(&r.arg).unwrap().flags().contains(Iff::PROMISC));
}

#[test]
fn two_vhids_share_the_work_and_each_survives_alone() {
    let mut lab = Lab::new(6);
    let (a, b) = (lab.machine(2, 2, 0), lab.machine(3, 2, 100));
    lab.carp(a, "carp1", 2, 100, [10, 0, 0, 200]);
    lab.carp(b, "carp1", 2, 0, [10, 0, 0, 200]);
    lab.world.run_for(6 * SEC);
    let state = |lab: &mut Lab, id, ifname| {
        let r = lab.ok(id, Request::ioctl(SIOCGVH, &IfReq::new(name(ifname))));
        CarpReq::read_from_bytes(&r.data).unwrap().carpr_state
    };
    let all = |lab: &mut Lab, id| [state(lab, id, "carp0"), state(lab, id, "carp1")];
    assert_eq!((all(&mut lab, a), all(&mut lab, b)), ([2, 1], [1, 2]));
    lab.world.crash(b);
    lab.world.run_for(4 * SEC);
    assert_eq!(all(&mut lab, a), [2, 2]);
}

#[test]
fn two_hundred_and_fifty_five_vhids_live_on_one_interface() {
    let mut lab = Lab::new(9);
    let id = lab.world.boot(2, 0);
    let dev = lab.lan.attach(name("em0"), [2, 0, 0, 0, 0, 2], 2);
    lab.world.attach(id, dev).unwrap();
    lab.ok(id, addr(name("em0"), [10, 0, 0, 2]));
    for v in 1..=255u8 {
        let (ifname, vip) = (format!("carp{v}"), [10, 0, 0, v.checked_add(2).unwrap_or(1)]);
        lab.carp(id, &ifname, v.into(), 0, vip);
    }
    let mut c = lab.client();
    lab.world.run_for(4 * SEC);
    c.arp_request([10, 0, 0, 2]);
    for v in [1u8, 128, 255] {
        c.ping([0, 0, 0x5e, 0, 1, v], [10, 0, 0, v.checked_add(2).unwrap_or(1)]);
        lab.world.run_for(SEC / 1000);
        let heard = c.heard();
        assert!(heard.iter().any(|f| f[6..12] == [0, 0, 0x5e, 0, 1, v]), "vhid {v}");
    }
    lab.ok(id, Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("carp0"))));
    let taken = lab.world.syscall(id, setvh(name("carp0"), 255, 0));
    assert_eq!(taken.error, None, "without a parent nothing is taken");
    assert_eq!(lab.world.syscall(id, addr(name("carp0"), [10, 0, 0, 3])).error, Some(Errno::EEXIST));
}

#[test]
fn malformed_system_calls_have_an_errno() {
    let mut lab = Lab::new(10);
    let id = lab.machine(2, 2, 0);
    let mut call = |r: Request| lab.world.syscall(id, r).error;
    let req =
        |cmd, arg: &[u8], data: &[u8]| Request { op: Op::Ioctl, cmd, arg: arg.into(), data: data.into() };
    let carp0 = IfReq::new(name("carp0"));
    assert_eq!(call(req(SIOCSVH, &[0; 31], &[])), Some(Errno::EINVAL));
    assert_eq!(call(req(SIOCSVH, carp0.as_bytes(), &[0; 35])), Some(Errno::EFAULT));
    assert_eq!(call(req(SIOCSVH, IfReq::new(name("em2")).as_bytes(), &[0; 36])), Some(Errno::EINVAL));
    assert_eq!(call(req(SIOCGIFFLAGS, &[0xff; 32], &[])), Some(Errno::ENXIO));
    assert_eq!(call(req(0, &[], &[])), Some(Errno::EINVAL));
    assert_eq!(call(req(0xffff_ffff, &[0; 0x1fff], &[])), Some(Errno::ENXIO));
    assert_eq!(call(Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("carp0")))), Some(Errno::EEXIST));
    for bad in ["em7", "carp01", "carp32768", "carpx"] {
        assert_eq!(call(Request::ioctl(SIOCIFCREATE2, &IfReq::new(name(bad)))), Some(Errno::EINVAL), "{bad}");
    }
    assert_eq!(call(Request::ioctl(SIOCIFDESTROY, &IfReq::new(name("em2")))), Some(Errno::EINVAL));
    assert_eq!(call(Request::sysctl("net.inet.carp.nonesuch", &[])), Some(Errno::ENOENT));
    assert_eq!(call(Request::sysctl("net.inet.carp.preempt", &[1, 2])), Some(Errno::EINVAL));
    assert_eq!(call(Request::sysctl("net.inet.carp.suppress_preempt", &[0; 4])), Some(Errno::EPERM));
    assert_eq!(call(addr(name("em2"), [224, 0, 0, 1])), Some(Errno::EINVAL));
}

/// Or what they do would be nobody's, for whoever watches step by step.
#[test]
fn a_system_call_gives_no_other_machine_a_turn() {
    let mut lab = Lab::new(11);
    let [a, b] = [(2, 1, 0), (3, 1, 100)].map(|(n, ncpus, skew)| lab.machine(n, ncpus, skew));
    while lab.world.step().is_some() {}
    let sysctl = || Request::sysctl("net.inet.carp.preempt", &[]);
    let waiting = lab.world.submit(b, sysctl()).unwrap();
    assert_eq!(lab.world.syscall(a, sysctl()).error, None);
    assert!(waiting.poll().is_none());
    assert_eq!(lab.world.step(), Some(b));
    assert_eq!(waiting.poll().map(|reply| reply.error), Some(None));
}
