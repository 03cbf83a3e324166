//! The slot of a netisr that has ended says that it never reads again: nobody
//! waits for it, and it would read what is freed.

use compat::qsbr::{Netisr, QsCell};

fn keep(n: Netisr, if_carp: &QsCell<Vec<u32>>) -> usize {
    let held = if_carp.load(&n);
    drop(n);
    held.map_or(0, Vec::len)
}

fn main() {}
