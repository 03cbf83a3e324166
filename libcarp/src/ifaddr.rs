//! Address events: `carp_ifaddr` and `carp_proto_ctlinput`.

use crate::kernel::Cx;
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
    for sc in cx.carp.softcs(cx.n0) {
        let parent = sc.carpdev(cx.n0).cloned().or_else(|| sc.own(cx.n0).bound.borrow().clone());
        if parent.is_none_or(|p| Arc::ptr_eq(&p, &ifp)) {
            backing_addr_event(cx, &sc, ia, event);
        }
    }
    Ok(())
}

/// The part of `carp_ifaddr` about addresses of other interfaces.
fn backing_addr_event(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>, event: IfaddrEvent) {
    let backed = backed_by(cx, sc, ia);
    if backed == sc.own(cx.n0).naddrs() || (backed > 0 && event == IfaddrEvent::Change) {
        // What ends or begins anew, while advertisements have a source.
        leave_mastership(cx, sc);
    }
    match event {
        IfaddrEvent::Add => link_addrs(cx, sc, ia),
        IfaddrEvent::Delete => {
            unlink_addrs(cx, sc, ia);
            if sc.carpdev(cx.n0).is_none() || is_bound(cx, sc) {
                update_addrs(cx, sc, Some(ia));
            }
        }
        IfaddrEvent::Change => {
            // In this order: leave the old prefix, find the new one here,
            // and only then anywhere.
            unlink_addrs(cx, sc, ia);
            link_addrs(cx, sc, ia);
            if sc.carpdev(cx.n0).is_none() || is_bound(cx, sc) {
                update_addrs(cx, sc, None);
            }
        }
    }
    if sc.state() == State::Init {
        // Some address may have stayed that it can run with.
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

/// `carp_proto_ctlinput`: an interface went down or came up; CARP sees its
/// address leave or arrive.
#[doc(alias = "carp_proto_ctlinput")]
pub fn proto_ctlinput(cx: &mut Cx<'_>, ia: &Arc<Ifaddr>, up: bool) {
    if ia.ifa_ifp.if_type != IFT_CARP {
        let event = if up { IfaddrEvent::Add } else { IfaddrEvent::Delete };
        // Only addresses of carp interfaces can fail.
        let _ = ifaddr(cx, ia, event);
    }
}

/// Every MASTER on `ifp` bows out, while its frames still leave: `ifp` is about
/// to go down. Upstream is silent.
pub fn parent_going_down(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    for sc in cx.carp.softcs(cx.n0) {
        if sc.carpdev(cx.n0).is_some_and(|p| Arc::ptr_eq(p, ifp)) {
            leave_mastership(cx, &sc);
        }
    }
}

/// `ifp` has gone down: whoever it still backs, with no address of its own to
/// say so, lets it go.
pub fn parent_is_down(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    for sc in cx.carp.softcs(cx.n0) {
        if sc.carpdev(cx.n0).is_some_and(|p| Arc::ptr_eq(p, ifp)) {
            clone::detach(cx, &sc, true, false);
        }
        demote::review(cx, &sc);
    }
}

/// `ifp` has come up: whoever must live on it does, and nobody misses it any
/// more.
pub fn parent_is_up(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    for sc in cx.carp.softcs(cx.n0) {
        if sc.own(cx.n0).bound.borrow().as_ref().is_some_and(|b| Arc::ptr_eq(b, ifp)) {
            update_addrs(cx, &sc, None);
        }
        let lost = sc.own(cx.n0).lost_parent.borrow().as_ref().is_some_and(|p| Arc::ptr_eq(p, ifp));
        if lost {
            *sc.own(cx.n0).lost_parent.borrow_mut() = None;
        }
        demote::review(cx, &sc);
    }
}

/// `carp_carpdev_state`: the link of `ifp` has come or gone. Without it a carp
/// interface waits in INIT and suppresses preemption.
#[doc(alias = "carp_carpdev_state")]
pub fn carpdev_state(cx: &Cx<'_>, ifp: &Arc<Ifnet>) {
    for sc in cx.carp.softcs(cx.n0) {
        if sc.carpdev(cx.n0).is_none_or(|p| !Arc::ptr_eq(p, ifp)) {
            continue;
        }
        if ifp.link_state() == LinkState::Down {
            clone::stop_callouts(cx, &sc);
            sc.own(cx.n0).reannounce.set(0);
            state::set_state(cx, &sc, State::Init);
            state::setrun(cx, &sc, None);
            demote::review(cx, &sc);
        } else if sc.state() == State::Init {
            demote::review(cx, &sc);
            state::setrun(cx, &sc, None);
        }
    }
}

/// A MASTER whose addresses are about to change says good-bye with the digest
/// that its peers know, and starts over.
pub(crate) fn leave_mastership(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    if sc.state() == State::Master {
        clone::stop_callouts(cx, sc);
        output::bow_out(cx, sc);
        sc.own(cx.n0).reannounce.set(0);
        state::set_state(cx, sc, State::Init);
    }
}

/// `carp_add_addr`
#[doc(alias = "carp_add_addr")]
fn add_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>) -> Result<(), Errno> {
    leave_mastership(cx, sc);
    let vha = Arc::new(CarpVhaddr::new(&cx.carp.brand, ia.clone()));
    vhaddr::insert_vhaddr(cx, sc, vha.clone());
    let added = configure(cx, sc, &vha);
    if added.is_err() {
        vhaddr::remove_vhaddr(cx, sc, &vha);
        start_over(cx, sc);
    }
    added
}

/// `carp_config_addr`: the address has a new mask, and maybe another place.
#[doc(alias = "carp_config_addr")]
fn config_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>) -> Result<(), Errno> {
    let Some(vha) = vhaddr::find(cx, sc, ia) else { return Ok(()) };
    leave_mastership(cx, sc);
    vhaddr::remove_vhaddr(cx, sc, &vha);
    vhaddr::insert_vhaddr(cx, sc, vha.clone());
    configure(cx, sc, &vha)
}

