//! What it costs to read a pointer that another thread may switch: `if_carp`'s
//! way, a plain pointer, and what libraries offer.
//!
//! ```text
//! latency       the value read says which of 64 cells is read next, as a
//!               packet's list says where the packet goes
//! throughput    64 cells one after the other, none waits for another
//! ```
//!
//! Every way keeps the same [`Value`]s behind as many pointers, every reader
//! does what that way asks of a reader for every read, and every value is used
//! before it is let go. Time is the readers' own on a CPU: whoever else runs on
//! this machine is not counted, nor is a reader's wait for a lock.

mod arcs;
mod copies;
mod locks;
mod ours;
mod raw;

use crate::figures;
use crate::lab;
use crate::section;
use clap::ValueEnum;
use criterion::{BenchmarkId, Criterion};
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How many pointers.
const CELLS: usize = 64;
/// Reads between two turns of a reader: as many frames as a netisr takes from
/// a queue before it looks at its messages.
const BATCH: usize = 64;
/// Reads of one iteration of criterion's: more than it takes to start a reader.
const READS: u64 = 1 << 16;
/// Reads before time is taken: everything is where it will be.
const WARM_UP: u64 = 1 << 12;
/// How many readers.
pub(crate) const READERS: [usize; 3] = [1, 2, 4];

/// What a pointer points to: a cache line, as the head of a list is.
#[derive(Clone)]
#[repr(align(64))]
struct Value {
    next: usize,
}

impl Value {
    /// The value of that cell, in each of its versions: following `next` from
    /// cell to cell visits all, in an order that nothing prefetches.
    fn of(at: usize) -> Value {
        Value { next: (at * 5 + 1) % CELLS }
    }
}

/// Alone in its cache line, as far from the next as any other way's.
#[repr(align(64))]
struct Line<T>(T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Line<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Something for each cell.
type Each<T> = [Line<T>; CELLS];

fn each<T>(mut f: impl FnMut(usize) -> T) -> Each<T> {
    std::array::from_fn(|at| Line(f(at)))
}

/// One way to share [`CELLS`] pointers that are switched.
trait Cells: Sync + Sized {
    /// What a reader brings to its thread.
    type Seat: Send;
    /// What the writer brings to its thread.
    type Pen: Send;
    type Reader<'a>: Reader
    where
        Self: 'a;
    type Writer<'a>: Writer
    where
        Self: 'a;

    fn build(readers: usize) -> (Self, Self::Pen, Vec<Self::Seat>);
    fn reader(&self, seat: Self::Seat) -> Self::Reader<'_>;
    /// Made before anybody reads.
    fn writer(&self, pen: Self::Pen) -> Self::Writer<'_>;
}

trait Reader {
    /// Reads a cell as a packet does; the `next` of what it points to.
    fn read(&mut self, at: usize) -> usize;

    /// Between two batches.
    fn turn(&mut self) {}
}

trait Writer {
    /// A new value for a cell. The old one is freed when it may be.
    fn change(&mut self, at: usize);
}

/// The ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    Plain,
    Ours,
    RwLock,
    ParkingLot,
    ArcSwap,
    ArcSwapCache,
    Epoch,
    EpochBatch,
    LeftRight,
    Seize,
}

/// In what order cells are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    Latency,
    Throughput,
}

/// Runs a function for the type that a [`Way`] stands for.
macro_rules! with_cells {
    ($way:expr, $f:ident($($arg:expr),*)) => {
        match $way {
            Way::Plain => $f::<raw::Plain>($($arg),*),
            Way::Ours => $f::<ours::Ours>($($arg),*),
            Way::RwLock => $f::<locks::Std>($($arg),*),
            Way::ParkingLot => $f::<locks::ParkingLot>($($arg),*),
            Way::ArcSwap => $f::<arcs::Load>($($arg),*),
            Way::ArcSwapCache => $f::<arcs::Cached>($($arg),*),
            Way::Epoch => $f::<raw::Epoch<false>>($($arg),*),
            Way::EpochBatch => $f::<raw::Epoch<true>>($($arg),*),
            Way::LeftRight => $f::<copies::LeftRight>($($arg),*),
            Way::Seize => $f::<raw::Seize>($($arg),*),
        }
    };
}

impl Way {
    pub(crate) const ALL: [Way; 10] = [
        Way::Plain,
        Way::Ours,
        Way::RwLock,
        Way::ParkingLot,
        Way::ArcSwap,
        Way::ArcSwapCache,
        Way::Epoch,
        Way::EpochBatch,
        Way::LeftRight,
        Way::Seize,
    ];

    /// What a person calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Way::Plain => "a plain pointer",
            Way::Ours => "`QsCell`",
            Way::RwLock => "`std::sync::RwLock`",
            Way::ParkingLot => "`parking_lot::RwLock`",
            Way::ArcSwap => "`arc-swap`, `load`",
            Way::ArcSwapCache => "`arc-swap`, `Cache`",
            Way::Epoch => "`crossbeam-epoch`",
            Way::EpochBatch => "the same, one pin for 64 reads",
            Way::LeftRight => "`left-right`",
            Way::Seize => "`seize`",
        }
    }

    /// Whether a read of it, alone, is safe while a writer frees. A pin for a
    /// batch is what a netisr does, by hand.
    pub(crate) fn is_rival(self) -> bool {
        !matches!(self, Way::Plain | Way::Ours | Way::EpochBatch)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Plain => "plain",
            Way::Ours => "ours",
            Way::RwLock => "rw-lock",
            Way::ParkingLot => "parking-lot",
            Way::ArcSwap => "arc-swap",
            Way::ArcSwapCache => "arc-swap-cache",
            Way::Epoch => "epoch",
            Way::EpochBatch => "epoch-batch",
            Way::LeftRight => "left-right",
            Way::Seize => "seize",
        }
    }
}

