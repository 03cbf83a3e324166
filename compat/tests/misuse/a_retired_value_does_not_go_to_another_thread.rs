//! A value may be of a kind that must end on its own thread.

use compat::qsbr::Retired;
use std::rc::Rc;

fn send(old: Retired<Rc<u32>>) {
    std::thread::spawn(move || old);
}

fn main() {}
