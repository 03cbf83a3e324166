//! Steps on the machine, one after the other. Those of one interface are one
//! configuration of it: its carp interfaces hold one election, and not one for each
//! address.

use super::wanted::Step;
use ifconfig_carp::Syscalls;

/// What a configuration needs of the machine beside its system calls.
pub trait Configuring: Syscalls {
    /// A configuration of one interface begins, or ends: who would leave INIT in between
    /// does at the end.
    fn configuring(&mut self, is: bool);
}

/// Has `one` do each step, until one fails. What `one` does about that still belongs to
/// the configuration.
///
/// # Errors
/// What `one` says.
pub(super) fn in_turn<E>(
    steps: Vec<Step>,
    calls: &mut dyn Configuring,
    mut one: impl FnMut(Step, &mut dyn Configuring) -> Result<(), E>,
) -> Result<(), E> {
    let mut whose = None;
    let mut turn = |calls: &mut dyn Configuring, next| {
        if whose != next {
            if whose.is_some() {
                calls.configuring(false);
            }
            if next.is_some() {
                calls.configuring(true);
            }
            whose = next;
        }
    };
    let done = steps.into_iter().try_for_each(|step| {
        turn(calls, step.act.interface());
        one(step, calls)
    });
    turn(calls, None);
    done
}
