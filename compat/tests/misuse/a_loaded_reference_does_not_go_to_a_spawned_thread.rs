//! The thread is no netisr: nobody waits for it before the list is freed. (A
//! scoped thread may have it: it ends before the loan of the token does.)

use compat::qsbr::{Netisr, QsCell};

fn send(n: &Netisr, if_carp: &'static QsCell<Vec<u32>>) {
    let held = if_carp.load(n);
    std::thread::spawn(move || held.map_or(0, Vec::len));
}

fn main() {}
