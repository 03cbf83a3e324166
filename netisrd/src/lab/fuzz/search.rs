//! Runs one scenario after the other, on some threads, until one breaks a rule.

use super::{Ran, run_until, scenario};
use crate::lab::judge::Violation;
use crate::lab::scenario::Scenario;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Where scenarios come from.
pub(super) enum Source {
    /// Random ones, one after the other.
    Random { seed: u64 },
    /// One of these.
    One { seed: u64, number: u64 },
    /// Somebody's.
    File { path: PathBuf, scenario: Box<Scenario> },
}

impl Source {
    /// The one of that number, if there is one.
    fn scenario(&self, i: u64) -> Option<(u64, Scenario)> {
        match self {
            Source::Random { seed } => Some((i, scenario(*seed, i))),
            Source::One { seed, number } => (i == 0).then(|| (*number, scenario(*seed, *number))),
            Source::File { scenario, .. } => (i == 0).then(|| (0, scenario.as_ref().clone())),
        }
    }
}

/// What was found.
pub(super) struct Found {
    /// The scenario's number.
    pub(super) number: u64,
    pub(super) scenario: Scenario,
    pub(super) violation: Violation,
}

/// What the threads of a search share.
pub(super) struct Search<'s> {
    source: &'s Source,
    next: AtomicU64,
    done: AtomicU64,
    nanos: AtomicU64,
    steps: AtomicU64,
    over: AtomicBool,
    found: Mutex<Option<Found>>,
}

impl<'s> Search<'s> {
    /// One that has not begun.
    pub(super) fn new(source: &'s Source) -> Search<'s> {
        Search {
            source,
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            over: AtomicBool::new(false),
            found: Mutex::new(None),
        }
    }

    /// Searches on so many threads until something is found, or `over`, or there is
    /// no other scenario.
    pub(super) fn run(&self, jobs: Option<NonZeroUsize>, over: &(dyn Fn() -> bool + Sync)) {
        let jobs = match self.source {
            Source::Random { .. } => jobs.or_else(|| thread::available_parallelism().ok()),
            Source::One { .. } | Source::File { .. } => None,
        };
        thread::scope(|scope| {
            for _ in 0..jobs.map_or(1, NonZeroUsize::get) {
                scope.spawn(|| self.work(over));
            }
        });
    }

    fn work(&self, over: &dyn Fn() -> bool) {
        let over = || self.over.load(Ordering::Relaxed) || over();
        while !over()
            && let Some((number, scenario)) = self.source.scenario(self.next.fetch_add(1, Ordering::Relaxed))
        {
            let (Ran { time, steps }, violation) = run_until(&scenario, &over);
            self.nanos.fetch_add(time, Ordering::Relaxed);
            self.steps.fetch_add(steps, Ordering::Relaxed);
            // One that was broken off is none that was done.
            self.done.fetch_add((violation.is_some() || !over()).into(), Ordering::Relaxed);
            if let Some(violation) = violation {
                self.over.store(true, Ordering::Relaxed);
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.get_or_insert(Found { number, scenario, violation });
            }
        }
    }

    /// How much was done, in that many seconds.
    pub(super) fn summary(&self, seconds: f64) -> String {
        let [done, nanos, steps] = [&self.done, &self.nanos, &self.steps].map(|n| n.load(Ordering::Relaxed));
        let hours = nanos as f64 / 3.6e12;
        format!(
            "{done} scenarios, {hours:.1} hours of theirs, {steps} steps, in {seconds:.2} s: \
             {:.0} scenario-hours a minute",
            hours / seconds * 60.0
        )
    }

    /// What was found.
    pub(super) fn into_found(self) -> Option<Found> {
        self.found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
