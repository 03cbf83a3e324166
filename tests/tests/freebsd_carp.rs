//! What FreeBSD's `tests/sys/netinet/carp.sh` shows of its kernel, shown of
//! ours under the same names, with the same virtual addresses and the same way to say
//! it: a vhid is no interface of its own, but belongs to the one it is on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use std::net::{IpAddr, Ipv6Addr};
use tests::lab::{
    self, Frame, Host, Lab, Mac, Needs, Netisrd, Wire, adverts, settled, solicited_node, virtual_mac,
};

const TAPS: [&str; 2] = ["em0", "em1"];

/// A bridge with a host of its own, and two machines with nothing on their
/// taps yet.
struct Stage {
    wire: Wire,
    client: Host,
    machines: [Netisrd; 2],
}

impl Stage {
    /// Configures both, each by its lines.
    fn configure(&self, lines: [&[&str]; 2]) {
        for ((machine, tap), lines) in self.machines.iter().zip(TAPS).zip(lines) {
            for line in lines {
                machine.ifconfig(&format!("{tap} {line}")).ok();
            }
        }
    }

    fn settled(&self) -> (&Netisrd, &Netisrd) {
        settled(&self.wire, 1, TAPS, [&self.machines[0], &self.machines[1]])
    }

    /// Neither found fault with anything that it heard.
    fn assert_no_errors(&self) {
        for m in &self.machines {
            let s = m.stats();
            assert_eq!((s.badauth, s.badsum, s.badver, s.badlen, s.badttl), (0, 0, 0, 0, 0), "{}", m.name);
        }
    }
}

fn stage(body: impl FnOnce(&Lab, Stage)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let client = lab.host6("c1", "br0", "192.0.2.4/29", "2001:db8::4/64");
        let machines = [("m1", "em0"), ("m2", "em1")]
            .map(|(name, tap)| lab.netisrd(name).tap(&format!("{tap}@br0")).start());
        body(lab, Stage { wire, client, machines });
    });
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// FreeBSD: of two machines with one virtual address, whose own addresses are
/// of another net even, one becomes master and the address answers.
#[test]
fn basic_v4() {
    stage(|_, s| {
        s.configure([&["192.0.2.202/29", "vhid 1 192.0.2.1/29"], &["192.0.2.203/29", "vhid 1 192.0.2.1/29"]]);
        s.settled();
        assert_eq!(s.client.ping("192.0.2.1", 3), 3);
        assert_eq!(s.client.neighbour([192, 0, 2, 1]), Some(virtual_mac(1)));
        s.assert_no_errors();
    });
}

/// FreeBSD: the same over IPv6.
#[test]
fn basic_v6() {
    stage(|_, s| {
        s.configure([
            &["inet6 2001:db8::1:2/64", "inet6 2001:db8::1/64 vhid 1"],
            &["inet6 2001:db8::1:3/64", "inet6 2001:db8::1/64 vhid 1"],
        ]);
        s.settled();
        assert_eq!(s.client.ping("2001:db8::1", 3), 3);
        assert_eq!(s.client.neighbour(v6("2001:db8::1")), Some(virtual_mac(1)));
        assert!(adverts(&s.wire.frames()).iter().all(|a| a.src.is_ipv6()));
        s.assert_no_errors();
    });
}

/// All advertisements go to the other's address `peers` and Ethernet address,
/// and still do when the interval is set anew.
fn assert_unicast(s: &Stage, peers: [IpAddr; 2]) {
    let (master, backup) = s.settled();
    let (tap, to) = if master.name == "m1" { (TAPS[0], peers[1]) } else { (TAPS[1], peers[0]) };
    let mark = s.wire.mark();
    master.ifconfig(&format!("{tap} vhid 1 advskew 10")).ok();
    let anew = |f: &Frame| f.advert().is_some_and(|a| a.dst == to && a.advskew == 10);
    s.wire.wait_count(mark, 3, "advertisements of the new interval", anew);
    for f in s.wire.frames() {
        if let Some(a) = f.advert() {
            assert!(peers.contains(&a.dst) && a.src != a.dst, "{a:?}");
            assert_eq!(f.dst()[0] & 1, 0, "the frame is for a group: {f:?}");
        }
    }
    let heard = backup.stats();
    assert!(heard.ipackets + heard.ipackets6 >= 4, "the other one heard it: {heard:?}");
    s.settled();
    s.assert_no_errors();
}

