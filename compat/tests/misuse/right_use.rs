//! Right use of everything that the other programs misuse.

use compat::net::netisr::{PortSync, SyncMsg, boot, domsg};
use compat::qsbr::{Netisr0Cell, QsCell, Retired, Seed, Synchronize, machine, service_sync};
use compat::sys::msgport::{MsgPort, ReplyPort};
use core::cell::Cell;
use std::sync::Arc;

enum Msg {
    Sync(SyncMsg),
    Len(ReplyPort<usize>),
    Halt,
}

impl From<SyncMsg> for Msg {
    fn from(s: SyncMsg) -> Msg {
        Msg::Sync(s)
    }
}

struct Machine {
    if_carp: QsCell<Vec<u32>>,
    carpdev: QsCell<u32>,
    own: Netisr0Cell<Cell<u32>>,
}

/// netisr 1: loads in a dispatch, is quiescent after it.
fn netisr1(m: &Machine, seed: Seed, port: &MsgPort<Msg>) {
    let mut n = seed.claim();
    loop {
        match port.getport() {
            None => std::thread::yield_now(),
            Some(Msg::Sync(SyncMsg(reply))) => {
                n.quiescent();
                reply.replymsg(());
            }
            Some(Msg::Len(reply)) => {
                let held = m.if_carp.load(&n);
                // A scoped thread ends before the loan of the token does.
                let len = std::thread::scope(|s| s.spawn(move || held.map_or(0, Vec::len)).join());
                reply.replymsg(len.unwrap());
            }
            Some(Msg::Halt) => return,
        }
        n.quiescent();
    }
}

/// netisr0: copies, switches, synchronises, frees.
fn netisr0(m: &Machine, seed: Seed, others: MsgPort<Msg>) {
    let mut n0 = seed.claim0(Box::new(PortSync::new(vec![others])));
    m.own.get(&n0).set(1);
    let mut list = m.if_carp.load(&n0).cloned().unwrap_or_default();
    list.push(7);
    let old = m.if_carp.swap(&n0, Some(Box::new(list)));
    assert_eq!(service_sync(&mut n0, old), None);
    assert_eq!(m.if_carp.load(&n0).map(Vec::len), Some(1));
    let both: (Retired<Vec<u32>>, Retired<u32>) =
        (m.if_carp.swap(&n0, Some(Box::new(vec![7, 8]))), m.carpdev.swap(&n0, None));
    let (list, carpdev) = service_sync(&mut n0, both);
    assert_eq!((list.as_deref(), carpdev), (Some(&vec![7]), None));
    assert_eq!(m.own.get(&n0).get(), 1);
}

/// A transport of one's own: a machine of one netisr has nobody to ask.
struct Nobody;

impl Synchronize for Nobody {
    fn synchronize(&mut self) {}
}

#[test]
fn it_compiles_and_runs() {
    let (brand, seeds, proc_) = boot(2);
    let m = Arc::new(Machine {
        if_carp: QsCell::new(&brand),
        carpdev: QsCell::new(&brand),
        own: Netisr0Cell::new(&brand, Cell::new(0)),
    });
    let [seed0, seed1] = <[Seed; 2]>::try_from(seeds).ok().unwrap();
    let port = MsgPort::default();
    let (m0, p0) = (m.clone(), port.clone());
    let (m1, p1) = (m.clone(), port.clone());
    let t1 = std::thread::spawn(move || netisr1(&m1, seed1, &p1));
    std::thread::spawn(move || netisr0(&m0, seed0, p0)).join().unwrap();
    assert_eq!(domsg(&proc_, &port, Msg::Len), Some(2));
    assert_eq!(domsg(&proc_, &port, |_: ReplyPort<()>| Msg::Halt), None);
    t1.join().unwrap();

    let (brand, mut seeds) = machine(1);
    let mut n0 = seeds.remove(0).claim0(Box::new(Nobody));
    let cell = QsCell::new(&brand);
    let none = cell.swap(&n0, Some(Box::new(1)));
    assert_eq!(service_sync(&mut n0, none), None);
}
