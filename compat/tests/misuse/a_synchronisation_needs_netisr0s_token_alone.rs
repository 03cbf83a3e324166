//! With a shared token netisr0 could still hold what it loaded itself, and
//! nothing else asks netisr0.

use compat::qsbr::{Netisr0, Retired, service_sync};

fn sync(n0: &Netisr0, old: Retired<Vec<u32>>) {
    service_sync(n0, old);
}

fn main() {}
