//! `QsCell`: how netisrs read `if_carp`.

use super::{Cells, Each, Reader, Value, Writer, each};
use compat::qsbr::{self, Netisr, Netisr0, QsCell, Seed, service_sync};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The synchronisation's messages without ports, so that only the reads are
/// measured: a number that was asked for, and each reader's answer.
struct Rounds {
    asked: AtomicU64,
    answered: Box<[AtomicU64]>,
}

impl Rounds {
    /// Asks, and waits for all readers that there still are.
    fn synchronize(&self) {
        let asked = self.asked.fetch_add(1, Ordering::Release) + 1;
        for reader in &self.answered {
            while reader.load(Ordering::Acquire) < asked {
                thread::yield_now();
            }
        }
    }
}

pub(super) struct Ours {
    cells: Each<QsCell<Value>>,
    rounds: Arc<Rounds>,
}

pub(super) struct OurReader<'a> {
    cells: &'a Each<QsCell<Value>>,
    netisr: Netisr,
    // dropped after the token: who has none needs no waiting for
    answers: Answers<'a>,
}

struct Answers<'a> {
    rounds: &'a Rounds,
    mine: &'a AtomicU64,
    last: u64,
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.mine.store(u64::MAX, Ordering::Release);
    }
}

pub(super) struct OurWriter<'a> {
    cells: &'a Each<QsCell<Value>>,
    netisr0: Netisr0,
}

impl Cells for Ours {
    type Seat = Seed;
    type Pen = Seed;
    type Reader<'a> = OurReader<'a>;
    type Writer<'a> = OurWriter<'a>;

    fn build(readers: usize) -> (Ours, Seed, Vec<Seed>) {
        let (brand, mut seeds) = qsbr::machine(readers + 1);
        let pen = seeds.remove(0);
        let answered = iter::repeat_with(AtomicU64::default).take(readers).collect();
        let rounds = Arc::new(Rounds { asked: AtomicU64::new(0), answered });
        (Ours { cells: each(|_| QsCell::new(&brand)), rounds }, pen, seeds)
    }

    fn reader(&self, seat: Seed) -> OurReader<'_> {
        let (rounds, mine) = (&*self.rounds, &self.rounds.answered[seat.cpuid() - 1]);
        OurReader { cells: &self.cells, netisr: seat.claim(), answers: Answers { rounds, mine, last: 0 } }
    }

    fn writer(&self, pen: Seed) -> OurWriter<'_> {
        let rounds = self.rounds.clone();
        let netisr0 = pen.claim0(Box::new(move || rounds.synchronize()));
        for (at, cell) in self.cells.iter().enumerate() {
            // an empty cell has nothing to free
            drop(cell.swap(&netisr0, Some(Box::new(Value::of(at)))));
        }
        OurWriter { cells: &self.cells, netisr0 }
    }
}

impl Reader for OurReader<'_> {
    #[inline]
    fn read(&mut self, at: usize) -> usize {
        self.cells[at].load(&self.netisr).map_or(0, |v| v.next)
    }

    /// What a netisr does between two batches: it looks whether there is a
    /// message, and is quiescent if that is a synchronisation's.
    #[inline]
    fn turn(&mut self) {
        let asked = self.answers.rounds.asked.load(Ordering::Acquire);
        if asked != self.answers.last {
            self.netisr.quiescent();
            self.answers.last = asked;
            self.answers.mine.store(asked, Ordering::Release);
        }
    }
}

impl Writer for OurWriter<'_> {
    fn change(&mut self, at: usize) {
        let old = self.cells[at].swap(&self.netisr0, Some(Box::new(Value::of(at))));
        drop(service_sync(&mut self.netisr0, old));
    }
}
