//! What programs ask and set, and what CARP says.
#![allow(clippy::unwrap_used)]

use crate::carpreq::{CarpPeers, CarpReq, CarpStats, Vhaf};
use crate::input::DropReason;
use crate::log;
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State};
use crate::sysctl::{OIDS, range};
use crate::testutil::{Effect::*, World, master, peer_packet};
use crate::{ioctl, output, state};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::ctlsock::CtlType;
use compat::sys::errno::Errno;
use compat::sys::sysctl::{self, Value};
use core::net::Ipv4Addr;
use std::time::Duration;
use triomphe::Arc;
use zerocopy::{FromBytes, IntoBytes};

const SEC: Duration = Duration::from_secs(1);

fn call(w: &mut World, name: &str, new: &[u8], privileged: bool) -> Result<Value, Errno> {
    w.cx(|cx| sysctl::sysctl(OIDS, cx, name, new, privileged).unwrap())
}

fn int(w: &mut World, name: &str) -> i32 {
    i32::from_ne_bytes(call(w, name, &[], false).unwrap().1.try_into().unwrap())
}

#[test]
fn a_leaf_takes_all_of_its_range_and_nothing_else() {
    let mut w = World::new();
    let written = OIDS.iter().filter(|o| o.ctltype == CtlType::Int && o.write.is_some());
    for oid in written.filter(|o| o.name != "net.inet.carp.demotion") {
        let mut takes = |value: i32| call(&mut w, oid.name, &value.to_ne_bytes(), true).is_ok();
        let (low, high) = range(oid.name).unwrap_or((i32::MIN, i32::MAX));
        assert!(takes(low) && takes(high), "{}", oid.name);
        assert!(!low.checked_sub(1).is_some_and(&mut takes), "{}", oid.name);
        assert!(!high.checked_add(1).is_some_and(&mut takes), "{}", oid.name);
    }
}

#[test]
fn every_leaf_has_upstreams_name_and_its_first_value() {
    let mut w = World::new();
    let first = [
        ("allow", 1),
        ("preempt", 0),
        ("log", 1),
        ("arpbalance", 0),
        ("setroute", 1),
        ("suppress_preempt", 0),
        ("prio_ad", 1),
        ("demotion", 0),
        ("senderr_demotion_factor", 240),
        ("ifdown_demotion_factor", 240),
        ("unbacked_demotion_factor", 0),
        ("dscp", 4),
        ("digest_linklocal", 1),
        ("ownechoes", 0),
    ];
    for (leaf, value) in first {
        assert_eq!(int(&mut w, &format!("net.inet.carp.{leaf}")), value, "{leaf}");
    }
    assert_eq!(OIDS.len(), first.len() + 1);
    let stats = call(&mut w, "net.inet.carp.stats", &[], false).unwrap().1;
    assert_eq!(CarpStats::read_from_bytes(&stats).unwrap(), CarpStats::default());
    assert!(w.cx(|cx| sysctl::sysctl(OIDS, cx, "net.inet.carp.no", &[], true)).is_none());
}

#[test]
fn a_leaf_is_written_by_the_privileged_with_what_it_can_mean() {
    let mut w = World::new();
    let set = |w: &mut World, leaf: &str, v: i32| {
        call(w, &format!("net.inet.carp.{leaf}"), &v.to_ne_bytes(), true).map(drop)
    };
    for leaf in ["allow", "preempt", "log", "arpbalance", "setroute", "digest_linklocal"] {
        set(&mut w, leaf, 2).unwrap();
        assert_eq!(int(&mut w, &format!("net.inet.carp.{leaf}")), 2, "{leaf}");
        let name = format!("net.inet.carp.{leaf}");
        assert_eq!(call(&mut w, &name, &1i32.to_ne_bytes(), false), Err(Errno::EPERM));
        assert_eq!(call(&mut w, &name, &[1], true), Err(Errno::EINVAL));
    }
    for leaf in ["suppress_preempt", "prio_ad", "ownechoes"] {
        assert_eq!(set(&mut w, leaf, 1), Err(Errno::EPERM), "{leaf}");
    }
    assert_eq!(set(&mut w, "dscp", 64), Err(Errno::EINVAL));
    for leaf in ["dscp", "senderr_demotion_factor", "ifdown_demotion_factor", "unbacked_demotion_factor"] {
        assert_eq!(set(&mut w, leaf, -1), Err(Errno::EINVAL), "{leaf}");
    }
    // A write adds.
    for (add, sum) in [(50, 50), (20, 70), (-100, -30)] {
        set(&mut w, "demotion", add).unwrap();
        assert_eq!(int(&mut w, "net.inet.carp.demotion"), sum);
    }
    for _ in 0..3 {
        set(&mut w, "demotion", i32::MAX).unwrap();
    }
    assert_eq!(int(&mut w, "net.inet.carp.demotion"), i32::MAX);
    w.carp.own(&w.n0).count(|s| s.carps_preempt = 3);
    let mut new = CarpStats { carps_preempt: 1, ..CarpStats::default() };
    assert_eq!(call(&mut w, "net.inet.carp.stats", new.as_bytes(), true), Err(Errno::EINVAL));
    new.carps_preempt = 0;
    call(&mut w, "net.inet.carp.stats", new.as_bytes(), true).unwrap();
    assert_eq!(w.carp.own(&w.n0).stats(), CarpStats::default());
}

