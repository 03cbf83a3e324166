//! `net/route.h`: routing messages.

use super::if_::IfName;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `RTM_VERSION`
pub const RTM_VERSION: u8 = 7;
/// A route was added.
pub const RTM_ADD: u8 = 0x1;
/// A route was deleted.
pub const RTM_DELETE: u8 = 0x2;
/// A route leads elsewhere.
pub const RTM_CHANGE: u8 = 0x3;
/// A route, in a list of them.
pub const RTM_GET: u8 = 0x4;
/// An interface has one address more.
pub const RTM_NEWADDR: u8 = 0xc;
/// An interface has one address less.
pub const RTM_DELADDR: u8 = 0xd;
/// An interface's flags or link state have changed.
pub const RTM_IFINFO: u8 = 0xe;
/// An interface came or went.
pub const RTM_IFANNOUNCE: u8 = 0x11;

/// A destination follows.
pub const RTA_DST: i32 = 0x1;
/// A gateway follows.
pub const RTA_GATEWAY: i32 = 0x2;
/// A netmask follows.
pub const RTA_NETMASK: i32 = 0x4;
/// An interface's name follows.
pub const RTA_IFP: i32 = 0x10;
/// An interface's address follows.
pub const RTA_IFA: i32 = 0x20;
/// A broadcast address follows.
pub const RTA_BRD: i32 = 0x80;

/// The route can be used.
pub const RTF_UP: i32 = 0x1;
/// Neighbours' routes are made from it.
pub const RTF_CLONING: i32 = 0x100;

/// `IFAN_ARRIVAL`
pub const IFAN_ARRIVAL: u16 = 0;
/// `IFAN_DEPARTURE`
pub const IFAN_DEPARTURE: u16 = 1;

/// `struct rt_metrics`, LP64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs)] // each field is the C one of the same name
pub struct RtMetrics {
    pub rmx_locks: u64,
    pub rmx_mtu: u64,
    pub rmx_pksent: u64,
    pub rmx_expire: u64,
    pub rmx_sendpipe: u64,
    pub rmx_ssthresh: u64,
    pub rmx_rtt: u64,
    pub rmx_rttvar: u64,
    pub rmx_recvpipe: u64,
    pub rmx_hopcount: u64,
    pub rmx_mssopt: u16,
    pub rmx_pad: u16,
    pub rmx_pad1: [u8; 4],
    pub rmx_msl: u64,
    pub rmx_iwmaxsegs: u64,
    pub rmx_iwcapsegs: u64,
}

/// `struct rt_msghdr`, followed by the socket addresses that `rtm_addrs` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct RtMsghdr {
    pub rtm_msglen: u16,
    pub rtm_version: u8,
    pub rtm_type: u8,
    pub rtm_index: u16,
    pub rtm_pad0: [u8; 2],
    pub rtm_flags: i32,
    pub rtm_addrs: i32,
    pub rtm_pid: i32,
    pub rtm_seq: i32,
    pub rtm_errno: i32,
    pub rtm_use: i32,
    pub rtm_inits: u64,
    pub rtm_rmx: RtMetrics,
}

/// `struct if_announcemsghdr`
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct IfAnnouncemsghdr {
    pub ifan_msglen: u16,
    pub ifan_version: u8,
    pub ifan_type: u8,
    pub ifan_index: u16,
    pub ifan_name: IfName,
    pub ifan_what: u16,
}

const _: () = {
    assert!(size_of::<RtMetrics>() == 112);
    assert!(size_of::<RtMsghdr>() == 152);
    assert!(size_of::<IfAnnouncemsghdr>() == 24);
};
