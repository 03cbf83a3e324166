//! See `tests/src/fuzz/control.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::control::run(data));
