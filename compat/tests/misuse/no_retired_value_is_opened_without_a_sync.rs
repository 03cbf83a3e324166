//! Somebody may still read it.

use compat::qsbr::{Brand, Retire, Retired};

fn open(retired: Retired<u32>) -> u32 {
    *retired.old
}

fn steal<R: Retire>(retired: R, brand: &Brand) -> R::Freed {
    retired.reclaim(brand)
}

fn main() {}
