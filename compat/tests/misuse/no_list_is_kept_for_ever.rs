//! A reference that outlives the token outlives the grace period.

use compat::qsbr::{Netisr, QsCell};

fn keep<'n>(n: &'n Netisr, cell: &'n QsCell<u32>) -> Option<&'static u32> {
    cell.load(n)
}

fn main() {}
