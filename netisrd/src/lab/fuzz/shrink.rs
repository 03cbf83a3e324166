//! Makes a scenario that breaks a rule smaller: whatever can be left out is.

use super::breaks;
use crate::lab::duration::Span;
use crate::lab::judge::Rule;
use crate::lab::scenario::{FaultSpec, Scenario};
use std::time::Duration;

/// How often a scenario is run again at most.
const RUNS: usize = 3000;

/// A smaller one that breaks the same rule.
pub fn shrink(scenario: &Scenario, rule: Rule) -> Scenario {
    let mut shrinking = Shrinking { best: scenario.clone(), rule, runs: 0 };
    loop {
        let before = size(&shrinking.best);
        shrinking.cut_the_end();
        shrinking.leave_out(|s| &mut s.at);
        shrinking.leave_out(|s| &mut s.fault);
        shrinking.clients_and_machines();
        shrinking.boot_lines();
        shrinking.simplify();
        if size(&shrinking.best) >= before || shrinking.runs >= RUNS {
            return shrinking.best;
        }
    }
}

/// How much there is to read in it.
fn size(s: &Scenario) -> (usize, Duration) {
    let lines: usize = s.machine.values().map(|m| m.boot.len() + 1 + m.netisrs.unwrap_or(0)).sum();
    let faults = s.fault.iter().map(|f| format!("{f:?}").len()).sum::<usize>();
    (lines + s.at.len() * 10 + s.fault.len() * 10 + faults + s.client.len() + s.lan.len(), s.time.0)
}

struct Shrinking {
    best: Scenario,
    rule: Rule,
    runs: usize,
}

impl Shrinking {
    /// Takes it if the rule is broken still, and its file can be run.
    fn try_(&mut self, candidate: Scenario) -> bool {
        if self.runs >= RUNS || !candidate.is_sound() {
            return false;
        }
        self.runs += 1;
        let still = breaks(&candidate, self.rule).is_some();
        if still {
            self.best = candidate;
        }
        still
    }

    /// It ends when the rule is broken, and what comes later is gone.
    fn cut_the_end(&mut self) {
        let Some(violation) = breaks(&self.best, self.rule) else { return };
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
        for lan in self.best.lan.keys().cloned().collect::<Vec<_>>() {
            let mut s = self.best.clone();
            s.lan.remove(&lan);
            let unused =
                |m: &crate::lab::scenario::MachineSpec| m.interfaces.values().all(|l| l.as_ref() != &lan);
            if s.machine.values().all(unused) && s.client.values().all(|c| c.lan.as_ref() != &lan) {
                s.fault.retain(|fault| fault.lan.as_ref().is_none_or(|l| l.as_ref() != &lan));
                self.try_(s);
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
