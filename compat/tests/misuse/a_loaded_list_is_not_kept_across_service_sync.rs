//! netisr0 would read a list that it has freed itself.

use compat::qsbr::{Netisr0, QsCell, service_sync};

fn keep(n0: &mut Netisr0, if_carp: &QsCell<Vec<u32>>) -> usize {
    let held = if_carp.load(n0);
    let old = if_carp.swap(n0, None);
    service_sync(n0, old);
    held.map_or(0, Vec::len)
}

fn main() {}
