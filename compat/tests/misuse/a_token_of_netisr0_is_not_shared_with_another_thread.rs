//! Two threads would reach what only netisr0 may touch, which has no lock; and
//! as any netisr's it is shared no more than another.

use compat::qsbr::{Netisr, Netisr0, Netisr0Cell};
use core::cell::Cell;

fn share(n0: &Netisr0, own: &Netisr0Cell<Cell<u32>>) {
    std::thread::scope(|s| {
        s.spawn(|| own.get(n0).set(1));
    });
}

fn share_as_any(n0: &Netisr0) {
    let n: &Netisr = n0;
    std::thread::scope(|s| {
        s.spawn(|| n.cpuid());
    });
}

fn main() {}
