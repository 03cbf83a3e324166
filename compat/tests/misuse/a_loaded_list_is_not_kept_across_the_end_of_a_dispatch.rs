//! A netisr that has said that it is quiescent is not waited for: the list that
//! it still reads may be freed at any time.

use compat::qsbr::{Netisr, QsCell};

fn keep(n: &mut Netisr, if_carp: &QsCell<Vec<u32>>) -> usize {
    let held = if_carp.load(n);
    n.quiescent();
    held.map_or(0, Vec::len)
}

fn main() {}
