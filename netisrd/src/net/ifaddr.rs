//! `net/if_var.h`'s addresses: what the machine's interfaces have, of both
//! families, and how it comes and goes.

use crate::machine::{Ctx, Ctx0, Machine};
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::{if_llatbl, lent, route, rtsock};
use crate::netinet::if_ether;
use crate::netinet6::in6;
use compat::net::if_::Iff;
use compat::net::route::{RTM_DELADDR, RTM_NEWADDR};
use compat::netinet::in_::INADDR_ALLHOSTS_GROUP;
use compat::netinet6::in6::solicited_node;
use compat::qsbr::{Netisr0, service_sync};
use compat::sys::canary::Canary;
use compat::sys::errno::Errno;
use core::net::{IpAddr, Ipv4Addr};
use ipnet::IpNet;
use libcarp::ifaddr::{self, IfaddrEvent};
use libcarp::{Ifaddr, Ifnet, vhaddr};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use triomphe::Arc;

/// One address, for whoever receives or sends.
#[derive(Clone)]
pub struct AddrEntry {
    /// `ifa_ifp` and what is behind it.
    pub entry: IfEntry,
}

/// `INADDR_HASH`, `in6_ifaddr`: every address of the machine, copied and
/// switched like `if_carp`.
#[derive(Clone, Default)]
pub struct AddrTable {
    addrs: BTreeMap<IpAddr, Vec<AddrEntry>>,
    canary: Canary,
}

impl AddrTable {
    /// Who has `addr`; a real interface may have it beside carp interfaces,
    /// and a link-local address is another one on each link.
    #[inline]
    pub fn lookup(&self, addr: IpAddr) -> &[AddrEntry] {
        self.canary.check();
        self.addrs.get(&addr).map_or(&[], Vec::as_slice)
    }
}

/// The addresses of `ifp`, oldest first.
pub fn addresses_of(m: &Machine, n0: &Netisr0, ifp: &Arc<Ifnet>) -> Vec<Arc<Ifaddr>> {
    let all = m.own(n0).ifaddrs.borrow();
    all.iter().filter(|ia| Arc::ptr_eq(&ia.ifa_ifp, ifp)).cloned().collect()
}

/// `in6ifa_ifpforlinklocal`: the link-local address of `ifp`.
pub fn linklocal_of(m: &Machine, n0: &Netisr0, ifp: &Arc<Ifnet>) -> Option<core::net::Ipv6Addr> {
    addresses_of(m, n0, ifp).into_iter().find_map(|ia| match ia.ifa_addr {
        IpAddr::V6(a) if a.is_unicast_link_local() => Some(a),
        _ => None,
    })
}

/// Copies the addresses into a new table, switches, synchronises, frees. Of a machine
/// that is still being built only once, by whoever builds it.
pub(crate) fn publish(cx: &mut Ctx0<'_>) {
    if cx.m.mute.load(Ordering::Relaxed) {
        return;
    }
    let mut table = AddrTable::default();
    for ia in cx.m.own(cx.n0).ifaddrs.borrow().iter() {
        if let Some(entry) = cx.m.ifentry(cx.n0, ia.ifa_ifp.if_index) {
            table.addrs.entry(ia.ifa_addr).or_default().push(AddrEntry { entry: entry.clone() });
        }
    }
    let old = cx.m.addrs.swap(cx.n0, Some(Box::new(table)));
    drop(service_sync(cx.n0, old));
}

/// The group that an address makes its interface join.
fn group_of(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => INADDR_ALLHOSTS_GROUP.into(),
        IpAddr::V6(a) => solicited_node(a).into(),
    }
}

/// `in_control`, `in6_control`, adding: the interface has one address more, and
/// CARP is told. If CARP refuses, the address is gone again.
pub fn add_address(
    cx: &mut Ctx0<'_>,
    ifp: &Arc<Ifnet>,
    net: IpNet,
    broad: Option<Ipv4Addr>,
) -> Result<(), Errno> {
    if matches!(net, IpNet::V6(_)) {
        in6::ifattach(cx, ifp, net)?;
    }
    let ia = Arc::new(Ifaddr::new(&cx.m.brand, ifp.clone(), net));
    if let Some(b) = broad {
        ia.set_broad(cx.n0, b);
    }
    if_::addmulti(cx.m, cx.n0, ifp, group_of(ia.ifa_addr));
    cx.m.own(cx.n0).ifaddrs.borrow_mut().push(ia.clone());
    in6::review_allnodes(cx, ifp);
    if !if_::is_carp(ifp) {
        route::in_addprefix(cx.m, cx.cpu, cx.n0, &ia);
    }
    publish(cx);
    let added = cx.carp(|cx| ifaddr::ifaddr(cx, &ia, IfaddrEvent::Add));
    if added.is_err() {
        forget(cx, &ia);
    } else if !if_::is_carp(ifp) && !ifp.shared_with_host {
        // arp_ifinit: who else has it is told, and tells.
        announce(cx.any(), ifp, ia.ifa_addr);
    }
    if added.is_ok() {
        rtsock::rt_newaddrmsg(cx.m, cx.n0, &ia, RTM_NEWADDR);
    }
    added
}

