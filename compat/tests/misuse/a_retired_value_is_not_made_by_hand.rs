//! A second one of the same pointer would free it twice.

use compat::qsbr::{Brand, Retired};

fn forge(brand: Brand, value: &mut u32) -> Retired<u32> {
    Retired { old: value, brand }
}

fn main() {}
