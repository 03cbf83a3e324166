//! The virtual IPv6 address beside neighbours that are real: a Linux host
//! whose kernel does its own neighbour discovery, and a Linux bridge that
//! snoops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tests::lab::{
    self, Events, Frame, Host, Lab, Mac, Needs, Neighbours, Netisrd, PATIENCE, Pinger, Wire, settle, settled,
    solicited_node, virtual_mac,
};

const VIP: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
const LINK_LOCAL_VIP: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
/// Where advertisements go.
const CARP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
const TAPS: [&str; 2] = ["em0", "em1"];

/// A client that pings the address, with a record of every Ethernet address
/// that its kernel has believed in.
struct Stage<'a> {
    lab: &'a Lab,
    wire: Wire,
    client: Host,
    neighbours: Neighbours,
    machines: [Netisrd; 2],
    pinger: Pinger,
}

/// A machine on a tap, fd77::N, with the virtual address and a link-local one.
fn machine(lab: &Lab, n: usize) -> Netisrd {
    let tap = TAPS[n];
    let machine = lab.netisrd(&format!("m{n}")).tap(&format!("{tap}@br0")).start();
    machine.ifconfig(&format!("{tap} inet6 fd77::{}/64", n + 1)).ok();
    machine.sysctl(&format!("net.inet.carp.preempt={}", 1 - n));
    machine.carp("carp0", &format!("vhid 1 advskew {} pass secret inet6 {VIP}/64", n * 100));
    machine.ifconfig(&format!("carp0 inet6 {LINK_LOCAL_VIP}/64 alias")).ok();
    machine
}

fn stage(bridge: impl FnOnce(&Lab), body: impl FnOnce(Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        bridge(lab);
        let wire = lab.wire("br0");
        let client = lab.host6("c1", "br0", "10.77.0.9/24", "fd77::9/64");
        let neighbours = Neighbours::watch(Some("c1"));
        let first = machine(lab, 0);
        first.wait_master("carp0");
        let second = machine(lab, 1);
        second.wait_backup("carp0");
        let pinger = Pinger::start(&client, VIP, Duration::from_millis(5));
        pinger.wait_answer();
        body(Stage { lab, wire, client, neighbours, machines: [first, second], pinger });
    });
}

impl Stage<'_> {
    fn settled(&self) -> (&Netisrd, &Netisrd) {
        settled(&self.wire, 1, ["carp0"; 2], [&self.machines[0], &self.machines[1]])
    }

    /// What holds of all that was said and believed.
    fn assert_only_the_virtual_mac(&self) {
        for vip in [VIP, LINK_LOCAL_VIP] {
            let told = |f: &Frame| f.nd().filter(|n| n.kind == 136 && n.target == vip).and_then(|n| n.lladdr);
            for f in self.wire.frames() {
                assert!(told(&f).is_none_or(|mac| mac == virtual_mac(1)), "{f:?}");
                let from = f.ipv6().is_some_and(|ip| ip.src == vip);
                assert!(!from || f.src() == virtual_mac(1), "{f:?}");
            }
        }
        let believed = self.neighbours.all();
        let of = |vip: Ipv6Addr| -> Vec<Mac> {
            believed.iter().filter(|l| l.of == IpAddr::V6(vip)).map(|l| l.mac).collect()
        };
        assert!(!of(VIP).is_empty(), "the kernel told of the entry");
        for vip in [VIP, LINK_LOCAL_VIP] {
            assert!(of(vip).iter().all(|mac| *mac == virtual_mac(1)), "{vip}: {believed:?}");
        }
        assert_eq!(self.client.neighbour(VIP), Some(virtual_mac(1)));
        let (gap, lost) = self.pinger.longest_gap();
        println!("longest gap {gap:?}, {lost} lost");
    }
}

fn ordinary(lab: &Lab) {
    lab.bridge("br0");
}

