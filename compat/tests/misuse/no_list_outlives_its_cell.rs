//! The cell frees what it still holds.

use compat::qsbr::{Netisr, QsCell};

fn keep(n: &Netisr, cell: QsCell<u32>) -> Option<&u32> {
    let held = cell.load(n);
    drop(cell);
    held
}

fn main() {}
