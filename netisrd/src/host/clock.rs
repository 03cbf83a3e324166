//! The hardware's clock.

use compat::sys::time::{Clock, Time};
use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, from when the machine booted.
pub struct MonotonicClock {
    /// When that was, in its nanoseconds.
    epoch: u64,
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(super) fn monotonic() -> u64 {
    // It is there on every Linux, and never before 1970.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

impl MonotonicClock {
    /// Boots now.
    pub fn start() -> MonotonicClock {
        MonotonicClock::since(monotonic())
    }

    /// Goes on as the clock of a machine that booted then, in another process.
    pub fn since(epoch: u64) -> MonotonicClock {
        MonotonicClock { epoch }
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Time {
        Time(monotonic().saturating_sub(self.epoch))
    }
}
