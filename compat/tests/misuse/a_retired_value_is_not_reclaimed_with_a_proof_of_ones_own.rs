//! Whoever could make the proof could free what readers still use. `Retire`
//! lets the method be named, but not its last argument be made.

use compat::qsbr::{Brand, Retire};

fn without<R: Retire>(retired: R, brand: &Brand) -> R::Freed {
    retired.reclaim(brand)
}

fn with_ones_own<R: Retire>(retired: R, brand: &Brand) -> R::Freed {
    retired.reclaim(brand, &())
}

fn main() {}
