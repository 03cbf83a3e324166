//! What the kernel offers CARP, and the context that every function here
//! works in.

use crate::softc::Carp;
use crate::{Ifnet, InIfaddr};
use compat::qsbr::Netisr0;
use compat::sys::errno::Errno;
use compat::sys::time::Time;
use core::fmt;
use core::net::Ipv4Addr;
use std::time::Duration;
use triomphe::Arc;

/// Which of a softc's callouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// `sc_ad_tmo`: the next advertisement.
    Ad,
    /// `sc_md_tmo`: the master is down.
    Md,
}

/// A callout of one carp interface, named by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarpCallout {
    /// `if_index` of the carp interface.
    pub if_index: u16,
    /// Which one.
    pub timer: Timer,
}

/// `syslog`'s levels that CARP uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `LOG_INFO`
    Info,
    /// `LOG_DEBUG`
    Debug,
}

/// The kernel around CARP. All of it is called in netisr0. Nothing here calls
/// back into CARP before it returns.
pub trait Kernel {
    /// Monotonic time since boot.
    fn now(&self) -> Time;

    /// `karc4random`, twice.
    fn arc4random(&self, n0: &Netisr0) -> u64;

    /// `callout_reset` of a callout whose message goes to netisr0 with
    /// priority and is droppable: armed again or stopped, it does not arrive.
    fn callout_reset(&self, n0: &Netisr0, c: CarpCallout, after: Duration);

    /// `callout_stop` and `lwkt_dropmsg`.
    fn callout_stop(&self, n0: &Netisr0, c: CarpCallout);

    /// When it fires, if it is pending.
    fn callout_deadline(&self, n0: &Netisr0, c: CarpCallout) -> Option<Time>;

    /// `ip_output` with `IP_RAWOUTPUT`: a whole IPv4 packet to a multicast
    /// group, out of the carp interface `cifp`.
    fn ip_output(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, packet: &[u8]) -> Result<(), Errno>;

    /// `arp_gratuitous`: a request for `ia`'s own address, from the MAC of its
    /// interface.
    fn arp_gratuitous(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, ia: &Arc<InIfaddr>);

    /// `ifpromisc`
    fn ifpromisc(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, on: bool) -> Result<(), Errno>;

    /// `in_addmulti`
    fn in_addmulti(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, group: Ipv4Addr);

    /// `in_delmulti`
    fn in_delmulti(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, group: Ipv4Addr);

    /// `rtchange`: the prefix route of `old` becomes `new`'s.
    fn rtchange(&self, n0: &Netisr0, old: &Arc<InIfaddr>, new: &Arc<InIfaddr>);

    /// `rtinit(RTM_DELETE)`: `ia`'s prefix route goes.
    fn rtdelete(&self, n0: &Netisr0, ia: &Arc<InIfaddr>);

    /// `rt_ifmsg`: tell whoever listens that `ifp`'s state changed.
    fn rt_ifmsg(&self, n0: &Netisr0, ifp: &Arc<Ifnet>);

    /// `in_ifaddrheads`: all IPv4 addresses of the machine, oldest first.
    fn in_ifaddrs(&self, n0: &Netisr0) -> Vec<Arc<InIfaddr>>;

    /// `log`
    fn log(&self, level: Level, line: fmt::Arguments<'_>);
}

/// netisr0, at work on CARP. Functions that may synchronise with the other
/// netisrs take it by `&mut`; all others by `&`.
pub struct Cx<'a> {
    /// The machine's CARP.
    pub carp: &'a Carp,
    /// netisr0's token.
    pub n0: &'a mut Netisr0,
    /// The kernel around it.
    pub kern: &'a dyn Kernel,
}
