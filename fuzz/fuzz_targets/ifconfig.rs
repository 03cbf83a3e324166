//! See `tests/src/fuzz/ifconfig.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tests::fuzz::ifconfig::run(data));