/// FreeBSD: with `peer` the advertisements go to one machine only (there with a
/// router between them). A last byte of 224 makes no group of an address, which
/// is what FreeBSD once took it for (PR 284872).
#[test]
fn unicast_v4() {
    stage(|_, s| {
        s.configure([
            &["198.51.100.2/24", "vhid 1 peer 198.51.100.224 192.0.2.1/29"],
            &["198.51.100.224/24", "vhid 1 peer 198.51.100.2 192.0.2.1/29"],
        ]);
        assert_unicast(&s, [[198, 51, 100, 2].into(), [198, 51, 100, 224].into()]);
        assert_eq!(s.client.ping("192.0.2.1", 3), 3);
    });
}

/// FreeBSD: the same over IPv6 (there with a router between them).
#[test]
fn unicast_v6() {
    stage(|_, s| {
        s.configure([
            &["inet6 2001:db8:1::2/64", "inet6 2001:db8::1/64 vhid 1 peer6 2001:db8:1::3"],
            &["inet6 2001:db8:1::3/64", "inet6 2001:db8::1/64 vhid 1 peer6 2001:db8:1::2"],
        ]);
        assert_unicast(&s, [v6("2001:db8:1::2").into(), v6("2001:db8:1::3").into()]);
        assert_eq!(s.client.ping("2001:db8::1", 3), 3);
    });
}

/// FreeBSD: the peer may be known by its link-local address.
#[test]
fn unicast_ll_v6() {
    stage(|_, s| {
        s.configure([
            &["inet6 fe80::202/64", "inet6 2001:db8::1/64 vhid 1 peer6 fe80::203%em0"],
            &["inet6 fe80::203/64", "inet6 2001:db8::1/64 vhid 1 peer6 fe80::202%em1"],
        ]);
        assert_unicast(&s, [v6("fe80::202").into(), v6("fe80::203").into()]);
        assert_eq!(s.client.ping("2001:db8::1", 3), 3);
    });
}

/// FreeBSD (PR 259528): a demotion below zero does not wrap into a skew that
/// makes two masters.
#[test]
fn negative_demotion() {
    stage(|_, s| {
        for m in &s.machines {
            m.sysctl("net.inet.carp.preempt=1");
        }
        s.configure([
            &["192.0.2.1/24", "vhid 1 192.0.2.254/24 advskew 0 pass foobar"],
            &["192.0.2.2/24", "vhid 1 192.0.2.254/24 advskew 100 pass foobar"],
        ]);
        assert_eq!(s.settled().0.name, "m1");
        for (m, by) in [(&s.machines[0], -1), (&s.machines[0], -1000), (&s.machines[1], -1)] {
            let mark = s.wire.mark();
            m.sysctl(&format!("net.inet.carp.demotion={by}"));
            assert_eq!(s.settled().0.name, "m1", "{} demoted by {by}", m.name);
            let said = adverts(&s.wire.since(mark));
            assert!(said.iter().all(|a| a.advskew == 0 && a.src == IpAddr::from([192, 0, 2, 1])), "{said:?}");
        }
        s.assert_no_errors();
    });
}

