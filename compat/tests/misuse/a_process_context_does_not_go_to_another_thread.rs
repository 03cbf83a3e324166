//! That thread may be a netisr's, and would have the right to wait there.

use compat::net::netisr::Proc;

fn send(proc_: Proc) {
    std::thread::spawn(move || proc_);
}

fn share(proc_: &Proc) {
    std::thread::scope(|s| {
        s.spawn(|| drop(proc_));
    });
}

fn main() {}
