//! Addresses that come, go and change, on carp interfaces and elsewhere.
#![allow(clippy::unwrap_used)]

use crate::carpreq::CarpReq;
use crate::ifaddr;
use crate::input::{self, Claim};
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect::*, World, master, peer_packet6};
use compat::net::ethernet::{ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_::Iff;
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

fn change(w: &mut World, addr: [u8; 4], len: u8) {
    let ia = w.ia(addr);
    w.change(&ia, len).unwrap();
}

fn parent_of(w: &World, sc: &Arc<CarpSoftc>) -> Option<String> {
    sc.carpdev(&w.n0).map(|p| p.if_xname.as_str().to_owned())
}

#[test]
fn a_backing_address_that_changes_its_prefix_lets_go_and_takes_again() {
    let (mut w, sc) = master();
    change(&mut w, [10, 0, 0, 2], 25);
    assert_eq!((sc.state(), parent_of(&w, &sc)), (State::Init, None));
    // A MASTER said good-bye first.
    assert_eq!(w.effects().first(), Some(&Ad("carp0", 1, 255, 255)));
    change(&mut w, [10, 0, 0, 2], 24);
    assert_eq!((sc.state(), parent_of(&w, &sc)), (State::Backup, Some("em0".into())));
}

#[test]
fn a_virtual_address_that_loses_its_last_match_moves_to_another_parent() {
    let (mut w, sc) = master();
    let em1 = w.ether("em1");
    w.add_addr(&em1, [10, 0, 0, 3]).unwrap();
    assert_eq!(parent_of(&w, &sc), Some("em0".into()));
    w.effects();
    w.del_addr([10, 0, 0, 2]);
    assert_eq!((sc.state(), parent_of(&w, &sc)), (State::Backup, Some("em1".into())));
    let effects = w.effects();
    assert_eq!(effects.first(), Some(&Ad("carp0", 1, 255, 255)));
    assert!(effects.contains(&Promisc("em0", false)) && effects.contains(&Promisc("em1", true)));
    // The same by a change of mask.
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 4]).unwrap();
    change(&mut w, [10, 0, 0, 3], 16);
    assert_eq!(parent_of(&w, &sc), Some("em0".into()));
}

#[test]
fn the_choice_prefers_the_present_parent_then_the_holder_of_the_route_then_the_oldest() {
    let mut w = World::new();
    let (em0, em1) = (w.ether("em0"), w.ether("em1"));
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    w.add_addr(&em1, [10, 0, 0, 3]).unwrap();
    let sc = w.carp_if("carp0");
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    // em1 holds the route, em0 is older.
    w.ia([10, 0, 0, 2]).set_route(&w.n0, false);
    w.ia([10, 0, 0, 3]).set_route(&w.n0, true);
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    assert_eq!(parent_of(&w, &sc), Some("em1".into()));
    // The present parent comes before the holder of the route.
    w.ia([10, 0, 0, 2]).set_route(&w.n0, true);
    w.ia([10, 0, 0, 3]).set_route(&w.n0, false);
    w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap();
    assert_eq!(parent_of(&w, &sc), Some("em1".into()));
    assert_eq!(sc.own(&w.n0).naddrs(), 2);
    // Without either the oldest.
    w.del_addr([10, 0, 0, 1]);
    w.del_addr([10, 0, 0, 9]);
    w.ia([10, 0, 0, 2]).set_route(&w.n0, false);
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    assert_eq!(parent_of(&w, &sc), Some("em0".into()));
}

#[test]
fn an_interface_that_cannot_multicast_or_is_down_backs_nothing() {
    let mut w = World::new();
    let (em0, em1) = (w.ether("em0"), w.ether("em1"));
    em0.clear_flags(&w.n0, Iff::MULTICAST);
    em1.clear_flags(&w.n0, Iff::UP);
    let sc = w.carp_if("carp0");
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    assert_eq!(parent_of(&w, &sc), None);
    w.add_addr(&em1, [10, 0, 0, 3]).unwrap();
    w.del_addr([10, 0, 0, 1]);
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    assert_eq!((parent_of(&w, &sc), sc.state()), (None, State::Init));
}

#[test]
fn an_event_of_an_inactive_carp_interface_finds_its_place() {
    let (mut w, sc) = World::with_carp0(0);
    w.del_addr([10, 0, 0, 2]);
    assert_eq!(parent_of(&w, &sc), None);
    let em1 = w.ether("em1");
    w.add_addr(&em1, [10, 0, 1, 3]).unwrap();
    assert_eq!(parent_of(&w, &sc), None);
    // It widens to the virtual address's prefix: no match, /16 is not /24.
    change(&mut w, [10, 0, 1, 3], 16);
    assert_eq!(parent_of(&w, &sc), None);
    change(&mut w, [10, 0, 0, 1], 16);
    assert_eq!((parent_of(&w, &sc), sc.state()), (Some("em1".into()), State::Backup));
    // One without a parent sees a change elsewhere.
    change(&mut w, [10, 0, 0, 1], 24);
    assert_eq!(parent_of(&w, &sc), None);
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 77]).unwrap();
    change(&mut w, [10, 0, 0, 77], 25);
    assert_eq!(parent_of(&w, &sc), None);
    change(&mut w, [10, 0, 0, 77], 24);
    assert_eq!(parent_of(&w, &sc), Some("em0".into()));
}

