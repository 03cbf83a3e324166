//! What the lockless design refuses, one program each: the name of a file in
//! `misuse/` says what is refused, its head what would go wrong if it
//! compiled. The `.stderr` beside it is what the compiler answers, so that a
//! program which fails for another reason fails the test.
//! `misuse/right_use.rs` uses the same names and paths as it should.
//!
//! Answers quote signatures. When one has changed:
//!
//! ```text
//! TRYBUILD=overwrite cargo test -p compat -p netisrd --test misuse
//! ```
//!
//! and read the difference: the code of the error (E0502 and so on) and what
//! it points at must stay. Compilers differ in their words; one that is not
//! `ANSWERED_BY` is held to the codes and the lines only.

#![cfg(not(any(loom, shuttle)))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
#[path = "misuse/right_use.rs"]
mod right_use;

#[test]
fn what_would_break_the_lockless_design_does_not_compile() {
    answers::hold(env!("CARGO_TARGET_TMPDIR"), "what_would_break_the_lockless_design_does_not_compile");
}
