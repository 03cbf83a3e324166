//! As with a proof of one's own, on the type itself: the trait that has the
//! method cannot be named.

use compat::qsbr::{Brand, Retired};

fn take(retired: Retired<u32>, brand: &Brand) -> Option<Box<u32>> {
    retired.reclaim(brand)
}

fn main() {}
