//! Makes a scenario that breaks a rule smaller: whatever can be left out is.

use super::run;
use super::subject::Subject;
use crate::lab::duration::Span;
use crate::lab::judge::Violation;
use crate::lab::scenario::{FaultSpec, MachineSpec, Name, Scenario};
use std::time::Duration;

/// How often a scenario is run again at most.
const RUNS: usize = 3000;
/// And how many steps that may take: what has no end takes millions each time.
const STEPS: u64 = 100_000_000;

/// A smaller one that breaks the same rule in the same place: the smallest that is
/// found until `over`.
pub fn shrink(scenario: &Scenario, violation: &Violation, over: &dyn Fn() -> bool) -> Scenario {
    let subject = Subject::of(scenario, violation);
    let mut shrinking = Shrinking { best: scenario.clone(), subject, over, runs: 0, steps: 0 };
    loop {
        let before = size(&shrinking.best);
        shrinking.cut_the_end();
        shrinking.leave_out(|s| &mut s.at);
        shrinking.leave_out(|s| &mut s.fault);
        shrinking.clients_and_machines();
        shrinking.boot_lines();
        shrinking.interfaces();
        shrinking.lans();
        shrinking.words();
        shrinking.simplify();
        if size(&shrinking.best) >= before || shrinking.ends() {
            return shrinking.best;
        }
    }
}

/// How much there is to read in it.
fn size(s: &Scenario) -> (usize, Duration) {
    let words = |line: &Name| 1 + line.as_ref().split_whitespace().count();
    let machine = |m: &MachineSpec| {
        m.boot.iter().map(words).sum::<usize>() + 1 + m.interfaces.len() + m.netisrs.unwrap_or(0)
    };
    let lines = s.machine.values().map(machine).sum::<usize>();
    let deeds = s.at.iter().map(|deed| 10 + deed.run.as_ref().map_or(0, words)).sum::<usize>();
    let faults = s.fault.iter().map(|f| 10 + format!("{f:?}").len()).sum::<usize>();
    (lines + deeds + faults + s.client.len() + s.lan.len(), s.time.0)
}

struct Shrinking<'o> {
    best: Scenario,
    subject: Subject,
    over: &'o dyn Fn() -> bool,
    runs: usize,
    steps: u64,
}

