//! One of the two would be quiescent while the other reads.

use compat::net::netisr::Proc;
use compat::qsbr::{Netisr, Netisr0, Seed};

fn cloned<T: Clone>() {}

fn main() {
    cloned::<Netisr>();
    cloned::<Netisr0>();
    cloned::<Seed>();
    cloned::<Proc>();
}
