//! netisr0's token would own what it has lent, and the transport would read it
//! between the switch and the free.

use compat::qsbr::{Netisr, Netisr0, QsCell, Seed};

fn keep(seed0: Seed, n: &Netisr, if_carp: &'static QsCell<Vec<u32>>) -> Netisr0 {
    let held = if_carp.load(n);
    seed0.claim0(Box::new(move || drop(held.map(Vec::len))))
}

fn main() {}
