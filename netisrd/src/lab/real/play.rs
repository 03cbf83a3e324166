//! Runs a scenario on real devices, in real time.

use super::faults::{self, Faults};
use super::hands::Hands;
use super::machine::Machine;
use super::net::{self, Port};
use super::recorder::{self, Answer};
use super::{Options, clients};
use crate::host::clock::MonotonicClock;
use crate::lab::agenda::{self, Due};
use crate::lab::client;
use crate::lab::expect;
use crate::lab::faults::text;
use crate::lab::journal::Journal;
use crate::lab::record::{Event, What};
use crate::lab::run::Outcome;
use crate::lab::scenario::{Deed, FaultSpec, Kind, Name, Power, Scenario, Source};
use compat::sys::time::{Clock, Time};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often it is looked whether all machines are still there.
const LOOK: Duration = Duration::from_millis(500);

/// What all threads of a run share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) clock: Arc<RunClock>,
    pub(super) journal: Journal,
    /// When the run is over.
    pub(super) end: Time,
    /// Where its lines stand.
    pub(super) source: Source,
}

/// The run's time, in whole microseconds: it stands at 0 until everything is
/// there.
pub(super) struct RunClock {
    clock: MonotonicClock,
    began: AtomicU64,
}

impl RunClock {
    pub(super) fn new() -> RunClock {
        RunClock { clock: MonotonicClock::start(), began: AtomicU64::new(u64::MAX) }
    }

    pub(super) fn begin(&self) {
        self.began.store(self.clock.now().0, Ordering::SeqCst);
    }
}

impl Clock for RunClock {
    fn now(&self) -> Time {
        let nanos = self.clock.now().0.saturating_sub(self.began.load(Ordering::SeqCst));
        Time(nanos / 1000 * 1000)
    }
}

/// Runs it to its end; the whole process is to be in namespaces of its own,
/// which end with it. `begun` is called when everything is there and the
/// run's time begins. What comes back beside is by how much the kernel was late with
/// what a scenario does to cables and rules: nothing is expected to be sooner.
///
/// # Errors
/// What cannot be made, or ends before the run does.
pub fn run(
    scenario: &Scenario,
    options: Options,
    begun: impl FnOnce() -> io::Result<()>,
) -> Result<(Outcome, Duration), String> {
    let clock = Arc::new(RunClock::new());
    let journal = Journal::new(clock.clone(), options.keep);
    let (end, source) = (Time::default() + scenario.time.0, scenario.source.clone());
    let shared = Shared { clock: clock.clone(), journal, end, source };
    shared.journal.note(What::Run {
        scenario: scenario.title.clone(),
        seed: scenario.seed,
        time: "real".into(),
        lans: scenario.lan.keys().cloned().collect(),
        machines: scenario.machine.keys().cloned().collect(),
    });
    let ports = net::build(scenario)?;
    let mut play = Play::new(scenario, options, &ports, &shared)?;
    let mut devices = Vec::new();
    for (n, port) in ports.iter().filter(|p| scenario.client.contains_key(&p.station)).enumerate() {
        devices.push(clients::plug(n, port.lan)?);
    }
    // ucarp's card has no carrier while its machine is off.
    let is_ucarp = |p: &&Port| scenario.machine.get(&p.station).is_some_and(|m| m.kind == Kind::Ucarp);
    ports.iter().filter(|p| !is_ucarp(p)).try_for_each(|p| net::wait_forwarding(&p.name))?;
    let recorder = recorder::start(&ports, shared.clone())?;
    play.machines.iter_mut().try_for_each(Machine::wait_warm)?;
    begun().map_err(|e| e.to_string())?;
    clock.begin();
    let clients = scenario.client.iter().zip(devices);
    let clients = clients.map(|((name, spec), dev)| clients::start(name, spec, dev, shared.clone()));
    let clients = clients.collect::<Result<Vec<_>, String>>()?;
    play.play()?;
    for client in clients {
        client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    let recorded = recorder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (answers, dropped) = recorded?;
    if dropped > 0 {
        return Err(format!("{dropped} frames were not recorded: this machine is too busy"));
    }
    // Whatever they say while they go is not of the run.
    let late = play.hands.late();
    let slack = options.slack + late;
    let outcome = finish(scenario, slack, &ports, &shared, &answers);
    drop(play);
    Ok((outcome, late))
}

/// What was seen, and whether it is what was expected.
fn finish(
    scenario: &Scenario,
    slack: Duration,
    ports: &[Port],
    shared: &Shared,
    answers: &[Answer],
) -> Outcome {
    let lans: Vec<&str> = scenario.lan.keys().map(String::as_str).collect();
    let machines: Vec<&str> = scenario.machine.keys().map(String::as_str).collect();
    let station = |_, port: usize| ports.get(port).map(|p| p.station.clone()).unwrap_or_default();
    let mut events = shared.journal.read(0, &lans, &machines, station);
    let mut frames = shared.journal.take_frames();
    // Threads look at the clock before they write.
    events.sort_by_key(|e| e.at);
    frames.sort_by_key(|f| f.at);
    events.retain(|e| e.at <= shared.end.0);
    for event in &mut events {
        if let Event { at, what: What::Ping { client, rtt: Some(_), machine, .. } } = event {
            *machine = who_answered(scenario, ports, answers, client, Time(*at));
        }
    }
    let passed = expect::judge_with(scenario, &mut events, shared.end, slack);
    Outcome { events, frames, lans: scenario.lan.keys().cloned().collect(), passed }
}

/// Whose frame was the last for a client at that time.
fn who_answered(
    scenario: &Scenario,
    ports: &[Port],
    answers: &[Answer],
    name: &str,
    at: Time,
) -> Option<String> {
    let lladdr = client::lladdr(scenario.client.keys().position(|c| c == name)?);
    let after = answers.partition_point(|(when, ..)| *when <= at);
    let mine = |(_, to, _): &&Answer| *to == lladdr;
    let (before, after) = answers.split_at(after);
    let (.., port) = before.iter().rfind(mine).or_else(|| after.iter().find(mine))?;
    ports.get(*port).map(|p| p.station.clone())
}

struct Play<'s> {
    scenario: &'s Scenario,
    shared: Shared,
    faults: Faults,
    hands: Hands,
    machines: Vec<Machine>,
    /// What is to be done, the first last.
    agenda: Vec<(Duration, Due)>,
}

