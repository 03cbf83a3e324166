//! The ways whose readers follow a raw pointer themselves: the plain pointer
//! that all others are held against, `crossbeam-epoch` and `seize`. The only
//! `unsafe` of this crate: without it neither these libraries nor a plain
//! pointer can be used at all.

use super::{CELLS, Cells, Each, Reader, Value, Writer, each};
use crossbeam_epoch as epoch;
use seize::{Collector, Guard};
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Pointers as C has them. Each switches between two values for ever: nobody
/// knows when one could be freed.
pub(super) struct Plain {
    cells: Each<AtomicPtr<Value>>,
    values: Each<[*mut Value; 2]>,
}

// SAFETY: `values` is followed only by `drop`, and is never changed.
unsafe impl Sync for Plain {}
// SAFETY: the values are owned, and a Value is Send.
unsafe impl Send for Plain {}

impl Drop for Plain {
    fn drop(&mut self) {
        for value in self.values.iter().flat_map(|v| **v) {
            // SAFETY: from Box::into_raw in `build`, freed only here; readers
            // borrow self.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

impl Cells for Plain {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = &'a Plain;
    type Writer<'a> = (&'a Plain, usize);

    fn build(readers: usize) -> (Plain, (), Vec<()>) {
        let values = each(|at| [(); 2].map(|()| Box::into_raw(Box::new(Value::of(at)))));
        let cells = each(|at| AtomicPtr::new(values[at][0]));
        (Plain { cells, values }, (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> &Plain {
        self
    }

    fn writer(&self, (): ()) -> (&Plain, usize) {
        (self, 0)
    }
}

impl Reader for &Plain {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        let p = self.cells[at].load(Ordering::Relaxed);
        // SAFETY: both values of a cell live as long as `self`, and neither
        // changes.
        unsafe { p.as_ref() }.map_or(0, |v| v.next)
    }
}

impl Writer for (&Plain, usize) {
    fn change(&mut self, at: usize) {
        let (plain, n) = self;
        *n += 1;
        // as much work for the allocator as the others make
        drop(black_box(Box::new(Value::of(at))));
        plain.cells[at].store(plain.values[at][(*n / CELLS) % 2], Ordering::Release);
    }
}

/// With a pin for each read, or with one for a batch (a quiescent state by
/// hand).
pub(super) struct Epoch<const BATCHED: bool> {
    cells: Each<epoch::Atomic<Value>>,
    collector: epoch::Collector,
}

impl<const BATCHED: bool> Drop for Epoch<BATCHED> {
    fn drop(&mut self) {
        for cell in self.cells.iter_mut() {
            // SAFETY: never null, owned by the cell, and `&mut self`.
            drop(unsafe { std::mem::take(&mut **cell).into_owned() });
        }
    }
}

pub(super) struct EpochReader<'a, const BATCHED: bool> {
    cells: &'a Each<epoch::Atomic<Value>>,
    handle: epoch::LocalHandle,
    pinned: Option<epoch::Guard>,
}

impl<const BATCHED: bool> Cells for Epoch<BATCHED> {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = EpochReader<'a, BATCHED>;
    type Writer<'a> = EpochReader<'a, BATCHED>;

    fn build(readers: usize) -> (Self, (), Vec<()>) {
        let cells = each(|at| epoch::Atomic::new(Value::of(at)));
        (Epoch { cells, collector: epoch::Collector::new() }, (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> EpochReader<'_, BATCHED> {
        let handle = self.collector.register();
        let pinned = BATCHED.then(|| handle.pin());
        EpochReader { cells: &self.cells, handle, pinned }
    }

    fn writer(&self, (): ()) -> EpochReader<'_, BATCHED> {
        EpochReader { cells: &self.cells, handle: self.collector.register(), pinned: None }
    }
}

#[inline]
fn follow(cell: &epoch::Atomic<Value>, guard: &epoch::Guard) -> usize {
    // SAFETY: the writer gives what it switched out to `defer_destroy`, which
    // frees it when no pinned guard can have loaded it.
    unsafe { cell.load(Ordering::Acquire, guard).as_ref() }.map_or(0, |v| v.next)
}

impl<const BATCHED: bool> Reader for EpochReader<'_, BATCHED> {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        match &self.pinned {
            Some(guard) if BATCHED => follow(&self.cells[at], guard),
            _ => follow(&self.cells[at], &self.handle.pin()),
        }
    }

    #[inline]
    fn turn(&mut self) {
        self.pinned.iter_mut().for_each(epoch::Guard::repin);
    }
}

impl<const BATCHED: bool> Writer for EpochReader<'_, BATCHED> {
    fn change(&mut self, at: usize) {
        let guard = self.handle.pin();
        let old = self.cells[at].swap(epoch::Owned::new(Value::of(at)), Ordering::AcqRel, &guard);
        // SAFETY: the cell was its only way in, and it has just left it.
        unsafe { guard.defer_destroy(old) };
    }
}

/// `seize` enters with plain stores where Linux has `membarrier`, which its
/// writers call instead.
pub(super) struct Seize {
    cells: Each<AtomicPtr<Value>>,
    collector: Collector,
}

impl Drop for Seize {
    fn drop(&mut self) {
        for cell in self.cells.iter() {
            let p = cell.swap(ptr::null_mut(), Ordering::AcqRel);
            // SAFETY: from Box::into_raw, in its cell until now, and readers
            // borrow self.
            drop(unsafe { Box::from_raw(p) });
        }
    }
}

impl Cells for Seize {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = &'a Seize;
    type Writer<'a> = &'a Seize;

    fn build(readers: usize) -> (Seize, (), Vec<()>) {
        let cells = each(|at| AtomicPtr::new(Box::into_raw(Box::new(Value::of(at)))));
        (Seize { cells, collector: Collector::new() }, (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> &Seize {
        self
    }

    fn writer(&self, (): ()) -> &Seize {
        self
    }
}

impl Reader for &Seize {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        let guard = self.collector.enter();
        let p = guard.protect(&self.cells[at], Ordering::Acquire);
        // SAFETY: protected by the guard, which lives to the end of this.
        unsafe { p.as_ref() }.map_or(0, |v| v.next)
    }
}

impl Writer for &Seize {
    fn change(&mut self, at: usize) {
        let guard = self.collector.enter();
        let new = Box::into_raw(Box::new(Value::of(at)));
        let old = guard.swap(&self.cells[at], new, Ordering::AcqRel);
        // SAFETY: from Box::into_raw, and it has just left its cell.
        unsafe { guard.defer_retire(old, seize::reclaim::boxed) };
    }
}
