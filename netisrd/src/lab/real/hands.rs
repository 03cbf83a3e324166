//! Who changes cables and rules while a run goes on.
//!
//! The kernel has one lock for its interfaces, and who wants to change one waits
//! for all others on the machine. So a thread of its own does that, in order,
//! and what is next on the agenda is not late by it.

use super::play::RunClock;
use compat::sys::time::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// The thread, its first failure, and how long after it was asked for what took longest
/// was done, in nanoseconds.
pub(super) struct Hands {
    clock: Arc<RunClock>,
    jobs: Sender<Job>,
    failed: Arc<Mutex<Option<String>>>,
    late: Arc<AtomicU64>,
}

impl Hands {
    /// With nothing to do.
    pub(super) fn new(clock: Arc<RunClock>) -> Result<Hands, String> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let failed: Arc<Mutex<Option<String>>> = Arc::default();
        let first = failed.clone();
        let work = move || {
            for job in todo {
                if let Err(e) = job() {
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            }
        };
        thread::Builder::new().name("hands".into()).spawn(work).map_err(|e| e.to_string())?;
        Ok(Hands { clock, jobs, failed, late: Arc::default() })
    }

    /// After all that is to be done already.
    pub(super) fn then(&self, job: impl FnOnce() -> Result<(), String> + Send + 'static) {
        let (clock, late, asked) = (self.clock.clone(), self.late.clone(), self.clock.now());
        let job = move || {
            let done = job();
            late.fetch_max(clock.now().0.saturating_sub(asked.0), Ordering::Relaxed);
            done
        };
        if self.jobs.send(Box::new(job)).is_err() {
            let gone = || "the lab's hands are gone".to_owned();
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(gone);
        }
    }

    /// Waits until all is done.
    pub(super) fn rest(&self) {
        let (done, all_done) = mpsc::channel();
        self.then(move || done.send(()).map_err(|e| e.to_string()));
        // It ends too when the thread has: then that is what has failed.
        let _ = all_done.recv();
    }

    /// By how much what was done was late at most.
    pub(super) fn late(&self) -> Duration {
        Duration::from_nanos(self.late.load(Ordering::Relaxed))
    }

    /// What has failed first.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self) -> Result<(), String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_is_done_in_order_and_the_first_failure_is_kept() {
        let clock = Arc::new(RunClock::new());
        clock.begin();
        let hands = Hands::new(clock.clone()).unwrap();
        assert_eq!(hands.late(), Duration::ZERO);
        hands.then(move || {
            let begun = clock.now();
            while clock.now() == begun {}
            Ok(())
        });
        let (tell, told) = mpsc::channel();
        for n in 0..100 {
            let tell = tell.clone();
            hands.then(move || {
                tell.send(n).unwrap();
                if n < 50 { Ok(()) } else { Err(n.to_string()) }
            });
        }
        hands.rest();
        assert!(hands.late() > Duration::ZERO);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        assert_eq!((hands.check(), hands.check()), (Err("50".into()), Ok(())));
    }
}
