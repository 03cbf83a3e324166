//! What OpenBSD's `regress/sys/netinet/carp` shows of its kernel: a group that
//! is demoted makes its members backups and the other machine's masters, and
//! the roles swap within a tenth of a second.
//!
//! The scripts look 0.1 s after the command. A machine that runs other things
//! meanwhile may take longer, so here the capture is read: the successor speaks
//! after it is told, and before it could for any other reason. The tenth of a
//! second itself is held to in virtual time, by `netisrd/tests/demote.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use std::net::Ipv4Addr;
use tests::lab::{self, Frame, Needs, Netisrd, PATIENCE, Wire, on_tap, settled};

const IP1: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
const IP2: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 3);
/// The successor's own timer takes as many intervals, counted here in what the
/// old master says: on a busy machine that slows down as all else does.
const MASTER_DOWN: usize = 3;

struct Stage {
    wire: Wire,
    m1: Netisrd,
    m2: Netisrd,
}

impl Stage {
    /// Runs a command on a machine, waits until the other one is master, and
    /// asserts that this is what it was told: the old master raises its skew,
    /// and the new one answers at once.
    fn swap(&self, from: &Netisrd, command: &str, old: Ipv4Addr, new: Ipv4Addr) {
        let mark = self.wire.mark();
        from.ifconfig(command).ok();
        let to = if from.name == "m1" { &self.m2 } else { &self.m1 };
        let raised = |f: &Frame| f.is_advert_of(old) && f.advert().is_some_and(|a| a.advskew >= 240);
        let told = self.wire.wait_for(mark, "an advertisement with a raised skew", PATIENCE, raised);
        let first = self.wire.wait_for(mark, "the successor's first", PATIENCE, |f| f.is_advert_of(new));
        assert!(told < first, "the successor did not wait to be told");
        let frames = self.wire.frames();
        let between = frames[told..first].iter().filter(|f| f.is_advert_of(old)).count();
        let took = frames[first].stamp.saturating_sub(frames[told].stamp);
        println!("{command}: the roles swapped in {took:?}, {between} advertisements");
        assert!(between < MASTER_DOWN, "that was a timer, not what it heard: {took:?}");
        to.wait_master("carp0");
        from.wait_backup("carp0");
        let (master, _) = settled(&self.wire, 251, ["carp0"; 2], [&self.m1, &self.m2]);
        assert_eq!(master.name, to.name);
    }
}

/// Two machines, each with its carp interface in a group of its own; the first
/// is better, and they preempt. With or without a peer.
fn stage(peers: [&str; 2], body: impl FnOnce(&Stage)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let m1 = on_tap(lab, "m1", "em0@br0", IP1);
        let m2 = on_tap(lab, "m2", "em1@br0", IP2);
        for ((m, tap, group, skew), peer) in
            [(&m1, "em0", "rega", 0), (&m2, "em1", "regb", 100)].into_iter().zip(peers)
        {
            m.sysctl("net.inet.carp.preempt=1");
            let words = format!("carpdev {tap} -group carp group {group} {peer}");
            m.carp("carp0", &format!("vhid 251 advskew {skew} {words} 192.168.0.1/24"));
        }
        let (master, _) = settled(&wire, 251, ["carp0"; 2], [&m1, &m2]);
        assert_eq!(master.name, "m1");
        let s = Stage { wire, m1, m2 };
        body(&s);
        for m in [&s.m1, &s.m2] {
            let s = m.stats();
            assert_eq!((s.badauth, s.badsum, s.badver, s.badlen, s.badttl), (0, 0, 0, 0, 0), "{}", m.name);
        }
    });
}

/// `carp_1.sh`, and `carp_2.sh`, where the carp interfaces have their parents'
/// Ethernet addresses, which ours never have.
#[test]
fn a_demoted_group_swaps_the_roles_and_a_restored_one_swaps_them_back() {
    stage(["", ""], |s| {
        s.swap(&s.m1, "-g rega carpdemote", IP1, IP2);
        assert_eq!(s.m1.ifconfig("-v -g rega").ok(), "rega: carp demote count 1\ncarp0\n");
        // demoted twice, it stays demoted until both are taken back
        s.m1.ifconfig("-g rega carpdemote 2").ok();
        s.m1.ifconfig("-g rega -carpdemote").ok();
        let (master, _) = settled(&s.wire, 251, ["carp0"; 2], [&s.m1, &s.m2]);
        assert_eq!(master.name, "m2");
        s.m1.ifconfig("-g rega -carpdemote 2").ok();
        s.m1.wait_master("carp0");
        s.m2.wait_backup("carp0");
        let (master, _) = settled(&s.wire, 251, ["carp0"; 2], [&s.m1, &s.m2]);
        assert_eq!(master.name, "m1");
    });
}

/// `carp_4.sh`: the same with unicast advertisements (`carppeer`).
#[test]
fn a_demoted_group_swaps_the_roles_of_peers() {
    stage(["peer 192.168.0.3", "peer 192.168.0.2"], |s| {
        s.swap(&s.m1, "-g rega carpdemote", IP1, IP2);
        let adverts = s.wire.frames();
        assert!(adverts.iter().filter(|f| f.advert().is_some()).all(|f| f.dst()[0] & 1 == 0));
    });
}

/// A group of which the carp interface is no member does nothing to it.
#[test]
fn another_group_is_nobodys_concern() {
    stage(["", ""], |s| {
        s.m1.ifconfig("em0 group other").ok();
        let mark = s.wire.mark();
        s.m1.ifconfig("-g other carpdemote 100").ok();
        let (master, _) = settled(&s.wire, 251, ["carp0"; 2], [&s.m1, &s.m2]);
        assert_eq!(master.name, "m1");
        let adverts: Vec<_> = s.wire.since(mark).iter().filter_map(Frame::advert).collect();
        assert!(adverts.iter().all(|a| a.advskew == 0 && a.src == IP1), "{adverts:?}");
    });
}
