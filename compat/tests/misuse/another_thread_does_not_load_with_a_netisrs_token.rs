//! A list is loaded on the thread whose netisr is waited for, and on no other.

use compat::qsbr::{Netisr, QsCell};

fn load(n: &Netisr, if_carp: &QsCell<Vec<u32>>) {
    std::thread::scope(|s| {
        s.spawn(|| if_carp.load(n).map_or(0, Vec::len));
    });
}

fn main() {}
