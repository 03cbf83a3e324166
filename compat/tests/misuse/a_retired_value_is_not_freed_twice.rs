//! The second would free what is free already.

use compat::qsbr::{Netisr0, Retired, service_sync};

fn twice(n0: &mut Netisr0, old: Retired<u32>) {
    service_sync(n0, old);
    service_sync(n0, old);
}

fn cloned<T: Clone>() {}

fn copies() {
    cloned::<Retired<u32>>();
}

fn main() {}
