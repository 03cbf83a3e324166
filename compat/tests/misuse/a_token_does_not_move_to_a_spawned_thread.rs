//! As with a scoped thread, and it would stay away for good.

use compat::qsbr::Netisr;

fn send(n: Netisr) {
    std::thread::spawn(move || n.cpuid());
}

fn main() {}
