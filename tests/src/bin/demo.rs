//! `make demo`: two machines, one dies, the other answers.
#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;
use tests::demo::{self, Args};

fn main() -> ExitCode {
    demo::main(&Args::parse())
}