#[test]
fn the_code_point_is_in_the_packet() {
    let (mut w, _) = master();
    assert_eq!(w.kern.wire.take().last().unwrap()[1], 0x10);
    call(&mut w, "net.inet.carp.dscp", &56i32.to_ne_bytes(), true).unwrap();
    w.pass(2 * SEC);
    assert_eq!(w.kern.wire.take().last().unwrap()[1], 56 << 2);
}

#[test]
fn the_parent_the_addresses_and_the_peers_are_shown_as_they_are() {
    let (mut w, sc) = master();
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap().trim_end_matches('\0').to_owned();
    assert_eq!(text(&w.cx(|cx| ioctl::getdevname(cx, &sc))), "em0");
    assert_eq!(text(&w.cx(|cx| ioctl::getbound(cx, &sc))), "");
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add_addr(&sc.sc_if, [10, 0, 0, 2]).unwrap();
    w.add_addr(&sc.sc_if, [192, 168, 0, 1]).unwrap();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    w.add(&sc.sc_if, "fe80::1/64").unwrap();
    let four = w.cx(|cx| ioctl::getvhaddr(cx, &sc));
    let shown: Vec<_> =
        four.iter().map(|v| (v.carpa_addr.addr(), v.carpa_baddr.addr(), v.carpa_flags)).collect();
    let (owner, on_list) = ((Vhaf::ONLIST | Vhaf::OWNER).bits(), Vhaf::ONLIST.bits());
    let back = Ipv4Addr::new(10, 0, 0, 2);
    assert_eq!(
        shown,
        [
            (Ipv4Addr::new(10, 0, 0, 1), back, on_list),
            (back, back, owner),
            (Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::UNSPECIFIED, on_list),
        ]
    );
    let six = w.cx(|cx| ioctl::getvhaddr6(cx, &sc));
    let shown: Vec<_> = six
        .iter()
        .map(|v| {
            (v.carpa_addr.addr().to_string(), v.carpa_baddr.addr().to_string(), v.carpa_addr.sin6_scope_id)
        })
        .collect();
    let index = u32::from(sc.sc_if.if_index);
    let row = |a: &str, b: &str, scope| (a.to_owned(), b.to_owned(), scope);
    assert_eq!(shown, [row("2001:db8::1", "2001:db8::2", 0), row("fe80::1", "::", index)]);
    let peers = w.cx(|cx| ioctl::getpeers(cx, &sc));
    assert_eq!((peers.carpp_vhid, peers.carpp_addr.addr()), (1, Ipv4Addr::new(224, 0, 0, 18)));
    assert_eq!(peers.carpp_addr6.addr().to_string(), "ff02::12");
    w.down(&sc);
    w.cx(|cx| crate::ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    assert_eq!(text(&w.cx(|cx| ioctl::getbound(cx, &sc))), "em0");
    // Set again as it is: nothing happens.
    w.effects();
    w.cx(|cx| crate::ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    assert_eq!(w.effects(), []);
    let none = w.carp_if("carp1");
    assert_eq!(text(&w.cx(|cx| ioctl::getdevname(cx, &none))), "");
    assert_eq!(w.cx(|cx| ioctl::getpeers(cx, &none)).carpp_vhid, 0);
}

#[test]
fn an_ipv6_peer_of_the_wrong_family_is_refused() {
    let (mut w, sc) = master();
    let six = SockAddrIn6 { sin6_family: 2, ..SockAddrIn6::new("2001:db8::3".parse().unwrap(), 0) };
    let p = CarpPeers { carpp_addr6: six, ..CarpPeers::default() };
    assert_eq!(w.cx(|cx| ioctl::setpeers(cx, &sc, &p)), Err(Errno::EAFNOSUPPORT));
    let good = SockAddrIn6::new("2001:db8::3".parse().unwrap(), 0);
    let both =
        CarpPeers { carpp_vhid: 0, carpp_addr: SockAddrIn::new([10, 0, 0, 3].into()), carpp_addr6: good };
    w.cx(|cx| ioctl::setpeers(cx, &sc, &both)).unwrap();
    assert_eq!(w.cx(|cx| ioctl::getpeers(cx, &sc)).carpp_addr6.addr(), good.addr());
    assert_eq!(sc.state(), State::Backup);
}

#[test]
fn what_leaves_by_a_carp_interface_is_counted_and_goes_to_its_parent() {
    let (w, sc) = master();
    let stats = &sc.sc_if.stats;
    let before = (stats.opackets.value(), stats.obytes.value());
    let parent = output::output(&w.n0, &sc, 100, true).map(|p| p.if_xname.as_str().to_owned());
    assert_eq!(parent.as_deref(), Ok("em0"));
    let after = (stats.opackets.value() - before.0, stats.obytes.value() - before.1, stats.omcasts.value());
    assert_eq!(after, (1, 114, 1));
    output::output(&w.n0, &sc, 1, false).unwrap();
    assert_eq!(stats.omcasts.value(), 1);
    let mut w = World::new();
    let alone = w.carp_if("carp0");
    assert_eq!(output::output(&w.n0, &alone, 100, false).map(drop), Err(Errno::ENETUNREACH));
    assert_eq!((alone.sc_if.stats.oerrors.value(), alone.sc_if.stats.opackets.value()), (1, 0));
}

#[test]
fn a_halt_bows_out_of_every_master() {
    let (mut w, sc) = master();
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 0, 5]).unwrap();
    w.effects();
    w.cx(|cx| output::bow_out_all(cx));
    assert_eq!(w.effects().first(), Some(&Ad("carp0", 1, 255, 255)));
    assert_eq!((sc.state(), sc1.state()), (State::Init, State::Backup));
}

