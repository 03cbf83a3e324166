//! Suppression and demotion: reasons for a machine, or for a group of its
//! interfaces, to be no MASTER.
//!
//! Upstream counts the carp interfaces that have a reason in
//! `carp_suppress_preempt`, and raises every skew to 240 while there are any.
//! FreeBSD adds up numbers instead, which can be configured and be negative.
//! Both are one thing here: a reason counts once and adds its factor to the
//! sum; with the factors that they have unless told otherwise, 240, the skews
//! are upstream's.

use crate::kernel::Cx;
use crate::softc::CarpSoftc;
use crate::{Ifaddr, Ifnet, log, vhaddr};
use compat::net::if_::{IFG_ALL, Iff, LinkState};
use compat::net::if_var::IfgGroup;
use compat::qsbr::Netisr0;
use compat::sys::errno::Errno;
use core::cell::Cell;
use core::fmt::Display;
use triomphe::Arc;

/// `CARP_MAXSKEW`: a skew of up to this is what demotion can make of one.
const MAXSKEW: i64 = 240;
/// `CARP_SENDAD_MAX_ERRORS`: failures in a row that suppress preemption.
const SENDAD_MAX_ERRORS: u32 = 3;
/// `CARP_SENDAD_MIN_SUCCESS`: successes after them that end it.
const SENDAD_MIN_SUCCESS: u32 = 3;
/// As much as OpenBSD can say in an advertisement.
const GROUP_DEMOTED_MAX: i32 = 255;

/// The skew that `sc` advertises, and compares with what it hears: its own and
/// the demotion, from 0 to 240, or to its own if that is higher.
pub fn advskew(cx: &Cx<'_>, sc: &CarpSoftc) -> u8 {
    let own = i64::from(sc.own(cx.n0).advskew.get());
    let group = if group_demoted(cx.n0, &sc.sc_if) > 0 { MAXSKEW } else { 0 };
    let sum = own.saturating_add(cx.carp.own(cx.n0).demotion.get()).saturating_add(group);
    // Within 0 to 254.
    sum.clamp(0, own.max(MAXSKEW)) as u8
}

/// Whether `sc` must not preempt.
pub fn suppressed(cx: &Cx<'_>, sc: &CarpSoftc) -> bool {
    let own = cx.carp.own(cx.n0);
    own.suppress_preempt.get() != 0 || own.demotion.get() > 0 || group_demoted(cx.n0, &sc.sc_if) > 0
}

/// `carp_group_demote_count` of OpenBSD: the sum over the interface's groups.
fn group_demoted(n0: &Netisr0, ifp: &Ifnet) -> i64 {
    let groups = ifp.own(n0).if_groups.borrow();
    // Most count nothing, and need not be looked at by name.
    let counted = groups.iter().map(|g| (g, g.carp_demoted(n0).get())).filter(|(_, n)| *n != 0);
    counted.filter(|(g, _)| g.ifg_group.as_str() != IFG_ALL).map(|(_, n)| i64::from(n)).sum()
}

/// `carp_group_demote_adj`: a group has `adj` reasons more for its members to be
/// no MASTER. `EINVAL` if that makes fewer than none or more than 255. (Upstream
/// counts, and nothing comes of it.)
#[doc(alias = "carp_group_demote_adj")]
pub fn group_demote_adj(cx: &Cx<'_>, by: &str, group: &IfgGroup, adj: i32) -> Result<(), Errno> {
    let dm = group.carp_demoted(cx.n0).get().checked_add(adj).ok_or(Errno::EINVAL)?;
    if !(0..=GROUP_DEMOTED_MAX).contains(&dm) {
        return Err(Errno::EINVAL);
    }
    group.carp_demoted(cx.n0).set(dm);
    log::info(cx, format_args!("{by} demoted group {} to {dm}", group.ifg_group));
    skews_changed(cx);
    Ok(())
}

