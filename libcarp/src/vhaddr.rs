//! `struct carp_vhaddr`: virtual addresses, and how each finds the backing
//! address through which it lives.

use crate::carpreq::Vhaf;
use crate::hmac::CarpHmac;
use crate::kernel::Cx;
use crate::reason::Reason;
use crate::softc::CarpSoftc;
use crate::{Ifaddr, Ifnet, carp_if, clone, demote, state};
use compat::net::if_::{IFT_CARP, Iff};
use compat::qsbr::{Brand, Netisr0, Netisr0Cell};
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;
use triomphe::Arc;

/// `struct carp_vhaddr`
pub struct CarpVhaddr {
    /// `vha_ia`: the carp interface's address.
    pub vha_ia: Arc<Ifaddr>,
    own: Netisr0Cell<VhaOwn>,
}

struct VhaOwn {
    active: Cell<bool>,
    iaback: RefCell<Option<Arc<Ifaddr>>>,
    owner: Cell<bool>,
}

impl CarpVhaddr {
    /// A virtual address without a backing address.
    pub fn new(brand: &Brand, vha_ia: Arc<Ifaddr>) -> CarpVhaddr {
        let own = VhaOwn { active: Cell::new(false), iaback: RefCell::new(None), owner: Cell::new(false) };
        CarpVhaddr { vha_ia, own: Netisr0Cell::new(brand, own) }
    }

    /// The virtual address itself.
    pub fn addr(&self) -> IpAddr {
        self.vha_ia.ifa_addr
    }

    /// `vha_iaback`. An active address has none if its parent was chosen by
    /// name and has no address of the family.
    pub fn iaback(&self, n0: &Netisr0) -> Option<Arc<Ifaddr>> {
        self.own.get(n0).iaback.borrow().clone()
    }

    /// Whether it lives: on upstream, whether there is a backing address.
    pub fn is_active(&self, n0: &Netisr0) -> bool {
        self.own.get(n0).active.get()
    }

    /// `vha_flags`. A `CarpVhaddr` that can be asked is on its list.
    pub fn flags(&self, n0: &Netisr0) -> Vhaf {
        if self.own.get(n0).owner.get() { Vhaf::ONLIST | Vhaf::OWNER } else { Vhaf::ONLIST }
    }
}

