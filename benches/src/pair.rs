//! Two nodes with one virtual address, and a client that pings it.
//!
//! ```text
//!   client c1 ──┐
//!   first     ──┼── br0 ── port ── second
//!               ┘            ▲ the recorder
//! ```
//!
//! Everything is read off the second node's port, with the kernel's stamps: the
//! first node's advertisements as they get there, and the second node's answers
//! as they leave. An answer of the first node never comes by, since the bridge
//! knows where the client is.

use crate::lab::{
    Frame, Host, Lab, N1, N2, Netisrd, PATIENCE, Pinger, Ucarp, UcarpSetup, VIP, Wire, on_tap, show_mac,
    virtual_mac,
};
use crate::stats::interval_ms;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two echo requests.
pub(crate) const PING_EVERY: Duration = Duration::from_millis(1);

/// How often the nodes advertise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) advbase: u8,
    pub(crate) first: u8,
    pub(crate) second: u8,
}

impl Timing {
    /// The usual: 1/0 and 1/100.
    pub(crate) const SECOND: Timing = Timing { advbase: 1, first: 0, second: 100 };
    /// 0/10 and 0/25.
    pub(crate) const FAST: Timing = Timing { advbase: 0, first: 10, second: 25 };

    /// The first node's advertisement interval.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs_f64(interval_ms(1, self.advbase, self.first) / 1e3)
    }

    /// `3 * advbase + advskew / 256` of the second node: how long it waits.
    pub(crate) fn formula_ms(&self) -> f64 {
        interval_ms(3, self.advbase, self.second)
    }
}

/// What takeovers are measured on.
pub(crate) trait Pair {
    /// How often they advertise.
    fn timing(&self) -> Timing;
    /// The recorder on the second node's port.
    fn wire(&self) -> &Wire;
    /// Who pings.
    fn client(&self) -> &Host;
    /// Has the first node, started if need be, be MASTER and the second BACKUP.
    fn settle(&mut self);
    /// The first node's host dies.
    fn crash(&mut self);

    /// Settles; returns right after an advertisement of the first node (its
    /// index) with the client pinging.
    fn ready(&mut self) -> (Pinger, usize) {
        self.settle();
        let pinger = Pinger::start(self.client(), VIP, PING_EVERY);
        pinger.wait_answer();
        let next = |mark| {
            self.wire().wait_for(mark, "advertisement of the first node", PATIENCE, |f| f.is_advert_of(N1))
        };
        // of the first it is not known how long ago it was
        let mark = next(next(self.wire().mark()) + 1);
        (pinger, mark)
    }
}

/// What the recorder saw of a change of master.
#[derive(Debug)]
pub(crate) struct Change {
    /// The first node's last advertisement.
    pub(crate) last: Frame,
    /// The second node's first advertisement after it.
    pub(crate) advert: Duration,
    /// The second node's first answer after it.
    pub(crate) answer: Duration,
}

/// Waits for the second node's answer and looks back from there.
pub(crate) fn change(wire: &Wire, mark: usize) -> Change {
    let answered = wire.wait_for(mark, "answer of the second node", PATIENCE, |f| f.is_echo_reply_of(VIP));
    let answer = wire.since(answered)[0].stamp;
    let advert = wire.next(mark, "advertisement of the second node", |f| f.is_advert_of(N2)).stamp;
    let mut before = wire.since(mark).into_iter().take(answered - mark);
    let last = before.rfind(|f| f.is_advert_of(N1)).expect("an advertisement of the first node");
    Change { last, advert, answer }
}

/// From one stamp to a later one.
pub(crate) fn ms_between(from: Duration, to: Duration) -> f64 {
    (to.as_secs_f64() - from.as_secs_f64()) * 1e3
}

/// Now, on the clock of the stamps.
pub(crate) fn stamp_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Two machines of ours on taps.
pub(crate) struct Ours<'a> {
    lab: &'a Lab,
    timing: Timing,
    pub(crate) first: Option<Netisrd>,
    second: Netisrd,
    wire: Wire,
    client: Host,
}

