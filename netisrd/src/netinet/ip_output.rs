//! `netinet/ip_output.c`: IPv4 packets out.

use crate::machine::Ctx;
use crate::net::if_::Softc;
use crate::net::if_ethersubr::ether_output;
use crate::net::route;
use crate::netinet::if_ether;
use crate::netinet::in_::AddrEntry;
use compat::net::ethernet::{ETHERTYPE_IP, map_ip_multicast};
use compat::netinet::ip::Ip;
use compat::sys::errno::Errno;
use core::net::Ipv4Addr;
use libcarp::Ifnet;
use triomphe::Arc;

/// `ip_output` to a multicast group, with `IP_RAWOUTPUT`: `packet` is whole.
pub fn ip_rawoutput(cx: Ctx<'_>, ifp: &Arc<Ifnet>, packet: &[u8]) -> Result<(), Errno> {
    let dst: [u8; 4] = packet.get(16..20).and_then(|d| d.try_into().ok()).ok_or(Errno::EINVAL)?;
    ether_output(cx, ifp, map_ip_multicast(dst.into()), ETHERTYPE_IP, packet)
}

/// `ip_output` to a host: by the route's interface, or by the carp interface
/// that the source address belongs to; `rcvif`, where what this answers came
/// in, if several have it. `EHOSTUNREACH` without a route.
pub fn ip_output(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, ip: &Ip, packet: &[u8]) -> Result<(), Errno> {
    let routes = cx.cpu.routes.borrow().clone();
    let Some(rt) = route::rtlookup(&routes, ip.dst) else {
        cx.m.ipstat.noroute.add(1);
        return Err(Errno::EHOSTUNREACH);
    };
    let ifp = carp_source(cx, rcvif, ip.src).unwrap_or_else(|| rt.ifp.clone());
    if_ether::arp_output(cx, &ifp, ip.src, ip.dst, packet)
}

/// What a MASTER says in the name of a virtual address leaves under the
/// virtual MAC, whichever address holds the prefix route: switches then know
/// where that MAC is. (Upstream follows the route alone.)
fn carp_source(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, src: Ipv4Addr) -> Option<Arc<Ifnet>> {
    let master = |e: &&AddrEntry| match &e.entry.softc {
        Softc::Carp(sc) => sc.is_running_master(),
        Softc::Nic(_) => false,
    };
    let masters = || cx.m.addrs.load(cx.n).into_iter().flat_map(|t| t.lookup(src)).filter(master);
    let same = masters().find(|e| Arc::ptr_eq(&e.entry.ifp, rcvif));
    same.or_else(|| masters().next()).map(|e| e.entry.ifp.clone())
}
