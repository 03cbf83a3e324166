//! Who was woken, and has had no turn since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose turn it may be: what was woken and had no turn since.
#[derive(Default)]
pub(super) struct Ready(Mutex<Vec<Turn>>);

pub(super) struct Turn {
    pub(super) machine: usize,
    pub(super) what: What,
    queued: Arc<AtomicBool>,
}

impl Turn {
    /// It is taken: whoever is woken from now on has another.
    pub(super) fn begin(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Netisr(usize),
    Queue(usize),
}

/// Somebody who waits to be woken: a netisr for its port, or for a queue.
#[derive(Clone)]
pub(super) struct Sleeper {
    ready: Arc<Ready>,
    machine: usize,
    what: What,
    queued: Arc<AtomicBool>,
}

impl Sleeper {
    pub(super) fn new(ready: &Arc<Ready>, machine: usize, what: What) -> Sleeper {
        Sleeper { ready: ready.clone(), machine, what, queued: Arc::default() }
    }

    pub(super) fn wake(&self) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let queued = self.queued.clone();
            self.ready.turns().push(Turn { machine: self.machine, what: self.what, queued });
        }
    }
}

impl Ready {
    pub(super) fn turns(&self) -> MutexGuard<'_, Vec<Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
