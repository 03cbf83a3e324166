//! Messages in the wrong place do not compile; see `compat/tests/misuse.rs`.
#![cfg(not(shuttle))]

#[test]
fn what_breaks_the_rules_does_not_compile() {
    let t = trybuild::TestCases::new();
    t.pass("tests/misuse/right_use.rs");
    t.compile_fail("tests/misuse/no_*.rs");
}
