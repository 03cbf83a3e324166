//! `carp_ioctl`: what programs ask of a carp interface. Each function is a
//! `carp_ioctl_*_dispatch`: it runs in netisr0.

use crate::carpreq::{CARPR_STATE_KEEP, CARPR_VHID_CLEAR, CarpPeers, CarpReq, IfCarpVhaddr, IfCarpVhaddr6};
use crate::kernel::Cx;
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State, carp_group};
use crate::types::{CARP_ETHERADDR, Key, Vhid};
use crate::{carp_if, clone, demote, ifaddr, output, state, vhaddr};
use compat::net::if_::{IFNAMSIZ, Iff};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::errno::Errno;
use compat::sys::socket::{AF_INET, AF_INET6, Af};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use triomphe::Arc;

/// A `carpreq` that was checked, all of it, before anything is changed.
struct Checked {
    vhid: Option<Vhid>,
    /// advbase and advskew.
    adv: Option<(u8, u8)>,
    state: Option<State>,
    key: Key,
}

/// `SIOCSVH`. `EINVAL` for values out of range or nothing to set, `EEXIST` for
/// a vhid that the parent has already. On an error nothing has changed
/// (upstream changes what comes before the error).
#[doc(alias = "carp_ioctl_setvh")]
pub fn setvh(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, req: &CarpReq) -> Result<(), Errno> {
    if req.carpr_vhid == CARPR_VHID_CLEAR {
        return clear_vhid(cx, sc, req);
    }
    let new = check(cx, sc, req)?;
    if let Some((advbase, advskew)) = new.adv {
        let own = sc.own(cx.n0);
        own.advbase.set(advbase);
        own.advskew.set(advskew);
    }
    let vhid_changes = new.vhid.is_some() && new.vhid != sc.own(cx.n0).vhid.get();
    if vhid_changes {
        // The peers of the old vhid are told, and those of the new one may
        // have a master already.
        ifaddr::leave_mastership(cx, sc, Reason::Configured);
        clone::stop_callouts(cx, sc);
        store_vhid(cx, sc, new.vhid);
        state::set_state(cx, sc, State::Init, Reason::Configured);
        demote::forgive_sendad_errors(cx, sc);
    }
    *sc.own(cx.n0).key.borrow_mut() = new.key;
    vhaddr::hmac_prepare(cx, sc);
    demote::review(cx, sc);
    state::setrun_keeping_deadline(cx, sc);
    if let Some(wanted) = new.state {
        change_state(cx, sc, wanted);
    }
    Ok(())
}

fn check(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, req: &CarpReq) -> Result<Checked, Errno> {
    let vhid = match req.carpr_vhid {
        ..=0 => None,
        v => Some(u8::try_from(v).ok().and_then(Vhid::new).ok_or(Errno::EINVAL)?),
    };
    let parent = sc.carpdev(cx.n0).cloned().or_else(|| sc.own(cx.n0).bound.borrow().clone());
    if let (Some(vhid), Some(ifp)) = (vhid, parent)
        && carp_if::vhid_taken(cx, &ifp, sc, vhid)
    {
        return Err(Errno::EEXIST);
    }
    let adv = if req.carpr_advbase > 0 || req.carpr_advskew > 0 {
        let advskew = u8::try_from(req.carpr_advskew).ok().filter(|s| *s < 255).ok_or(Errno::EINVAL)?;
        let advbase = u8::try_from(req.carpr_advbase).map_err(|_| Errno::EINVAL)?;
        Some((advbase, advskew))
    } else {
        None
    };
    if vhid.is_none() && adv.is_none() {
        return Err(Errno::EINVAL);
    }
    let state = match req.carpr_state {
        CARPR_STATE_KEEP => None,
        s => State::from_i32(s),
    };
    Ok(Checked { vhid, adv, state, key: Key::new(&req.carpr_key) })
}

/// A vhid, the MAC that belongs to it, and the place in the parent's list.
fn store_vhid(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, vhid: Option<Vhid>) {
    sc.own(cx.n0).vhid.set(vhid);
    sc.sc_if.set_lladdr(cx.n0, vhid.map_or(CARP_ETHERADDR, Vhid::lladdr));
    if let Some(ifp) = sc.carpdev(cx.n0).cloned() {
        carp_if::insert(cx, &ifp, sc);
    }
}

