//! `netinet/ip_output.c`: IPv4 packets out.

use crate::machine::Ctx;
use crate::net::ifaddr::{self, AddrEntry};
use crate::net::{if_llatbl, route};
use compat::netinet::ip::Ip;
use compat::sys::errno::Errno;
use core::net::IpAddr;
use libcarp::Ifnet;
use triomphe::Arc;

/// `ip_output` to a host: by the route's interface, or the one on the same wire
/// that the source address belongs to; `rcvif`, where what this answers came
/// in, if several have it. `EHOSTUNREACH` without a route.
pub fn ip_output(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, ip: &Ip, packet: &[u8]) -> Result<(), Errno> {
    let routes = cx.cpu.routes.borrow().clone();
    let Some(rt) = route::rtlookup(&routes, ip.dst.into()) else {
        cx.m.ipstat.noroute.add(1);
        return Err(Errno::EHOSTUNREACH);
    };
    let ifp = source_ifp(cx, rcvif, ip.src.into(), &rt.ifp).unwrap_or_else(|| rt.ifp.clone());
    if_llatbl::resolve_output(cx, &ifp, ip.src.into(), ip.dst.into(), packet)
}

/// What is said in the name of an address leaves by the interface that has it:
/// a virtual address's under the virtual MAC, so that switches know where that
/// MAC is, and the machine's own under its own. The route decides which wire.
/// (Upstream follows the route alone, which a MASTER holds.)
pub fn source_ifp(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, src: IpAddr, rt_ifp: &Arc<Ifnet>) -> Option<Arc<Ifnet>> {
    let here = |e: &&AddrEntry| ifaddr::is_ours(e) && ifaddr::same_wire(cx, &e.entry.ifp, rt_ifp);
    let holders = || cx.m.addrs.load(cx.n).into_iter().flat_map(|t| t.lookup(src)).filter(here);
    let same = holders().find(|e| Arc::ptr_eq(&e.entry.ifp, rcvif));
    same.or_else(|| holders().next()).map(|e| e.entry.ifp.clone())
}
