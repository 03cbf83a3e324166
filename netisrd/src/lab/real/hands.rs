//! Who changes cables and rules while a run goes on.
//!
//! The kernel has one lock for its interfaces, and who wants to change one waits
//! for all others on the machine. So a thread of its own does that, in order,
//! and what is next on the agenda is not late by it.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// The thread, and its first failure.
pub(super) struct Hands {
    jobs: Sender<Job>,
    failed: Arc<Mutex<Option<String>>>,
}

impl Hands {
    /// With nothing to do.
    pub(super) fn new() -> Result<Hands, String> {
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
        Ok(Hands { jobs, failed })
    }

    /// After all that is to be done already.
    pub(super) fn then(&self, job: impl FnOnce() -> Result<(), String> + Send + 'static) {
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
        let hands = Hands::new().unwrap();
        let (tell, told) = mpsc::channel();
        for n in 0..100 {
            let tell = tell.clone();
            hands.then(move || {
                tell.send(n).unwrap();
                if n < 50 { Ok(()) } else { Err(n.to_string()) }
            });
        }
        hands.rest();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        assert_eq!((hands.check(), hands.check()), (Err("50".into()), Ok(())));
    }
}