#[test]
fn a_timeout_in_init_is_told_and_in_master_means_nothing() {
    let (mut w, sc) = World::with_carp0(0);
    w.down(&sc);
    w.cx(|cx| state::master_down(cx, &sc, Reason::MasterTimedOut));
    assert_eq!(
        (sc.state(), w.kern.logged.take()),
        (State::Init, vec!["carp0: master_down event in INIT state".into()])
    );
    let (mut w, sc) = master();
    w.cx(|cx| state::master_down(cx, &sc, Reason::MasterTimedOut));
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
}

fn transitions(w: &mut World, sc: &Arc<CarpSoftc>) -> Vec<String> {
    w.kern.logged.take();
    w.down(sc);
    w.up(sc);
    w.pass(4 * SEC);
    w.hear(sc, 1, 0).unwrap();
    w.hear(sc, 255, 255).unwrap();
    w.hear(sc, 1, 0).unwrap();
    w.carp.own(&w.n0).opts.preempt.set(1);
    w.hear(sc, 1, 200).unwrap();
    w.down(sc);
    w.up(sc);
    w.carp.own(&w.n0).opts.preempt.set(0);
    w.kern.logged.take()
}

#[test]
fn transitions_are_logged_at_level_2_in_upstreams_sentences() {
    let (mut w, sc) = World::with_carp0(100);
    assert_eq!(transitions(&mut w, &sc), [""; 0]);
    w.carp.own(&w.n0).opts.log.set(2);
    let said = [
        "carp0: INIT -> BACKUP",
        "carp0: BACKUP -> MASTER (master timed out)",
        "carp0: MASTER -> BACKUP (more frequent advertisement received)",
        "carp0: BACKUP -> MASTER (master timed out)",
        "carp0: MASTER -> BACKUP (more frequent advertisement received)",
        "carp0: BACKUP -> MASTER (preempting a slower master)",
        "carp0: INIT -> MASTER (preempting)",
    ];
    assert_eq!(transitions(&mut w, &sc), said);
    assert_eq!(w.carp.own(&w.n0).stats().carps_preempt, 2);
}