impl Shrinking<'_> {
    fn ends(&self) -> bool {
        self.runs >= RUNS || self.steps >= STEPS || (self.over)()
    }

    /// How it breaks the same rule, if it does.
    fn breaks(&mut self, candidate: &Scenario) -> Option<Violation> {
        self.runs += 1;
        let (ran, violation) = run(candidate);
        self.steps += ran.steps;
        violation.filter(|v| Subject::of(candidate, v) == self.subject)
    }

    /// Takes it if the rule is broken still, and its file can be run.
    fn try_(&mut self, candidate: Scenario) -> bool {
        let still = !self.ends() && candidate.is_sound() && self.breaks(&candidate).is_some();
        if still {
            self.best = candidate;
        }
        still
    }

    /// It ends when the rule is broken, and what comes later is gone.
    fn cut_the_end(&mut self) {
        let best = self.best.clone();
        let Some(violation) = self.breaks(&best) else { return };
        let mut s = self.best.clone();
        let end = Duration::from_nanos(violation.at.0);
        s.time = Span(end + Duration::from_nanos(1));
        s.at.retain(|deed| deed.time.0 <= end);
        s.fault.retain(|fault| fault.from.0 <= end);
        self.try_(s);
    }

    /// Parts of a list, the larger ones first.
    fn leave_out<T: Clone>(&mut self, list: fn(&mut Scenario) -> &mut Vec<T>) {
        let mut part = list(&mut self.best).len();
        while part > 0 {
            let mut from = list(&mut self.best).len();
            while from > 0 {
                let to = from;
                from = from.saturating_sub(part);
                let mut s = self.best.clone();
                list(&mut s).drain(from..to);
                self.try_(s);
                from = from.min(list(&mut self.best).len());
            }
            part /= 2;
        }
    }

    fn clients_and_machines(&mut self) {
        for client in self.best.client.keys().cloned().collect::<Vec<_>>() {
            let mut s = self.best.clone();
            s.client.remove(&client);
            self.try_(s);
        }
        for machine in self.best.machine.keys().cloned().collect::<Vec<_>>() {
            let mut s = self.best.clone();
            s.machine.remove(&machine);
            s.at.retain(|deed| deed.machine.as_ref() != &machine);
            s.fault.retain(|fault| fault.machine.as_ref().is_none_or(|m| m.as_ref() != &machine));
            for fault in &mut s.fault {
                let one_way = fault.one_way.iter_mut().flat_map(|w| [&mut w.from, &mut w.to]);
                fault.partition.iter_mut().chain(one_way).for_each(|l| l.retain(|n| n.as_ref() != &machine));
            }
            self.try_(s);
        }
    }

    /// Those that are not needed, with what is typed and goes wrong at them.
    fn interfaces(&mut self) {
        for machine in self.best.machine.keys().cloned().collect::<Vec<_>>() {
            let spec = self.best.machine.get(&machine);
            let names = spec.map(|m| m.interfaces.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
            for ifname in names.into_iter().rev() {
                let mut s = self.best.clone();
                let Some(spec) = s.machine.get_mut(&machine).filter(|m| m.interfaces.len() > 1) else {
                    break;
                };
                spec.interfaces.remove(&ifname);
                spec.boot.retain(|line| interface(line.as_ref()) != ifname);
                let at = |name: &Option<Name>, here: &str| name.as_ref().is_some_and(|n| n.as_ref() == here);
                s.at.retain(|deed| {
                    let about = deed.run.as_ref().is_some_and(|line| interface(line.as_ref()) == ifname);
                    !about || deed.machine.as_ref() != &machine
                });
                s.fault.retain(|f| !at(&f.machine, &machine) || !at(&f.interface, &ifname));
                self.try_(s);
            }
        }
    }

    /// Those on which nobody is.
    fn lans(&mut self) {
        for lan in self.best.lan.keys().cloned().collect::<Vec<_>>() {
            let mut s = self.best.clone();
            s.lan.remove(&lan);
            let unused = |m: &MachineSpec| m.interfaces.values().all(|l| l.as_ref() != &lan);
            if s.machine.values().all(unused) && s.client.values().all(|c| c.lan.as_ref() != &lan) {
                s.fault.retain(|fault| fault.lan.as_ref().is_none_or(|l| l.as_ref() != &lan));
                self.try_(s);
            }
        }
    }

    /// Command lines, of boots and of deeds.
    fn words(&mut self) {
        for machine in self.best.machine.keys().cloned().collect::<Vec<_>>() {
            let lines = self.best.machine.get(&machine).map_or(0, |m| m.boot.len());
            for i in 0..lines {
                self.shorten(|s| s.machine.get_mut(&machine)?.boot.get_mut(i));
            }
        }
        for i in 0..self.best.at.len() {
            self.shorten(|s| s.at.get_mut(i)?.run.as_mut());
        }
    }

    /// A line without what stands at its end, or before that: a keyword and its
    /// value, or a word alone. The program and what it is about stay.
    fn shorten(&mut self, line: impl Fn(&mut Scenario) -> Option<&mut Name>) {
        let words = line(&mut self.best).and_then(|line| shlex::split(line.as_ref())).unwrap_or_default();
        let mut end = words.len();
        let mut left = words;
        while end > 2 {
            let shorter = [2, 1].into_iter().filter(|n| end >= 2 + n).find_map(|n| {
                let mut words = left.clone();
                words.drain(end - n..end);
                let text = shlex::try_join(words.iter().map(String::as_str)).ok()?;
                let mut s = self.best.clone();
                let line = line(&mut s)?;
                *line = Name::new(line.span(), text);
                self.try_(s).then_some((n, words))
            });
            match shorter {
                Some((n, words)) => (end, left) = (end - n, words),
                None => end -= 1,
            }
        }
    }

    /// A carp interface's lines go together, then each alone.
    fn boot_lines(&mut self) {
        for machine in self.best.machine.keys().cloned().collect::<Vec<_>>() {
            let boot = |s: &Scenario| s.machine.get(&machine).map(|m| m.boot.clone()).unwrap_or_default();
            let set = |s: &Scenario, lines| {
                let mut s = s.clone();
                if let Some(m) = s.machine.get_mut(&machine) {
                    m.boot = lines;
                }
                s
            };
            let first = boot(&self.best);
            let mut words: Vec<_> = first.iter().map(|l| interface(l.as_ref())).collect();
            words.dedup();
            for word in words {
                let kept = boot(&self.best).into_iter().filter(|l| interface(l.as_ref()) != word).collect();
                let s = set(&self.best, kept);
                self.try_(s);
            }
            for i in (0..boot(&self.best).len()).rev() {
                let mut lines = boot(&self.best);
                lines.remove(i);
                let s = set(&self.best, lines);
                self.try_(s);
            }
            if let Some(m) = self.best.machine.get(&machine)
                && (m.netisrs != Some(1) || m.on.is_some())
            {
                let mut s = self.best.clone();
                if let Some(m) = s.machine.get_mut(&machine) {
                    (m.netisrs, m.on) = (Some(1), None);
                }
                self.try_(s);
            }
        }
    }

    /// Rounder times, faults of one kind, no delay.
    fn simplify(&mut self) {
        for lan in self.best.lan.keys().cloned().collect::<Vec<_>>() {
            let mut s = self.best.clone();
            if s.lan.insert(lan, Default::default()).is_some_and(|l| l.delay.is_some()) {
                self.try_(s);
            }
        }
        for i in 0..self.best.at.len() {
            for unit in [1_000_000_000, 1_000_000] {
                let mut s = self.best.clone();
                if !round(&mut s.at[i].time, unit) || self.try_(s) {
                    break;
                }
            }
        }
        for i in 0..self.best.fault.len() {
            for change in FAULTS {
                let mut s = self.best.clone();
                if change(&mut s.fault[i]) {
                    self.try_(s);
                }
            }
        }
    }
}

/// Ways to make a fault simpler; whether it is another one.
const FAULTS: [fn(&mut FaultSpec) -> bool; 5] = [
    |f| round(&mut f.from, 1_000_000_000),
    |f| f.until.as_mut().is_some_and(|until| round(until, 1_000_000_000)),
    |f| f.loss > 0.0 && core::mem::replace(&mut f.loss, 1.0) != 1.0,
    |f| f.duplicate > 0.0 && core::mem::replace(&mut f.duplicate, 1.0) != 1.0,
    |f| core::mem::take(&mut f.jitter) != Span::default(),
];

/// Down to whole units; whether it was none already.
fn round(span: &mut Span, unit: u64) -> bool {
    let nanos = u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX);
    span.0 = Duration::from_nanos(nanos - nanos % unit);
    !nanos.is_multiple_of(unit)
}

/// Which interface a command line is about; the line itself if none.
fn interface(line: &str) -> &str {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["ifconfig", interface, ..] => interface,
        _ => line,
    }
}
