//! Anybody may bring netisrs to their quiescent state in a way of their own;
//! but who could write a slot could say that a netisr was there which was not,
//! and what it reads would be freed.

use compat::qsbr::{Brand, Synchronize};
use std::sync::atomic::Ordering;

struct Liar(Brand);

impl Synchronize for Liar {
    fn synchronize(&mut self) {
        self.0.0.slots[1].0.store(u64::MAX, Ordering::Release);
    }
}

fn main() {}
