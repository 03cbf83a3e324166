//! What the state machine does, through the fake kernel.
#![allow(clippy::unwrap_used)]

use crate::carpreq::{CARPR_STATE_KEEP, CarpReq};
use crate::softc::State;
use crate::testutil::{Effect::*, World, master, peer_packet, skew};
use crate::{carp_if, clone, input, ioctl};
use compat::net::ethernet::EtherHeader;
use compat::sys::errno::Errno;
use core::net::Ipv4Addr;
use input::{Claim, DropReason};
use std::time::Duration;
use triomphe::Arc;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NET: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
const SEC: Duration = Duration::from_secs(1);

#[test]
fn a_backup_that_hears_nobody_takes_over_after_three_intervals_and_skew() {
    let (mut w, sc) = World::with_carp0(100);
    assert_eq!(w.timers(&sc), (None, Some(3 * SEC + skew(100))));
    w.pass(3 * SEC + skew(100) - Duration::from_nanos(1));
    assert_eq!((sc.state(), w.effects()), (State::Backup, vec![]));
    w.pass(Duration::from_nanos(1));
    assert_eq!(sc.state(), State::Master);
    let expected = [
        IfMsg("carp0", State::Master),
        Ad("carp0", 1, 1, 100),
        Arp("carp0", VIP),
        Route(NET, "em0", "carp0"),
    ];
    assert_eq!(w.effects(), expected);
    assert_eq!(w.timers(&sc), (Some(SEC + skew(100)), None));
}

#[test]
fn a_master_advertises_every_interval_with_a_fresh_counter() {
    let (mut w, _) = master();
    w.kern.wire.take();
    w.pass(10 * (SEC + skew(100)));
    assert_eq!(w.effects(), vec![Ad("carp0", 1, 1, 100); 10]);
    let counters: std::collections::BTreeSet<_> =
        w.kern.wire.take().iter().map(|p| p[28..36].to_vec()).collect();
    assert_eq!(counters.len(), 10);
}

#[test]
fn the_packet_is_that_of_the_protocol_and_an_independent_decoder_agrees() {
    let (w, _) = master();
    let wire = w.kern.wire.take();
    let p = wire.last().unwrap();
    assert_eq!(p.len(), 56);
    let (ip, payload) = etherparse::Ipv4Header::from_slice(p).unwrap();
    assert_eq!((ip.time_to_live, ip.protocol.0, ip.dont_fragment), (255, 112, true));
    assert_eq!((ip.source, ip.destination), ([10, 0, 0, 2], [224, 0, 0, 18]));
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!((p[1], payload.len(), &payload[..6]), (0x10, 36, &[0x21, 1, 100, 7, 0, 1][..]));
}

#[test]
fn equal_intervals_make_the_master_with_the_higher_address_yield() {
    let (mut w, sc) = master();
    assert_eq!(w.hear(&sc, 1, 101), Ok(()));
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![Arp("carp0", VIP)]));
    // From 10.0.0.3, to 10.0.0.2.
    assert_eq!(w.hear(&sc, 1, 100), Ok(()));
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
    let mut lower = w.ad_of_peer(&sc, 1, 100, 7779);
    lower[15] = 1;
    lower[10..12].fill(0);
    let sum = compat::netinet::in_::in_cksum(&lower[..20]).to_be_bytes();
    lower[10..12].copy_from_slice(&sum);
    assert_eq!(w.hear_packet(&sc, &lower), Ok(()));
    assert_eq!(sc.state(), State::Backup);
    assert_eq!(w.effects(), [IfMsg("carp0", State::Backup), Route(NET, "carp0", "em0")]);
    assert_eq!(w.timers(&sc), (None, Some(3 * SEC + skew(100))));
}

#[test]
fn a_master_that_hears_a_worse_one_announces_at_once_and_two_advertisements_later() {
    let (mut w, sc) = master();
    for _ in 0..5 {
        w.hear(&sc, 1, 200).unwrap();
    }
    assert_eq!(w.effects(), [Arp("carp0", VIP)]);
    w.pass(4 * (SEC + skew(100)));
    let ad = || Ad("carp0", 1, 1, 100);
    assert_eq!(w.effects(), [ad(), ad(), Arp("carp0", VIP), ad(), ad()]);
    w.hear(&sc, 1, 200).unwrap();
    w.hear(&sc, 1, 99).unwrap();
    assert_eq!(sc.state(), State::Backup);
    w.effects();
    w.pass(4 * SEC);
    assert_eq!((sc.state(), sc.own(&w.n0).reannounce.get()), (State::Master, 0));
}

