//! A parent chosen by name, unicast peers, balancing.
#![allow(clippy::unwrap_used)]

use crate::carpreq::{CarpPeers, CarpReq};
use crate::hmac;
use crate::input::{self, Claim, DropReason};
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect::*, World, master, peer_packet};
use crate::types::Key;
use crate::{Ifnet, ifaddr, ioctl, output};
use compat::net::ethernet::EtherHeader;
use compat::net::if_::Iff;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::errno::Errno;
use core::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

fn set_carpdev(w: &mut World, sc: &Arc<CarpSoftc>, ifp: Option<&Arc<Ifnet>>) -> Result<(), Errno> {
    w.cx(|cx| ifaddr::set_carpdev(cx, sc, ifp))
}

/// carp0 with vhid 1 and 10.0.0.1/24, bound to an em0 that has no address.
fn bound() -> (World, Arc<CarpSoftc>, Arc<Ifnet>) {
    let mut w = World::new();
    let em0 = w.ether("em0");
    let sc = w.carp_if("carp0");
    set_carpdev(&mut w, &sc, Some(&em0)).unwrap();
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    (w, sc, em0)
}

#[test]
fn a_parent_chosen_by_name_needs_no_address() {
    let (mut w, sc, em0) = bound();
    assert!(sc.carpdev(&w.n0).is_some_and(|p| Arc::ptr_eq(p, &em0)));
    w.pass(3 * SEC);
    assert_eq!(sc.state(), State::Master);
    assert_eq!(w.kern.wire.borrow().last().unwrap()[12..16], [0, 0, 0, 0]);
    // Its first address is the source from then on, without a transition.
    w.effects();
    w.add_addr(&em0, [192, 168, 7, 2]).unwrap();
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
    w.pass(SEC);
    assert_eq!(w.kern.wire.borrow().last().unwrap()[12..16], [192, 168, 7, 2]);
    w.del_addr([192, 168, 7, 2]);
    w.pass(4 * SEC);
    assert_eq!(
        (sc.state(), &w.kern.wire.borrow().last().unwrap()[12..16]),
        (State::Master, &[0, 0, 0, 0][..])
    );
}

#[test]
fn a_parent_chosen_by_name_without_an_address_goes_down_and_up() {
    let (mut w, sc, em0) = bound();
    w.pass(3 * SEC);
    w.effects();
    w.set_up(&em0, false);
    assert_eq!((sc.state(), sc.carpdev(&w.n0).is_none()), (State::Init, true));
    assert_eq!(w.effects().first(), Some(&Ad("carp0", 1, 255, 255)));
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 1);
    w.set_up(&em0, true);
    assert_eq!((sc.state(), w.carp.own(&w.n0).suppress_preempt.get()), (State::Backup, 0));
}

#[test]
fn a_parent_chosen_by_name_that_is_down_is_a_reason_and_one_that_leaves_is_none() {
    let mut w = World::new();
    let em0 = w.ether("em0");
    em0.clear_flags(&w.n0, Iff::UP);
    let sc = w.carp_if("carp0");
    set_carpdev(&mut w, &sc, Some(&em0)).unwrap();
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    assert_eq!((sc.state(), w.carp.own(&w.n0).suppress_preempt.get()), (State::Init, 1));
    w.cx(|cx| crate::clone::ifdetach(cx, &em0));
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 0);
    assert!(sc.own(&w.n0).bound.borrow().is_none());
}

