//! `struct carp_if`: which carp interfaces an interface backs.
//!
//! netisr0 alone changes it, and never in place. A change is
//!
//! 1. copy: a new list, with one softc more, one less, or one elsewhere;
//! 2. switch: `if_carp` (and the softc's `sc_carpdev`) point to the new;
//! 3. synchronise: `netmsg_service_sync()`;
//! 4. free: the old list and its containers, never the softcs.
//!
//! Since each change makes a new list anyway, it carries an index from vhid to
//! container: a frame to a virtual MAC, and an advertisement, find their softc
//! in one step.

use crate::Ifnet;
use crate::kernel::Cx;
use crate::softc::CarpSoftc;
use crate::types::Vhid;
use compat::qsbr::{Netisr0, service_sync};
use compat::sys::canary::Canary;
use triomphe::Arc;

/// `struct carp_softc_container`: one list's hold on a softc.
pub struct CarpSoftcContainer {
    /// `scc_softc`
    pub scc_softc: Arc<CarpSoftc>,
    /// The vhid that it had when the list was made.
    pub scc_vhid: Option<Vhid>,
}

/// `struct carp_if`: containers, those without a vhid first, then ascending
/// by vhid.
pub struct CarpIf {
    sccs: Vec<CarpSoftcContainer>,
    /// Position + 1 of each vhid's container; 0 for none. A list has at most
    /// 255 containers with a vhid, but any number without: hence u16.
    by_vhid: [u16; 256],
    canary: Canary,
}

impl CarpIf {
    fn new(mut softcs: Vec<(Option<Vhid>, Arc<CarpSoftc>)>) -> CarpIf {
        softcs.sort_by_key(|(vhid, _)| *vhid);
        let mut by_vhid = [0; 256];
        for (i, (vhid, _)) in softcs.iter().enumerate() {
            if let Some(v) = vhid {
                debug_assert_eq!(by_vhid[usize::from(v.get())], 0, "vhid {v} twice on one interface");
                by_vhid[usize::from(v.get())] = i as u16 + 1;
            }
        }
        let sccs = softcs
            .into_iter()
            .map(|(scc_vhid, scc_softc)| CarpSoftcContainer { scc_softc, scc_vhid })
            .collect();
        CarpIf { sccs, by_vhid, canary: Canary::default() }
    }

    /// The container of a vhid, in one step.
    #[inline]
    pub fn by_vhid(&self, vhid: u8) -> Option<&CarpSoftcContainer> {
        self.canary.check();
        let at = usize::from(self.by_vhid[usize::from(vhid)]).checked_sub(1)?;
        self.sccs.get(at)
    }

    /// All containers, in order. Never empty.
    pub fn iter(&self) -> core::slice::Iter<'_, CarpSoftcContainer> {
        self.canary.check();
        self.sccs.iter()
    }

    fn contains(&self, sc: &Arc<CarpSoftc>) -> bool {
        self.sccs.iter().any(|scc| Arc::ptr_eq(&scc.scc_softc, sc))
    }
}

/// The containers of `ifp` but `sc`'s, ready for a new list.
fn others(n0: &Netisr0, ifp: &Ifnet, sc: &Arc<CarpSoftc>) -> Vec<(Option<Vhid>, Arc<CarpSoftc>)> {
    let Some(cif) = ifp.if_carp.load(n0) else { return Vec::new() };
    let rest = cif.iter().filter(|scc| !Arc::ptr_eq(&scc.scc_softc, sc));
    rest.map(|scc| (scc.scc_vhid, scc.scc_softc.clone())).collect()
}

/// Whether another carp interface has that vhid and `ifp` for its parent, or
/// for the only parent that it may get: that is down, or it has no address yet.
pub fn vhid_taken(cx: &Cx<'_>, ifp: &Arc<Ifnet>, sc: &Arc<CarpSoftc>, vhid: Vhid) -> bool {
    let is_there = |other: &CarpSoftc| {
        let is_it = |p: &Arc<Ifnet>| Arc::ptr_eq(p, ifp);
        other.carpdev(cx.n0).is_some_and(is_it) || other.own(cx.n0).bound.borrow().as_ref().is_some_and(is_it)
    };
    let has_it = |other: &&Arc<CarpSoftc>| other.own(cx.n0).vhid.get() == Some(vhid);
    let softcs = cx.carp.softcs(cx.n0);
    softcs.iter().filter(has_it).any(|other| !Arc::ptr_eq(other, sc) && is_there(other))
}

/// `carp_if_insert` and what surrounds it: `sc` is on `ifp`'s list, `ifp` its
/// parent. Also after a change of vhid, to put it where it now belongs.
#[doc(alias = "carp_if_insert")]
pub fn insert(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>, sc: &Arc<CarpSoftc>) {
    let parent = sc.carpdev(cx.n0);
    debug_assert!(parent.is_none_or(|p| Arc::ptr_eq(p, ifp)), "{} is on another parent", sc.xname());
    debug_assert_eq!(parent.is_some(), ifp.if_carp.load(cx.n0).is_some_and(|cif| cif.contains(sc)));

    let mut list = others(cx.n0, ifp, sc);
    list.push((sc.own(cx.n0).vhid.get(), sc.clone()));
    let ocif = ifp.if_carp.swap(cx.n0, Some(Box::new(CarpIf::new(list))));
    let odev = sc.sc_carpdev.swap(cx.n0, Some(Box::new(ifp.clone())));
    free(service_sync(cx.n0, (ocif, odev)));
}

/// `carp_if_remove` and what surrounds it: `sc` leaves its parent's list and
/// has no parent.
#[doc(alias = "carp_if_remove")]
pub fn remove(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>, sc: &Arc<CarpSoftc>) {
    debug_assert!(ifp.if_carp.load(cx.n0).is_some_and(|cif| cif.contains(sc)));
    let list = others(cx.n0, ifp, sc);
    let ncif = (!list.is_empty()).then(|| Box::new(CarpIf::new(list)));
    let ocif = ifp.if_carp.swap(cx.n0, ncif);
    let odev = sc.sc_carpdev.swap(cx.n0, None);
    free(service_sync(cx.n0, (ocif, odev)));
}

/// `carp_if_free`: the list and its containers; the softcs live on in their
/// other holders.
#[doc(alias = "carp_if_free")]
fn free(old: (Option<Box<CarpIf>>, Option<Box<Arc<Ifnet>>>)) {
    drop(old);
}
