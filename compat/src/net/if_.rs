//! `net/if.h`: flags and the structures that interface ioctls carry.

use crate::netinet::in_::SockAddrIn;
use bitflags::bitflags;
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Room for an interface name with its NUL.
pub const IFNAMSIZ: usize = 16;

bitflags! {
    /// `if_flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Iff: u32 {
        /// Set by the administrator.
        const UP = 0x1;
        /// A broadcast address is valid.
        const BROADCAST = 0x2;
        /// Debugging.
        const DEBUG = 0x4;
        /// A loopback net.
        const LOOPBACK = 0x8;
        /// A point-to-point link.
        const POINTOPOINT = 0x10;
        /// Manages its own routes.
        const SMART = 0x20;
        /// Resources are allocated.
        const RUNNING = 0x40;
        /// No address resolution.
        const NOARP = 0x80;
        /// Receives all frames.
        const PROMISC = 0x100;
        /// Receives all multicast frames.
        const ALLMULTI = 0x200;
        /// Cannot hear its own transmissions.
        const SIMPLEX = 0x800;
        /// Per link layer.
        const LINK0 = 0x1000;
        /// Per link layer.
        const LINK1 = 0x2000;
        /// Per link layer.
        const LINK2 = 0x4000;
        /// Supports multicast.
        const MULTICAST = 0x8000;
        /// Promiscuous mode asked for by the administrator.
        const PPROMISC = 0x2_0000;
        /// Monitor mode asked for by the administrator.
        const MONITOR = 0x4_0000;
        /// Static ARP only.
        const STATICARP = 0x8_0000;
        /// Polling.
        const NPOLLING = 0x10_0000;
        /// Direct input.
        const IDIRECT = 0x20_0000;
    }
}

impl Iff {
    /// `IFF_CANTCHANGE`: flags that no ioctl sets or clears.
    pub const CANTCHANGE: Iff = Iff::BROADCAST
        .union(Iff::POINTOPOINT)
        .union(Iff::RUNNING)
        .union(Iff::SIMPLEX)
        .union(Iff::MULTICAST)
        .union(Iff::ALLMULTI)
        .union(Iff::SMART)
        .union(Iff::NPOLLING)
        .union(Iff::IDIRECT)
        .union(Iff::from_bits_retain(0x1_0400));
}

/// `IFT_ETHER`.
pub const IFT_ETHER: u8 = 0x6;
/// `IFT_CARP`.
pub const IFT_CARP: u8 = 0xf8;

/// Values of `if_link_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// `LINK_STATE_UNKNOWN`
    Unknown = 0,
    /// `LINK_STATE_DOWN`
    Down = 1,
    /// `LINK_STATE_UP`
    Up = 2,
}

impl From<u8> for LinkState {
    fn from(v: u8) -> Self {
        match v {
            1 => LinkState::Down,
            2 => LinkState::Up,
            _ => LinkState::Unknown,
        }
    }
}

/// An interface name: at most 15 bytes, no NUL inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfName(pub [u8; IFNAMSIZ]);

impl IfName {
    /// No name.
    pub const EMPTY: IfName = IfName([0; IFNAMSIZ]);

    /// Fails for an empty name, one of 16 bytes or more, and one with a byte
    /// that does not print or is a space or a slash.
    pub fn new(name: &str) -> Option<IfName> {
        let b = name.as_bytes();
        if b.is_empty() || b.len() >= IFNAMSIZ || !b.iter().all(|c| c.is_ascii_graphic() && *c != b'/') {
            return None;
        }
        let mut out = [0; IFNAMSIZ];
        out[..b.len()].copy_from_slice(b);
        Some(IfName(out))
    }

    /// The name up to its NUL; empty where the bytes are not text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|c| *c == 0).unwrap_or(IFNAMSIZ);
        core::str::from_utf8(&self.0[..end]).unwrap_or("")
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// `struct ifreq`: a name and sixteen bytes that each ioctl reads its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfReq {
    /// The interface.
    pub ifr_name: IfName,
    /// `ifr_ifru`.
    pub ifr_ifru: [u8; 16],
}

