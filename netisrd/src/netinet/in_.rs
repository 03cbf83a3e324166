//! `netinet/in.c`: the machine's IPv4 addresses.

use crate::machine::{Ctx0, Machine};
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::route;
use crate::netinet::if_ether;
use compat::net::if_::{IfAliasReq, IfReq, Iff};
use compat::netinet::in_::{INADDR_ALLHOSTS_GROUP, class_mask};
use compat::qsbr::{Netisr0, service_sync};
use compat::sys::errno::Errno;
use compat::sys::socket::{AF_INET, AF_UNSPEC};
use core::net::Ipv4Addr;
use libcarp::ifaddr::{self, IfaddrEvent};
use libcarp::{Ifnet, InIfaddr};
use std::collections::BTreeMap;
use triomphe::Arc;

/// One address, for whoever receives or sends.
#[derive(Clone)]
pub struct AddrEntry {
    /// `ia_ifp` and what is behind it.
    pub entry: IfEntry,
    /// `ia_subnetmask`
    pub mask: Ipv4Addr,
    /// `ia_broadaddr`
    pub broad: Ipv4Addr,
}

/// `INADDR_HASH`: every address of the machine, copied and switched like
/// `if_carp`.
#[derive(Clone, Default)]
pub struct AddrTable {
    addrs: BTreeMap<Ipv4Addr, Vec<AddrEntry>>,
}

impl AddrTable {
    /// Who has `addr`; a real interface may have it beside a carp interface.
    #[inline]
    pub fn lookup(&self, addr: Ipv4Addr) -> &[AddrEntry] {
        self.addrs.get(&addr).map_or(&[], Vec::as_slice)
    }
}

/// The addresses of `ifp`, oldest first.
pub fn addresses_of(m: &Machine, n0: &Netisr0, ifp: &Arc<Ifnet>) -> Vec<Arc<InIfaddr>> {
    let all = m.own(n0).in_ifaddrs.borrow();
    all.iter().filter(|ia| Arc::ptr_eq(&ia.ia_ifp, ifp)).cloned().collect()
}

/// Copies the addresses into a new table, switches, synchronises, frees.
fn publish(cx: &mut Ctx0<'_>) {
    let mut table = AddrTable::default();
    for ia in cx.m.own(cx.n0).in_ifaddrs.borrow().iter() {
        if let Some(entry) = cx.m.ifentry(cx.n0, ia.ia_ifp.if_index) {
            let e = AddrEntry { entry: entry.clone(), mask: ia.mask(cx.n0), broad: ia.broad(cx.n0) };
            table.addrs.entry(ia.addr(cx.n0)).or_default().push(e);
        }
    }
    let old = cx.m.addrs.swap(cx.n0, Some(Box::new(table)));
    drop(service_sync(cx.n0, old));
}

