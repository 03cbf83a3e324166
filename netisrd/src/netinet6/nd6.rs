//! `netinet6/nd6.c`, `nd6_nbr.c`: neighbour discovery. netisr0 answers and
//! learns. The machine looks for no duplicates: a virtual address has two
//! holders by design.

use crate::machine::{Ctx, Ctx0, Machine, Mbuf};
use crate::net::if_llatbl::{self, Concern};
use crate::netinet::if_ether::complain;
use crate::netinet6::{ip6_output, mld6};
use compat::net::ethernet::ETHER_HDR_LEN;
use compat::net::if_::Iff;
use compat::net::if_var::LlAddr;
use compat::netinet6::icmp6::{ND_NA_FLAG_OVERRIDE, ND_NA_FLAG_ROUTER, ND_NA_FLAG_SOLICITED, Nd, cksum_ok};
use compat::netinet6::in6::{IN6ADDR_LINKLOCAL_ALLNODES, IPPROTO_HOPOPTS, IPPROTO_ICMPV6, solicited_node};
use compat::netinet6::ip6::Ip6;
use compat::sys::errno::Errno;
use core::net::Ipv6Addr;
use core::sync::atomic::Ordering;
use libcarp::Ifnet;
use triomphe::Arc;

/// A message of neighbour discovery never leaves its link.
const HLIM: u8 = 255;

/// One message of neighbour or listener discovery, in netisr0.
pub fn input(cx: &mut Ctx0<'_>, m: &Mbuf) {
    let packet = m.data.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    let Some(ip6) = cx.m.ip6stat.header(packet) else { return };
    if ip6.nxt == IPPROTO_HOPOPTS {
        cx.m.ip6stat.delivered.add(1);
        return mld6::input(cx, &m.rcvif, &ip6, packet);
    }
    let icmp6 = ip6.payload(packet);
    if !cksum_ok(&ip6, icmp6) {
        return cx.m.ip6stat.badsum.add(1);
    }
    cx.m.ip6stat.delivered.add(1);
    match Nd::parse(&ip6, icmp6) {
        Some(Nd::Solicit { target, lladdr }) => ns_input(cx, &m.rcvif, &ip6, target, lladdr),
        Some(Nd::Advert { target, lladdr, .. }) => na_input(cx, &m.rcvif, target, lladdr),
        None => {}
    }
}

/// `nd6_ns_input`: the MASTER answers for its virtual addresses, from the
/// virtual MAC, and nobody else does.
fn ns_input(cx: &mut Ctx0<'_>, rcvif: &Arc<Ifnet>, ip6: &Ip6, target: Ipv6Addr, lladdr: Option<LlAddr>) {
    if rcvif.flags().contains(Iff::NOARP) {
        return;
    }
    let me = match if_llatbl::whom_it_concerns(cx, rcvif, target.into(), ip6.src.into()) {
        Concern::CarpMaster(ifp) | Concern::Local(ifp) => ifp,
        Concern::CarpBackup | Concern::Nobody => return,
    };
    if lladdr == Some(me.lladdr()) {
        return; // from me
    }
    let flags = ND_NA_FLAG_OVERRIDE | router_flag(cx.m);
    let answer = Nd::Advert { target, flags, lladdr: Some(me.lladdr()) };
    let sent = if ip6.src.is_unspecified() {
        // Somebody looks for a duplicate: all nodes are told that there is one.
        na_output(cx.any(), &me, IN6ADDR_LINKLOCAL_ALLNODES, answer)
    } else {
        if let Some(lladdr) = lladdr {
            if_llatbl::learn(cx, rcvif, ip6.src.into(), lladdr, true);
        }
        let flags = flags | ND_NA_FLAG_SOLICITED;
        na_output(cx.any(), &me, ip6.src, Nd::Advert { target, flags, lladdr: Some(me.lladdr()) })
    };
    if let Err(e) = sent {
        tracing::debug!("{}: advertisement of {target} to {}: {e}", me.if_xname, ip6.src);
    }
}

/// `nd6_na_input`: whoever is waited for has answered. What is said of an
/// address of ours changes nothing: a BACKUP hears the MASTER's advertisement
/// of an address that it has too.
fn na_input(cx: &mut Ctx0<'_>, rcvif: &Arc<Ifnet>, target: Ipv6Addr, lladdr: Option<LlAddr>) {
    let Some(lladdr) = lladdr else { return };
    match if_llatbl::whom_it_concerns(cx, rcvif, target.into(), target.into()) {
        Concern::CarpMaster(me) | Concern::Local(me) if me.lladdr() != lladdr => {
            let [a, b, c, d, e, f] = lladdr;
            let mac = format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            complain(cx, format_args!("nd6: {mac} is using my IP address {target}!"));
        }
        Concern::Nobody if !rcvif.flags().contains(Iff::STATICARP) => {
            if_llatbl::learn(cx, rcvif, target.into(), lladdr, false);
        }
        _ => {}
    }
}

/// `nd6_na_output`: from the address that is advertised.
fn na_output(cx: Ctx<'_>, ifp: &Arc<Ifnet>, dst: Ipv6Addr, nd: Nd) -> Result<(), Errno> {
    let (Nd::Advert { target: src, .. } | Nd::Solicit { target: src, .. }) = nd;
    output(cx, ifp, src, dst, nd)
}

/// Whoever hears of a router that it is none takes it out of its routes.
fn router_flag(m: &Machine) -> u8 {
    if m.ip6_forwarding.load(Ordering::Relaxed) { ND_NA_FLAG_ROUTER } else { 0 }
}

/// Everyone who knows `addr` learns the MAC of `ifp`.
pub fn na_unsolicited(cx: Ctx<'_>, ifp: &Arc<Ifnet>, addr: Ipv6Addr) -> Result<(), Errno> {
    let flags = ND_NA_FLAG_OVERRIDE | router_flag(cx.m);
    let nd = Nd::Advert { target: addr, flags, lladdr: Some(ifp.lladdr()) };
    na_output(cx, ifp, IN6ADDR_LINKLOCAL_ALLNODES, nd)
}

/// `nd6_ns_output`: asks for the MAC of `target` in the name of `src`, whose
/// interface `ifp` is: for a virtual address, under the virtual MAC.
pub fn ns_output(cx: Ctx<'_>, ifp: &Arc<Ifnet>, src: Ipv6Addr, target: Ipv6Addr) -> Result<(), Errno> {
    let lladdr = Some(ifp.lladdr()).filter(|_| !src.is_unspecified());
    output(cx, ifp, src, solicited_node(target), Nd::Solicit { target, lladdr })
}

fn output(cx: Ctx<'_>, ifp: &Arc<Ifnet>, src: Ipv6Addr, dst: Ipv6Addr, nd: Nd) -> Result<(), Errno> {
    let ip6 = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: HLIM, src, dst };
    let message = nd.emit(src, dst);
    if dst.is_multicast() {
        ip6_output::ip6_multicast(cx, ifp, &ip6, &message)
    } else {
        if_llatbl::resolve_output(cx, ifp, src.into(), dst.into(), &ip6.packet(&message))
    }
}
