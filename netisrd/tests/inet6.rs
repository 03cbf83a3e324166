//! IPv6 in whole machines, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Client, Lab, SEC, VMAC, del6, name, parse6};
use compat::net::ethernet::{ETHERTYPE_IPV6, EtherHeader};
use compat::netinet6::icmp6::{CHANGE_TO_EXCLUDE_MODE, ICMP6_ECHO_REPLY, ND_NA_FLAG_OVERRIDE, Nd};
use compat::netinet6::in6::{IPPROTO_ICMPV6, linklocal_of, map_ipv6_multicast, solicited_node};
use compat::netinet6::ip6::{Ip6, in6_cksum};
use compat::sys::ctlsock::Request;
use core::net::Ipv6Addr;
use netisrd::dev::lan::filter;
use netisrd::sim::MachineId;

fn vip6() -> Ipv6Addr {
    parse6("2001:db8::1")
}

/// emN with 2001:db8::N/64 too, and 2001:db8::1/64 on carp0.
fn dual(lab: &mut Lab, n: u8, ncpus: usize, advskew: i32) -> MachineId {
    let id = lab.machine(n, ncpus, advskew);
    let em = name(&format!("em{n}"));
    lab.addr6(id, em, &format!("2001:db8::{n}"));
    lab.addr6(id, name("carp0"), "2001:db8::1");
    id
}

/// The advertisements for `target` that came for the client: MAC in the frame,
/// MAC in the option, whether solicited.
fn adverts(c: &mut Client, target: Ipv6Addr) -> Vec<([u8; 6], [u8; 6])> {
    let mut found = Vec::new();
    for f in c.all_heard() {
        let eh = EtherHeader::parse(&f).unwrap();
        let Some(ip6) = (eh.ether_type == ETHERTYPE_IPV6).then(|| Ip6::parse(&f[14..]).unwrap()) else {
            continue;
        };
        if ip6.nxt != IPPROTO_ICMPV6 {
            continue;
        }
        if let Some(Nd::Advert { target: t, lladdr: Some(mac), flags }) =
            Nd::parse(&ip6, ip6.payload(&f[14..]))
            && t == target
        {
            assert!(flags & ND_NA_FLAG_OVERRIDE != 0);
            assert_eq!(in6_cksum(ip6.src, ip6.dst, IPPROTO_ICMPV6, ip6.payload(&f[14..])), 0);
            found.push((eh.shost, mac));
        }
    }
    found
}

#[test]
fn only_the_master_answers_a_solicitation_and_only_with_the_virtual_mac() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let ids = [dual(&mut lab, 2, 1, 0), dual(&mut lab, 3, 4, 100)];
        let mut c = lab.client();
        lab.world.run_for(5 * SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
        c.all_heard();
        c.solicit(vip6());
        lab.world.run_for(SEC / 100);
        assert_eq!(adverts(&mut c, vip6()), [(VMAC, VMAC)]);
        c.ping6(VMAC, vip6());
        lab.world.run_for(SEC / 100);
        let echo = c.heard();
        assert_eq!(echo.len(), 1);
        assert_eq!((&echo[0][6..12], echo[0][54]), (&VMAC[..], ICMP6_ECHO_REPLY));
        // To the backup's own MAC: it is not the backup's address.
        c.ping6([2, 0, 0, 0, 0, 3], vip6());
        lab.world.run_for(SEC / 100);
        assert_eq!(c.heard().len(), 0);
        // Its own it answers for, with its own MAC; its link-local one too.
        for own in [parse6("2001:db8::3"), linklocal_of([2, 0, 0, 0, 0, 3])] {
            c.solicit(own);
            lab.world.run_for(SEC / 100);
            assert_eq!(adverts(&mut c, own), [([2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 3])]);
            c.ping6([2, 0, 0, 0, 0, 3], own);
            lab.world.run_for(SEC / 100);
            assert_eq!(c.heard().len(), 1);
        }
    }
}

#[test]
fn a_takeover_is_announced_to_all_nodes_with_the_virtual_mac() {
    let mut lab = Lab::new(3);
    let (a, b) = (dual(&mut lab, 2, 2, 0), dual(&mut lab, 3, 2, 100));
    let mut c = lab.client();
    lab.world.run_for(5 * SEC);
    c.all_heard();
    lab.world.halt(a);
    lab.world.run_for(SEC / 100);
    assert_eq!(lab.state(b), 2);
    // Once at the bow-out over IPv4, and once more since the one over IPv6 has
    // shown switches the old place after that.
    assert_eq!(adverts(&mut c, vip6()), [(VMAC, VMAC); 2]);
}

