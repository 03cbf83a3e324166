//! `make torture`: a machine on real threads, at full rate, while its
//! configuration changes as fast as it can.
#![forbid(unsafe_code)]

use cap::Cap;
use std::alloc::System;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    tests::torture::main(|| ALLOCATOR.allocated())
}
