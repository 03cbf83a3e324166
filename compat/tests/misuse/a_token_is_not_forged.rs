//! A forged token would load with a slot that another thread writes, and a
//! forged Netisr0 would be a second writer.

use compat::qsbr::{Brand, Netisr, Netisr0, Seed};
use core::cell::Cell;
use core::marker::PhantomData;

fn netisr(brand: Brand) -> Netisr {
    Netisr { brand, cpuid: 1, here: PhantomData }
}

fn netisr0(netisr: Netisr) -> Netisr0 {
    Netisr0 { netisr, transport: Cell::new(None) }
}

fn seed(brand: Brand) -> Seed {
    Seed { brand, cpuid: 1 }
}

fn main() {}
