//! How much is done while no time passes.

use crate::lab::scenario::Scenario;
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
        let queues = scenario.machine.values().map(|m| m.netisrs.unwrap_or(netisrs) * m.interfaces.len());
        let stations = (scenario.machine.len() + clients).max(1) as u64;
        let queues = queues.sum::<usize>().max(1) + clients;
        Moment { at: Time::default(), done: 0, most: MOST * stations * queues as u64 }
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
