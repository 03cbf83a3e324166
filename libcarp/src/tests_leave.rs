//! What is said when mastership ends, and what must not be left behind.
#![allow(clippy::unwrap_used)]

use crate::carpreq::{CARPR_VHID_CLEAR, CarpReq};
use crate::input::{self, Claim, DropReason};
use crate::softc::State;
use crate::testutil::{Effect::*, World, master, skew};
use compat::net::ethernet::EtherHeader;
use std::time::Duration;

const SEC: Duration = Duration::from_secs(1);

#[test]
fn a_backing_address_that_is_deleted_is_a_reason_to_bow_out() {
    let (mut w, sc) = master();
    w.del_addr([10, 0, 0, 2]);
    assert_eq!(w.effects()[0], Ad("carp0", 1, 255, 255));
    assert_eq!(sc.state(), State::Init);
}

#[test]
fn a_second_backing_address_that_starts_the_election_over_bows_out_first() {
    let (mut w, sc) = World::with_carp0(0);
    w.add_addr(&sc.sc_if, [192, 0, 2, 1]).unwrap();
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.effects();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add_addr(&em0, [192, 0, 2, 2]).unwrap();
    assert_eq!(w.effects()[0], Ad("carp0", 1, 255, 255));
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs()), (State::Backup, 2));
}

#[test]
fn clearing_the_vhid_gives_the_route_back() {
    let (mut w, sc) = master();
    w.setvh(&sc, CarpReq { carpr_vhid: CARPR_VHID_CLEAR, ..w.keep("secret") }).unwrap();
    assert!(w.ia([10, 0, 0, 2]).has_route(&w.n0));
    assert_eq!((sc.state(), w.timers(&sc)), (State::Init, (None, None)));
}

#[test]
fn a_backup_that_changes_its_vhid_listens_a_whole_period() {
    let (mut w, sc) = World::with_carp0(100);
    w.pass(3 * SEC);
    w.setvh(&sc, CarpReq { carpr_vhid: 2, carpr_advskew: 100, ..w.keep("secret") }).unwrap();
    assert_eq!(w.timers(&sc), (None, Some(3 * SEC + skew(100))));
}

#[test]
fn an_owner_with_advbase_0_still_pauses() {
    let mut w = World::new();
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    let sc = w.carp_if("carp0");
    w.up(&sc);
    let req = CarpReq { carpr_vhid: 1, carpr_advskew: 10, carpr_advbase: 0, ..w.keep("secret") };
    w.setvh(&sc, req).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 2]).unwrap();
    assert_eq!(w.timers(&sc), (None, Some(skew(1))));
}

#[test]
fn an_interface_that_is_down_hears_nothing() {
    let (mut w, sc) = master();
    w.down(&sc);
    let ip = w.ad_of_peer(&sc, 1, 0, 1);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    let f = EtherHeader { dhost: [1, 0, 0x5e, 0, 0, 0x12], shost: [2; 6], ether_type: 0x0800 }.frame(&ip);
    let cif = em0.if_carp.load(&w.n0).unwrap();
    assert!(matches!(input::input(cif, &EtherHeader::parse(&f).unwrap(), &f), Claim::OtherVhid));
}

#[test]
fn the_echo_of_an_earlier_advertisement_is_own_too() {
    let (mut w, sc) = master();
    for _ in 0..8 {
        w.cx(|cx| crate::output::send_ad(cx, &sc));
    }
    let wire = w.kern.wire.take();
    for echo in &wire[wire.len() - 8..] {
        assert_eq!(w.hear_packet(&sc, echo), Err(DropReason::Echo));
    }
    assert_eq!(sc.state(), State::Master);
}

#[test]
fn the_first_advertisement_after_setvh_has_the_new_digest() {
    let mut w = World::new();
    w.carp.own(&w.n0).opts.preempt.set(1);
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    let sc = w.carp_if("carp0");
    w.up(&sc);
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    assert_eq!(w.kern.wire.take().len(), 0);
    // The request itself makes it MASTER, which advertises at once.
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    let wire = w.kern.wire.take();
    let h = crate::header::CarpHeader::parse(&wire[0][20..]).unwrap();
    let addrs = [core::net::IpAddr::from([10, 0, 0, 1])];
    let peer = crate::hmac::CarpHmac::prepare(
        &crate::types::Key::new(b"secret\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        1,
        &addrs,
    );
    assert!(peer.verify(h.counter, &h.md));
}
