//! Whether real devices have done what virtual time says.

use crate::lab::record::{Event, State, What};
use compat::sys::time::Time;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a difference in time is nothing up to: a process is started, a line
/// typed and a message read in less.
pub const CLOSE: Duration = Duration::from_millis(20);

/// An INIT of a vhid that is left within that time,
const BRIEF: Duration = Duration::from_millis(100);
/// and so near to a command line, is not looked at: it is a step of a system
/// call, which takes no time in virtual time.
const NEAR: Duration = Duration::from_secs(1);

/// Interfaces whose changes are told where they are others.
const SHOWN: usize = 8;

/// An interface of a machine.
type Who = (String, String);

/// How two runs of one scenario differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Whose changes of state are others, with both: first the real ones.
    pub others: Vec<(Who, String, String)>,
    /// Changes that both have, of those whose changes are the same.
    pub same: usize,
    /// How many of these are more than [`CLOSE`] apart.
    pub apart: usize,
    /// Which are furthest apart, and how far.
    pub furthest: Option<(Duration, String)>,
}

/// Holds the changes of state of a real run against those of a virtual one.
pub fn compare(real: &[Event], virtual_: &[Event]) -> Comparison {
    let (real, virtual_) = (changes(real), changes(virtual_));
    let mut found = Comparison { others: Vec::new(), same: 0, apart: 0, furthest: None };
    let nobody = Vec::new();
    let whos: BTreeMap<&Who, ()> = real.keys().chain(virtual_.keys()).map(|who| (who, ())).collect();
    for who in whos.into_keys() {
        let (ours, theirs) = (real.get(who).unwrap_or(&nobody), virtual_.get(who).unwrap_or(&nobody));
        let order = |all: &[Change]| all.iter().map(|c| c.what()).collect::<Vec<_>>().join(" ");
        if order(ours) != order(theirs) {
            found.others.push((who.clone(), order(ours), order(theirs)));
            continue;
        }
        for (a, b) in ours.iter().zip(theirs) {
            let apart = apart(a.at, b.at);
            found.same += 1;
            found.apart += usize::from(apart > CLOSE);
            if found.furthest.as_ref().is_none_or(|(most, _)| apart > *most) {
                let (machine, ifname) = who;
                found.furthest = Some((apart, format!("{machine} {ifname} {} at {}", a.what(), b.at)));
            }
        }
    }
    found
}

fn apart(a: Time, b: Time) -> Duration {
    (a - b).max(b - a)
}

struct Change {
    at: Time,
    vhid: u8,
    to: State,
}

impl Change {
    fn what(&self) -> String {
        match self.vhid {
            0 => self.to.name().to_owned(),
            vhid => format!("{}/{vhid}", self.to.name()),
        }
    }
}

fn changes(events: &[Event]) -> BTreeMap<Who, Vec<Change>> {
    let mut all: BTreeMap<Who, Vec<Change>> = BTreeMap::new();
    let mut typed: BTreeMap<&str, Vec<Time>> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::State { machine, ifname, vhid, to, .. } => {
                let change = Change { at: event.time(), vhid: *vhid, to: *to };
                all.entry((machine.clone(), ifname.clone())).or_default().push(change);
            }
            What::Command { machine, .. } => typed.entry(machine).or_default().push(event.time()),
            _ => {}
        }
    }
    let none = Vec::new();
    let kept = |((machine, ifname), changes): (Who, Vec<Change>)| {
        let kept = without_steps(changes, typed.get(machine.as_str()).unwrap_or(&none));
        ((machine, ifname), kept)
    };
    all.into_iter().map(kept).collect()
}