#[test]
fn complaints_are_bounded_told_and_can_be_turned_off() {
    let (mut w, sc) = World::with_carp0(100);
    let mut bad = w.ad_of_peer(&sc, 1, 0, 1);
    bad[8] = 64;
    bad[10..12].fill(0);
    let sum = compat::netinet::in_::in_cksum(&bad[..20]).to_be_bytes();
    bad[10..12].copy_from_slice(&sum);
    for _ in 0..20 {
        assert_eq!(w.hear_packet(&sc, &bad), Err(DropReason::Ttl(64)));
    }
    assert_eq!(w.kern.logged.take(), vec!["carp_proto_input: received ttl 64 != 255 on carp0"; 5]);
    w.pass(2 * SEC);
    assert_eq!(w.hear_packet(&sc, &bad), Err(DropReason::Ttl(64)));
    assert_eq!(
        w.kern.logged.take().first().map(String::as_str),
        Some("carp: 15 more bad packets were not logged")
    );
    w.carp.own(&w.n0).opts.log.set(0);
    w.pass(2 * SEC);
    assert_eq!(w.hear_packet(&sc, &bad), Err(DropReason::Ttl(64)));
    w.cx(|cx| log::info(cx, format_args!("unheard")));
    assert_eq!(w.kern.logged.take(), [""; 0]);
    w.carp.own(&w.n0).opts.allow.set(0);
    w.carp.own(&w.n0).opts.log.set(1);
    let good = w.ad_of_peer(&sc, 1, 0, 1);
    assert_eq!(w.hear_packet(&sc, &good), Err(DropReason::NotAllowed));
    assert_eq!(w.kern.logged.take(), [""; 0], "what is not allowed is not told either");
}

#[test]
fn what_is_wrong_with_an_ipv4_advertisement_is_said_as_upstream_says_it() {
    let (mut w, sc) = World::with_carp0(100);
    let body = w.ad_of_peer(&sc, 1, 0, 1)[20..].to_vec();
    let mut bad_sum = body.clone();
    bad_sum[8] ^= 1;
    let to = |body: &[u8], dst| peer_packet(body, 255, dst);
    let group = [224, 0, 0, 18];
    assert_eq!(w.hear_packet(&sc, &to(&body[..35], group)), Err(DropReason::Short(55)));
    assert_eq!(w.hear_packet(&sc, &to(&bad_sum, group)), Err(DropReason::Cksum));
    assert_eq!(w.hear_packet(&sc, &to(&body, [10, 0, 0, 1])), Err(DropReason::NonMulticast));
    let mut forged = w.ad_of_peer(&sc, 1, 0, 1)[20..].to_vec();
    forged[20] ^= 1;
    forged[6..8].fill(0);
    let sum = compat::netinet::in_::in_cksum(&forged).to_be_bytes();
    forged[6..8].copy_from_slice(&sum);
    assert_eq!(w.hear_packet(&sc, &to(&forged, group)), Err(DropReason::Auth));
    let said = [
        "packet too short 55 on carp0",
        "carp_proto_input: checksum failed on carp0",
        "carp_proto_input: non-mcast packet on interface: carp0",
        "carp0: incorrect hash",
    ];
    assert_eq!(w.kern.logged.take(), said);
}

#[test]
fn a_master_that_is_as_slow_as_a_backup_waits_for_it_is_no_master_only_beyond_that() {
    let (mut w, sc) = World::with_carp0(100);
    w.setvh(&sc, CarpReq { carpr_advbase: 2, carpr_advskew: 100, ..w.keep("secret") }).unwrap();
    w.hear(&sc, 6, 100).unwrap();
    assert_eq!(sc.state(), State::Backup);
    w.hear(&sc, 6, 101).unwrap();
    assert_eq!(sc.state(), State::Master);
}

#[test]
fn an_advertisement_of_another_version_is_counted_and_told() {
    let (mut w, sc) = World::with_carp0(100);
    let mut body = w.ad_of_peer(&sc, 1, 0, 1)[20..].to_vec();
    body[0] = 0x31;
    body[6..8].fill(0);
    let sum = compat::netinet::in_::in_cksum(&body).to_be_bytes();
    body[6..8].copy_from_slice(&sum);
    assert_eq!(w.hear_packet(&sc, &peer_packet(&body, 255, [224, 0, 0, 18])), Err(DropReason::Version(3)));
    assert_eq!(w.kern.logged.take(), ["carp0; invalid version 3"]);
    assert_eq!(w.carp.own(&w.n0).stats().carps_badver, 1);
}

#[test]
fn a_request_for_a_state_and_a_skew_advertises_the_new_skew() {
    let (mut w, sc) = World::with_carp0(100);
    let req = CarpReq { carpr_state: State::Master as i32, carpr_advskew: 50, ..w.keep("secret") };
    w.setvh(&sc, req).unwrap();
    assert!(w.effects().contains(&Ad("carp0", 1, 1, 50)));
}
