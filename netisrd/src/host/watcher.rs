//! What the carp interfaces of the machine do, as a list of changes. Its
//! transitions the machine tells itself; the rest is the difference between two
//! looks.

use super::runtime::Runtime;
use crate::kern::devctl::{Notice, Report, Vhosted};
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that has happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A carp interface is there.
    Created(Vhosted),
    /// One is in another state.
    Transition(Notice),
    /// One has other addresses, another vhid, parent, advbase or advskew.
    Configured(Vhosted),
    /// One is gone: as it was.
    Destroyed(Vhosted),
    /// The demotion is another one.
    Demoted(i64),
    /// So many transitions have been missed.
    Missed(u64),
}

/// The carp interfaces when they were last looked at.
#[derive(Default)]
pub struct Watcher {
    last: Option<Report>,
    /// The waker was called since.
    touched: Arc<AtomicBool>,
}

impl Watcher {
    /// Looks for the first time at [`changes`](Watcher::changes); from then on
    /// `waker` is called when it is time to look again.
    pub(super) fn open(machine: &Runtime, waker: &Arc<Waker>) -> Watcher {
        let (waker, watcher) = (waker.clone(), Watcher::default());
        let touched = watcher.touched.clone();
        machine.devctl_listen(Box::new(move || {
            touched.store(true, Ordering::Release);
            // A poll that cannot be woken has ended, and with it the machine.
            drop(waker.wake());
        }));
        watcher
    }

    /// Whether it is time to look again.
    pub(super) fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }

    /// The carp interfaces, by index.
    pub fn vhosts(&self) -> &[Vhosted] {
        self.last.as_ref().map_or(&[], |r| &r.vhosts)
    }

    /// The machine's demotion.
    pub fn demotion(&self) -> i64 {
        self.last.as_ref().map_or(0, |r| r.demotion)
    }

    /// The transitions that there had been then.
    pub fn transitions(&self) -> u64 {
        self.last.as_ref().map_or(0, |r| r.transitions)
    }

    /// What the machine said last, without the transitions; `None` before the
    /// first look.
    pub fn report(&self) -> Option<&Report> {
        self.last.as_ref()
    }

    /// What has happened since the last look.
    pub(super) fn changes(&mut self, machine: &Runtime) -> Vec<Change> {
        // Before the answer, after which it may be called again.
        self.touched.store(false, Ordering::Relaxed);
        machine.devctl().map(|report| self.see(report)).unwrap_or_default()
    }

    /// What differs from the last look.
    pub(super) fn see(&mut self, mut report: Report) -> Vec<Change> {
        let (old, new) = (self.vhosts(), &report.vhosts);
        let find = |all: &[Vhosted], v: &Vhosted| {
            all.binary_search_by_key(&v.of.if_index, |other| other.of.if_index).ok()
        };
        let created = new.iter().filter(|v| find(old, v).is_none());
        let mut changes: Vec<Change> = created.cloned().map(Change::Created).collect();
        changes.extend(core::mem::take(&mut report.notices).into_iter().map(Change::Transition));
        if report.lost > 0 {
            changes.push(Change::Missed(report.lost));
        }
        let differs = |v: &&Vhosted| find(old, v).is_some_and(|at| !same_configuration(&old[at], v));
        changes.extend(new.iter().filter(differs).cloned().map(Change::Configured));
        if report.demotion != self.demotion() {
            changes.push(Change::Demoted(report.demotion));
        }
        let destroyed = old.iter().filter(|v| find(new, v).is_none());
        changes.extend(destroyed.cloned().map(Change::Destroyed));
        self.last = Some(report);
        changes
    }
}

fn same_configuration(a: &Vhosted, b: &Vhosted) -> bool {
    (a.of, a.advbase, a.advskew, a.demoted_advskew, &a.addresses)
        == (b.of, b.advbase, b.advskew, b.demoted_advskew, &b.addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kern::devctl::Vhost;
    use crate::net::fate::Fate;
    use compat::net::if_::IfName;
    use compat::sys::time::Time;
    use libcarp::carpreq::CarpStats;
    use libcarp::softc::State;
    use libcarp::{Reason, Transition};

    fn vhosted(if_index: u16, advskew: u8, state: State) -> Vhosted {
        Vhosted {
            of: Vhost { if_index, ifname: IfName([0; 16]), vhid: 1, parent: None },
            state,
            since: Time(1),
            reason: Reason::Started,
            entered: [0, 1, 0],
            advbase: 1,
            advskew,
            demoted_advskew: advskew,
            name: IfName([0; 16]),
            addresses: Vec::new(),
            living: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn report(notices: Vec<Notice>, lost: u64, vhosts: Vec<Vhosted>, demotion: i64) -> Report {
        Report {
            now: Time(9),
            notices,
            lost,
            transitions: 0,
            vhosts,
            demotion,
            stats: CarpStats::default(),
            echoes: 0,
            other_vhid: 0,
            iqdrops: Vec::new(),
            fates: Fate::ALL.map(|f| (f, 0)),
        }
    }

    #[test]
    fn what_has_happened_is_told_once_and_in_order() {
        let mut w = Watcher::default();
        let (one, two) = (vhosted(1, 0, State::Backup), vhosted(2, 0, State::Backup));
        let told = w.see(report(Vec::new(), 0, vec![one.clone(), two.clone()], 0));
        assert_eq!(told, [Change::Created(one.clone()), Change::Created(two.clone())]);
        let t = Transition { old: State::Backup, new: State::Master, reason: Reason::MasterTimedOut };
        let notice = Notice { of: one.of, t, at: Time(3), addresses: Vec::new() };
        // Another state alone is no other configuration.
        let master = vhosted(1, 0, State::Master);
        let told = w.see(report(vec![notice.clone()], 4, vec![master.clone(), two.clone()], 0));
        assert_eq!(told, [Change::Transition(notice), Change::Missed(4)]);
        let (skewed, three) = (vhosted(1, 100, State::Master), vhosted(3, 0, State::Init));
        let told = w.see(report(Vec::new(), 0, vec![skewed.clone(), three.clone()], 240));
        let expected = [
            Change::Created(three.clone()),
            Change::Configured(skewed.clone()),
            Change::Demoted(240),
            Change::Destroyed(two),
        ];
        assert_eq!(told, expected);
        assert_eq!(w.see(report(Vec::new(), 0, vec![skewed, three], 240)), []);
        assert_eq!((w.vhosts().len(), w.demotion()), (2, 240));
    }
}
