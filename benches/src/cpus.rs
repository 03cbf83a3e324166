//! Which processor a thread runs on.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;
use std::thread;

/// This thread, and those that it starts, stay on the processor of that
/// number. On a machine with one there is nothing to choose.
pub(crate) fn stay_on(cpu: usize) {
    if thread::available_parallelism().map_or(0, usize::from) == 1 && cpu > 0 {
        return;
    }
    keep_thread_on(Pid::from_raw(0), cpu);
}

/// All threads of another process stay there, and those that they start.
pub(crate) fn keep_on(process: i32, cpu: usize) {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("a process that runs");
    let id = |task: fs::DirEntry| task.file_name().to_string_lossy().parse().expect("a number");
    tasks.for_each(|task| keep_thread_on(Pid::from_raw(id(task.expect("a thread"))), cpu));
}

fn keep_thread_on(thread: Pid, cpu: usize) {
    let mut set = CpuSet::new();
    let done = set.set(cpu).and_then(|()| sched_setaffinity(thread, &set));
    if let Err(e) = done {
        println!("processor {cpu}: {e}");
    }
}
