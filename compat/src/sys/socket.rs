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
