//! Suppression, demotion, groups: every reason ends with its cause.
#![allow(clippy::unwrap_used)]

use crate::carpreq::CarpReq;
use crate::clone;
use crate::demote;
use crate::ifaddr;
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State};
use crate::state;
use crate::testutil::{Effect::*, World, master, skew};
use compat::net::if_::{IfName, LinkState};
use compat::net::if_var::IfgGroup;
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

fn demotion(w: &World) -> (i32, i64) {
    let own = w.carp.own(&w.n0);
    (own.suppress_preempt.get(), own.demotion.get())
}

fn demote(w: &mut World, adj: i32) {
    w.cx(|cx| demote::demote_adj(cx, adj, "sysctl"));
}

fn skew_of(w: &mut World, sc: &Arc<CarpSoftc>) -> u8 {
    w.cx(|cx| demote::advskew(cx, sc))
}

fn em0_down(w: &mut World) {
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, false);
}

fn em0_up(w: &mut World) {
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, true);
}

#[test]
fn demotion_however_large_or_negative_stays_within_the_range_of_a_skew() {
    let (mut w, sc) = master();
    for (adj, expected) in [(50, 150), (100, 240), (i32::MAX, 240), (i32::MAX, 240), (-50, 240)] {
        demote(&mut w, adj);
        assert_eq!(skew_of(&mut w, &sc), expected, "after {adj}");
    }
    for adj in [-i32::MAX, -i32::MAX, -100] {
        demote(&mut w, adj);
    }
    assert_eq!((demotion(&w).1, skew_of(&mut w, &sc)), (0, 100));
    demote(&mut w, -30);
    assert_eq!(skew_of(&mut w, &sc), 70);
    demote(&mut w, i32::MIN);
    assert_eq!((skew_of(&mut w, &sc), sc.state()), (0, State::Master));
    sc.own(&w.n0).advskew.set(250);
    demote(&mut w, i32::MAX);
    demote(&mut w, 1000);
    assert_eq!(skew_of(&mut w, &sc), 250);
}

#[test]
fn a_master_says_at_once_that_its_skew_has_changed_and_only_then() {
    let (mut w, _) = master();
    demote(&mut w, 500);
    assert_eq!(w.effects(), [Ad("carp0", 1, 1, 240)]);
    demote(&mut w, 500);
    assert_eq!(w.effects(), []);
    demote(&mut w, -1000);
    assert_eq!(w.effects(), [Ad("carp0", 1, 1, 100)]);
    demote(&mut w, 0);
    assert_eq!(w.effects(), []);
    let log = w.kern.logged.take();
    assert_eq!(log.first().map(String::as_str), Some("carp: demoted by 500 to 500 (sysctl)"));
}

#[test]
fn a_group_that_is_demoted_demotes_its_members_only() {
    let (mut w, sc) = master();
    let name = |s| IfName::new(s).unwrap();
    let (dmz, all) =
        (Arc::new(IfgGroup::new(&w.brand, name("dmz"))), Arc::new(IfgGroup::new(&w.brand, name("all"))));
    sc.sc_if.own(&w.n0).if_groups.borrow_mut().extend([all.clone(), dmz.clone()]);
    w.cx(|cx| demote::group_demote_adj(cx, "ifconfig", &all, 1)).unwrap();
    assert_eq!((skew_of(&mut w, &sc), w.effects()), (100, vec![]));
    w.cx(|cx| demote::group_demote_adj(cx, "ifconfig", &dmz, 1)).unwrap();
    assert_eq!(w.effects(), [Ad("carp0", 1, 1, 240)]);
    assert!(w.cx(|cx| demote::suppressed(cx, &sc)));
    assert_eq!(w.kern.logged.take().last().map(String::as_str), Some("ifconfig demoted group dmz to 1"));
    let other = w.carp_if("carp1");
    assert_eq!(skew_of(&mut w, &other), 0);
    for (adj, r) in
        [(-2, Err(Errno::EINVAL)), (255, Err(Errno::EINVAL)), (i32::MAX, Err(Errno::EINVAL)), (-1, Ok(()))]
    {
        assert_eq!(w.cx(|cx| demote::group_demote_adj(cx, "ifconfig", &dmz, adj)), r, "{adj}");
    }
    assert_eq!((w.effects(), dmz.carp_demoted(&w.n0).get()), (vec![Ad("carp0", 1, 1, 100)], 0));
}

