//! IPv6, and both families at once, through the fake kernel.
#![allow(clippy::unwrap_used)]

use crate::hmac::{CarpHmac, Form};
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect::*, World, skew};
use crate::types::Key;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const GROUP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
const NET6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

/// carp0 with both families on em0, in BACKUP; advskew 100.
fn dual() -> (World, Arc<CarpSoftc>) {
    let (mut w, sc) = World::with_carp0(100);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "fe80::2/64").unwrap();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    w.effects();
    (w, sc)
}

/// carp0 with IPv6 alone.
fn inet6() -> (World, Arc<CarpSoftc>) {
    let (mut w, sc) = dual();
    w.del_addr(VIP);
    w.effects();
    (w, sc)
}

fn src6(packet: &[u8]) -> Ipv6Addr {
    <[u8; 16]>::try_from(&packet[8..24]).unwrap().into()
}

#[test]
fn an_ipv6_master_joins_advertises_announces_and_takes_the_route() {
    let (mut w, sc) = World::with_carp0(0);
    w.del_addr(VIP);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w.effects();
    w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    let joined = [Promisc("em0", true), JoinGroup("carp0", GROUP6), IfMsg("carp0", State::Backup)];
    assert_eq!(w.effects(), joined);
    assert_eq!((w.timers(&sc), w.timer6(&sc)), ((None, None), Some(3 * SEC)));
    w.kern.wire.take();
    w.pass(3 * SEC);
    let expected = [
        IfMsg("carp0", State::Master),
        Ad6("carp0", 1, 1, 0),
        Na("carp0", VIP6),
        Route6(NET6, "em0", "carp0"),
    ];
    assert_eq!(w.effects(), expected);
    let wire = w.kern.wire.take();
    let p = wire.last().unwrap();
    assert_eq!((p.len(), p[0], p[6], p[7]), (76, 0x60, 112, 255));
    assert_eq!(IpAddr::from(<[u8; 16]>::try_from(&p[24..40]).unwrap()), GROUP6);
    // No link-local address on the parent: from the backing one.
    assert_eq!(src6(p), "2001:db8::2".parse::<Ipv6Addr>().unwrap());
    let s = w.carp.own(&w.n0).stats();
    assert_eq!((s.carps_opackets, s.carps_opackets6), (0, 1));
    w.del_addr(VIP6);
    let left = [
        Ad6("carp0", 1, 255, 255),
        IfMsg("carp0", State::Init),
        LeaveGroup("carp0", GROUP6),
        Promisc("em0", false),
    ];
    assert_eq!(w.effects(), left);
    assert!(w.kern.groups.borrow().is_empty());
    assert_eq!(w.routes(), ["10.0.0.2 em0", "2001:db8::2 em0"]);
}

#[test]
fn advertisements_come_from_the_parents_link_local_address_if_it_has_one() {
    let (mut w, sc) = inet6();
    w.pass(4 * SEC);
    assert_eq!(src6(w.kern.wire.take().last().unwrap()), "fe80::2".parse::<Ipv6Addr>().unwrap());
    w.del_addr("fe80::2".parse::<IpAddr>().unwrap());
    assert_eq!(sc.state(), State::Master);
    w.pass(2 * SEC);
    assert_eq!(src6(w.kern.wire.take().last().unwrap()), "2001:db8::2".parse::<Ipv6Addr>().unwrap());
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "fe80::22/64").unwrap();
    w.pass(2 * SEC);
    assert_eq!(src6(w.kern.wire.take().last().unwrap()), "fe80::22".parse::<Ipv6Addr>().unwrap());
}

#[test]
fn each_family_has_its_timer_and_losing_one_alone_makes_no_second_master() {
    let (mut w, sc) = dual();
    let wait = 3 * SEC + skew(100);
    assert_eq!((w.timers(&sc), w.timer6(&sc)), ((None, Some(wait)), Some(wait)));
    for _ in 0..5 {
        w.pass(2 * SEC);
        w.hear6(&sc, 1, 0).unwrap();
    }
    // IPv4 has been silent for ten seconds.
    assert_eq!((sc.state(), w.effects()), (State::Backup, vec![]));
    assert_eq!((w.timers(&sc), w.timer6(&sc)), ((None, None), Some(wait)));
    // It comes back, and IPv6 falls silent.
    w.hear(&sc, 1, 0).unwrap();
    w.pass(2 * SEC);
    w.hear(&sc, 1, 0).unwrap();
    w.pass(2 * SEC);
    assert_eq!((sc.state(), w.timer6(&sc)), (State::Backup, None));
    // Now both are.
    w.pass(2 * SEC);
    assert_eq!(sc.state(), State::Master);
    let expected = [
        IfMsg("carp0", State::Master),
        Ad("carp0", 1, 1, 100),
        Ad6("carp0", 1, 1, 100),
        Arp("carp0", VIP),
        Na("carp0", VIP6),
        Route(Ipv4Addr::new(10, 0, 0, 0), "em0", "carp0"),
        Route6(NET6, "em0", "carp0"),
    ];
    assert_eq!(w.effects(), expected);
}

/// Found by the lab's model.
#[test]
fn who_configures_a_backup_in_a_loop_does_not_bring_back_the_family_that_it_lost() {
    let (mut w, sc) = dual();
    for _ in 0..3 {
        w.pass(2 * SEC);
        w.hear(&sc, 1, 0).unwrap();
    }
    assert_eq!(w.timer6(&sc), None);
    for _ in 0..4 {
        w.setvh(&sc, crate::carpreq::CarpReq { carpr_advskew: 100, ..w.keep("secret") }).unwrap();
        assert_eq!((sc.state(), w.timer6(&sc)), (State::Backup, None));
        w.pass(SEC);
    }
    assert_eq!(sc.state(), State::Master);
}

