//! Whoever reads it meanwhile would see half a change.

use compat::qsbr::{Netisr0, QsCell};

fn change(n0: &Netisr0, if_carp: &QsCell<Vec<u32>>) {
    if let Some(list) = if_carp.load(n0) {
        list.push(7);
    }
}

fn main() {}
