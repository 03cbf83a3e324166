//! A reader would follow the value to what is gone.

use compat::qsbr::{Netisr0, QsCell};

fn keep(n0: &Netisr0) -> u32 {
    let if_carp = QsCell::new(n0.brand());
    {
        let here = 1_u32;
        drop(if_carp.swap(n0, Some(Box::new(&here))));
    }
    if_carp.load(n0).map_or(0, |v| **v)
}

fn main() {}
