//! What the machine around CARP does when an administrator acts: it moves the
//! prefix routes of its own addresses, and tells CARP in the order that netisrd
//! has.
#![allow(clippy::unwrap_used, unreachable_pub)]

use crate::ifaddr::{self, IfaddrEvent};
use crate::testutil::{FakeKernel, World};
use crate::{Ifaddr, Ifnet, vhaddr};
use compat::net::if_::{IFT_ETHER, Iff};
use compat::qsbr::Netisr0;
use compat::sys::errno::Errno;
use core::net::IpAddr;
use triomphe::Arc;

impl FakeKernel {
    /// Whether `ia` has its prefix route now.
    pub fn in_addprefix(&self, n0: &Netisr0, ia: &Arc<Ifaddr>) -> bool {
        let taken = self.ifaddrs.borrow().iter().any(|o| o.has_route(n0) && same_route(n0, o, ia));
        if !taken {
            ia.set_route(n0, true);
        }
        !taken
    }

    /// Whether `ia` had it, and who inherits it.
    pub fn in_scrubprefix(&self, n0: &Netisr0, ia: &Arc<Ifaddr>) -> (bool, Option<Arc<Ifaddr>>) {
        if !ia.has_route(n0) {
            return (false, None);
        }
        ia.set_route(n0, false);
        let can = |o: &&Arc<Ifaddr>| {
            let real = o.ifa_ifp.if_type == IFT_ETHER && o.ifa_ifp.flags().contains(Iff::UP);
            real && !Arc::ptr_eq(o, ia) && same_route(n0, o, ia)
        };
        let heir = self.ifaddrs.borrow().iter().find(can).cloned();
        if let Some(heir) = &heir {
            heir.set_route(n0, true);
        }
        (true, heir)
    }
}

/// A link-local prefix is another one on each interface.
pub fn same_route(n0: &Netisr0, a: &Arc<Ifaddr>, b: &Arc<Ifaddr>) -> bool {
    let scoped = matches!(a.ifa_addr, IpAddr::V6(a) if a.is_unicast_link_local());
    a.same_prefix(n0, b) && (!scoped || Arc::ptr_eq(&a.ifa_ifp, &b.ifa_ifp))
}

impl World {
    pub fn del_addr(&mut self, addr: impl Into<IpAddr>) {
        let ia = self.ia(addr);
        self.del(&ia);
    }

    /// As the machine does it: CARP is told while the address is still there,
    /// but no longer the holder of a route.
    pub fn del(&mut self, ia: &Arc<Ifaddr>) {
        self.kern.in_scrubprefix(&self.n0, ia);
        self.cx(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Delete)).unwrap();
        self.kern.ifaddrs.borrow_mut().retain(|i| !Arc::ptr_eq(i, ia));
        self.kern.in_scrubprefix(&self.n0, ia);
        self.cx(|cx| vhaddr::claim_routes(cx));
    }

    /// Another prefix length, as the machine does it: one that CARP refuses is
    /// put back.
    pub fn change(&mut self, ia: &Arc<Ifaddr>, len: u8) -> Result<(), Errno> {
        let before = ia.net(&self.n0).prefix_len();
        self.set_prefix(ia, len);
        let r = self.cx(|cx| ifaddr::ifaddr(cx, ia, IfaddrEvent::Change));
        if r.is_err() {
            self.set_prefix(ia, before);
            self.cx(|cx| vhaddr::claim_routes(cx));
        }
        r
    }

    fn set_prefix(&mut self, ia: &Arc<Ifaddr>, len: u8) {
        self.kern.in_scrubprefix(&self.n0, ia);
        ia.set_prefixlen(&self.n0, len);
        if ia.ifa_ifp.if_type == IFT_ETHER {
            self.kern.in_addprefix(&self.n0, ia);
        }
    }

    /// `ifconfig IF up` or `down` of a parent, as the machine does it.
    pub fn set_up(&mut self, ifp: &Arc<Ifnet>, up: bool) {
        if ifp.flags().contains(Iff::UP) == up {
            return;
        }
        let mut addrs = self.kern.ifaddrs.borrow().clone();
        addrs.retain(|ia| Arc::ptr_eq(&ia.ifa_ifp, ifp));
        if up {
            ifp.set_flags(&self.n0, Iff::UP);
            for ia in &addrs {
                self.kern.in_addprefix(&self.n0, ia);
            }
            self.cx(|cx| ifaddr::parent_is_up(cx, ifp));
        } else {
            self.cx(|cx| ifaddr::parent_going_down(cx, ifp));
            ifp.clear_flags(&self.n0, Iff::UP);
            self.cx(|cx| ifaddr::parent_is_down(cx, ifp));
            for ia in &addrs {
                self.kern.in_scrubprefix(&self.n0, ia);
            }
            self.cx(|cx| vhaddr::claim_routes(cx));
        }
    }

    /// Whose prefix routes there are.
    pub fn routes(&self) -> Vec<String> {
        let all = self.kern.ifaddrs.borrow();
        let held = all.iter().filter(|ia| ia.has_route(&self.n0));
        held.map(|ia| format!("{} {}", ia.ifa_addr, ia.ifa_ifp.if_xname)).collect()
    }
}
