//! Runs a scenario in virtual time.

pub(super) mod deeds;
mod moment;

use super::agenda::{self, Due};
use super::client::{self, Client};
use super::expect;
use super::faults::Faults;
use super::host::Host;
use super::journal::{Journal, Keep};
use super::judge::{Judge, Rule, Violation};
use super::pcapng::Frame;
use super::record::{Event, What};
use super::scenario::{FaultSpec, LanSpec, Scenario};
use crate::dev::Device;
use crate::dev::lan::Lan;
use crate::sim::{MachineId, World};
use compat::net::if_::IfName;
use compat::net::if_var::LlAddr;
use compat::sys::time::Time;
use moment::Moment;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Instead of the scenario's.
    pub seed: Option<u64>,
    /// Netisrs of the machines of which the scenario does not say.
    pub netisrs: usize,
    /// How much of it is kept.
    pub keep: Keep,
    /// Whether every step is held against the rules and the reference model.
    pub judged: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { seed: None, netisrs: 1, keep: Keep::Frames, judged: true }
    }
}

/// What a run was.
pub struct Outcome {
    /// All that happened.
    pub events: Vec<Event>,
    /// All frames that were sent.
    pub frames: Vec<Frame>,
    /// The LANs.
    pub lans: Vec<String>,
    /// Whether all that was expected has happened.
    pub passed: bool,
}

/// One LAN.
pub struct Segment {
    /// Its name.
    pub name: String,
    lan: Arc<Lan>,
    /// What goes wrong on it.
    pub faults: Faults,
}

impl Segment {
    /// A station on it that is no machine.
    pub fn station(&self, name: &str, lladdr: LlAddr) -> Device {
        self.faults.add_port(name);
        self.lan.attach(IfName::new("v0").unwrap_or(IfName::EMPTY), lladdr, 1)
    }
}

/// Which port of which LAN has sent last to each client.
type LastWords = Arc<Mutex<BTreeMap<LlAddr, (usize, usize)>>>;

/// A scenario while it runs.
pub struct Play<'s> {
    scenario: &'s Scenario,
    options: Options,
    seed: u64,
    /// The world.
    pub world: World,
    /// Its LANs.
    pub segments: Vec<Segment>,
    /// Its machines.
    pub hosts: Vec<Host>,
    /// What is done lets nothing else first.
    rush: bool,
    /// Which of them is the n-th that the world has booted.
    booted: Vec<usize>,
    clients: Vec<Client>,
    agenda: BTreeMap<(Time, usize), Due>,
    order: usize,
    /// What was seen.
    pub journal: Journal,
    last_words: LastWords,
    /// Faults of machines that last, by number.
    standing: BTreeMap<usize, FaultSpec>,
    /// What is done while no time passes.
    moment: Moment,
    /// That has no end, so the run has one.
    endless: bool,
    /// Whether all is right.
    pub(super) judge: Option<Judge>,
    /// What was not.
    pub violations: Vec<Violation>,
    /// The longest that a frame takes without a fault.
    delay: Duration,
}

/// Runs it to its end.
pub fn run(scenario: &Scenario, options: Options) -> Outcome {
    let mut play = Play::new(scenario, options);
    let end = Time::default() + scenario.time.0;
    while play.next(end) {}
    play.finish()
}

