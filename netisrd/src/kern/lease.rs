//! For how long whoever serves the virtual addresses outside of the machine is taken to
//! be there. It says so again and again, with a time; who is MASTER by then and has
//! heard nothing gives up, for the addresses that nobody renews are gone. When it
//! speaks again, all are served again.
//!
//! netisr0 itself may not have run meanwhile, because the whole process was stopped.
//! Then the other side has a moment to say that it goes on as well.

use super::devctl;
use crate::machine::{Ctx0, Machine};
use crate::net::netisr::Netmsg0;
use compat::qsbr::Netisr0;
use compat::sys::time::Time;
use core::cell::{Cell, RefCell};
use libcarp::CarpSoftc;
use libcarp::softc::State;
use std::collections::BTreeSet;
use std::time::Duration;

/// Who looks at the time so much later than it wanted to has not run.
pub(crate) const LATE: Duration = Duration::from_millis(50);
/// The moment.
const GRACE: Duration = Duration::from_secs(1);

/// How long the addresses of a MASTER live without being renewed, in seconds.
pub fn lifetime(advbase: u8) -> u32 {
    (2 * u32::from(advbase)).saturating_sub(1).max(1)
}

/// And until they are surely gone: the kernel looks once a second.
pub fn gone_after(lifetime: u32) -> Duration {
    Duration::from_secs(u64::from(lifetime) + 1)
}

/// netisr0's part.
#[derive(Default)]
pub struct Lease {
    until: Cell<Option<Time>>,
    /// Its end is on the way as a message.
    ends: Cell<bool>,
    /// The carp interfaces that were given up.
    left: RefCell<BTreeSet<u16>>,
}

/// What is said of it.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// The other side is there; if it serves a MASTER, until then.
    Here(Option<Time>),
    /// It is over.
    Ends,
}

impl Lease {
    /// When it is over, unless that is on the way.
    pub fn next(&self) -> Option<Time> {
        self.until.get().filter(|_| !self.ends.get())
    }

    /// A MASTER is there, of which the other side may not know yet. If it is the first
    /// one, what was said of those before it is nothing to it.
    pub fn begin(&self, now: Time, advbase: u8, is_first: bool) {
        if is_first || self.until.get().is_none() {
            self.until.set(Some(now + gone_after(lifetime(advbase))));
        }
    }

    /// netisr0 has stood still.
    pub fn stood_still(&self, now: Time) {
        self.until.set(self.until.get().map(|until| until.max(now + GRACE)));
    }
}

/// Sends the end as a message when it is due.
pub fn clock(m: &Machine, n0: &Netisr0, now: Time) {
    let lease = &m.own(n0).lease;
    if lease.next().is_some_and(|until| until <= now) {
        lease.ends.set(true);
        m.port0.sendmsg(Netmsg0::Lease(Word::Ends));
    }
}

/// Does what is said.
pub fn word(cx: &mut Ctx0<'_>, word: Word) {
    let (lease, now) = (&cx.m.own(cx.n0).lease, cx.m.clock().now());
    match word {
        Word::Here(until) => {
            lease.until.set(until.or(lease.until.get()));
            let left = lease.left.take();
            if !left.is_empty() {
                tracing::warn!("netisr0: virtual addresses are served again");
            }
            left.into_iter().for_each(|if_index| serve(cx, if_index, true));
        }
        Word::Ends => {
            lease.ends.set(false);
            let Some(until) = lease.until.get().filter(|until| *until <= now) else { return };
            if now - until > LATE {
                return lease.until.set(Some(now + GRACE));
            }
            lease.until.set(None);
            give_up(cx);
        }
    }
}

/// Whether its addresses are served outside of the machine.
pub fn is_outside(n0: &Netisr0, sc: &CarpSoftc) -> bool {
    sc.carpdev(n0).is_some_and(|p| p.served_by_host)
}

/// Of all that would be MASTER there, if one is.
fn give_up(cx: &mut Ctx0<'_>) {
    let all = cx.carp(|cx| cx.carp.softcs(cx.n0));
    let outside: Vec<_> = all.iter().filter(|sc| is_outside(cx.n0, sc)).collect();
    if !outside.iter().any(|sc| sc.state() == State::Master) {
        return;
    }
    tracing::error!("netisr0: the main thread does not answer, and no virtual address is served");
    let served = outside.iter().filter(|sc| !sc.own(cx.n0).unserved.get());
    let left: BTreeSet<u16> = served.map(|sc| sc.sc_if.if_index).collect();
    left.iter().for_each(|if_index| serve(cx, *if_index, false));
    cx.m.own(cx.n0).lease.left.borrow_mut().extend(left);
}

/// Whether the virtual addresses of a carp interface can be served there.
pub fn served(cx: &mut Ctx0<'_>, if_index: u16, is: bool) {
    cx.m.own(cx.n0).lease.left.borrow_mut().remove(&if_index);
    serve(cx, if_index, is);
}

fn serve(cx: &mut Ctx0<'_>, if_index: u16, is: bool) {
    cx.carp(|cx| {
        if let Some(sc) = cx.carp.softc(cx.n0, if_index) {
            libcarp::clone::served(cx, &sc, is);
        }
    });
    devctl::configured(cx.m, cx.n0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mastership_begins_anew_and_one_among_others_changes_nothing() {
        let (lease, at) = (Lease::default(), |s: u64| Time(s * 1_000_000_000));
        lease.begin(at(10), 1, true);
        assert_eq!(lease.next(), Some(at(12)));
        lease.begin(at(11), 1, false);
        assert_eq!(lease.next(), Some(at(12)));
        // It has yielded meanwhile.
        lease.begin(at(11), 1, true);
        assert_eq!(lease.next(), Some(at(13)));
    }
}
