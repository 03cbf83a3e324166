//! A netisr that has the right to wait would wait for netisr0 while that one
//! synchronises, and both would hang.

use netisrd::host::runtime::Runtime;
use netisrd::machine::Booted;

fn take_along(booted: Booted) {
    std::thread::spawn(move || booted.proc_);
}

fn halt_elsewhere(running: Runtime) {
    std::thread::spawn(move || running.halt());
}

fn main() {}
