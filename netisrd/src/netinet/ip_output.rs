//! `netinet/ip_output.c`: IPv4 packets out.

use crate::machine::Ctx;
use crate::net::if_ethersubr::ether_output;
use crate::net::route;
use crate::netinet::if_ether;
use crate::netinet::in_::{self, AddrEntry};
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

/// `ip_output` to a host: by the route's interface, or the one on the same wire
/// that the source address belongs to; `rcvif`, where what this answers came
/// in, if several have it. `EHOSTUNREACH` without a route.
pub fn ip_output(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, ip: &Ip, packet: &[u8]) -> Result<(), Errno> {
    let routes = cx.cpu.routes.borrow().clone();
    let Some(rt) = route::rtlookup(&routes, ip.dst) else {
        cx.m.ipstat.noroute.add(1);
        return Err(Errno::EHOSTUNREACH);
    };
    let ifp = source_ifp(cx, rcvif, ip.src, &rt.ifp).unwrap_or_else(|| rt.ifp.clone());
    if_ether::arp_output(cx, &ifp, ip.src, ip.dst, packet)
}

/// What is said in the name of an address leaves by the interface that has it:
/// a virtual address's under the virtual MAC, so that switches know where that
/// MAC is, and the machine's own under its own. The route decides which wire.
/// (Upstream follows the route alone, which a MASTER holds.)
fn source_ifp(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, src: Ipv4Addr, rt_ifp: &Arc<Ifnet>) -> Option<Arc<Ifnet>> {
    let wire = if_ether::real_ifp(cx, rt_ifp)?;
    let here = |e: &&AddrEntry| {
        in_::is_ours(e) && if_ether::real_ifp(cx, &e.entry.ifp).is_some_and(|ifp| Arc::ptr_eq(ifp, wire))
    };
    let holders = || cx.m.addrs.load(cx.n).into_iter().flat_map(|t| t.lookup(src)).filter(here);
    let same = holders().find(|e| Arc::ptr_eq(&e.entry.ifp, rcvif));
    same.or_else(|| holders().next()).map(|e| e.entry.ifp.clone())
}
