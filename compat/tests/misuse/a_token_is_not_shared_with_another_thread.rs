//! `&Netisr` is proof of being on that netisr's thread. The other thread would
//! be taken for it.

use compat::qsbr::Netisr;

fn share(n: &Netisr) {
    std::thread::scope(|s| {
        s.spawn(|| n.cpuid());
    });
}

fn main() {}
