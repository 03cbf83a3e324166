//! What only netisr0 may touch has no lock.

use compat::qsbr::{Netisr, Netisr0Cell};
use core::cell::Cell;

fn look(n: &Netisr, cell: &Netisr0Cell<Cell<u32>>) -> u32 {
    cell.get(n).get()
}

fn main() {}
