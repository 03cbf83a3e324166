//! See `tests/src/fuzz/parsers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::parsers::run(data));
