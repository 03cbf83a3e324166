//! FreeBSD's `kern/subr_devctl.c`: what the machine tells whoever acts on its
//! changes of state. There it is `devd`, here the process around the machine.
//!
//! netisr0 keeps the transitions until it is asked for them, and wakes whoever
//! does once. The answer is one moment: the transitions up to it, and all carp
//! interfaces at it. Whoever serves virtual addresses outside of the machine does
//! not learn of a transition afterwards: netisr0 calls it in the middle of one,
//! before anybody hears of it on the wire.

use crate::kern::lease;
use crate::machine::{Ctx0, Machine};
use crate::net::fate::Fate;
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::rtsock::Wake;
use crate::netinet::carp_vhid;
use compat::net::if_::IfName;
use compat::qsbr::Netisr0;
use compat::sys::time::Time;
use core::cell::{Cell, RefCell};
use ipnet::IpNet;
use libcarp::carpreq::CarpStats;
use libcarp::peers::Peer;
use libcarp::softc::State;
use libcarp::{CarpSoftc, Reason, Transition, demote};
use triomphe::Arc;

/// Transitions that wait to be asked for. Whoever is slower loses some, and is
/// told how many.
pub const QUEUE_LEN: usize = 1024;

/// Which carp interface: by its name and vhid, or that of the interface and the
/// vhid of it in FreeBSD's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vhost {
    /// The carp interface's `if_index`; one that comes again has another.
    pub if_index: u16,
    /// `carp0`, or `em0` of em0's vhid.
    pub ifname: IfName,
    /// 0 while it has none.
    pub vhid: u8,
    /// `sc_carpdev`
    pub parent: Option<IfName>,
}

/// A transition, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of whom.
    pub of: Vhost,
    /// What has changed.
    pub t: Transition,
    /// When.
    pub at: Time,
    /// The virtual addresses that it lived with.
    pub addresses: Vec<IpNet>,
}

/// A carp interface as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vhosted {
    /// Which.
    pub of: Vhost,
    /// `sc_state`
    pub state: State,
    /// When it came to it.
    pub since: Time,
    /// Why it came to it.
    pub reason: Reason,
    /// How often it has come to INIT, BACKUP and MASTER.
    pub entered: [u64; 3],
    /// `sc_advbase`
    pub advbase: u8,
    /// `sc_advskew`, as configured.
    pub advskew: u8,
    /// As advertised: with the demotion.
    pub demoted_advskew: u8,
    /// The carp interface's own name.
    pub name: IfName,
    /// All virtual addresses, also those without a place to live.
    pub addresses: Vec<IpNet>,
    /// Those that have one, and whether the prefix route goes with each.
    pub living: Vec<(IpNet, bool)>,
    /// Whom it has heard.
    pub peers: Vec<Peer>,
}

/// What of a carp interface matters to whoever serves its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its own name.
    pub name: IfName,
    /// Its index; one that comes again has another.
    pub if_index: u16,
    /// 0 while it has none.
    pub vhid: u8,
    /// `sc_carpdev`
    pub parent: Option<IfName>,
    /// `sc_state`
    pub state: State,
    /// `sc_advbase`
    pub advbase: u8,
    /// The virtual addresses that have a place, and whether a route to the prefix goes
    /// with each (`net.inet.carp.setroute`).
    pub living: Vec<(IpNet, bool)>,
}

impl Vhosted {
    /// What of it matters to whoever serves its addresses.
    pub fn served(&self) -> Served {
        Served {
            name: self.name,
            if_index: self.of.if_index,
            vhid: self.of.vhid,
            parent: self.of.parent,
            state: self.state,
            advbase: self.advbase,
            living: self.living.clone(),
        }
    }
}

/// Called on netisr0 when a carp interface has changed its state and has not said
/// so yet, with the number of transitions so far. netisr0 waits for it.
pub type Serve = Box<dyn Fn(&Served, u64) + Send>;

