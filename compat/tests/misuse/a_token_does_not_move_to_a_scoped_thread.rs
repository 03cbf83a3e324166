//! A token is proof of being on its netisr's thread. Elsewhere it would say
//! that it is quiescent for what that thread still does.

use compat::qsbr::Netisr;

fn send(n: Netisr) {
    std::thread::scope(|s| {
        s.spawn(move || n.cpuid());
    });
}

fn main() {}
