//! The thread that drops the cell frees its value: an `Rc`'s count would be
//! changed by two threads at once.

use compat::qsbr::{Netisr0Cell, QsCell};
use std::rc::Rc;

fn of_all(cell: QsCell<Rc<u32>>) {
    std::thread::spawn(move || cell);
}

fn of_netisr0(cell: Netisr0Cell<Rc<u32>>) {
    std::thread::spawn(move || cell);
}

fn main() {}
