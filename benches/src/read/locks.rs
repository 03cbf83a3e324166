//! A lock around each pointer: the standard library's, and `parking_lot`'s.

use super::{Cells, Each, Reader, Value, Writer, each};
use std::sync::{PoisonError, RwLock};

type Pointer = Option<Box<Value>>;

pub(super) struct Std(Each<RwLock<Pointer>>);
pub(super) struct ParkingLot(Each<parking_lot::RwLock<Pointer>>);

impl Cells for Std {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = &'a Std;
    type Writer<'a> = &'a Std;

    fn build(readers: usize) -> (Std, (), Vec<()>) {
        (Std(each(|at| RwLock::new(Some(Box::new(Value::of(at)))))), (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> &Std {
        self
    }

    fn writer(&self, (): ()) -> &Std {
        self
    }
}

impl Reader for &Std {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        self.0[at].read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |v| v.next)
    }
}

impl Writer for &Std {
    fn change(&mut self, at: usize) {
        let new = Some(Box::new(Value::of(at)));
        let old = std::mem::replace(&mut *self.0[at].write().unwrap_or_else(PoisonError::into_inner), new);
        drop(old);
    }
}

impl Cells for ParkingLot {
    type Seat = ();
    type Pen = ();
    type Reader<'a> = &'a ParkingLot;
    type Writer<'a> = &'a ParkingLot;

    fn build(readers: usize) -> (ParkingLot, (), Vec<()>) {
        let cells = each(|at| parking_lot::RwLock::new(Some(Box::new(Value::of(at)))));
        (ParkingLot(cells), (), vec![(); readers])
    }

    fn reader(&self, (): ()) -> &ParkingLot {
        self
    }

    fn writer(&self, (): ()) -> &ParkingLot {
        self
    }
}

impl Reader for &ParkingLot {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        self.0[at].read().as_ref().map_or(0, |v| v.next)
    }
}

impl Writer for &ParkingLot {
    fn change(&mut self, at: usize) {
        let new = Some(Box::new(Value::of(at)));
        let old = std::mem::replace(&mut *self.0[at].write(), new);
        drop(old);
    }
}
