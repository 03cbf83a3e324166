//! `struct carp_vhaddr`: virtual addresses, and how each finds the backing
//! address through which it lives.

use crate::carpreq::Vhaf;
use crate::hmac::CarpHmac;
use crate::kernel::Cx;
use crate::softc::{CarpSoftc, State};
use crate::state::{self, Family};
use crate::{InIfaddr, carp_if, clone};
use compat::net::if_::{IFT_CARP, Iff};
use compat::netinet::in_::INADDR_CARP_GROUP;
use compat::qsbr::{Brand, Netisr0, Netisr0Cell};
use compat::sys::errno::Errno;
use core::cell::{Cell, RefCell};
use triomphe::Arc;

/// `struct carp_vhaddr`
pub struct CarpVhaddr {
    /// `vha_ia`: the carp interface's address.
    pub vha_ia: Arc<InIfaddr>,
    own: Netisr0Cell<VhaOwn>,
}

struct VhaOwn {
    iaback: RefCell<Option<Arc<InIfaddr>>>,
    owner: Cell<bool>,
}

impl CarpVhaddr {
    /// A virtual address without a backing address.
    pub fn new(brand: &Brand, vha_ia: Arc<InIfaddr>) -> CarpVhaddr {
        let own = VhaOwn { iaback: RefCell::new(None), owner: Cell::new(false) };
        CarpVhaddr { vha_ia, own: Netisr0Cell::new(brand, own) }
    }

    /// `vha_iaback`
    pub fn iaback(&self, n0: &Netisr0) -> Option<Arc<InIfaddr>> {
        self.own.get(n0).iaback.borrow().clone()
    }

    /// Whether there is a backing address.
    pub fn is_active(&self, n0: &Netisr0) -> bool {
        self.own.get(n0).iaback.borrow().is_some()
    }

    /// `vha_flags`. A `CarpVhaddr` that can be asked is on its list.
    pub fn flags(&self, n0: &Netisr0) -> Vhaf {
        if self.own.get(n0).owner.get() { Vhaf::ONLIST | Vhaf::OWNER } else { Vhaf::ONLIST }
    }
}

/// `carp_insert_vhaddr`: keeps the list ascending.
#[doc(alias = "carp_insert_vhaddr")]
pub fn insert_vhaddr(cx: &Cx<'_>, sc: &CarpSoftc, new: Arc<CarpVhaddr>) {
    let mut list = sc.own(cx.n0).vha_list().to_vec();
    let addr = new.vha_ia.addr(cx.n0);
    let at = list.partition_point(|v| v.vha_ia.addr(cx.n0) <= addr);
    list.insert(at, new);
    *sc.own(cx.n0).vha_list.borrow_mut() = list.into();
}

/// `carp_remove_vhaddr`
#[doc(alias = "carp_remove_vhaddr")]
pub fn remove_vhaddr(cx: &Cx<'_>, sc: &CarpSoftc, vha: &Arc<CarpVhaddr>) {
    let list = sc.own(cx.n0).vha_list();
    let rest: Vec<_> = list.iter().filter(|v| !Arc::ptr_eq(v, vha)).cloned().collect();
    *sc.own(cx.n0).vha_list.borrow_mut() = rest.into();
}

/// The virtual address that `ia` is.
pub fn find(cx: &Cx<'_>, sc: &CarpSoftc, ia: &Arc<InIfaddr>) -> Option<Arc<CarpVhaddr>> {
    sc.own(cx.n0).vha_list().iter().find(|v| Arc::ptr_eq(&v.vha_ia, ia)).cloned()
}

/// `carp_hmac_prepare` for what is configured now.
pub fn hmac_prepare(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    let list = own.vha_list();
    let addrs = list.iter().map(|v| v.vha_ia.addr(cx.n0));
    let vhid = own.vhid.get().map_or(0, |v| v.get());
    *own.hmac.borrow_mut() = CarpHmac::prepare(&own.key.borrow(), vhid, addrs);
}

/// A backing address and whether the virtual address is its equal.
struct Backing {
    ia: Arc<InIfaddr>,
    own: bool,
}

/// The part of `carp_config_vhaddr` that chooses. Preferred are, in this
/// order: an address of the present parent that holds the prefix route, an
/// address of the present parent, one elsewhere that holds it, the oldest.
fn choose(cx: &Cx<'_>, sc: &CarpSoftc, vha: &CarpVhaddr, del: Option<&Arc<InIfaddr>>) -> Option<Backing> {
    let parent = sc.carpdev(cx.n0);
    let mut best: Option<(u8, Arc<InIfaddr>)> = None;
    let mut own = false;
    for ia in cx.kern.in_ifaddrs(cx.n0) {
        let ifp = &ia.ia_ifp;
        if del.is_some_and(|d| Arc::ptr_eq(d, &ia))
            || ifp.if_type == IFT_CARP
            || !ifp.flags().contains(Iff::UP | Iff::MULTICAST)
            || !vha.vha_ia.same_prefix(cx.n0, &ia)
        {
            continue;
        }
        own |= vha.vha_ia.addr(cx.n0) == ia.addr(cx.n0);
        let on_parent = parent.is_some_and(|p| Arc::ptr_eq(p, ifp));
        let rank = u8::from(on_parent) * 2 + u8::from(ia.has_route(cx.n0));
        if best.as_ref().is_none_or(|(r, _)| rank > *r) {
            best = Some((rank, ia));
        }
    }
    best.map(|(_, ia)| Backing { ia, own })
}

