//! `net/if_var.h`: the interface, as the machine keeps it.
//!
//! What every netisr reads is immutable, atomic, or in a [`QsCell`]; what only
//! netisr0 uses is in a [`Netisr0Cell`].

use super::if_::{IfName, Iff, LinkState};
use crate::qsbr::{Brand, Netisr0, Netisr0Cell, QsCell};
use core::cell::{Cell, RefCell};
use core::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

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
}

/// `struct ifnet`. `C` is what `if_carp` points to: libcarp's list.
pub struct Ifnet<C> {
    /// `if_xname`
    pub if_xname: IfName,
    /// `if_index`
    pub if_index: u16,
    /// `IFT_*`
    pub if_type: u8,
    /// `if_mtu`, bytes.
    pub if_mtu: u32,
    /// See [`IfAttach::shared_with_host`].
    pub shared_with_host: bool,
    /// `if_carp`: the carp interfaces that this one backs.
    pub if_carp: QsCell<C>,
    /// `if_data`'s counters.
    pub stats: IfStats,
    if_flags: AtomicU32,
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
    pub if_multiaddrs: RefCell<Vec<(Ipv4Addr, u32)>>,
}

impl<C> Ifnet<C> {
    /// `if_attach`
    pub fn new(brand: &Brand, a: IfAttach) -> Ifnet<C> {
        let ifp = Ifnet {
            if_xname: a.name,
            if_index: a.index,
            if_type: a.if_type,
            if_mtu: a.mtu,
            shared_with_host: a.shared_with_host,
            if_carp: QsCell::new(brand),
            stats: IfStats::default(),
            if_flags: AtomicU32::new(a.flags.bits()),
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
