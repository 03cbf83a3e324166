//! It would be sound, since what nobody synchronises is never freed; but it is
//! a leak, at each change.

#![deny(unused_must_use)]

use compat::qsbr::{Netisr0, QsCell};

fn forget(n0: &Netisr0, if_carp: &QsCell<u32>) {
    if_carp.swap(n0, None);
}

fn main() {}
