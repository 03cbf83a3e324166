//! It would leak.
#![deny(unused_must_use)]
use compat::qsbr::{Netisr0, QsCell};

fn swap(n0: &Netisr0, cell: &QsCell<u32>) {
    cell.swap(n0, None);
}

fn main() {}
