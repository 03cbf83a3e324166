//! Nobody would wait for whoever loads with something else: everybody may have
//! a brand, and a seed is not yet anybody's.

use compat::net::netisr::Proc;
use compat::qsbr::{Brand, QsCell, Seed};

fn with_a_brand(brand: &Brand, if_carp: &QsCell<Vec<u32>>) -> usize {
    if_carp.load(brand).map_or(0, Vec::len)
}

fn with_a_seed(seed: &Seed, if_carp: &QsCell<Vec<u32>>) -> usize {
    if_carp.load(seed).map_or(0, Vec::len)
}

fn with_a_process(proc_: &Proc, if_carp: &QsCell<Vec<u32>>) -> usize {
    if_carp.load(proc_).map_or(0, Vec::len)
}

fn with_nothing(if_carp: &QsCell<Vec<u32>>) -> usize {
    if_carp.load().map_or(0, Vec::len)
}

fn main() {}
