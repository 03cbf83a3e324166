//! A reference that is kept beyond netisr0's token is one that nobody guards.

use compat::qsbr::{Netisr0, Netisr0Cell};

fn keep(n0: Netisr0, own: &Netisr0Cell<u32>) -> u32 {
    let value = own.get(&n0);
    drop(n0);
    *value
}

fn main() {}