#[test]
fn a_backup_yields_to_whoever_advertises_and_preempts_only_if_told_to() {
    let (mut w, sc) = World::with_carp0(0);
    w.pass(SEC);
    assert_eq!(w.hear(&sc, 1, 200), Ok(()));
    assert_eq!((sc.state(), w.timers(&sc)), (State::Backup, (None, Some(3 * SEC))));
    w.carp.own(&w.n0).opts.preempt.set(1);
    assert_eq!(w.hear(&sc, 1, 0), Ok(()));
    assert_eq!(sc.state(), State::Backup);
    assert_eq!(w.hear(&sc, 1, 1), Ok(()));
    assert_eq!(sc.state(), State::Master);
}

#[test]
fn a_bow_out_makes_a_backup_take_over_at_once() {
    let (mut w, sc) = World::with_carp0(100);
    assert_eq!(w.hear(&sc, 255, 255), Ok(()));
    assert_eq!(sc.state(), State::Master);
    assert!(w.kern.logged.take().is_empty());
}

#[test]
fn who_preempts_at_its_start_is_a_master_before_it_says_so() {
    let mut w = World::new();
    w.carp.own(&w.n0).opts.preempt.set(1);
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    let sc = w.carp_if("carp0");
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    let expected = [
        Promisc("em0", true),
        Join("carp0"),
        IfMsg("carp0", State::Master),
        Ad("carp0", 1, 1, 0),
        Arp("carp0", VIP),
        Route(NET, "em0", "carp0"),
    ];
    assert_eq!(w.effects(), expected);
    assert_eq!(w.timers(&sc), (Some(SEC), None));
}

#[test]
fn down_bows_out_and_leaves_nothing_armed() {
    let (mut w, sc) = master();
    w.down(&sc);
    assert_eq!(
        w.effects(),
        [Ad("carp0", 1, 255, 255), IfMsg("carp0", State::Init), Route(NET, "carp0", "em0")]
    );
    assert_eq!((sc.state(), w.timers(&sc)), (State::Init, (None, None)));
    w.up(&sc);
    assert_eq!(sc.state(), State::Backup);
}

#[test]
fn destroy_bows_out_and_gives_everything_back() {
    let (mut w, sc) = master();
    w.cx(|cx| clone::destroy(cx, &sc));
    assert_eq!(w.effects()[0], Ad("carp0", 1, 255, 255));
    w.del_addr([10, 0, 0, 1]);
    w.cx(|cx| clone::destroyed(cx, &sc));
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    assert_eq!(em0.own(&w.n0).if_pcount.get(), 0);
    assert!(em0.if_carp.load(&w.n0).is_none());
    assert!(w.carp.softcs(&w.n0).is_empty());
    assert!(w.kern.callouts.borrow().is_empty());
    assert!(w.ia([10, 0, 0, 2]).has_route(&w.n0));
    drop(w);
    assert!(Arc::is_unique(&sc), "somebody still holds the softc");
}

#[test]
fn a_parent_that_leaves_is_told_to_the_peers_and_forgotten() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.cx(|cx| clone::ifdetach(cx, &em0));
    assert_eq!(w.effects()[0], Ad("carp0", 1, 255, 255));
    assert!(sc.carpdev(&w.n0).is_none());
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs(), w.timers(&sc)), (State::Init, 0, (None, None)));
    assert_eq!(em0.own(&w.n0).if_pcount.get(), 0);
}

#[test]
fn the_last_address_takes_its_leave_with_the_digest_that_peers_know() {
    let (mut w, sc) = master();
    let peer = sc.own(&w.n0).hmac.borrow().clone();
    w.kern.wire.take();
    w.del_addr([10, 0, 0, 1]);
    let wire = w.kern.wire.take();
    assert_eq!(wire.len(), 1);
    let h = crate::header::CarpHeader::parse(&wire[0][20..]).unwrap();
    assert_eq!((h.advbase, h.advskew), (255, 255));
    assert!(peer.verify(h.counter, &h.md));
    assert_eq!((sc.state(), w.timers(&sc)), (State::Init, (None, None)));
}

