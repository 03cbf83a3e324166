//! Steps on the machine, one after the other. They are one configuration: each carp
//! interface that they touch holds one election, and not one for each address, when
//! everybody has what there is for him, and every reason not to preempt is known.

use super::wanted::Step;
use ifconfig_carp::Syscalls;

/// What a configuration needs of the machine beside its system calls.
pub trait Configuring: Syscalls {
    /// A configuration begins, or ends: who would leave INIT in between does at the end.
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
    if steps.is_empty() {
        return Ok(());
    }
    calls.configuring(true);
    let done = steps.into_iter().try_for_each(|step| one(step, calls));
    calls.configuring(false);
    done
}
