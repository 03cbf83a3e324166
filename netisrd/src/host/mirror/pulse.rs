//! Whether netisr0 is alive.

use crate::host::runtime::Runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// netisr0 answers, sooner or later, what it is asked.
#[derive(Default)]
pub(super) struct Pulse {
    asked: u64,
    answered: Arc<AtomicU64>,
    /// It has been said that it does not.
    missed: bool,
}

impl Pulse {
    /// Whether it did not answer when it was last looked at.
    pub(super) fn is_missed(&self) -> bool {
        self.missed
    }

    /// Whether the last question was answered; then there is another one.
    pub(super) fn beats(&mut self, machine: &Runtime) -> bool {
        let beats = self.answered.load(Ordering::Acquire) == self.asked;
        if beats {
            self.asked += 1;
            machine.alive(self.answered.clone(), self.asked);
        }
        if beats == self.missed {
            self.missed = !beats;
            match beats {
                true => tracing::warn!("netisr0 answers again"),
                false => tracing::warn!("netisr0 does not answer: virtual addresses are not renewed"),
            }
        }
        beats
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::host::clock::MonotonicClock;
    use crate::machine::{Config, trace};

    #[test]
    fn one_who_does_not_answer_is_not_alive() {
        let clock = Arc::new(MonotonicClock::start());
        let config = Config { ncpus: 1, clock, seed: [0; 32], hz: 0, log: trace() };
        let machine = Runtime::start(config).unwrap();
        let mut pulse = Pulse::default();
        for _ in 0..3 {
            assert!(pulse.beats(&machine));
            // Behind the question.
            machine.barrier();
        }
        pulse.asked += 1;
        assert!(!pulse.is_missed());
        assert!(!pulse.beats(&machine));
        assert!(pulse.is_missed());
        machine.barrier();
        assert!(!pulse.beats(&machine), "it was not asked again");
        pulse.answered.store(pulse.asked, Ordering::Release);
        assert!(pulse.beats(&machine));
        assert!(!pulse.is_missed());
        machine.halt();
    }
}
