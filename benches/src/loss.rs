//! What a constant stream to the virtual address loses when the master goes.
//!
//! ```text
//!   client c, 1000 datagrams a second ── br0 ──┬── a  the better one
//!                                              └── b  takes over
//! ```
//!
//! Every datagram has a number; both hosts write down which ones came. What came
//! to neither is lost, from before the master is told until the successor has had
//! the stream for a while.

use crate::drip::Drip;
use crate::figures::emit;
use crate::keepalived::{Keepalived, Setup};
use crate::lab::{Frame, Host, Lab, N1, N2, Netisrd, PATIENCE, VIP, Wire};
use crate::section::progress;
use crate::served::{Way, serves, wait_serves};
use crate::stats::interval_ms;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

/// The successor's skew, and in VRRP its priority: 100/256 in both.
const ADVSKEW: u8 = 100;
const PRIORITIES: [u8; 2] = [254, 156];
/// How much VRRP's master is demoted by: below the other one.
const DEMOTED: u8 = 200;
/// How long the successor has had the stream when a change is over.
const AFTER: Duration = Duration::from_millis(300);

/// On which of netisrd's paths.
pub(crate) const PATHS: [Way; 2] = [Way::Macvlan, Way::TapByFlow];

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// What dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The program alone, by SIGKILL: its host goes on.
    Process,
    /// The host's link goes too.
    Host,
}

impl Death {
    fn name(self) -> &'static str {
        match self {
            Death::Process => "kill",
            Death::Host => "crash",
        }
    }
}

/// Milliseconds that a successor waits for its master.
pub(crate) fn detection_ms() -> f64 {
    interval_ms(3, 1, ADVSKEW)
}

/// Two hosts, a client, a stream.
struct Stage<'a> {
    lab: &'a Lab,
    hosts: [Host; 2],
    wire: Wire,
    drip: Drip,
}

impl<'a> Stage<'a> {
    /// The hosts, and the client.
    fn hosts(lab: &Lab, name: &str) -> ([Host; 2], Host) {
        let bridge = format!("br-{name}");
        lab.bridge(&bridge);
        let host = |which: &str, ip| lab.host(&format!("{which}-{name}"), &bridge, &format!("{ip}/24"));
        ([host("a", N1), host("b", N2)], host("c", CLIENT))
    }

    /// Once the first host serves the address.
    fn new(lab: &'a Lab, (hosts, client): ([Host; 2], Host)) -> Stage<'a> {
        wait_serves(&hosts[0], VIP);
        let wire = lab.wire(&hosts[1].ns);
        wire.may_have_bad_frames("they only tell when the master has advertised");
        let drip = Drip::start(&client, VIP, &hosts);
        drip.wait_at(0, PATIENCE);
        Stage { lab, hosts, wire, drip }
    }

    /// Does it, and says under `key` what was lost until the host of that number
    /// has the stream.
    fn change(&self, key: &str, to: usize, act: impl FnOnce()) {
        let from = self.drip.mark();
        act();
        self.drip.wait_at(to, PATIENCE);
        thread::sleep(AFTER);
        self.drip.wait_at(to, PATIENCE);
        let fate = self.drip.fate(from);
        emit(&format!("{key}.lost"), f64::from(fate.lost));
        emit(&format!("{key}.twice"), f64::from(fate.twice));
        let first = fate.first.map_or_else(String::new, |n| format!(", the first {n} ms after it began"));
        progress(&format!("{key}: {} lost{first}; {} came twice", fate.lost, fate.twice));
    }

    /// Returns when that part of the first host's interval is over.
    fn wait_phase(&self, part: f64) {
        let advertises = |f: &Frame| f.ipv4().is_some_and(|ip| (ip.protocol, ip.src) == (112, N1));
        self.wire.wait_for(self.wire.mark(), "advertisement of the first host", PATIENCE, advertises);
        thread::sleep(Duration::from_secs(1).mul_f64(part));
    }

    fn cable(&self, host: usize, there: bool) {
        let ns = &self.hosts[host].ns;
        self.lab.ip(&format!("link set dev {ns} {}", if there { "up" } else { "down" }));
        if there {
            self.lab.wait_forwarding(ns);
        }
    }
}

fn phases(runs: u32) -> impl Iterator<Item = f64> {
    (0..runs).map(move |n| f64::from(n) / f64::from(runs))
}

/// netisrd, on each path that it has.
pub(crate) fn ours(lab: &Lab, quick: bool) {
    for way in PATHS.into_iter().filter(|way| way.is_there()) {
        ours_on(lab, way, quick);
    }
}

fn ours_on(lab: &Lab, way: Way, quick: bool) {
    let (handovers, deaths) = if quick { (2, 1) } else { (6, 2) };
    let name = way.name();
    let start = |host: &Host, advskew: u8| -> Netisrd {
        let machine = lab.netisrd(&host.ns).netns(&host.ns).args(&["-i", &way.spec()]).start();
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &format!("vhid 1 advskew {advskew} pass secret {VIP}/24"));
        machine
    };
    let (hosts, client) = Stage::hosts(lab, name);
    let mut a = start(&hosts[0], 0);
    let stage = Stage::new(lab, (hosts, client));
    let b = start(&stage.hosts[1], ADVSKEW);
    b.wait_backup("carp0");
    for _ in 0..handovers {
        stage.change(&format!("{name}.group"), 1, || drop(a.ifconfig("-g carp carpdemote 240").ok()));
        stage.change(&format!("{name}.back"), 0, || drop(a.ifconfig("-g carp -carpdemote 240").ok()));
        stage.change(&format!("{name}.sysctl"), 1, || drop(a.sysctl("net.inet.carp.demotion=240")));
        stage.change(&format!("{name}.back"), 0, || drop(a.sysctl("net.inet.carp.demotion=-240")));
    }
    for death in [Death::Process, Death::Host] {
        for phase in phases(deaths) {
            b.wait_backup("carp0");
            stage.wait_phase(phase);
            stage.change(&format!("{name}.{}", death.name()), 1, || {
                stage.cable(0, death == Death::Process);
                a.proc.kill();
            });
            emit(&format!("{name}.{}.left", death.name()), f64::from(u8::from(serves(&stage.hosts[0], VIP))));
            stage.cable(0, true);
            stage.change(&format!("{name}.return"), 0, || a = start(&stage.hosts[0], 0));
        }
    }
}

/// keepalived.
pub(crate) fn theirs(lab: &Lab, quick: bool) {
    let runs = if quick { 1 } else { 2 };
    let start = |host: &Host, priority| Keepalived::start(lab, host, Setup { vrid: 1, priority, addr: VIP });
    let (hosts, client) = Stage::hosts(lab, "k");
    let mut a = start(&hosts[0], PRIORITIES[0]);
    let stage = Stage::new(lab, (hosts, client));
    let _b = start(&stage.hosts[1], PRIORITIES[1]);
    for _ in 0..runs {
        stage.change("priority", 1, || a.demote(DEMOTED));
        stage.change("back", 0, || a.demote(0));
        stage.change("stop", 1, || a.stop());
        stage.change("return", 0, || a = start(&stage.hosts[0], PRIORITIES[0]));
    }
    for death in [Death::Process, Death::Host] {
        for phase in phases(runs) {
            stage.wait_phase(phase);
            stage.change(death.name(), 1, || {
                stage.cable(0, death == Death::Process);
                a.crash();
            });
            emit(&format!("{}.left", death.name()), f64::from(u8::from(serves(&stage.hosts[0], VIP))));
            stage.cable(0, true);
            stage.change("return", 0, || a = start(&stage.hosts[0], PRIORITIES[0]));
        }
    }
}