#[test]
fn an_address_whose_vhid_is_taken_stays_inactive_and_says_so() {
    let (mut w, _) = World::with_carp0(0);
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 7, 1]).unwrap();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.kern.logged.take();
    w.add_addr(&em0, [10, 0, 7, 2]).unwrap();
    assert_eq!(w.kern.logged.take(), ["carp1: 10.0.7.1 stays inactive on em0: File exists"]);
    assert_eq!((parent_of(&w, &sc1), sc1.state()), (None, State::Init));
}

#[test]
fn an_address_that_nothing_backs_is_told_of_as_it_is_configured() {
    let (mut w, _) = World::with_carp0(0);
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.kern.logged.take();
    w.add_addr(&sc1.sc_if, [10, 9, 0, 77]).unwrap();
    let told = "carp1: nothing backs 10.9.0.77/24: no interface that is up has an address of 10.9.0.0/24";
    assert_eq!(w.kern.logged.take(), [told]);
    change(&mut w, [10, 9, 0, 77], 8);
    let told = "carp1: nothing backs 10.9.0.77/8: no interface that is up has an address of 10.0.0.0/8";
    assert_eq!(w.kern.logged.take(), [told]);
    // What comes and goes elsewhere is no reason to say it again.
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add_addr(&em0, [10, 9, 0, 11]).unwrap();
    w.del_addr([10, 9, 0, 11]);
    assert_eq!(w.kern.logged.take(), [""; 0]);
    w.add_addr(&sc1.sc_if, [10, 0, 0, 78]).unwrap();
    assert_eq!(w.kern.logged.take(), [""; 0], "em0 backs it");
}

#[test]
fn a_bound_interface_takes_an_address_of_its_parent_for_its_inactive_ones() {
    let mut w = World::new();
    let (em0, em1) = (w.ether("em0"), w.ether("em1"));
    em0.clear_flags(&w.n0, Iff::UP);
    let sc = w.carp_if("carp0");
    w.cx(|cx| ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    w.add_addr(&em1, [10, 0, 0, 3]).unwrap();
    assert_eq!(parent_of(&w, &sc), None, "another interface's address is none of its business");
    em0.set_flags(&w.n0, Iff::UP);
    w.add_addr(&em0, [192, 168, 9, 2]).unwrap();
    assert_eq!((parent_of(&w, &sc), sc.state()), (Some("em0".into()), State::Backup));
    change(&mut w, [192, 168, 9, 2], 16);
    assert_eq!((parent_of(&w, &sc), sc.state()), (Some("em0".into()), State::Backup));
}

#[test]
fn a_parent_that_comes_up_is_missed_no_more_whoever_it_backs() {
    let (mut w, sc) = World::with_carp0(0);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let ia = w.ia([10, 0, 0, 2]);
    w.set_up(&em0, false);
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 1);
    // It lost the address meanwhile: it backs nothing any more.
    w.kern.ifaddrs.borrow_mut().retain(|i| !Arc::ptr_eq(i, &ia));
    w.set_up(&em0, true);
    assert_eq!((w.carp.own(&w.n0).suppress_preempt.get(), sc.state()), (0, State::Init));
}

#[test]
fn a_master_leaves_for_the_change_of_an_address_that_backs_it_and_for_no_other() {
    let (mut w, sc) = World::with_carp0(0);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add_addr(&em0, [10, 0, 5, 2]).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 5, 1]).unwrap();
    w.add_addr(&em0, [10, 0, 9, 9]).unwrap();
    w.pass(4 * SEC);
    w.effects();
    change(&mut w, [10, 0, 9, 9], 16);
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
    // One of two: the other goes on, but the digest's addresses start anew.
    change(&mut w, [10, 0, 5, 2], 16);
    assert_eq!(w.effects().first(), Some(&Ad("carp0", 1, 255, 255)));
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs()), (State::Backup, 1));
}

#[test]
fn an_address_that_only_another_parent_could_back_stays_inactive_without_an_error() {
    let (mut w, sc) = master();
    let em1 = w.ether("em1");
    w.add_addr(&em1, [10, 0, 5, 2]).unwrap();
    assert_eq!(w.add_addr(&sc.sc_if, [10, 0, 5, 1]), Ok(()));
    assert_eq!((sc.own(&w.n0).naddrs(), parent_of(&w, &sc)), (1, Some("em0".into())));
}