#[test]
fn a_parent_that_is_down_is_a_reason_until_it_is_up_whatever_happens_meanwhile() {
    type Step = (&'static str, fn(&mut World, &Arc<CarpSoftc>));
    let ends: [Step; 6] = [
        ("parent up", |w, _| em0_up(w)),
        ("carp down", |w, sc| w.down(sc)),
        ("destroyed", |w, sc| {
            let ia = w.ia([10, 0, 0, 1]);
            w.cx(|cx| crate::clone::destroy(cx, sc));
            w.cx(|cx| ifaddr::ifaddr(cx, &ia, ifaddr::IfaddrEvent::Delete)).unwrap();
            w.cx(|cx| crate::clone::destroyed(cx, sc));
        }),
        ("address gone", |w, _| w.del_addr([10, 0, 0, 1])),
        ("parent detached", |w, _| {
            let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
            w.cx(|cx| crate::clone::ifdetach(cx, &em0));
        }),
        ("vhid cleared", |w, sc| {
            let req = CarpReq { carpr_vhid: crate::carpreq::CARPR_VHID_CLEAR, ..w.keep("secret") };
            w.setvh(sc, req).unwrap();
        }),
    ];
    for (what, end) in ends {
        let (mut w, sc) = master();
        em0_down(&mut w);
        assert_eq!((demotion(&w), sc.state()), ((1, 240), State::Init), "{what}");
        w.carp.own(&w.n0).opts.ifdown_demotion_factor.set(7);
        end(&mut w, &sc);
        assert_eq!(demotion(&w), (0, 0), "{what}");
    }
}

#[test]
fn a_parent_that_was_down_before_is_as_much_a_reason_as_one_that_goes_down_later() {
    let (mut w, first) = master();
    em0_down(&mut w);
    let second = w.carp_if("carp1");
    w.setvh(&second, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    assert_eq!(demotion(&w), (1, 240), "without an address it would not run anyway");
    w.add_addr(&second.sc_if, [10, 0, 0, 11]).unwrap();
    w.up(&second);
    assert_eq!(demotion(&w), (2, 480));
    // It ends with the address that could have backed it, or with the parent's return.
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.del_addr([10, 0, 0, 2]);
    assert_eq!((demotion(&w), second.state()), ((1, 240), State::Init));
    w.add(&em0, "10.0.0.2/24").unwrap();
    assert_eq!(demotion(&w), (2, 480));
    em0_up(&mut w);
    assert_eq!((demotion(&w), first.state(), second.state()), ((0, 0), State::Backup, State::Backup));
}

#[test]
fn who_has_a_place_elsewhere_or_could_have_none_misses_nothing() {
    let (mut w, sc) = master();
    let em1 = w.ether("em1");
    w.add(&em1, "10.0.0.3/24").unwrap();
    w.set_up(&em1, false);
    assert_eq!((demotion(&w), sc.state()), ((0, 0), State::Master), "it lives on em0");
    em0_down(&mut w);
    assert_eq!(demotion(&w), (1, 240));
    let second = w.carp_if("carp1");
    w.setvh(&second, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    w.add_addr(&second.sc_if, [10, 9, 9, 9]).unwrap();
    w.up(&second);
    assert_eq!(demotion(&w), (1, 240), "no interface has that prefix");
    // em0 leaves, and em1 could back carp0 as well: until it leaves too.
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.cx(|cx| crate::clone::ifdetach(cx, &em0));
    assert_eq!(demotion(&w), (1, 240));
    w.del_addr([10, 0, 0, 2]);
    w.cx(|cx| crate::clone::ifdetach(cx, &em1));
    assert_eq!(demotion(&w), (0, 0));
}

#[test]
fn down_and_up_again_while_the_parent_is_down_is_a_reason_again() {
    let (mut w, sc) = master();
    em0_down(&mut w);
    w.down(&sc);
    assert_eq!(demotion(&w), (0, 0));
    w.up(&sc);
    assert_eq!(demotion(&w), (1, 240));
    em0_up(&mut w);
    assert_eq!((demotion(&w), sc.state()), ((0, 0), State::Backup));
}

#[test]
fn a_link_that_is_lost_stops_carp_and_its_return_starts_the_election() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    em0.set_link_state(&w.n0, LinkState::Down);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
    assert_eq!((sc.state(), demotion(&w), w.timers(&sc)), (State::Init, (1, 240), (None, None)));
    w.setvh(&sc, CarpReq { carpr_advskew: 1, ..w.keep("secret") }).unwrap();
    w.pass(10 * SEC);
    assert_eq!(sc.state(), State::Init);
    em0.set_link_state(&w.n0, LinkState::Up);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
    assert_eq!((sc.state(), demotion(&w)), (State::Backup, (0, 0)));
}

#[test]
fn who_cannot_be_served_bows_out_and_is_none_until_that_ends() {
    let (mut w, sc) = master();
    w.effects();
    w.kern.logged.take();
    w.cx(|cx| clone::served(cx, &sc, false));
    assert_eq!(w.kern.logged.take(), ["carp: demoted by 240 to 240 (not served by the host)"]);
    assert_eq!(
        w.effects(),
        [Ad("carp0", 1, 255, 255), IfMsg("carp0", State::Init), Route([10, 0, 0, 0].into(), "carp0", "em0")]
    );
    assert_eq!((sc.state(), demotion(&w), w.timers(&sc)), (State::Init, (1, 240), (None, None)));
    w.setvh(&sc, CarpReq { carpr_advskew: 1, ..w.keep("secret") }).unwrap();
    w.down(&sc);
    w.up(&sc);
    w.pass(10 * SEC);
    assert_eq!((sc.state(), demotion(&w)), (State::Init, (1, 240)));
    w.kern.logged.take();
    w.cx(|cx| clone::served(cx, &sc, true));
    assert_eq!((sc.state(), demotion(&w)), (State::Backup, (0, 0)));
    assert_eq!(w.kern.logged.take(), ["carp: demoted by -240 to 0 (served by the host again)"]);
    // Said once more, it is no news.
    w.effects();
    w.cx(|cx| clone::served(cx, &sc, true));
    assert_eq!(w.effects(), []);
}

/// carp0, MASTER, and carp1 on em0.
fn two_on_em0() -> (World, Arc<CarpSoftc>, Arc<CarpSoftc>) {
    let (mut w, first) = master();
    let second = w.carp_if("carp1");
    w.setvh(&second, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    w.add_addr(&second.sc_if, [10, 0, 0, 11]).unwrap();
    w.up(&second);
    (w, first, second)
}

/// Found by the lab's model: the end of one's failed sends made the other, whose
/// turn had not come, advertise into a link that was down.
#[test]
fn nobody_advertises_into_a_link_that_is_down_when_reasons_end_with_it() {
    let (mut w, first, second) = two_on_em0();
    w.pass(10 * SEC);
    // One of them sends too seldom to have failed three times.
    w.setvh(&first, CarpReq { carpr_advbase: 100, ..w.keep("secret") }).unwrap();
    w.pass(2 * SEC);
    w.kern.output_error.set(Some(Errno::ENOBUFS));
    w.pass(10 * SEC);
    w.kern.output_error.set(None);
    assert_eq!((first.state(), second.state(), demotion(&w).0), (State::Master, State::Master, 1));
    w.effects();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    em0.set_link_state(&w.n0, LinkState::Down);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
    let ads = w.effects().into_iter().filter(|e| matches!(e, Ad(..))).count();
    assert_eq!((ads, demotion(&w).0), (0, 2));
}

/// Found by the lab's model: with each one's turn by itself, all but the last
/// were still suppressed by the others, and only BACKUP.
#[test]
fn all_that_a_link_carries_are_elected_when_no_reason_is_left() {
    let (mut w, first, second) = two_on_em0();
    w.carp.own(&w.n0).opts.preempt.set(1);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    em0.set_link_state(&w.n0, LinkState::Down);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
    assert_eq!(demotion(&w), (2, 480));
    em0.set_link_state(&w.n0, LinkState::Up);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
    assert_eq!(demotion(&w), (0, 0));
    assert_eq!([first.state(), second.state()], [State::Master; 2]);
}

#[test]
fn a_factor_of_0_makes_no_reason_and_one_that_changes_is_taken_back_as_it_was_given() {
    let (mut w, sc) = master();
    w.carp.own(&w.n0).opts.senderr_demotion_factor.set(0);
    w.kern.output_error.set(Some(Errno::ENETDOWN));
    w.pass(10 * SEC);
    assert_eq!((demotion(&w), skew_of(&mut w, &sc)), ((0, 0), 100));
    w.kern.output_error.set(None);
    w.pass(10 * SEC);
    w.carp.own(&w.n0).opts.senderr_demotion_factor.set(60);
    w.kern.output_error.set(Some(Errno::ENETDOWN));
    w.pass(10 * SEC);
    assert_eq!((demotion(&w), skew_of(&mut w, &sc)), ((1, 60), 160));
    w.carp.own(&w.n0).opts.senderr_demotion_factor.set(10);
    w.kern.output_error.set(None);
    w.pass(10 * SEC);
    assert_eq!((demotion(&w), skew_of(&mut w, &sc)), ((0, 0), 100));
}

#[test]
fn reasons_of_several_interfaces_add_up_and_go_in_any_order() {
    for order in [[0, 1], [1, 0]] {
        let (mut w, sc) = master();
        let sc1 = w.carp_if("carp1");
        w.up(&sc1);
        w.setvh(&sc1, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
        w.add_addr(&sc1.sc_if, [10, 0, 0, 5]).unwrap();
        w.pass(5 * SEC);
        w.kern.output_error.set(Some(Errno::ENETDOWN));
        w.pass(5 * SEC);
        assert_eq!(demotion(&w), (2, 480));
        for i in order {
            w.down([&sc, &sc1][i]);
        }
        assert_eq!(demotion(&w), (0, 0));
    }
}

/// A MASTER whose advertisements fail, with all that comes of it.
fn broken_master() -> (World, Arc<CarpSoftc>) {
    let (mut w, sc) = master();
    w.kern.output_error.set(Some(Errno::ENETDOWN));
    w.pass(5 * SEC);
    assert_eq!((sc.state(), demotion(&w)), (State::Master, (1, 240)));
    w.effects();
    (w, sc)
}

#[test]
fn who_yields_with_failed_sends_does_not_preempt_until_it_was_master_again_and_its_sends_were_good() {
    let (mut w, sc) = broken_master();
    w.carp.own(&w.n0).opts.preempt.set(1);
    w.hear(&sc, 1, 200).unwrap();
    assert_eq!((sc.state(), demotion(&w)), (State::Backup, (1, 240)));
    // Worse than it is configured to be, but not worse than it is.
    for _ in 0..10 {
        w.pass(SEC);
        w.hear(&sc, 1, 200).unwrap();
    }
    assert_eq!((sc.state(), demotion(&w)), (State::Backup, (1, 240)));
    w.kern.output_error.set(None);
    w.pass(4 * SEC);
    assert_eq!((sc.state(), demotion(&w)), (State::Master, (1, 240)));
    w.pass(2 * (SEC + skew(240)));
    assert_eq!((sc.state(), demotion(&w)), (State::Master, (0, 0)));
}

#[test]
fn what_failed_sends_suppress_ends_with_whatever_ends_their_cause() {
    type Step = (&'static str, fn(&mut World, &Arc<CarpSoftc>));
    let ends: [Step; 9] = [
        ("down", |w, sc| w.down(sc)),
        ("parent down and up", |w, _| {
            em0_down(w);
            em0_up(w);
        }),
        ("link down and up", |w, _| {
            let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
            for state in [LinkState::Down, LinkState::Up] {
                em0.set_link_state(&w.n0, state);
                w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
            }
        }),
        ("destroyed", |w, sc| w.cx(|cx| crate::clone::destroy(cx, sc))),
        ("detached", |w, _| {
            let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
            w.cx(|cx| crate::clone::ifdetach(cx, &em0));
        }),
        ("address gone", |w, _| w.del_addr([10, 0, 0, 1])),
        ("address added", |w, sc| w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap()),
        ("vhid changed", |w, sc| w.setvh(sc, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap()),
        ("peer", |w, sc| {
            let peer = compat::netinet::in_::SockAddrIn::new([10, 0, 0, 3].into());
            let p = crate::carpreq::CarpPeers { carpp_addr: peer, ..Default::default() };
            w.cx(|cx| crate::ioctl::setpeers(cx, sc, &p)).unwrap();
        }),
    ];
    for yields in [false, true] {
        for (what, end) in ends {
            let (mut w, sc) = broken_master();
            if yields {
                w.hear(&sc, 1, 0).unwrap();
                assert_eq!((sc.state(), demotion(&w)), (State::Backup, (1, 240)), "{what}");
            }
            end(&mut w, &sc);
            assert_eq!((demotion(&w), sc.own(&w.n0).sendad_errors.get()), ((0, 0), 0), "{what}, {yields}");
        }
    }
}

#[test]
fn what_failed_in_one_family_is_forgotten_with_its_last_address() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    w.kern.output_error.set(Some(Errno::ENETDOWN));
    w.kern.output_error_af.set(Some(compat::sys::socket::Af::Inet6));
    w.pass(9 * SEC);
    w.hear(&sc, 1, 0).unwrap();
    assert_eq!((sc.state(), demotion(&w)), (State::Backup, (1, 240)));
    w.del_addr("2001:db8::1".parse::<core::net::IpAddr>().unwrap());
    assert_eq!((sc.state(), demotion(&w)), (State::Backup, (0, 0)));
}

#[test]
fn the_failure_that_suppresses_already_counts_in_the_next_interval() {
    let (mut w, sc) = master();
    w.kern.output_error.set(Some(Errno::ENETDOWN));
    for _ in 0..3 {
        let next = w.timers(&sc).0.unwrap();
        w.pass(next);
    }
    assert_eq!((demotion(&w).0, w.timers(&sc).0), (1, Some(SEC + skew(240))));
}

/// What a takeover ends and begins elsewhere comes after it, so that what is
/// advertised last is what is kept.
#[test]
fn a_takeover_is_over_before_anybody_says_what_it_has_changed() {
    let (mut w, sc) = master();
    w.kern.output_error.set(Some(Errno::ENETDOWN));
    w.pass(9 * SEC);
    w.hear(&sc, 1, 0).unwrap();
    let em1 = w.ether("em1");
    w.add(&em1, "2001:db8::2/64").unwrap();
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 2, carpr_advskew: 50, ..w.keep("secret") }).unwrap();
    w.add(&sc1.sc_if, "2001:db8::1/64").unwrap();
    w.cx(|cx| state::master_down(cx, &sc1, Reason::MasterTimedOut));
    assert_eq!((sc.state(), sc1.state(), demotion(&w)), (State::Backup, State::Master, (1, 240)));
    // Two of carp0's were good, two of carp1's were not.
    sc.own(&w.n0).sendad_success.set(2);
    sc1.own(&w.n0).sendad_errors.set(2);
    w.kern.output_error_af.set(Some(Af::Inet6));
    w.effects();
    w.cx(|cx| state::master_down(cx, &sc, Reason::MasterTimedOut));
    let expected = [
        IfMsg("carp0", State::Master),
        Ad("carp0", 1, 1, 240),
        Arp("carp0", [10, 0, 0, 1].into()),
        Route([10, 0, 0, 0].into(), "em0", "carp0"),
        // It was the third that was good. carp1 is the newer one.
        Ad6("carp1", 2, 1, 50),
        Ad("carp0", 1, 1, 100),
        // It was the third that was not.
        Ad6("carp1", 2, 1, 240),
        Ad("carp0", 1, 1, 240),
    ];
    assert_eq!(w.effects(), expected);
    assert_eq!((demotion(&w), w.timers(&sc).0), ((1, 240), Some(SEC + skew(240))));
}