/// `SIOCAIFADDR`: adds an address, or changes the mask of one that is there.
/// What is there already, as it is, causes no transition.
pub fn aifaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &IfAliasReq) -> Result<(), Errno> {
    let addr = match req.ifra_addr {
        // "netmask M" alone is about the address that is there.
        sin if sin.sin_len == 0 => {
            let first = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().next();
            first.ok_or(Errno::EADDRNOTAVAIL)?.addr(cx.n0)
        }
        sin if sin.sin_family == AF_INET => sin.addr(),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let mask = (req.ifra_mask.sin_len > 0).then(|| req.ifra_mask.addr());
    if !is_host_address(addr) || mask.is_some_and(|m| !is_contiguous(m)) {
        return Err(Errno::EINVAL);
    }
    let broad = (req.ifra_broadaddr.sin_family == AF_INET).then(|| req.ifra_broadaddr.addr());
    let known = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().find(|ia| ia.addr(cx.n0) == addr);
    match known {
        None => {
            let mask = mask.unwrap_or_else(|| class_mask(addr));
            add_address(cx, &entry.ifp, addr, mask, broad)?;
        }
        Some(ia) => change_address(cx, &ia, mask, broad)?,
    }
    bring_up(cx, entry);
    Ok(())
}

/// An address that a host can have.
fn is_host_address(a: Ipv4Addr) -> bool {
    !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast()
}

/// Ones, then zeros.
fn is_contiguous(mask: Ipv4Addr) -> bool {
    let m = u32::from(mask);
    m.leading_ones() + m.trailing_zeros() == 32
}

/// `in_control`, adding: the interface has one address more, and CARP is told.
/// If CARP refuses, the address is gone again.
pub fn add_address(
    cx: &mut Ctx0<'_>,
    ifp: &Arc<Ifnet>,
    addr: Ipv4Addr,
    mask: Ipv4Addr,
    broad: Option<Ipv4Addr>,
) -> Result<(), Errno> {
    let ia = Arc::new(InIfaddr::new(&cx.m.brand, ifp.clone(), addr, mask));
    if let Some(b) = broad {
        ia.set_broad(cx.n0, b);
    }
    if_::in_addmulti(cx.n0, ifp, INADDR_ALLHOSTS_GROUP);
    cx.m.own(cx.n0).in_ifaddrs.borrow_mut().push(ia.clone());
    if !if_::is_carp(ifp) {
        route::in_addprefix(cx.m, cx.cpu, cx.n0, &ia);
    }
    publish(cx);
    let added = cx.carp(|cx| ifaddr::ifaddr(cx, &ia, IfaddrEvent::Add));
    if added.is_err() {
        forget(cx, &ia);
    } else if !if_::is_carp(ifp) && !ifp.shared_with_host {
        // arp_ifinit: who else has it is told, and tells.
        if_ether::arp_gratuitous(cx.any(), ifp, addr);
    }
    added
}

/// The address leaves every table.
fn forget(cx: &mut Ctx0<'_>, ia: &Arc<InIfaddr>) {
    if_::in_delmulti(cx.n0, &ia.ia_ifp, INADDR_ALLHOSTS_GROUP);
    cx.m.own(cx.n0).in_ifaddrs.borrow_mut().retain(|i| !Arc::ptr_eq(i, ia));
    route::in_scrubprefix(cx.m, cx.cpu, cx.n0, ia);
    publish(cx);
}

fn change_address(
    cx: &mut Ctx0<'_>,
    ia: &Arc<InIfaddr>,
    mask: Option<Ipv4Addr>,
    broad: Option<Ipv4Addr>,
) -> Result<(), Errno> {
    let before = (ia.mask(cx.n0), ia.broad(cx.n0));
    let mask = mask.unwrap_or(before.0);
    if mask == before.0 {
        // Nothing that CARP's digest or its choice of a parent depends on.
        ia.set_broad(cx.n0, broad.unwrap_or(before.1));
        publish(cx);
        return Ok(());
    }
    set_prefix(cx, ia, mask, broad);
    let changed = cx.carp(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Change));
    if changed.is_err() {
        set_prefix(cx, ia, before.0, Some(before.1));
        // It was accepted before.
        let _ = cx.carp(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Change));
    }
    changed
}

fn set_prefix(cx: &mut Ctx0<'_>, ia: &Arc<InIfaddr>, mask: Ipv4Addr, broad: Option<Ipv4Addr>) {
    route::in_scrubprefix(cx.m, cx.cpu, cx.n0, ia);
    ia.set_mask(cx.n0, mask);
    if let Some(b) = broad {
        ia.set_broad(cx.n0, b);
    }
    if !if_::is_carp(&ia.ia_ifp) {
        route::in_addprefix(cx.m, cx.cpu, cx.n0, ia);
    }
    publish(cx);
}

/// `ether_ioctl(SIOCSIFADDR)`: an interface that gets an address comes up.
fn bring_up(cx: &mut Ctx0<'_>, entry: &IfEntry) {
    if !entry.ifp.flags().contains(Iff::UP) {
        if_::if_up(cx, entry);
    }
}

/// `SIOCDIFADDR`: deletes the address, the first one if none is named.
/// `EADDRNOTAVAIL` if the interface does not have it.
pub fn difaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &IfReq) -> Result<(), Errno> {
    let sin = req.sin();
    let mut mine = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter();
    let ia = match sin.sin_family {
        AF_UNSPEC => mine.next(),
        AF_INET if sin.addr().is_unspecified() => mine.next(),
        AF_INET => mine.find(|ia| ia.addr(cx.n0) == sin.addr()),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    delete_address(cx, &ia.ok_or(Errno::EADDRNOTAVAIL)?);
    Ok(())
}

/// CARP is told while the address is still in the list, as upstream, but no
/// longer the holder of a route.
fn delete_address(cx: &mut Ctx0<'_>, ia: &Arc<InIfaddr>) {
    route::in_scrubprefix(cx.m, cx.cpu, cx.n0, ia);
    // A deletion is never refused.
    let _ = cx.carp(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Delete));
    forget(cx, ia);
}

/// Deletes all addresses of `ifp`: it leaves.
pub fn delete_addresses(cx: &mut Ctx0<'_>, ifp: &Arc<Ifnet>) {
    for ia in addresses_of(cx.m, cx.n0, ifp) {
        delete_address(cx, &ia);
    }
}

/// Whether a packet to that address is this machine's. An address of a carp
/// interface is, while it is a running MASTER; one that the host lends never
/// is: the host has had the packet.
pub fn is_ours(e: &AddrEntry) -> bool {
    match &e.entry.softc {
        Softc::Carp(sc) => sc.is_running_master(),
        Softc::Nic(_) => !e.entry.ifp.shared_with_host,
    }
}
