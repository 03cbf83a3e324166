//! The search: random scenarios, each held against the rules and the reference
//! model at every step. What breaks a rule is made as small as it can be, and
//! written as a scenario.

mod acts;
pub mod cli;
mod folder;
mod generate;
mod search;
mod shrink;
mod signals;
mod subject;

use super::journal::Keep;
use super::judge::{Rule, Violation};
use super::run::{Options, Play};
use super::scenario::Scenario;
use compat::sys::time::Time;
pub use generate::{name, scenario};
pub use shrink::shrink;
use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

/// What a run of a scenario was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Nanoseconds of its time.
    pub time: u64,
    /// Steps of its machines.
    pub steps: u64,
}

/// Runs it until a rule is broken, or to its end.
pub fn run(scenario: &Scenario) -> (Ran, Option<Violation>) {
    run_until(scenario, &|| false)
}

/// The same, but no further than until `over`.
fn run_until(scenario: &Scenario, over: &dyn Fn() -> bool) -> (Ran, Option<Violation>) {
    let options = Options { keep: Keep::Events, ..Options::default() };
    let mut play = Play::new(scenario, options);
    let end = Time::default() + scenario.time.0;
    let went = panic::catch_unwind(AssertUnwindSafe(|| {
        while play.violations.is_empty() && !over() && play.next(end) {}
    }));
    let ran = Ran { time: play.world.now().0, steps: play.world.steps() };
    let at = play.world.now();
    let panicked = |why: Box<dyn Any + Send>| {
        let text = why.downcast_ref::<String>().cloned();
        let text = text.or_else(|| why.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Violation { at, rule: Rule::Panic, machine: None, text: text.unwrap_or_default() }
    };
    if let Err(why) = went {
        // Nobody knows what of it can still be taken down.
        core::mem::forget(play);
        return (ran, Some(panicked(why)));
    }
    let violation = core::mem::take(&mut play.violations).into_iter().next();
    // That machines are taken down is a part of the run.
    let ended = panic::catch_unwind(AssertUnwindSafe(|| drop(play)));
    (ran, violation.or_else(|| ended.err().map(panicked)))
}