impl<'s> Play<'s> {
    /// Everything is there, and nothing has happened.
    pub fn new(scenario: &'s Scenario, options: Options) -> Play<'s> {
        let seed = options.seed.unwrap_or(scenario.seed);
        let mut world = World::new(seed);
        let journal = Journal::new(world.clock(), options.keep);
        let last_words = LastWords::default();
        let segment = |(n, (name, spec)): (usize, (&String, &LanSpec))| {
            let lan = Lan::new();
            let delay = spec.delay();
            let faults =
                Faults::new(world.clock(), delay, seed.wrapping_mul(0x9e37_79b9).wrapping_add(n as u64));
            lan.set_medium(Some(faults.medium()));
            let seen = journal.clone();
            let told = last_words.clone();
            lan.tap(Box::new(move |port, frame| {
                seen.frame(n, port, frame);
                if let Some(to) = frame.first_chunk::<6>().filter(|to| client::is_lladdr(to)) {
                    told.lock().unwrap_or_else(PoisonError::into_inner).insert(*to, (n, port));
                }
            }));
            Segment { name: name.clone(), lan, faults }
        };
        let segments: Vec<_> = scenario.lan.iter().enumerate().map(segment).collect();
        segments.iter().for_each(|s| world.join(&s.lan));
        let hosts = scenario.machine.iter().enumerate().map(|(n, (name, spec))| Host::new(name, n, spec));
        let mut play = Play {
            scenario,
            options,
            seed,
            world,
            segments,
            hosts: hosts.collect(),
            rush: false,
            booted: Vec::new(),
            clients: Vec::new(),
            agenda: BTreeMap::new(),
            order: 0,
            journal,
            last_words,
            standing: BTreeMap::new(),
            moment: Moment::new(scenario, options.netisrs),
            endless: false,
            judge: options.judged.then(Judge::default),
            violations: Vec::new(),
            delay: scenario.lan.values().map(LanSpec::delay).max().unwrap_or_default(),
        };
        if let Some(judge) = &play.judge {
            play.world.observe(judge.observer());
        }
        play.begin();
        play
    }

    fn begin(&mut self) {
        let scenario = self.scenario;
        self.journal.note(What::Run {
            scenario: scenario.title.clone(),
            seed: self.seed,
            time: "virtual".into(),
            lans: scenario.lan.keys().cloned().collect(),
            machines: scenario.machine.keys().cloned().collect(),
        });
        for (n, (name, spec)) in scenario.client.iter().enumerate() {
            let Some(segment) = self.segments.iter().find(|s| &s.name == spec.lan.as_ref()) else { continue };
            let dev = segment.station(name, client::lladdr(n));
            self.clients.push(Client::new(name, dev, spec.address.addr(), spec.ping));
        }
        for (when, due) in agenda::of(scenario) {
            self.at(when, due);
        }
    }

    fn at(&mut self, when: Duration, due: Due) {
        self.order += 1;
        self.agenda.insert((Time::default() + when, self.order), due);
    }

    /// When something happens next, after all that happens now; now, if that has
    /// no end.
    pub fn upcoming(&mut self) -> Option<Time> {
        self.settle();
        if self.endless {
            return Some(self.world.now());
        }
        let due = self.agenda.keys().next().map(|(t, _)| *t);
        let judged = self.judge.as_ref().and_then(|judge| judge.next_deadline(&self.world, self.delay));
        self.world.next_event().into_iter().chain(due).chain(judged).min()
    }

    /// All that happens now, and then on to when something happens next;
    /// whether that is before `end`, and there is more to come.
    pub fn next(&mut self, end: Time) -> bool {
        let next = self.upcoming();
        // What is due again and again, now, takes no step.
        self.moment.more(self.world.now());
        if self.endless {
            return false;
        }
        let Some(next) = next.filter(|t| *t < end) else {
            self.advance_to(end);
            self.settle();
            return false;
        };
        self.advance_to(next);
        while let Some(first) = self.agenda.first_entry().filter(|e| e.key().0 <= next) {
            let due = first.remove();
            if !matches!(due, Due::Deed(n) if self.scenario.at[n].rush) {
                self.settle();
            }
            if self.endless {
                return false;
            }
            self.perform(due);
        }
        true
    }

    fn advance_to(&mut self, t: Time) {
        self.world.advance_to(t);
        if let Some(judge) = &mut self.judge {
            judge.passed(&self.world);
        }
    }

    /// Everybody does what they have to do now, and the judge looks at it.
    fn settle(&mut self) {
        self.work();
        // In the middle of something nothing need fit.
        let Some(judge) = self.judge.as_mut().filter(|_| !self.endless) else { return };
        judge.idle(&self.world, &self.hosts, self.delay);
        for violation in judge.take_violations() {
            self.violated(violation);
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.journal.note(What::Violation { text: violation.to_string() });
        self.violations.push(violation);
    }

    fn work(&mut self) {
        loop {
            while let Some(id) = self.step() {
                self.notice(id);
            }
            let now = self.world.now();
            let mut events = Vec::new();
            let mut any = false;
            for client in &mut self.clients {
                let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
                let last = words.get(&client.lladdr()).copied();
                drop(words);
                let machine = last.map(|(lan, port)| self.segments[lan].faults.station(port));
                any |= client.receive(now, machine.as_deref(), &mut events);
                client.give_up(now, client::PATIENCE, &mut events);
            }
            for event in events {
                self.journal.note(event.what);
            }
            if !any {
                return;
            }
        }
    }

    /// Somebody's turn, unless it goes on for ever.
    fn step(&mut self) -> Option<MachineId> {
        if let Some(done) = self.moment.excess().filter(|_| !self.endless) {
            self.endless = true;
            let text = format!("{done} steps at one moment, and there is still something to do");
            let violation = Violation { at: self.world.now(), rule: Rule::Livelock, machine: None, text };
            self.violated(violation);
        }
        if self.endless {
            return None;
        }
        let id = self.world.step()?;
        self.moment.more(self.world.now());
        Some(id)
    }

    /// That machine has done something.
    fn notice(&mut self, id: MachineId) {
        let host = self.booted.get(id.number()).and_then(|n| self.hosts.get_mut(*n));
        let Some(host) = host.filter(|h| h.id == Some(id)) else { return };
        if let Some(judge) = &mut self.judge {
            judge.stepped(&self.world, host.number);
        }
        if host.has_news() {
            host.look(&self.world, &self.journal);
            if let Some(judge) = &mut self.judge {
                judge.news(self.world.now(), host);
            }
        }
    }

    fn notice_all(&mut self) {
        for host in &mut self.hosts {
            if host.has_news() {
                host.look(&self.world, &self.journal);
                if let Some(judge) = &mut self.judge {
                    judge.news(self.world.now(), host);
                }
            }
        }
    }

    fn perform(&mut self, due: Due) {
        self.moment.begins();
        match due {
            Due::Boot(n) => self.boot(n),
            Due::Deed(n) => {
                let deed = &self.scenario.at[n];
                self.deed(deed);
            }
            Due::FaultBegins(n) => self.fault(n, false),
            Due::FaultEnds(n) => self.fault(n, true),
            Due::Ping(n) => self.ping(n),
        }
    }

    fn ping(&mut self, n: usize) {
        let Some(spec) = self.scenario.client.values().nth(n) else { return };
        let now = self.world.now();
        if spec.until.is_some_and(|until| now >= Time::default() + until.0) {
            return;
        }
        self.clients[n].ping(now);
        let next = now + spec.interval.0.max(Duration::from_nanos(1));
        self.at(next - Time::default(), Due::Ping(n));
    }

    /// The end: what was expected is looked at.
    pub fn finish(mut self) -> Outcome {
        let now = self.world.now();
        let mut events = Vec::new();
        for client in &mut self.clients {
            client.give_up(now, Duration::ZERO, &mut events);
        }
        events.into_iter().for_each(|e| self.journal.note(e.what));
        let lans: Vec<String> = self.segments.iter().map(|s| s.name.clone()).collect();
        let mut events = self.seen_since(0);
        let passed = expect::judge(self.scenario, &mut events, now);
        Outcome { events, frames: self.journal.take_frames(), lans, passed }
    }

    /// What was seen from the `n`th event on.
    pub fn seen_since(&self, n: usize) -> Vec<Event> {
        let lans: Vec<&str> = self.segments.iter().map(|s| s.name.as_str()).collect();
        let machines: Vec<&str> = self.hosts.iter().map(|h| h.name.as_str()).collect();
        let station =
            |lan: usize, port| self.segments.get(lan).map(|s| s.faults.station(port)).unwrap_or_default();
        self.journal.read(n, &lans, &machines, station)
    }
}

#[cfg(test)]
mod tests;
