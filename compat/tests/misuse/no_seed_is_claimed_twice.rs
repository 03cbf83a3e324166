//! There is one token for each netisr.

use compat::qsbr::{Netisr, Seed};

fn claim(seed: Seed) -> (Netisr, Netisr) {
    (seed.claim(), seed.claim())
}

fn main() {}
