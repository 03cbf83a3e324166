//! Two machines on taps of a bridge, and a client that uses their address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use std::time::Duration;
use tests::lab::{
    self, Frame, Host, Lab, N1, N2, Needs, Netisrd, PATIENCE, Pinger, VIP, Wire, on_tap, virtual_host,
    virtual_mac,
};

/// The better machine, which preempts, is MASTER; the other one is BACKUP; the
/// client has a ping running and answered.
struct Stage<'a> {
    lab: &'a Lab,
    wire: Wire,
    client: Host,
    m1: Netisrd,
    m2: Netisrd,
    pinger: Pinger,
}

impl Stage<'_> {
    /// Waits until both are as told and the client is answered.
    fn wait(&self, m1: &str, m2: &str) {
        self.m1.wait_state("carp0", m1, PATIENCE);
        self.m2.wait_state("carp0", m2, PATIENCE);
        self.pinger.wait_answer();
    }

    /// Asserts what holds at the end of every failover.
    fn assert_clean(&self) {
        let frames = self.wire.frames();
        assert_vip_is_virtual(&frames);
        assert_eq!(self.client.neighbour(VIP), Some(virtual_mac(1)));
        let (gap, lost) = self.pinger.longest_gap();
        println!("longest gap {gap:?}, {lost} lost");
    }
}

/// No ARP packet tells another Ethernet address for the virtual address.
fn assert_vip_is_virtual(frames: &[Frame]) {
    let wrong = |f: &&Frame| f.arp().is_some_and(|a| a.spa == VIP && a.sha != virtual_mac(1));
    let wrong: Vec<_> = frames.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "a real address was told for the virtual one: {wrong:#?}");
}

fn first_machine(lab: &Lab) -> Netisrd {
    let m1 = on_tap(lab, "m1", "em0@br0", N1);
    m1.sysctl("net.inet.carp.preempt=1");
    m1.carp("carp0", &virtual_host(0));
    m1
}

fn stage(body: impl FnOnce(Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        let m1 = first_machine(lab);
        m1.wait_master("carp0");
        let m2 = on_tap(lab, "m2", "em1@br0", N2);
        m2.carp("carp0", &virtual_host(100));
        m2.wait_backup("carp0");
        let pinger = Pinger::start(&client, VIP, Duration::from_millis(5));
        pinger.wait_answer();
        body(Stage { lab, wire, client, m1, m2, pinger });
    });
}

fn bow_out_of(src: std::net::Ipv4Addr) -> impl Fn(&Frame) -> bool {
    move |f| f.is_advert_of(src) && f.advert().is_some_and(|a| a.is_bow_out())
}

#[test]
fn the_better_of_two_is_master_and_answers_for_the_address() {
    stage(|s| {
        let mark = s.wire.mark();
        s.wire.wait_count(mark, 4, "advertisements of the master", |f| f.is_advert_of(N1));
        assert_eq!((s.m1.state("carp0"), s.m2.state("carp0")), ("MASTER".into(), "BACKUP".into()));
        assert!(!s.wire.frames().iter().any(|f| f.is_advert_of(N2)), "a backup advertises");
        assert_eq!(s.client.ping(VIP, 3), 3);
        s.assert_clean();
        for m in [&s.m1, &s.m2] {
            let stats = m.stats();
            assert_eq!((stats.badauth, stats.badsum, stats.badttl, stats.badlen), (0, 0, 0, 0), "{}", m.name);
        }
    });
}

#[test]
fn the_other_takes_over_from_a_killed_master_which_comes_back() {
    stage(|mut s| {
        s.m1.proc.kill();
        let mark = s.wire.mark();
        s.m2.wait_master("carp0");
        s.pinger.wait_answer();
        let answers = |f: &Frame| f.is_echo_reply_of(VIP) && f.src() == virtual_mac(1);
        let first = s.wire.wait_for(mark, "the successor's advertisement", PATIENCE, |f| f.is_advert_of(N2));
        let answer = s.wire.wait_for(mark, "an answer from the virtual MAC", PATIENCE, answers);
        assert!(first < answer, "answered before it advertised");
        assert!(!s.wire.since(mark).iter().any(|f| f.is_advert_of(N1)));
        s.lab.wait_gone("em0");

        let mark = s.wire.mark();
        s.m1 = first_machine(s.lab);
        s.wait("MASTER", "BACKUP");
        s.wire.wait_count(mark, 3, "advertisements of the first", |f| f.is_advert_of(N1));
        assert_eq!((s.m1.state("carp0"), s.m2.state("carp0")), ("MASTER".into(), "BACKUP".into()));
        s.assert_clean();
    });
}

#[test]
fn sigterm_hands_over_with_a_bow_out() {
    stage(|s| {
        let mark = s.wire.mark();
        s.m1.signal(Signal::SIGTERM);
        assert_eq!(s.m1.wait_exit().code(), Some(0));
        s.m2.wait_master("carp0");
        s.pinger.wait_answer();
        let bow_out = s.wire.wait_for(mark, "a bow-out", PATIENCE, bow_out_of(N1));
        let first = s.wire.wait_for(mark, "the successor's first", PATIENCE, |f| f.is_advert_of(N2));
        assert!(bow_out < first, "the successor did not wait for the bow-out");
        assert!(!s.wire.since(bow_out + 1).iter().any(|f| f.is_advert_of(N1)), "the last word is the last");
        s.lab.wait_gone("em0");
        s.assert_clean();
    });
}

#[test]
fn down_hands_over_and_up_takes_back() {
    stage(|s| {
        let mark = s.wire.mark();
        s.m1.ifconfig("carp0 down").ok();
        s.wait("INIT", "MASTER");
        s.wire.wait_for(mark, "a bow-out", PATIENCE, bow_out_of(N1));
        let mark = s.wire.mark();
        s.wire.wait_count(mark, 3, "advertisements of the second", |f| f.is_advert_of(N2));
        assert!(!s.wire.since(mark).iter().any(|f| f.is_advert_of(N1)), "it is down");

        s.m1.ifconfig("carp0 up").ok();
        s.wait("MASTER", "BACKUP");
        let mark = s.wire.mark();
        s.wire.wait_count(mark, 3, "advertisements of the first", |f| f.is_advert_of(N1));
        assert!(!s.wire.since(mark).iter().any(|f| f.is_advert_of(N2)), "it yielded");
        s.assert_clean();
    });
}

#[test]
fn destroy_hands_over_with_a_bow_out_and_leaves_the_machine_usable() {
    stage(|s| {
        let mark = s.wire.mark();
        s.m1.ifconfig("carp0 destroy").ok();
        s.m2.wait_master("carp0");
        s.pinger.wait_answer();
        let bow_out = s.wire.wait_for(mark, "a bow-out", PATIENCE, bow_out_of(N1));
        let first = s.wire.wait_for(mark, "the successor's first", PATIENCE, |f| f.is_advert_of(N2));
        assert!(bow_out < first);
        let gone = s.m1.ifconfig("carp0");
        assert_eq!((gone.status.code(), gone.stdout.as_str()), (Some(1), ""), "{gone:?}");
        assert!(!s.wire.since(bow_out + 1).iter().any(|f| f.is_advert_of(N1)), "a timer fired after destroy");

        s.m1.carp("carp0", &virtual_host(0));
        s.wait("MASTER", "BACKUP");
        s.assert_clean();
    });
}
