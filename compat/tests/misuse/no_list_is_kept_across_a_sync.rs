//! It may be freed by then.

use compat::qsbr::{Netisr0, QsCell, service_sync};

fn keep(n0: &mut Netisr0, cell: &QsCell<u32>) -> u32 {
    let held = cell.load(n0);
    let old = cell.swap(n0, None);
    service_sync(n0, old);
    *held.unwrap()
}

fn main() {}