impl<'a> Ours<'a> {
    /// The second machine and the client; no first yet.
    pub(crate) fn new(lab: &'a Lab, timing: Timing) -> Ours<'a> {
        lab.bridge("br0");
        let second = on_tap(lab, "m2", "em1@br0", N2);
        second.carp("carp0", &words(timing, timing.second));
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        let entry = format!("{VIP} lladdr {} dev v0 nud permanent", show_mac(virtual_mac(1)));
        lab.ip_in(Some("c1"), &format!("neigh replace {entry}"));
        Ours { lab, timing, first: None, second, wire: lab.wire("em1"), client }
    }
}

fn words(timing: Timing, advskew: u8) -> String {
    format!("vhid 1 advbase {} advskew {advskew} pass secret {VIP}/24", timing.advbase)
}

impl Pair for Ours<'_> {
    fn timing(&self) -> Timing {
        self.timing
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn client(&self) -> &Host {
        &self.client
    }

    fn settle(&mut self) {
        if self.first.is_none() {
            let first = on_tap(self.lab, "m1", "em0@br0", N1);
            first.sysctl("net.inet.carp.preempt=1");
            first.carp("carp0", &words(self.timing, self.timing.first));
            self.first = Some(first);
        }
        self.second.wait_backup("carp0");
    }

    fn crash(&mut self) {
        if let Some(first) = self.first.take() {
            first.proc.kill();
        }
    }
}

/// Two hosts with ucarp.
pub(crate) struct Theirs<'a> {
    lab: &'a Lab,
    timing: Timing,
    hosts: [Host; 2],
    /// Whether the first takes over from a second that it is better than.
    pub(crate) preempt: bool,
    pub(crate) first: Option<Ucarp>,
    second: Option<Ucarp>,
    wire: Wire,
    client: Host,
}

impl<'a> Theirs<'a> {
    /// Two hosts and the client; no ucarp yet.
    pub(crate) fn new(lab: &'a Lab, timing: Timing) -> Theirs<'a> {
        lab.bridge("br0");
        let hosts = [("u1", N1), ("u2", N2)].map(|(ns, ip)| lab.host(ns, "br0", &format!("{ip}/24")));
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        let wire = lab.wire("u2");
        Theirs { lab, timing, hosts, preempt: true, first: None, second: None, wire, client }
    }

    fn start(&self, which: usize, advskew: u8) -> Ucarp {
        let mut setup = UcarpSetup::new(VIP, advskew);
        setup.advbase = self.timing.advbase;
        setup.preempt = self.preempt && which == 0;
        Ucarp::start(self.lab, &self.hosts[which], &setup)
    }

    /// From now on the second is the better one.
    pub(crate) fn swap_skews(&mut self) {
        std::mem::swap(&mut self.timing.first, &mut self.timing.second);
    }

    /// Ends both, so that the next pair starts anew.
    pub(crate) fn stop(&mut self) {
        self.first = None;
        self.second = None;
        for host in &self.hosts {
            let _ = host.run(&format!("ip addr del {VIP}/24 dev v0"));
        }
    }
}

impl Pair for Theirs<'_> {
    fn timing(&self) -> Timing {
        self.timing
    }

    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn client(&self) -> &Host {
        &self.client
    }

    fn settle(&mut self) {
        if self.first.is_none() {
            let _ = self.hosts[0].run(&format!("ip addr del {VIP}/24 dev v0"));
            self.lab.ip("link set dev u1 up");
            self.lab.wait_forwarding("u1");
            self.first = Some(self.start(0, self.timing.first));
        }
        self.first.as_ref().unwrap().wait_state("MASTER");
        if self.second.is_none() {
            self.second = Some(self.start(1, self.timing.second));
        }
        self.second.as_ref().unwrap().wait_state("BACKUP");
        let mac = self.hosts[0].mac;
        if self.client.neighbour(VIP).is_some() {
            self.client.wait_neighbour(VIP, mac);
        }
    }

    fn crash(&mut self) {
        if let Some(first) = self.first.take() {
            // a dead ucarp's host keeps the address and answers: the host dies
            first.proc.kill();
            self.lab.ip("link set dev u1 down");
        }
    }
}
