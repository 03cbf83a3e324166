//! See `tests/src/fuzz/conf.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::conf::run(data));
