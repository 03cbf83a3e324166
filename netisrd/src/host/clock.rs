//! The hardware's clock.

use compat::sys::time::{Clock, Time};
use std::time::Instant;

/// `CLOCK_MONOTONIC`, from when the machine booted.
pub struct MonotonicClock(Instant);

impl MonotonicClock {
    /// Boots now.
    #[allow(clippy::disallowed_methods, reason = "the one place where real time comes in")]
    pub fn start() -> MonotonicClock {
        MonotonicClock(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