#[test]
fn a_ping_survives_a_killed_master_and_its_return() {
    stage(ordinary, |mut s| {
        s.settled();
        s.machines[0].proc.kill();
        s.machines[1].wait_master("carp0");
        s.pinger.wait_answer();
        settle(&s.wire, 1);
        s.lab.wait_gone("em0");
        s.machines[0] = machine(s.lab, 0);
        s.machines[0].wait_master("carp0");
        s.machines[1].wait_backup("carp0");
        assert_eq!(s.settled().0.name, "m0");
        s.pinger.wait_answer();
        s.assert_only_the_virtual_mac();
    });
}

#[test]
fn a_ping_survives_a_planned_handover_and_its_end() {
    stage(ordinary, |s| {
        s.settled();
        let mark = s.wire.mark();
        s.machines[0].ifconfig("carp0 down").ok();
        s.machines[1].wait_master("carp0");
        s.pinger.wait_answer();
        let bow_out = |f: &Frame| f.advert().is_some_and(|a| a.src.is_ipv6() && a.is_bow_out());
        let told = s.wire.wait_for(mark, "a bow-out", PATIENCE, bow_out);
        let announced =
            |f: &Frame| f.nd().is_some_and(|n| n.kind == 136 && n.target == VIP && n.dst.is_multicast());
        s.wire.wait_for(told, "the successor's announcement", PATIENCE, announced);
        settle(&s.wire, 1);
        s.machines[0].ifconfig("carp0 up").ok();
        s.machines[0].wait_master("carp0");
        assert_eq!(s.settled().0.name, "m0");
        s.pinger.wait_answer();
        s.machines[0].signal(Signal::SIGTERM);
        assert_eq!(s.machines[0].wait_exit().code(), Some(0));
        s.machines[1].wait_master("carp0");
        s.pinger.wait_answer();
        s.assert_only_the_virtual_mac();
    });
}

/// What a Linux host does when it is in doubt: it asks by unicast, then the
/// group again; and what one does that has just come: it asks for the first
/// time.
#[test]
fn a_neighbour_that_asks_anew_is_told_the_virtual_mac() {
    stage(ordinary, |s| {
        s.settled();
        let group = solicited_node(VIP);
        let mark = s.wire.mark();
        for _ in 0..3 {
            s.client.run(&format!("ip neigh flush dev v0 to {VIP}")).ok();
            s.pinger.wait_answer();
        }
        let asked = |f: &Frame| f.nd().is_some_and(|n| n.kind == 135 && n.target == VIP && n.dst == group);
        assert!(s.wire.since(mark).iter().any(asked), "nobody asked");
        s.client.run(&format!("ip neigh change {VIP} dev v0 nud probe")).ok();
        let by_unicast = |f: &Frame| {
            let to = f.dst() == virtual_mac(1);
            to && f.nd().is_some_and(|n| n.kind == 135 && n.target == VIP)
        };
        let mark = s.wire.wait_for(mark, "a solicitation by unicast", PATIENCE, by_unicast);
        let answer = |f: &Frame| f.nd().is_some_and(|n| n.kind == 136 && n.target == VIP);
        let told = s.wire.next(mark, "its answer", answer).nd().unwrap();
        assert_eq!(told.lladdr, Some(virtual_mac(1)));
        s.assert_only_the_virtual_mac();
    });
}

#[test]
fn a_link_local_virtual_address_is_answered_too() {
    stage(ordinary, |s| {
        s.settled();
        let scoped = format!("{LINK_LOCAL_VIP}%v0");
        assert_eq!(s.client.ping(&scoped, 3), 3);
        assert_eq!(s.client.neighbour(LINK_LOCAL_VIP), Some(virtual_mac(1)));
        s.machines[0].ifconfig("carp0 down").ok();
        s.machines[1].wait_master("carp0");
        assert_eq!(s.client.ping(&scoped, 3), 3);
        // each machine's own address, made of its own MAC, is its own still
        for tap in TAPS {
            let shown = s.machines[usize::from(tap == "em1")].ifconfig(tap).ok();
            let own = shown.split("inet6 fe80").nth(1).and_then(|t| t.split('%').next());
            assert_eq!(s.client.ping(format!("fe80{}%v0", own.unwrap()), 2), 2, "{shown}");
        }
        s.assert_only_the_virtual_mac();
    });
}

