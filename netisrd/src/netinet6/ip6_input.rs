//! `netinet6/ip6_input.c`: IPv6 packets in.

use crate::machine::{Ctx, Ctx0, Mbuf};
use crate::net::ifaddr;
use crate::netinet6::icmp6;
use compat::net::ethernet::ETHER_HDR_LEN;
use compat::net::if_var::Counter;
use compat::netinet6::in6::IPPROTO_ICMPV6;
use compat::netinet6::ip6::{BadIp6, Ip6};
use compat::sys::mbuf::LinkCast;
use libcarp::input;

/// `ip6stat`: what any netisr counts.
#[derive(Default)]
pub struct Ip6Stats {
    /// `ip6s_total`
    pub total: Counter,
    /// `ip6s_toosmall`, `ip6s_tooshort`: lengths that do not add up.
    pub badlen: Counter,
    /// `ip6s_badvers`
    pub badvers: Counter,
    /// `ip6s_badscope`: addresses that no packet can have.
    pub badscope: Counter,
    /// `icp6s_checksum`, of neighbour discovery.
    pub badsum: Counter,
    /// `ip6s_cantforward`: not ours.
    pub cantforward: Counter,
    /// Of a protocol, or with a header, that the machine does not speak.
    pub noproto: Counter,
    /// `ip6s_delivered`
    pub delivered: Counter,
    /// `ip6s_noroute`
    pub noroute: Counter,
}

impl Ip6Stats {
    fn bad(&self, why: BadIp6) {
        match why {
            BadIp6::TooSmall | BadIp6::TooShort => self.badlen.add(1),
            BadIp6::BadVersion => self.badvers.add(1),
            BadIp6::BadSource => self.badscope.add(1),
        }
    }

    /// Counts a packet and reads its header.
    pub fn header(&self, packet: &[u8]) -> Option<Ip6> {
        self.total.add(1);
        Ip6::parse(packet).map_err(|why| self.bad(why)).ok()
    }
}

/// `ip6_input`: header checks, then to the protocol if it is ours.
pub fn ip6_input(cx: Ctx<'_>, m: Mbuf) {
    let stats = &cx.m.ip6stat;
    let packet = m.data.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    let Some(ip6) = stats.header(packet) else { return };
    let dst = ip6.dst.into();
    let ours = |e| ifaddr::is_ours_on(cx, &m.rcvif, dst, e);
    if m.cast != LinkCast::Unicast || !cx.m.addrs.load(cx.n).is_some_and(|t| t.lookup(dst).iter().any(ours)) {
        return stats.cantforward.add(1);
    }
    match ip6.nxt {
        IPPROTO_ICMPV6 => {
            stats.delivered.add(1);
            icmp6::input(cx, &m.rcvif, &ip6, packet);
        }
        _ => stats.noproto.add(1),
    }
}

/// `ip6_input` and `carp6_proto_input` of an advertisement, in netisr0.
pub fn carp_proto_input(cx: &mut Ctx0<'_>, m: &Mbuf) {
    let stats = &cx.m.ip6stat;
    let packet = m.data.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    let Some(ip6) = stats.header(packet) else { return };
    stats.delivered.add(1);
    // A drop has been counted and logged where it was decided.
    let _ = cx.carp(|cx| input::proto_input6(cx, &m.rcvif, &ip6, packet));
}