#[test]
fn a_backup_that_loses_the_addresses_of_the_family_it_heard_listens_on_in_the_other() {
    let (mut w, sc) = dual();
    for _ in 0..3 {
        w.pass(2 * SEC);
        w.hear(&sc, 1, 0).unwrap();
    }
    assert_eq!(w.timer6(&sc), None);
    w.del_addr(VIP);
    assert_eq!((sc.state(), w.timers(&sc).1), (State::Backup, None));
    assert_eq!(w.timer6(&sc), Some(3 * SEC + skew(100)));
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
}

#[test]
fn a_failure_in_one_family_is_a_failure() {
    let (mut w, sc) = dual();
    w.pass(4 * SEC);
    w.kern.output_error.set(Some(compat::sys::errno::Errno::ENETDOWN));
    w.kern.output_error_af.set(Some(compat::sys::socket::Af::Inet6));
    w.pass(5 * SEC);
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 1);
    assert_eq!(sc.state(), State::Master);
    w.kern.output_error.set(None);
    w.pass(10 * SEC);
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 0);
}

#[test]
fn what_is_wrong_with_an_ipv6_advertisement_is_counted_and_said_as_upstream_says_it() {
    let (mut w, sc) = inet6();
    let good = crate::testutil::peer_packet6(&w.ad_of_peer(&sc, 1, 0, 1)[20..]);
    let with = |at: usize, v: u8| {
        let mut p = good.clone();
        p[at] = v;
        p
    };
    let mut short = good[..75].to_vec();
    short[5] = 35;
    let mut unicast = good.clone();
    unicast[24..40].copy_from_slice(&"2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
    let hear = |w: &mut World, p: &[u8]| {
        w.kern.logged.take();
        let r = w.hear_packet6(&sc, p);
        (r.unwrap_err(), w.kern.logged.take().pop())
    };
    use crate::input::DropReason::*;
    let said = |s: &str| Some(s.to_owned());
    w.pass(SEC);
    assert_eq!(
        hear(&mut w, &with(7, 64)),
        (Ttl(64), said("carp6_proto_input: received ttl 64 != 255 on carp0"))
    );
    assert_eq!(hear(&mut w, &short), (Short(75), said("carp6_proto_input: packet size 75 too small")));
    assert_eq!(hear(&mut w, &with(60, 1)), (Cksum, said("carp6_proto_input: checksum failed, on carp0")));
    let stranger = "carp6_proto_input: non-mcast packet on interface: carp0";
    assert_eq!(hear(&mut w, &unicast), (NonMulticast, said(stranger)));
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let ip6 = compat::netinet6::ip6::Ip6::parse(&good).unwrap();
    w.pass(SEC);
    let r = w.cx(|cx| crate::input::proto_input6(cx, &em0, &ip6, &good));
    assert_eq!(r, Err(NonCarpInterface));
    let badif = "carp6_proto_input: packet received on non-carp interface: em0";
    assert_eq!(w.kern.logged.take(), [badif]);
    let s = w.carp.own(&w.n0).stats();
    assert_eq!(
        (s.carps_ipackets6, s.carps_badttl, s.carps_badlen, s.carps_badsum, s.carps_badif),
        (5, 1, 1, 1, 2)
    );
    assert_eq!(w.hear_packet6(&sc, &good), Ok(()));
}

#[test]
fn both_forms_of_the_digest_are_accepted_and_a_sysctl_chooses_the_one_that_is_sent() {
    let (mut w, sc) = inet6();
    let key = Key::new(b"secret\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let linklocal: IpAddr = "fe80::1".parse().unwrap();
    w.add(&sc.sc_if, "fe80::1/64").unwrap();
    let ours = CarpHmac::prepare(&key, 1, &[VIP6.into(), linklocal]);
    let openbsd = CarpHmac::prepare(&key, 1, &[VIP6.into()]);
    let counter = crate::header::Counter(9);
    let hmac = sc.own(&w.n0).hmac.borrow().clone();
    assert!(hmac.verify(counter, &ours.generate(counter, Form::All)));
    assert!(hmac.verify(counter, &openbsd.generate(counter, Form::All)));
    assert!(!hmac.verify(crate::header::Counter(8), &openbsd.generate(counter, Form::All)));
    w.pass(4 * SEC);
    let sent = |w: &World| {
        let wire = w.kern.wire.take();
        crate::header::CarpHeader::parse(&wire.last().unwrap()[40..]).unwrap()
    };
    let h = sent(&w);
    assert_eq!(ours.generate(h.counter, Form::All), h.md);
    w.carp.own(&w.n0).opts.digest_linklocal.set(0);
    w.pass(2 * SEC);
    let h = sent(&w);
    assert_eq!(openbsd.generate(h.counter, Form::All), h.md);
}

#[test]
fn the_digest_does_not_depend_on_the_order_in_which_addresses_were_added() {
    let addrs = ["10.0.0.1/24", "10.0.0.200/24", "10.0.0.7/24", "2001:db8::1/64", "fe80::1/64"];
    let digests: Vec<_> = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]]
        .iter()
        .map(|order| {
            let (mut w, sc) = dual();
            w.del_addr(VIP);
            w.del_addr(VIP6);
            order.iter().for_each(|i| w.add(&sc.sc_if, addrs[*i]).unwrap());
            let hmac = sc.own(&w.n0).hmac.borrow().clone();
            hmac.generate(crate::header::Counter(1), Form::All)
        })
        .collect();
    assert_eq!((digests[0], digests[0]), (digests[1], digests[2]));
}
