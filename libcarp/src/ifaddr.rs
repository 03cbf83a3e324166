//! Address events: `carp_ifaddr` and `carp_proto_ctlinput`.

use crate::kernel::Cx;
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State};
use crate::state;
use crate::vhaddr::{self, CarpVhaddr};
use crate::{Ifaddr, Ifnet, carp_if, clone, demote, log, output};
use compat::net::if_::{IFT_CARP, Iff, LinkState};
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use triomphe::Arc;

/// `enum ifaddr_event`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfaddrEvent {
    /// `IFADDR_EVENT_ADD`
    Add,
    /// `IFADDR_EVENT_DELETE`
    Delete,
    /// `IFADDR_EVENT_CHANGE`
    Change,
}

/// `carp_ifaddr`: an address came, went or changed on any interface. The only
/// error is `EEXIST` for a virtual address whose vhid is taken on the parent
/// that it would get; whoever adds the address takes it back then.
#[doc(alias = "carp_ifaddr")]
pub fn ifaddr(cx: &mut Cx<'_>, ia: &Arc<Ifaddr>, event: IfaddrEvent) -> Result<(), Errno> {
    let done = addr_event(cx, ia, event);
    // An address that held a prefix's route may be gone.
    vhaddr::claim_routes(cx);
    done
}

fn addr_event(cx: &mut Cx<'_>, ia: &Arc<Ifaddr>, event: IfaddrEvent) -> Result<(), Errno> {
    let ifp = ia.ifa_ifp.clone();
    if ifp.if_type == IFT_CARP {
        let Some(sc) = cx.carp.softc(cx.n0, ifp.if_index) else { return Ok(()) };
        return match event {
            IfaddrEvent::Add => add_addr(cx, &sc, ia),
            IfaddrEvent::Change => config_addr(cx, &sc, ia),
            IfaddrEvent::Delete => {
                del_addr(cx, &sc, ia);
                Ok(())
            }
        };
    }
    if !ifp.flags().contains(Iff::MULTICAST) {
        return Ok(());
    }
    let mut moved = Vec::new();
    for sc in cx.carp.softcs(cx.n0) {
        if is_bound(cx, &sc) {
            moved.push((bound_addr_event(cx, &sc, ia, event), sc));
        } else if sc.carpdev(cx.n0).is_none_or(|p| Arc::ptr_eq(p, &ifp)) {
            moved.push((backing_addr_event(cx, &sc, ia, event), sc));
        }
    }
    let del = (event == IfaddrEvent::Delete).then_some(ia);
    run_all(cx, &moved, del);
    Ok(())
}

/// The part of `carp_ifaddr` about addresses of other interfaces. Whether any
/// address was found a place.
fn backing_addr_event(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>, event: IfaddrEvent) -> bool {
    let backed = backed_by(cx, sc, ia);
    if backed > 0 && (backed == sc.own(cx.n0).naddrs() || event == IfaddrEvent::Change) {
        // What ends or begins anew, while advertisements have a source.
        leave_mastership(cx, sc, Reason::NoAddress);
    }
    // In this order: leave the old prefix, find the new one here, and only
    // then anywhere.
    let mut found = false;
    if event != IfaddrEvent::Add {
        unlink_addrs(cx, sc, ia);
    }
    if event != IfaddrEvent::Delete {
        found |= link_addrs(cx, sc, ia);
    }
    if event != IfaddrEvent::Add && sc.carpdev(cx.n0).is_none() {
        let del = (event == IfaddrEvent::Delete).then_some(ia);
        found |= update_addrs(cx, sc, del);
    }
    found
}

/// The same where the parent was chosen by name.
fn bound_addr_event(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>, event: IfaddrEvent) -> bool {
    let del = (event == IfaddrEvent::Delete).then_some(ia);
    vhaddr::choose_backing_again(cx, sc, del);
    update_addrs(cx, sc, del)
}

/// What comes of an event for all whom it concerns, once everybody has found a
/// place or none. All reasons not to preempt have begun and ended before the
/// first election: it must not hang on who was created when.
fn run_all(cx: &Cx<'_>, moved: &[(bool, Arc<CarpSoftc>)], del: Option<&Arc<Ifaddr>>) {
    for sc in cx.carp.softcs(cx.n0) {
        demote::review_without(cx, &sc, |ia| del.is_some_and(|del| Arc::ptr_eq(ia, del)));
    }
    for (found, sc) in moved {
        run_on(cx, sc, *found);
    }
}

