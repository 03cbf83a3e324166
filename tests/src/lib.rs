//! Whole-system tests: a [laboratory](lab) of network namespaces in which the
//! programs of this project run against each other, against `ucarp` and
//! against forged frames.
//!
//! The laboratory knows nothing of the crates it tests: frames, digests and
//! control packets are built here a second time from the protocol's
//! description, so that an error shared by both ends of our code is seen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a laboratory reports every fault by failing the test that it serves"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures the real world: clocks, threads and processes are its subject"
)]

pub mod demo;
pub mod fuzz;
pub mod lab;
pub mod torture;