/// FreeBSD's `carp_demote_adj`: every MASTER whose skew it changes says so, as
/// soon as what goes on has ended.
#[doc(alias = "carp_demote_adj")]
pub fn demote_adj(cx: &Cx<'_>, adj: i32, reason: impl Display) {
    if adj == 0 {
        return;
    }
    let demotion = &cx.carp.own(cx.n0).demotion;
    demotion.set(demotion.get() + i64::from(adj));
    log::info(cx, format_args!("carp: demoted by {adj} to {} ({reason})", demotion.get()));
    skews_changed(cx);
}

/// Skews may be others than were advertised: when what goes on has ended, MASTERs
/// say so.
pub fn skews_changed(cx: &Cx<'_>) {
    cx.carp.own(cx.n0).unsaid.set(true);
}

/// A reason begins. It remembers its factor: that is what it takes back when
/// it ends, whatever the sysctl says by then. A factor of 0 makes it none.
fn begin(cx: &Cx<'_>, reason: &Cell<Option<i32>>, factor: i32, text: impl Display) {
    if reason.get().is_some() {
        return;
    }
    reason.set(Some(factor));
    if factor != 0 {
        let s = &cx.carp.own(cx.n0).suppress_preempt;
        s.set(s.get() + 1);
        demote_adj(cx, factor, text);
    }
}

/// A reason ends, if it had begun.
fn end(cx: &Cx<'_>, reason: &Cell<Option<i32>>, text: impl Display) {
    if let Some(factor) = reason.take().filter(|f| *f != 0) {
        let s = &cx.carp.own(cx.n0).suppress_preempt;
        s.set(s.get() - 1);
        demote_adj(cx, factor.saturating_neg(), text);
    }
}

/// An advertisement of `sc` was not sent.
pub fn sendad_failed(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    own.sendad_errors.set(own.sendad_errors.get().saturating_add(1));
    own.sendad_success.set(0);
    if own.sendad_errors.get() == SENDAD_MAX_ERRORS {
        skews_changed(cx);
    }
}

/// One was.
pub fn sendad_succeeded(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    if own.sendad_errors.get() < SENDAD_MAX_ERRORS {
        own.sendad_errors.set(0);
        return;
    }
    own.sendad_success.set(own.sendad_success.get() + 1);
    if own.sendad_success.get() == SENDAD_MIN_SUCCESS {
        skews_changed(cx);
    }
}

/// What comes of how the advertisements of `sc` fared: after
/// `CARP_SENDAD_MAX_ERRORS` failures in a row they suppress, until
/// `CARP_SENDAD_MIN_SUCCESS` were good.
pub fn review_sendad(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    if own.sendad_success.get() >= SENDAD_MIN_SUCCESS {
        forgive_sendad_errors(cx, sc);
    } else if own.sendad_errors.get() >= SENDAD_MAX_ERRORS {
        let factor = cx.carp.own(cx.n0).opts.senderr_demotion_factor.get();
        begin(cx, &own.sendad_demotes, factor, "send error");
    }
}

/// Whatever the failures of `sc` suppressed is taken back: enough of its
/// advertisements were good, or it stops, or starts over by hand. One that only
/// yields is no better than it was, and would preempt at once.
pub fn forgive_sendad_errors(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    own.sendad_errors.set(0);
    own.sendad_success.set(0);
    end(cx, &own.sendad_demotes, "send ok");
}

/// All reasons of `sc` but failed advertisements, asked again whenever any of what they
/// come from changes, so that each ends with its cause, whichever goes first.
pub fn review(cx: &Cx<'_>, sc: &CarpSoftc) {
    review_without(cx, sc, |_| false);
}

/// The same when some addresses are about to be gone.
pub fn review_without(cx: &Cx<'_>, sc: &CarpSoftc, gone: impl Fn(&Arc<Ifaddr>) -> bool) {
    let parent_down = parent_is_down(cx, sc, gone);
    review_suppress(cx, sc, parent_down, "interface up");
    review_unbacked(cx, sc, parent_down);
}

/// The same when `sc` has lost its parent. Its addresses may find another one before
/// anybody asks for reasons, unless it is dead.
pub fn review_detached(cx: &Cx<'_>, sc: &CarpSoftc) {
    let parent_down = parent_is_down(cx, sc, |_| false);
    review_suppress(cx, sc, parent_down, "interface up");
    if sc.own(cx.n0).dead.get() {
        review_unbacked(cx, sc, parent_down);
    }
}

