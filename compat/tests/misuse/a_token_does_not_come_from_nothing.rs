//! A token by default would be a netisr's that nobody waits for.

use compat::qsbr::{Brand, Netisr, Netisr0, Seed};

fn by_default<T: Default>() -> T {
    T::default()
}

fn forge() {
    by_default::<Netisr>();
    by_default::<Netisr0>();
    by_default::<Seed>();
    by_default::<Brand>();
}

fn main() {}