/// What the machine says when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub now: Time,
    /// The transitions since it was asked last.
    pub notices: Vec<Notice>,
    /// And how many more have been lost.
    pub lost: u64,
    /// The transitions that there have been.
    pub transitions: u64,
    /// The carp interfaces, by index.
    pub vhosts: Vec<Vhosted>,
    /// The machine's demotion.
    pub demotion: i64,
    /// `carpstats`
    pub stats: CarpStats,
    /// Own advertisements that came back.
    pub echoes: u64,
    /// Frames for vhids that nobody here has.
    pub other_vhid: u64,
    /// `ifi_iqdrops` of each card.
    pub iqdrops: Vec<(IfName, u64)>,
    /// What became of each frame.
    pub fates: [(Fate, u64); Fate::ALL.len()],
}

/// netisr0's part.
#[derive(Default)]
pub struct Devctl {
    wake: RefCell<Option<Wake>>,
    serve: RefCell<Option<Serve>>,
    transitions: Cell<u64>,
    woken: Cell<bool>,
    queue: RefCell<Vec<Notice>>,
    lost: Cell<u64>,
    demotion: Cell<i64>,
}

impl Devctl {
    /// Whoever asks is woken from now on.
    pub fn listen(&self, wake: Wake) {
        *self.wake.borrow_mut() = Some(wake);
    }

    /// The virtual addresses are served there from now on.
    pub fn serve(&self, serve: Serve) {
        *self.serve.borrow_mut() = Some(serve);
    }

    fn touch(&self) {
        if let Some(wake) = &*self.wake.borrow()
            && !self.woken.replace(true)
        {
            wake();
        }
    }

    fn push(&self, notice: impl FnOnce() -> Notice) {
        if self.wake.borrow().is_none() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        // Once one is lost all are until somebody asks: what is told is in order.
        if self.lost.get() > 0 || queue.len() >= QUEUE_LEN {
            self.lost.set(self.lost.get() + 1);
        } else {
            queue.push(notice());
        }
    }
}

/// `devctl_notify`
pub fn notify(m: &Machine, n0: &Netisr0, sc: &CarpSoftc, t: Transition) {
    let devctl = &m.own(n0).devctl;
    devctl.transitions.set(devctl.transitions.get() + 1);
    if let Some(serve) = &*devctl.serve.borrow() {
        serve(&served(m, n0, sc), devctl.transitions.get());
        if t.new == State::Master && lease::is_outside(n0, sc) {
            let softcs = m.carp.own(n0).carpif_list.borrow();
            let is_master = |o: &&Arc<CarpSoftc>| o.state() == State::Master && lease::is_outside(n0, o);
            let masters = softcs.iter().filter(is_master).count();
            m.own(n0).lease.begin(m.clock().now(), sc.own(n0).advbase.get(), masters == 1);
        }
    }
    devctl.push(|| Notice {
        of: vhost(m, n0, sc),
        t,
        at: m.clock().now(),
        addresses: addresses(n0, sc, true),
    });
    devctl.touch();
}

/// The machine was, or may have been, configured.
pub fn configured(m: &Machine, n0: &Netisr0) {
    m.own(n0).devctl.touch();
}

/// After each message: the demotion may be another one.
pub fn demoted(m: &Machine, n0: &Netisr0) {
    let devctl = &m.own(n0).devctl;
    let now = m.carp.own(n0).demotion.get();
    if devctl.demotion.get() != now {
        devctl.demotion.set(now);
        devctl.touch();
    }
}

/// What has happened since the last time, and how things are.
pub fn read(cx: &mut Ctx0<'_>) -> Report {
    let m = cx.m;
    let vhosts = cx.carp(|cx| {
        let mut all = cx.carp.softcs(cx.n0);
        all.sort_by_key(|sc| sc.sc_if.if_index);
        all.iter().map(|sc| vhosted(m, cx.n0, sc, demote::advskew(cx, sc))).collect()
    });
    let iqdrops = iqdrops(cx);
    let (devctl, carp) = (&m.own(cx.n0).devctl, m.carp.own(cx.n0));
    devctl.woken.set(false);
    Report {
        now: m.clock().now(),
        notices: devctl.queue.take(),
        lost: devctl.lost.take(),
        transitions: devctl.transitions.get(),
        vhosts,
        demotion: carp.demotion.get(),
        stats: carp.stats(),
        echoes: carp.echoes.get(),
        other_vhid: m.other_vhid.value(),
        iqdrops,
        fates: Fate::ALL.map(|fate| (fate, m.fates.value(fate))),
    }
}

