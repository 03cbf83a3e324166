//! Of two tokens of one netisr, one lends a list and the other says that
//! nothing is lent.

use compat::qsbr::{Netisr, Netisr0, Seed};

fn cloned<T: Clone>() {}
fn copied<T: Copy>() {}

fn copies() {
    cloned::<Netisr>();
    cloned::<Netisr0>();
    cloned::<Seed>();
    copied::<Netisr>();
    copied::<Netisr0>();
    copied::<Seed>();
}

fn main() {}
