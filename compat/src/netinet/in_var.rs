//! `netinet/in_var.h`: an interface's IPv4 address.

use crate::net::if_var::Ifnet;
use crate::qsbr::{Brand, Netisr0, Netisr0Cell};
use core::cell::Cell;
use core::net::Ipv4Addr;
use triomphe::Arc;

/// `struct in_ifaddr`. Who it is, is who it is (`Arc::ptr_eq`): its address
/// and mask can change.
pub struct InIfaddr<C> {
    /// `ia_ifp`
    pub ia_ifp: Arc<Ifnet<C>>,
    own: Netisr0Cell<IaOwn>,
}

struct IaOwn {
    addr: Cell<Ipv4Addr>,
    mask: Cell<Ipv4Addr>,
    broad: Cell<Ipv4Addr>,
    route: Cell<bool>,
}

impl<C> InIfaddr<C> {
    /// An address of `ifp`; its broadcast address is the subnet's last.
    pub fn new(brand: &Brand, ifp: Arc<Ifnet<C>>, addr: Ipv4Addr, mask: Ipv4Addr) -> InIfaddr<C> {
        let own = IaOwn {
            addr: Cell::new(addr),
            mask: Cell::new(mask),
            broad: Cell::new(broadcast(addr, mask)),
            route: Cell::new(false),
        };
        InIfaddr { ia_ifp: ifp, own: Netisr0Cell::new(brand, own) }
    }

    /// `ia_addr`
    pub fn addr(&self, n0: &Netisr0) -> Ipv4Addr {
        self.own.get(n0).addr.get()
    }

    /// `ia_subnetmask`
    pub fn mask(&self, n0: &Netisr0) -> Ipv4Addr {
        self.own.get(n0).mask.get()
    }

    /// `ia_subnet`
    pub fn subnet(&self, n0: &Netisr0) -> Ipv4Addr {
        self.addr(n0) & self.mask(n0)
    }

    /// `ia_broadaddr`
    pub fn broad(&self, n0: &Netisr0) -> Ipv4Addr {
        self.own.get(n0).broad.get()
    }

    /// Whether `other` is of the same prefix: same mask, same subnet.
    pub fn same_prefix(&self, n0: &Netisr0, other: &InIfaddr<C>) -> bool {
        self.mask(n0) == other.mask(n0) && self.subnet(n0) == other.subnet(n0)
    }

    /// A new mask; the broadcast address follows.
    pub fn set_mask(&self, n0: &Netisr0, mask: Ipv4Addr) {
        let own = self.own.get(n0);
        own.mask.set(mask);
        own.broad.set(broadcast(own.addr.get(), mask));
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
fn broadcast(addr: Ipv4Addr, mask: Ipv4Addr) -> Ipv4Addr {
    if mask == Ipv4Addr::new(255, 255, 255, 254) { Ipv4Addr::BROADCAST } else { addr | !mask }
}