/// Finds `vha` a backing address. Without one it stays inactive, and the
/// interface runs on with its other addresses.
fn configure(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, vha: &Arc<CarpVhaddr>) -> Result<(), Errno> {
    let Err(e) = vhaddr::config_vhaddr(cx, sc, vha, None) else { return Ok(()) };
    start_over(cx, sc);
    match e {
        Errno::EEXIST if sc.carpdev(cx.n0).is_none() => Err(e),
        _ => Ok(()),
    }
}

fn start_over(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    vhaddr::hmac_prepare(cx, sc);
    state::set_state(cx, sc, State::Init);
    demote::review(cx, sc);
    state::setrun(cx, sc, None);
}

/// `carp_del_addr`. The last active address takes mastership with it, so the
/// bow-out comes before the list changes.
#[doc(alias = "carp_del_addr")]
fn del_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<Ifaddr>) {
    let Some(vha) = vhaddr::find(cx, sc, ia) else { return };
    if vha.is_active(cx.n0) && sc.own(cx.n0).naddrs() == 1 {
        leave_mastership(cx, sc);
    }
    vhaddr::remove_vhaddr(cx, sc, &vha);
    vhaddr::deactivate_vhaddr(cx, sc, &vha, false);
    demote::review(cx, sc);
}

/// `carp_link_addrs`: a new address may back what was inactive. On an interface
/// that is down it waits until that comes up.
#[doc(alias = "carp_link_addrs")]
fn link_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia_if: &Arc<Ifaddr>) {
    if !ia_if.ifa_ifp.flags().contains(Iff::UP) {
        return;
    }
    let bound = is_bound(cx, sc);
    for vha in sc.own(cx.n0).vha_list().iter() {
        let backs = vha.vha_ia.same_prefix(cx.n0, ia_if);
        if vha.is_active(cx.n0) || !(backs || bound) {
            continue;
        }
        leave_mastership(cx, sc);
        let linked = match bound {
            true => vhaddr::config_vhaddr(cx, sc, vha, None),
            false => vhaddr::activate_vhaddr(cx, sc, vha, ia_if, vha.addr() == ia_if.ifa_addr),
        };
        if let Err(e) = linked {
            let (addr, parent) = (vha.addr(), ia_if.ifa_ifp.if_xname);
            log::info(cx, format_args!("{}: {addr} stays inactive on {parent}: {e}", sc.xname()));
        }
    }
    // It may be a better source: the link-local address, or the first at all.
    let af = ia_if.af();
    if af == Af::Inet6 || bound {
        vhaddr::choose_source(cx, sc, af, None);
    }
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
/// One that has its place keeps it.
#[doc(alias = "carp_update_addrs")]
fn update_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, del: Option<&Arc<Ifaddr>>) {
    for vha in sc.own(cx.n0).vha_list().iter() {
        if !vha.is_active(cx.n0) {
            // Whoever finds nothing stays inactive.
            let _ = vhaddr::config_vhaddr(cx, sc, vha, del);
        }
    }
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
        if vhid.is_some_and(|v| carp_if::vhid_taken(cx.n0, ifp, sc, v)) {
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
    leave_mastership(cx, sc);
    clone::detach(cx, sc, true, false);
    *sc.own(cx.n0).bound.borrow_mut() = ifp.cloned();
    update_addrs(cx, sc, None);
    demote::review(cx, sc);
    Ok(())
}
