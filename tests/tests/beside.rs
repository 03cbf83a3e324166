//! Others on the segment who are not our peers: keepalived, who speaks VRRP, and
//! ucarp, each with virtual routers of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::Ipv4Addr;
use tests::lab::{
    self, Events, Host, Keepalived, Lab, N1, N2, Needs, Netisrd, Stats, Ucarp, UcarpSetup, VIP, Vrrp, Wire,
    virtual_host, virtual_mac,
};

const VRRP_PLAIN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 201);
const VRRP_VMAC: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 202);
const UCARP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 203);

/// Two netisrds, the first of them MASTER of vhid 1, and a client.
struct Stage<'a> {
    lab: &'a Lab,
    wire: Wire,
    machines: [Netisrd; 2],
    /// Where the log of each begins to be quiet.
    marks: [usize; 2],
    client: Host,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    let programs = ["ping", "keepalived", "ucarp"];
    lab::run(Needs::namespaces().programs(&programs), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        wire.may_have_bad_frames("it would take VRRP for CARP");
        let machines = [("a", N1, 0), ("b", N2, 100)].map(|(ns, ip, skew)| {
            lab.host(ns, "br0", &format!("{ip}/24"));
            let machine = lab.netisrd(&format!("on-{ns}")).netns(ns).mirrored("v0").start();
            machine.sysctl(&format!("net.inet.carp.preempt={}", u8::from(skew == 0)));
            machine.carp("carp0", &virtual_host(skew));
            machine.wait_state("carp0", if skew == 0 { "MASTER" } else { "BACKUP" }, lab::PATIENCE);
            machine
        });
        // A state is known before its line is read.
        let marks = [0, 1].map(|n| {
            let begun = |l: &str| l.contains("carp0: INIT -> ");
            1 + machines[n].proc.log.wait_line(0, "its beginning", lab::PATIENCE, begun)
        });
        let client = lab.host("c", "br0", "10.77.0.9/24");
        body(&Stage { lab, wire, machines, marks, client });
    });
}

impl Stage<'_> {
    /// Waits until everybody has said something after all others have.
    fn wait_heard(&self, who: &[Ipv4Addr]) {
        let mark = self.wire.mark();
        for ip in who {
            let speaks = |f: &lab::Frame| f.ipv4().is_some_and(|p| p.protocol == 112 && p.src == *ip);
            self.wire.wait_for(mark, &format!("packet of {ip}"), lab::PATIENCE, speaks);
        }
    }

    /// Neither netisrd has said or counted anything since it got its state.
    fn assert_undisturbed(&self) {
        for (machine, mark) in self.machines.iter().zip(self.marks) {
            let mut said = machine.proc.log.since(mark);
            // That a busy machine gives it no turn is nobody's doing on the wire.
            said.retain(|l| !l.contains("WARN netisr0 "));
            assert_eq!(said, Vec::<String>::new(), "{}", machine.name);
            assert_eq!(drops(&machine.stats()), 0, "{}", machine.name);
        }
        let states = [0, 1].map(|n| self.machines[n].state("carp0"));
        assert_eq!(states, ["MASTER", "BACKUP"]);
    }
}

/// All that was dropped, whatever for.
fn drops(s: &Stats) -> u64 {
    s.badttl + s.hdrops + s.badsum + s.badver + s.badlen + s.badauth + s.badvhid + s.badaddrs
}

/// What a log says that is not of its own affairs.
fn complaints(lines: Vec<String>) -> Vec<String> {
    let bad = ["nvalid", "rror", "wrong", "ogus", "ismatch", "unknown", "too short", "Bad", "bad ", "ignor"];
    lines.into_iter().filter(|l| bad.iter().any(|word| l.contains(word))).collect()
}

