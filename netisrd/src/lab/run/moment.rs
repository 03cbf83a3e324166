//! How much is done while no time passes.

use crate::lab::scenario::{MachineSpec, Scenario};
use compat::sys::time::Time;

/// Steps at one moment, for each station that is heard and each queue that hears
/// it: twenty times what the most crowded of thousands of random scenarios needs,
/// in which a machine finds its queue full after a pause.
const MOST: u64 = 10_000;

/// What is done since time has passed, or since something was done from outside.
pub(super) struct Moment {
    at: Time,
    done: u64,
    most: u64,
}

impl Moment {
    /// Of the stations of a scenario, whose machines have so many netisrs unless
    /// it says how many.
    pub(super) fn new(scenario: &Scenario, netisrs: usize) -> Moment {
        let clients = scenario.client.len();
        let of = |m: &MachineSpec| m.netisrs.unwrap_or(netisrs).saturating_mul(m.interfaces.len());
        let queues = scenario.machine.values().map(of).fold(clients.max(1), usize::saturating_add);
        let stations = (scenario.machine.len() + clients).max(1) as u64;
        let most = MOST.saturating_mul(stations).saturating_mul(queues as u64);
        Moment { at: Time::default(), done: 0, most }
    }

    /// Something is done from outside.
    pub(super) fn begins(&mut self) {
        self.done = 0;
    }

    /// One thing more is done now.
    pub(super) fn more(&mut self, now: Time) {
        if now != self.at {
            (self.at, self.done) = (now, 0);
        }
        self.done += 1;
    }

    /// More than there can be to do, if so.
    pub(super) fn excess(&self) -> Option<u64> {
        (self.done > self.most).then_some(self.done)
    }
}
