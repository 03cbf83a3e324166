//! The cell under loom: every interleaving up to a bound of preemptions, and
//! every value that the memory model lets a load see. `make verify` runs it
//! and then breaks the cell in each way that `scripts/broken` lists.
//!
//! The value is a [`Tracked`]: loom notes each access and fails when one does
//! not come after the other. The writer "frees" by writing to it; the memory
//! itself stays until the run is over, so that a broken cell is caught by loom
//! and not by a crash.

use super::*;
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use loom::thread;

struct Tracked(UnsafeCell<()>);

// SAFETY: nothing is behind the cell; loom only notes who would have touched
// it when.
unsafe impl Sync for Tracked {}

impl Tracked {
    fn boxed() -> Option<Box<Tracked>> {
        Some(Box::new(Tracked(UnsafeCell::new(()))))
    }

    fn read(&self) {
        self.0.with(|_| ());
    }

    fn free(&self) {
        self.0.with_mut(|_| ());
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // `LOOM_MAX_PREEMPTIONS` may say less.
    builder.preemption_bound.get_or_insert(3);
    builder.check(model);
}

/// Reads once, as a dispatched message does.
fn dispatch(cell: &QsCell<Tracked>, n: &Netisr) {
    if let Some(value) = cell.load(n) {
        value.read();
    }
}

/// The way of a sync message to one netisr and back.
#[derive(Default)]
struct Mailbox {
    rounds: Mutex<(u32, u32)>,
    changed: Condvar,
}

impl Mailbox {
    fn ask(&self) {
        self.rounds.lock().unwrap().0 += 1;
        self.changed.notify_all();
    }

    fn wait_for_reply(&self) {
        let mut r = self.rounds.lock().unwrap();
        while r.0 != r.1 {
            r = self.changed.wait(r).unwrap();
        }
    }

    fn wait_for_ask(&self) {
        let mut r = self.rounds.lock().unwrap();
        while r.0 == r.1 {
            r = self.changed.wait(r).unwrap();
        }
    }

