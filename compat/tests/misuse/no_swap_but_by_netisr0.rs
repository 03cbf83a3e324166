//! Two writers would free the same list, or lose one.

use compat::qsbr::{Netisr, QsCell};

fn swap(n: &Netisr, cell: &QsCell<u32>) {
    let _ = cell.swap(n, None);
}

fn main() {}
