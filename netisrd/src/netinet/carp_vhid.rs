//! FreeBSD's model of CARP: a vhid is no interface of its own but belongs to
//! the interface that carries it, and so do its addresses.
//!
//! Underneath it is a carp interface like any other, whose parent was chosen by
//! name. It is called `VHID@IFNAME`, as FreeBSD's log calls it, shows up on no
//! list, and goes with its last address.

use crate::machine::{Ctx0, Machine};
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::{if_clone, ifaddr};
use compat::net::if_::{IFT_CARP, IfName};
use compat::qsbr::Netisr;
use compat::sys::errno::Errno;
use core::net::IpAddr;
use ipnet::IpNet;
use libcarp::carpreq::{CARPR_VHID_CLEAR, CarpReq};
use libcarp::types::Vhid;
use libcarp::{CarpSoftc, Ifnet, ioctl};
use triomphe::Arc;

/// Whether an interface is such a vhid.
pub fn is_vhid(ifp: &Ifnet) -> bool {
    parse(ifp).is_some()
}

/// The number and the interface of a name that [`name_of`] made.
fn parse(ifp: &Ifnet) -> Option<(u8, IfName)> {
    let (vhid, ifname) = ifp.if_xname.as_str().split_once('@').filter(|_| ifp.if_type == IFT_CARP)?;
    Some((vhid.parse().ok()?, IfName::new(ifname)?))
}

/// `ifp` as others are told of it: a vhid is its interface and a number, any
/// other interface is itself and 0.
pub fn shown<'n>(m: &'n Machine, n: &'n Netisr, ifp: &'n Arc<Ifnet>) -> (&'n Arc<Ifnet>, u8) {
    let found = parse(ifp).and_then(|(vhid, ifname)| Some((&m.if_byname(n, ifname)?.ifp, vhid)));
    found.unwrap_or((ifp, 0))
}

/// `EINVAL` for what is no vhid, `ENAMETOOLONG` where the interface's name
/// leaves no room for one.
fn name_of(entry: &IfEntry, vhid: i32) -> Result<IfName, Errno> {
    let vhid = u8::try_from(vhid).ok().and_then(Vhid::new).ok_or(Errno::EINVAL)?;
    IfName::new(&format!("{vhid}@{}", entry.ifp.if_xname)).ok_or(Errno::ENAMETOOLONG)
}

/// The vhid of an interface. `ENOENT` if it has no such one.
pub fn find(cx: &Ctx0<'_>, entry: &IfEntry, vhid: i32) -> Result<(IfEntry, Arc<CarpSoftc>), Errno> {
    let found = cx.m.if_byname(cx.n0, name_of(entry, vhid)?).ok_or(Errno::ENOENT)?;
    match &found.softc {
        Softc::Carp(sc) => Ok((found.clone(), sc.clone())),
        Softc::Nic(_) => Err(Errno::ENOENT),
    }
}

/// All vhids of an interface, ascending.
pub fn all(cx: &Ctx0<'_>, ifp: &Ifnet) -> Vec<(IfEntry, Arc<CarpSoftc>)> {
    let mut all = Vec::new();
    for e in cx.m.if_entries(cx.n0) {
        if let Softc::Carp(sc) = &e.softc
            && parse(&e.ifp).is_some_and(|(_, of)| of == ifp.if_xname)
        {
            all.push((e.clone(), sc.clone()));
        }
    }
    all.sort_by_key(|(_, sc)| sc.own(cx.n0).vhid.get());
    all
}

/// `SIOCSVH` on an interface: makes the vhid if there is none. What libcarp
/// refuses makes none. `CARPR_VHID_CLEAR` and a vhid takes that one away.
pub fn setvh(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &CarpReq) -> Result<(), Errno> {
    if let Some(vhid @ 1..=255) = req.carpr_vhid.checked_sub(CARPR_VHID_CLEAR) {
        let (e, _) = find(cx, entry, vhid)?;
        return if_clone::destroy_entry(cx, &e);
    }
    match find(cx, entry, req.carpr_vhid) {
        Ok((_, sc)) => cx.carp(|cx| ioctl::setvh(cx, &sc, req)),
        Err(Errno::ENOENT) => create(cx, entry, req),
        Err(e) => Err(e),
    }
}

fn create(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &CarpReq) -> Result<(), Errno> {
    let new = if_clone::attach(cx, name_of(entry, req.carpr_vhid)?)?;
    let Softc::Carp(sc) = &new.softc else { return Err(Errno::EINVAL) };
    let configured = cx
        .carp(|cx| libcarp::ifaddr::set_carpdev(cx, sc, Some(&entry.ifp)))
        .and_then(|()| cx.carp(|cx| ioctl::setvh(cx, sc, req)));
    match configured {
        Ok(()) => if_::if_up(cx, &new),
        Err(_) => if_clone::destroy_entry(cx, &new)?,
    }
    configured
}

/// `SIOCGVH` on an interface: the vhid that is asked for, or all of them for 0.
/// `ENOENT` if there is none.
pub fn getvh(cx: &mut Ctx0<'_>, entry: &IfEntry, vhid: i32, privileged: bool) -> Result<Vec<CarpReq>, Errno> {
    let wanted = match vhid {
        0 => all(cx, &entry.ifp),
        vhid => vec![find(cx, entry, vhid)?],
    };
    Ok(cx.carp(|cx| wanted.iter().map(|(_, sc)| ioctl::getvh(cx, sc, privileged)).collect()))
}

/// An address that has been taken away from `ifp`'s vhids: whether one of them
/// had it. The vhid goes with its last one.
pub fn delete_address(cx: &mut Ctx0<'_>, entry: &IfEntry, addr: IpAddr) -> bool {
    for (e, _) in all(cx, &entry.ifp) {
        let mine = ifaddr::addresses_of(cx.m, cx.n0, &e.ifp);
        let Some(ia) = mine.iter().find(|ia| ia.ifa_addr == addr) else { continue };
        ifaddr::delete_address(cx, ia);
        if mine.len() == 1 {
            // Only what is no clone refuses.
            let _ = if_clone::destroy_entry(cx, &e);
        }
        return true;
    }
    false
}

/// Adds an address to a vhid. `EEXIST` for one that the interface has already.
pub fn add_address(cx: &mut Ctx0<'_>, entry: &IfEntry, vhid: i32, net: IpNet) -> Result<(), Errno> {
    let (e, _) = find(cx, entry, vhid)?;
    match ifaddr::addresses_of(cx.m, cx.n0, &e.ifp).into_iter().find(|ia| ia.ifa_addr == net.addr()) {
        Some(ia) => ifaddr::change_address(cx, &ia, Some(net.prefix_len()), None)?,
        None => ifaddr::add_address(cx, &e.ifp, net, None)?,
    }
    ifaddr::bring_up(cx, entry);
    Ok(())
}

/// The interface leaves: so do its vhids.
pub fn destroy_all(cx: &mut Ctx0<'_>, ifp: &Ifnet) {
    for (e, _) in all(cx, ifp) {
        // Only what is no clone refuses.
        let _ = if_clone::destroy_entry(cx, &e);
    }
}