    fn reply(&self) {
        self.rounds.lock().unwrap().1 += 1;
        self.changed.notify_all();
    }
}

/// A machine with `readers` other netisrs, each asked by message.
fn with_messages(readers: usize, updates: usize) {
    let (brand, seeds) = machine(readers + 1);
    let mut seeds = seeds.into_iter();
    let seed0 = seeds.next().unwrap();
    let cell = Arc::new(QsCell::<Tracked>::new(&brand));
    let mailboxes: Vec<_> = (0..readers).map(|_| Arc::new(Mailbox::default())).collect();
    let threads: Vec<_> = seeds
        .zip(mailboxes.clone())
        .map(|(seed, mailbox)| {
            let cell = cell.clone();
            thread::spawn(move || {
                let mut n = seed.claim();
                for _ in 0..updates {
                    dispatch(&cell, &n);
                    mailbox.wait_for_ask();
                    n.quiescent();
                    mailbox.reply();
                }
                dispatch(&cell, &n);
            })
        })
        .collect();

    let mut n0 = seed0.claim0(Box::new(move || {
        mailboxes.iter().for_each(|m| m.ask());
        mailboxes.iter().for_each(|m| m.wait_for_reply());
    }));
    let mut freed = Vec::new();
    for _ in 0..updates {
        let old = cell.swap(&n0, Tracked::boxed());
        freed.extend(service_sync(&mut n0, old).inspect(|old| old.free()));
    }
    for t in threads {
        t.join().unwrap();
    }
}

#[test]
fn two_readers_and_two_updates() {
    check(|| with_messages(2, 2));
}

#[test]
fn one_reader_and_three_updates() {
    check(|| with_messages(1, 3));
}

/// The slots alone, without the edges that a message and its reply carry: the
/// writer frees if it sees every slot at the grace period, whenever it looks.
fn with_slots_alone(readers: usize, reader: fn(&QsCell<Tracked>, Netisr)) {
    let (brand, seeds) = machine(readers + 1);
    let mut seeds = seeds.into_iter();
    let n0 = seeds.next().unwrap().claim0(Box::new(|| {}));
    let cell = Arc::new(QsCell::<Tracked>::new(&brand));
    let none = cell.swap(&n0, Tracked::boxed());
    assert!(none.reclaim(&brand, &Synced(())).is_none());
    let threads: Vec<_> = seeds
        .map(|seed| {
            let cell = cell.clone();
            thread::spawn(move || reader(&cell, seed.claim()))
        })
        .collect();

    let old = cell.swap(&n0, Tracked::boxed());
    let gp = brand.0.begin();
    let all_seen = brand.0.lagging(gp).is_none();
    if all_seen {
        // SAFETY: a null pointer aside, it is what the cell had, and the
        // memory stays until the run is over.
        unsafe { old.old.as_ref() }.into_iter().for_each(Tracked::free);
    }
    for t in threads {
        t.join().unwrap();
    }
    drop(old.reclaim(&brand, &Synced(())));
}

#[test]
fn a_slot_at_the_grace_period_means_that_all_reads_are_done() {
    check(|| {
        with_slots_alone(2, |cell, mut n| {
            dispatch(cell, &n);
            n.quiescent();
            dispatch(cell, &n);
        });
    });
}

#[test]
fn a_netisr_that_has_ended_reads_no_more() {
    check(|| with_slots_alone(1, |cell, n| dispatch(cell, &n)));
}

/// As carp_if does: `if_carp` and `sc_carpdev` switched, one sync for both.
#[test]
fn two_cells_share_one_sync() {
    check(|| {
        let (brand, mut seeds) = machine(2);
        let seed1 = seeds.pop().unwrap();
        let cells = Arc::new([QsCell::<Tracked>::new(&brand), QsCell::<Tracked>::new(&brand)]);
        let mailbox = Arc::new(Mailbox::default());
        let reader = {
            let (cells, mailbox) = (cells.clone(), mailbox.clone());
            thread::spawn(move || {
                let mut n = seed1.claim();
                for _ in 0..2 {
                    let (a, b) = (cells[0].load(&n), cells[1].load(&n));
                    a.into_iter().chain(b).for_each(Tracked::read);
                    mailbox.wait_for_ask();
                    n.quiescent();
                    mailbox.reply();
                }
            })
        };
        let mut n0 = seeds.remove(0).claim0(Box::new(move || {
            mailbox.ask();
            mailbox.wait_for_reply();
        }));
        let mut freed = Vec::new();
        for new in [true, false] {
            let new = || new.then(Tracked::boxed).flatten();
            let old = (cells[0].swap(&n0, new()), cells[1].swap(&n0, new()));
            let (a, b) = service_sync(&mut n0, old);
            freed.extend(a.into_iter().chain(b).inspect(|old| old.free()));
        }
        reader.join().unwrap();
    });
}

/// The real transport: a netisr that sleeps on its port, and netisr0 that
/// sends it `SyncMsg` and waits for the reply.
#[test]
fn by_the_messages_of_netmsg_service_sync() {
    use crate::net::netisr::{PortSync, SyncMsg};
    use crate::sys::msgport::MsgPort;
    check(|| {
        let (brand, mut seeds) = machine(2);
        let seed1 = seeds.pop().unwrap();
        let cell = Arc::new(QsCell::<Tracked>::new(&brand));
        let port = MsgPort::<SyncMsg>::default();
        let mailbox = Arc::new(Mailbox::default());
        let wake = mailbox.clone();
        port.set_wake(Box::new(move || wake.ask()));
        let reader = {
            let (cell, port) = (cell.clone(), port.clone());
            thread::spawn(move || {
                let mut n = seed1.claim();
                loop {
                    dispatch(&cell, &n);
                    if let Some(SyncMsg(reply)) = port.getport() {
                        n.quiescent();
                        reply.replymsg(());
                        return dispatch(&cell, &n);
                    }
                    mailbox.wait_for_ask();
                    mailbox.reply();
                }
            })
        };
        let mut n0 = seeds.remove(0).claim0(Box::new(PortSync::new(vec![port])));
        let none = cell.swap(&n0, Tracked::boxed());
        assert!(none.reclaim(&brand, &Synced(())).is_none());
        let old = cell.swap(&n0, Tracked::boxed());
        let freed = service_sync(&mut n0, old).inspect(|old| old.free());
        reader.join().unwrap();
        drop(freed);
    });
}
