//! What the kernel offers CARP, and the context that every function here
//! works in.

use crate::reason::Transition;
use crate::softc::{Carp, CarpSoftc};
use crate::{Ifaddr, Ifnet, output};
use compat::qsbr::Netisr0;
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use compat::sys::time::Time;
use core::fmt;
use core::net::IpAddr;
use std::time::Duration;
use triomphe::Arc;

/// Which of a softc's callouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// `sc_ad_tmo`: the next advertisement.
    Ad,
    /// `sc_md_tmo`: the master is down, as far as IPv4 can tell.
    Md,
    /// `sc_md6_tmo`: the same for IPv6.
    Md6,
}

impl Timer {
    /// All of them.
    pub const ALL: [Timer; 3] = [Timer::Ad, Timer::Md, Timer::Md6];

    /// The master-down timer of a family.
    pub fn md(af: Af) -> Timer {
        match af {
            Af::Inet => Timer::Md,
            Af::Inet6 => Timer::Md6,
        }
    }
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

    /// `ip_output` with `IP_RAWOUTPUT`, `ip6_output`: a whole packet of that
    /// family. To a group it leaves by the carp interface `cifp`, under the
    /// virtual MAC; to a single host by its parent, under the parent's.
    fn ip_output(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, af: Af, packet: &[u8]) -> Result<(), Errno>;

    /// `arp_gratuitous`: a request for `ia`'s own address, from the MAC of its
    /// interface; for an IPv6 address `nd6_na_output`, an unsolicited
    /// advertisement to all nodes.
    fn announce(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, ia: &Arc<Ifaddr>);

    /// `ifpromisc`
    fn ifpromisc(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, on: bool) -> Result<(), Errno>;

    /// `in_addmulti`, `in6_addmulti`
    fn addmulti(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, group: IpAddr);

    /// `in_delmulti`, `in6_delmulti`
    fn delmulti(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, group: IpAddr);

    /// `rtchange`: the prefix route of `old` becomes `new`'s.
    fn rtchange(&self, n0: &Netisr0, old: &Arc<Ifaddr>, new: &Arc<Ifaddr>);

    /// `rtinit(RTM_ADD)`: `ia` gets its prefix route, unless another address
    /// has that already.
    fn rtadd(&self, n0: &Netisr0, ia: &Arc<Ifaddr>);

    /// `rtinit(RTM_DELETE)`: `ia`'s prefix route goes.
    fn rtdelete(&self, n0: &Netisr0, ia: &Arc<Ifaddr>);

    /// `rt_ifmsg`: tell whoever listens that `ifp`'s state changed.
    fn rt_ifmsg(&self, n0: &Netisr0, ifp: &Arc<Ifnet>);

    /// That MASTER is about to bow out: whatever others say in its name is said when
    /// this returns, and nothing more will be before it has come to MASTER again.
    fn hush(&self, n0: &Netisr0, sc: &CarpSoftc);

    /// FreeBSD's `devctl_notify`: `sc` has changed its state, and why.
    fn devctl_notify(&self, n0: &Netisr0, sc: &CarpSoftc, t: Transition);

    /// `in_ifaddrheads`, `in6_ifaddr`: all addresses of the machine, oldest
    /// first.
    fn ifaddrs(&self, n0: &Netisr0) -> Vec<Arc<Ifaddr>>;

    /// `log`
    fn log(&self, level: Level, line: fmt::Arguments<'_>);
}

/// netisr0, at work on CARP. Functions that may synchronise with the other
/// netisrs take it by `&mut`; all others by `&`. [`Carp::enter`] makes it.
#[non_exhaustive]
pub struct Cx<'a> {
    /// The machine's CARP.
    pub carp: &'a Carp,
    /// netisr0's token.
    pub n0: &'a mut Netisr0,
    /// The kernel around it.
    pub kern: &'a dyn Kernel,
}

impl Carp {
    /// The way into CARP: does `f`, which is all that one event asks for. Only
    /// then are the machine's MASTERs made to say what it has changed of their
    /// skews: nothing is sent, fails and demotes in the middle of a transition.
    pub fn enter<R>(&self, n0: &mut Netisr0, kern: &dyn Kernel, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        let cx = &mut Cx { carp: self, n0, kern };
        let done = f(cx);
        output::send_ad_all(cx);
        done
    }
}