/// FreeBSD: an administrator makes a master a backup, and a master again.
#[test]
fn switch() {
    stage(|_, s| {
        s.configure([
            &["192.0.2.202/29", "vhid 1 advskew 50 192.0.2.1/29"],
            &["192.0.2.203/29", "vhid 1 advskew 100 192.0.2.1/29"],
        ]);
        let m1 = &s.machines[0];
        s.settled();
        m1.ifconfig("em0 vhid 1 state master").ok();
        assert_eq!(s.settled().0.name, "m1");
        let mark = s.wire.mark();
        m1.ifconfig("em0 vhid 1 state backup").ok();
        assert_eq!(s.settled().0.name, "m2");
        let bow_out = s.wire.since(mark).iter().filter_map(Frame::advert).any(|a| a.is_bow_out());
        assert!(bow_out, "the other one is told");
        m1.ifconfig("em0 vhid 1 state master").ok();
        assert_eq!(s.settled().0.name, "m1");
        assert_eq!(s.client.ping("192.0.2.1", 3), 3);
        s.assert_no_errors();
    });
}

/// FreeBSD (PR 193280): a neighbour solicitation in the name of the virtual
/// address comes from the virtual MAC and tells it; a backup sends none.
#[test]
fn nd6_ns_source_mac() {
    stage(|lab, s| {
        let vip = v6("2001:db8::1");
        let said = TAPS.map(|tap| lab.wire_in(tap));
        s.configure([
            &["inet6 2001:db8::1:2/64", "inet6 2001:db8::1/64 vhid 1 advskew 0"],
            &["inet6 2001:db8::1:3/64", "inet6 2001:db8::1/64 vhid 1 advskew 100"],
        ]);
        s.settled();
        s.machines[0].ifconfig("em0 vhid 1 state master").ok();
        assert_eq!(s.settled().0.name, "m1");

        // a station that nobody has heard of pings the address: to answer, the
        // master must ask who that is, in the virtual address's name
        let (station, mac): (_, Mac) = (v6("2001:db8::77"), [2, 0, 0, 0, 0, 0x77]);
        let mark = said[0].mark();
        s.wire.inject(&lab::echo_request6(virtual_mac(1), mac, station, vip));
        let asks = |f: &Frame| f.nd().is_some_and(|n| n.kind == 135 && n.target == station);
        let f = said[0].next(mark, "a solicitation of the master", asks);
        let nd = f.nd().unwrap();
        assert_eq!((f.src(), nd.src, nd.lladdr), (virtual_mac(1), vip, Some(virtual_mac(1))));
        assert_eq!(nd.dst, solicited_node(station));

        // nothing makes the backup say the virtual address, in either MAC's name
        let real = real_mac(&s, &said[1]);
        let mark = said[1].mark();
        for to in [virtual_mac(1), real] {
            s.wire.inject(&lab::echo_request6(to, mac, station, vip));
        }
        s.wire.inject(&lab::solicitation(mac, station, vip));
        real_mac(&s, &said[1]); // what it wanted to say before, it has said
        let wrong: Vec<_> = said[1].since(mark).into_iter().filter(|f| speaks_as(f, vip)).collect();
        assert!(wrong.is_empty(), "a backup says {wrong:#?}");

        assert_eq!(s.client.ping(vip, 3), 3);
        assert_eq!(s.client.neighbour(vip), Some(virtual_mac(1)));
        for f in s.wire.frames().iter().filter(|f| speaks_as(f, vip)) {
            assert_eq!(f.src(), virtual_mac(1), "{f:?}");
            assert!(f.nd().is_none_or(|n| n.lladdr.is_none_or(|l| l == virtual_mac(1))), "{f:?}");
        }
    });
}

/// From the address, or in its name.
fn speaks_as(f: &Frame, vip: Ipv6Addr) -> bool {
    f.ipv6().is_some_and(|ip| ip.src == vip) || f.nd().is_some_and(|n| n.kind == 136 && n.target == vip)
}

/// The second machine's Ethernet address, as it tells it.
fn real_mac(s: &Stage, said: &Wire) -> Mac {
    let (mark, own) = (said.mark(), v6("2001:db8::1:3"));
    s.wire.inject(&lab::solicitation([2, 0, 0, 0, 0, 0x78], v6("2001:db8::78"), own));
    let told = |f: &Frame| f.nd().is_some_and(|n| n.kind == 136 && n.target == own);
    let f = said.next(mark, "its own address", told);
    f.nd().and_then(|n| n.lladdr).unwrap()
}
