//! FreeBSD's model of CARP: a vhid is no interface of its own but belongs to
//! the interface that carries it, and so do its addresses.
//!
//! Underneath it is a carp interface like any other, whose parent was chosen by
//! name. It is called `VHID@IFNAME`, as FreeBSD's log calls it, shows up on no
//! list, and goes with its last address. Where that is longer than a name may be it is
//! `VHID@HASH~END`: four digits of the SHA-1 of the interface's name, and as much of its
//! end as has room.

use crate::machine::{Ctx0, Machine};
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::{if_clone, ifaddr};
use compat::net::if_::{IFNAMSIZ, IFT_CARP, IfName};
use compat::qsbr::Netisr;
use compat::sys::errno::Errno;
use core::net::IpAddr;
use ipnet::IpNet;
use libcarp::carpreq::{CARPR_VHID_CLEAR, CarpReq};
use libcarp::types::Vhid;
use libcarp::{CarpSoftc, Ifnet, ioctl};
use sha1::{Digest, Sha1};
use triomphe::Arc;

/// Whether an interface is such a vhid.
pub fn is_vhid(ifp: &Ifnet) -> bool {
    vhid_of(ifp).is_some()
}

/// The number in a name that [`name_on`] made.
fn vhid_of(ifp: &Ifnet) -> Option<Vhid> {
    let (vhid, _) = ifp.if_xname.as_str().split_once('@').filter(|_| ifp.if_type == IFT_CARP)?;
    Vhid::new(vhid.parse().ok()?)
}

/// What a vhid on that interface is called.
fn name_on(ifname: IfName, vhid: Vhid) -> Option<IfName> {
    let (ifname, vhid) = (ifname.as_str(), vhid.get());
    IfName::new(&format!("{vhid}@{ifname}")).or_else(|| {
        let [a, b, ..]: [u8; 20] = Sha1::digest(ifname).into();
        let begin = format!("{vhid}@{a:02x}{b:02x}~");
        let end = ifname.get((ifname.len() + begin.len()).checked_sub(IFNAMSIZ - 1)?..)?;
        IfName::new(&format!("{begin}{end}"))
    })
}

/// Whether a vhid of that name is `ifp`'s.
fn carries(ifp: &Ifnet, name: IfName, vhid: Vhid) -> bool {
    ifp.if_type != IFT_CARP && name_on(ifp.if_xname, vhid) == Some(name)
}

/// `ifp` as others are told of it: a vhid is its interface and a number, any
/// other interface is itself and 0.
pub fn shown<'n>(m: &'n Machine, n: &'n Netisr, ifp: &'n Arc<Ifnet>) -> (&'n Arc<Ifnet>, u8) {
    let Some(vhid) = vhid_of(ifp) else { return (ifp, 0) };
    let found = m.ifnets.load(n).and_then(|t| t.iter().find(|e| carries(&e.ifp, ifp.if_xname, vhid)));
    found.map_or((ifp, 0), |e| (&e.ifp, vhid.get()))
}

/// `EINVAL` for what is no vhid.
fn name_of(entry: &IfEntry, vhid: i32) -> Result<(IfName, Vhid), Errno> {
    let vhid = u8::try_from(vhid).ok().and_then(Vhid::new).ok_or(Errno::EINVAL)?;
    Ok((name_on(entry.ifp.if_xname, vhid).ok_or(Errno::EINVAL)?, vhid))
}

/// The vhid of an interface. `ENOENT` if it has no such one.
pub fn find(cx: &Ctx0<'_>, entry: &IfEntry, vhid: i32) -> Result<(IfEntry, Arc<CarpSoftc>), Errno> {
    let found = cx.m.if_byname(cx.n0, name_of(entry, vhid)?.0).ok_or(Errno::ENOENT)?;
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
            && vhid_of(&e.ifp).is_some_and(|vhid| carries(ifp, e.ifp.if_xname, vhid))
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
    let (name, vhid) = name_of(entry, req.carpr_vhid)?;
    // Another name that is too long may come to the same.
    let is_anothers = |e: &IfEntry| !Arc::ptr_eq(&e.ifp, &entry.ifp) && carries(&e.ifp, name, vhid);
    if cx.m.if_entries(cx.n0).iter().any(is_anothers) {
        return Err(Errno::EEXIST);
    }
    let new = if_clone::attach(cx, name)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn on(ifname: &str, vhid: u8) -> String {
        name_on(IfName::new(ifname).unwrap(), Vhid::new(vhid).unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_name_that_is_too_long_keeps_its_end_and_is_nobody_elses() {
        assert_eq!([on("em0", 1), on("enp65s0f0np0", 99)], ["1@em0", "99@enp65s0f0np0"]);
        assert_eq!(on("enp65s0f0np0", 100), "100@aeb4~0f0np0");
        assert_eq!(on("enx001122334455", 255), "255@470a~334455");
        assert_ne!(on("enx001122334455", 255), on("enx991122334455", 255));
    }
}
