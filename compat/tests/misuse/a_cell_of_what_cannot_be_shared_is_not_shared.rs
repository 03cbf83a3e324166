//! Every netisr gets a reference: a `Cell` or an `Rc`'s count would be changed
//! by many threads at once.

use compat::qsbr::QsCell;
use core::cell::Cell;
use std::rc::Rc;
use std::sync::MutexGuard;

fn share<T: Sync>(_: &T) {}

fn counted(cell: &QsCell<Rc<u32>>) {
    share(cell);
}

fn changed(cell: &QsCell<Cell<u32>>) {
    share(cell);
}

/// It may be read by many, but netisr0 would unlock what another thread locked.
fn freed_elsewhere(cell: &QsCell<MutexGuard<'_, u32>>) {
    share(cell);
}

fn main() {}
