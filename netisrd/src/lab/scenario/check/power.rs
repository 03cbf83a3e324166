//! Whether what is done to machines finds them as it needs them.

use super::super::place::{Complaint, Place};
use super::super::{Deed, Power, Scenario};
use crate::lab::agenda;

/// What a machine is, as it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Off,
    On,
    Paused,
}

/// Each deed in its turn: who switches a machine off that is off, or sets the
/// clock of one, says nothing.
pub(super) fn check(scenario: &Scenario) -> Result<(), Complaint> {
    for (name, spec) in &scenario.machine {
        let boots = agenda::boots_at(scenario, name, spec);
        let mut is = Is::Off;
        let mut deeds: Vec<(usize, &Deed)> = scenario.at.iter().enumerate().collect();
        deeds.retain(|(_, deed)| deed.machine.as_ref() == name);
        deeds.sort_by_key(|(_, deed)| deed.time);
        let mut booted = false;
        for (n, deed) in deeds {
            if !booted && boots.is_some_and(|at| at <= deed.time.0) {
                (booted, is) = (true, if is == Is::Off { Is::On } else { is });
            }
            let expected = match (deed.power, is) {
                (None, Is::Off) if deed.clock.is_some() => "on",
                (Some(Power::Boot), Is::On | Is::Paused) => "off",
                (Some(Power::Pause), Is::Off | Is::Paused) => "running",
                (Some(Power::Resume), Is::Off | Is::On) => "paused",
                (Some(Power::Crash | Power::Halt), Is::Off) => "on",
                _ => "",
            };
            if !expected.is_empty() {
                let key = if deed.clock.is_some() { "clock" } else { "power" };
                let place = Place::under(&["at", &n.to_string(), key]);
                return Err((place, format!("expected {name} to be {expected} at {}", deed.time)));
            }
            is = match deed.power {
                Some(Power::Boot | Power::Resume) => Is::On,
                Some(Power::Pause) => Is::Paused,
                Some(Power::Crash | Power::Halt) => Is::Off,
                None => is,
            };
        }
    }
    Ok(())
}