#[test]
fn the_digest_does_not_depend_on_the_order_of_addition() {
    let digest = |order: [[u8; 4]; 3]| {
        let (mut w, sc) = World::with_carp0(0);
        for a in order {
            w.add_addr(&sc.sc_if, a).unwrap();
        }
        sc.own(&w.n0).hmac.borrow().generate(crate::header::Counter(5), crate::hmac::Form::All)
    };
    let a = [[10, 0, 0, 7], [10, 0, 0, 5], [192, 0, 2, 1]];
    assert_eq!(digest(a), digest([a[2], a[1], a[0]]));
    assert_ne!(digest(a), digest([a[0], a[1], [192, 0, 2, 2]]));
}

#[test]
fn an_address_without_a_backing_address_is_inactive_until_one_comes() {
    let mut w = World::new();
    let sc = w.carp_if("carp0");
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    assert_eq!(w.add_addr(&sc.sc_if, [10, 0, 0, 1]), Ok(()));
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs()), (State::Init, 0));
    let shown = w.cx(|cx| ioctl::getvhaddr(cx, &sc));
    assert_eq!(shown[0].carpa_baddr.addr(), Ipv4Addr::UNSPECIFIED);
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs()), (State::Backup, 1));
    let shown = w.cx(|cx| ioctl::getvhaddr(cx, &sc));
    assert_eq!(shown[0].carpa_baddr.addr(), Ipv4Addr::new(10, 0, 0, 2));
    w.del_addr([10, 0, 0, 2]);
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs()), (State::Init, 0));
    assert_eq!(em0.own(&w.n0).if_pcount.get(), 0);
}

#[test]
fn setvh_changes_all_or_nothing() {
    let (mut w, sc) = World::with_carp0(100);
    let before = w.cx(|cx| ioctl::getvh(cx, &sc, true));
    let bad = [
        CarpReq { carpr_vhid: 256, ..w.keep("other") },
        CarpReq { carpr_vhid: 2, carpr_advskew: 255, ..w.keep("other") },
        CarpReq { carpr_vhid: 2, carpr_advbase: 256, ..w.keep("other") },
        CarpReq { carpr_vhid: 2, carpr_advbase: -1, carpr_advskew: 3, ..w.keep("other") },
        CarpReq { carpr_vhid: 2, carpr_advskew: -1, ..w.keep("other") },
        CarpReq { carpr_vhid: -1, carpr_advbase: 0, ..w.keep("other") },
    ];
    for req in bad {
        assert_eq!(w.setvh(&sc, req), Err(Errno::EINVAL));
    }
    assert!(before == w.cx(|cx| ioctl::getvh(cx, &sc, true)));
    assert_eq!(w.effects(), []);
}

#[test]
fn a_vhid_is_taken_once_on_a_parent_and_an_address_cannot_get_round_that() {
    let (mut w, _) = World::with_carp0(0);
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 1, ..w.keep("x") }).unwrap();
    assert_eq!(w.add_addr(&sc1.sc_if, [10, 0, 0, 9]), Err(Errno::EEXIST));
    assert!(sc1.own(&w.n0).vha_list().is_empty());
    w.setvh(&sc1, CarpReq { carpr_vhid: 2, ..w.keep("x") }).unwrap();
    assert_eq!(w.add_addr(&sc1.sc_if, [10, 0, 0, 9]), Ok(()));
    assert_eq!(w.setvh(&sc1, CarpReq { carpr_vhid: 1, ..w.keep("x") }), Err(Errno::EEXIST));
    assert_eq!(sc1.sc_if.lladdr(), [0, 0, 0x5e, 0, 1, 2]);
}

#[test]
fn a_change_of_vhid_moves_the_container_and_says_good_bye_to_the_old_peers() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 5, ..w.keep("x") }).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 0, 9]).unwrap();
    w.effects();
    w.setvh(&sc, CarpReq { carpr_vhid: 9, ..w.keep("secret") }).unwrap();
    let effects = w.effects();
    assert_eq!(effects[0], Ad("carp0", 1, 255, 255));
    assert_eq!(sc.state(), State::Backup);
    let cif = em0.if_carp.load(&w.n0).unwrap();
    let order: Vec<_> = cif.iter().map(|c| c.scc_vhid.unwrap().get()).collect();
    assert_eq!(order, [5, 9]);
    assert!(cif.by_vhid(1).is_none());
    assert!(Arc::ptr_eq(&cif.by_vhid(9).unwrap().scc_softc, &sc));
    assert!(w.cx(|cx| carp_if::vhid_taken(cx, &em0, &sc, crate::types::Vhid::new(5).unwrap())));
}

