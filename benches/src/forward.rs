//! How long a frame to a virtual address takes to be answered, while nothing
//! and while everything else on its interface changes.
//!
//! Two netisrs. The frames come in on the one that is not netisr0, and half of
//! them belong to netisr0, which is also where the configuration changes. The
//! two share no processor.

use crate::paced::Round;
use crate::rig::{LLADDR, configure, ifconfig};
use crate::{cpus, figures, section};
use compat::sys::ctlsock::{Reply, Request};
use ifconfig_carp::{CallError, Syscalls};
use libcarp::carpreq::SIOCSVH;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::runtime::Runtime;
use netisrd::machine::{Config, trace};
use netisrd::net::netisr::Cred;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How many netisrs there are.
const NETISRS: usize = 2;
/// carp1 is asked, the others change.
const VHIDS: u8 = 16;
/// What is told of a round, by name and thousandths.
pub(crate) const PERCENTILES: [(&str, usize); 3] = [("p50", 500), ("p99", 990), ("p99.9", 999)];
/// Who is late by now has lost its way.
const GRACE: Duration = Duration::from_millis(20);

/// How much changes during a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Churn {
    Nothing,
    /// A change each millisecond: more than any program of people makes.
    Thousand,
    /// One change after the other, without a pause.
    FlatOut,
}

impl Churn {
    pub(crate) const ALL: [Churn; 3] = [Churn::Nothing, Churn::Thousand, Churn::FlatOut];

    fn name(self) -> &'static str {
        match self {
            Churn::Nothing => "nothing",
            Churn::Thousand => "thousand",
            Churn::FlatOut => "flat-out",
        }
    }
}

/// The key of a figure.
pub(crate) fn key(netisr: usize, percentile: &str, churn: Churn) -> String {
    format!("netisr{netisr}.{percentile}.{}", churn.name())
}

/// The key of how many changes a second there were.
pub(crate) fn rate_key(churn: Churn) -> String {
    format!("changes.{}", churn.name())
}

/// The system calls of a person at a running machine; those that change
/// something are kept, to be made again faster than a person types.
struct Person<'a> {
    machine: &'a Runtime,
    changes: Vec<Request>,
}

impl Syscalls for Person<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        if request.cmd == SIOCSVH {
            self.changes.push(request.clone());
        }
        Ok(syscall(self.machine, request.clone()))
    }
}

fn syscall(machine: &Runtime, request: Request) -> Reply {
    machine.syscall(Cred { privileged: true }, request)
}

/// Emits, in microseconds, the percentiles of each round; rounds with and
/// without changes take turns.
pub(crate) fn measure(quick: bool) -> Result<(), String> {
    let (turns, frames) = if quick { (3, 20_000) } else { (15, 50_000) };
    // as upstream's netisrs are: each on its own processor
    cpus::stay_on(0);
    let (round, device) = Round::card(LLADDR, frames, || cpus::stay_on(1));
    let clock = Arc::new(MonotonicClock::start());
    let config = Config { ncpus: NETISRS, clock, seed: [7; 32], hz: 0, log: trace() };
    let machine = Runtime::start(config).map_err(|e| e.to_string())?;
    machine.attach(device).map_err(|e| e.to_string())?;
    let mut person = Person { machine: &machine, changes: Vec::new() };
    configure(&mut person, VHIDS);
    person.changes.clear();
    for vhid in 2..=VHIDS {
        ifconfig(&mut person, &format!("carp{vhid} vhid {}", vhid + 100));
        ifconfig(&mut person, &format!("carp{vhid} vhid {vhid}"));
    }
    let changes = person.changes;
    // the first warms up
    for turn in 0..=turns {
        section::progress(&format!("{turn} of {turns}"));
        for churn in Churn::ALL {
            let rate = run(&round, &machine, churn, &changes);
            let results = (0..NETISRS).map(|netisr| (netisr, round.results(netisr)));
            for (netisr, (took, lost)) in results.filter(|_| turn > 0) {
                if took.is_empty() {
                    return Err(format!("netisr{netisr}: no frame was answered"));
                }
                for (name, thousandths) in PERCENTILES {
                    let us = f64::from(took[took.len() * thousandths / 1000]) / 1e3;
                    figures::emit(&key(netisr, name, churn), us);
                }
                figures::emit(&key(netisr, "lost", churn), lost as f64);
                figures::emit(&rate_key(churn), rate);
            }
        }
    }
    machine.halt();
    Ok(())
}

/// One round; changes in a second.
fn run(round: &Round, machine: &Runtime, churn: Churn, changes: &[Request]) -> f64 {
    round.begin();
    let from = Instant::now();
    let mut made = 0;
    while !round.is_over() {
        if churn != Churn::FlatOut {
            thread::sleep(Duration::from_millis(1));
        }
        if churn != Churn::Nothing {
            let reply = syscall(machine, changes[made % changes.len()].clone());
            assert_eq!(reply.error, None, "a change that was possible before");
            made += 1;
        }
    }
    let rate = made as f64 / from.elapsed().as_secs_f64();
    thread::sleep(GRACE);
    rate
}
