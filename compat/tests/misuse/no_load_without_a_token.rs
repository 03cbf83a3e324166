//! Nobody waits for a thread that is no netisr.

use compat::qsbr::{Brand, QsCell, Seed};

fn with_a_brand(brand: &Brand, cell: &QsCell<u32>) {
    cell.load(brand);
}

fn with_a_seed(seed: &Seed, cell: &QsCell<u32>) {
    cell.load(seed);
}

fn main() {}
