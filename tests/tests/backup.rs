//! A BACKUP is silent about the virtual address, and nobody ever tells the
//! parent's Ethernet address for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use tests::lab::{
    self, Frame, Host, Mac, N1, N2, Needs, Ucarp, UcarpSetup, VIP, Wire, arp_request, on_tap, show_mac,
    virtual_host, virtual_mac,
};

/// Asks for the virtual address in every way, and says how often it was
/// answered: arping, ping by ARP, ping to the virtual MAC.
fn answers(client: &Host, ping: impl Fn() -> u32) -> (usize, u32, u32) {
    let arping = client.run(&format!("arping -c 3 -i v0 {VIP}"));
    let arps = arping.stdout.lines().filter(|l| l.contains("bytes from")).count();
    client.run("ip neigh flush dev v0").ok();
    let by_arp = ping();
    let virtual_mac = show_mac(virtual_mac(1));
    client.run(&format!("ip neigh replace {VIP} lladdr {virtual_mac} dev v0 nud permanent")).ok();
    let by_mac = ping();
    client.run(&format!("ip neigh del {VIP} dev v0")).ok();
    (arps, by_arp, by_mac)
}

/// The machine's answer to a question for its own address, asked of it after
/// everything else: what it wanted to say before, it has said. Its real MAC.
fn fence(wire: &Wire, said: &Wire) -> Mac {
    let mark = said.mark();
    wire.inject(&arp_request([2, 0, 0, 0, 0, 9], "10.77.0.8".parse().unwrap(), N1));
    let f = said.next(mark, "the answer for its own address", |f| f.arp().is_some_and(|a| a.spa == N1));
    f.arp().unwrap().sha
}

#[test]
fn a_backup_answers_nothing_for_the_virtual_address_and_a_master_only_with_the_virtual_mac() {
    lab::run(Needs::namespaces().taps().programs(&["ucarp", "ping", "arping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let peer = lab.host("u1", "br0", &format!("{N2}/24"));
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        // a master that does not answer: whoever does is the machine
        let ucarp = Ucarp::start(lab, &peer, &UcarpSetup::new(VIP, 0).advertise_only());
        ucarp.wait_state("MASTER");
        let machine = on_tap(lab, "m1", "em0@br0", N1);
        let said = lab.wire_in("em0");
        machine.carp("carp0", &virtual_host(100));
        machine.wait_backup("carp0");
        let heard = wire.mark();
        wire.wait_count(heard, 2, "advertisements of ucarp", |f| f.is_advert_of(N2));

        assert_eq!(answers(&client, || client.ping_nobody(VIP, 3)), (0, 0, 0), "a backup answers");
        let real = fence(&wire, &said);
        let asked = |f: &&Frame| f.arp().is_some_and(|a| a.op == 1 && a.tpa == VIP);
        assert!(wire.frames().iter().filter(asked).count() >= 3, "it was asked");
        assert_eq!(machine.state("carp0"), "BACKUP");
        let of_vip = |f: &&Frame| {
            let arp = f.arp().is_some_and(|a| a.spa == VIP);
            let ip = f.ipv4().is_some_and(|ip| ip.src == VIP || ip.protocol == 112);
            arp || ip || f.src() == virtual_mac(1)
        };
        let frames = said.frames();
        let wrong: Vec<_> = frames.iter().filter(of_vip).collect();
        assert!(wrong.is_empty(), "a backup says {wrong:#?}");

        // as MASTER all of that is answered
        let mark = said.mark();
        ucarp.proc.kill();
        machine.wait_master("carp0");
        let gratuitous = |f: &Frame| f.arp().is_some_and(|a| (a.spa, a.tpa) == (VIP, VIP));
        let f = said.next(mark, "a gratuitous ARP", gratuitous);
        assert_eq!((f.arp().unwrap().sha, f.dst()), (virtual_mac(1), lab::BROADCAST), "{f:?}");
        assert_eq!(answers(&client, || client.ping(VIP, 3)), (3, 3, 3), "a master answers");
        assert_ne!(real, virtual_mac(1));
        assert_eq!(fence(&wire, &said), real);
        for f in said.frames() {
            if let Some(a) = f.arp().filter(|a| a.spa == VIP) {
                assert_eq!(a.sha, virtual_mac(1), "the parent's MAC is told: {f:?}");
                assert_eq!(f.src(), virtual_mac(1), "the bridge would learn the wrong port: {f:?}");
            }
        }
    });
}

/// Asked by unicast to its real MAC, as when a neighbour refreshes an entry.
#[test]
fn the_real_mac_is_not_told_even_when_it_is_asked_directly() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = on_tap(lab, "m1", "em0", N1);
        let wire = lab.wire("em0");
        let said = lab.wire_in("em0");
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &virtual_host(0));
        machine.wait_master("carp0");
        let real = fence(&wire, &said);
        for to in [real, virtual_mac(1), lab::BROADCAST] {
            let mark = said.mark();
            let mut ask = arp_request([2, 0, 0, 0, 0, 9], "10.77.0.8".parse().unwrap(), VIP);
            ask[..6].copy_from_slice(&to);
            wire.inject(&ask);
            fence(&wire, &said);
            let told: Vec<_> =
                said.since(mark).iter().filter_map(Frame::arp).filter(|a| a.spa == VIP).collect();
            assert!(told.iter().all(|a| a.sha == virtual_mac(1)), "asked at {}: {told:?}", show_mac(to));
            if to == lab::BROADCAST {
                said.next(mark, "an answer", |f| f.arp().is_some_and(|a| a.op == 2 && a.spa == VIP));
            }
        }
    });
}
