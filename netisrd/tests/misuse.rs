//! What the two kinds of message and the contexts refuse, one program each:
//! see `compat/tests/misuse.rs`.

#![cfg(not(any(loom, shuttle)))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../compat/tests/answers/mod.rs"]
mod answers;
#[path = "misuse/right_use.rs"]
mod right_use;

#[test]
fn what_belongs_to_netisr0_does_not_compile_on_another_netisr() {
    answers::hold(env!("CARGO_TARGET_TMPDIR"), "what_belongs_to_netisr0_does_not_compile_on_another_netisr");
}
