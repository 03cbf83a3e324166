//! A netisr that calls itself another would write that one's slot. Who takes
//! netisr0's token apart could put another netisr's in it.

use compat::qsbr::{Netisr, Netisr0, Seed};

fn another_slot(n: &mut Netisr, seed: &mut Seed) {
    n.cpuid = 0;
    seed.cpuid = 0;
}

fn another_token(n0: &mut Netisr0, n: &mut Netisr) {
    core::mem::swap(&mut n0.netisr, n);
}

fn another_token_through_the_deref(n0: &mut Netisr0, n: &mut Netisr) {
    core::mem::swap::<Netisr>(&mut *n0, n);
}

fn main() {}