/// All groups that a machine needs are reported: CARP's, and the one that is
/// asked for each address.
#[test]
fn what_a_machine_listens_to_is_reported() {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let _machine = machine(lab, 0);
        let mut missing = vec![CARP, solicited_node(VIP), solicited_node("fd77::1".parse().unwrap())];
        wire.wait_for(0, "reports of all groups", PATIENCE, |f| {
            missing.retain(|g| !f.mld_joined().contains(g));
            missing.is_empty()
        });
        for f in wire.frames().iter().filter(|f| !f.mld_joined().is_empty()) {
            let ip = f.ipv6().unwrap();
            assert_eq!((ip.hlim, ip.dst), (1, "ff02::16".parse().unwrap()), "{f:?}");
            let local = ip.src.is_unspecified() || ip.src.is_unicast_link_local();
            assert!(local, "{f:?}");
        }
    });
}

fn advertises(f: &Frame) -> bool {
    f.advert().is_some_and(|a| a.dst == IpAddr::V6(CARP))
}

/// Whether a bridge port is known to listen to CARP's group.
fn wait_listener(port: &str) {
    let wanted = format!("port {port} grp {CARP}");
    Events::open(None).wait_until(&wanted, || {
        lab::Said::by(None, lab::command("bridge mdb show dev br0")).ok().contains(&wanted)
    });
}

/// The client has not asked for advertisements, so once the bridge snoops it
/// gets none; both machines do, and one that comes back later does.
#[test]
fn a_snooping_bridge_passes_advertisements_to_the_machines_and_to_nobody_else() {
    stage(
        |lab| lab.snooping_bridge("br0"),
        |mut s| {
            let (clients, backups) = (s.lab.wire("c1"), s.lab.wire("em1"));
            TAPS.into_iter().for_each(wait_listener);
            // from the first advertisement on that is not for everybody any more
            let spared = |mark: usize, heard: usize| {
                backups.wait_count(heard, 2, "advertisements for the backup", advertises);
                !clients.since(mark).iter().any(advertises)
            };
            let until = std::time::Instant::now() + PATIENCE;
            while !spared(clients.mark(), backups.mark()) {
                assert!(std::time::Instant::now() < until, "the bridge does not snoop");
            }
            let (mark, heard) = (clients.mark(), backups.mark());
            assert_eq!(s.settled().0.name, "m0");
            s.pinger.wait_answer();
            s.machines[0].proc.kill();
            s.machines[1].wait_master("carp0");
            s.pinger.wait_answer();
            s.lab.wait_gone("em0");
            // it does not preempt: only what it hears keeps it from being master
            s.machines[0] = machine_that_does_not_preempt(s.lab);
            s.machines[0].wait_backup("carp0");
            let firsts = s.lab.wire("em0");
            wait_listener("em0");
            firsts.wait_count(0, 4, "advertisements for the newcomer", advertises);
            assert_eq!(s.settled().0.name, "m1");
            assert!(!clients.since(mark).iter().any(advertises), "the client is spared");
            assert!(backups.since(heard).iter().any(advertises));
            s.assert_only_the_virtual_mac();
        },
    );
}

fn machine_that_does_not_preempt(lab: &Lab) -> Netisrd {
    let machine = lab.netisrd("m0").tap("em0@br0").start();
    machine.ifconfig("em0 inet6 fd77::1/64").ok();
    machine.carp("carp0", &format!("vhid 1 advskew 0 pass secret inet6 {VIP}/64"));
    machine.ifconfig(&format!("carp0 inet6 {LINK_LOCAL_VIP}/64 alias")).ok();
    machine
}
