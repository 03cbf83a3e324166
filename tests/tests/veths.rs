//! Machines on existing interfaces (`-i`), beside hosts that keep their own
//! addresses. Needs no tap, so it runs for an ordinary user too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use std::time::Duration;
use tests::lab::{
    self, Frame, Host, N1, N2, Needs, Netisrd, PATIENCE, Pinger, VIP, Wire, on_veth, virtual_host,
    virtual_mac,
};

struct Stage {
    wire: Wire,
    h1: Host,
    h2: Host,
    client: Host,
    m1: Netisrd,
    m2: Netisrd,
}

fn stage(body: impl FnOnce(Stage)) {
    lab::run(Needs::namespaces().programs(&["ping", "arping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let h1 = lab.host("n1", "br0", &format!("{N1}/24"));
        let h2 = lab.host("n2", "br0", &format!("{N2}/24"));
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        let m1 = on_veth(lab, &h1);
        m1.carp("carp0", &virtual_host(0));
        m1.wait_master("carp0");
        let m2 = on_veth(lab, &h2);
        m2.carp("carp0", &virtual_host(100));
        m2.wait_backup("carp0");
        body(Stage { wire, h1, h2, client, m1, m2 });
    });
}

/// Only the host itself tells where its own address is; only the virtual MAC
/// is told for the virtual address.
fn assert_nobody_tells_another(s: &Stage) {
    for f in s.wire.frames() {
        let Some(arp) = f.arp() else { continue };
        let right = match arp.spa {
            N1 => s.h1.mac,
            N2 => s.h2.mac,
            VIP => virtual_mac(1),
            _ => continue,
        };
        assert_eq!(arp.sha, right, "{f:?}");
    }
}

#[test]
fn machines_on_existing_interfaces_share_the_address_as_on_taps() {
    stage(|s| {
        assert_eq!(s.client.ping(VIP, 3), 3);
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
        let pinger = Pinger::start(&s.client, VIP, Duration::from_millis(5));
        pinger.wait_answer();
        s.m1.proc.kill();
        let mark = s.wire.mark();
        s.m2.wait_master("carp0");
        pinger.wait_answer();
        s.wire.wait_count(mark, 3, "advertisements of the second", |f| f.is_advert_of(N2));
        assert!(!s.wire.since(mark).iter().any(|f| f.is_advert_of(N1)));
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
        assert_nobody_tells_another(&s);
        println!("longest gap: {:?}", pinger.longest_gap());
    });
}

#[test]
fn the_host_answers_for_its_own_address_and_alone() {
    stage(|s| {
        for host in [&s.h1, &s.h2] {
            let mark = s.wire.mark();
            let said = s.client.run(&format!("arping -c 3 -i v0 {}", host.ip)).ok();
            assert_eq!(said.matches(&lab::show_mac(host.mac)).count(), 3, "{said}");
            assert_eq!(s.client.ping(host.ip, 3), 3);
            // a fence: whoever answers twice has done so before this is answered
            assert_eq!(s.client.ping(VIP, 1), 1);
            let frames = s.wire.since(mark);
            let count = |p: &dyn Fn(&Frame) -> bool| frames.iter().filter(|f| p(f)).count();
            let asked = count(&|f| f.arp().is_some_and(|a| a.op == 1 && a.tpa == host.ip));
            let told = count(&|f| f.arp().is_some_and(|a| a.op == 2 && a.spa == host.ip));
            assert_eq!(asked, told, "one answer to each question");
            assert_eq!(count(&|f| f.is_echo_reply_of(host.ip)), 3, "one reply to each ping");
            assert!(!frames.iter().any(|f| f.is_echo_reply_of(host.ip) && f.src() != host.mac));
        }
        assert_nobody_tells_another(&s);
    });
}

#[test]
fn sigterm_hands_over_and_leaves_the_hosts_interface_as_it_was() {
    stage(|s| {
        let mark = s.wire.mark();
        s.m1.signal(Signal::SIGTERM);
        assert_eq!(s.m1.wait_exit().code(), Some(0));
        s.m2.wait_master("carp0");
        let bows_out = |f: &Frame| f.is_advert_of(N1) && f.advert().is_some_and(|a| a.is_bow_out());
        let bow_out = s.wire.wait_for(mark, "a bow-out", PATIENCE, bows_out);
        let first = s.wire.wait_for(mark, "the successor's first", PATIENCE, |f| f.is_advert_of(N2));
        assert!(bow_out < first);
        let link = s.h1.run("ip -d -o link show dev v0").ok();
        assert!(link.contains("promiscuity 0"), "left promiscuous: {link}");
        assert_eq!(s.client.ping(N1, 2), 2, "the host still answers");
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert_nobody_tells_another(&s);
    });
}
