//! Whoever can make one may wait on a netisr's thread, which must not wait.

use compat::net::netisr::Proc;
use core::marker::PhantomData;

fn forge() -> Proc {
    Proc { here: PhantomData }
}

fn main() {}
