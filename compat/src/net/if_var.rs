//! `net/if_var.h`: the interface, as the machine keeps it.
//!
//! What every netisr reads is immutable, atomic, or in a [`QsCell`]; what only
//! netisr0 uses is in a [`Netisr0Cell`].

use super::if_::{IfName, Iff, LinkState};
use crate::qsbr::{Brand, Netisr0, Netisr0Cell, QsCell};
use crate::sys::socket::Af;
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, Ipv4Addr};
use ipnet::IpNet;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use triomphe::Arc;

/// An Ethernet address.
pub type LlAddr = [u8; 6];

/// What an interface is made from.
#[derive(Clone, Copy, Debug)]
pub struct IfAttach {
    /// `if_xname`
    pub name: IfName,
    /// `if_index`, from 1.
    pub index: u16,
    /// `IFT_*`
    pub if_type: u8,
    /// Initial `if_flags`.
    pub flags: Iff,
    /// `if_mtu`, bytes.
    pub mtu: u32,
    /// `IF_LLADDR`
    pub lladdr: LlAddr,
    /// The Linux host uses the interface too, and answers for the addresses
    /// that it lent us.
    pub shared_with_host: bool,
    /// It serves the virtual addresses of the carp interfaces on it as well: the
    /// machine only says who is MASTER.
    pub served_by_host: bool,
}

/// `struct ifnet`. `C` is what `if_carp` points to: libcarp's list.
pub struct Ifnet<C> {
    /// `if_xname`
    pub if_xname: IfName,
    /// `if_index`
    pub if_index: u16,
    /// `IFT_*`
    pub if_type: u8,
    /// See [`IfAttach::shared_with_host`].
    pub shared_with_host: bool,
    /// See [`IfAttach::served_by_host`].
    pub served_by_host: bool,
    /// `if_carp`: the carp interfaces that this one backs.
    pub if_carp: QsCell<C>,
    /// `if_data`'s counters.
    pub stats: IfStats,
    if_flags: AtomicU32,
    if_mtu: AtomicU32,
    if_link_state: AtomicU8,
    lladdr: AtomicU64,
    own: Netisr0Cell<IfOwn>,
}

/// What only netisr0 uses of an interface.
#[derive(Default)]
pub struct IfOwn {
    /// `if_pcount`: how many want promiscuous mode.
    pub if_pcount: Cell<u32>,
    /// `if_multiaddrs` with their reference counts, in the order of joining.
    pub if_multiaddrs: RefCell<Vec<(IpAddr, u32)>>,
    /// `if_groups`, in the order of joining.
    pub if_groups: RefCell<Vec<Arc<IfgGroup>>>,
}

/// `struct ifg_group`: interfaces that share a name, and a demotion.
pub struct IfgGroup {
    /// `ifg_group`
    pub ifg_group: IfName,
    carp_demoted: Netisr0Cell<Cell<i32>>,
}

impl IfgGroup {
    /// A group that nobody is in yet.
    pub fn new(brand: &Brand, name: IfName) -> IfgGroup {
        IfgGroup { ifg_group: name, carp_demoted: Netisr0Cell::new(brand, Cell::new(0)) }
    }

    /// `ifg_carp_demoted`: how many reasons its members have to be no MASTER;
    /// never below 0.
    pub fn carp_demoted<'a>(&'a self, n0: &'a Netisr0) -> &'a Cell<i32> {
        self.carp_demoted.get(n0)
    }
}

impl<C> Ifnet<C> {
    /// `if_attach`
    pub fn new(brand: &Brand, a: IfAttach) -> Ifnet<C> {
        let ifp = Ifnet {
            if_xname: a.name,
            if_index: a.index,
            if_type: a.if_type,
            shared_with_host: a.shared_with_host,
            served_by_host: a.served_by_host,
            if_carp: QsCell::new(brand),
            stats: IfStats::default(),
            if_flags: AtomicU32::new(a.flags.bits()),
            if_mtu: AtomicU32::new(a.mtu),
            if_link_state: AtomicU8::new(LinkState::Unknown as u8),
            lladdr: AtomicU64::new(0),
            own: Netisr0Cell::new(brand, IfOwn::default()),
        };
        ifp.store_lladdr(a.lladdr);
        ifp
    }

    /// `if_flags`
    pub fn flags(&self) -> Iff {
        Iff::from_bits_retain(self.if_flags.load(Ordering::Acquire))
    }

    /// `if_flags |= f`, by netisr0.
    pub fn set_flags(&self, _: &Netisr0, f: Iff) {
        self.if_flags.fetch_or(f.bits(), Ordering::Release);
    }

    /// `if_flags &= ~f`, by netisr0.
    pub fn clear_flags(&self, _: &Netisr0, f: Iff) {
        self.if_flags.fetch_and(!f.bits(), Ordering::Release);
    }

    /// `(if_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING)`
    pub fn is_up_and_running(&self) -> bool {
        self.flags().contains(Iff::UP | Iff::RUNNING)
    }

    /// `if_link_state`
    pub fn link_state(&self) -> LinkState {
        self.if_link_state.load(Ordering::Acquire).into()
    }

    /// Stores `if_link_state`, by netisr0.
    pub fn set_link_state(&self, _: &Netisr0, s: LinkState) {
        self.if_link_state.store(s as u8, Ordering::Release);
    }