/// Addresses were found a place, and the election starts over; or none was, and
/// some may have stayed that it can run with.
fn run_on(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, found: bool) {
    if found {
        start_over(cx, sc);
    } else if sc.state() == State::Init {
        state::setrun(cx, sc, None);
    }
}

fn is_bound(cx: &Cx<'_>, sc: &CarpSoftc) -> bool {
    sc.own(cx.n0).bound.borrow().is_some()
}

/// How many virtual addresses `ia` backs.
fn backed_by(cx: &Cx<'_>, sc: &CarpSoftc, ia: &Arc<Ifaddr>) -> usize {
    let is_it = |vha: &&Arc<CarpVhaddr>| vha.iaback(cx.n0).is_some_and(|back| Arc::ptr_eq(&back, ia));
    sc.own(cx.n0).vha_list().iter().filter(is_it).count()
}

/// Every MASTER on `ifp` bows out, while its frames still leave: `ifp` is about
/// to go down. Upstream is silent.
pub fn parent_going_down(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    for sc in cx.carp.softcs(cx.n0) {
        if sc.carpdev(cx.n0).is_some_and(|p| Arc::ptr_eq(p, ifp)) {
            leave_mastership(cx, &sc, Reason::ParentDown);
        }
    }
}

/// `carp_proto_ctlinput`, `PRC_IFDOWN`, for all addresses of `ifp` at once: it
/// has gone down. Whoever it backed lets it go, and looks for another.
#[doc(alias = "carp_proto_ctlinput")]
pub fn parent_is_down(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    let mut here = cx.carp.softcs(cx.n0);
    here.retain(|sc| sc.carpdev(cx.n0).is_some_and(|p| Arc::ptr_eq(p, ifp)));
    let mut moved = Vec::new();
    for sc in here {
        clone::detach(cx, &sc, true, true, Reason::ParentDown);
        moved.push((update_addrs(cx, &sc, None), sc));
    }
    run_all(cx, &moved, None);
    vhaddr::claim_routes(cx);
}

/// `carp_proto_ctlinput`, `PRC_IFUP`, for all addresses of `ifp` at once: it
/// has come up. Nobody misses it any more; then whoever can live on it does,
/// with all addresses, before the election starts over.
pub fn parent_is_up(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    let addrs: Vec<_> =
        cx.kern.ifaddrs(cx.n0).into_iter().filter(|ia| Arc::ptr_eq(&ia.ifa_ifp, ifp)).collect();
    let mut moved = Vec::new();
    for sc in cx.carp.softcs(cx.n0) {
        let is_it = |p: &Arc<Ifnet>| Arc::ptr_eq(p, ifp);
        sc.own(cx.n0).lost_parent.borrow_mut().take_if(|p| is_it(p));
        let mut found = false;
        if is_bound(cx, &sc) {
            found |= update_addrs(cx, &sc, None);
        } else if sc.carpdev(cx.n0).is_none() && vhaddr::can_back(ifp) {
            addrs.iter().for_each(|ia| found |= link_addrs(cx, &sc, ia));
        }
        moved.push((found, sc));
    }
    run_all(cx, &moved, None);
    vhaddr::claim_routes(cx);
}

/// `carp_carpdev_state`: the link of `ifp` has come or gone. Without it a carp
/// interface waits in INIT and suppresses preemption.
#[doc(alias = "carp_carpdev_state")]
pub fn carpdev_state(cx: &Cx<'_>, ifp: &Arc<Ifnet>) {
    let mut here = cx.carp.softcs(cx.n0);
    here.retain(|sc| sc.carpdev(cx.n0).is_some_and(|p| Arc::ptr_eq(p, ifp)));
    if ifp.link_state() == LinkState::Down {
        for sc in &here {
            clone::stop_callouts(cx, sc);
            sc.own(cx.n0).reannounce.set(0);
            state::set_state(cx, sc, State::Init, Reason::LinkDown);
            demote::review(cx, sc);
            demote::forgive_sendad_errors(cx, sc);
            state::setrun(cx, sc, None);
        }
        return;
    }
    // All reasons have ended before the first election: with preempt, whoever is
    // suppressed would only be BACKUP.
    here.retain(|sc| sc.state() == State::Init);
    here.iter().for_each(|sc| demote::review(cx, sc));
    here.iter().for_each(|sc| state::setrun(cx, sc, None));
}

/// A MASTER whose addresses are about to change says good-bye with the digest
/// that its peers know, and starts over.
pub(crate) fn leave_mastership(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, reason: Reason) {
    if sc.state() == State::Master {
        clone::stop_callouts(cx, sc);
        output::bow_out(cx, sc);
        sc.own(cx.n0).reannounce.set(0);
        state::set_state(cx, sc, State::Init, reason);
    }
}