/// The same when its addresses can be served again.
pub fn review_served(cx: &Cx<'_>, sc: &CarpSoftc) {
    review_suppress(cx, sc, parent_is_down(cx, sc, |_| false), "served by the host again");
}

/// `carp_sc_state`: whether the parent of `sc` is down, or without a link, or nobody
/// can serve its addresses, while `sc` would be running otherwise.
#[doc(alias = "carp_sc_state")]
fn review_suppress(cx: &Cx<'_>, sc: &CarpSoftc, parent_down: bool, well: &str) {
    let own = sc.own(cx.n0);
    if wants_to_run(cx, sc) && (parent_down || own.unserved.get()) {
        let factor = cx.carp.own(cx.n0).opts.ifdown_demotion_factor.get();
        let text = if parent_down { "interface down" } else { "not served by the host" };
        begin(cx, &own.suppress, factor, text);
    } else {
        end(cx, &own.suppress, well);
    }
}

/// Whether nothing backs an address of `sc`. A parent that is down backs none, and is a
/// reason already. While a configuration is applied, what is to back it may come by the
/// next line, or the address go.
fn review_unbacked(cx: &Cx<'_>, sc: &CarpSoftc, parent_down: bool) {
    let own = sc.own(cx.n0);
    if cx.carp.own(cx.n0).configuring.borrow().is_some() && !own.dead.get() {
        return;
    }
    let (name, runs) = (sc.xname(), wants_to_run(cx, sc));
    match own.vha_list().iter().find(|vha| !vha.is_active(cx.n0)) {
        Some(vha) if runs && !parent_down => {
            let factor = cx.carp.own(cx.n0).opts.unbacked_demotion_factor.get();
            begin(cx, &own.unbacked, factor, format_args!("{name}: nothing backs {}", vha.addr()));
        }
        _ if runs && parent_down => end(cx, &own.unbacked, format_args!("{name}: interface down")),
        _ if runs => end(cx, &own.unbacked, format_args!("{name}: all addresses are backed")),
        _ => end(cx, &own.unbacked, format_args!("{name} is not to run")),
    }
}

/// Whether `sc` would be running, if it could.
fn wants_to_run(cx: &Cx<'_>, sc: &CarpSoftc) -> bool {
    let own = sc.own(cx.n0);
    sc.sc_if.flags().contains(Iff::UP)
        && own.vhid.get().is_some()
        && !own.dead.get()
        && !own.vha_list().is_empty()
}

/// `net.inet.carp.unbacked_demotion_factor` was written. Unlike the others it is 0
/// before, and holds for what is unbacked already.
pub fn unbacked_factor_changed(cx: &Cx<'_>) {
    for sc in cx.carp.softcs(cx.n0) {
        end(cx, &sc.own(cx.n0).unbacked, "sysctl");
        review(cx, &sc);
    }
}

/// Whether the parent of `sc` is down or without a link.
fn parent_is_down(cx: &Cx<'_>, sc: &CarpSoftc, gone: impl Fn(&Arc<Ifaddr>) -> bool) -> bool {
    match sc.carpdev(cx.n0) {
        Some(parent) => parent.link_state() == LinkState::Down,
        None => misses_parent(cx, sc, gone),
    }
}

/// Whether `sc` would have a parent if one that is down were up: the one that it had
/// or was given, or else any that has an address for it. It does not matter which
/// was first, the configuration or the end of the parent.
fn misses_parent(cx: &Cx<'_>, sc: &CarpSoftc, gone: impl Fn(&Arc<Ifaddr>) -> bool) -> bool {
    let own = sc.own(cx.n0);
    let is_down = |ifp: &Arc<Ifnet>| !ifp.flags().contains(Iff::UP);
    let missed = own.lost_parent.borrow().clone().or_else(|| own.bound.borrow().clone());
    missed.map_or_else(|| vhaddr::could_be_backed(cx, sc, gone), |ifp| is_down(&ifp))
}