    /// `if_mtu`, bytes.
    pub fn mtu(&self) -> u32 {
        self.if_mtu.load(Ordering::Acquire)
    }

    /// Changes `if_mtu`, by netisr0.
    pub fn set_mtu(&self, _: &Netisr0, mtu: u32) {
        self.if_mtu.store(mtu, Ordering::Release);
    }

    /// `IF_LLADDR`
    pub fn lladdr(&self) -> LlAddr {
        let [a, b, c, d, e, f, ..] = self.lladdr.load(Ordering::Acquire).to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// Changes `IF_LLADDR`, by netisr0.
    pub fn set_lladdr(&self, _: &Netisr0, a: LlAddr) {
        self.store_lladdr(a);
    }

    fn store_lladdr(&self, [a, b, c, d, e, f]: LlAddr) {
        self.lladdr.store(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]), Ordering::Release);
    }

    /// netisr0's part.
    pub fn own<'a>(&'a self, n0: &'a Netisr0) -> &'a IfOwn {
        self.own.get(n0)
    }
}

macro_rules! if_stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// `IFNET_STAT_*`: counters that any netisr adds to.
        #[derive(Default)]
        pub struct IfStats {
            $($(#[$doc])* pub $name: Counter,)*
        }
    };
}

if_stats! {
    /// Packets received.
    ipackets,
    /// Packets that could not be received.
    ierrors,
    /// Packets sent.
    opackets,
    /// Packets that could not be sent.
    oerrors,
    /// Octets received.
    ibytes,
    /// Octets sent.
    obytes,
    /// Multicasts received.
    imcasts,
    /// Multicasts sent.
    omcasts,
    /// Packets dropped on input.
    iqdrops,
    /// Packets of a protocol that the machine does not speak.
    noproto,
}

/// `struct ifaddr`, with what `in_ifaddr` and `in6_ifaddr` add to it. Who it
/// is, is who it is (`Arc::ptr_eq`): its prefix can change.
pub struct Ifaddr<C> {
    /// `ifa_ifp`
    pub ifa_ifp: Arc<Ifnet<C>>,
    /// `ifa_addr`
    pub ifa_addr: IpAddr,
    own: Netisr0Cell<IfaOwn>,
}

struct IfaOwn {
    prefixlen: Cell<u8>,
    broad: Cell<Ipv4Addr>,
    route: Cell<bool>,
}

impl<C> Ifaddr<C> {
    /// An address of `ifp`; an IPv4 broadcast address is the subnet's last.
    pub fn new(brand: &Brand, ifp: Arc<Ifnet<C>>, net: IpNet) -> Ifaddr<C> {
        let own = IfaOwn {
            prefixlen: Cell::new(net.prefix_len()),
            broad: Cell::new(broadcast(net)),
            route: Cell::new(false),
        };
        Ifaddr { ifa_ifp: ifp, ifa_addr: net.addr(), own: Netisr0Cell::new(brand, own) }
    }

    /// `ifa_addr->sa_family`
    pub fn af(&self) -> Af {
        Af::of(self.ifa_addr)
    }

    /// The address with its prefix's length.
    pub fn net(&self, n0: &Netisr0) -> IpNet {
        // A length that is too long was refused when it came.
        IpNet::new(self.ifa_addr, self.own.get(n0).prefixlen.get()).unwrap_or_else(|_| self.ifa_addr.into())
    }

    /// `ia_subnet` and `ia_subnetmask`; `ia_prefixmask`.
    pub fn prefix(&self, n0: &Netisr0) -> IpNet {
        self.net(n0).trunc()
    }

    /// `ia_broadaddr`; 0.0.0.0 for IPv6.
    pub fn broad(&self, n0: &Netisr0) -> Ipv4Addr {
        self.own.get(n0).broad.get()
    }

    /// Whether `other` is of the same prefix: same mask, same subnet.
    pub fn same_prefix(&self, n0: &Netisr0, other: &Ifaddr<C>) -> bool {
        self.prefix(n0) == other.prefix(n0)
    }

    /// A prefix of another length; the broadcast address follows.
    pub fn set_prefixlen(&self, n0: &Netisr0, len: u8) {
        let own = self.own.get(n0);
        own.prefixlen.set(len);
        own.broad.set(broadcast(self.net(n0)));
    }

    /// A broadcast address of its own.
    pub fn set_broad(&self, n0: &Netisr0, broad: Ipv4Addr) {
        self.own.get(n0).broad.set(broad);
    }

    /// `ia_flags & IFA_ROUTE`: it holds its prefix's route.
    pub fn has_route(&self, n0: &Netisr0) -> bool {
        self.own.get(n0).route.get()
    }

    /// Sets or clears `IFA_ROUTE`.
    pub fn set_route(&self, n0: &Netisr0, on: bool) {
        self.own.get(n0).route.set(on);
    }
}

/// The last address of the subnet; 255.255.255.255 for a /31 (RFC 3021).
fn broadcast(net: IpNet) -> Ipv4Addr {
    match net {
        IpNet::V4(v4) if v4.prefix_len() == 31 => Ipv4Addr::BROADCAST,
        IpNet::V4(v4) => v4.broadcast(),
        IpNet::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// A counter that any netisr adds to.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