#[test]
fn losing_ipv4_alone_makes_no_second_master() {
    let mut lab = Lab::new(4);
    let ids = [dual(&mut lab, 2, 1, 0), dual(&mut lab, 3, 1, 100)];
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.states(&ids), [2, 1]);
    // A switch that forgets 224.0.0.18.
    lab.lan.set_medium(Some(filter(|_, f| f[12..14] != [8, 0])));
    lab.world.run_for(60 * SEC);
    assert_eq!(lab.states(&ids), [2, 1]);
    lab.world.crash(ids[0]);
    lab.world.run_for(4 * SEC);
    assert_eq!(lab.state(ids[1]), 2);
}

/// Error: neighbour solicitation with the real MAC.
#[test]
fn a_neighbour_is_solicited_in_the_name_of_the_virtual_address_with_the_virtual_mac() {
    let mut lab = Lab::new(5);
    let a = dual(&mut lab, 2, 1, 0);
    let c = lab.client();
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.state(a), 2);
    lab.wire.lock().unwrap().clear();
    // The client's MAC is not known yet: it has asked for nothing.
    c.ping6(VMAC, vip6());
    lab.world.run_for(SEC / 100);
    let wire = lab.wire.lock().unwrap();
    let mut solicitations = 0;
    for f in wire.iter().filter(|f| f[12..14] == [0x86, 0xdd]) {
        let ip6 = Ip6::parse(&f[14..]).unwrap();
        if let Some(Nd::Solicit { lladdr, .. }) = Nd::parse(&ip6, ip6.payload(&f[14..])) {
            assert_eq!((&f[6..12], lladdr, ip6.src), (&VMAC[..], Some(VMAC), vip6()));
            solicitations += 1;
        }
    }
    assert_eq!(solicitations, 1);
}

/// Error: BACKUP takes MASTER's neighbour advertisement for a duplicate
/// address.
#[test]
fn a_backup_does_not_take_the_masters_advertisement_for_a_duplicate() {
    let mut lab = Lab::new(6);
    let ids = [dual(&mut lab, 2, 1, 0), dual(&mut lab, 3, 1, 100)];
    lab.world.run_for(5 * SEC);
    let c = lab.client();
    for dst in ["ff02::1", "2001:db8::3"] {
        let nd = Nd::Advert { target: vip6(), flags: ND_NA_FLAG_OVERRIDE, lladdr: Some(VMAC) };
        c.send_nd(vip6(), parse6(dst), &nd);
    }
    lab.world.run_for(SEC / 100);
    assert_eq!(lab.states(&ids), [2, 1]);
    lab.world.crash(ids[0]);
    lab.world.run_for(4 * SEC);
    let mut c = lab.client();
    c.solicit(vip6());
    lab.world.run_for(SEC / 100);
    assert_eq!(adverts(&mut c, vip6()), [(VMAC, VMAC)], "it has the address still, and serves it");
}

#[test]
fn a_link_local_virtual_address_is_served_on_its_own_link_alone() {
    let mut lab = Lab::new(7);
    let a = dual(&mut lab, 2, 1, 0);
    let other = netisrd::dev::lan::Lan::new();
    lab.world.attach(a, other.attach(name("em9"), [2, 0, 0, 0, 0, 9], 1)).unwrap();
    lab.addr6(a, name("em9"), "2001:db8:9::9");
    lab.addr6(a, name("carp0"), "fe80::1");
    let mut c = lab.client();
    let mut stranger = Client { dev: other.attach(name("c0"), [2, 0, 0, 0, 0, 0xdd], 1) };
    lab.world.run_for(5 * SEC);
    let target = parse6("fe80::1");
    c.all_heard();
    c.solicit(target);
    stranger.solicit(target);
    lab.world.run_for(SEC / 100);
    assert_eq!(adverts(&mut c, target), [(VMAC, VMAC)]);
    assert_eq!(adverts(&mut stranger, target), []);
    c.ping6(VMAC, target);
    lab.world.run_for(SEC / 100);
    assert_eq!(c.heard().len(), 1);
}

/// The groups that a report on the wire says were joined.
fn joined(lab: &Lab) -> Vec<Ipv6Addr> {
    let wire = lab.wire.lock().unwrap();
    let reports = wire.iter().filter(|f| f[12..14] == [0x86, 0xdd] && f[20] == 0 && f[62] == 143);
    let mut groups = Vec::new();
    for f in reports {
        let ip6 = Ip6::parse(&f[14..]).unwrap();
        assert_eq!(in6_cksum(ip6.src, ip6.dst, IPPROTO_ICMPV6, &ip6.payload(&f[14..])[8..]), 0);
        assert_eq!((ip6.hlim, ip6.src.is_unicast_link_local() || ip6.src.is_unspecified()), (1, true));
        for r in f[70..].chunks(20).filter(|r| r[0] == CHANGE_TO_EXCLUDE_MODE || r[0] == 2) {
            groups.push(Ipv6Addr::from(<[u8; 16]>::try_from(&r[4..20]).unwrap()));
        }
    }
    groups
}

