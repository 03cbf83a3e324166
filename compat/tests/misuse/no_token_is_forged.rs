//! A token is the proof of being on its thread.

use compat::net::netisr::Proc;
use compat::qsbr::{Brand, Netisr, Seed};
use core::marker::PhantomData;

fn forge(brand: Brand) -> (Netisr, Seed, Proc) {
    let token = Netisr { brand: brand.clone(), cpuid: 1, here: PhantomData };
    (token, Seed { brand, cpuid: 2 }, Proc { here: PhantomData })
}

fn main() {}
