//! Every netisr reads it, and another thread frees it.

use compat::qsbr::{Netisr0Cell, QsCell};
use core::cell::Cell;
use std::rc::Rc;

fn shared<T: Sync>() {}

fn main() {
    shared::<QsCell<Cell<u32>>>();
    shared::<QsCell<Rc<u32>>>();
    shared::<Netisr0Cell<Rc<u32>>>();
}