/// Takes the vhid away again: how a program undoes a first `SIOCSVH`.
fn clear_vhid(cx: &mut Cx<'_>, sc: &Arc<CarpSoftc>, req: &CarpReq) -> Result<(), Errno> {
    let checked = check(cx, sc, &CarpReq { carpr_vhid: 0, ..*req })?;
    clone::stop_callouts(cx, sc);
    ifaddr::leave_mastership(cx, sc, Reason::Configured);
    store_vhid(cx, sc, None);
    state::set_state(cx, sc, State::Init, Reason::Configured);
    demote::forgive_sendad_errors(cx, sc);
    if let Some((advbase, advskew)) = checked.adv {
        let own = sc.own(cx.n0);
        own.advbase.set(advbase);
        own.advskew.set(advskew);
    }
    *sc.own(cx.n0).key.borrow_mut() = checked.key;
    vhaddr::hmac_prepare(cx, sc);
    demote::review(cx, sc);
    state::setrun(cx, sc, None);
    Ok(())
}

/// The first part of `carp_ioctl_setvh_dispatch`: an administrator's wish.
pub(crate) fn change_state(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, wanted: State) {
    let now = sc.state();
    if let Some(later) =
        cx.carp.own(cx.n0).configuring.borrow_mut().as_mut().and_then(|all| all.get_mut(&sc.sc_if.if_index))
    {
        *later = Some(wanted);
    }
    if !sc.sc_if.flags().contains(Iff::RUNNING) || now == State::Init || now == wanted {
        return;
    }
    match wanted {
        State::Backup => {
            output::bow_out(cx, sc);
            state::yield_mastership(cx, sc, Reason::Administrator);
        }
        State::Master => state::master_down(cx, sc, Reason::Administrator),
        State::Init => {}
    }
}

/// `SIOCGVH`. The key is for the privileged alone.
#[doc(alias = "carp_ioctl_getvh")]
pub fn getvh(cx: &Cx<'_>, sc: &CarpSoftc, privileged: bool) -> CarpReq {
    let own = sc.own(cx.n0);
    CarpReq {
        carpr_state: sc.state() as i32,
        carpr_vhid: own.vhid.get().map_or(-1, |v| v.get().into()),
        carpr_advskew: own.advskew.get().into(),
        carpr_advbase: own.advbase.get().into(),
        carpr_key: if privileged { *own.key.borrow().bytes() } else { [0; 20] },
    }
}

/// `SIOCGDRVSPEC`, `CARPGDEVNAME`: the parent's name, all NULs without one.
#[doc(alias = "carp_ioctl_getdevname")]
pub fn getdevname(cx: &Cx<'_>, sc: &CarpSoftc) -> [u8; IFNAMSIZ] {
    sc.carpdev(cx.n0).map_or([0; IFNAMSIZ], |ifp| ifp.if_xname.0)
}

/// `SIOCGDRVSPEC`, `CARPSDEVNAME`: the name of the parent that was chosen by
/// name, all NULs without one.
pub fn getbound(cx: &Cx<'_>, sc: &CarpSoftc) -> [u8; IFNAMSIZ] {
    sc.own(cx.n0).bound.borrow().as_ref().map_or([0; IFNAMSIZ], |ifp| ifp.if_xname.0)
}

