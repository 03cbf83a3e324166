//! `net/route.c`: the machine's routing table. It holds prefix routes: each
//! belongs to an address (`IFA_ROUTE`) and leaves by that address's interface.
//!
//! As upstream, each netisr has its own copy, brought up to date by message
//! from netisr0.

use crate::machine::{Ctx, Machine, PerCpu};
use crate::net::if_::is_carp;
use crate::net::netisr::Netmsg;
use crate::net::rtsock;
use crate::netinet::carp_vhid;
use compat::net::if_::Iff;
use compat::net::route::{RTM_ADD, RTM_CHANGE, RTM_DELETE};
use compat::qsbr::Netisr0;
use core::net::IpAddr;
use ipnet::IpNet;
use libcarp::{Ifaddr, Ifnet};
use triomphe::Arc;

/// A prefix route, for whoever sends.
#[derive(Clone)]
pub struct Route {
    /// The prefix.
    pub net: IpNet,
    /// `rt_ifp`
    pub ifp: Arc<Ifnet>,
    /// `rt_ifa`'s address: what a packet without a source gets.
    pub src: IpAddr,
}

/// One netisr's copy, longest prefixes first.
pub type RouteTable = Arc<[Route]>;

/// `rtlookup`. Link-local prefixes are not looked up: each link has one.
pub fn rtlookup(table: &[Route], dst: IpAddr) -> Option<&Route> {
    table.iter().find(|r| r.net.contains(&dst))
}

/// `in_addprefix`: gives `ia` its prefix route, unless some address holds it
/// already.
pub fn in_addprefix(m: &Machine, cpu: &PerCpu, n0: &Netisr0, ia: &Arc<Ifaddr>) {
    let holds = |other: &Arc<Ifaddr>| other.has_route(n0) && same_route(n0, other, ia);
    if !m.own(n0).ifaddrs.borrow().iter().any(holds) {
        ia.set_route(n0, true);
        publish(m, cpu, n0);
    }
}

/// `in_scrubprefix`, and `rtinit(RTM_DELETE)`: `ia` leaves its prefix route to
/// another address of a real interface that is up, if there is one.
pub fn in_scrubprefix(m: &Machine, cpu: &PerCpu, n0: &Netisr0, ia: &Arc<Ifaddr>) {
    if ia.has_route(n0) {
        ia.set_route(n0, false);
        let heir = m.own(n0).ifaddrs.borrow().iter().find(|o| can_inherit(n0, o, ia)).cloned();
        if let Some(heir) = heir {
            heir.set_route(n0, true);
        }
        publish(m, cpu, n0);
    }
}

/// Whether both would hold the same route: a link-local prefix is another one
/// on each interface.
fn same_route(n0: &Netisr0, a: &Arc<Ifaddr>, b: &Arc<Ifaddr>) -> bool {
    let scoped = matches!(a.ifa_addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
    a.same_prefix(n0, b) && (!scoped || Arc::ptr_eq(&a.ifa_ifp, &b.ifa_ifp))
}

fn can_inherit(n0: &Netisr0, other: &Arc<Ifaddr>, ia: &Arc<Ifaddr>) -> bool {
    let up = other.ifa_ifp.flags().contains(Iff::UP);
    up && !Arc::ptr_eq(other, ia) && !is_carp(&other.ifa_ifp) && same_route(n0, other, ia)
}

/// `rtchange`: the prefix route of `old` becomes `new`'s.
pub fn rtchange(m: &Machine, cpu: &PerCpu, n0: &Netisr0, old: &Arc<Ifaddr>, new: &Arc<Ifaddr>) {
    if old.has_route(n0) {
        old.set_route(n0, false);
        new.set_route(n0, true);
        publish(m, cpu, n0);
    }
}

/// Sends every netisr its copy.
fn publish(m: &Machine, cpu: &PerCpu, n0: &Netisr0) {
    let mut routes: Vec<Route> =
        m.own(n0).ifaddrs.borrow().iter().filter(|ia| ia.has_route(n0)).map(|ia| route_of(n0, ia)).collect();
    routes.sort_by_key(|r| core::cmp::Reverse(r.net.prefix_len()));
    let table: RouteTable = routes.into();
    let before = cpu.routes.replace(table.clone());
    tell(m, n0, &before, &table);
    for port in &m.ports {
        port.sendmsg(Netmsg::Routes(table.clone()));
    }
}

/// Tells whoever listens what has changed.
fn tell(m: &Machine, n0: &Netisr0, before: &[Route], after: &[Route]) {
    // A link-local prefix has a route for each link.
    let scoped = |r: &Route| matches!(r.src, IpAddr::V6(a) if a.is_unicast_link_local());
    let elsewhere = |a: &Route, b: &Route| {
        let shown = |r: &Route| carp_vhid::shown(m, n0, &r.ifp).0.if_index;
        shown(a) != shown(b)
    };
    let same = |a: &Route, b: &Route| a.net == b.net && (!scoped(a) || Arc::ptr_eq(&a.ifp, &b.ifp));
    for old in before.iter().filter(|old| !after.iter().any(|new| same(old, new))) {
        rtsock::rt_rtmsg(m, n0, old, RTM_DELETE);
    }
    for new in after {
        match before.iter().find(|old| same(old, new)) {
            None => rtsock::rt_rtmsg(m, n0, new, RTM_ADD),
            Some(old) if elsewhere(old, new) => rtsock::rt_rtmsg(m, n0, new, RTM_CHANGE),
            Some(_) => {}
        }
    }
}

fn route_of(n0: &Netisr0, ia: &Arc<Ifaddr>) -> Route {
    Route { net: ia.prefix(n0), ifp: ia.ifa_ifp.clone(), src: ia.ifa_addr }
}

/// A netisr gets its copy.
pub fn update_oncpu(cx: Ctx<'_>, table: RouteTable) {
    *cx.cpu.routes.borrow_mut() = table;
}