#[test]
fn a_parent_chosen_by_name_is_kept_where_addresses_would_choose_another() {
    let (mut w, sc) = World::with_carp0(0);
    let em1 = w.ether("em1");
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    set_carpdev(&mut w, &sc, Some(&em1)).unwrap();
    assert!(sc.carpdev(&w.n0).is_some_and(|p| Arc::ptr_eq(p, &em1)));
    assert_eq!((em0.own(&w.n0).if_pcount.get(), em1.own(&w.n0).if_pcount.get()), (0, 1));
    w.add_addr(&em0, [10, 0, 0, 3]).unwrap();
    assert!(sc.carpdev(&w.n0).is_some_and(|p| Arc::ptr_eq(p, &em1)));
    set_carpdev(&mut w, &sc, None).unwrap();
    assert!(sc.carpdev(&w.n0).is_some_and(|p| Arc::ptr_eq(p, &em0)));
    w.effects();
    set_carpdev(&mut w, &sc, None).unwrap();
    assert_eq!(w.effects(), [], "as it was");
    // What cannot be: another carp interface, and a vhid that is taken there.
    assert_eq!(set_carpdev(&mut w, &sc, Some(&sc.sc_if.clone())), Err(Errno::EINVAL));
    let sc1 = w.carp_if("carp1");
    w.setvh(&sc1, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    assert_eq!(set_carpdev(&mut w, &sc1, Some(&em0)), Err(Errno::EEXIST));
    assert!(sc1.own(&w.n0).bound.borrow().is_none());
}

fn peers(a: Option<[u8; 4]>, a6: Option<&str>) -> CarpPeers {
    CarpPeers {
        carpp_vhid: 0,
        carpp_addr: a.map_or_else(Default::default, |a| SockAddrIn::new(a.into())),
        carpp_addr6: a6.map_or_else(Default::default, |a| SockAddrIn6::new(a.parse().unwrap(), 0)),
    }
}

fn setpeers(w: &mut World, sc: &Arc<CarpSoftc>, p: CarpPeers) -> Result<(), Errno> {
    w.cx(|cx| ioctl::setpeers(cx, sc, &p))
}

#[test]
fn a_peer_alone_is_told_and_reconfiguring_anything_else_keeps_it() {
    let (mut w, sc) = master();
    setpeers(&mut w, &sc, peers(Some([10, 0, 0, 3]), None)).unwrap();
    // Those who are left without word are told.
    let changed = [
        Ad("carp0", 1, 255, 255),
        IfMsg("carp0", State::Init),
        Leave("carp0"),
        IfMsg("carp0", State::Backup),
    ];
    let effects: Vec<_> = w.effects().into_iter().filter(|e| !matches!(e, Route(..))).collect();
    assert_eq!(effects, changed);
    assert!(sc.is_unicast());
    w.setvh(&sc, CarpReq { carpr_advskew: 1, ..w.keep("other") }).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap();
    w.down(&sc);
    w.up(&sc);
    w.pass(5 * SEC);
    assert_eq!(
        (sc.state(), &w.kern.wire.borrow().last().unwrap()[16..20]),
        (State::Master, &[10, 0, 0, 3][..])
    );
    assert_eq!(w.cx(|cx| ioctl::getpeers(cx, &sc)).carpp_addr.addr(), Ipv4Addr::new(10, 0, 0, 3));
    assert!(!w.effects().contains(&Join("carp0")), "no group where there is a peer");
    // `mcast` goes back to the group.
    setpeers(&mut w, &sc, peers(Some([0, 0, 0, 0]), None)).unwrap();
    assert!(!sc.is_unicast());
    assert!(w.effects().contains(&Join("carp0")));
}

#[test]
fn who_has_a_peer_hears_whoever_knows_the_password_at_its_parents_address_and_in_the_group() {
    let heard = |peer: [u8; 4], dst: [u8; 4]| {
        let (mut w, sc) = master();
        setpeers(&mut w, &sc, peers(Some(peer), None)).unwrap();
        w.pass(4 * SEC);
        assert_eq!(sc.state(), State::Master);
        // From 10.0.0.3.
        let packet = peer_packet(&w.ad_of_peer(&sc, 1, 0, 5)[20..], 255, dst);
        let r = w.hear_packet(&sc, &packet);
        assert_eq!(sc.state() == State::Backup, r.is_ok(), "{peer:?} {dst:?}");
        r
    };
    assert_eq!(heard([10, 0, 0, 3], [10, 0, 0, 2]), Ok(()));
    assert_eq!(heard([10, 0, 0, 77], [10, 0, 0, 2]), Ok(()), "not from the peer");
    assert_eq!(heard([10, 0, 0, 3], [224, 0, 0, 18]), Ok(()), "to the group");
    assert_eq!(heard([10, 0, 0, 3], [10, 0, 0, 77]), Err(DropReason::NonMulticast), "to somebody else");
}

#[test]
fn a_vhid_is_taken_by_whoever_is_bound_to_the_parent_though_that_is_down() {
    let mut w = World::new();
    let em0 = w.ether("em0");
    em0.clear_flags(&w.n0, Iff::UP);
    let (sc, sc1) = (w.carp_if("carp0"), w.carp_if("carp1"));
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    set_carpdev(&mut w, &sc, Some(&em0)).unwrap();
    // First bound, or first with the vhid: neither can have it.
    set_carpdev(&mut w, &sc1, Some(&em0)).unwrap();
    let clash = CarpReq { carpr_vhid: 1, ..w.keep("secret") };
    assert_eq!(w.setvh(&sc1, clash), Err(Errno::EEXIST));
    set_carpdev(&mut w, &sc1, None).unwrap();
    w.setvh(&sc1, clash).unwrap();
    assert_eq!(set_carpdev(&mut w, &sc1, Some(&em0)), Err(Errno::EEXIST));
    // Up, but carp0 has no address yet: an address does not get round it.
    w.set_up(&em0, true);
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    assert_eq!(w.add_addr(&sc1.sc_if, [10, 0, 0, 9]), Err(Errno::EEXIST));
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    assert!(sc.carpdev(&w.n0).is_some() && sc1.carpdev(&w.n0).is_none());
}

#[test]
fn an_address_that_finds_its_vhid_taken_when_its_parent_comes_up_says_so() {
    let (mut w, sc) = World::with_carp0(0);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, false);
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    set_carpdev(&mut w, &sc1, Some(&em0)).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 0, 9]).unwrap();
    w.kern.logged.take();
    w.set_up(&em0, true);
    assert_eq!((sc.state(), sc1.state()), (State::Init, State::Backup));
    let said = w.kern.logged.take();
    assert!(said.contains(&"carp0: 10.0.0.1 stays inactive on em0: File exists".into()), "{said:?}");
    // Unbound, carp0 would have it; bound again by address, carp1 finds it taken.
    let em1 = w.ether("em1");
    set_carpdev(&mut w, &sc1, Some(&em1)).unwrap();
    w.set_up(&em0, false);
    w.set_up(&em0, true);
    assert_eq!(sc.state(), State::Backup);
    w.kern.logged.take();
    set_carpdev(&mut w, &sc1, None).unwrap();
    assert_eq!(w.kern.logged.take(), ["carp1: 10.0.0.9 stays inactive: File exists"]);
    assert_eq!((sc.state(), sc1.state()), (State::Backup, State::Init));
}

