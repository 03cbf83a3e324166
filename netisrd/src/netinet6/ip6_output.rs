//! `netinet6/ip6_output.c`: IPv6 packets out.

use crate::machine::Ctx;
use crate::net::if_ethersubr::ether_output;
use crate::net::{if_llatbl, route};
use crate::netinet::ip_output::source_ifp;
use compat::net::ethernet::ETHERTYPE_IPV6;
use compat::netinet6::in6::map_ipv6_multicast;
use compat::netinet6::ip6::Ip6;
use compat::sys::errno::Errno;
use libcarp::Ifnet;
use triomphe::Arc;

/// `ip6_output` to a group, from the MAC of `ifp`.
pub fn ip6_multicast(cx: Ctx<'_>, ifp: &Arc<Ifnet>, ip6: &Ip6, payload: &[u8]) -> Result<(), Errno> {
    ether_output(cx, ifp, map_ipv6_multicast(ip6.dst), ETHERTYPE_IPV6, &ip6.packet(payload))
}

/// `ip6_output` to a host: a link-local one is on the wire of `rcvif`, where
/// what this answers came in; for others the route decides, as for IPv4.
/// `EHOSTUNREACH` without a route.
pub fn ip6_output(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, ip6: &Ip6, payload: &[u8]) -> Result<(), Errno> {
    let routes = cx.cpu.routes.borrow().clone();
    let route_ifp = if ip6.dst.is_unicast_link_local() {
        rcvif.clone()
    } else {
        let Some(rt) = route::rtlookup(&routes, ip6.dst.into()) else {
            cx.m.ip6stat.noroute.add(1);
            return Err(Errno::EHOSTUNREACH);
        };
        rt.ifp.clone()
    };
    let ifp = source_ifp(cx, rcvif, ip6.src.into(), &route_ifp).unwrap_or(route_ifp);
    if_llatbl::resolve_output(cx, &ifp, ip6.src.into(), ip6.dst.into(), &ip6.packet(payload))
}