#[test]
fn reconfiguring_in_a_loop_does_not_starve_advertisements() {
    let (mut w, sc) = master();
    for _ in 0..100 {
        w.pass(SEC / 10);
        w.setvh(&sc, CarpReq { carpr_vhid: 1, carpr_advskew: 100, ..w.keep("secret") }).unwrap();
    }
    let ads = w.effects().iter().filter(|e| matches!(e, Ad(..))).count();
    assert!((7..=8).contains(&ads), "{ads} advertisements in 10 s");
}

#[test]
fn the_state_is_kept_unless_it_is_asked_for() {
    let (mut w, sc) = master();
    w.setvh(&sc, CarpReq { carpr_state: CARPR_STATE_KEEP, carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    assert_eq!(sc.state(), State::Master);
    w.setvh(&sc, CarpReq { carpr_state: 1, carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    assert_eq!(sc.state(), State::Backup);
    assert_eq!(w.effects()[0], Ad("carp0", 1, 255, 255));
    w.setvh(&sc, CarpReq { carpr_state: 2, carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    assert_eq!(sc.state(), State::Master);
}

#[test]
fn clearing_the_vhid_undoes_a_first_setvh() {
    let mut w = World::new();
    let sc = w.carp_if("carp0");
    let before = w.cx(|cx| ioctl::getvh(cx, &sc, true));
    w.setvh(&sc, CarpReq { carpr_vhid: 1, carpr_advskew: 7, ..w.keep("secret") }).unwrap();
    let undo =
        CarpReq { carpr_vhid: crate::carpreq::CARPR_VHID_CLEAR, carpr_state: CARPR_STATE_KEEP, ..before };
    w.setvh(&sc, undo).unwrap();
    assert!(before == w.cx(|cx| ioctl::getvh(cx, &sc, true)));
    assert_eq!(sc.sc_if.lladdr(), [0, 0, 0x5e, 0, 1, 0]);
}

#[test]
fn the_key_is_shown_to_the_privileged_alone() {
    let (mut w, sc) = World::with_carp0(0);
    assert_eq!(&w.cx(|cx| ioctl::getvh(cx, &sc, true)).carpr_key[..7], b"secret\0");
    assert_eq!(w.cx(|cx| ioctl::getvh(cx, &sc, false)).carpr_key, [0; 20]);
}

#[test]
fn each_bad_packet_is_counted_once_under_its_reason() {
    let (mut w, sc) = World::with_carp0(100);
    let good = w.ad_of_peer(&sc, 1, 0, 9);
    let body = good[20..].to_vec();
    let with = |f: &dyn Fn(&mut Vec<u8>), fix: bool| {
        let mut b = body.clone();
        f(&mut b);
        if fix {
            b[6..8].fill(0);
            let sum = compat::netinet::in_::in_cksum(&b[..36]).to_be_bytes();
            b[6..8].copy_from_slice(&sum);
        }
        peer_packet(&b, 255, [224, 0, 0, 18])
    };
    let cases: Vec<(Vec<u8>, DropReason)> = vec![
        (peer_packet(&body, 254, [224, 0, 0, 18]), DropReason::Ttl(254)),
        (peer_packet(&body, 255, [10, 0, 0, 1]), DropReason::NonMulticast),
        (peer_packet(&body[..35], 255, [224, 0, 0, 18]), DropReason::Short(55)),
        (peer_packet(&[], 255, [224, 0, 0, 18]), DropReason::Short(20)),
        (with(&|b| b[20] ^= 1, false), DropReason::Cksum),
        (with(&|b| b[0] = 0x31, true), DropReason::Version(3)),
        (with(&|b| b[20] ^= 1, true), DropReason::Auth),
        (with(&|b| b[1] = 2, true), DropReason::Vhid),
    ];
    for (packet, reason) in &cases {
        assert_eq!(w.hear_packet(&sc, packet), Err(*reason));
    }
    let s = w.carp.own(&w.n0).stats();
    assert_eq!(s.carps_ipackets, cases.len() as u64);
    let counts =
        [s.carps_badttl, s.carps_badif, s.carps_badlen, s.carps_badsum, s.carps_badver, s.carps_badauth];
    assert_eq!(counts, [1, 1, 2, 1, 1, 1]);
    assert_eq!((sc.state(), w.effects()), (State::Backup, vec![]));
    assert_eq!(w.timers(&sc), (None, Some(3 * SEC + skew(100))), "a bad packet was believed");
    assert_eq!(w.hear_packet(&sc, &good), Ok(()));
}

#[test]
fn an_own_echo_is_counted_and_changes_nothing() {
    let (mut w, sc) = master();
    w.pass(2 * SEC);
    let echo = w.kern.wire.take().pop().unwrap();
    let before = w.timers(&sc);
    assert_eq!(w.hear_packet(&sc, &echo), Err(DropReason::Echo));
    assert_eq!((sc.state(), w.timers(&sc), w.carp.own(&w.n0).echoes.get()), (State::Master, before, 1));
}

#[test]
fn three_failed_sends_suppress_preemption_and_three_good_ones_end_it() {
    let (mut w, sc) = master();
    let own = |w: &World| w.carp.own(&w.n0).suppress_preempt.get();
    w.kern.output_error.set(Some(Errno::ENOBUFS));
    w.pass(2 * (SEC + skew(100)));
    assert_eq!(own(&w), 0);
    w.pass(SEC + skew(100));
    assert_eq!(own(&w), 1);
    assert!(w.effects().contains(&Ad("carp0", 1, 1, 240)), "not told everyone");
    w.kern.output_error.set(None);
    w.pass(4 * (SEC + skew(240)));
    assert_eq!((own(&w), sc.state()), (0, State::Master));
    w.kern.output_error.set(Some(Errno::ENOBUFS));
    w.pass(5 * (SEC + skew(100)));
    assert_eq!(own(&w), 1);
    w.down(&sc);
    assert_eq!(own(&w), 0, "down leaves the suppression behind");
}

#[test]
fn a_parent_going_down_bows_out_while_it_can_and_comes_back_as_backup() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, false);
    assert_eq!(w.effects()[0], Ad("carp0", 1, 255, 255));
    assert!(sc.carpdev(&w.n0).is_none());
    w.set_up(&em0, true);
    assert_eq!((sc.state(), em0.own(&w.n0).if_pcount.get()), (State::Backup, 1));
}

#[test]
fn an_owner_has_no_skew() {
    let (mut w, sc) = World::with_carp0(100);
    w.add_addr(&sc.sc_if, [10, 0, 0, 2]).unwrap();
    assert_eq!(sc.own(&w.n0).advskew.get(), 0);
    let flags: Vec<u32> = w.cx(|cx| ioctl::getvhaddr(cx, &sc)).iter().map(|v| v.carpa_flags).collect();
    assert_eq!(flags, [2, 3]);
}

#[test]
fn a_frame_finds_its_softc_by_vhid_and_only_a_running_master_claims_it() {
    let (mut w, sc) = master();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let unicast =
        EtherHeader { dhost: [0, 0, 0x5e, 0, 1, 1], shost: [2; 6], ether_type: 0x0800 }.frame(&[0; 20]);
    let ad = {
        let ip = w.ad_of_peer(&sc, 1, 0, 1);
        EtherHeader { dhost: [1, 0, 0x5e, 0, 0, 0x12], shost: [2; 6], ether_type: 0x0800 }.frame(&ip)
    };
    let claim = |w: &World, frame: &[u8]| {
        let cif = em0.if_carp.load(&w.n0).unwrap();
        match input::input(cif, &EtherHeader::parse(frame).unwrap(), frame) {
            Claim::ToCarp(i) => ("carp", i.if_index),
            Claim::Advertisement(i) => ("ad", i.if_index),
            Claim::OtherVhid => ("other", 0),
            Claim::NotCarp => ("not", 0),
        }
    };
    let index = sc.sc_if.if_index;
    assert_eq!(claim(&w, &unicast), ("carp", index));
    assert_eq!(claim(&w, &ad), ("ad", index));
    let mut other = ad.clone();
    other[35] = 77;
    assert_eq!(claim(&w, &other), ("other", 0));
    assert_eq!(claim(&w, &ad[..30]), ("ad", index), "too short to have a vhid: counted at the first");
    let mut broadcast = ad.clone();
    broadcast[..6].fill(0xff);
    assert_eq!(claim(&w, &broadcast), ("ad", index));
    w.hear(&sc, 1, 0).unwrap();
    assert_eq!(claim(&w, &unicast), ("not", 0));
}