/// `carp_config_vhaddr`: finds a backing address and makes the virtual one
/// active. `ENOENT` without one, `EEXIST` if that would change the parent or
/// if the vhid is taken there. On an error the address is inactive.
#[doc(alias = "carp_config_vhaddr")]
pub fn config_vhaddr(
    cx: &mut Cx<'_>,
    sc: &Arc<CarpSoftc>,
    vha: &Arc<CarpVhaddr>,
    del: Option<&Arc<InIfaddr>>,
) -> Result<(), Errno> {
    let found = choose(cx, sc, vha, del);
    deactivate_vhaddr(cx, sc, vha, false);
    let Backing { ia, own } = found.ok_or(Errno::ENOENT)?;
    if sc.carpdev(cx.n0).is_some_and(|p| !Arc::ptr_eq(p, &ia.ia_ifp)) {
        return Err(Errno::EEXIST);
    }
    activate_vhaddr(cx, sc, vha, &ia, own)
}

/// `carp_activate_vhaddr`: `ia_if` backs `vha` from now on, its interface is
/// the parent, and the state machine starts over.
#[doc(alias = "carp_activate_vhaddr")]
pub fn activate_vhaddr(
    cx: &mut Cx<'_>,
    sc: &Arc<CarpSoftc>,
    vha: &Arc<CarpVhaddr>,
    ia_if: &Arc<InIfaddr>,
    own: bool,
) -> Result<(), Errno> {
    let ifp = ia_if.ia_ifp.clone();
    debug_assert!(!vha.is_active(cx.n0), "{}: activated twice", sc.xname());
    if let Some(vhid) = sc.own(cx.n0).vhid.get()
        && carp_if::vhid_taken(cx.n0, &ifp, sc, vhid)
    {
        return Err(Errno::EEXIST);
    }
    if ifp.if_carp.load(cx.n0).is_none() {
        cx.kern.ifpromisc(cx.n0, &ifp, true)?;
    }
    if sc.carpdev(cx.n0).is_none() {
        carp_if::insert(cx, &ifp, sc);
    }

    let o = sc.own(cx.n0);
    *o.ia.borrow_mut() = Some(ia_if.clone());
    *vha.own.get(cx.n0).iaback.borrow_mut() = Some(ia_if.clone());
    o.naddrs.set(o.naddrs.get() + 1);
    if own {
        vha.own.get(cx.n0).owner.set(true);
        o.advskew.set(0);
    }
    addroute_vhaddr(cx, sc, vha);
    if !o.joined.replace(true) {
        cx.kern.in_addmulti(cx.n0, &sc.sc_if, INADDR_CARP_GROUP);
    }
    hmac_prepare(cx, sc);
    state::set_state(cx, sc, State::Init);
    state::setrun(cx, sc, Family::All);
    Ok(())
}

/// `carp_deactivate_vhaddr`: `vha` has no backing address any more. Without
/// any active address left the parent is let go. `del_iaback`: the backing
/// address itself is going, so no route moves back to it.
#[doc(alias = "carp_deactivate_vhaddr")]
pub fn deactivate_vhaddr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, vha: &Arc<CarpVhaddr>, del_iaback: bool) {
    hmac_prepare(cx, sc);
    if !vha.is_active(cx.n0) {
        return;
    }
    vha.own.get(cx.n0).owner.set(false);
    delroute_vhaddr(cx, vha, del_iaback);
    *vha.own.get(cx.n0).iaback.borrow_mut() = None;
    let naddrs = &sc.own(cx.n0).naddrs;
    naddrs.set(naddrs.get() - 1);
    if naddrs.get() == 0 {
        clone::detach(cx, sc, false, del_iaback);
    }
}

/// `carp_addroute_vhaddr`: a MASTER's prefix route leaves by the carp
/// interface.
#[doc(alias = "carp_addroute_vhaddr")]
pub fn addroute_vhaddr(cx: &Cx<'_>, sc: &CarpSoftc, vha: &CarpVhaddr) {
    if sc.state() == State::Master
        && let Some(iaback) = vha.iaback(cx.n0)
    {
        cx.kern.rtchange(cx.n0, &iaback, &vha.vha_ia);
    }
}

/// `carp_delroute_vhaddr`: the prefix route goes back to the backing address,
/// or away with it.
#[doc(alias = "carp_delroute_vhaddr")]
pub fn delroute_vhaddr(cx: &Cx<'_>, vha: &CarpVhaddr, del_iaback: bool) {
    let Some(iaback) = vha.iaback(cx.n0) else { return };
    if !del_iaback && iaback.ia_ifp.flags().contains(Iff::UP) {
        cx.kern.rtchange(cx.n0, &vha.vha_ia, &iaback);
    } else {
        cx.kern.rtdelete(cx.n0, &vha.vha_ia);
    }
}

/// `carp_setroute`, `RTM_ADD`
#[doc(alias = "carp_setroute")]
pub fn addroutes(cx: &Cx<'_>, sc: &CarpSoftc) {
    if cx.carp.own(cx.n0).opts.setroute() {
        sc.own(cx.n0).vha_list().iter().for_each(|vha| addroute_vhaddr(cx, sc, vha));
    }
}

/// `carp_setroute`, `RTM_DELETE`
pub fn delroutes(cx: &Cx<'_>, sc: &CarpSoftc) {
    if cx.carp.own(cx.n0).opts.setroute() {
        sc.own(cx.n0).vha_list().iter().for_each(|vha| delroute_vhaddr(cx, vha, false));
    }
}
