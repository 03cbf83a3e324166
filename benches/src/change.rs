//! What one change of `if_carp` costs: copy, switch, synchronise, free, on a
//! machine of real threads; and what of it the switch and the synchronisation
//! of a bare cell cost.

use crate::flood::Flood;
use crate::rig::{LLADDR, Rig};
use crate::stats::Summary;
use crate::{figures, section};
use compat::qsbr::{QsCell, service_sync};
use libcarp::carp_if;
use netisrd::dev::RxQueue;
use netisrd::net::netisr;
use std::thread;
use std::time::{Duration, Instant};

/// How many netisrs.
pub(crate) const NETISRS: [usize; 3] = [1, 2, 8];
/// How many softcs on the interface.
pub(crate) const SOFTCS: [u8; 3] = [1, 16, 255];
/// Frames that netisr0 itself takes between two changes.
const BUDGET: usize = 64;
/// Changes of a round, unless they take longer than [`ROUND`].
const CHANGES: usize = 100;
const ROUND: Duration = Duration::from_millis(100);
/// Between two changes of an idle machine: its other netisrs sleep again.
const PAUSE: Duration = Duration::from_micros(200);

/// The key of a figure; without softcs it is the bare cell's.
pub(crate) fn key(netisrs: usize, softcs: Option<u8>, load: bool) -> String {
    let what = softcs.map_or_else(|| "bare".to_owned(), |n| n.to_string());
    format!("{}.{netisrs}.{what}", if load { "load" } else { "idle" })
}

/// Emits, in microseconds, the median of each round of changes.
pub(crate) fn measure(quick: bool) -> Result<(), String> {
    let rounds = if quick { 3 } else { 20 };
    for netisrs in NETISRS {
        section::progress(&format!("{netisrs} netisrs"));
        for softcs in SOFTCS {
            let (flood, device) = Flood::card(LLADDR, netisrs);
            let mut rig = Rig::with(netisrs, softcs, device);
            let mut own = rig.queues();
            let cell = QsCell::new(&rig.m.brand);
            for load in [false, true] {
                flood.set(load);
                if softcs == SOFTCS[0] {
                    emit(rounds, &key(netisrs, None, load), || {
                        round(&mut rig, &mut own, load, |rig| bare(rig, &cell))
                    });
                }
                emit(rounds, &key(netisrs, Some(softcs), load), || round(&mut rig, &mut own, load, insert));
            }
            flood.set(false);
            rig.halt();
        }
    }
    Ok(())
}

/// All rounds but the first, which warms up.
fn emit(rounds: usize, key: &str, mut round: impl FnMut() -> f64) {
    (0..=rounds).map(|_| round()).skip(1).for_each(|us| figures::emit(key, us));
}

/// The median of a round, in microseconds. Between two changes netisr0 does
/// what its thread does: its messages, and its share of the frames.
fn round(
    rig: &mut Rig,
    own: &mut [Box<dyn RxQueue>],
    load: bool,
    mut change: impl FnMut(&mut Rig) -> Duration,
) -> f64 {
    let end = Instant::now() + ROUND;
    let mut samples = Vec::with_capacity(CHANGES);
    while samples.len() < CHANGES && (samples.is_empty() || Instant::now() < end) {
        rig.run();
        for queue in &mut *own {
            let (cx, index) = (rig.ctx(), rig.index);
            let got = queue.receive(BUDGET, &mut |frame| netisr::input(cx, index, frame));
            got.expect("a card in memory does not die");
        }
        if !load {
            thread::sleep(PAUSE);
        }
        samples.push(change(rig).as_secs_f64() * 1e6);
    }
    Summary::of(&samples).expect("samples").median
}

/// The last vhid's softc is put into a new list.
fn insert(rig: &mut Rig) -> Duration {
    rig.ctx0().carp(|cx| {
        let sc = cx.carp.softcs(cx.n0).remove(0);
        let ifp = sc.carpdev(cx.n0).cloned().expect("a parent");
        let from = Instant::now();
        carp_if::insert(cx, &ifp, &sc);
        from.elapsed()
    })
}

/// The same of a cell with next to nothing in it.
fn bare(rig: &mut Rig, cell: &QsCell<u64>) -> Duration {
    let from = Instant::now();
    let old = cell.swap(&rig.n0, Some(Box::new(0)));
    drop(service_sync(&mut rig.n0, old));
    from.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_every_softc_on_the_list_idle_and_under_load() {
        let (flood, device) = Flood::card(LLADDR, 2);
        let mut rig = Rig::with(2, 3, device);
        let mut own = rig.queues();
        assert_eq!(own.len(), 1);
        for load in [false, true] {
            flood.set(load);
            assert!(round(&mut rig, &mut own, load, insert) > 0.0);
            let ifp = &rig.m.ifentry(&rig.n0, rig.index).expect("em0").ifp;
            let list = ifp.if_carp.load(&rig.n0).expect("a list");
            let vhids: Vec<_> = list.iter().filter_map(|scc| scc.scc_vhid).map(|v| v.get()).collect();
            assert_eq!(vhids, [1, 2, 3]);
        }
        flood.set(false);
        rig.halt();
    }
}
