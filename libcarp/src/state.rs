//! The state machine: `carp_setrun`, `carp_set_state`, `carp_master_down`, and
//! the two timeouts that drive it.

use crate::kernel::{CarpCallout, Cx, Timer};
use crate::reason::{Reason, Transition};
use crate::softc::{CarpSoftc, State};
use crate::types::Interval;
use crate::{clone, demote, ioctl, log, output, vhaddr};
use compat::net::if_::{Iff, LinkState};
use compat::sys::socket::Af;
use compat::sys::time::Time;
use std::time::Duration;
use triomphe::Arc;

/// `carp_set_state`: state and link state change together, and whoever
/// listens is told, with the reason.
#[doc(alias = "carp_set_state")]
pub fn set_state(cx: &Cx<'_>, sc: &CarpSoftc, state: State, reason: Reason) {
    let old = sc.state();
    if old == state {
        return;
    }
    sc.store_state(cx.n0, state);
    sc.own(cx.n0).history.entered(state, reason, cx.kern.now());
    sc.sc_if.set_link_state(cx.n0, link_state(state));
    cx.kern.rt_ifmsg(cx.n0, &sc.sc_if);
    cx.kern.devctl_notify(cx.n0, sc, Transition { old, new: state, reason });
}

/// `if_link_state` of a carp interface in a state.
pub(crate) fn link_state(state: State) -> LinkState {
    match state {
        State::Backup => LinkState::Down,
        State::Master => LinkState::Up,
        State::Init => LinkState::Unknown,
    }
}

/// `carp_setrun`: what the state asks for: in INIT, leave it; in BACKUP, wait
/// for the master; in MASTER, advertise. `af` is the family in which a master
/// was heard; `None` sets the timers of all that are in use.
#[doc(alias = "carp_setrun")]
pub fn setrun(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, af: Option<Af>) {
    let Some(parent) = sc.carpdev(cx.n0) else {
        set_state(cx, sc, State::Init, Reason::NoAddress);
        return;
    };
    let own = sc.own(cx.n0);
    let runnable = sc.sc_if.flags().contains(Iff::RUNNING)
        && own.vhid.get().is_some()
        && own.naddrs() > 0
        && !own.unserved.get()
        && parent.flags().contains(Iff::UP)
        && parent.link_state() != LinkState::Down;
    if !runnable {
        vhaddr::delroutes(cx, sc);
        return;
    }
    match sc.state() {
        State::Init => leave_init(cx, sc),
        State::Backup => {
            callout_stop(cx, sc, Timer::Ad);
            let wait = own.master_down_interval().duration();
            // A master that is heard in a family that has no address here any
            // more is heard all the same.
            let heard = |used: &Af| af.is_none_or(|af| af == *used || own.af(af).naddrs.get() == 0);
            for used in own.families().filter(heard) {
                callout_reset(cx, sc, Timer::md(used), wait);
            }
        }
        State::Master => {
            let wait = Interval::new(own.advbase.get().into(), demote::advskew(cx, sc)).duration();
            callout_reset(cx, sc, Timer::Ad, wait);
        }
    }
}

/// A configuration begins: nobody leaves INIT until it ends. What it says of one carp
/// interface is one: an election after each address would make a MASTER that the next
/// address takes away. BACKUPs and MASTERs go on as ever.
pub fn config_begin(cx: &Cx<'_>) {
    cx.carp.own(cx.n0).configuring.borrow_mut().get_or_insert_default();
}

/// It ends: whoever would have left INIT since it began, and still is there, does. All
/// reasons not to preempt have begun and ended before the first election.
pub fn config_end(cx: &Cx<'_>) {
    let waiting = cx.carp.own(cx.n0).configuring.take().unwrap_or_default();
    let listed = |(index, wanted)| Some((cx.carp.softc(cx.n0, index)?, wanted));
    let mut waiting: Vec<(Arc<CarpSoftc>, Option<State>)> = waiting.into_iter().filter_map(listed).collect();
    waiting.retain(|(sc, _)| sc.state() == State::Init);
    cx.carp.softcs(cx.n0).iter().for_each(|sc| demote::review(cx, sc));
    for (sc, wanted) in &waiting {
        setrun(cx, sc, None);
        wanted.iter().for_each(|wanted| ioctl::change_state(cx, sc, *wanted));
    }
}

/// Whether a configuration is being applied, and `sc`, which may leave INIT, waits for its
/// end.
fn waits_for_config(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) -> bool {
    let own = cx.carp.own(cx.n0);
    let waits =
        own.configuring.borrow_mut().as_mut().map(|all| all.insert(sc.sc_if.if_index, None)).is_some();
    if waits {
        // It may have been BACKUP, or MASTER, until now.
        clone::stop_callouts(cx, sc);
        vhaddr::delroutes(cx, sc);
    }
    waits
}

