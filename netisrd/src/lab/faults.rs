//! What goes wrong on a LAN: a medium that loses, doubles, changes, delays and
//! divides.

use super::scenario::{FaultSpec, Name, Only};
use crate::dev::lan::{Arrival, Medium};
use compat::net::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IPV6};
use compat::netinet::in_::IPPROTO_CARP;
use compat::sys::time::{Clock, VirtualClock};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a frame that is overtaken takes longer, at least.
const OVERTAKEN: Duration = Duration::from_millis(1);

/// What a LAN's medium and its lab share.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    clock: Arc<VirtualClock>,
    rng: ChaCha12Rng,
    delay: Duration,
    /// Who has each port.
    stations: Vec<String>,
    /// By the number that they began with.
    active: Vec<(usize, FaultSpec)>,
}

impl Faults {
    /// A LAN on which nothing goes wrong yet. `seed` is what it goes wrong by.
    pub fn new(clock: Arc<VirtualClock>, delay: Duration, seed: u64) -> Faults {
        let rng = ChaCha12Rng::seed_from_u64(seed);
        Faults(Arc::new(Mutex::new(State { clock, rng, delay, stations: Vec::new(), active: Vec::new() })))
    }

    /// The medium for the LAN.
    pub fn medium(&self) -> Box<dyn Medium> {
        Box::new(self.clone())
    }

    /// The next port is that station's; which one it is.
    pub fn add_port(&self, station: &str) -> usize {
        let mut state = self.lock();
        state.stations.push(station.to_owned());
        state.stations.len() - 1
    }

    /// Whose that port is.
    pub fn station(&self, port: usize) -> String {
        self.lock().stations.get(port).cloned().unwrap_or_default()
    }

    /// A fault begins, by the number that it ends by.
    pub fn begin(&self, number: usize, fault: &FaultSpec) {
        self.lock().active.push((number, fault.clone()));
    }

    /// The fault of that number ends.
    pub fn end(&self, number: usize) {
        self.lock().active.retain(|(n, _)| *n != number);
    }

    /// How much later than without faults a frame arrives at most.
    pub(super) fn longest(&self) -> Duration {
        self.lock().active.iter().map(|(_, fault)| longest(fault)).sum()
    }

