//! It is made on one thread and used on netisr0's: with an `Rc`, a clone stays
//! behind and both change its count.

use compat::qsbr::Netisr0Cell;
use std::rc::Rc;

fn share(own: &Netisr0Cell<Rc<u32>>) {
    std::thread::scope(|s| {
        s.spawn(|| drop(own));
    });
}

fn main() {}
