//! It would be freed while readers still use it.

use compat::qsbr::sealed::Synced;
use compat::qsbr::{Brand, Retire, Retired};

fn with_a_forged_proof<R: Retire>(retired: R, brand: &Brand) -> R::Freed {
    retired.reclaim(brand, &Synced(()))
}

fn field(retired: Retired<u32>) -> *mut u32 {
    retired.old
}

fn main() {}
