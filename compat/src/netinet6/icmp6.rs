//! `netinet/icmp6.h`: echo, neighbour discovery (RFC 4861), listener
//! discovery (RFC 3810).

use super::in6::IPPROTO_ICMPV6;
use super::ip6::{Ip6, in6_cksum};
use crate::net::if_var::LlAddr;
use core::net::Ipv6Addr;

/// `ICMP6_ECHO_REQUEST`
pub const ICMP6_ECHO_REQUEST: u8 = 128;
/// `ICMP6_ECHO_REPLY`
pub const ICMP6_ECHO_REPLY: u8 = 129;
/// `MLD_LISTENER_QUERY`
pub const MLD_LISTENER_QUERY: u8 = 130;
/// `ND_NEIGHBOR_SOLICIT`
pub const ND_NEIGHBOR_SOLICIT: u8 = 135;
/// `ND_NEIGHBOR_ADVERT`
pub const ND_NEIGHBOR_ADVERT: u8 = 136;
/// `MLDV2_LISTENER_REPORT`
pub const MLDV2_LISTENER_REPORT: u8 = 143;
/// `ND_NA_FLAG_ROUTER`
pub const ND_NA_FLAG_ROUTER: u8 = 0x80;
/// `ND_NA_FLAG_SOLICITED`
pub const ND_NA_FLAG_SOLICITED: u8 = 0x40;
/// `ND_NA_FLAG_OVERRIDE`
pub const ND_NA_FLAG_OVERRIDE: u8 = 0x20;
/// `MLD_CHANGE_TO_EXCLUDE_MODE`: the group was joined.
pub const CHANGE_TO_EXCLUDE_MODE: u8 = 4;
/// `MLD_MODE_IS_EXCLUDE`: the group is joined.
pub const MODE_IS_EXCLUDE: u8 = 2;
/// `MLD_CHANGE_TO_INCLUDE_MODE` of no source: the group was left.
pub const CHANGE_TO_INCLUDE_MODE: u8 = 3;

/// `ND_OPT_SOURCE_LINKADDR`
const OPT_SOURCE_LINKADDR: u8 = 1;
/// `ND_OPT_TARGET_LINKADDR`
const OPT_TARGET_LINKADDR: u8 = 2;
/// Bytes before a neighbour message's options.
const ND_LEN: usize = 24;
/// Bytes of an echo before its data, and of every message's shortest form.
pub const ICMP6_MINLEN: usize = 8;

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nd {
    /// `nd_neighbor_solicit`
    Solicit {
        /// Whose MAC is asked for.
        target: Ipv6Addr,
        /// Who asks.
        lladdr: Option<LlAddr>,
    },
    /// `nd_neighbor_advert`
    Advert {
        /// Whose MAC it is.
        target: Ipv6Addr,
        /// `ND_NA_FLAG_*`
        flags: u8,
        /// The MAC.
        lladdr: Option<LlAddr>,
    },
}

impl Nd {
    /// Reads a message whose checksum was right. `None` for what RFC 4861,
    /// 7.1 tells to discard: too short, a code, a hop limit below 255 (it came
    /// through a router), a target that is a group, an option without a
    /// length, a solicited advertisement to a group, a request from `::` with
    /// an address option or to other than a solicited-node group.
    pub fn parse(ip6: &Ip6, icmp6: &[u8]) -> Option<Nd> {
        let h: &[u8; ND_LEN] = icmp6.first_chunk()?;
        if ip6.hlim != 255 || h[1] != 0 {
            return None;
        }
        let mut target = [0; 16];
        target.copy_from_slice(&h[8..]);
        let target = Ipv6Addr::from(target);
        if target.is_multicast() || target.is_unspecified() {
            return None;
        }
        let options = icmp6.get(ND_LEN..)?;
        match h[0] {
            ND_NEIGHBOR_SOLICIT => {
                let lladdr = lladdr_option(options, OPT_SOURCE_LINKADDR)?;
                let probe = ip6.src.is_unspecified();
                let to_group = ip6.dst == super::in6::solicited_node(target);
                (!probe || (lladdr.is_none() && to_group)).then_some(Nd::Solicit { target, lladdr })
            }
            ND_NEIGHBOR_ADVERT => {
                let lladdr = lladdr_option(options, OPT_TARGET_LINKADDR)?;
                let flags = h[4];
                let bad = ip6.dst.is_multicast() && flags & ND_NA_FLAG_SOLICITED != 0;
                (!bad).then_some(Nd::Advert { target, flags, lladdr })
            }
            _ => None,
        }
    }

    /// The ICMPv6 message, its checksum for a packet from `src` to `dst`.
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
        let (icmp6_type, flags, target, kind, lladdr) = match *self {
            Nd::Solicit { target, lladdr } => (ND_NEIGHBOR_SOLICIT, 0, target, OPT_SOURCE_LINKADDR, lladdr),
            Nd::Advert { target, flags, lladdr } => {
                (ND_NEIGHBOR_ADVERT, flags, target, OPT_TARGET_LINKADDR, lladdr)
            }
        };
        let mut m = vec![icmp6_type, 0, 0, 0, flags, 0, 0, 0];
        m.extend_from_slice(&target.octets());
        if let Some(lladdr) = lladdr {
            m.extend_from_slice(&[kind, 1]);
            m.extend_from_slice(&lladdr);
        }
        checksummed(src, dst, m)
    }
}