/// INIT's part of `carp_setrun`. Upstream, preempting, tells everyone before the
/// state is set; here whoever serves the addresses is ready by then.
fn leave_init(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    if waits_for_config(cx, sc) {
        return;
    }
    if cx.carp.own(cx.n0).opts.preempt() && !demote::suppressed(cx, sc) {
        begin_mastership(cx, sc);
        log::debug(cx, format_args!("{}: INIT -> MASTER (preempting)", sc.xname()));
        set_state(cx, sc, State::Master, Reason::Preempting);
        output::send_ad(cx, sc);
        output::send_arp(cx, sc);
        vhaddr::addroutes(cx, sc);
    } else {
        log::debug(cx, format_args!("{}: INIT -> BACKUP", sc.xname()));
        set_state(cx, sc, State::Backup, Reason::Started);
        vhaddr::delroutes(cx, sc);
        setrun(cx, sc, None);
    }
}

/// `carp_setrun` after a change of configuration: a deadline that was already
/// set is not put off. Otherwise one who reconfigures faster than advbase
/// would keep a MASTER from advertising at all. A BACKUP that has lost one family
/// and waits for the other does not begin to wait for both again: it would never
/// take over.
pub fn setrun_keeping_deadline(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    let before = Timer::ALL.map(|t| callout_deadline(cx, sc, t));
    let waits = Af::ALL.into_iter().any(|af| callout_deadline(cx, sc, Timer::md(af)).is_some());
    setrun(cx, sc, None);
    for (timer, old) in Timer::ALL.into_iter().zip(before) {
        if waits && old.is_none() && sc.state() == State::Backup {
            callout_stop(cx, sc, timer);
        }
        if let (Some(old), Some(new)) = (old, callout_deadline(cx, sc, timer))
            && old < new
        {
            callout_reset(cx, sc, timer, old - cx.kern.now());
        }
    }
}

/// `carp_master_down`: a BACKUP takes over.
#[doc(alias = "carp_master_down")]
pub fn master_down(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, reason: Reason) {
    match sc.state() {
        State::Init => cx
            .kern
            .log(crate::kernel::Level::Info, format_args!("{}: master_down event in INIT state", sc.xname())),
        State::Master => {}
        State::Backup => {
            begin_mastership(cx, sc);
            set_state(cx, sc, State::Master, reason);
            output::send_ad(cx, sc);
            output::send_arp(cx, sc);
            setrun(cx, sc, None);
            vhaddr::addroutes(cx, sc);
        }
    }
}

/// MASTER becomes BACKUP: somebody better is there, or an administrator says
/// so.
pub fn yield_mastership(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, reason: Reason) {
    sc.own(cx.n0).reannounce.set(0);
    callout_stop(cx, sc, Timer::Ad);
    set_state(cx, sc, State::Backup, reason);
    setrun(cx, sc, None);
    vhaddr::delroutes(cx, sc);
}

/// `carp_send_ad_timeout_dispatch` and `carp_master_down_timeout_dispatch`: the
/// message of a callout that has fired and was not stopped since.
#[doc(alias = "carp_send_ad_timeout")]
#[doc(alias = "carp_master_down_timeout")]
pub fn timeout(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, timer: Timer) {
    match timer {
        Timer::Ad => output::send_ad(cx, sc),
        Timer::Md => family_silent(cx, sc, Af::Inet),
        Timer::Md6 => family_silent(cx, sc, Af::Inet6),
    }
}

/// No master was heard in one family. It is down if it is silent in the other
/// one too: losing one family alone must not make a second master. (Upstream
/// takes over as soon as one is silent.)
fn family_silent(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, af: Af) {
    if sc.state() == State::Backup && callout_deadline(cx, sc, Timer::md(af.other())).is_some() {
        let (lost, heard) = match af {
            Af::Inet => ("IPv4", "IPv6"),
            Af::Inet6 => ("IPv6", "IPv4"),
        };
        log::debug(cx, format_args!("{}: master lost over {lost}, but not over {heard}", sc.xname()));
        return;
    }
    log::debug(cx, format_args!("{}: BACKUP -> MASTER (master timed out)", sc.xname()));
    master_down(cx, sc, Reason::MasterTimedOut);
}

/// The last address of a family is gone, one of the other is left: a BACKUP
/// listens there.
pub fn family_left(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, af: Af) {
    callout_stop(cx, sc, Timer::md(af));
    let other = af.other();
    if sc.state() == State::Backup && callout_deadline(cx, sc, Timer::md(other)).is_none() {
        setrun(cx, sc, Some(other));
    }
}

/// What a MASTER begins with: it waits for nobody, has heard nobody, and has a
/// counter of its own.
fn begin_mastership(cx: &Cx<'_>, sc: &CarpSoftc) {
    for af in Af::ALL {
        callout_stop(cx, sc, Timer::md(af));
        sc.own(cx.n0).af(af).heard.set(false);
    }
    output::new_counter(cx, sc);
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
