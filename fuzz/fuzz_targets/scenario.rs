//! See `tests/src/fuzz/scenario.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::scenario::run(data));