#[test]
fn groups_are_reported_when_they_are_joined_and_when_a_querier_asks() {
    let mut lab = Lab::new(8);
    let a = dual(&mut lab, 2, 1, 0);
    lab.world.run_for(SEC);
    let expected = ["ff02::12", "ff02::1:ff00:1", "ff02::1:ff00:2"].map(parse6);
    let said = joined(&lab);
    assert!(expected.iter().all(|g| said.contains(g)), "{said:?}");
    lab.wire.lock().unwrap().clear();
    let c = lab.client();
    c.query();
    lab.world.run_for(SEC / 100);
    let mut answered = joined(&lab);
    answered.sort();
    answered.retain(|g| expected.contains(g));
    assert_eq!(answered, {
        let mut e = expected;
        e.sort();
        e
    });
    assert_eq!(lab.state(a), 1);
}

#[test]
fn bad_ipv6_is_counted_and_harms_nobody() {
    let mut lab = Lab::new(9);
    let a = dual(&mut lab, 2, 2, 0);
    let c = lab.client();
    lab.world.run_for(5 * SEC);
    let count = |lab: &mut Lab, what: &str| {
        let r = lab.ok(a, Request::sysctl(&format!("net.inet6.ip6.stats.{what}"), &[]));
        i32::from_ne_bytes(r.data.try_into().unwrap())
    };
    let src = parse6("2001:db8::9");
    let ip6 = Ip6 { plen: 0, nxt: 17, hlim: 64, src, dst: vip6() };
    c.send(VMAC, ETHERTYPE_IPV6, &ip6.packet(b"udp"));
    c.send(VMAC, ETHERTYPE_IPV6, &ip6.packet(b"udp")[..41]);
    c.send(VMAC, ETHERTYPE_IPV6, &[0x60]);
    c.send(VMAC, ETHERTYPE_IPV6, &Ip6 { dst: parse6("2001:db8::77"), ..ip6 }.packet(b"x"));
    c.send(VMAC, ETHERTYPE_IPV6, &Ip6 { src: parse6("ff02::1"), ..ip6 }.packet(b"x"));
    let mut v4 = ip6.packet(b"x");
    v4[0] = 0x45;
    c.send(VMAC, ETHERTYPE_IPV6, &v4);
    // Hop-by-hop options that are no query, and go beyond the packet.
    c.send(VMAC, ETHERTYPE_IPV6, &Ip6 { nxt: 0, ..ip6 }.packet(&[58, 200, 0, 0, 0, 0, 0, 0]));
    for nxt in [0, 58, 112] {
        for len in 0..40 {
            c.send(
                map_ipv6_multicast(solicited_node(vip6())),
                ETHERTYPE_IPV6,
                &Ip6 { nxt, ..ip6 }.packet(&vec![135; len]),
            );
        }
    }
    lab.world.run_for(SEC / 100);
    let seen = ["noproto", "badlen", "cantforward", "badscope", "badvers"].map(|w| count(&mut lab, w));
    assert!(seen[0] >= 2 && seen[1] == 2 && seen[2] >= 1 && seen[3] == 1 && seen[4] == 1, "{seen:?}");
    assert_eq!(lab.state(a), 2);
}

/// What backs IPv6 on the preferred machine goes, and comes late when it starts again.
/// The other one serves both families meanwhile, unless that is no reason to yield, as
/// on DragonFly: then who has a part keeps it.
#[test]
fn with_a_factor_both_families_are_served_by_whoever_can_serve_both() {
    for (factor, seed) in [(240, 0), (240, 1), (0, 2)] {
        let mut lab = Lab::new(seed);
        let ids = [dual(&mut lab, 2, 2, 0), dual(&mut lab, 3, 1, 100)];
        for id in ids {
            lab.sysctl(id, "net.inet.carp.preempt", 1);
            lab.sysctl(id, "net.inet.carp.unbacked_demotion_factor", factor);
        }
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
        lab.ok(ids[0], del6(name("em2"), "2001:db8::2"));
        lab.world.run_for(SEC / 10);
        let other = [1, 2];
        assert_eq!(lab.states(&ids), if factor > 0 { other } else { [2, 1] }, "gone, seed {seed}");
        if factor == 0 {
            continue;
        }
        lab.set_up(ids[0], name("carp0"), false);
        lab.set_up(ids[0], name("carp0"), true);
        lab.world.run_for(30 * SEC);
        assert_eq!(lab.states(&ids), other, "started with IPv4 alone, seed {seed}");
        let mut c = lab.client();
        c.solicit(vip6());
        lab.world.run_for(SEC / 10);
        assert_eq!(adverts(&mut c, vip6()).len(), 1, "seed {seed}");
        lab.addr6(ids[0], name("em2"), "2001:db8::2");
        lab.world.run_for(3 * SEC);
        assert_eq!(lab.states(&ids), [2, 1], "whole again, seed {seed}");
    }
}
