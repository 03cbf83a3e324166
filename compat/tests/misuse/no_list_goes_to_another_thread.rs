//! That thread has not said that it is done with it.

use compat::qsbr::{Netisr, QsCell};

fn give_away(n: &Netisr, cell: &QsCell<u32>) {
    let held = cell.load(n);
    std::thread::spawn(move || println!("{held:?}"));
}

fn main() {}
