//! netisr0 may lend what it owns only to where its types let it: a `Cell` that
//! two threads have is a race.

use compat::qsbr::{Netisr0, Netisr0Cell};
use core::cell::Cell;

fn send(n0: &Netisr0, own: &Netisr0Cell<Cell<u32>>) {
    let value = own.get(n0);
    std::thread::scope(|s| {
        s.spawn(move || value.set(1));
    });
}

fn main() {}
