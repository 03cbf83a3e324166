//! A context has the netisr's token in it, and what the netisr keeps for
//! itself, which has no lock.

use netisrd::machine::{Ctx, Ctx0};

fn send(cx: Ctx<'_>) {
    std::thread::scope(|s| {
        s.spawn(move || cx.n.cpuid());
    });
}

fn send0(cx: &mut Ctx0<'_>) {
    std::thread::scope(|s| {
        s.spawn(|| cx.n0.cpuid());
    });
}

fn main() {}