impl IfReq {
    /// A request about `name`, its union zeroed.
    pub fn new(name: IfName) -> IfReq {
        IfReq { ifr_name: name, ifr_ifru: [0; 16] }
    }

    /// The union's first `int`: metric, MTU, index.
    pub fn int(&self) -> i32 {
        let [a, b, c, d, ..] = self.ifr_ifru;
        i32::from_ne_bytes([a, b, c, d])
    }

    /// Stores the union's first `int`.
    pub fn set_int(&mut self, v: i32) {
        self.ifr_ifru[..4].copy_from_slice(&v.to_ne_bytes());
    }

    /// `ifr_flags` and `ifr_flagshigh` as one number.
    pub fn flags(&self) -> Iff {
        Iff::from_bits_retain(self.int() as u32)
    }

    /// Stores `ifr_flags` and `ifr_flagshigh`.
    pub fn set_flags(&mut self, flags: Iff) {
        self.set_int(flags.bits() as i32);
    }

    /// `ifr_addr` as an IPv4 socket address.
    pub fn sin(&self) -> SockAddrIn {
        zerocopy::transmute!(self.ifr_ifru)
    }

    /// Stores `ifr_addr`.
    pub fn set_sin(&mut self, sin: SockAddrIn) {
        self.ifr_ifru = zerocopy::transmute!(sin);
    }
}

const _: () = assert!(size_of::<IfReq>() == 32);

/// `struct ifaliasreq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfAliasReq {
    /// The interface.
    pub ifra_name: IfName,
    /// The address; a zero `sa_len` keeps the present one.
    pub ifra_addr: SockAddrIn,
    /// Broadcast or destination address.
    pub ifra_broadaddr: SockAddrIn,
    /// Netmask; a zero `sa_len` gives the class's own.
    pub ifra_mask: SockAddrIn,
}

const _: () = {
    assert!(size_of::<IfAliasReq>() == 64);
    assert!(core::mem::offset_of!(IfAliasReq, ifra_mask) == 48);
};

/// FreeBSD's `struct ifaliasreq`: an address that belongs to a vhid of the
/// interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfAliasReqVhid {
    /// DragonFly's.
    pub ifra: IfAliasReq,
    /// Whose address it is; 0 for the interface's own.
    pub ifra_vhid: i32,
}

const _: () = assert!(size_of::<IfAliasReqVhid>() == 68);

/// `struct ifg_req`: the name of a group, or of a group's member.
pub type IfgReq = IfName;

/// `IFG_ALL`: the group that every interface is in.
pub const IFG_ALL: &str = "all";

/// `struct ifgroupreq`. Lists travel beside it, as [`IfgReq`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfGroupReq {
    /// The interface, or, where an ioctl is about a group, the group.
    pub ifgr_name: IfName,
    /// Bytes of the list; 0 asks how many there are.
    pub ifgr_len: u32,
    /// To a multiple of eight bytes.
    pub ifgr_pad: u32,
    /// `ifgr_group`, or `ifgr_attrib`, whose only member is `ifg_carp_demoted`.
    pub ifgr_ifgru: [u8; 16],
}

const _: () = assert!(size_of::<IfGroupReq>() == 40);

impl IfGroupReq {
    /// A request about `name`, the rest zeroed.
    pub fn new(name: IfName) -> IfGroupReq {
        IfGroupReq { ifgr_name: name, ifgr_len: 0, ifgr_pad: 0, ifgr_ifgru: [0; 16] }
    }

    /// `ifgr_group`
    pub fn group(&self) -> IfName {
        IfName(self.ifgr_ifgru)
    }

    /// `ifgr_attrib.ifg_carp_demoted`
    pub fn carp_demoted(&self) -> i32 {
        let [a, b, c, d, ..] = self.ifgr_ifgru;
        i32::from_ne_bytes([a, b, c, d])
    }

    /// Stores `ifgr_attrib.ifg_carp_demoted`.
    pub fn set_carp_demoted(&mut self, v: i32) {
        self.ifgr_ifgru[..4].copy_from_slice(&v.to_ne_bytes());
    }
}

