//! netisr0 may free it as soon as this netisr is quiescent.

use compat::qsbr::{Netisr, QsCell};

fn keep(n: &mut Netisr, cell: &QsCell<u32>) -> u32 {
    let held = cell.load(n);
    n.quiescent();
    *held.unwrap()
}

fn main() {}
