//! `net.inet.carp.unbacked_demotion_factor`: whom nothing backs, in part or whole.
#![allow(clippy::unwrap_used)]

use crate::demote;
use crate::softc::{CarpSoftc, State};
use crate::sysctl::OIDS;
use crate::testutil::{World, master};
use compat::net::if_::LinkState;
use compat::sys::sysctl;
use triomphe::Arc;

fn set_factor(w: &mut World, factor: i32) {
    let name = "net.inet.carp.unbacked_demotion_factor";
    w.cx(|cx| sysctl::sysctl(OIDS, cx, name, &factor.to_ne_bytes(), true)).unwrap().unwrap();
}

/// Reasons, demotion, and the skew that is advertised.
fn demotion(w: &mut World, sc: &Arc<CarpSoftc>) -> (i32, i64, u8) {
    let skew = w.cx(|cx| demote::advskew(cx, sc));
    let own = w.carp.own(&w.n0);
    (own.suppress_preempt.get(), own.demotion.get(), skew)
}

/// em0 with addresses of two prefixes, of two families; carp0 has one of each, and a
/// skew of 100.
fn dual() -> (World, Arc<CarpSoftc>) {
    let (mut w, sc) = World::with_carp0(100);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    (w, sc)
}

fn v6() -> core::net::IpAddr {
    "2001:db8::2".parse().unwrap()
}

const WELL: (i32, i64, u8) = (0, 0, 100);
const DEMOTED: (i32, i64, u8) = (1, 240, 240);

#[test]
fn an_address_that_nothing_backs_demotes_as_soon_as_and_as_long_as_that_has_a_factor() {
    let (mut w, sc) = master();
    w.add(&sc.sc_if, "10.0.1.1/24").unwrap();
    assert_eq!(demotion(&mut w, &sc), WELL, "as upstream");
    set_factor(&mut w, 240);
    assert_eq!(demotion(&mut w, &sc), DEMOTED);
    set_factor(&mut w, 20);
    assert_eq!(demotion(&mut w, &sc), (1, 20, 120));
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "10.0.1.2/24").unwrap();
    assert_eq!(demotion(&mut w, &sc), WELL);
    w.del_addr([10, 0, 1, 2]);
    assert_eq!(demotion(&mut w, &sc), (1, 20, 120));
    set_factor(&mut w, 0);
    assert_eq!(demotion(&mut w, &sc), WELL);
    set_factor(&mut w, 240);
    w.del_addr([10, 0, 1, 1]);
    assert_eq!(demotion(&mut w, &sc), WELL, "nor is it there any more");
}

#[test]
fn a_master_that_loses_what_backs_one_family_says_so_and_stays_until_somebody_is_better() {
    let (mut w, sc) = dual();
    set_factor(&mut w, 240);
    w.cx(|cx| crate::state::master_down(cx, &sc, crate::reason::Reason::MasterTimedOut));
    w.kern.wire.borrow_mut().clear();
    w.del_addr(v6());
    assert_eq!((sc.state(), demotion(&mut w, &sc)), (State::Master, DEMOTED));
    let wire = w.kern.wire.borrow().clone();
    // The header of IPv4 has 20 bytes, and the skew is the third of CARP's.
    assert!(wire.len() == 1 && wire[0][22] == 240, "{wire:?}");
    w.hear(&sc, 1, 150).unwrap();
    assert_eq!(sc.state(), State::Backup);
}

#[test]
fn who_serves_only_a_part_preempts_nobody_until_it_serves_all() {
    let (mut w, sc) = dual();
    w.carp.own(&w.n0).opts.preempt.set(1);
    for (factor, state) in [(0, State::Master), (240, State::Backup)] {
        set_factor(&mut w, factor);
        w.del_addr(v6());
        // As at the machine's start.
        w.down(&sc);
        assert_eq!(demotion(&mut w, &sc), WELL, "who is down misses nothing");
        w.up(&sc);
        assert_eq!(sc.state(), state, "{factor}");
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.add(&em0, "2001:db8::2/64").unwrap();
        assert_eq!((sc.state(), demotion(&mut w, &sc)), (State::Master, WELL), "{factor}");
    }
}

#[test]
fn a_parent_that_is_down_or_without_a_link_is_one_reason_and_not_two() {
    let (mut w, sc) = dual();
    set_factor(&mut w, 240);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, false);
    assert_eq!(demotion(&mut w, &sc), DEMOTED, "interface down");
    w.set_up(&em0, true);
    assert_eq!(demotion(&mut w, &sc), WELL);
    w.del_addr(v6());
    em0.set_link_state(&w.n0, LinkState::Down);
    w.cx(|cx| crate::ifaddr::carpdev_state(cx, &em0));
    assert_eq!(demotion(&mut w, &sc), DEMOTED, "no link");
    em0.set_link_state(&w.n0, LinkState::Up);
    w.cx(|cx| crate::ifaddr::carpdev_state(cx, &em0));
    assert_eq!(demotion(&mut w, &sc), DEMOTED, "no address of a family");
    w.del_addr([10, 0, 0, 2]);
    assert_eq!((sc.state(), demotion(&mut w, &sc)), (State::Init, DEMOTED), "no address");
    w.cx(|cx| crate::clone::destroy(cx, &sc));
    assert_eq!(demotion(&mut w, &sc), WELL);
}

#[test]
fn a_parent_that_was_chosen_by_name_backs_all() {
    let (mut w, sc) = dual();
    set_factor(&mut w, 240);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.kern.logged.borrow_mut().clear();
    w.cx(|cx| crate::ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    let logged = w.kern.logged.take();
    assert!(!logged.iter().any(|line| line.contains("demoted")), "{logged:?}");
    w.del_addr(v6());
    w.del_addr([10, 0, 0, 2]);
    assert_eq!(demotion(&mut w, &sc), WELL);
    w.cx(|cx| crate::ifaddr::set_carpdev(cx, &sc, None)).unwrap();
    assert_eq!((sc.state(), demotion(&mut w, &sc)), (State::Init, DEMOTED));
}