fn iqdrops(cx: &Ctx0<'_>) -> Vec<(IfName, u64)> {
    let entries = cx.m.if_entries(cx.n0);
    let cards = entries.iter().filter(|e| matches!(e.softc, Softc::Nic(_)));
    let drops = |e: &IfEntry| {
        if_::count_input_drops(e);
        (e.ifp.if_xname, e.ifp.stats.iqdrops.value())
    };
    cards.map(drops).collect()
}

fn vhost(m: &Machine, n0: &Netisr0, sc: &CarpSoftc) -> Vhost {
    Vhost {
        if_index: sc.sc_if.if_index,
        ifname: carp_vhid::shown(m, n0, &sc.sc_if).0.if_xname,
        vhid: sc.own(n0).vhid.get().map_or(0, |v| v.get()),
        parent: sc.carpdev(n0).map(|p| p.if_xname),
    }
}

fn addresses(n0: &Netisr0, sc: &CarpSoftc, living: bool) -> Vec<IpNet> {
    let all = sc.own(n0).vha_list();
    all.iter().filter(|vha| !living || vha.is_active(n0)).map(|vha| vha.vha_ia.net(n0)).collect()
}

fn served(m: &Machine, n0: &Netisr0, sc: &CarpSoftc) -> Served {
    let own = sc.own(n0);
    let all = own.vha_list();
    let living = all.iter().filter(|vha| vha.is_active(n0));
    let setroute = m.carp.own(n0).opts.setroute();
    Served {
        name: sc.sc_if.if_xname,
        if_index: sc.sc_if.if_index,
        vhid: own.vhid.get().map_or(0, |v| v.get()),
        parent: sc.carpdev(n0).map(|p| p.if_xname),
        state: sc.state(),
        advbase: own.advbase.get(),
        living: living.map(|vha| (vha.vha_ia.net(n0), setroute)).collect(),
    }
}

fn vhosted(m: &Machine, n0: &Netisr0, sc: &CarpSoftc, demoted_advskew: u8) -> Vhosted {
    let own = sc.own(n0);
    let Served { name, state, advbase, living, .. } = served(m, n0, sc);
    Vhosted {
        of: vhost(m, n0, sc),
        state,
        since: own.history.since(),
        reason: own.history.reason(),
        entered: own.history.counts(),
        advbase,
        advskew: own.advskew.get(),
        demoted_advskew,
        name,
        addresses: addresses(n0, sc, false),
        living,
        peers: own.peers.all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn notice(n: u64) -> Notice {
        let of = Vhost { if_index: 1, ifname: IfName([0; 16]), vhid: 1, parent: None };
        let t = Transition { old: State::Backup, new: State::Master, reason: Reason::MasterTimedOut };
        Notice { of, t, at: Time(n), addresses: Vec::new() }
    }

    #[test]
    fn whoever_asks_is_woken_once_and_told_what_he_missed() {
        let devctl = Devctl::default();
        devctl.push(|| notice(0));
        assert!(devctl.queue.borrow().is_empty(), "nobody listens");
        let woken = std::sync::Arc::new(AtomicU32::new(0));
        let w = woken.clone();
        devctl.listen(Box::new(move || {
            w.fetch_add(1, Ordering::Relaxed);
        }));
        for n in 0..QUEUE_LEN as u64 + 3 {
            devctl.push(|| notice(n));
            devctl.touch();
        }
        assert_eq!((woken.load(Ordering::Relaxed), devctl.queue.borrow().len()), (1, QUEUE_LEN));
        assert_eq!(devctl.lost.get(), 3);
    }
}
