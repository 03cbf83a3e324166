//! How carp interfaces come and go: create, destroy, stop, detach.

use crate::kernel::{Cx, Timer};
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State};
use crate::{Ifnet, carp_if, demote, output, state, vhaddr};
use compat::net::if_::Iff;
use compat::sys::socket::Af;
use triomphe::Arc;

/// `if_flags` of a new carp interface.
pub const CARP_IF_FLAGS: Iff = Iff::BROADCAST.union(Iff::SIMPLEX).union(Iff::MULTICAST);

/// `carp_clone_create`: a softc for the interface that was just attached.
#[doc(alias = "carp_clone_create")]
pub fn create(cx: &Cx<'_>, sc_if: Arc<Ifnet>) -> Arc<CarpSoftc> {
    let sc = Arc::new(CarpSoftc::new(&cx.carp.brand, sc_if));
    sc.own(cx.n0).history.begin(cx.kern.now());
    let own = cx.carp.own(cx.n0);
    own.carpif_list.borrow_mut().insert(0, sc.clone());
    own.by_index.borrow_mut().insert(sc.sc_if.if_index, sc.clone());
    sc
}

/// `carp_clone_destroy`, first half: off the wire, off the parent. The machine
/// then takes the interface's addresses away and calls [`destroyed`].
#[doc(alias = "carp_clone_destroy")]
pub fn destroy(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>) {
    sc.own(cx.n0).dead.set(true);
    detach(cx, sc, true, false, Reason::Destroyed);
    stop_callouts(cx, sc);
}

/// `carp_clone_destroy`, second half: out of the list.
pub fn destroyed(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    debug_assert_eq!(sc.own(cx.n0).naddrs(), 0, "{}: an address is still active", sc.xname());
    let own = cx.carp.own(cx.n0);
    own.carpif_list.borrow_mut().retain(|s| !Arc::ptr_eq(s, sc));
    own.by_index.borrow_mut().remove(&sc.sc_if.if_index);
}

/// The machine is gone from one moment to the next. Nothing is said, but an
/// interface and the softcs on its list hold each other: without a list
/// nothing holds itself.
pub fn crash(cx: &mut Cx<'_>) {
    for sc in cx.carp.softcs(cx.n0) {
        if let Some(ifp) = sc.carpdev(cx.n0).cloned() {
            carp_if::remove(cx, &ifp, &sc);
        }
        let own = sc.own(cx.n0);
        *own.lost_parent.borrow_mut() = None;
        *own.bound.borrow_mut() = None;
    }
}

/// `carp_detach`: stops, leaves the group, and lets go of the parent. With
/// `all`, every virtual address becomes inactive too.
#[doc(alias = "carp_detach")]
pub fn detach(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, all: bool, del_iaback: bool, reason: Reason) {
    suspend(cx, sc, reason);
    Af::ALL.iter().for_each(|af| vhaddr::leave(cx, sc, *af));
    if all && !sc.own(cx.n0).dead.get() {
        for vha in sc.own(cx.n0).vha_list().iter() {
            // The last one detaches, without `all`: that one returns here
            // with no parent left.
            vhaddr::deactivate_vhaddr(cx, sc, vha, del_iaback);
        }
    }
    let Some(ifp) = sc.carpdev(cx.n0).cloned() else { return };
    for af in Af::ALL {
        *sc.own(cx.n0).af(af).ia.borrow_mut() = None;
    }
    carp_if::remove(cx, &ifp, sc);
    if !ifp.flags().contains(Iff::UP) && !sc.own(cx.n0).dead.get() {
        *sc.own(cx.n0).lost_parent.borrow_mut() = Some(ifp.clone());
    }
    demote::review_detached(cx, sc);
    if ifp.if_carp.load(cx.n0).is_none() {
        // Turning promiscuous mode off cannot fail in a way that matters:
        // the interface may be gone already.
        let _ = cx.kern.ifpromisc(cx.n0, &ifp, false);
    }
}

/// `carp_ifdetach`: `ifp` leaves the machine.
#[doc(alias = "carp_ifdetach")]
pub fn ifdetach(cx: &mut Cx<'_>, ifp: &Arc<Ifnet>) {
    while let Some(sc) =
        ifp.if_carp.load(cx.n0).and_then(|cif| cif.iter().next()).map(|scc| scc.scc_softc.clone())
    {
        detach(cx, &sc, true, true, Reason::ParentGone);
    }
    // Nobody misses it any more, and it is no choice for anybody.
    for sc in cx.carp.softcs(cx.n0) {
        let own = sc.own(cx.n0);
        for held in [&own.lost_parent, &own.bound] {
            if held.borrow().as_ref().is_some_and(|p| Arc::ptr_eq(p, ifp)) {
                *held.borrow_mut() = None;
            }
        }
        demote::review_without(cx, &sc, |ia| Arc::ptr_eq(&ia.ifa_ifp, ifp));
    }
}

/// `carp_init`: the interface starts.
#[doc(alias = "carp_init")]
pub fn init(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    sc.sc_if.set_flags(cx.n0, Iff::RUNNING);
    vhaddr::hmac_prepare(cx, sc);
    state::set_state(cx, sc, State::Init, Reason::Configured);
    demote::review(cx, sc);
    state::setrun(cx, sc, None);
}

/// `carp_stop`: the interface stops. A MASTER bows out whatever the reason, if
/// the wire can still be reached; upstream is silent on destroy and detach.
#[doc(alias = "carp_stop")]
pub fn stop(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, reason: Reason) {
    halt(cx, sc, reason);
    demote::review(cx, sc);
    state::setrun(cx, sc, None);
}

fn halt(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, reason: Reason) {
    sc.sc_if.clear_flags(cx.n0, Iff::RUNNING);
    stop_callouts(cx, sc);
    if sc.state() == State::Master {
        output::bow_out(cx, sc);
    }
    sc.own(cx.n0).reannounce.set(0);
    state::set_state(cx, sc, State::Init, reason);
    demote::forgive_sendad_errors(cx, sc);
}

/// `carp_suspend`: stops, but is still running for whoever asks, unless dead.
#[doc(alias = "carp_suspend")]
fn suspend(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, reason: Reason) {
    halt(cx, sc, reason);
    demote::review_detached(cx, sc);
    state::setrun(cx, sc, None);
    if !sc.own(cx.n0).dead.get() && sc.sc_if.flags().contains(Iff::UP) {
        sc.sc_if.set_flags(cx.n0, Iff::RUNNING);
    }
}

/// Whoever serves the virtual addresses of `sc` outside of the machine cannot, or
/// can again. Who is not served is no MASTER, and suppresses as one whose parent is
/// down.
pub fn served(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, is: bool) {
    if sc.own(cx.n0).unserved.replace(!is) == is {
        match is {
            false => suspend(cx, sc, Reason::NotServed),
            true => {
                demote::review_served(cx, sc);
                state::setrun(cx, sc, None);
            }
        }
    }
}

/// Stops all callouts of `sc`.
pub fn stop_callouts(cx: &Cx<'_>, sc: &CarpSoftc) {
    Timer::ALL.iter().for_each(|t| state::callout_stop(cx, sc, *t));
}
