//! What only netisr0 may touch would be touched on another thread, while
//! references to it may be left behind.

use compat::qsbr::Netisr0;

fn to_a_scoped_thread(n0: Netisr0) {
    std::thread::scope(|s| {
        s.spawn(move || n0.cpuid());
    });
}

fn to_a_spawned_thread(n0: Netisr0) {
    std::thread::spawn(move || n0.cpuid());
}

fn main() {}
