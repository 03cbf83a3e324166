//! A machine's own clock.

use compat::sys::time::{Clock, Time, VirtualClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A machine's own clock: the world's, but it may go slower or faster, and
/// jump forwards.
pub(super) struct HostClock {
    world: Arc<VirtualClock>,
    /// When it began to go as it goes, by the world's clock and by its own.
    since: AtomicU64,
    local: AtomicU64,
    /// How much it goes in a million of the world's.
    rate: AtomicU64,
}

const EXACT: u64 = 1_000_000;

impl HostClock {
    pub(super) fn new(world: Arc<VirtualClock>) -> HostClock {
        let now = world.now().0;
        HostClock { world, since: now.into(), local: now.into(), rate: EXACT.into() }
    }

    /// From now on it goes at `rate`, and it jumps by `jump`.
    pub(super) fn set(&self, rate: u64, jump: Duration) {
        let local = self.now() + jump;
        self.local.store(local.0, Ordering::Relaxed);
        self.since.store(self.world.now().0, Ordering::Relaxed);
        self.rate.store(rate.max(1), Ordering::Relaxed);
    }

    fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// When the world's clock will be, as this one shows `t`.
    pub(super) fn in_world(&self, t: Time) -> Time {
        let ahead = t.0.saturating_sub(self.local.load(Ordering::Relaxed));
        let ahead = match self.rate() {
            EXACT => ahead,
            rate => narrow((u128::from(ahead) * u128::from(EXACT)).div_ceil(u128::from(rate))),
        };
        Time(self.since.load(Ordering::Relaxed).saturating_add(ahead))
    }
}

impl Clock for HostClock {
    fn now(&self) -> Time {
        let gone = self.world.now().0.saturating_sub(self.since.load(Ordering::Relaxed));
        let gone = match self.rate() {
            EXACT => gone,
            rate => narrow(u128::from(gone) * u128::from(rate) / u128::from(EXACT)),
        };
        Time(self.local.load(Ordering::Relaxed).saturating_add(gone))
    }
}

fn narrow(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