/// Without the steps of system calls; `typed` is when lines were given to the
/// machine.
fn without_steps(changes: Vec<Change>, typed: &[Time]) -> Vec<Change> {
    let mut kept: Vec<Change> = Vec::new();
    for change in changes {
        let by_line = |t: &Time| apart(*t, change.at) < NEAR;
        let is_step = |c: &Change| c.vhid != 0 && c.to == State::Init && change.at - c.at < BRIEF;
        if kept.last().is_some_and(is_step) && typed.iter().any(by_line) {
            kept.pop();
        }
        if kept.last().is_none_or(|c| (c.vhid, c.to) != (change.vhid, change.to)) {
            kept.push(change);
        }
    }
    kept
}

impl Comparison {
    /// Whether both have the same changes in the same order.
    pub fn agrees(&self) -> bool {
        self.others.is_empty()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((machine, ifname), real, virtual_) in self.others.iter().take(SHOWN) {
            writeln!(f, "  NO  {machine} {ifname} as in virtual time: {real}, there {virtual_}")?;
        }
        if let Some(more @ 1..) = self.others.len().checked_sub(SHOWN) {
            writeln!(f, "  NO  and {more} interfaces more")?;
        }
        let word = if self.agrees() { "ok" } else { "--" };
        write!(f, "  {word}  {} changes of state as in virtual time", self.same)?;
        if let Some((most, which)) = &self.furthest {
            let millis = most.as_secs_f64() * 1e3;
            let close = CLOSE.as_millis();
            write!(f, ", {} more than {close} ms apart, {millis:.3} ms at most: {which}", self.apart)?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(changes: &[(u64, &str, State)]) -> Vec<Event> {
        let event = |(ms, machine, to): &(u64, &str, State)| {
            let (machine, ifname, from) = ((*machine).to_owned(), "carp0".to_owned(), State::Absent);
            let what = What::State { machine, ifname, lan: None, vhid: 1, from, to: *to };
            Event { at: ms * 1_000_000, what }
        };
        changes.iter().map(event).collect()
    }

    #[test]
    fn a_step_of_a_command_is_no_change_and_a_short_outage_is() {
        use State::{Backup, Init};
        let there = run(&[(0, "a", Backup), (1500, "a", Init), (1900, "a", Backup)]);
        let here = [(0, "a", Init), (1, "a", Backup), (3, "a", Init), (4, "a", Backup), (1490, "a", Init)];
        let mut here = run(&[&here[..], &[(1500, "a", Backup)]].concat());
        assert!(!compare(&here, &there).agrees(), "nobody has typed");
        let (machine, line, status, output) = ("a".into(), "ifconfig carp0".into(), 0, String::new());
        here.push(Event { at: 5_000_000, what: What::Command { machine, line, status, output } });
        assert_eq!((compare(&here, &there).agrees(), compare(&here, &there).same), (true, 3));
        here[3].at = 300_000_000;
        assert!(!compare(&here, &there).agrees(), "it lasts");
    }

    #[test]
    fn another_order_is_found_and_a_later_time_is_told() {
        use State::{Backup, Init, Master};
        let there = run(&[(0, "a", Init), (0, "b", Init), (3000, "a", Master), (3000, "b", Backup)]);
        let here = run(&[(1, "b", Init), (2, "a", Init), (3030, "a", Master), (2990, "b", Backup)]);
        let found = compare(&here, &there);
        assert!(found.agrees());
        assert_eq!((found.same, found.apart), (4, 1));
        assert_eq!(
            found.to_string(),
            "  ok  4 changes of state as in virtual time, 1 more than 20 ms apart, \
             30.000 ms at most: a carp0 MASTER/1 at 3.000000s\n"
        );
        let here = run(&[(0, "a", Init), (0, "b", Init), (3000, "a", Master), (3001, "a", Backup)]);
        let found = compare(&here, &there);
        assert!(!found.agrees());
        let said = found.to_string();
        assert!(
            said.contains(
                "NO  a carp0 as in virtual time: INIT/1 MASTER/1 BACKUP/1, there INIT/1 MASTER/1\n"
            )
        );
        assert!(said.contains("NO  b carp0 as in virtual time: INIT/1, there INIT/1 BACKUP/1\n"), "{said}");
    }
}
