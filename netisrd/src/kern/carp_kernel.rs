//! The kernel around CARP: libcarp's [`Kernel`] on this machine.

use crate::kern::{devctl, lease};
use crate::machine::{Ctx, Ctx0, Machine, PerCpu};
use crate::net::if_ethersubr::ether_output;
use crate::net::netisr::Netmsg0;
use crate::net::{if_, if_llatbl, if_tap, ifaddr, route, rtsock};
use compat::net::ethernet::{ETHERTYPE_IP, ETHERTYPE_IPV6, map_ip_multicast};
use compat::netinet::ip::Ip;
use compat::netinet6::in6::map_ipv6_multicast;
use compat::netinet6::ip6::Ip6;
use compat::qsbr::Netisr0;
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use compat::sys::time::{Time, tvtohz_high};
use core::fmt;
use core::net::IpAddr;
use libcarp::kernel::{CarpCallout, Cx, Kernel, Level};
use libcarp::softc::State;
use libcarp::{CarpSoftc, Ifaddr, Ifnet, Transition};
use rand_chacha::rand_core::Rng;
use std::sync::atomic::Ordering;
use std::time::Duration;
use triomphe::Arc;

/// This machine, as CARP sees it.
pub struct CarpKernel<'a> {
    m: &'a Machine,
    cpu: &'a PerCpu,
}

impl Ctx0<'_> {
    /// Lends netisr0 to CARP.
    pub fn carp<R>(&mut self, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        let kern = CarpKernel { m: self.m, cpu: self.cpu };
        self.m.carp.enter(self.n0, &kern, f)
    }
}

impl CarpKernel<'_> {
    fn ctx<'b>(&'b self, n0: &'b Netisr0) -> Ctx<'b> {
        Ctx { m: self.m, n: n0, cpu: self.cpu }
    }

    fn is_mute(&self) -> bool {
        self.m.mute.load(Ordering::Relaxed)
    }

    /// The message of a callout that has fired.
    fn take_back(&self, n0: &Netisr0, c: CarpCallout) {
        if let Some(id) = self.m.own(n0).inflight.borrow_mut().remove(&c) {
            self.m.port0.dropmsg(id);
        }
    }

    /// `tvtohz_high`, if the machine counts in ticks: the deadline is on a
    /// tick.
    fn deadline(&self, after: Duration) -> Time {
        let now = self.m.clock().now();
        match self.m.hz() {
            0 => now + after,
            hz => {
                let tick = 1_000_000_000 / u64::from(hz);
                Time((now.0 / tick + tvtohz_high(after, hz)) * tick)
            }
        }
    }
}

