//! `make bench`: the figures of `docs/benchmarks.md`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::bench::main()
}
