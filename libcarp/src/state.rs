//! The state machine: `carp_setrun`, `carp_set_state`, `carp_master_down`, and
//! the two timeouts that drive it.

use crate::kernel::{CarpCallout, Cx, Timer};
use crate::softc::{CarpSoftc, State};
use crate::{log, output, vhaddr};
use compat::net::if_::{Iff, LinkState};
use compat::sys::time::Time;
use std::time::Duration;
use triomphe::Arc;

/// Which master-down timer `carp_setrun` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `0`: those in use.
    All,
    /// `AF_INET`: an IPv4 advertisement was heard.
    Inet,
}

/// `carp_set_state`: state and link state change together, and whoever
/// listens is told.
#[doc(alias = "carp_set_state")]
pub fn set_state(cx: &Cx<'_>, sc: &CarpSoftc, state: State) {
    if sc.state() == state {
        return;
    }
    sc.store_state(cx.n0, state);
    let link = match state {
        State::Backup => LinkState::Down,
        State::Master => LinkState::Up,
        State::Init => LinkState::Unknown,
    };
    sc.sc_if.set_link_state(cx.n0, link);
    cx.kern.rt_ifmsg(cx.n0, &sc.sc_if);
}

/// `carp_setrun`: what the state asks for: in INIT, leave it; in BACKUP, wait
/// for the master; in MASTER, advertise.
#[doc(alias = "carp_setrun")]
pub fn setrun(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, af: Family) {
    if sc.carpdev(cx.n0).is_none() {
        set_state(cx, sc, State::Init);
        return;
    }
    let own = sc.own(cx.n0);
    let runnable =
        sc.sc_if.flags().contains(Iff::RUNNING) && own.vhid.get().is_some() && own.naddrs.get() > 0;
    if !runnable {
        vhaddr::delroutes(cx, sc);
        return;
    }
    match sc.state() {
        State::Init => leave_init(cx, sc),
        State::Backup => {
            callout_stop(cx, sc, Timer::Ad);
            // Both families would be told apart here; there is one.
            match af {
                Family::All | Family::Inet => {
                    callout_reset(cx, sc, Timer::Md, own.master_down_interval().duration());
                }
            }
        }
        State::Master => callout_reset(cx, sc, Timer::Ad, own.interval().duration()),
    }
}

/// INIT's part of `carp_setrun`. Preempting, everyone is told before the state
/// is set, as upstream does.
fn leave_init(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    let own = cx.carp.own(cx.n0);
    if own.opts.preempt() && !own.suppressed() {
        output::send_ad(cx, sc);
        output::send_arp(cx, sc);
        log::debug(cx, format_args!("{}: INIT -> MASTER (preempting)", sc.xname()));
        callout_stop(cx, sc, Timer::Md);
        set_state(cx, sc, State::Master);
        vhaddr::addroutes(cx, sc);
    } else {
        log::debug(cx, format_args!("{}: INIT -> BACKUP", sc.xname()));
        set_state(cx, sc, State::Backup);
        vhaddr::delroutes(cx, sc);
        setrun(cx, sc, Family::All);
    }
}

/// `carp_setrun` after a change of configuration: a deadline that was already
/// set is not put off. Otherwise one who reconfigures faster than advbase
/// would keep a MASTER from advertising at all.
pub fn setrun_keeping_deadline(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    let timers = [Timer::Ad, Timer::Md];
    let before = timers.map(|t| callout_deadline(cx, sc, t));
    setrun(cx, sc, Family::All);
    for (timer, old) in timers.into_iter().zip(before) {
        if let (Some(old), Some(new)) = (old, callout_deadline(cx, sc, timer))
            && old < new
        {
            callout_reset(cx, sc, timer, old - cx.kern.now());
        }
    }
}

/// `carp_master_down`: a BACKUP takes over.
#[doc(alias = "carp_master_down")]
pub fn master_down(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    match sc.state() {
        State::Init => cx
            .kern
            .log(crate::kernel::Level::Info, format_args!("{}: master_down event in INIT state", sc.xname())),
        State::Master => {}
        State::Backup => {
            callout_stop(cx, sc, Timer::Md);
            set_state(cx, sc, State::Master);
            output::send_ad(cx, sc);
            output::send_arp(cx, sc);
            setrun(cx, sc, Family::All);
            vhaddr::addroutes(cx, sc);
        }
    }
}

/// MASTER becomes BACKUP: somebody better is there, or an administrator says
/// so.
pub fn yield_mastership(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    sc.own(cx.n0).reannounce.set(0);
    // A BACKUP sends nothing that could show the wire to be good again.
    output::forgive_sendad_errors(cx, sc);
    callout_stop(cx, sc, Timer::Ad);
    set_state(cx, sc, State::Backup);
    setrun(cx, sc, Family::All);
    vhaddr::delroutes(cx, sc);
}

/// `carp_send_ad_timeout_dispatch` and `carp_master_down_timeout_dispatch`: the
/// message of a callout that has fired and was not stopped since.
#[doc(alias = "carp_send_ad_timeout")]
#[doc(alias = "carp_master_down_timeout")]
pub fn timeout(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, timer: Timer) {
    match timer {
        Timer::Ad => output::send_ad(cx, sc),
        Timer::Md => {
            log::debug(cx, format_args!("{}: BACKUP -> MASTER (master timed out)", sc.xname()));
            master_down(cx, sc);
        }
    }
}

fn callout(sc: &CarpSoftc, timer: Timer) -> CarpCallout {
    CarpCallout { if_index: sc.sc_if.if_index, timer }
}

/// Arms one of `sc`'s callouts.
pub fn callout_reset(cx: &Cx<'_>, sc: &CarpSoftc, timer: Timer, after: Duration) {
    cx.kern.callout_reset(cx.n0, callout(sc, timer), after);
}

/// Stops one of `sc`'s callouts, and its message if it has fired.
pub fn callout_stop(cx: &Cx<'_>, sc: &CarpSoftc, timer: Timer) {
    cx.kern.callout_stop(cx.n0, callout(sc, timer));
}

fn callout_deadline(cx: &Cx<'_>, sc: &CarpSoftc, timer: Timer) -> Option<Time> {
    cx.kern.callout_deadline(cx.n0, callout(sc, timer))
}
