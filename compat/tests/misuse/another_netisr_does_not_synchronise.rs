//! It would wait for netisr0 while netisr0 waits for it, and both would hang;
//! and netisr0, which nobody asks, could still read what is freed.

use compat::qsbr::{Netisr, Retired, service_sync};

fn sync(n: &mut Netisr, old: Retired<Vec<u32>>) {
    service_sync(n, old);
}

fn main() {}
