//! Two netisrs that wait for each other hang.

use compat::qsbr::{Netisr, Retired, service_sync};

fn sync(n: &mut Netisr, old: Retired<u32>) {
    service_sync(n, old);
}

fn main() {}
