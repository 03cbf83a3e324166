//! `netinet/in.h`: IPv4 socket addresses and the Internet checksum.

use crate::sys::socket::AF_INET;
use core::net::Ipv4Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `IPPROTO_ICMP`.
pub const IPPROTO_ICMP: u8 = 1;
/// `IPPROTO_CARP`; VRRP has the same number.
pub const IPPROTO_CARP: u8 = 112;
/// `INADDR_CARP_GROUP`, 224.0.0.18.
pub const INADDR_CARP_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// `INADDR_ALLHOSTS_GROUP`, 224.0.0.1.
pub const INADDR_ALLHOSTS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// `struct sockaddr_in`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SockAddrIn {
    /// 16; 0 says "not given".
    pub sin_len: u8,
    /// `AF_INET`.
    pub sin_family: u8,
    /// Big-endian port.
    pub sin_port: [u8; 2],
    /// Big-endian address.
    pub sin_addr: [u8; 4],
    /// Zero.
    pub sin_zero: [u8; 8],
}

const _: () = {
    assert!(size_of::<SockAddrIn>() == 16);
    assert!(core::mem::offset_of!(SockAddrIn, sin_addr) == 4);
};

impl SockAddrIn {
    /// An address without a port.
    pub fn new(addr: Ipv4Addr) -> SockAddrIn {
        SockAddrIn { sin_len: 16, sin_family: AF_INET, sin_addr: addr.octets(), ..Default::default() }
    }

    /// The address.
    pub fn addr(&self) -> Ipv4Addr {
        self.sin_addr.into()
    }
}

/// The netmask of `len` leading ones; `None` above 32.
pub fn mask_of_len(len: u32) -> Option<Ipv4Addr> {
    match len {
        0 => Some(Ipv4Addr::UNSPECIFIED),
        1..=32 => Some(Ipv4Addr::from(u32::MAX << (32 - len))),
        _ => None,
    }
}

/// The netmask that an address had before CIDR (`IN_CLASSA` and so on), which
/// BSD uses where none is given.
pub fn class_mask(addr: Ipv4Addr) -> Ipv4Addr {
    match addr.octets()[0] {
        0..=127 => Ipv4Addr::new(255, 0, 0, 0),
        128..=191 => Ipv4Addr::new(255, 255, 0, 0),
        _ => Ipv4Addr::new(255, 255, 255, 0),
    }
}

/// How many leading ones a netmask has; `None` unless only zeros follow.
pub fn len_of_mask(mask: Ipv4Addr) -> Option<u8> {
    let m = u32::from(mask);
    (m.leading_ones() + m.trailing_zeros().min(32) >= 32).then_some(m.leading_ones() as u8)
}

/// `in_cksum`: the one's complement of the one's complement sum. Over data
/// that hold their own right checksum it is 0.
pub fn in_cksum(data: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    let mut words = data.chunks_exact(2);
    for w in &mut words {
        sum += u64::from(u16::from_be_bytes([w[0], w[1]]));
    }
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_rfc_1071() {
        assert_eq!(in_cksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0x220d);
        assert_eq!(in_cksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0x22, 0x0d]), 0);
        assert_eq!(in_cksum(&[0xab]), !0xab00);
        assert_eq!(in_cksum(&[]), 0xffff);
    }

    #[test]
    fn masks() {
        assert_eq!(mask_of_len(24), Some(Ipv4Addr::new(255, 255, 255, 0)));
        assert_eq!(mask_of_len(0), Some(Ipv4Addr::UNSPECIFIED));
        assert_eq!(mask_of_len(33), None);
        assert_eq!(class_mask(Ipv4Addr::new(192, 168, 1, 1)), Ipv4Addr::new(255, 255, 255, 0));
    }
}
