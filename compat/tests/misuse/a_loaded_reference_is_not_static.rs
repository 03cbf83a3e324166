//! A list that is called static could be put anywhere, and would be read after
//! it is freed, even if its cell does live for ever.

use compat::qsbr::{Netisr, QsCell};

fn leave(n: &Netisr, if_carp: &'static QsCell<Vec<u32>>) -> Option<&'static Vec<u32>> {
    if_carp.load(n)
}

fn main() {}
