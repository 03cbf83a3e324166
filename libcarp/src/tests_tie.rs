//! Of two equal masters one stays; and what tells an echo from an equal.
#![allow(clippy::unwrap_used)]

use crate::header::CarpHeader;
use crate::input::DropReason;
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect::*, World, master, skew};
use crate::{ifaddr, output};
use compat::netinet::ip::Ip;
use compat::netinet6::ip6::Ip6;
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

/// The counters of the IPv4 advertisements sent since the last call.
fn counters(w: &World) -> Vec<u64> {
    let wire = w.kern.wire.take();
    wire.iter().map(|p| CarpHeader::parse(&p[20..]).unwrap().counter.0).collect()
}

#[test]
fn a_master_counts_from_a_random_number_whatever_it_has_heard() {
    let (mut w, sc) = World::with_carp0(100);
    let mut starts = Vec::new();
    for _ in 0..3 {
        let packet = w.ad_of_peer(&sc, 1, 0, 41);
        w.hear_packet(&sc, &packet).unwrap();
        assert_eq!(sc.state(), State::Backup);
        w.pass(3 * SEC + skew(100) + 2 * (SEC + skew(100)));
        let sent = counters(&w);
        assert_eq!(sent, [sent[0], sent[0].wrapping_add(1), sent[0].wrapping_add(2)]);
        starts.push(sent[0]);
    }
    assert!(
        !starts.contains(&42) && starts[0] != starts[1] && starts[1] != starts[2] && starts[0] != starts[2]
    );
}

#[test]
fn a_preempting_master_counts_from_a_random_number_too() {
    let (mut w, sc) = master();
    let last = *counters(&w).last().unwrap();
    w.carp.own(&w.n0).opts.preempt.set(1);
    w.down(&sc);
    assert_eq!(counters(&w), [last + 1], "the bow-out");
    w.up(&sc);
    assert_eq!(sc.state(), State::Master);
    assert!(counters(&w)[0].abs_diff(last) > 1000);
}

/// Two equal machines hear one bow-out, and take over.
#[test]
fn equal_machines_that_heard_the_same_are_not_each_others_echoes() {
    let machine = |addr: [u8; 4]| {
        let mut w = World::new();
        // The generators of two machines differ.
        w.kern.random.set(u64::from(addr[3]) << 40);
        let em0 = w.ether("em0");
        w.add_addr(&em0, addr).unwrap();
        let sc = w.carp_if("carp0");
        w.up(&sc);
        w.setvh(&sc, crate::carpreq::CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
        w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
        let bow_out = w.ad_of_peer(&sc, 255, 255, 41);
        w.hear_packet(&sc, &bow_out).unwrap();
        assert_eq!(sc.state(), State::Master);
        (w, sc)
    };
    let ((mut a, sa), (mut b, sb)) = (machine([10, 0, 0, 2]), machine([10, 0, 0, 3]));
    let (of_a, of_b) = (a.kern.wire.take().pop().unwrap(), b.kern.wire.take().pop().unwrap());
    assert_eq!((a.hear_packet(&sa, &of_b), b.hear_packet(&sb, &of_a)), (Ok(()), Ok(())));
    assert_eq!((sa.state(), sb.state()), (State::Master, State::Backup));
    let echoes = |w: &World| w.carp.own(&w.n0).echoes.get();
    assert_eq!((echoes(&a), echoes(&b)), (0, 0));
    // Its own come back as echoes all the same.
    assert_eq!(a.hear_packet(&sa, &of_a), Err(DropReason::Echo));
    assert_eq!((sa.state(), echoes(&a)), (State::Master, 1));
}

/// carp0 with both families, MASTER: 10.0.0.2, and fe80::9, which is higher than
/// its peer's fe80::3.
fn dual() -> (World, Arc<CarpSoftc>) {
    let (mut w, sc) = World::with_carp0(100);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "fe80::9/64").unwrap();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.effects();
    (w, sc)
}

