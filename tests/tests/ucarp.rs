//! `netisrd` and Debian's ucarp as each other's peer, in both roles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::sys::signal::Signal;
use tests::lab::{
    self, Frame, Host, Lab, N1, N2, Needs, Netisrd, PATIENCE, Ucarp, UcarpSetup, VIP, Wire, on_tap,
    virtual_host,
};

/// Enough advertisements to be sure that nothing changes any more.
const SETTLED: usize = 4;

struct Stage<'a> {
    lab: &'a Lab,
    wire: Wire,
    host: Host,
    machine: Netisrd,
}

impl Stage<'_> {
    fn ucarp(&self, setup: &UcarpSetup) -> Ucarp {
        Ucarp::start(self.lab, &self.host, setup)
    }

    fn carp(&self, advskew: u8) {
        self.machine.carp("carp0", &virtual_host(advskew));
    }

    /// Waits until `master` has advertised a few times more, and asserts that
    /// the other one has not meanwhile.
    fn settle(&self, master: std::net::Ipv4Addr) {
        let mark = self.wire.mark();
        self.wire.wait_count(mark, SETTLED, "advertisements of the master", |f| f.is_advert_of(master));
        let others = self.wire.since(mark);
        let others: Vec<_> = others.iter().filter(|f| f.advert().is_some_and(|a| a.src != master)).collect();
        assert!(others.is_empty(), "a backup advertises: {others:#?}");
    }

    /// Neither found fault with anything that the other one sent.
    fn assert_digests_agree(&self, ucarp: &Ucarp) {
        assert!(!ucarp.saw_bad_digest());
        let s = self.machine.stats();
        assert_eq!((s.badauth, s.badsum, s.badver, s.badlen, s.hdrops, s.badttl), (0, 0, 0, 0, 0, 0));
        for f in self.wire.frames() {
            if let Some(a) = f.advert() {
                assert_eq!(a.digest, lab::digest("secret", 1, &[VIP], a.counter), "{f:?}");
            }
        }
    }
}

/// A bridge with a host for ucarp and a machine, neither with a virtual host.
fn stage(body: impl FnOnce(Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ucarp", "ping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let host = lab.host("u1", "br0", &format!("{N2}/24"));
        let machine = on_tap(lab, "m1", "em0@br0", N1);
        body(Stage { lab, wire, host, machine });
    });
}

