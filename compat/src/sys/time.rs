//! Time as the machine knows it: nanoseconds since it booted, monotonic,
//! deaf to whatever sets the wall clock.

use core::fmt;
use core::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment, in nanoseconds since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Seconds since boot, as a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    /// Zero where `earlier` is later.
    fn sub(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.as_secs_f64())
    }
}

/// Where `now` comes from: the hardware's monotonic clock, or a simulator's.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;
}

/// A clock that stands still until it is set.
#[derive(Default)]
pub struct VirtualClock(AtomicU64);

impl VirtualClock {
    /// Moves on to `t`; never back.
    pub fn advance_to(&self, t: Time) {
        self.0.fetch_max(t.0, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::Relaxed))
    }
}

/// `tvtohz_high`: `d` in ticks of 1/`hz` second, rounded up, and one more so
/// that at least `d` passes whatever the phase of the clock.
pub fn tvtohz_high(d: Duration, hz: u32) -> u64 {
    let tick_us = u64::from(1_000_000 / hz.max(1));
    d.as_secs() * u64::from(hz) + u64::from(d.subsec_micros()).div_ceil(tick_us) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_measured_on_a_bsd_kernel() {
        let ad =
            |base: u64, skew: u64| Duration::from_secs(base) + Duration::from_micros(skew * 1_000_000 / 256);
        assert_eq!(tvtohz_high(ad(1, 0), 100), 101);
        assert_eq!(tvtohz_high(ad(1, 100), 100), 141);
        assert_eq!(tvtohz_high(ad(2, 128), 100), 251);
        assert_eq!(tvtohz_high(ad(0, 10), 100), 5);
    }

    #[test]
    fn a_virtual_clock_never_goes_back() {
        let c = VirtualClock::default();
        c.advance_to(Time(5));
        c.advance_to(Time(3));
        assert_eq!(c.now(), Time(5));
    }
}
