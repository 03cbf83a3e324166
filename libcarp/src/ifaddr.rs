//! Address events: `carp_ifaddr` and `carp_proto_ctlinput`.

use crate::kernel::Cx;
use crate::softc::{CarpSoftc, State};
use crate::state::{self, Family};
use crate::vhaddr::{self, CarpVhaddr};
use crate::{Ifnet, InIfaddr, clone, log, output};
use compat::net::if_::{IFT_CARP, Iff};
use compat::sys::errno::Errno;
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
pub fn ifaddr(cx: &mut Cx<'_>, ia: &Arc<InIfaddr>, event: IfaddrEvent) -> Result<(), Errno> {
    let ifp = ia.ia_ifp.clone();
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
        if sc.carpdev(cx.n0).is_none_or(|p| Arc::ptr_eq(p, &ifp)) {
            backing_addr_event(cx, &sc, ia, event);
        }
    }
    Ok(())
}

/// The part of `carp_ifaddr` about addresses of other interfaces.
fn backing_addr_event(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<InIfaddr>, event: IfaddrEvent) {
    let had_parent = sc.carpdev(cx.n0).is_some();
    let backed = backed_by(cx, sc, ia);
    let all = backed > 0 && backed == sc.own(cx.n0).naddrs.get();
    if all || (backed > 0 && event == IfaddrEvent::Change) {
        // What ends or begins anew, while advertisements have a source.
        leave_mastership(cx, sc);
    }
    match event {
        IfaddrEvent::Add => link_addrs(cx, sc, ia),
        IfaddrEvent::Delete if had_parent => {
            unlink_addrs(cx, sc, ia);
            if sc.carpdev(cx.n0).is_none() {
                update_addrs(cx, sc, Some(ia));
            }
        }
        IfaddrEvent::Delete => {}
        IfaddrEvent::Change if had_parent => {
            // In this order: leave the old prefix, find the new one here,
            // and only then anywhere.
            unlink_addrs(cx, sc, ia);
            link_addrs(cx, sc, ia);
            if sc.carpdev(cx.n0).is_none() {
                update_addrs(cx, sc, None);
            }
        }
        IfaddrEvent::Change => link_addrs(cx, sc, ia),
    }
}

/// How many virtual addresses `ia` backs.
fn backed_by(cx: &Cx<'_>, sc: &CarpSoftc, ia: &Arc<InIfaddr>) -> usize {
    let is_it = |vha: &&Arc<CarpVhaddr>| vha.iaback(cx.n0).is_some_and(|back| Arc::ptr_eq(&back, ia));
    sc.own(cx.n0).vha_list().iter().filter(is_it).count()
}

/// `carp_proto_ctlinput`: an interface went down or came up; CARP sees its
/// address leave or arrive.
#[doc(alias = "carp_proto_ctlinput")]
pub fn proto_ctlinput(cx: &mut Cx<'_>, ia: &Arc<InIfaddr>, up: bool) {
    if ia.ia_ifp.if_type != IFT_CARP {
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

/// A MASTER whose addresses are about to change says good-bye with the digest
/// that its peers know, and starts over.
pub(crate) fn leave_mastership(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    if sc.state() == State::Master {
        clone::stop_callouts(cx, sc);
        output::bow_out(cx, sc);
        output::forgive_sendad_errors(cx, sc);
        sc.own(cx.n0).reannounce.set(0);
        state::set_state(cx, sc, State::Init);
    }
}

/// `carp_add_addr`
#[doc(alias = "carp_add_addr")]
fn add_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<InIfaddr>) -> Result<(), Errno> {
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
fn config_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<InIfaddr>) -> Result<(), Errno> {
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
    state::setrun(cx, sc, Family::All);
}

/// `carp_del_addr`. The last active address takes mastership with it, so the
/// bow-out comes before the list changes.
#[doc(alias = "carp_del_addr")]
fn del_addr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia: &Arc<InIfaddr>) {
    let Some(vha) = vhaddr::find(cx, sc, ia) else { return };
    if vha.is_active(cx.n0) && sc.own(cx.n0).naddrs.get() == 1 {
        leave_mastership(cx, sc);
    }
    vhaddr::remove_vhaddr(cx, sc, &vha);
    vhaddr::deactivate_vhaddr(cx, sc, &vha, false);
}

/// `carp_link_addrs`: a new address may back what was inactive.
#[doc(alias = "carp_link_addrs")]
fn link_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia_if: &Arc<InIfaddr>) {
    for vha in sc.own(cx.n0).vha_list().iter() {
        if vha.is_active(cx.n0) || !vha.vha_ia.same_prefix(cx.n0, ia_if) {
            continue;
        }
        let own = vha.vha_ia.addr(cx.n0) == ia_if.addr(cx.n0);
        leave_mastership(cx, sc);
        if let Err(e) = vhaddr::activate_vhaddr(cx, sc, vha, ia_if, own) {
            let (addr, parent) = (vha.vha_ia.addr(cx.n0), ia_if.ia_ifp.if_xname);
            log::info(cx, format_args!("{}: {addr} stays inactive on {parent}: {e}", sc.xname()));
        }
    }
}

/// `carp_unlink_addrs`: an address that backed something is gone.
#[doc(alias = "carp_unlink_addrs")]
fn unlink_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, ia_if: &Arc<InIfaddr>) {
    let was_source = sc.own(cx.n0).ia.borrow().as_ref().is_some_and(|ia| Arc::ptr_eq(ia, ia_if));
    if was_source {
        *sc.own(cx.n0).ia.borrow_mut() = None;
    }
    for vha in sc.own(cx.n0).vha_list().iter() {
        match vha.iaback(cx.n0) {
            Some(back) if Arc::ptr_eq(&back, ia_if) => vhaddr::deactivate_vhaddr(cx, sc, vha, true),
            Some(back) => {
                sc.own(cx.n0).ia.borrow_mut().get_or_insert(back);
            }
            None => {}
        }
    }
}

/// `carp_update_addrs`: the parent is gone; each address looks for another.
#[doc(alias = "carp_update_addrs")]
fn update_addrs(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, del: Option<&Arc<InIfaddr>>) {
    for vha in sc.own(cx.n0).vha_list().iter() {
        // Whoever finds nothing stays inactive.
        let _ = vhaddr::config_vhaddr(cx, sc, vha, del);
    }
}
