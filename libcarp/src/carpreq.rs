//! `ip_carp.h`, the part that programs include: the structures and numbers of
//! CARP's ioctls and sysctls.

use bitflags::bitflags;
use compat::net::if_::IfReq;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::ioccom::iowr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `CARP_KEY_LEN`: bytes of a key; a password has at most one less.
pub const CARP_KEY_LEN: usize = 20;
/// Set the virtual host: `ifr_data` points to a [`CarpReq`].
pub const SIOCSVH: u32 = iowr::<IfReq>(b'i', 245);
/// Get the virtual host: `ifr_data` points to a [`CarpReq`].
pub const SIOCGVH: u32 = iowr::<IfReq>(b'i', 246);
/// `SIOCGDRVSPEC`: the parent's name, `char[16]`.
pub const CARPGDEVNAME: u64 = 0;
/// `SIOCGDRVSPEC`: an array of [`IfCarpVhaddr`].
pub const CARPGVHADDR: u64 = 1;
/// `SIOCGDRVSPEC`: an array of [`IfCarpVhaddr6`] (upstream has no IPv6 here).
pub const CARPGVHADDR6: u64 = 2;
/// `SIOCGDRVSPEC`, `SIOCSDRVSPEC`: a [`CarpPeers`] (FreeBSD's `peer`).
pub const CARPPEERS: u64 = 3;
/// `SIOCSDRVSPEC`: the parent's name, `char[16]`, whatever the addresses say;
/// empty to let them choose again (OpenBSD's and NetBSD's `carpdev`).
/// `SIOCGDRVSPEC`: what was set so, to put it back.
pub const CARPSDEVNAME: u64 = 4;
/// `CARP_STATES`: what `carpr_state` prints as.
pub const CARP_STATES: [&str; 3] = ["INIT", "BACKUP", "MASTER"];

const _: () = assert!(SIOCSVH == 0xc020_69f5 && SIOCGVH == 0xc020_69f6);

/// `struct carpreq`, raw: the errno depends on what is out of range.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CarpReq {
    /// 0, 1, 2: [`CARP_STATES`]. In `SIOCSVH`, [`CARPR_STATE_KEEP`] asks for
    /// no transition.
    pub carpr_state: i32,
    /// 1 to 255; 0 or less: not set.
    pub carpr_vhid: i32,
    /// 0 to 254, in 1/256 second.
    pub carpr_advskew: i32,
    /// 0 to 255, in seconds.
    pub carpr_advbase: i32,
    /// The password and NULs; all NULs for one who may not see it.
    pub carpr_key: [u8; CARP_KEY_LEN],
}

/// A `carpr_state` that no state has: `SIOCSVH` leaves the state alone. What
/// `SIOCGVH` gave is stale by the time it comes back, so programs that do not
/// mean to change the state put this in its place (upstream has no such value).
pub const CARPR_STATE_KEEP: i32 = -1;

const _: () = assert!(size_of::<CarpReq>() == 36);

bitflags! {
    /// `CARP_VHAF_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Vhaf: u32 {
        /// The virtual address is also the backing interface's own.
        const OWNER = 0x1;
        /// It is on its softc's list.
        const ONLIST = 0x2;
    }
}

/// `struct ifcarpvhaddr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfCarpVhaddr {
    /// [`Vhaf`].
    pub carpa_flags: u32,
    /// The virtual address.
    pub carpa_addr: SockAddrIn,
    /// The backing address; 0.0.0.0 for none.
    pub carpa_baddr: SockAddrIn,
}

const _: () = assert!(size_of::<IfCarpVhaddr>() == 36);

/// `struct ifcarpvhaddr` for IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct IfCarpVhaddr6 {
    /// [`Vhaf`].
    pub carpa_flags: u32,
    /// The virtual address.
    pub carpa_addr: SockAddrIn6,
    /// The backing address; `::` for none.
    pub carpa_baddr: SockAddrIn6,
}

const _: () = assert!(size_of::<IfCarpVhaddr6>() == 60);

/// Where a softc advertises, one address for each family: a group (that of
/// CARP unless told otherwise) or a single peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CarpPeers {
    /// On an interface that is no carp interface: which vhid of it; else 0.
    pub carpp_vhid: u32,
    /// IPv4. A zero `sin_len` keeps what is there.
    pub carpp_addr: SockAddrIn,
    /// IPv6. A zero `sin6_len` keeps what is there.
    pub carpp_addr6: SockAddrIn6,
}

const _: () = assert!(size_of::<CarpPeers>() == 48);

/// `struct carpstats`, the value of `net.inet.carp.stats`: counters since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct CarpStats {
    /// Packets received, IPv4.
    pub carps_ipackets: u64,
    /// Packets received, IPv6.
    pub carps_ipackets6: u64,
    /// Wrong interface.
    pub carps_badif: u64,
    /// TTL is not 255.
    pub carps_badttl: u64,
    /// Shorter than the header.
    pub carps_hdrops: u64,
    /// Bad checksum.
    pub carps_badsum: u64,
    /// Bad version.
    pub carps_badver: u64,
    /// Data length does not match.
    pub carps_badlen: u64,
    /// Bad authentication.
    pub carps_badauth: u64,
    /// Bad vhid.
    pub carps_badvhid: u64,
    /// Bad address list.
    pub carps_badaddrs: u64,
    /// Packets sent, IPv4.
    pub carps_opackets: u64,
    /// Packets sent, IPv6.
    pub carps_opackets6: u64,
    /// No memory for a packet.
    pub carps_onomem: u64,
    /// State updates sent.
    pub carps_ostates: u64,
    /// Preemptions.
    pub carps_preempt: u64,
}

const _: () = assert!(size_of::<CarpStats>() == 128);

/// A `carpr_vhid` that takes the vhid away again. `ifconfig` uses it to undo
/// a first `SIOCSVH` when a later step of the same line fails (upstream has no
/// such value). On an interface that is no carp interface, the sum of this and
/// the vhid takes that vhid away.
pub const CARPR_VHID_CLEAR: i32 = i32::MIN;
