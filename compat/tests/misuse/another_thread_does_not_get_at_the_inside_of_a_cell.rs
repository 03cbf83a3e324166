//! Past the token there is no rule left.

use compat::qsbr::{Netisr0Cell, QsCell};
use std::sync::atomic::Ordering;

fn of_netisr0(own: &Netisr0Cell<u32>) -> u32 {
    own.value
}

fn of_all(if_carp: &QsCell<u32>) -> *mut u32 {
    if_carp.ptr.load(Ordering::Relaxed)
}

fn main() {}