/// `arp_gratuitous`, `nd6_na_output`: everyone who knows `addr` learns the MAC
/// of `ifp`.
pub fn announce(cx: Ctx<'_>, ifp: &Arc<Ifnet>, addr: IpAddr) {
    let sent = match addr {
        IpAddr::V4(a) => if_ether::arprequest(cx, ifp, a, a),
        IpAddr::V6(a) => crate::netinet6::nd6::na_unsolicited(cx, ifp, a),
    };
    if let Err(e) = sent {
        tracing::debug!("{}: announcement of {addr}: {e}", ifp.if_xname);
    }
}

/// The address leaves every table.
fn forget(cx: &mut Ctx0<'_>, ia: &Arc<Ifaddr>) {
    if_::delmulti(cx.m, cx.n0, &ia.ifa_ifp, group_of(ia.ifa_addr));
    cx.m.own(cx.n0).ifaddrs.borrow_mut().retain(|i| !Arc::ptr_eq(i, ia));
    lent::forget(cx, ia);
    in6::review_allnodes(cx, &ia.ifa_ifp);
    route::in_scrubprefix(cx.m, cx.cpu, cx.n0, ia);
    publish(cx);
}

/// Another prefix length or broadcast address for an address that is there.
pub fn change_address(
    cx: &mut Ctx0<'_>,
    ia: &Arc<Ifaddr>,
    prefixlen: Option<u8>,
    broad: Option<Ipv4Addr>,
) -> Result<(), Errno> {
    let before = (ia.net(cx.n0).prefix_len(), ia.broad(cx.n0));
    let prefixlen = prefixlen.unwrap_or(before.0);
    if prefixlen == before.0 {
        // Nothing that CARP's digest or its choice of a parent depends on.
        ia.set_broad(cx.n0, broad.unwrap_or(before.1));
        publish(cx);
        return Ok(());
    }
    let old = Arc::new(Ifaddr::new(&cx.m.brand, ia.ifa_ifp.clone(), ia.net(cx.n0)));
    old.set_broad(cx.n0, before.1);
    set_prefix(cx, ia, prefixlen, broad);
    let changed = cx.carp(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Change));
    if changed.is_err() {
        // CARP has left all as it was.
        set_prefix(cx, ia, before.0, Some(before.1));
        cx.carp(|cx| vhaddr::claim_routes(cx));
    } else {
        rtsock::rt_newaddrmsg(cx.m, cx.n0, &old, RTM_DELADDR);
        rtsock::rt_newaddrmsg(cx.m, cx.n0, ia, RTM_NEWADDR);
    }
    changed
}

fn set_prefix(cx: &mut Ctx0<'_>, ia: &Arc<Ifaddr>, prefixlen: u8, broad: Option<Ipv4Addr>) {
    route::in_scrubprefix(cx.m, cx.cpu, cx.n0, ia);
    ia.set_prefixlen(cx.n0, prefixlen);
    if let Some(b) = broad {
        ia.set_broad(cx.n0, b);
    }
    if !if_::is_carp(&ia.ifa_ifp) {
        route::in_addprefix(cx.m, cx.cpu, cx.n0, ia);
    }
    publish(cx);
}

/// `ether_ioctl(SIOCSIFADDR)`: an interface that gets an address comes up.
pub fn bring_up(cx: &mut Ctx0<'_>, entry: &IfEntry) {
    if !entry.ifp.flags().contains(Iff::UP) {
        if_::if_up(cx, entry);
    }
}

/// CARP is told while the address is still in the list, as upstream, but no
/// longer the holder of a route.
pub fn delete_address(cx: &mut Ctx0<'_>, ia: &Arc<Ifaddr>) {
    route::in_scrubprefix(cx.m, cx.cpu, cx.n0, ia);
    // A deletion is never refused.
    let _ = cx.carp(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Delete));
    forget(cx, ia);
    // Whoever inherits its route may back a MASTER.
    cx.carp(|cx| vhaddr::claim_routes(cx));
    rtsock::rt_newaddrmsg(cx.m, cx.n0, ia, RTM_DELADDR);
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

/// The same for a packet that came in on `rcvif`: a link-local address is ours
/// on its own link only.
pub fn is_ours_on(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, addr: IpAddr, e: &AddrEntry) -> bool {
    let scoped = matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local());
    is_ours(e) && (!scoped || same_wire(cx, rcvif, &e.entry.ifp))
}

/// Whether frames of both leave by the same real interface.
pub fn same_wire(cx: Ctx<'_>, a: &Arc<Ifnet>, b: &Arc<Ifnet>) -> bool {
    match (if_llatbl::real_ifp(cx, a), if_llatbl::real_ifp(cx, b)) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
