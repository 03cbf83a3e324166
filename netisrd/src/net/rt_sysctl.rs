//! `net/rtsock.c`'s sysctls: the interface list (`NET_RT_IFLIST`, which is
//! what `getifaddrs(3)` reads) and the routing table (`NET_RT_DUMP`), as
//! routing messages, page by page.

use crate::machine::Ctx0;
use crate::net::rtsock::{if_data, push_ifa, push_link, push_route};
use crate::net::{if_, ifaddr};
use crate::netinet::carp_vhid;
use compat::net::if_::IfMsghdr;
use compat::net::route::{RTA_IFP, RTM_GET, RTM_IFINFO, RTM_NEWADDR, RTM_VERSION};
use compat::sys::ctlsock::MAX_PACKET;
use compat::sys::errno::Errno;
use libcarp::Ifnet;
use zerocopy::{FromZeros, IntoBytes};

/// Bytes of one answer: what fits in a packet beside its header.
const PAGE: usize = MAX_PACKET - 1024;

/// `sysctl_iflist`: the interfaces from index `first` on with their addresses,
/// those of FreeBSD's vhids among them, as many as fit in one answer.
/// `EMSGSIZE` if not even one does.
pub fn iflist(cx: &Ctx0<'_>, first: u16) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    for entry in cx.m.if_entries(cx.n0).iter().filter(|e| e.ifp.if_index >= first) {
        let ifp = &entry.ifp;
        if carp_vhid::is_vhid(ifp) {
            continue;
        }
        let before = out.len();
        if_::count_input_drops(entry);
        push_if(&mut out, ifp);
        for ia in ifaddr::addresses_of(cx.m, cx.n0, ifp) {
            push_ifa(&mut out, cx.n0, &ia, RTM_NEWADDR, ifp.if_index, 0);
        }
        for (e, sc) in carp_vhid::all(cx, ifp) {
            let vhid = sc.own(cx.n0).vhid.get().map_or(0, |v| v.get());
            for ia in ifaddr::addresses_of(cx.m, cx.n0, &e.ifp) {
                push_ifa(&mut out, cx.n0, &ia, RTM_NEWADDR, ifp.if_index, vhid);
            }
        }
        if out.len() > PAGE {
            out.truncate(before);
            return if before > 0 { Ok(out) } else { Err(Errno::EMSGSIZE) };
        }
    }
    Ok(out)
}

fn push_if(out: &mut Vec<u8>, ifp: &Ifnet) {
    let mut link = Vec::new();
    push_link(&mut link, ifp);
    let mut hdr = IfMsghdr::new_zeroed();
    hdr.ifm_msglen = (size_of::<IfMsghdr>() + link.len()) as u16;
    hdr.ifm_version = RTM_VERSION;
    hdr.ifm_type = RTM_IFINFO;
    hdr.ifm_index = ifp.if_index;
    hdr.ifm_flags = ifp.flags().bits() as i32;
    hdr.ifm_addrs = RTA_IFP;
    hdr.ifm_data = if_data(ifp);
    out.extend_from_slice(hdr.as_bytes());
    out.extend_from_slice(&link);
}

/// `sysctl_dumpentry`: the routes from number `first` on, as many as fit in one
/// answer.
pub fn table(cx: &Ctx0<'_>, first: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let routes = cx.cpu.routes.borrow().clone();
    for route in routes.iter().skip(first as usize) {
        let before = out.len();
        push_route(&mut out, carp_vhid::shown(cx.m, cx.n0, &route.ifp).0, route, RTM_GET);
        if out.len() > PAGE {
            out.truncate(before);
            break;
        }
    }
    out
}
