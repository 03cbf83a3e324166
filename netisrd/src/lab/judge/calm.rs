//! Since when nothing has been done to a LAN, and nothing goes wrong on it.

use compat::sys::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Clone, Default)]
struct Lan {
    /// Faults of it, and of those on it, that go on.
    faults: usize,
    /// When something was last done to it, or to anybody on it.
    quiet: Time,
    /// Until when old frames may arrive.
    late: Time,
}

/// All LANs, by number.
#[derive(Default)]
pub(super) struct Calm {
    lans: Vec<Lan>,
    /// Which of them each machine is on.
    plugged: Vec<BTreeSet<usize>>,
    /// Machines whose clock goes wrong.
    inexact: BTreeSet<usize>,
}

impl Calm {
    /// A machine is on these LANs.
    pub(super) fn plug(&mut self, machine: usize, lans: impl Iterator<Item = usize>) {
        self.plugged.resize(self.plugged.len().max(machine + 1), BTreeSet::new());
        self.plugged[machine].extend(lans);
        self.inexact.remove(&machine);
    }

    /// Something is done to a machine.
    pub(super) fn disturbed(&mut self, now: Time, machine: usize) {
        let on = self.plugged.get(machine).cloned().unwrap_or_default();
        on.into_iter().for_each(|lan| self.lan(lan).quiet = now);
    }

    /// A fault of that LAN has begun, or ended; what it has delayed is under way
    /// for so long at most.
    pub(super) fn fault(&mut self, now: Time, lan: usize, over: bool, delay: Duration) {
        let lan = self.lan(lan);
        lan.faults = if over { lan.faults.saturating_sub(1) } else { lan.faults + 1 };
        lan.late = lan.late.max(now + delay);
        lan.quiet = now;
    }

    /// A machine's clock goes right from now on, or wrong.
    pub(super) fn set_exact(&mut self, machine: usize, exact: bool) {
        match exact {
            true => self.inexact.remove(&machine),
            false => self.inexact.insert(machine),
        };
    }

    /// Since when a LAN is whole and quiet; `None` if it is not.
    pub(super) fn since(&self, lan: usize) -> Option<Time> {
        let on = |k: &usize| self.plugged.get(*k).is_some_and(|lans| lans.contains(&lan));
        let calm = self.lans.get(lan).filter(|l| l.faults == 0 && !self.inexact.iter().any(on));
        calm.map(|l| l.quiet.max(l.late))
    }

    /// How many LANs there are.
    pub(super) fn lans(&self) -> usize {
        self.lans.len()
    }

    fn lan(&mut self, lan: usize) -> &mut Lan {
        self.lans.resize(self.lans.len().max(lan + 1), Lan::default());
        &mut self.lans[lan]
    }
}