impl Order {
    pub(crate) const ALL: [Order; 2] = [Order::Latency, Order::Throughput];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Order::Latency => "latency",
            Order::Throughput => "throughput",
        }
    }

    /// About so many reads, in whole batches.
    #[inline(never)]
    fn run<R: Reader>(self, reader: &mut R, reads: u64) {
        let batches = reads.div_ceil(BATCH as u64);
        let mut at = 0;
        for _ in 0..batches {
            match self {
                Order::Latency => (0..BATCH).for_each(|_| at = reader.read(at % CELLS)),
                Order::Throughput => at = (0..BATCH).map(|i| reader.read(i % CELLS)).sum(),
            }
            at = black_box(at);
            reader.turn();
        }
    }
}

/// The key of a figure.
pub(crate) fn key(way: Way, order: Order, readers: usize, churn: bool) -> String {
    let writer = if churn { "writer" } else { "quiet" };
    format!("{}.{}.{readers}.{writer}", way.name(), order.name())
}

/// The key of a figure that callgrind counted.
pub(crate) fn ir_key(way: Way, order: Order) -> String {
    format!("ir.{}.{}", way.name(), order.name())
}

/// Time that this thread has had on a CPU.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Time on a CPU that `reads` reads take each of the readers.
fn readers_time<C: Cells>(readers: usize, churn: bool, order: Order, reads: u64) -> Duration {
    let (cells, pen, seats) = C::build(readers);
    let start = Barrier::new(readers + 1);
    let left = AtomicUsize::new(readers);
    let (cells, start, left) = (&cells, &start, &left);
    let total: Duration = thread::scope(|s| {
        s.spawn(move || {
            let mut writer = cells.writer(pen);
            start.wait();
            let mut at = 0;
            while churn && left.load(Ordering::Relaxed) > 0 {
                writer.change(at);
                at = (at + 1) % CELLS;
            }
        });
        let read = |seat| {
            s.spawn(move || {
                let mut reader = cells.reader(seat);
                start.wait();
                order.run(&mut reader, WARM_UP);
                let from = cpu_time();
                order.run(&mut reader, reads);
                let took = cpu_time().saturating_sub(from);
                left.fetch_sub(1, Ordering::Relaxed);
                took
            })
        };
        let threads: Vec<_> = seats.into_iter().map(read).collect();
        threads.into_iter().map(|t| t.join().expect("a reader does not panic")).sum()
    });
    total / readers as u32
}

/// What callgrind counts: one reader, no writer.
pub(crate) fn once(way: Way, order: Order, reads: u32) {
    fn read<C: Cells>(order: Order, reads: u32) {
        let (cells, pen, seats) = C::build(1);
        let _writer = cells.writer(pen);
        for seat in seats {
            order.run(&mut cells.reader(seat), u64::from(reads));
        }
    }
    with_cells!(way, read(order, reads));
}

/// All ways, in turn, several times over: what disturbs the machine for a
/// while disturbs all of them. Emits the median of each pass.
pub(crate) fn measure(quick: bool) -> Result<(), String> {
    let passes = if quick { 1 } else { 5 };
    let dir = lab::target_dir().join("bench/criterion");
    let mut criterion = Criterion::default()
        .without_plots()
        .output_directory(&dir)
        .sample_size(10)
        .nresamples(1_000)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(if quick { 60 } else { 120 }));
    for pass in 0..passes {
        section::progress(&format!("pass {} of {passes}", pass + 1));
        for (readers, churn) in READERS.iter().flat_map(|r| [(*r, false), (*r, true)]) {
            for (way, order) in Way::ALL.iter().flat_map(|w| Order::ALL.map(|o| (*w, o))) {
                let key = key(way, order, readers, churn);
                // criterion wants a name only once
                let group = format!("pass {pass}");
                let mut g = criterion.benchmark_group(&group);
                g.bench_function(BenchmarkId::new(&key, ""), |b| {
                    b.iter_custom(|n| with_cells!(way, readers_time(readers, churn, order, n * READS)));
                });
                g.finish();
                figures::emit(&key, median(&dir.join(&group).join(&key))? / READS as f64);
            }
        }
    }
    Ok(())
}

/// The median that criterion found, in nanoseconds.
fn median(dir: &Path) -> Result<f64, String> {
    let path = dir.join("new/estimates.json");
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| failed(&e))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| failed(&e))?;
    json["median"]["point_estimate"].as_f64().ok_or_else(|| failed(&"no median"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_reads_what_was_written_while_a_writer_writes() {
        fn check<C: Cells>(way: Way) {
            let (cells, pen, seats) = C::build(2);
            let (cells, left, start) = (&cells, &AtomicUsize::new(2), &Barrier::new(3));
            thread::scope(|s| {
                s.spawn(move || {
                    let mut writer = cells.writer(pen);
                    start.wait();
                    while left.load(Ordering::Relaxed) > 0 {
                        (0..CELLS).for_each(|at| writer.change(at));
                    }
                });
                for seat in seats {
                    s.spawn(move || {
                        let mut reader = cells.reader(seat);
                        start.wait();
                        for _ in 0..50 {
                            for at in 0..CELLS {
                                assert_eq!(reader.read(at), Value::of(at).next, "{way:?}");
                            }
                            reader.turn();
                        }
                        left.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        }
        for way in Way::ALL {
            with_cells!(way, check(way));
        }
    }

    #[test]
    fn following_next_visits_every_cell() {
        let mut seen = [false; CELLS];
        let mut at = 0;
        for _ in 0..CELLS {
            seen[at] = true;
            at = Value::of(at).next;
        }
        assert_eq!((seen, at), ([true; CELLS], 0));
    }
}
