//! `sys/sockio.h`: the interface ioctls, DragonFly's numbers.

use super::ioccom::{iow, iowr};
use crate::net::if_::{IfAliasReq, IfAliasReqVhid, IfDrv, IfGroupReq, IfReq};

/// Set the interface's (first) address.
pub const SIOCSIFADDR: u32 = iow::<IfReq>(b'i', 12);
/// Set `if_flags`.
pub const SIOCSIFFLAGS: u32 = iow::<IfReq>(b'i', 16);
/// Get `if_flags`.
pub const SIOCGIFFLAGS: u32 = iowr::<IfReq>(b'i', 17);
/// Get the metric.
pub const SIOCGIFMETRIC: u32 = iowr::<IfReq>(b'i', 23);
/// Delete an address.
pub const SIOCDIFADDR: u32 = iow::<IfReq>(b'i', 25);
/// Add or change an address.
pub const SIOCAIFADDR: u32 = iow::<IfAliasReq>(b'i', 26);
/// Get capabilities, requested and current.
pub const SIOCGIFCAP: u32 = iowr::<IfReq>(b'i', 31);
/// Get the interface's index; also answers whether it exists.
pub const SIOCGIFINDEX: u32 = iowr::<IfReq>(b'i', 32);
/// Get the (first) address.
pub const SIOCGIFADDR: u32 = iowr::<IfReq>(b'i', 33);
/// FreeBSD's `SIOCAIFADDR`: with a vhid.
pub const SIOCAIFADDR_VHID: u32 = iow::<IfAliasReqVhid>(b'i', 43);
/// Get the MTU.
pub const SIOCGIFMTU: u32 = iowr::<IfReq>(b'i', 51);
/// Destroy a cloned interface.
pub const SIOCIFDESTROY: u32 = iow::<IfReq>(b'i', 121);
/// Create a cloned interface; the name comes back with its unit.
pub const SIOCIFCREATE: u32 = iowr::<IfReq>(b'i', 122);
/// Set driver-specific parameters.
pub const SIOCSDRVSPEC: u32 = iow::<IfDrv>(b'i', 123);
/// Get driver-specific parameters.
pub const SIOCGDRVSPEC: u32 = iowr::<IfDrv>(b'i', 123);
/// Create a cloned interface with parameters.
pub const SIOCIFCREATE2: u32 = iowr::<IfReq>(b'i', 124);
/// The interface joins a group.
pub const SIOCAIFGROUP: u32 = iow::<IfGroupReq>(b'i', 135);
/// Get the interface's groups.
pub const SIOCGIFGROUP: u32 = iowr::<IfGroupReq>(b'i', 136);
/// The interface leaves a group.
pub const SIOCDIFGROUP: u32 = iow::<IfGroupReq>(b'i', 137);
/// Get a group's members.
pub const SIOCGIFGMEMB: u32 = iowr::<IfGroupReq>(b'i', 138);
/// Get a group's `carp_demoted` (OpenBSD).
pub const SIOCGIFGATTR: u32 = iowr::<IfGroupReq>(b'i', 139);
/// Add to a group's `carp_demoted` (OpenBSD).
pub const SIOCSIFGATTR: u32 = iow::<IfGroupReq>(b'i', 140);

// Values computed by hand from the header, so that a slip in ioc() or in a
// struct's size fails the build.
const _: () = {
    assert!(SIOCSIFFLAGS == 0x8020_6910);
    assert!(SIOCGIFFLAGS == 0xc020_6911);
    assert!(SIOCDIFADDR == 0x8020_6919);
    assert!(SIOCAIFADDR == 0x8040_691a);
    assert!(SIOCIFDESTROY == 0x8020_6979);
    assert!(SIOCIFCREATE == 0xc020_697a);
    assert!(SIOCGDRVSPEC == 0xc028_697b);
    assert!(SIOCAIFGROUP == 0x8028_6987);
    assert!(SIOCGIFGMEMB == 0xc028_698a);
    assert!(SIOCAIFADDR_VHID == 0x8044_692b);
};
