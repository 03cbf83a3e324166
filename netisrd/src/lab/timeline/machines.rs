//! When each machine is on, and what is done to it.

use super::picture::{Kind, Machine, Mark, Power, Span, mark};
use crate::lab::record::Event;

/// The machines of `names`, and whoever else is heard of, in that order.
pub(super) fn of(events: &[Event], names: &[String], end: u64) -> Vec<Machine> {
    let mut all: Vec<(&String, Vec<Mark>)> = names.iter().map(|n| (n, Vec::new())).collect();
    for (name, mark) in events.iter().filter_map(mark) {
        match all.iter_mut().find(|(n, _)| *n == name) {
            Some((_, marks)) => marks.push(mark),
            None => all.push((name, vec![mark])),
        }
    }
    let tell = |(name, marks): (&String, Vec<Mark>)| Machine {
        name: name.clone(),
        power: power(&marks, end),
        marks,
    };
    all.into_iter().map(tell).collect()
}

/// A machine that nobody boots is on from the beginning.
fn power(marks: &[Mark], end: u64) -> Vec<Span<Power>> {
    let before = |kind| match kind {
        Kind::Boot => Some(Power::Off),
        Kind::Crash | Kind::Halt | Kind::Pause => Some(Power::On),
        Kind::Resume => Some(Power::Paused),
        Kind::Command | Kind::Error => None,
    };
    let after = |kind| match kind {
        Kind::Boot | Kind::Resume => Some(Power::On),
        Kind::Crash | Kind::Halt => Some(Power::Off),
        Kind::Pause => Some(Power::Paused),
        Kind::Command | Kind::Error => None,
    };
    let mut is = marks.iter().find_map(|m| before(m.kind)).unwrap_or(Power::On);
    let mut spans = Vec::new();
    let mut from = 0;
    for (at, next) in marks.iter().filter_map(|m| Some((m.at, after(m.kind)?))) {
        if at > from {
            spans.push(Span { from, to: at, is });
        }
        (from, is) = (at, next);
    }
    if end > from {
        spans.push(Span { from, to: end, is });
    }
    spans
}
