//! A cell frees what it holds when it is dropped, without a synchronisation.

use compat::qsbr::{Netisr, QsCell};

fn keep(n: &Netisr, if_carp: QsCell<Vec<u32>>) -> usize {
    let held = if_carp.load(n);
    drop(if_carp);
    held.map_or(0, Vec::len)
}

fn main() {}
