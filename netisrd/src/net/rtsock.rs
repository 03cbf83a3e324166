//! `net/rtsock.c`: the interface list as routing messages
//! (`sysctl NET_RT_IFLIST`), which is what `getifaddrs(3)` reads.

use crate::machine::Ctx0;
use crate::net::if_::IfEntry;
use crate::net::ifaddr;
use crate::netinet::carp_vhid;
use compat::net::if_::{IfData, IfMsghdr, IfaMsghdr};
use compat::net::if_dl::SockAddrDl;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::ctlsock::MAX_PACKET;
use compat::sys::errno::Errno;
use compat::sys::socket::rt_roundup;
use core::net::IpAddr;
use ipnet::IpNet;
use libcarp::{Ifaddr, Ifnet};
use triomphe::Arc;
use zerocopy::{FromZeros, IntoBytes};

/// `RTM_VERSION`
pub const RTM_VERSION: u8 = 7;
/// `RTM_NEWADDR`
pub const RTM_NEWADDR: u8 = 0xc;
/// `RTM_IFINFO`
pub const RTM_IFINFO: u8 = 0xe;
const RTA_NETMASK: i32 = 0x4;
const RTA_IFP: i32 = 0x10;
const RTA_IFA: i32 = 0x20;
const RTA_BRD: i32 = 0x80;

/// Bytes of one answer: what fits in a packet beside its header.
const PAGE: usize = MAX_PACKET - 1024;

/// `sysctl_iflist`: the interfaces from index `first` on with their addresses,
/// as many as fit in one answer. `EMSGSIZE` if not even one does.
pub fn sysctl_iflist(cx: &Ctx0<'_>, first: u16) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    for IfEntry { ifp, .. } in cx.m.if_entries(cx.n0).iter().filter(|e| e.ifp.if_index >= first) {
        if carp_vhid::is_vhid(ifp) {
            continue;
        }
        let before = out.len();
        push_if(&mut out, ifp);
        for ia in ifaddr::addresses_of(cx.m, cx.n0, ifp) {
            push_ifa(&mut out, cx, ifp, &ia, 0);
        }
        for (e, sc) in carp_vhid::all(cx, ifp) {
            let vhid = sc.own(cx.n0).vhid.get().map_or(0, |v| v.get());
            for ia in ifaddr::addresses_of(cx.m, cx.n0, &e.ifp) {
                push_ifa(&mut out, cx, ifp, &ia, vhid);
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
    let sdl = SockAddrDl::new(ifp.if_index, ifp.if_type, ifp.if_xname.as_str(), ifp.lladdr());
    let mut hdr = IfMsghdr::new_zeroed();
    hdr.ifm_msglen = (size_of::<IfMsghdr>() + rt_roundup(sdl.sdl_len)) as u16;
    hdr.ifm_version = RTM_VERSION;
    hdr.ifm_type = RTM_IFINFO;
    hdr.ifm_index = ifp.if_index;
    hdr.ifm_flags = ifp.flags().bits() as i32;
    hdr.ifm_addrs = RTA_IFP;
    hdr.ifm_data = if_data(ifp);
    out.extend_from_slice(hdr.as_bytes());
    push_sockaddr(out, sdl.sdl_len, sdl.as_bytes());
}

fn if_data(ifp: &Ifnet) -> IfData {
    let s = &ifp.stats;
    IfData {
        ifi_type: ifp.if_type,
        ifi_addrlen: 6,
        ifi_hdrlen: 14,
        ifi_mtu: ifp.if_mtu.into(),
        ifi_link_state: ifp.link_state() as u64,
        ifi_ipackets: s.ipackets.value(),
        ifi_ierrors: s.ierrors.value(),
        ifi_opackets: s.opackets.value(),
        ifi_oerrors: s.oerrors.value(),
        ifi_ibytes: s.ibytes.value(),
        ifi_obytes: s.obytes.value(),
        ifi_imcasts: s.imcasts.value(),
        ifi_omcasts: s.omcasts.value(),
        ifi_iqdrops: s.iqdrops.value(),
        ifi_noproto: s.noproto.value(),
        ..IfData::default()
    }
}

/// An address of `ifp`, or of one of its vhids, which nobody sees as an
/// interface.
fn push_ifa(out: &mut Vec<u8>, cx: &Ctx0<'_>, ifp: &Ifnet, ia: &Arc<Ifaddr>, vhid: u8) {
    let scope = u32::from(ifp.if_index);
    let net = ia.net(cx.n0);
    let mut body = Vec::new();
    push_addr(&mut body, net.netmask(), 0);
    push_addr(&mut body, ia.ifa_addr, scope);
    let mut hdr = IfaMsghdr::new_zeroed();
    hdr.ifam_version = RTM_VERSION;
    hdr.ifam_type = RTM_NEWADDR;
    hdr.ifam_index = ifp.if_index;
    hdr.ifam_vhid = vhid;
    hdr.ifam_addrs = RTA_NETMASK | RTA_IFA;
    if matches!(net, IpNet::V4(_)) {
        push_addr(&mut body, ia.broad(cx.n0).into(), 0);
        hdr.ifam_addrs |= RTA_BRD;
    }
    hdr.ifam_msglen = (size_of::<IfaMsghdr>() + body.len()) as u16;
    out.extend_from_slice(hdr.as_bytes());
    out.extend_from_slice(&body);
}

fn push_addr(out: &mut Vec<u8>, addr: IpAddr, scope: u32) {
    match addr {
        IpAddr::V4(a) => {
            let sin = SockAddrIn::new(a);
            push_sockaddr(out, sin.sin_len, sin.as_bytes());
        }
        IpAddr::V6(a) => {
            let sin6 = SockAddrIn6::new(a, scope);
            push_sockaddr(out, sin6.sin6_len, sin6.as_bytes());
        }
    }
}

fn push_sockaddr(out: &mut Vec<u8>, len: u8, bytes: &[u8]) {
    let at = out.len();
    out.extend_from_slice(bytes);
    out.resize(at + rt_roundup(len), 0);
}