/// The link-layer address among `options`, if it is there; `None` outside for
/// options that do not add up.
fn lladdr_option(mut options: &[u8], kind: u8) -> Option<Option<LlAddr>> {
    let mut found = None;
    while !options.is_empty() {
        let len = usize::from(*options.get(1)?) * 8;
        let option = options.get(..len).filter(|_| len > 0)?;
        if option[0] == kind
            && let Some(lladdr) = option.get(2..8).and_then(|a| a.try_into().ok())
        {
            found = Some(lladdr);
        }
        options = &options[len..];
    }
    Some(found)
}

/// Whether the checksum of a received message is right.
pub fn cksum_ok(ip6: &Ip6, icmp6: &[u8]) -> bool {
    icmp6.len() >= ICMP6_MINLEN && in6_cksum(ip6.src, ip6.dst, IPPROTO_ICMPV6, icmp6) == 0
}

/// The answer to an echo request, with the data that it brought.
pub fn echo_reply(src: Ipv6Addr, dst: Ipv6Addr, request: &[u8]) -> Vec<u8> {
    let mut m = request.to_vec();
    m[0] = ICMP6_ECHO_REPLY;
    m[2..4].fill(0);
    checksummed(src, dst, m)
}

/// An MLDv2 report: for each group, what became of it.
pub fn mld_report(src: Ipv6Addr, dst: Ipv6Addr, groups: &[(u8, Ipv6Addr)]) -> Vec<u8> {
    let mut m = vec![MLDV2_LISTENER_REPORT, 0, 0, 0, 0, 0];
    m.extend_from_slice(&(groups.len() as u16).to_be_bytes());
    for (record, group) in groups {
        m.extend_from_slice(&[*record, 0, 0, 0]);
        m.extend_from_slice(&group.octets());
    }
    checksummed(src, dst, m)
}

fn checksummed(src: Ipv6Addr, dst: Ipv6Addr, mut m: Vec<u8>) -> Vec<u8> {
    let sum = in6_cksum(src, dst, IPPROTO_ICMPV6, &m).to_be_bytes();
    m[2..4].copy_from_slice(&sum);
    m
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::netinet6::in6::solicited_node;

    fn ip6(src: &str, dst: Ipv6Addr, icmp6: &[u8]) -> Ip6 {
        Ip6 { plen: icmp6.len(), nxt: IPPROTO_ICMPV6, hlim: 255, src: src.parse().unwrap(), dst }
    }

    #[test]
    fn neighbour_messages_round_trip() {
        let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let src: Ipv6Addr = "2001:db8::9".parse().unwrap();
        let both = [
            Nd::Solicit { target, lladdr: Some([2, 0, 0, 0, 0, 9]) },
            Nd::Advert { target, flags: ND_NA_FLAG_OVERRIDE, lladdr: Some([0, 0, 0x5e, 0, 1, 1]) },
        ];
        for nd in both {
            let dst = solicited_node(target);
            let m = nd.emit(src, dst);
            let ip = ip6("2001:db8::9", dst, &m);
            assert!(cksum_ok(&ip, &m));
            assert_eq!(Nd::parse(&ip, &m), Some(nd));
            assert_eq!(Nd::parse(&Ip6 { hlim: 254, ..ip }, &m), None);
            assert_eq!(Nd::parse(&ip, &m[..23]), None);
            assert_eq!(Nd::parse(&ip, &m[..31]), None);
            let mut without_length = m.clone();
            without_length[25] = 0;
            assert_eq!(Nd::parse(&ip, &without_length), None);
        }
    }

    #[test]
    fn what_rfc_4861_discards_is_discarded() {
        let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let group = solicited_node(target);
        let probe = Nd::Solicit { target, lladdr: None };
        let m = probe.emit(Ipv6Addr::UNSPECIFIED, group);
        assert_eq!(Nd::parse(&ip6("::", group, &m), &m), Some(probe));
        assert_eq!(Nd::parse(&ip6("::", target, &m), &m), None);
        let solicited = Nd::Advert { target, flags: ND_NA_FLAG_SOLICITED, lladdr: None };
        let m = solicited.emit(target, group);
        assert_eq!(Nd::parse(&ip6("2001:db8::1", group, &m), &m), None);
        let to_group = Nd::Solicit { target: group, lladdr: None };
        let m = to_group.emit(target, group);
        assert_eq!(Nd::parse(&ip6("2001:db8::1", group, &m), &m), None);
    }

    #[test]
    fn an_echo_and_a_report_carry_a_checksum_that_holds() {
        let (a, b): (Ipv6Addr, Ipv6Addr) = ("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
        let reply = echo_reply(a, b, &[ICMP6_ECHO_REQUEST, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((reply[0], &reply[4..]), (ICMP6_ECHO_REPLY, &[3, 4, 5, 6, 7][..]));
        assert!(cksum_ok(&ip6("fe80::1", b, &reply), &reply));
        let report = mld_report(a, b, &[(CHANGE_TO_EXCLUDE_MODE, solicited_node(a))]);
        assert_eq!(report.len(), 28);
        assert!(cksum_ok(&ip6("fe80::1", b, &report), &report));
    }
}