/// `carp_insert_vhaddr`: keeps the list ascending, IPv4 before IPv6.
#[doc(alias = "carp_insert_vhaddr")]
pub fn insert_vhaddr(cx: &Cx<'_>, sc: &CarpSoftc, new: Arc<CarpVhaddr>) {
    let mut list = sc.own(cx.n0).vha_list().to_vec();
    let at = list.partition_point(|v| v.addr() <= new.addr());
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
pub fn find(cx: &Cx<'_>, sc: &CarpSoftc, ia: &Arc<Ifaddr>) -> Option<Arc<CarpVhaddr>> {
    sc.own(cx.n0).vha_list().iter().find(|v| Arc::ptr_eq(&v.vha_ia, ia)).cloned()
}

/// `carp_hmac_prepare` for what is configured now.
pub fn hmac_prepare(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    let list = own.vha_list();
    let addrs: Vec<IpAddr> = list.iter().map(|v| v.addr()).collect();
    let vhid = own.vhid.get().map_or(0, |v| v.get());
    *own.hmac.borrow_mut() = CarpHmac::prepare(&own.key.borrow(), vhid, &addrs);
}

/// What a virtual address can live on.
struct Backing {
    ifp: Arc<Ifnet>,
    ia: Option<Arc<Ifaddr>>,
    /// The virtual address is the interface's own too.
    own: bool,
}

/// Whether addresses of `ifp` can back any.
pub fn can_back(ifp: &Ifnet) -> bool {
    ifp.if_type != IFT_CARP && ifp.flags().contains(Iff::UP | Iff::MULTICAST)
}

/// The part of `carp_config_vhaddr` that chooses. Preferred are, in this
/// order: an address of the present parent that holds the prefix route, an
/// address of the present parent, one elsewhere that holds it, the oldest.
fn choose(cx: &Cx<'_>, sc: &CarpSoftc, vha: &CarpVhaddr, del: Option<&Arc<Ifaddr>>) -> Option<Backing> {
    if let Some(ifp) = sc.own(cx.n0).bound.borrow().clone() {
        return choose_on(cx, &ifp, vha, del);
    }
    let parent = sc.carpdev(cx.n0);
    let mut best: Option<(u8, Arc<Ifaddr>)> = None;
    let mut own = false;
    for ia in cx.kern.ifaddrs(cx.n0) {
        let gone = del.is_some_and(|d| Arc::ptr_eq(d, &ia));
        if gone || !can_back(&ia.ifa_ifp) || !vha.vha_ia.same_prefix(cx.n0, &ia) {
            continue;
        }
        own |= vha.addr() == ia.ifa_addr;
        let on_parent = parent.is_some_and(|p| Arc::ptr_eq(p, &ia.ifa_ifp));
        let rank = u8::from(on_parent) * 2 + u8::from(ia.has_route(cx.n0));
        if best.as_ref().is_none_or(|(r, _)| rank > *r) {
            best = Some((rank, ia));
        }
    }
    best.map(|(_, ia)| Backing { ifp: ia.ifa_ifp.clone(), ia: Some(ia), own })
}

/// The same where the parent was chosen by name: any of its addresses will do
/// as the source of advertisements, one of the same prefix best, and if there
/// is none it does without (`carp_best_ifa` of FreeBSD).
fn choose_on(cx: &Cx<'_>, ifp: &Arc<Ifnet>, vha: &CarpVhaddr, del: Option<&Arc<Ifaddr>>) -> Option<Backing> {
    if !can_back(ifp) {
        return None;
    }
    let mut best: Option<(u8, Arc<Ifaddr>)> = None;
    let mut own = false;
    for ia in cx.kern.ifaddrs(cx.n0) {
        let gone = del.is_some_and(|d| Arc::ptr_eq(d, &ia));
        if gone || !Arc::ptr_eq(&ia.ifa_ifp, ifp) || ia.af() != vha.vha_ia.af() {
            continue;
        }
        own |= vha.addr() == ia.ifa_addr;
        let same = vha.vha_ia.same_prefix(cx.n0, &ia);
        let rank = u8::from(same) * 2 + u8::from(ia.has_route(cx.n0));
        if best.as_ref().is_none_or(|(r, _)| rank > *r) {
            best = Some((rank, ia));
        }
    }
    Some(Backing { ifp: ifp.clone(), ia: best.map(|(_, ia)| ia), own })
}

/// The address that `vha` would choose, wherever it is and but for `del`.
pub(crate) fn found(
    cx: &Cx<'_>,
    sc: &CarpSoftc,
    vha: &CarpVhaddr,
    del: Option<&Arc<Ifaddr>>,
) -> Option<Arc<Ifaddr>> {
    choose(cx, sc, vha, del)?.ia
}

/// Whether an interface that is down has an address of the same prefix as one of
/// `sc`'s virtual ones, and not `gone`: it would back it if it were up.
pub fn could_be_backed(cx: &Cx<'_>, sc: &CarpSoftc, gone: impl Fn(&Arc<Ifaddr>) -> bool) -> bool {
    let list = sc.own(cx.n0).vha_list();
    let waits =
        |ifp: &Ifnet| ifp.if_type != IFT_CARP && (ifp.flags() & (Iff::UP | Iff::MULTICAST)) == Iff::MULTICAST;
    let could = |ia: &Arc<Ifaddr>| {
        waits(&ia.ifa_ifp) && !gone(ia) && list.iter().any(|vha| vha.vha_ia.same_prefix(cx.n0, ia))
    };
    cx.kern.ifaddrs(cx.n0).iter().any(could)
}

/// Whether `vha`, as it is now, would leave `sc` without a parent because the
/// vhid is taken on the one that it finds.
pub fn is_refused(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, vha: &CarpVhaddr) -> bool {
    let own = sc.own(cx.n0);
    let alone = own.naddrs() == usize::from(vha.is_active(cx.n0));
    let found = choose(cx, sc, vha, None).filter(|_| alone);
    found.zip(own.vhid.get()).is_some_and(|(found, vhid)| carp_if::vhid_taken(cx, &found.ifp, sc, vhid))
}

/// `carp_config_vhaddr`: finds a backing address and makes the virtual one
/// active; whoever calls lets the election start over. `ENOENT` without one,
/// `EEXIST` if that would change the parent or if the vhid is taken there. On an
/// error the address is inactive.
#[doc(alias = "carp_config_vhaddr")]
pub fn config_vhaddr(
    cx: &mut Cx<'_>,
    sc: &Arc<CarpSoftc>,
    vha: &Arc<CarpVhaddr>,
    del: Option<&Arc<Ifaddr>>,
) -> Result<(), Errno> {
    let found = choose(cx, sc, vha, del);
    deactivate_vhaddr(cx, sc, vha, false);
    let found = found.ok_or(Errno::ENOENT)?;
    if sc.carpdev(cx.n0).is_some_and(|p| !Arc::ptr_eq(p, &found.ifp)) {
        return Err(Errno::EEXIST);
    }
    activate(cx, sc, vha, found, del)
}

/// `carp_activate_vhaddr`: `ia_if` backs `vha` from now on, and its interface
/// is the parent. (Upstream lets the election start over for each address;
/// here whoever calls does it once, for all.)
#[doc(alias = "carp_activate_vhaddr")]
pub fn activate_vhaddr(
    cx: &mut Cx<'_>,
    sc: &Arc<CarpSoftc>,
    vha: &Arc<CarpVhaddr>,
    ia_if: &Arc<Ifaddr>,
    own: bool,
) -> Result<(), Errno> {
    activate(cx, sc, vha, Backing { ifp: ia_if.ifa_ifp.clone(), ia: Some(ia_if.clone()), own }, None)
}

fn activate(
    cx: &mut Cx<'_>,
    sc: &Arc<CarpSoftc>,
    vha: &Arc<CarpVhaddr>,
    found: Backing,
    del: Option<&Arc<Ifaddr>>,
) -> Result<(), Errno> {
    let ifp = found.ifp;
    debug_assert!(!vha.is_active(cx.n0), "{}: activated twice", sc.xname());
    if let Some(vhid) = sc.own(cx.n0).vhid.get()
        && carp_if::vhid_taken(cx, &ifp, sc, vhid)
    {
        return Err(Errno::EEXIST);
    }
    if ifp.if_carp.load(cx.n0).is_none() {
        cx.kern.ifpromisc(cx.n0, &ifp, true)?;
    }
    if sc.carpdev(cx.n0).is_none() {
        carp_if::insert(cx, &ifp, sc);
    }
    *sc.own(cx.n0).lost_parent.borrow_mut() = None;

    let o = sc.own(cx.n0);
    let af = vha.vha_ia.af();
    let vown = vha.own.get(cx.n0);
    vown.active.set(true);
    (*vown.iaback.borrow_mut()).clone_from(&found.ia);
    o.af(af).naddrs.set(o.af(af).naddrs.get() + 1);
    *o.af(af).ia.borrow_mut() = source(cx, &ifp, af, found.ia, del);
    if found.own {
        vown.owner.set(true);
        o.advskew.set(0);
    }
    join(cx, sc, af);
    Ok(())
}

/// Addresses of a parent that was chosen by name have come, gone or changed:
/// each active virtual address has the best of them, without `del`, behind it.
/// Any will do, and none, so that this is no transition.
pub fn choose_backing_again(cx: &Cx<'_>, sc: &CarpSoftc, del: Option<&Arc<Ifaddr>>) {
    let Some(ifp) = sc.carpdev(cx.n0) else { return };
    for vha in sc.own(cx.n0).vha_list().iter().filter(|v| v.is_active(cx.n0)) {
        let Some(found) = choose_on(cx, ifp, vha, del) else { continue };
        let vown = vha.own.get(cx.n0);
        *vown.iaback.borrow_mut() = found.ia;
        vown.owner.set(found.own);
        if found.own {
            sc.own(cx.n0).advskew.set(0);
        }
    }
    Af::ALL.iter().for_each(|af| choose_source(cx, sc, *af, del));
}

/// The address that advertisements come from: the backing address; over IPv6
/// the parent's link-local one, if it has one that stays, as everyone on the
/// link knows it.
fn source(
    cx: &Cx<'_>,
    ifp: &Arc<Ifnet>,
    af: Af,
    back: Option<Arc<Ifaddr>>,
    del: Option<&Arc<Ifaddr>>,
) -> Option<Arc<Ifaddr>> {
    let linklocal = |ia: &Arc<Ifaddr>| {
        Arc::ptr_eq(&ia.ifa_ifp, ifp)
            && del.is_none_or(|d| !Arc::ptr_eq(d, ia))
            && matches!(ia.ifa_addr, IpAddr::V6(a) if a.is_unicast_link_local())
    };
    match af {
        Af::Inet => back,
        Af::Inet6 => cx.kern.ifaddrs(cx.n0).into_iter().find(linklocal).or(back),
    }
}

/// Joins the group that advertisements of the family go to, once the parent is
/// there; leaves another one that was joined before.
pub fn join(cx: &Cx<'_>, sc: &CarpSoftc, af: Af) {
    let per = sc.own(cx.n0).af(af);
    let wanted = Some(per.dst.get()).filter(|g| per.naddrs.get() > 0 && g.is_multicast());
    let joined = per.joined.replace(wanted);
    if joined != wanted {
        if let Some(group) = joined {
            cx.kern.delmulti(cx.n0, &sc.sc_if, group);
        }
        if let Some(group) = wanted {
            cx.kern.addmulti(cx.n0, &sc.sc_if, group);
        }
    }
}

/// `carp_multicast_cleanup`, `carp_multicast6_cleanup`
#[doc(alias = "carp_multicast_cleanup")]
#[doc(alias = "carp_multicast6_cleanup")]
pub fn leave(cx: &Cx<'_>, sc: &CarpSoftc, af: Af) {
    if let Some(group) = sc.own(cx.n0).af(af).joined.take() {
        cx.kern.delmulti(cx.n0, &sc.sc_if, group);
    }
}

/// `carp_deactivate_vhaddr`: `vha` lives no more. Without any active address
/// left the parent is let go; without one of its family, that family's group.
/// `del_iaback`: the backing address itself is going, so no route moves back
/// to it.
#[doc(alias = "carp_deactivate_vhaddr")]
pub fn deactivate_vhaddr(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, vha: &Arc<CarpVhaddr>, del_iaback: bool) {
    hmac_prepare(cx, sc);
    if !vha.is_active(cx.n0) {
        return;
    }
    let vown = vha.own.get(cx.n0);
    vown.owner.set(false);
    vown.active.set(false);
    delroute_vhaddr(cx, vha, del_iaback);
    claim_routes(cx);
    *vown.iaback.borrow_mut() = None;
    let (own, af) = (sc.own(cx.n0), vha.vha_ia.af());
    own.af(af).naddrs.set(own.af(af).naddrs.get() - 1);
    if own.naddrs() == 0 {
        clone::detach(cx, sc, false, del_iaback, Reason::NoAddress);
    } else if own.af(af).naddrs.get() == 0 {
        leave(cx, sc, af);
        *own.af(af).ia.borrow_mut() = None;
        // What could not be sent may have been that family's.
        demote::forgive_sendad_errors(cx, sc);
        state::family_left(cx, sc, af);
    }
}

/// `carp_addroute_vhaddr`: a MASTER's prefix route leaves by the carp
/// interface: it has it from the parent's address that holds it, `all` being
/// the machine's. On a parent that was chosen by name, and has no address of
/// that prefix, it begins there: how else would an answer get out?
#[doc(alias = "carp_addroute_vhaddr")]
fn addroute_vhaddr(cx: &Cx<'_>, sc: &CarpSoftc, vha: &CarpVhaddr, all: &[Arc<Ifaddr>]) {
    let Some(parent) = sc.carpdev(cx.n0) else { return };
    if !vha.is_active(cx.n0) || vha.vha_ia.has_route(cx.n0) {
        return;
    }
    let holds = |ia: &&Arc<Ifaddr>| {
        ia.has_route(cx.n0) && Arc::ptr_eq(&ia.ifa_ifp, parent) && vha.vha_ia.same_prefix(cx.n0, ia)
    };
    match all.iter().find(holds) {
        Some(holder) => cx.kern.rtchange(cx.n0, holder, &vha.vha_ia),
        None => cx.kern.rtadd(cx.n0, &vha.vha_ia),
    }
}

/// `carp_delroute_vhaddr`: the prefix route goes back to the backing address,
/// or away with it.
#[doc(alias = "carp_delroute_vhaddr")]
fn delroute_vhaddr(cx: &Cx<'_>, vha: &CarpVhaddr, del_iaback: bool) {
    // A parent that was chosen by name may have none of that prefix.
    let back = vha.iaback(cx.n0).filter(|ia| vha.vha_ia.same_prefix(cx.n0, ia));
    match back {
        Some(iaback) if !del_iaback && iaback.ifa_ifp.flags().contains(Iff::UP) => {
            cx.kern.rtchange(cx.n0, &vha.vha_ia, &iaback);
        }
        _ => cx.kern.rtdelete(cx.n0, &vha.vha_ia),
    }
}

/// `carp_setroute`, `RTM_ADD`: for a MASTER.
#[doc(alias = "carp_setroute")]
pub fn addroutes(cx: &Cx<'_>, sc: &CarpSoftc) {
    addroutes_of(cx, core::slice::from_ref(&sc), &cx.kern.ifaddrs(cx.n0));
}

fn addroutes_of(cx: &Cx<'_>, masters: &[&CarpSoftc], all: &[Arc<Ifaddr>]) {
    if cx.carp.own(cx.n0).opts.setroute() {
        for sc in masters {
            sc.own(cx.n0).vha_list().iter().for_each(|vha| addroute_vhaddr(cx, sc, vha, all));
        }
    }
}

/// `carp_setroute`, `RTM_DELETE`: whatever routes `sc` has it gives back, and
/// other MASTERs may have them.
pub fn delroutes(cx: &Cx<'_>, sc: &CarpSoftc) {
    let list = sc.own(cx.n0).vha_list();
    let mut held = list.iter().filter(|vha| vha.vha_ia.has_route(cx.n0)).peekable();
    if held.peek().is_some() {
        held.for_each(|vha| delroute_vhaddr(cx, vha, false));
        claim_routes(cx);
    }
}

/// Routes have changed hands: MASTERs get those that are theirs. The one that
/// held a prefix's route may be gone, and another have an address of that
/// prefix. (Upstream leaves it with the backing address.)
pub fn claim_routes(cx: &Cx<'_>) {
    let softcs = cx.carp.softcs(cx.n0);
    let masters: Vec<&CarpSoftc> =
        softcs.iter().map(|sc| &**sc).filter(|sc| sc.is_running_master()).collect();
    if !masters.is_empty() {
        addroutes_of(cx, &masters, &cx.kern.ifaddrs(cx.n0));
    }
}

/// `net.inet.carp.setroute` was set: MASTERs take their routes, or everyone
/// gives them back.
pub fn setroute_changed(cx: &Cx<'_>) {
    match cx.carp.own(cx.n0).opts.setroute() {
        true => claim_routes(cx),
        false => cx.carp.softcs(cx.n0).iter().for_each(|sc| delroutes(cx, sc)),
    }
}

/// Chooses the source of advertisements anew, without `del`: an address that
/// backs something, or, for a parent chosen by name, any of its own.
pub fn choose_source(cx: &Cx<'_>, sc: &CarpSoftc, af: Af, del: Option<&Arc<Ifaddr>>) {
    let Some(ifp) = sc.carpdev(cx.n0) else { return };
    let stays = |ia: &Arc<Ifaddr>| del.is_none_or(|d| !Arc::ptr_eq(d, ia));
    let (own, list) = (sc.own(cx.n0), sc.own(cx.n0).vha_list());
    let mut of_family = list.iter().filter(|v| v.is_active(cx.n0) && v.vha_ia.af() == af);
    let mut back = of_family.find_map(|v| v.iaback(cx.n0).filter(stays));
    if back.is_none() && own.bound.borrow().is_some() {
        let on_it = |ia: &Arc<Ifaddr>| Arc::ptr_eq(&ia.ifa_ifp, ifp) && ia.af() == af && stays(ia);
        back = cx.kern.ifaddrs(cx.n0).into_iter().find(on_it);
    }
    *own.af(af).ia.borrow_mut() = source(cx, ifp, af, back, del);
}
