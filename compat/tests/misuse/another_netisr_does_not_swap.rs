//! Two that copy, switch and free at once: one of the two changes is lost, and
//! only netisr0 can wait for the others.

use compat::qsbr::{Netisr, QsCell, Retired};

fn swap(n: &Netisr, if_carp: &QsCell<Vec<u32>>) -> Retired<Vec<u32>> {
    if_carp.swap(n, None)
}

fn main() {}