impl Kernel for CarpKernel<'_> {
    fn now(&self) -> Time {
        self.m.clock().now()
    }

    fn arc4random(&self, n0: &Netisr0) -> u64 {
        self.m.own(n0).rng.borrow_mut().next_u64()
    }

    fn callout_reset(&self, n0: &Netisr0, c: CarpCallout, after: Duration) {
        self.take_back(n0, c);
        self.m.own(n0).callouts.borrow_mut().reset(c, self.deadline(after));
    }

    fn callout_stop(&self, n0: &Netisr0, c: CarpCallout) {
        self.take_back(n0, c);
        self.m.own(n0).callouts.borrow_mut().stop(c);
    }

    fn callout_deadline(&self, n0: &Netisr0, c: CarpCallout) -> Option<Time> {
        self.m.own(n0).callouts.borrow().deadline(c)
    }

    fn ip_output(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, af: Af, packet: &[u8]) -> Result<(), Errno> {
        if self.is_mute() {
            return Ok(());
        }
        let cx = self.ctx(n0);
        let (src, dst): (IpAddr, IpAddr) = match af {
            Af::Inet => Ip::parse(packet).map(|ip| (ip.src.into(), ip.dst.into())).map_err(|_| ()),
            Af::Inet6 => Ip6::parse(packet).map(|ip6| (ip6.src.into(), ip6.dst.into())).map_err(|_| ()),
        }
        .map_err(|_| Errno::EINVAL)?;
        match dst {
            IpAddr::V4(group) if group.is_multicast() => {
                ether_output(cx, cifp, map_ip_multicast(group), ETHERTYPE_IP, packet)
            }
            IpAddr::V6(group) if group.is_multicast() => {
                ether_output(cx, cifp, map_ipv6_multicast(group), ETHERTYPE_IPV6, packet)
            }
            _ => {
                let parent = if_llatbl::real_ifp(cx, cifp).ok_or(Errno::ENETUNREACH)?;
                if_llatbl::resolve_output(cx, parent, src, dst, packet)
            }
        }
    }

    fn announce(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, ia: &Arc<Ifaddr>) {
        if !self.is_mute() {
            ifaddr::announce(self.ctx(n0), cifp, ia.ifa_addr);
        }
    }

    fn ifpromisc(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, on: bool) -> Result<(), Errno> {
        if_::ifpromisc(self.m, n0, ifp, on)
    }

    fn addmulti(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, group: IpAddr) {
        if_::addmulti(self.m, n0, ifp, group);
    }

    fn delmulti(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, group: IpAddr) {
        if_::delmulti(self.m, n0, ifp, group);
    }

    fn rtchange(&self, n0: &Netisr0, old: &Arc<Ifaddr>, new: &Arc<Ifaddr>) {
        route::rtchange(self.m, self.cpu, n0, old, new);
    }

    fn rtadd(&self, n0: &Netisr0, ia: &Arc<Ifaddr>) {
        route::in_addprefix(self.m, self.cpu, n0, ia);
    }

    fn rtdelete(&self, n0: &Netisr0, ia: &Arc<Ifaddr>) {
        route::in_scrubprefix(self.m, self.cpu, n0, ia);
    }

    fn rt_ifmsg(&self, n0: &Netisr0, ifp: &Arc<Ifnet>) {
        tracing::debug!("{}: link state changed to {:?}", ifp.if_xname, ifp.link_state());
        rtsock::rt_ifmsg(self.m, n0, ifp);
    }

    fn hush(&self, n0: &Netisr0, sc: &CarpSoftc) {
        if !self.is_mute() {
            if_tap::hush(self.ctx(n0), sc);
        }
    }

    fn devctl_notify(&self, n0: &Netisr0, sc: &CarpSoftc, t: Transition) {
        if self.is_mute() {
            return;
        }
        if t.old == State::Master {
            if_tap::last_frames(self.ctx(n0), sc);
        }
        devctl::notify(self.m, n0, sc, t);
    }

    fn ifaddrs(&self, n0: &Netisr0) -> Vec<Arc<Ifaddr>> {
        self.m.own(n0).ifaddrs.borrow().clone()
    }

    fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        if !self.is_mute() {
            self.m.log(level, line);
        }
    }
}

/// Whether a callout has been due for so long that netisr0 cannot have run since.
pub fn is_late(m: &Machine, n0: &Netisr0) -> bool {
    m.own(n0).callouts.borrow().next().is_some_and(|due| m.clock().now() - due > lease::LATE)
}

/// Sends a message for each callout that is due. It has priority and is
/// droppable: stopped or armed again before it is dispatched, it does not
/// arrive.
pub fn softclock(m: &Machine, n0: &Netisr0) {
    let now = m.clock().now();
    let own = m.own(n0);
    lease::clock(m, n0, now);
    loop {
        let due = own.callouts.borrow_mut().expire(now);
        let Some(c) = due else { return };
        let id = m.port0.sendmsg_droppable(Netmsg0::CarpTimeout(c));
        own.inflight.borrow_mut().insert(c, id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::machine::Config;
    use compat::sys::time::VirtualClock;
    use libcarp::kernel::Timer;

    #[test]
    fn a_stopped_callout_takes_its_message_with_it() {
        let clock = std::sync::Arc::new(VirtualClock::default());
        let mut booted = Machine::boot(Config {
            ncpus: 1,
            clock: clock.clone(),
            seed: [0; 32],
            hz: 0,
            log: crate::machine::trace(),
        });
        let n0 = booted.seeds.remove(0).claim0(Box::new(|| {}));
        let (m, cpu) = (booted.machine, PerCpu::default());
        let kern = CarpKernel { m: &m, cpu: &cpu };
        let c = |timer| CarpCallout { if_index: 1, timer };
        kern.callout_reset(&n0, c(Timer::Ad), Duration::from_secs(1));
        kern.callout_reset(&n0, c(Timer::Md), Duration::from_secs(1));
        clock.advance_to(Time(1_000_000_000));
        softclock(&m, &n0);
        assert_eq!(m.port0.len(), 2);
        // Fired, but not dispatched: stopped, it does not arrive.
        kern.callout_stop(&n0, c(Timer::Ad));
        // Armed again, it arrives at its new time only.
        kern.callout_reset(&n0, c(Timer::Md), Duration::from_secs(1));
        assert_eq!(m.port0.len(), 0);
        clock.advance_to(Time(2_000_000_000));
        softclock(&m, &n0);
        assert!(matches!(m.port0.getport(), Some(Netmsg0::CarpTimeout(got)) if got == c(Timer::Md)));
        assert!(m.port0.is_empty());
    }
}