impl<'s> Play<'s> {
    fn new(
        scenario: &'s Scenario,
        options: Options,
        ports: &[Port],
        shared: &Shared,
    ) -> Result<Play<'s>, String> {
        let faults = Faults::new(scenario, ports)?;
        let machines = scenario.machine.iter().enumerate();
        let machines = machines.map(|(n, (name, spec))| Machine::new(n, name, spec, options.netisrs, shared));
        let mut machines = machines.collect::<Result<Vec<_>, _>>()?;
        machines.iter_mut().for_each(Machine::warm_up);
        let mut agenda = agenda::of(scenario);
        agenda.sort_by_key(|(when, _)| *when);
        agenda.reverse();
        Ok(Play {
            scenario,
            shared: shared.clone(),
            faults,
            hands: Hands::new(shared.clock.clone())?,
            machines,
            agenda,
        })
    }

    /// Until the end.
    fn play(&mut self) -> Result<(), String> {
        loop {
            let now = self.shared.clock.now();
            if now >= self.shared.end {
                return Ok(());
            }
            let next = self.agenda.last().map_or(self.shared.end, |(when, _)| Time::default() + *when);
            if next <= now {
                let boots = self.boots_due(next);
                if !boots.is_empty() {
                    self.boot(&boots)?;
                } else if let Some((_, due)) = self.agenda.pop() {
                    self.perform(due)?;
                }
                continue;
            }
            self.hands.check()?;
            self.machines.iter_mut().for_each(Machine::check);
            let left = (next.min(self.shared.end) - self.shared.clock.now()).min(LOOK);
            thread::park_timeout(left);
        }
    }

    fn perform(&mut self, due: Due) -> Result<(), String> {
        match due {
            Due::Boot(n) => self.boot(&[n]),
            Due::Deed(n) => match self.scenario.at.get(n) {
                Some(deed) => self.deed(deed),
                None => Ok(()),
            },
            Due::FaultBegins(n) => self.fault(n, false),
            Due::FaultEnds(n) => self.fault(n, true),
            // Each client has a thread of its own.
            Due::Ping(_) => Ok(()),
        }
    }

    fn deed(&mut self, deed: &Deed) -> Result<(), String> {
        let Some(n) = self.machines.iter().position(|m| &m.name == deed.machine.as_ref()) else {
            return Ok(());
        };
        if let Some(line) = &deed.run {
            self.machines[n].run(line, (!deed.may_fail).then_some(deed.fails));
        }
        deed.power.map_or(Ok(()), |power| self.power(n, power))
    }

    fn power(&mut self, n: usize, power: Power) -> Result<(), String> {
        let machine = &mut self.machines[n];
        match (power, machine.is_on()) {
            (Power::Boot, _) => self.boot(&[n])?,
            (_, false) => {}
            (Power::Crash, true) => machine.crash()?,
            (Power::Halt, true) => machine.halt()?,
            (Power::Pause | Power::Resume, true) => {
                let stop = power == Power::Pause;
                machine.pause(stop)?;
                // ucarp stops, its host would go on.
                if machine.spec.kind == Kind::Ucarp {
                    self.faults.silence(&net::port(n, 0), stop, &self.hands);
                }
            }
        }
        if !self.machines[n].is_on() && self.boots_again(n) {
            self.machines[n].warm_up();
        }
        Ok(())
    }

    /// Switches those on that are off. Each has its console: nobody waits for
    /// another's boot lines.
    fn boot(&mut self, which: &[usize]) -> Result<(), String> {
        let off: Vec<usize> = which.iter().copied().filter(|n| !self.machines[*n].is_on()).collect();
        for n in &off {
            self.machines[*n].switch_on()?;
            // It is not to be configured before.
            if self.cables(*n) {
                self.hands.rest();
            }
        }
        thread::scope(|scope| {
            for (_, machine) in self.machines.iter_mut().enumerate().filter(|(n, _)| off.contains(n)) {
                scope.spawn(|| machine.configure());
            }
        });
        Ok(())
    }

    /// The machines that are to be booted next, all at that time; taken from
    /// the agenda.
    fn boots_due(&mut self, at: Time) -> Vec<usize> {
        let mut all = Vec::new();
        while let Some((when, due)) = self.agenda.last()
            && Time::default() + *when == at
            && let Some(n) = self.booted_by(*due)
        {
            all.push(n);
            self.agenda.pop();
        }
        all
    }

    /// Which machine it switches on, if it does.
    fn booted_by(&self, due: Due) -> Option<usize> {
        match due {
            Due::Boot(n) => Some(n),
            Due::Deed(d) => {
                let deed = self.scenario.at.get(d).filter(|d| d.power == Some(Power::Boot))?;
                self.machines.iter().position(|m| &m.name == deed.machine.as_ref())
            }
            _ => None,
        }
    }

    fn boots_again(&self, n: usize) -> bool {
        self.agenda.iter().any(|(_, due)| self.booted_by(*due) == Some(n))
    }

    fn fault(&mut self, number: usize, over: bool) -> Result<(), String> {
        let Some(fault) = self.scenario.fault.get(number) else { return Ok(()) };
        let name = |n: &Option<Name>| n.as_ref().map(|n| n.as_ref().clone());
        let (lan, machine) = (name(&fault.lan), name(&fault.machine));
        self.shared.journal.note(What::Fault { text: text(fault), lan, machine: machine.clone(), over });
        self.faults.set(number, fault, over, &self.hands);
        if let Some(n) = self.machines.iter().position(|m| Some(&m.name) == machine.as_ref()) {
            self.cables(n);
        }
        Ok(())
    }

    /// Each cable of a machine is put where the faults of the moment have it;
    /// whether any of its may ever be out.
    fn cables(&self, n: usize) -> bool {
        let machine = &self.machines[n];
        let concerned = self.scenario.fault.iter().any(|f| is_at(f, &machine.name));
        for ifname in machine.spec.interfaces.keys().filter(|_| concerned) {
            machine.cable(ifname, self.faults.is_out(&machine.name, ifname), &self.hands);
        }
        concerned
    }
}

/// Whether it is a fault of that machine's.
fn is_at(fault: &FaultSpec, machine: &str) -> bool {
    fault.machine.as_ref().is_some_and(|m| m.as_ref() == machine)
}

/// Why this machine cannot run a scenario: a program that is not there, or no
/// taps.
pub(super) fn missing(scenario: &Scenario) -> Option<String> {
    let mut programs = vec!["ip", "mount", "unshare"];
    if faults::need_nft(scenario) {
        programs.push("nft");
    }
    if scenario.is_only_real() {
        programs.push("ucarp");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |p: &str| std::env::split_paths(&path).any(|dir| dir.join(p).is_file());
    if let Some(program) = programs.into_iter().find(|p| !is_there(p)) {
        return Some(format!("no program {program} in PATH"));
    }
    let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    tun.err().map(|e| format!("/dev/net/tun cannot be opened: {e}"))
}
