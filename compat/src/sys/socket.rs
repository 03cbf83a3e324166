//! `sys/socket.h`: address families and the generic socket address.
//!
//! BSD's `sockaddr` begins with its own length; Linux's does not, and
//! `AF_INET6` is 28 here and 10 there.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// No family.
pub const AF_UNSPEC: u8 = 0;
/// IPv4.
pub const AF_INET: u8 = 2;
/// Link layer: names and Ethernet addresses.
pub const AF_LINK: u8 = 18;
/// IPv6.
pub const AF_INET6: u8 = 28;

/// `struct sockaddr`: 16 bytes, of which the first says how many are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SockAddr {
    /// Bytes in use, this one included.
    pub sa_len: u8,
    /// `AF_*`.
    pub sa_family: u8,
    /// What the family makes of it.
    pub sa_data: [u8; 14],
}

const _: () = assert!(size_of::<SockAddr>() == 16);

/// `SA_SIZE`: room a socket address takes in a routing message: its length
/// rounded up to eight bytes, eight for an empty one.
pub const fn rt_roundup(sa_len: u8) -> usize {
    if sa_len == 0 { 8 } else { (sa_len as usize).div_ceil(8) * 8 }
}

/// The two families that CARP speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Af {
    /// `AF_INET`
    Inet,
    /// `AF_INET6`
    Inet6,
}

impl Af {
    /// Both.
    pub const ALL: [Af; 2] = [Af::Inet, Af::Inet6];

    /// The family of an address.
    pub fn of(addr: core::net::IpAddr) -> Af {
        if addr.is_ipv4() { Af::Inet } else { Af::Inet6 }
    }

    /// The one that it is not.
    pub fn other(self) -> Af {
        match self {
            Af::Inet => Af::Inet6,
            Af::Inet6 => Af::Inet,
        }
    }
}
