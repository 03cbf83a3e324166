//! `left-right`: two copies of each pointer, one for the readers.

use super::{Cells, Each, Reader, Value, Writer, each};
use left_right::{Absorb, ReadHandle, WriteHandle};

/// What is kept twice.
#[derive(Clone)]
pub(super) struct Pointer(Option<Box<Value>>);

/// The number of the cell whose value is new.
pub(super) struct Change(usize);

impl Absorb<Change> for Pointer {
    fn absorb_first(&mut self, change: &mut Change, _: &Pointer) {
        self.0 = Some(Box::new(Value::of(change.0)));
    }

    fn sync_with(&mut self, first: &Pointer) {
        self.0 = first.0.as_ref().map(|v| Box::new(Value { next: v.next }));
    }
}

pub(super) struct LeftRight;
pub(super) struct Handles(Each<ReadHandle<Pointer>>);
pub(super) struct Hand(Each<WriteHandle<Pointer, Change>>);

impl Cells for LeftRight {
    type Seat = Handles;
    type Pen = Hand;
    type Reader<'a> = Handles;
    type Writer<'a> = Hand;

    fn build(readers: usize) -> (LeftRight, Hand, Vec<Handles>) {
        let pen = each(|at| {
            let (mut w, _) = left_right::new_from_empty(Pointer(None));
            w.append(Change(at)).publish();
            w
        });
        let seat = |_| Handles(each(|at| ReadHandle::clone(&pen[at])));
        let seats = (0..readers).map(seat).collect();
        (LeftRight, Hand(pen), seats)
    }

    fn reader(&self, seat: Handles) -> Handles {
        seat
    }

    fn writer(&self, pen: Hand) -> Hand {
        pen
    }
}

impl Reader for Handles {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        self.0[at].enter().and_then(|p| p.0.as_ref().map(|v| v.next)).unwrap_or(0)
    }
}

impl Writer for Hand {
    fn change(&mut self, at: usize) {
        self.0[at].append(Change(at)).publish();
    }
}
