//! Whether a netisr has frames of a queue in hand, for another one that must not go on
//! before it has done with those.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Odd while it has.
#[derive(Default)]
pub(super) struct InHand(AtomicU64);

impl InHand {
    /// What `take` does is done with frames in hand. What it reads others have written
    /// before they waited, or they wait for its end.
    pub(super) fn during<R>(&self, take: impl FnOnce() -> R) -> R {
        self.0.fetch_add(1, Ordering::Relaxed);
        let _end = End(&self.0);
        fence(Ordering::SeqCst);
        take()
    }

    /// Until whoever has some by now has done with them. It waits for nobody: neither for
    /// a frame nor for the host.
    pub(super) fn wait(&self) {
        fence(Ordering::SeqCst);
        let seen = self.0.load(Ordering::Acquire);
        while seen % 2 == 1 && self.0.load(Ordering::Acquire) == seen {
            std::thread::yield_now();
        }
    }
}

struct End<'a>(&'a AtomicU64);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn whoever_waits_goes_on_after_what_was_in_hand_and_not_before() {
        let (hand, taken, done) = (InHand::default(), Barrier::new(2), AtomicBool::new(false));
        hand.wait();
        for _ in 0..200 {
            done.store(false, Ordering::Relaxed);
            std::thread::scope(|s| {
                s.spawn(|| {
                    hand.during(|| {
                        taken.wait();
                        std::thread::yield_now();
                        done.store(true, Ordering::Relaxed);
                    });
                });
                taken.wait();
                hand.wait();
                assert!(done.load(Ordering::Relaxed));
            });
        }
    }
}
