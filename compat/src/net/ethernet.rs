//! `net/ethernet.h`: the Ethernet header.

use super::if_var::LlAddr;
use crate::sys::mbuf::LinkCast;

/// Bytes of the header: destination, source, type.
pub const ETHER_HDR_LEN: usize = 14;
/// `ETHERTYPE_IP`
pub const ETHERTYPE_IP: u16 = 0x0800;
/// `ETHERTYPE_ARP`
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// `ETHERTYPE_IPV6`
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// All stations.
pub const ETHER_BROADCAST: LlAddr = [0xff; 6];

/// `struct ether_header`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtherHeader {
    /// `ether_dhost`
    pub dhost: LlAddr,
    /// `ether_shost`
    pub shost: LlAddr,
    /// `ether_type`
    pub ether_type: u16,
}

impl EtherHeader {
    /// Reads the header; `None` for a frame shorter than one.
    #[inline]
    pub fn parse(frame: &[u8]) -> Option<EtherHeader> {
        let (&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1], _) = frame.split_first_chunk()?;
        Some(EtherHeader {
            dhost: [d0, d1, d2, d3, d4, d5],
            shost: [s0, s1, s2, s3, s4, s5],
            ether_type: u16::from_be_bytes([t0, t1]),
        })
    }

    /// A frame of this header and `payload`.
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut f = Vec::with_capacity(ETHER_HDR_LEN + payload.len());
        f.extend_from_slice(&self.dhost);
        f.extend_from_slice(&self.shost);
        f.extend_from_slice(&self.ether_type.to_be_bytes());
        f.extend_from_slice(payload);
        f
    }

    /// Whom the destination means.
    #[inline]
    pub fn cast(&self) -> LinkCast {
        if self.dhost == ETHER_BROADCAST {
            LinkCast::Broadcast
        } else if self.dhost[0] & 1 != 0 {
            LinkCast::Multicast
        } else {
            LinkCast::Unicast
        }
    }
}

/// `ETHER_MAP_IP_MULTICAST`
pub fn map_ip_multicast(group: core::net::Ipv4Addr) -> LlAddr {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trip_and_casts() {
        let h = EtherHeader { dhost: ETHER_BROADCAST, shost: [2, 0, 0, 0, 0, 1], ether_type: ETHERTYPE_ARP };
        let f = h.frame(b"x");
        assert_eq!(EtherHeader::parse(&f), Some(h));
        assert_eq!(EtherHeader::parse(&f[..13]), None);
        assert_eq!(h.cast(), LinkCast::Broadcast);
        let m = EtherHeader { dhost: map_ip_multicast([224, 0, 0, 18].into()), ..h };
        assert_eq!((m.dhost, m.cast()), ([1, 0, 0x5e, 0, 0, 0x12], LinkCast::Multicast));
        assert_eq!(EtherHeader { dhost: [0, 0, 0x5e, 0, 1, 1], ..h }.cast(), LinkCast::Unicast);
    }
}