#[test]
fn a_parent_that_comes_up_gets_all_addresses_of_both_families_before_the_election() {
    for preempt in [0, 1] {
        let (mut w, sc) = World::with_carp0(0);
        w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap();
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.add(&em0, "2001:db8::2/64").unwrap();
        w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
        w.carp.own(&w.n0).opts.preempt.set(preempt);
        w.set_up(&em0, false);
        w.effects();
        w.set_up(&em0, true);
        let all = w.effects();
        let transitions: Vec<_> = all.iter().filter(|e| matches!(e, IfMsg(..))).collect();
        let ads = all.iter().filter(|e| matches!(e, Ad(..) | Ad6(..))).count();
        let state = if preempt == 1 { State::Master } else { State::Backup };
        assert_eq!((sc.state(), transitions), (state, vec![&IfMsg("carp0", state)]));
        assert_eq!((ads, sc.own(&w.n0).naddrs()), (if preempt == 1 { 2 } else { 0 }, 3));
    }
}

#[test]
fn carp_interfaces_whose_parent_comes_up_do_not_suppress_each_other() {
    let (mut w, sc) = World::with_carp0(0);
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 0, 9]).unwrap();
    w.carp.own(&w.n0).opts.preempt.set(1);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, false);
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 2);
    w.set_up(&em0, true);
    assert_eq!((sc.state(), sc1.state()), (State::Master, State::Master));
}

#[test]
fn a_peers_frame_to_the_parents_mac_is_claimed_for_its_vhid_only_where_there_is_a_peer() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let eh = EtherHeader { dhost: em0.lladdr(), shost: [2; 6], ether_type: 0x800 };
    let packet = peer_packet(&w.ad_of_peer(&sc, 1, 0, 5)[20..], 255, [10, 0, 0, 2]);
    let frame = eh.frame(&packet);
    let claimed = |w: &World| {
        let cif = em0.if_carp.load(&w.n0).unwrap();
        matches!(input::input(cif, &eh, &frame), Claim::Advertisement(_))
    };
    assert!(!claimed(&w));
    setpeers(&mut w, &sc, peers(Some([10, 0, 0, 3]), None)).unwrap();
    assert!(claimed(&w));
}

