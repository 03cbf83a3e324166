//! `netinet/ip_input.c`: IPv4 packets in.

use crate::machine::{Ctx, Ctx0, Mbuf};
use crate::net::ifaddr;
use crate::netinet::ip_icmp;
use crate::netinet6::ip6_input;
use compat::net::ethernet::{ETHER_HDR_LEN, ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_var::Counter;
use compat::netinet::in_::IPPROTO_ICMP;
use compat::netinet::ip::{BadIp, Ip};
use compat::sys::mbuf::LinkCast;
use libcarp::input;

/// `ipstat`: what any netisr counts.
#[derive(Default)]
pub struct IpStats {
    /// `ips_total`
    pub total: Counter,
    /// `ips_toosmall`, `ips_tooshort`, `ips_badlen`: lengths that do not add up.
    pub badlen: Counter,
    /// `ips_badvers`
    pub badvers: Counter,
    /// `ips_badhlen`
    pub badhlen: Counter,
    /// `ips_badsum`
    pub badsum: Counter,
    /// `ips_fragments`: dropped, the machine does not reassemble.
    pub fragments: Counter,
    /// `ips_cantforward`: not ours.
    pub cantforward: Counter,
    /// `ips_noproto`
    pub noproto: Counter,
    /// `ips_delivered`
    pub delivered: Counter,
    /// `ips_noroute`
    pub noroute: Counter,
}

impl IpStats {
    fn bad(&self, why: BadIp) {
        match why {
            BadIp::TooSmall | BadIp::TooShort | BadIp::BadLen => self.badlen.add(1),
            BadIp::BadVersion => self.badvers.add(1),
            BadIp::BadHeaderLen => self.badhlen.add(1),
            BadIp::BadSum => self.badsum.add(1),
        }
    }
}

/// `ip_hashfn`: the netisr of a packet, from its addresses, so that a flow
/// stays in order.
pub fn ip_cpu(ncpus: usize, ip6: bool, frame: &[u8]) -> usize {
    let addrs = if ip6 { 8..40 } else { 12..20 };
    let packet = frame.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    let Some(addrs) = packet.get(addrs) else { return 0 };
    // FNV-1a, for spread; whoever can choose addresses gains nothing here.
    let hash = addrs.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    (hash >> 8) as usize % ncpus
}

/// `ip_input`: header checks, then to the protocol if it is ours.
pub fn ip_input(cx: Ctx<'_>, m: Mbuf) {
    let stats = &cx.m.ipstat;
    stats.total.add(1);
    let packet = m.data.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    let ip = match Ip::parse(packet) {
        Ok(ip) => ip,
        Err(why) => return stats.bad(why),
    };
    let ours = cx.m.addrs.load(cx.n).is_some_and(|t| t.lookup(ip.dst.into()).iter().any(ifaddr::is_ours));
    if !ours || m.cast != LinkCast::Unicast {
        return stats.cantforward.add(1);
    }
    if ip.is_fragment() {
        return stats.fragments.add(1);
    }
    match ip.p {
        IPPROTO_ICMP => {
            stats.delivered.add(1);
            ip_icmp::icmp_input(cx, &m.rcvif, &ip, packet);
        }
        _ => stats.noproto.add(1),
    }
}

/// `ip_input` and `carp_proto_input` of an advertisement, in netisr0.
pub fn carp_proto_input(cx: &mut Ctx0<'_>, m: &Mbuf) {
    if EtherHeader::parse(&m.data).is_some_and(|eh| eh.ether_type == ETHERTYPE_IPV6) {
        return ip6_input::carp_proto_input(cx, m);
    }
    let stats = &cx.m.ipstat;
    stats.total.add(1);
    let packet = m.data.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    let ip = match Ip::parse(packet) {
        Ok(ip) => ip,
        Err(why) => return stats.bad(why),
    };
    if ip.is_fragment() {
        return stats.fragments.add(1);
    }
    stats.delivered.add(1);
    // A drop has been counted and logged where it was decided.
    let _ = cx.carp(|cx| input::proto_input(cx, &m.rcvif, &ip, packet));
}