#[test]
fn keepalived_ucarp_and_netisrd_do_not_disturb_each_other_and_each_hands_over() {
    stage(|s| {
        let hosts = [("k1", "10.77.0.11/24"), ("k2", "10.77.0.12/24"), ("u1", "10.77.0.21/24")]
            .map(|(ns, cidr)| s.lab.host(ns, "br0", cidr));
        let routers = [
            Vrrp { vrid: 51, addr: VRRP_PLAIN, use_vmac: false },
            Vrrp { vrid: 52, addr: VRRP_VMAC, use_vmac: true },
        ];
        let k1 = Keepalived::start(s.lab, &hosts[0], 150, &routers);
        let ucarp = Ucarp::start(s.lab, &hosts[2], &UcarpSetup { vhid: 3, ..UcarpSetup::new(UCARP, 0) });
        for r in &routers {
            k1.wait_state(r.vrid, "MASTER");
        }
        let k2 = Keepalived::start(s.lab, &hosts[1], 100, &routers);
        ucarp.wait_state("MASTER");
        s.wait_heard(&[N1, hosts[0].ip, hosts[2].ip]);
        s.assert_undisturbed();
        for addr in [VIP, VRRP_PLAIN, VRRP_VMAC, UCARP] {
            assert_eq!(s.client.ping(addr, 1), 1, "{addr}");
        }
        let macs = [VIP, VRRP_PLAIN, VRRP_VMAC].map(|addr| s.client.neighbour(addr).unwrap());
        assert_eq!(macs, [virtual_mac(1), hosts[0].mac, virtual_mac(52)]);

        // keepalived hands over, and nobody else changes.
        k1.proc.kill();
        for r in &routers {
            k2.wait_state(r.vrid, "MASTER");
        }
        s.wait_heard(&[N1, hosts[1].ip, hosts[2].ip]);
        s.assert_undisturbed();

        // So does netisrd.
        s.machines[0].proc.kill();
        s.machines[1].wait_master("carp0");
        s.wait_heard(&[N2, hosts[1].ip, hosts[2].ip]);
        for r in &routers {
            assert_eq!(k1.states(r.vrid), ["BACKUP", "MASTER"]);
            assert_eq!(k2.states(r.vrid), ["BACKUP", "MASTER"]);
        }
        assert_eq!(ucarp.state(), "MASTER");
        assert_eq!(drops(&s.machines[1].stats()), 0);
        let said = [&k1.proc, &k2.proc].map(|proc| complaints(proc.log.lines()));
        assert_eq!(said, [Vec::<String>::new(), Vec::new()]);
        for addr in [VIP, VRRP_PLAIN, VRRP_VMAC, UCARP] {
            assert_eq!(s.client.ping(addr, 1), 1, "{addr}");
        }
    });
}

/// With one number a vhid and a VRRP router both go on, each complaining of the
/// other: what cannot be is that keepalived advertises in time, which it puts off at
/// each packet that it hears, or that it has the virtual MAC as well.
#[test]
fn a_vrrp_router_with_the_same_number_is_dropped_and_counted_and_changes_nobody() {
    stage(|s| {
        let host = s.lab.host("k1", "br0", "10.77.0.11/24");
        let mark = s.wire.mark();
        let router = Vrrp { vrid: 1, addr: VRRP_PLAIN, use_vmac: false };
        let keepalived = Keepalived::start(s.lab, &host, 150, &[router]);
        keepalived.wait_state(1, "MASTER");
        let speaks = |f: &lab::Frame| f.ipv4().is_some_and(|p| p.protocol == 112 && p.src == host.ip);
        s.wire.wait_for(mark, "VRRP", lab::PATIENCE, speaks);
        let dropped = s.machines.each_ref().map(|m| m.wait_stats("drops", |s| drops(s) > 0));
        for stats in dropped {
            assert_eq!(drops(&stats), stats.badlen, "VRRP is shorter: {stats:?}");
        }
        assert_eq!(keepalived.states(1), ["BACKUP", "MASTER"]);
        let complains = |l: &str| !complaints(vec![l.to_owned()]).is_empty();
        keepalived.proc.log.wait_line(0, "a complaint", lab::PATIENCE, complains);
        let states = [0, 1].map(|n| s.machines[n].state("carp0"));
        assert_eq!(states, ["MASTER", "BACKUP"]);
        assert_eq!((s.client.ping(VIP, 2), s.client.ping(VRRP_PLAIN, 2)), (2, 2));
        let macs = [VIP, VRRP_PLAIN].map(|addr| s.client.neighbour(addr).unwrap());
        assert_eq!(macs, [virtual_mac(1), host.mac]);
        // A takeover is no different.
        s.machines[0].proc.kill();
        s.machines[1].wait_master("carp0");
        Events::open(Some("b")).wait_until("the address on b", || {
            lab::Said::by(Some("b"), lab::command("ip -o addr show")).ok().contains(&format!(" {VIP}/"))
        });
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert_eq!(keepalived.states(1), ["BACKUP", "MASTER"]);
    });
}
