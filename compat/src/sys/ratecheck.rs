//! `kern_time.c: ppsratecheck`: at most so many events a second.

use super::time::Time;
use core::cell::Cell;
use std::time::Duration;

/// Lets a few events of each second pass and counts the others. What a wire
/// can provoke without end must not be logged without end.
pub struct RateCheck {
    per_second: u32,
    second: Cell<Option<Time>>,
    passed: Cell<u32>,
    held_back: Cell<u64>,
}

impl RateCheck {
    /// At most `per_second` events pass.
    pub const fn new(per_second: u32) -> RateCheck {
        RateCheck { per_second, second: Cell::new(None), passed: Cell::new(0), held_back: Cell::new(0) }
    }

    /// Whether one more may pass at `now`, and how many did not since the last
    /// that did.
    pub fn pass(&self, now: Time) -> Option<u64> {
        if self.second.get().is_none_or(|s| now - s >= Duration::from_secs(1)) {
            self.second.set(Some(now));
            self.passed.set(0);
        }
        if self.passed.get() >= self.per_second {
            self.held_back.set(self.held_back.get() + 1);
            return None;
        }
        self.passed.set(self.passed.get() + 1);
        Some(self.held_back.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_five_lines_a_second_and_a_count() {
        let l = RateCheck::new(5);
        let at = |ms: u64| Time(ms * 1_000_000);
        let written = (0..1000).filter(|i| l.pass(at(*i)).is_some()).count();
        assert_eq!(written, 5);
        assert_eq!(l.pass(at(1000)), Some(995));
        assert_eq!(l.pass(at(1001)), Some(0));
    }
}