    /// Whether nothing goes wrong.
    pub fn is_whole(&self) -> bool {
        self.lock().active.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Medium for Faults {
    fn carry(&mut self, from: usize, frame: &Arc<[u8]>, to: &[usize], arrivals: &mut Vec<Arrival>) {
        let mut state = self.lock();
        let State { clock, rng, delay, stations, active } = &mut *state;
        let concerned = |fault: &FaultSpec| fault.only.is_none_or(|only| is_one(frame, only));
        let active: Vec<_> = active.iter().map(|(_, f)| f).filter(|f| concerned(f)).collect();
        let name = |port: usize| stations.get(port).map_or("", String::as_str);
        let echo = active.iter().any(|f| f.echo).then_some(from);
        for port in to.iter().copied().chain(echo) {
            let lost = active
                .iter()
                .any(|f| divided(f, name(from), name(port)) || (f.loss > 0.0 && happens(rng, f.loss)));
            if lost {
                continue;
            }
            let twice = active.iter().any(|f| f.duplicate > 0.0 && happens(rng, f.duplicate));
            for _ in 0..1 + usize::from(twice) {
                let mut takes = *delay;
                let mut arrives = frame.clone();
                for f in &active {
                    takes += f.delay.0 + share_of(rng, f.jitter.0);
                    if f.reorder > 0.0 && happens(rng, f.reorder) {
                        takes += OVERTAKEN + share_of(rng, OVERTAKEN);
                    }
                    if f.corrupt > 0.0 && happens(rng, f.corrupt) {
                        arrives = corrupted(rng, &arrives);
                    }
                    if f.truncate > 0.0 && happens(rng, f.truncate) {
                        let len = rng.next_u32() as usize % arrives.len().max(1);
                        arrives = arrives.get(..len).unwrap_or_default().into();
                    }
                }
                let at = (!takes.is_zero()).then(|| clock.now() + takes);
                arrivals.push(Arrival { port, at, frame: arrives });
            }
        }
    }
}

/// How much later a fault has a frame arrive at most.
pub(super) fn longest(fault: &FaultSpec) -> Duration {
    fault.delay.0 + fault.jitter.0 + OVERTAKEN * 2
}

/// Whether a frame is of that kind.
fn is_one(frame: &[u8], only: Only) -> bool {
    let at = |i: usize| frame.get(i).copied().unwrap_or_default();
    let (ethertype, carp) = (u16::from_be_bytes([at(12), at(13)]), IPPROTO_CARP);
    match only {
        Only::Arp => ethertype == ETHERTYPE_ARP,
        Only::Ip => ethertype == ETHERTYPE_IP,
        Only::Ip6 => ethertype == ETHERTYPE_IPV6,
        Only::Carp => {
            (ethertype == ETHERTYPE_IP && at(23) == carp) || (ethertype == ETHERTYPE_IPV6 && at(20) == carp)
        }
    }
}

/// Whether the fault keeps what `from` sends from `to`.
fn divided(fault: &FaultSpec, from: &str, to: &str) -> bool {
    let has = |part: &[Name], who: &str| part.iter().any(|name| name.as_ref() == who);
    let part = |who: &str| fault.partition.iter().position(|part| has(part, who));
    let apart = matches!((part(from), part(to)), (Some(a), Some(b)) if a != b);
    apart || fault.one_way.as_ref().is_some_and(|w| has(&w.from, from) && has(&w.to, to))
}

fn happens(rng: &mut ChaCha12Rng, share: f64) -> bool {
    f64::from(rng.next_u32()) < share * (f64::from(u32::MAX) + 1.0)
}

fn share_of(rng: &mut ChaCha12Rng, most: Duration) -> Duration {
    match u64::try_from(most.as_nanos()) {
        Ok(nanos) if nanos > 0 => Duration::from_nanos(rng.next_u64() % (nanos + 1)),
        _ => Duration::ZERO,
    }
}

/// With one bit changed.
fn corrupted(rng: &mut ChaCha12Rng, frame: &[u8]) -> Arc<[u8]> {
    let mut frame = frame.to_vec();
    let bits = frame.len() * 8;
    if bits > 0 {
        let bit = rng.next_u32() as usize % bits;
        frame[bit / 8] ^= 1 << (bit % 8);
    }
    frame.into()
}

/// The fault as records and pictures say it.
pub fn text(fault: &FaultSpec) -> String {
    let mut parts = Vec::new();
    let mut share = |name: &str, share: f64| {
        if share > 0.0 {
            parts.push(format!("{name} {share}"));
        }
    };
    share("loss", fault.loss);
    share("duplicate", fault.duplicate);
    share("corrupt", fault.corrupt);
    share("truncate", fault.truncate);
    share("reorder", fault.reorder);
    for (name, span) in [("delay", fault.delay), ("jitter", fault.jitter)] {
        if !span.0.is_zero() {
            parts.push(format!("{name} {span}"));
        }
    }
    let list = |names: &[Name]| names.iter().map(|n| n.as_ref().as_str()).collect::<Vec<_>>().join(",");
    if !fault.partition.is_empty() {
        let groups: Vec<_> = fault.partition.iter().map(|part| list(part)).collect();
        parts.push(format!("partition {}", groups.join(" | ")));
    }
    if let Some(w) = &fault.one_way {
        parts.push(format!("{} not heard by {}", list(&w.from), list(&w.to)));
    }
    for (name, is) in
        [("echo", fault.echo), ("link down", fault.link_down), ("send errors", fault.send_errors)]
    {
        if is {
            parts.push(name.into());
        }
    }
    if let Some(only) = fault.only {
        parts.push(format!("({} only)", format!("{only:?}").to_lowercase()));
    }
    let name = |n: &Option<Name>| n.as_ref().map(|n| n.as_ref().clone()).unwrap_or_default();
    let place = match &fault.lan {
        Some(lan) => lan.as_ref().clone(),
        None => format!("{} {}", name(&fault.machine), name(&fault.interface)),
    };
    format!("{place}: {}", parts.join(", "))
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
