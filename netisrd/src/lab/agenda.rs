//! What is to be done in a run, and when.

use super::scenario::{MachineSpec, Power, Scenario};
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
        all.extend(boots_at(scenario, name, spec).map(|at| (at, Due::Boot(n))));
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

/// When a machine is switched on; `None` for one that a deed boots first: it is off
/// until then.
pub(super) fn boots_at(scenario: &Scenario, name: &str, spec: &MachineSpec) -> Option<Duration> {
    let deeds = scenario.at.iter().filter(|d| d.machine.as_ref() == name);
    let first = deeds.min_by_key(|d| d.time);
    match spec.on {
        Some(on) => Some(on.0),
        None if first.is_some_and(|d| d.power == Some(Power::Boot)) => None,
        None => Some(Duration::ZERO),
    }
}
