//! `netinet6/in6.h`: IPv6 socket addresses and well-known groups.

use crate::sys::socket::AF_INET6;
use core::net::Ipv6Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `IPPROTO_ICMPV6`
pub const IPPROTO_ICMPV6: u8 = 58;
/// `IPPROTO_HOPOPTS`
pub const IPPROTO_HOPOPTS: u8 = 0;
/// ff02::12, where CARP advertises.
pub const IN6ADDR_CARP_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// ff02::1
pub const IN6ADDR_LINKLOCAL_ALLNODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// ff02::16, where MLDv2 reports go.
pub const IN6ADDR_LINKLOCAL_ALLV2ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// `struct sockaddr_in6`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SockAddrIn6 {
    /// 28; 0 says "not given".
    pub sin6_len: u8,
    /// `AF_INET6`
    pub sin6_family: u8,
    /// Big-endian port.
    pub sin6_port: [u8; 2],
    /// Flow label and class.
    pub sin6_flowinfo: u32,
    /// Big-endian address, without the scope that KAME hides in it.
    pub sin6_addr: [u8; 16],
    /// Index of a link-local address's interface; 0 for none.
    pub sin6_scope_id: u32,
}

const _: () = assert!(size_of::<SockAddrIn6>() == 28);

impl SockAddrIn6 {
    /// An address without a port, of the interface `scope` if it is
    /// link-local.
    pub fn new(addr: Ipv6Addr, scope: u32) -> SockAddrIn6 {
        SockAddrIn6 {
            sin6_len: 28,
            sin6_family: AF_INET6,
            sin6_addr: addr.octets(),
            sin6_scope_id: if addr.is_unicast_link_local() { scope } else { 0 },
            ..Default::default()
        }
    }

    /// The address.
    pub fn addr(&self) -> Ipv6Addr {
        self.sin6_addr.into()
    }
}

/// The netmask of `len` leading ones; `None` above 128.
pub fn mask_of_len6(len: u32) -> Option<Ipv6Addr> {
    match len {
        0 => Some(Ipv6Addr::UNSPECIFIED),
        1..=128 => Some(Ipv6Addr::from(u128::MAX << (128 - len))),
        _ => None,
    }
}

/// `in6_mask2len`: how many leading ones; `None` unless only zeros follow.
pub fn len_of_mask6(mask: Ipv6Addr) -> Option<u8> {
    let bits = u128::from(mask);
    (bits.leading_ones() + bits.trailing_zeros().min(128) >= 128).then_some(bits.leading_ones() as u8)
}

/// The solicited-node group of an address, ff02::1:ffXX:XXXX.
pub fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = addr.octets();
    let (high, low) = (0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low)
}

/// The link-local address that `in6_ifattach` makes of a MAC (EUI-64).
pub fn linklocal_of([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// `ETHER_MAP_IPV6_MULTICAST`
pub fn map_ipv6_multicast(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_link_local_addresses_of_the_rfcs() {
        let a: Ipv6Addr = "2001:db8::1:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(a), "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
        assert_eq!(map_ipv6_multicast(IN6ADDR_CARP_GROUP), [0x33, 0x33, 0, 0, 0, 0x12]);
        let ll = linklocal_of([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(ll, "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn masks_and_lengths_are_each_others_inverse() {
        for len in 0..=128 {
            assert_eq!(len_of_mask6(mask_of_len6(len).unwrap()), Some(len as u8));
        }
        assert_eq!(mask_of_len6(129), None);
        assert_eq!(len_of_mask6("ffff:0:ffff::".parse().unwrap()), None);
    }

    #[test]
    fn only_a_link_local_address_has_a_scope() {
        assert_eq!(SockAddrIn6::new(linklocal_of([2; 6]), 3).sin6_scope_id, 3);
        assert_eq!(SockAddrIn6::new(Ipv6Addr::LOCALHOST, 3).sin6_scope_id, 0);
    }
}
