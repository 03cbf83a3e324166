//! Two threads would have one slot: either could say for both that nothing is
//! lent.

use compat::qsbr::{Netisr, Netisr0, Seed};

fn others(seed: Seed) -> [Netisr; 2] {
    [seed.claim(), seed.claim()]
}

fn netisr0s(seed: Seed) -> [Netisr0; 2] {
    [seed.claim0(Box::new(|| {})), seed.claim0(Box::new(|| {}))]
}

fn main() {}