/// `SIOCGDRVSPEC`, `CARPGVHADDR`: the IPv4 virtual addresses, ascending.
#[doc(alias = "carp_ioctl_getvhaddr")]
pub fn getvhaddr(cx: &Cx<'_>, sc: &CarpSoftc) -> Vec<IfCarpVhaddr> {
    let mut all = Vec::new();
    for vha in sc.own(cx.n0).vha_list().iter() {
        let IpAddr::V4(addr) = vha.addr() else { continue };
        let back = match vha.iaback(cx.n0).map(|ia| ia.ifa_addr) {
            Some(IpAddr::V4(a)) => a,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        all.push(IfCarpVhaddr {
            carpa_flags: vha.flags(cx.n0).bits(),
            carpa_addr: SockAddrIn::new(addr),
            carpa_baddr: SockAddrIn::new(back),
        });
    }
    all
}

/// `SIOCGDRVSPEC`, `CARPGVHADDR6`: the IPv6 virtual addresses, ascending.
pub fn getvhaddr6(cx: &Cx<'_>, sc: &CarpSoftc) -> Vec<IfCarpVhaddr6> {
    let scope = sc.sc_if.if_index.into();
    let mut all = Vec::new();
    for vha in sc.own(cx.n0).vha_list().iter() {
        let IpAddr::V6(addr) = vha.addr() else { continue };
        let back = match vha.iaback(cx.n0) {
            Some(ia) => (ia.ifa_addr, u32::from(ia.ifa_ifp.if_index)),
            None => (Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let carpa_baddr = match back {
            (IpAddr::V6(a), scope) => SockAddrIn6::new(a, scope),
            _ => SockAddrIn6::default(),
        };
        let carpa_flags = vha.flags(cx.n0).bits();
        all.push(IfCarpVhaddr6 { carpa_flags, carpa_addr: SockAddrIn6::new(addr, scope), carpa_baddr });
    }
    all
}

/// `CARPPEERS`: where advertisements go.
pub fn getpeers(cx: &Cx<'_>, sc: &CarpSoftc) -> CarpPeers {
    let own = sc.own(cx.n0);
    let mut peers =
        CarpPeers { carpp_vhid: own.vhid.get().map_or(0, |v| v.get().into()), ..Default::default() };
    if let IpAddr::V4(a) = own.af(Af::Inet).dst.get() {
        peers.carpp_addr = SockAddrIn::new(a);
    }
    if let IpAddr::V6(a) = own.af(Af::Inet6).dst.get() {
        peers.carpp_addr6 = SockAddrIn6::new(a, sc.carpdev(cx.n0).map_or(0, |p| p.if_index.into()));
    }
    peers
}

/// `CARPPEERS`: advertisements go elsewhere from now on; an unspecified address
/// means CARP's group. `EINVAL` for what is neither a host's address nor a
/// group's, `EAFNOSUPPORT` for another family. A MASTER bows out to those whom
/// it leaves without word.
pub fn setpeers(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, req: &CarpPeers) -> Result<(), Errno> {
    let mut wanted = Vec::new();
    if req.carpp_addr.sin_len > 0 {
        wanted.push(match req.carpp_addr.sin_family {
            AF_INET => IpAddr::V4(req.carpp_addr.addr()),
            _ => return Err(Errno::EAFNOSUPPORT),
        });
    }
    if req.carpp_addr6.sin6_len > 0 {
        wanted.push(match req.carpp_addr6.sin6_family {
            AF_INET6 => IpAddr::V6(req.carpp_addr6.addr()),
            _ => return Err(Errno::EAFNOSUPPORT),
        });
    }
    if wanted.is_empty() || wanted.iter().any(|a| a.is_loopback() || *a == IpAddr::V4(Ipv4Addr::BROADCAST)) {
        return Err(Errno::EINVAL);
    }
    let default = |a: IpAddr| if a.is_unspecified() { carp_group(Af::of(a)) } else { a };
    let differs = |a: &IpAddr| sc.own(cx.n0).af(Af::of(*a)).dst.get() != *a;
    let wanted: Vec<IpAddr> = wanted.into_iter().map(default).filter(differs).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    ifaddr::leave_mastership(cx, sc, Reason::Configured);
    for dst in wanted {
        sc.set_dst(cx.n0, dst);
        vhaddr::join(cx, sc, Af::of(dst));
    }
    state::set_state(cx, sc, State::Init, Reason::Configured);
    demote::forgive_sendad_errors(cx, sc);
    state::setrun(cx, sc, None);
    Ok(())
}

/// `SIOCSIFFLAGS`: `IFF_UP` was set or cleared on the carp interface.
#[doc(alias = "carp_ioctl_stop")]
pub fn sifflags(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    let flags = sc.sc_if.flags();
    if flags.contains(Iff::UP) {
        if !flags.contains(Iff::RUNNING) {
            clone::init(cx, sc);
        }
    } else if flags.contains(Iff::RUNNING) {
        clone::stop(cx, sc, Reason::Down);
    }
}
