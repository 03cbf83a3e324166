//! What some devices cannot do, refused before anything is made.

use super::place::{Complaint, Place};
use super::{ClockSpec, Deed, Devices, FaultSpec, Kind, Scenario};
use std::time::Duration;

impl Scenario {
    /// Whether such devices can run it.
    pub(super) fn check_for(&self, devices: Devices) -> Result<(), Complaint> {
        match devices {
            Devices::Virtual => self.check_virtual(),
            Devices::Real => self.check_real(),
        }
    }

    /// Whether only real devices can run it.
    pub fn is_only_real(&self) -> bool {
        self.machine.values().any(|m| m.kind == Kind::Ucarp)
    }

    fn check_virtual(&self) -> Result<(), Complaint> {
        match self.machine.iter().find(|(_, m)| m.kind == Kind::Ucarp) {
            Some((name, spec)) => {
                let at = spec.interfaces.values().next().map_or(Place::under(&[]), Place::of);
                Err((at, format!("{name} is ucarp, a program of Linux: it runs with --real only")))
            }
            None => Ok(()),
        }
    }

    fn check_real(&self) -> Result<(), Complaint> {
        if let Some(why) = &self.not_real {
            return Err((Place::of(why), format!("real devices cannot run it: {}", why.as_ref())));
        }
        if let Some(delay) = self.lan.values().find_map(|lan| lan.delay.as_ref()) {
            return Err((Place::of(delay), cannot("delay")));
        }
        self.at.iter().try_for_each(check_deed)?;
        self.fault.iter().try_for_each(check_fault)
    }
}

fn check_deed(deed: &Deed) -> Result<(), Complaint> {
    match deed.clock {
        Some(ClockSpec { .. }) => {
            Err((Place::of(&deed.machine), "real machines have one clock, the kernel's".into()))
        }
        None => Ok(()),
    }
}

fn check_fault(fault: &FaultSpec) -> Result<(), Complaint> {
    let at = || fault.lan.as_ref().or(fault.machine.as_ref()).map_or(Place::under(&[]), Place::of);
    let wants = [
        ("delay", fault.delay.0 > Duration::ZERO),
        ("jitter", fault.jitter.0 > Duration::ZERO),
        ("duplicate", fault.duplicate > 0.0),
        ("corrupt", fault.corrupt > 0.0),
        ("truncate", fault.truncate > 0.0),
        ("reorder", fault.reorder > 0.0),
    ];
    if let Some((word, _)) = wants.iter().find(|(_, wanted)| *wanted) {
        return Err((at(), cannot(word)));
    }
    if fault.send_errors {
        return Err((at(), "a tap takes whatever is sent: real devices have no send_errors".into()));
    }
    if fault.echo && fault.only.is_some() {
        return Err((at(), "a real bridge echoes all frames or none, not some only".into()));
    }
    Ok(())
}

fn cannot(word: &str) -> String {
    format!("a real bridge does not {word} frames")
}