#[test]
fn what_is_no_peer_is_refused_and_changes_nothing() {
    let (mut w, sc) = master();
    let bad_family = CarpPeers {
        carpp_addr: SockAddrIn { sin_family: 28, ..SockAddrIn::new([10, 0, 0, 3].into()) },
        ..Default::default()
    };
    let cases = [
        (peers(None, None), Errno::EINVAL),
        (peers(Some([127, 0, 0, 1]), None), Errno::EINVAL),
        (peers(Some([255; 4]), None), Errno::EINVAL),
        (peers(Some([10, 0, 0, 3]), Some("::1")), Errno::EINVAL),
        (bad_family, Errno::EAFNOSUPPORT),
    ];
    for (p, e) in cases {
        assert_eq!(setpeers(&mut w, &sc, p), Err(e), "{p:?}");
    }
    // What is there already is no transition.
    setpeers(&mut w, &sc, peers(Some([224, 0, 0, 18]), Some("ff02::12"))).unwrap();
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
}

/// carp0 and carp1, vhids 1 and 2, with one address.
fn balanced() -> (World, [Arc<CarpSoftc>; 2]) {
    let (mut w, sc) = World::with_carp0(0);
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 0, 1]).unwrap();
    w.carp.own(&w.n0).opts.arpbalance.set(1);
    (w, [sc, sc1])
}

#[test]
fn a_balanced_address_is_answered_by_the_vhid_that_the_source_hashes_to_if_it_is_master_here() {
    let (mut w, both) = balanced();
    let target = IpAddr::from([10, 0, 0, 1]);
    let clients = || (10..=250).map(|n| IpAddr::from([10, 0, 0, n]));
    let answers = |w: &mut World, c| {
        w.cx(|cx| output::iamatch(cx, &both, target, c).map(|sc| sc.sc_if.if_xname.as_str().to_owned()))
    };
    assert!(clients().all(|c| answers(&mut w, c).is_none()), "a BACKUP answers nobody");
    w.pass(4 * SEC);
    let of =
        |w: &mut World, name: &str| clients().filter(|c| answers(w, *c).as_deref() == Some(name)).count();
    let (a, b) = (of(&mut w, "carp0"), of(&mut w, "carp1"));
    assert_eq!(a + b, clients().count());
    assert!(a.abs_diff(b) < 60, "{a} and {b}");
    // One of them elsewhere: its clients are not taken, those that stay stay.
    let before: Vec<_> = clients().filter(|c| answers(&mut w, *c).as_deref() == Some("carp1")).collect();
    w.down(&both[0]);
    let after: Vec<_> = clients().filter(|c| answers(&mut w, *c).is_some()).collect();
    assert_eq!(before, after);
    // Without balancing whoever is MASTER answers all.
    w.carp.own(&w.n0).opts.arpbalance.set(0);
    assert!(clients().all(|c| answers(&mut w, c).as_deref() == Some("carp1")));
}

#[test]
fn a_balanced_address_is_not_announced_and_others_are() {
    let (mut w, both) = balanced();
    w.add_addr(&both[0].sc_if, [10, 0, 0, 8]).unwrap();
    w.effects();
    w.pass(4 * SEC);
    let arps: Vec<_> = w.effects().into_iter().filter(|e| matches!(e, Arp(..))).collect();
    assert_eq!(arps, [Arp("carp0", Ipv4Addr::new(10, 0, 0, 8))]);
}

#[test]
fn the_hash_that_balances_depends_on_key_target_and_source() {
    let key = |k: &[u8]| {
        let mut raw = [0; 20];
        raw[..k.len()].copy_from_slice(k);
        Key::new(&raw)
    };
    let (t, sources) = (IpAddr::from([10, 0, 0, 1]), 0..=255u8);
    let picks = |k: &[u8], t: IpAddr| -> Vec<usize> {
        sources.clone().map(|n| hmac::balance(&key(k), t, [10, 0, 1, n].into(), 3)).collect()
    };
    let base = picks(b"secret", t);
    assert_eq!(base, picks(b"secret", t));
    assert!(base != picks(b"other", t) && base != picks(b"secret", [10, 0, 0, 2].into()));
    assert!((0..3).all(|i| base.iter().filter(|p| **p == i).count() > 50));
    assert_eq!(hmac::balance(&key(b"x"), t, t, 0), 0);
}

#[test]
fn a_master_answers_only_for_addresses_that_are_active() {
    let (mut w, sc) = master();
    // Of no parent's prefix.
    w.add_addr(&sc.sc_if, [192, 168, 1, 1]).unwrap();
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
    let holders = [sc];
    let mut answers = |target: [u8; 4]| {
        w.cx(|cx| output::iamatch(cx, &holders, target.into(), [10, 0, 0, 9].into()).is_some())
    };
    assert!(answers([10, 0, 0, 1]));
    assert!(!answers([192, 168, 1, 1]));
}
