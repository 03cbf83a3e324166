//! `netinet6/in6_var.h`: what IPv6 address ioctls carry.

use super::in6::SockAddrIn6;
use crate::net::if_::IfName;
use crate::sys::ioccom::iow;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct in6_ifreq`: a name and a union, the largest of whose members are
/// 272 bytes of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct In6IfReq {
    /// The interface.
    pub ifr_name: IfName,
    /// `ifr_addr`
    pub ifr_addr: SockAddrIn6,
    /// The rest of the union.
    pub ifr_rest: [u8; 244],
}

impl In6IfReq {
    /// A request about one address of `name`.
    pub fn new(name: IfName, addr: SockAddrIn6) -> In6IfReq {
        In6IfReq { ifr_name: name, ifr_addr: addr, ifr_rest: [0; 244] }
    }
}

/// `struct in6_addrlifetime`
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct In6Addrlifetime {
    /// When it is no longer valid; 0 for never.
    pub ia6t_expire: i64,
    /// When it is no longer preferred; 0 for never.
    pub ia6t_preferred: i64,
    /// Valid for so many seconds.
    pub ia6t_vltime: u32,
    /// Preferred for so many seconds.
    pub ia6t_pltime: u32,
}

impl In6Addrlifetime {
    /// `ND6_INFINITE_LIFETIME`, both.
    pub const INFINITE: In6Addrlifetime =
        In6Addrlifetime { ia6t_expire: 0, ia6t_preferred: 0, ia6t_vltime: u32::MAX, ia6t_pltime: u32::MAX };
}

/// `struct in6_aliasreq`
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct In6AliasReq {
    /// The interface.
    pub ifra_name: IfName,
    /// The address.
    pub ifra_addr: SockAddrIn6,
    /// The other end of a point-to-point link.
    pub ifra_dstaddr: SockAddrIn6,
    /// The mask of the prefix.
    pub ifra_prefixmask: SockAddrIn6,
    /// `IN6_IFF_*`
    pub ifra_flags: i32,
    /// How long it is good.
    pub ifra_lifetime: In6Addrlifetime,
}

/// FreeBSD's `struct in6_aliasreq`: an address that belongs to a vhid of the
/// interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct In6AliasReqVhid {
    /// DragonFly's.
    pub ifra: In6AliasReq,
    /// Whose address it is; 0 for the interface's own.
    pub ifra_vhid: i32,
    /// To a multiple of eight bytes.
    pub ifra_pad: i32,
}

/// Delete an address.
pub const SIOCDIFADDR_IN6: u32 = iow::<In6IfReq>(b'i', 25);
/// Add or change an address.
pub const SIOCAIFADDR_IN6: u32 = iow::<In6AliasReq>(b'i', 26);
/// FreeBSD's `SIOCAIFADDR_IN6`: with a vhid.
pub const SIOCAIFADDR_IN6_VHID: u32 = iow::<In6AliasReqVhid>(b'i', 27);
/// `IN6_IFF_NODAD`: all of this machine's addresses are, it looks for no
/// duplicates.
pub const IN6_IFF_NODAD: i32 = 0x20;

const _: () = {
    assert!(size_of::<In6IfReq>() == 288);
    assert!(size_of::<In6AliasReq>() == 128);
    assert!(SIOCDIFADDR_IN6 == 0x8120_6919);
    assert!(SIOCAIFADDR_IN6 == 0x8080_691a);
    assert!(SIOCAIFADDR_IN6_VHID == 0x8088_691b);
};
