//! A scoped thread may read what its netisr has loaded. If the dispatch could
//! end before that thread does, it would read what is freed.

use compat::qsbr::{Netisr, QsCell};

fn send(n: &mut Netisr, if_carp: &QsCell<Vec<u32>>) {
    std::thread::scope(|s| {
        let held = if_carp.load(n);
        s.spawn(move || held.map_or(0, Vec::len));
        n.quiescent();
    });
}

fn main() {}