/// `carp_add_addr`
#[doc(alias = "carp_add_addr")]
fn add_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>) -> Result<(), Errno> {
    leave_mastership(cx, sc, Reason::Configured);
    let vha = Arc::new(CarpVhaddr::new(&cx.carp.brand, ia.clone()));
    vhaddr::insert_vhaddr(cx, sc, vha.clone());
    let added = configure(cx, sc, &vha);
    if added.is_err() {
        vhaddr::remove_vhaddr(cx, sc, &vha);
        start_over(cx, sc);
    }
    added
}

/// `carp_config_addr`: the address has a new mask, and maybe another place. On an
/// error nothing has changed: a MASTER is not given up for it.
#[doc(alias = "carp_config_addr")]
fn config_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>) -> Result<(), Errno> {
    let Some(vha) = vhaddr::find(cx, sc, ia) else { return Ok(()) };
    if vhaddr::is_refused(cx, sc, &vha) {
        return Err(Errno::EEXIST);
    }
    leave_mastership(cx, sc, Reason::Configured);
    vhaddr::remove_vhaddr(cx, sc, &vha);
    vhaddr::insert_vhaddr(cx, sc, vha.clone());
    configure(cx, sc, &vha)
}

/// Finds `vha` a backing address. Without one it stays inactive, which is told, and
/// the interface runs on with its other addresses.
fn configure(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, vha: &Arc<CarpVhaddr>) -> Result<(), Errno> {
    let found = vhaddr::config_vhaddr(cx, sc, vha, None);
    demote::forgive_sendad_errors(cx, sc);
    start_over(cx, sc);
    match found {
        Err(Errno::EEXIST) if sc.carpdev(cx.n0).is_none() => return found,
        Err(Errno::ENOENT) if !is_bound(cx, sc) => {
            let (net, prefix) = (vha.vha_ia.net(cx.n0), vha.vha_ia.prefix(cx.n0));
            let why = format_args!("no interface that is up has an address of {prefix}");
            log::info(cx, format_args!("{}: nothing backs {net}: {why}", sc.xname()));
        }
        Err(Errno::EEXIST) => tell_other_parent(cx, sc, vha, None),
        _ => {}
    }
    Ok(())
}

/// The interface that has an address of `vha`'s prefix is not the one that its carp
/// interface lives on.
fn tell_other_parent(cx: &Cx<'_>, sc: &CarpSoftc, vha: &CarpVhaddr, del: Option<&Arc<Ifaddr>>) {
    let (net, found) = (vha.vha_ia.net(cx.n0), vhaddr::found(cx, sc, vha, del));
    let Some((ia, parent)) = found.zip(sc.carpdev(cx.n0)) else { return };
    let (other, has, parent) = (ia.ifa_ifp.if_xname, ia.net(cx.n0), parent.if_xname);
    let why = format_args!("{other} has {has}, and a carp interface has one parent");
    log::info(cx, format_args!("{}: nothing backs {net} on its parent {parent}: {why}", sc.xname()));
}

/// The election starts over.
fn start_over(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    vhaddr::hmac_prepare(cx, sc);
    state::set_state(cx, sc, State::Init, Reason::Configured);
    demote::review(cx, sc);
    state::setrun(cx, sc, None);
}

/// `carp_del_addr`. The last active address takes mastership with it, so the
/// bow-out comes before the list changes. Those that are left look for a parent
/// of their own. (Upstream leaves them inactive for good.)
#[doc(alias = "carp_del_addr")]
fn del_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>) {
    let Some(vha) = vhaddr::find(cx, sc, ia) else { return };
    if vha.is_active(cx.n0) && sc.own(cx.n0).naddrs() == 1 {
        leave_mastership(cx, sc, Reason::NoAddress);
    }
    vhaddr::remove_vhaddr(cx, sc, &vha);
    vhaddr::deactivate_vhaddr(cx, sc, &vha, false);
    let looks = sc.carpdev(cx.n0).is_none() && !sc.own(cx.n0).dead.get();
    let found = looks && update_addrs(cx, sc, None);
    demote::review(cx, sc);
    if looks {
        run_on(cx, sc, found);
    }
}

