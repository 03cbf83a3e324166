//! Programs that break the rules of `docs/design/quiescent-state.md`, and why
//! they do not compile. The compiler's words are in `misuse/*.stderr`; for those
//! of another compiler: `TRYBUILD=overwrite cargo test -p compat --test misuse`,
//! and read that each still gives the reason that its first line does.
#![cfg(not(any(loom, shuttle)))]

#[test]
fn what_breaks_the_rules_does_not_compile() {
    let t = trybuild::TestCases::new();
    // Right use of everything, so that the others fail for their reason.
    t.pass("tests/misuse/right_use.rs");
    t.compile_fail("tests/misuse/no_*.rs");
}
