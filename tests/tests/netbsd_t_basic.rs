//! What NetBSD's `tests/net/carp/t_basic` shows of its kernel, shown of ours
//! under the same names, with the same addresses, vhid and password: a master
//! halts, or its interface goes down, and the address answers again; over IPv4
//! and IPv6, on a parent with an address of its own and on one without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use std::net::IpAddr;
use std::time::Duration;
use tests::lab::{self, Frame, Host, Lab, Needs, Netisrd, PATIENCE, Wire, virtual_mac};

const VHID: u8 = 175;
/// As long as NetBSD's client keeps trying.
const HANDOVER: Duration = Duration::from_secs(5);

/// Which addresses are used.
struct Family {
    name: &'static str,
    master: &'static str,
    backup: &'static str,
    carp: &'static str,
    len: u8,
}

const IPV4: Family =
    Family { name: "inet", master: "10.1.1.1", backup: "10.1.1.2", carp: "10.1.1.100", len: 24 };
const IPV6: Family =
    Family { name: "inet6", master: "fd00:1::1", backup: "fd00:1::2", carp: "fd00:1::100", len: 64 };

/// What ends the master.
#[derive(PartialEq)]
enum Op {
    Halt,
    Ifdown,
}

impl Family {
    fn address(&self, addr: &str) -> String {
        format!("{} {addr}/{}", self.name, self.len)
    }

    fn carp(&self) -> IpAddr {
        self.carp.parse().unwrap()
    }
}

/// A machine with carp0 on a tap that has an address of its own, or none.
fn setup_carp(lab: &Lab, f: &Family, name: &str, tap: &str, ip: Option<&str>, advskew: u8) -> Netisrd {
    let machine = lab.netisrd(name).tap(&format!("{tap}@br0")).start();
    let params = format!("vhid {VHID} advskew {advskew} advbase 1 pass s3cret {}", f.address(f.carp));
    match ip {
        Some(ip) => {
            machine.ifconfig(&format!("{tap} {}", f.address(ip))).ok();
            machine.carp("carp0", &params);
        }
        None => {
            machine.ifconfig(&format!("{tap} up")).ok();
            machine.carp("carp0", &format!("carpdev {tap} {params}"));
        }
    }
    machine
}

fn advertises(f: &Frame) -> bool {
    f.advert().is_some_and(|a| a.vhid == VHID && !a.is_bow_out())
}

/// Only the one behind the first wire advertises.
fn assert_alone(master: &Wire, other: &Wire) {
    let (here, there) = (master.mark(), other.mark());
    master.wait_count(here, 3, "advertisements of the master", advertises);
    assert!(!other.since(there).iter().any(advertises), "and of nobody else");
}

/// Every word for the virtual address came from the virtual MAC.
fn assert_vip_is_virtual(wire: &Wire, client: &Host, f: &Family) {
    let vip = f.carp();
    for frame in wire.frames() {
        let arp = frame.arp().is_some_and(|a| a.spa == vip);
        let ip = frame.ipv4().is_some_and(|ip| ip.src == vip) || frame.ipv6().is_some_and(|ip| ip.src == vip);
        assert!(!(arp || ip) || frame.src() == virtual_mac(VHID), "{frame:?}");
        assert!(!arp || frame.arp().is_some_and(|a| a.sha == virtual_mac(VHID)), "{frame:?}");
        let told = frame.nd().filter(|n| n.kind == 136 && n.target == vip).and_then(|n| n.lladdr);
        assert!(told.is_none_or(|mac| mac == virtual_mac(VHID)), "{frame:?}");
    }
    assert_eq!(client.neighbour(vip), Some(virtual_mac(VHID)));
}

fn handover(f: &Family, op: &Op, carpdevip: bool) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let client = lab.host6("c1", "br0", "10.1.1.240/24", "fd00:1::240/64");
        let m1 = setup_carp(lab, f, "m1", "em0", carpdevip.then_some(f.master), 0);
        let m2 = setup_carp(lab, f, "m2", "em1", carpdevip.then_some(f.backup), 200);
        let (said1, said2) = (lab.wire_in("em0"), lab.wire_in("em1"));
        m1.wait_master("carp0");
        m2.wait_backup("carp0");
        assert_alone(&said1, &said2);
        assert!(m1.ifconfig("carp0").ok().contains("\tcarpdev: em0\n"));
        assert!(m2.ifconfig("carp0").ok().contains("\tcarpdev: em1\n"));
        if carpdevip {
            assert_eq!((client.ping(f.master, 1), client.ping(f.backup, 1)), (1, 1));
        }
        assert_eq!(client.ping(f.carp, 3), 3);

        let (mark, mark1) = (wire.mark(), said1.mark());
        if *op == Op::Halt {
            m1.signal(Signal::SIGTERM);
            assert_eq!(m1.wait_exit().code(), Some(0));
        } else {
            m1.ifconfig("em0 down").ok();
            m1.wait_state("carp0", "INIT", PATIENCE);
        }
        m2.wait_master("carp0");
        let left = wire.wait_for(mark, "the master's last word", PATIENCE, is_last_word);
        let taken = wire.wait_for(left, "the successor's advertisement", PATIENCE, advertises);
        let frames = wire.frames();
        let took = frames[taken].stamp.saturating_sub(frames[left].stamp);
        assert!(took < HANDOVER, "the successor took {took:?}");
        assert!(!said1.since(mark1).iter().skip_while(|f| !is_last_word(f)).any(advertises), "it is over");
        if carpdevip {
            assert_eq!(client.ping_nobody(f.master, 1), 0, "the master is dead");
        }
        assert_eq!(client.ping(f.carp, 3), 3, "the other one answers");
        let (here, there) = (said2.mark(), said1.mark());
        said2.wait_count(here, 3, "advertisements of the successor", advertises);
        assert_eq!(said1.since(there).len(), 0, "the dead one says nothing");
        assert_eq!(m2.state("carp0"), "MASTER");
        assert!(m2.ifconfig("carp0").ok().contains("\tcarpdev: em1\n"));
        assert_vip_is_virtual(&wire, &client, f);
        let s = m2.stats();
        assert_eq!((s.badauth, s.badsum, s.badver, s.badlen, s.badttl), (0, 0, 0, 0, 0));
    });
}

fn is_last_word(f: &Frame) -> bool {
    f.advert().is_some_and(|a| a.is_bow_out())
}

#[test]
fn carp_handover_ipv4_halt_carpdevip() {
    handover(&IPV4, &Op::Halt, true);
}

#[test]
fn carp_handover_ipv4_halt_nocarpdevip() {
    handover(&IPV4, &Op::Halt, false);
}

#[test]
fn carp_handover_ipv4_ifdown_carpdevip() {
    handover(&IPV4, &Op::Ifdown, true);
}

#[test]
fn carp_handover_ipv4_ifdown_nocarpdevip() {
    handover(&IPV4, &Op::Ifdown, false);
}

#[test]
fn carp_handover_ipv6_halt_carpdevip() {
    handover(&IPV6, &Op::Halt, true);
}

#[test]
fn carp_handover_ipv6_halt_nocarpdevip() {
    handover(&IPV6, &Op::Halt, false);
}

#[test]
fn carp_handover_ipv6_ifdown_carpdevip() {
    handover(&IPV6, &Op::Ifdown, true);
}

#[test]
fn carp_handover_ipv6_ifdown_nocarpdevip() {
    handover(&IPV6, &Op::Ifdown, false);
}