/// `struct ifdrv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfDrv {
    /// The interface.
    pub ifd_name: IfName,
    /// The driver's own command.
    pub ifd_cmd: u64,
    /// Bytes of data; out: bytes there are.
    pub ifd_len: u64,
    /// A pointer on BSD; always 0 here, the data travel beside the struct.
    pub ifd_data: u64,
}

const _: () = {
    assert!(size_of::<IfDrv>() == 40);
    assert!(core::mem::offset_of!(IfDrv, ifd_len) == 24);
};

/// `struct if_data`, LP64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs)] // each field is the C one of the same name
pub struct IfData {
    pub ifi_type: u8,
    pub ifi_physical: u8,
    pub ifi_addrlen: u8,
    pub ifi_hdrlen: u8,
    pub ifi_recvquota: u8,
    pub ifi_xmitquota: u8,
    /// Whose state it is that changed (as in FreeBSD's `if_data`); 0 for the
    /// interface's own. Padding upstream.
    pub ifi_vhid: u8,
    pub ifi_pad: u8,
    pub ifi_mtu: u64,
    pub ifi_metric: u64,
    pub ifi_link_state: u64,
    pub ifi_baudrate: u64,
    pub ifi_ipackets: u64,
    pub ifi_ierrors: u64,
    pub ifi_opackets: u64,
    pub ifi_oerrors: u64,
    pub ifi_collisions: u64,
    pub ifi_ibytes: u64,
    pub ifi_obytes: u64,
    pub ifi_imcasts: u64,
    pub ifi_omcasts: u64,
    pub ifi_iqdrops: u64,
    pub ifi_noproto: u64,
    pub ifi_hwassist: u64,
    pub ifi_oqdrops: u64,
    pub ifi_lastchange_sec: i64,
    pub ifi_lastchange_usec: i64,
}

const _: () = assert!(size_of::<IfData>() == 160);

/// `struct if_msghdr`: an `RTM_IFINFO` message, followed by the socket
/// addresses that `ifm_addrs` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct IfMsghdr {
    pub ifm_msglen: u16,
    pub ifm_version: u8,
    pub ifm_type: u8,
    pub ifm_index: u16,
    pub ifm_pad0: [u8; 2],
    pub ifm_flags: i32,
    pub ifm_addrs: i32,
    pub ifm_data: IfData,
}

const _: () = {
    assert!(size_of::<IfMsghdr>() == 176);
    assert!(core::mem::offset_of!(IfMsghdr, ifm_data) == 16);
};

/// `struct ifa_msghdr`: an `RTM_NEWADDR` or `RTM_DELADDR` message, followed
/// by the socket addresses that `ifam_addrs` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[allow(missing_docs)]
pub struct IfaMsghdr {
    pub ifam_msglen: u16,
    pub ifam_version: u8,
    pub ifam_type: u8,
    pub ifam_index: u16,
    /// Whose address it is (FreeBSD has it in `if_data`); 0 for the
    /// interface's own. Padding upstream.
    pub ifam_vhid: u8,
    pub ifam_pad0: u8,
    pub ifam_flags: i32,
    pub ifam_addrs: i32,
    pub ifam_addrflags: i32,
    pub ifam_metric: i32,
}

const _: () = assert!(size_of::<IfaMsghdr>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(IfName::new("carp0").map(|n| n.as_str().to_owned()), Some("carp0".into()));
        assert_eq!(IfName::new("a23456789012345").map(|n| n.as_str().len()), Some(15));
        for bad in ["", "a234567890123456", "a b", "a/b", "é"] {
            assert_eq!(IfName::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn high_flags_stay_beside_the_low_ones() {
        let mut r = IfReq::new(IfName::EMPTY);
        r.set_flags(Iff::UP | Iff::STATICARP);
        assert_eq!(&r.ifr_ifru[..4], &[0x01, 0x00, 0x08, 0x00]);
        assert_eq!(r.flags(), Iff::UP | Iff::STATICARP);
    }
}