#[test]
fn a_tie_is_decided_by_the_addresses_of_the_first_family_alone() {
    let (mut w, sc) = dual();
    // The peer's 10.0.0.3 is higher, and its link-local address lower.
    for _ in 0..3 {
        w.hear(&sc, 1, 100).unwrap();
        w.hear6(&sc, 1, 100).unwrap();
        assert_eq!(sc.state(), State::Master);
        w.pass(SEC + skew(100));
    }
    // One that is better is better in either.
    w.hear6(&sc, 1, 99).unwrap();
    assert_eq!(sc.state(), State::Backup);
}

#[test]
fn a_tie_is_decided_by_the_second_family_while_the_first_is_lost() {
    let (mut w, sc) = dual();
    w.hear6(&sc, 1, 100).unwrap();
    assert_eq!(sc.state(), State::Backup);
    // What was heard before it became MASTER does not count.
    w.hear(&sc, 1, 100).unwrap();
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.hear6(&sc, 1, 100).unwrap();
    assert_eq!(sc.state(), State::Backup);
}

#[test]
fn a_tie_of_ipv6_alone_is_decided_by_its_addresses() {
    for (mine, stays) in [("fe80::9/64", State::Backup), ("fe80::2/64", State::Master)] {
        let (mut w, sc) = World::with_carp0(100);
        w.del_addr([10, 0, 0, 1]);
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.add(&em0, mine).unwrap();
        w.add(&em0, "2001:db8::2/64").unwrap();
        w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
        w.pass(4 * SEC);
        w.hear(&sc, 1, 100).unwrap();
        w.hear6(&sc, 1, 100).unwrap();
        assert_eq!(sc.state(), stays, "{mine}");
    }
}

/// carp0 on an em0 without any address, MASTER.
fn unnumbered(vip: &str) -> (World, Arc<CarpSoftc>) {
    let mut w = World::new();
    let em0 = w.ether("em0");
    let sc = w.carp_if("carp0");
    w.cx(|cx| ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    w.up(&sc);
    w.setvh(&sc, crate::carpreq::CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add(&sc.sc_if, vip).unwrap();
    w.pass(5 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.effects();
    (w, sc)
}

#[test]
fn a_tie_of_two_without_addresses_is_decided_by_the_lower_counter() {
    for (off, stays) in [(-5, State::Backup), (5, State::Master)] {
        let (mut w, sc) = unnumbered("10.0.0.1/24");
        let theirs = sc.own(&w.n0).counter.get().0.wrapping_add_signed(off);
        let body = w.ad_of_peer(&sc, 1, 0, theirs)[20..].to_vec();
        let from = Ip {
            hlen: 20,
            tos: 0,
            len: 0,
            id: 1,
            off: 0,
            ttl: 255,
            p: 112,
            src: [0; 4].into(),
            dst: [224, 0, 0, 18].into(),
        };
        w.hear_packet(&sc, &from.packet(&body)).unwrap();
        assert_eq!(sc.state(), stays, "{off}");
        let (mut w, sc) = unnumbered("2001:db8::1/64");
        let theirs = sc.own(&w.n0).counter.get().0.wrapping_add_signed(off);
        let body = w.ad_of_peer(&sc, 1, 0, theirs)[20..].to_vec();
        let from = Ip6 {
            plen: 0,
            nxt: 112,
            hlim: 255,
            src: "::".parse().unwrap(),
            dst: "ff02::12".parse().unwrap(),
        };
        w.hear_packet6(&sc, &from.packet(&body)).unwrap();
        assert_eq!(sc.state(), stays, "{off}");
    }
}

#[test]
fn who_has_no_address_is_lower_than_who_has_one() {
    let (mut w, sc) = unnumbered("10.0.0.1/24");
    w.hear(&sc, 1, 0).unwrap();
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![Arp("carp0", [10, 0, 0, 1].into())]));
    w.cx(|cx| output::send_ad(cx, &sc));
    assert_eq!(w.effects(), [Ad("carp0", 1, 1, 0)]);
}