#[test]
fn an_address_that_only_another_parent_could_back_is_told_with_that_and_the_parent() {
    let (mut w, sc) = master();
    let em1 = w.ether("em1");
    w.add_addr(&em1, [10, 0, 5, 2]).unwrap();
    w.kern.logged.take();
    w.add_addr(&sc.sc_if, [10, 0, 5, 1]).unwrap();
    let told = "carp0: nothing backs 10.0.5.1/24 on its parent em0: em1 has 10.0.5.2/24, and a carp \
                interface has one parent";
    assert_eq!(w.kern.logged.take(), [told]);
    // The same when both look for another parent than they had.
    w.cx(|cx| ifaddr::set_carpdev(cx, &sc, Some(&em1))).unwrap();
    w.kern.logged.take();
    w.cx(|cx| ifaddr::set_carpdev(cx, &sc, None)).unwrap();
    assert_eq!(w.kern.logged.take(), [told]);
    assert_eq!((sc.own(&w.n0).naddrs(), parent_of(&w, &sc)), (1, Some("em0".into())));
}

#[test]
fn ipv4_frames_find_their_softc_by_vhid_behind_options_too() {
    let (w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let group = EtherHeader { dhost: [1, 0, 0x5e, 0, 0, 0x12], shost: [2; 6], ether_type: 0x800 };
    let claimed = |packet: &[u8]| {
        let frame = group.frame(packet);
        matches!(input::input(em0.if_carp.load(&w.n0).unwrap(), &group, &frame), Claim::Advertisement(_))
    };
    let ad = w.ad_of_peer(&sc, 1, 0, 5);
    assert!(claimed(&ad));
    let mut with_options = ad.clone();
    with_options[0] = 0x46;
    // Where the vhid would be without them.
    with_options.splice(20..20, [1, 9, 1, 0]);
    assert!(claimed(&with_options));
    with_options[25] = 9;
    assert!(!claimed(&with_options));
    let mut udp = ad;
    udp[9] = 17;
    assert!(!claimed(&udp));
}

#[test]
fn ipv6_frames_find_their_softc_by_vhid() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let group = EtherHeader { dhost: [0x33, 0x33, 0, 0, 0, 0x12], shost: [2; 6], ether_type: ETHERTYPE_IPV6 };
    let ad = peer_packet6(&w.ad_of_peer(&sc, 1, 0, 5)[20..]);
    let claim = |w: &World, eh: &EtherHeader, packet: &[u8]| match input::input(
        em0.if_carp.load(&w.n0).unwrap(),
        eh,
        &eh.frame(packet),
    ) {
        Claim::ToCarp(_) => "to carp",
        Claim::Advertisement(_) => "advertisement",
        Claim::OtherVhid => "other vhid",
        Claim::NotCarp => "not carp",
    };
    assert_eq!(claim(&w, &group, &ad), "advertisement");
    let mut other = ad.clone();
    other[41] = 9;
    assert_eq!(claim(&w, &group, &other), "other vhid");
    assert_eq!(claim(&w, &group, &ad[..41]), "advertisement", "one too short is the first's to count");
    let mut udp = ad.clone();
    udp[6] = 17;
    assert_eq!(claim(&w, &group, &udp), "not carp");
    assert_eq!(claim(&w, &group, &[]), "not carp");
    let virtual_mac = EtherHeader { dhost: [0, 0, 0x5e, 0, 1, 1], ..group };
    assert_eq!(claim(&w, &virtual_mac, &ad), "to carp");
    sc.sc_if.clear_flags(&w.n0, Iff::UP);
    assert_eq!(claim(&w, &group, &ad), "other vhid", "an interface that is down hears nothing");
    w.pass(SEC);
}

#[test]
fn an_interface_without_a_vhid_hears_nothing_and_one_in_init_changes_nothing() {
    let (mut w, sc) = World::with_carp0(0);
    let packet = w.ad_of_peer(&sc, 1, 0, 5);
    w.kern.logged.take();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    em0.set_link_state(&w.n0, compat::net::if_::LinkState::Down);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
    w.effects();
    assert_eq!((sc.state(), w.hear_packet(&sc, &packet)), (State::Init, Ok(())));
    assert_eq!((sc.state(), w.effects(), w.timers(&sc)), (State::Init, vec![], (None, None)));
    let req = CarpReq { carpr_vhid: crate::carpreq::CARPR_VHID_CLEAR, ..w.keep("secret") };
    w.setvh(&sc, req).unwrap();
    w.kern.logged.take();
    assert_eq!(w.hear_packet(&sc, &packet), Err(input::DropReason::Vhid));
    assert_eq!(w.kern.logged.take(), [""; 0], "another vhid is nothing to complain about");
}
