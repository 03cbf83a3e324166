//! There is no lock around it: netisr0 changes it while another reads.

use compat::qsbr::{Netisr, Netisr0Cell};
use core::cell::Cell;

fn read(n: &Netisr, own: &Netisr0Cell<Cell<u32>>) -> u32 {
    own.get(n).get()
}

fn main() {}
