//! Which processor a thread runs on.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::thread;

/// This thread, and those that it starts, stay on the processor of that
/// number. On a machine with one there is nothing to choose.
pub(crate) fn stay_on(cpu: usize) {
    if thread::available_parallelism().map_or(0, usize::from) == 1 && cpu > 0 {
        return;
    }
    let mut set = CpuSet::new();
    let done = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if let Err(e) = done {
        println!("processor {cpu}: {e}");
    }
}
