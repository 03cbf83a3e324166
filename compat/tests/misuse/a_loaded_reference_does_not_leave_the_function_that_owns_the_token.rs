//! The token goes at the end of the function, and with it the promise that
//! whoever frees waits.

use compat::qsbr::{QsCell, Seed};

fn leave(seed: Seed, if_carp: &QsCell<Vec<u32>>) -> Option<&Vec<u32>> {
    let n = seed.claim();
    if_carp.load(&n)
}

fn main() {}
