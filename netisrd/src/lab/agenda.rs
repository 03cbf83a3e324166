//! What is to be done in a run, and when.

use super::scenario::{Power, Scenario};
use std::time::Duration;

/// What is to be done, by its number in the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A machine is switched on, without a deed.
    Boot(usize),
    /// A deed.
    Deed(usize),
    /// A fault begins.
    FaultBegins(usize),
    /// A fault ends.
    FaultEnds(usize),
    /// A client pings for the first time.
    Ping(usize),
}

/// All of it. What is for the same time is done in this order.
pub fn of(scenario: &Scenario) -> Vec<(Duration, Due)> {
    let mut all = Vec::new();
    for (n, spec) in scenario.client.values().enumerate() {
        all.push((spec.from.0, Due::Ping(n)));
    }
    for (n, (name, spec)) in scenario.machine.iter().enumerate() {
        let deeds = || scenario.at.iter().filter(|d| d.machine.as_ref() == name);
        let booted = deeds().any(|d| d.power == Some(Power::Boot));
        let first = deeds().min_by_key(|d| d.time);
        match spec.on {
            Some(on) => all.push((on.0, Due::Boot(n))),
            // Whoever is first booted by a deed is off until then, unless
            // something happens to it before.
            None if booted && first.is_none_or(|d| d.power == Some(Power::Boot)) => {}
            None => all.push((Duration::ZERO, Due::Boot(n))),
        }
    }
    for (n, deed) in scenario.at.iter().enumerate() {
        all.push((deed.time.0, Due::Deed(n)));
    }
    for (n, fault) in scenario.fault.iter().enumerate() {
        all.push((fault.from.0, Due::FaultBegins(n)));
        if let Some(until) = fault.until {
            all.push((until.0, Due::FaultEnds(n)));
        }
    }
    all
}
