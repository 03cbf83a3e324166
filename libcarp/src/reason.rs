//! Why a carp interface is in another state: FreeBSD's third argument of
//! `carp_set_state`, as a value instead of a sentence.

use crate::softc::State;
use compat::sys::time::Time;
use core::cell::Cell;
use core::fmt;

/// Why a carp interface has changed its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// It was created.
    #[default]
    Created,
    /// All that it needs is there, and the election begins.
    Started,
    /// No master was heard for as long as one waits for it.
    MasterTimedOut,
    /// The master has bowed out.
    MasterLeft,
    /// The master advertises more seldom than one waits for it.
    MasterTooSlow,
    /// It advertises more often than the master, and `preempt` is set.
    Preempting,
    /// Another one advertises more often.
    BetterMaster,
    /// Another one advertises as often, and wins the tie.
    LostTie,
    /// An administrator has said so: `state master`, `state backup`.
    Administrator,
    /// Its vhid, its parent or its peers are others, or a virtual address has
    /// come: the election starts over.
    Configured,
    /// Its last address, or the one that it lives by, has gone or is another.
    NoAddress,
    /// An administrator has taken the carp interface down.
    Down,
    /// Its parent is down.
    ParentDown,
    /// Its parent has no link.
    LinkDown,
    /// Its virtual addresses cannot be served.
    NotServed,
    /// Its parent has left the machine.
    ParentGone,
    /// It is destroyed.
    Destroyed,
    /// The machine halts.
    Halted,
}

impl Reason {
    /// All of them.
    const ALL: [Reason; 18] = [
        Reason::Created,
        Reason::Started,
        Reason::MasterTimedOut,
        Reason::MasterLeft,
        Reason::MasterTooSlow,
        Reason::Preempting,
        Reason::BetterMaster,
        Reason::LostTie,
        Reason::Administrator,
        Reason::Configured,
        Reason::NoAddress,
        Reason::Down,
        Reason::ParentDown,
        Reason::LinkDown,
        Reason::NotServed,
        Reason::ParentGone,
        Reason::Destroyed,
        Reason::Halted,
    ];

    /// The one that says so of itself.
    pub fn from_word(word: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// One word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Created => "created",
            Reason::Started => "started",
            Reason::MasterTimedOut => "master-timed-out",
            Reason::MasterLeft => "master-left",
            Reason::MasterTooSlow => "master-too-slow",
            Reason::Preempting => "preempting",
            Reason::BetterMaster => "better-master",
            Reason::LostTie => "lost-tie",
            Reason::Administrator => "administrator",
            Reason::Configured => "configured",
            Reason::NoAddress => "no-address",
            Reason::Down => "down",
            Reason::ParentDown => "parent-down",
            Reason::LinkDown => "link-down",
            Reason::NotServed => "not-served",
            Reason::ParentGone => "parent-gone",
            Reason::Destroyed => "destroyed",
            Reason::Halted => "halted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it was.
    pub old: State,
    /// What it is.
    pub new: State,
    /// Why.
    pub reason: Reason,
}

/// What a softc knows of its own states.
#[derive(Debug, Default)]
pub struct History {
    since: Cell<Time>,
    reason: Cell<Reason>,
    entered: [Cell<u64>; 3],
}

impl History {
    /// It is created: in INIT from now on.
    pub(crate) fn begin(&self, now: Time) {
        self.since.set(now);
    }

    pub(crate) fn entered(&self, state: State, reason: Reason, now: Time) {
        self.since.set(now);
        self.reason.set(reason);
        let n = &self.entered[state as usize];
        n.set(n.get() + 1);
    }

    /// It goes on where another one has stopped.
    pub(crate) fn restore(&self, since: Time, reason: Reason, entered: [u64; 3]) {
        self.since.set(since);
        self.reason.set(reason);
        self.entered.iter().zip(entered).for_each(|(n, was)| n.set(was));
    }

    /// When it came to the state that it is in.
    pub fn since(&self) -> Time {
        self.since.get()
    }

    /// Why it came to it.
    pub fn reason(&self) -> Reason {
        self.reason.get()
    }

    /// How often it has come to INIT, BACKUP and MASTER.
    pub fn counts(&self) -> [u64; 3] {
        self.entered.each_ref().map(Cell::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testutil::World;
    use crate::{clone, state};

    #[test]
    fn whoever_listens_is_told_each_transition_and_why() {
        let (mut w, sc) = World::with_carp0(0);
        w.kern.notified.borrow_mut().clear();
        w.cx(|cx| state::master_down(cx, &sc, Reason::MasterTimedOut));
        w.kern.now.set(Time(7));
        w.cx(|cx| state::yield_mastership(cx, &sc, Reason::BetterMaster));
        w.cx(|cx| clone::stop(cx, &sc, Reason::Down));
        // Nothing to tell: it is there already.
        w.cx(|cx| state::set_state(cx, &sc, State::Init, Reason::Configured));
        let told: Vec<_> = w.kern.notified.take();
        let t = |old, new, reason| ("carp0", Transition { old, new, reason });
        let expected = [
            t(State::Backup, State::Master, Reason::MasterTimedOut),
            t(State::Master, State::Backup, Reason::BetterMaster),
            t(State::Backup, State::Init, Reason::Down),
        ];
        assert_eq!(told, expected);
        let history = &sc.own(&w.n0).history;
        assert_eq!((history.since(), history.reason(), history.counts()), (Time(7), Reason::Down, [1, 2, 1]));
    }
}