/// `carp_link_addrs`: a new address may back what was inactive. On an interface
/// that is down it waits until that comes up. Whether it backs anything new.
#[doc(alias = "carp_link_addrs")]
fn link_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia_if: &Arc<Ifaddr>) -> bool {
    if !ia_if.ifa_ifp.flags().contains(Iff::UP) {
        return false;
    }
    let mut found = false;
    for vha in sc.own(cx.n0).vha_list().iter() {
        if vha.is_active(cx.n0) || !vha.vha_ia.same_prefix(cx.n0, ia_if) {
            continue;
        }
        leave_mastership(cx, sc, Reason::Configured);
        let linked = vhaddr::activate_vhaddr(cx, sc, vha, ia_if, vha.addr() == ia_if.ifa_addr);
        found |= is_active(cx, sc, vha, Some(&ia_if.ifa_ifp), linked);
    }
    // It may be a better source: the link-local address.
    if ia_if.af() == Af::Inet6 {
        vhaddr::choose_source(cx, sc, Af::Inet6, None);
    }
    found
}

/// Whether an address was made active, and if not, says so: unless nothing
/// backs it any more or yet, which is not unusual.
fn is_active(
    cx: &Cx<'_>,
    sc: &CarpSoftc,
    vha: &CarpVhaddr,
    parent: Option<&Arc<Ifnet>>,
    done: Result<(), Errno>,
) -> bool {
    match (done, parent) {
        (Ok(()) | Err(Errno::ENOENT), _) => {}
        (Err(e), Some(ifp)) => {
            let (addr, parent) = (vha.addr(), ifp.if_xname);
            log::info(cx, format_args!("{}: {addr} stays inactive on {parent}: {e}", sc.xname()));
        }
        (Err(e), None) => {
            log::info(cx, format_args!("{}: {} stays inactive: {e}", sc.xname(), vha.addr()));
        }
    }
    done.is_ok()
}

/// `carp_unlink_addrs`: an address that backed something is gone.
#[doc(alias = "carp_unlink_addrs")]
fn unlink_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia_if: &Arc<Ifaddr>) {
    for vha in sc.own(cx.n0).vha_list().iter() {
        if vha.iaback(cx.n0).is_some_and(|back| Arc::ptr_eq(&back, ia_if)) {
            vhaddr::deactivate_vhaddr(cx, sc, vha, true);
        }
    }
    let is_source = |ia: &Arc<Ifaddr>| Arc::ptr_eq(ia, ia_if);
    if sc.own(cx.n0).af(ia_if.af()).ia.borrow().as_ref().is_some_and(is_source) {
        vhaddr::choose_source(cx, sc, ia_if.af(), Some(ia_if));
    }
}

/// `carp_update_addrs`: the parent is gone; each address looks for another.
/// One that has its place keeps it. Whether any was found one.
#[doc(alias = "carp_update_addrs")]
fn update_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, del: Option<&Arc<Ifaddr>>) -> bool {
    let mut found = false;
    for vha in sc.own(cx.n0).vha_list().iter() {
        if !vha.is_active(cx.n0) {
            leave_mastership(cx, sc, Reason::Configured);
            let configured = vhaddr::config_vhaddr(cx, sc, vha, del);
            if configured == Err(Errno::EEXIST) && sc.carpdev(cx.n0).is_some() {
                tell_other_parent(cx, sc, vha, del);
                continue;
            }
            let bound = sc.own(cx.n0).bound.borrow();
            found |= is_active(cx, sc, vha, bound.as_ref(), configured);
        }
    }
    found
}

/// `carpdev` of OpenBSD and NetBSD: `ifp` is the only parent that `sc` may have
/// from now on; `None` lets its addresses choose. `EEXIST` if its vhid is
/// taken there, `EINVAL` for what cannot be a parent.
pub fn set_carpdev(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ifp: Option<&Arc<Ifnet>>) -> Result<(), Errno> {
    if let Some(ifp) = ifp {
        if ifp.if_type == IFT_CARP || !ifp.flags().contains(Iff::MULTICAST) {
            return Err(Errno::EINVAL);
        }
        let vhid = sc.own(cx.n0).vhid.get();
        if vhid.is_some_and(|v| carp_if::vhid_taken(cx, ifp, sc, v)) {
            return Err(Errno::EEXIST);
        }
    }
    let same = match (&*sc.own(cx.n0).bound.borrow(), ifp) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    if same {
        return Ok(());
    }
    leave_mastership(cx, sc, Reason::Configured);
    clone::detach(cx, sc, true, false, Reason::Configured);
    *sc.own(cx.n0).bound.borrow_mut() = ifp.cloned();
    let found = update_addrs(cx, sc, None);
    demote::review(cx, sc);
    run_on(cx, sc, found);
    vhaddr::claim_routes(cx);
    Ok(())
}