#[test]
fn a_better_netisrd_that_is_master_stays_master() {
    stage(|s| {
        s.carp(0);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100));
        ucarp.wait_state("BACKUP");
        s.settle(N1);
        assert_eq!((s.machine.state("carp0"), ucarp.state()), ("MASTER".into(), "BACKUP".into()));
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn a_better_netisrd_with_preempt_takes_over_and_ucarp_yields() {
    stage(|s| {
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100));
        ucarp.wait_state("MASTER");
        s.machine.sysctl("net.inet.carp.preempt=1");
        s.carp(0);
        s.machine.wait_master("carp0");
        ucarp.wait_state("BACKUP");
        s.settle(N1);
        assert_eq!(s.machine.state("carp0"), "MASTER");
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn a_better_netisrd_without_preempt_lets_ucarp_be() {
    stage(|s| {
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100));
        ucarp.wait_state("MASTER");
        s.carp(0);
        s.machine.wait_backup("carp0");
        s.settle(N2);
        assert_eq!((s.machine.state("carp0"), ucarp.state()), ("BACKUP".into(), "MASTER".into()));
        // The last one may be on its way.
        let stats = s.machine.wait_stats("advertisements of ucarp", |s| s.ipackets >= SETTLED as u64);
        assert_eq!(stats.opackets, 0, "it never advertised");
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn a_better_ucarp_with_preempt_takes_over_and_netisrd_yields() {
    stage(|s| {
        s.carp(100);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 0).preempt());
        ucarp.wait_state("MASTER");
        s.machine.wait_backup("carp0");
        s.settle(N2);
        assert_eq!((s.machine.state("carp0"), ucarp.state()), ("BACKUP".into(), "MASTER".into()));
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn a_better_ucarp_without_preempt_lets_netisrd_be() {
    stage(|s| {
        s.carp(100);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 0));
        ucarp.wait_state("BACKUP");
        s.settle(N1);
        assert_eq!((s.machine.state("carp0"), ucarp.state()), ("MASTER".into(), "BACKUP".into()));
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn ucarp_takes_over_from_a_killed_netisrd() {
    stage(|s| {
        let client = s.lab.host("c1", "br0", "10.77.0.9/24");
        s.carp(0);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100));
        ucarp.wait_state("BACKUP");
        s.settle(N1);
        assert_eq!(client.ping(VIP, 2), 2);
        s.machine.proc.kill();
        let mark = s.wire.mark();
        ucarp.wait_state("MASTER");
        s.settle(N2);
        let after = s.wire.since(mark);
        assert!(!after.iter().any(|f| f.is_advert_of(N1)), "a dead machine advertises");
        client.wait_neighbour(VIP, s.host.mac);
        assert_eq!(client.ping(VIP, 2), 2);
    });
}

#[test]
fn netisrd_takes_over_from_a_killed_ucarp() {
    stage(|s| {
        let client = s.lab.host("c1", "br0", "10.77.0.9/24");
        // a dead ucarp leaves its address behind, so here it never has it
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 0).advertise_only());
        ucarp.wait_state("MASTER");
        s.carp(100);
        s.machine.wait_backup("carp0");
        s.settle(N2);
        assert_eq!(s.machine.state("carp0"), "BACKUP");
        assert_eq!(client.ping_nobody(VIP, 2), 0, "a backup answers a ping");
        ucarp.proc.kill();
        s.machine.wait_master("carp0");
        s.settle(N1);
        assert_eq!(client.ping(VIP, 2), 2);
        assert_eq!(client.neighbour(VIP), Some(lab::virtual_mac(1)));
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn down_bows_out_and_ucarp_takes_over() {
    stage(|s| {
        s.carp(0);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100));
        ucarp.wait_state("BACKUP");
        s.settle(N1);
        let mark = s.wire.mark();
        s.machine.ifconfig("carp0 down").ok();
        ucarp.wait_state("MASTER");
        let bows_out = |f: &Frame| f.is_advert_of(N1) && f.advert().is_some_and(|a| a.is_bow_out());
        let bow_out = s.wire.wait_for(mark, "a bow-out", PATIENCE, bows_out);
        let first = s.wire.wait_for(mark, "ucarp's first", PATIENCE, |f| f.is_advert_of(N2));
        assert!(bow_out < first, "ucarp took over before it was told");
        s.settle(N2);
        let after = s.wire.since(bow_out + 1);
        assert!(!after.iter().any(|f| f.is_advert_of(N1)), "it advertises after its bow-out");
        s.assert_digests_agree(&ucarp);
    });
}

#[test]
fn sigterm_bows_out_and_ucarp_takes_over() {
    stage(|s| {
        s.carp(0);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100));
        ucarp.wait_state("BACKUP");
        s.settle(N1);
        s.assert_digests_agree(&ucarp);
        let mark = s.wire.mark();
        s.machine.signal(Signal::SIGTERM);
        assert_eq!(s.machine.wait_exit().code(), Some(0));
        ucarp.wait_state("MASTER");
        let own: Vec<_> = s.wire.since(mark).iter().filter(|f| f.is_advert_of(N1)).cloned().collect();
        let last = own.last().and_then(Frame::advert).expect("a last word");
        assert!(last.is_bow_out(), "{own:#?}");
        assert!(!ucarp.saw_bad_digest());
    });
}

#[test]
fn a_wrong_password_makes_two_masters_and_is_counted() {
    stage(|s| {
        s.carp(0);
        s.machine.wait_master("carp0");
        let ucarp = s.ucarp(&UcarpSetup::new(VIP, 100).pass("geheim"));
        ucarp.wait_state("MASTER");
        let mark = s.wire.mark();
        s.wire.wait_count(mark, SETTLED, "advertisements of ucarp", |f| f.is_advert_of(N2));
        s.wire.wait_count(mark, SETTLED, "advertisements of netisrd", |f| f.is_advert_of(N1));
        let stats = s.machine.wait_stats("badauth", |s| s.badauth >= SETTLED as u64);
        assert_eq!((stats.badsum, stats.badver, stats.badlen, stats.badttl), (0, 0, 0, 0));
        assert_eq!((s.machine.state("carp0"), ucarp.state()), ("MASTER".into(), "MASTER".into()));
        ucarp.proc.log.wait_line(0, "a bad digest", PATIENCE, |l| l.contains("Bad digest"));
    });
}
