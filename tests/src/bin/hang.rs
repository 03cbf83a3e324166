//! `hang PID NAME`: the thread of that name of a process hangs while the others go on,
//! from when this says so until its standard input ends.
#![allow(clippy::expect_used, reason = "it is told what to do by a test")]

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::Read;

fn main() {
    let mut args = std::env::args().skip(1);
    let (pid, name) = (args.next().expect("PID"), args.next().expect("NAME"));
    let tasks = format!("/proc/{pid}/task");
    let is_it = |tid: &String| {
        fs::read_to_string(format!("{tasks}/{tid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let tids = fs::read_dir(&tasks).expect("a process that runs");
    let mut tids = tids.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let tid = tids.find(is_it).expect("a thread of that name");
    let tid = Pid::from_raw(tid.parse().expect("a number"));
    ptrace::seize(tid, Options::empty()).expect("ptrace");
    ptrace::interrupt(tid).expect("ptrace");
    waitpid(tid, Some(WaitPidFlag::__WALL)).expect("its stop");
    println!("hangs");
    // With this process ends what it does to the other one.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("standard input");
}
