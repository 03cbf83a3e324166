//! `netinet6/in6.c`: IPv6 address ioctls.

use crate::machine::Ctx0;
use crate::net::if_::{self, IfEntry};
use crate::net::ifaddr::{self, addresses_of};
use crate::net::lent;
use crate::netinet::carp_vhid;
use compat::net::if_::IFT_ETHER;
use compat::netinet6::in6::{IN6ADDR_LINKLOCAL_ALLNODES, len_of_mask6, linklocal_of};
use compat::netinet6::in6_var::{In6AliasReq, In6AliasReqVhid, In6IfReq};
use compat::sys::errno::Errno;
use compat::sys::socket::AF_INET6;
use core::net::{IpAddr, Ipv6Addr};
use ipnet::{IpNet, Ipv6Net};
use libcarp::Ifnet;
use triomphe::Arc;

/// Prefix length of link-local addresses, and of others unless it is given.
const PREFIXLEN: u8 = 64;

/// The prefix that a request is about. `EAFNOSUPPORT` for another family,
/// `EINVAL` for an address that no host has, a mask with holes, or a scope that
/// is another interface's.
fn requested(entry: &IfEntry, req: &In6AliasReq) -> Result<Ipv6Net, Errno> {
    if req.ifra_addr.sin6_family != AF_INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let addr = req.ifra_addr.addr();
    let scope = req.ifra_addr.sin6_scope_id;
    let elsewhere = scope != 0 && scope != u32::from(entry.ifp.if_index);
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() || elsewhere {
        return Err(Errno::EINVAL);
    }
    let len = match req.ifra_prefixmask.sin6_len {
        0 => PREFIXLEN,
        _ => len_of_mask6(req.ifra_prefixmask.addr()).ok_or(Errno::EINVAL)?,
    };
    Ipv6Net::new(addr, len).map_err(|_| Errno::EINVAL)
}

/// `SIOCAIFADDR_IN6`: adds an address, or changes the prefix of one that is
/// there.
pub fn aifaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &In6AliasReq) -> Result<(), Errno> {
    let net = requested(entry, req)?;
    let mine = addresses_of(cx.m, cx.n0, &entry.ifp);
    match mine.into_iter().find(|ia| ia.ifa_addr == IpAddr::V6(net.addr())) {
        None => ifaddr::add_address(cx, &entry.ifp, IpNet::V6(net), None)?,
        Some(ia) => ifaddr::change_address(cx, &ia, Some(net.prefix_len()), None)?,
    }
    lent::typed(cx, &entry.ifp, IpNet::V6(net));
    ifaddr::bring_up(cx, entry);
    Ok(())
}

/// FreeBSD's `SIOCAIFADDR_IN6`: the address of a vhid of the interface, or its
/// own. `ENOENT` for a vhid that it does not have.
pub fn aifaddr_vhid(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &In6AliasReqVhid) -> Result<(), Errno> {
    match req.ifra_vhid {
        0 => aifaddr(cx, entry, &req.ifra),
        vhid => {
            let net = requested(entry, &req.ifra)?;
            carp_vhid::add_address(cx, entry, vhid, IpNet::V6(net))
        }
    }
}

/// `SIOCDIFADDR_IN6`: `EADDRNOTAVAIL` if the interface does not have it, or only
/// because the host has.
pub fn difaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &In6IfReq) -> Result<(), Errno> {
    if req.ifr_addr.sin6_family != AF_INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let addr = IpAddr::V6(req.ifr_addr.addr());
    if carp_vhid::delete_address(cx, entry, addr) {
        return Ok(());
    }
    let ia = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().find(|ia| ia.ifa_addr == addr);
    lent::delete_typed(cx, &ia.ok_or(Errno::EADDRNOTAVAIL)?)
}

/// `in6_ifattach`: before its first IPv6 address a real interface of our own
/// gets a link-local one, made of its MAC. A carp interface has the addresses that it
/// is given and no others.
pub fn ifattach(cx: &mut Ctx0<'_>, ifp: &Arc<Ifnet>, first: IpNet) -> Result<(), Errno> {
    if has_any(cx, ifp) || !is_real(ifp) {
        return Ok(());
    }
    let linklocal = linklocal_of(ifp.lladdr());
    let is_linklocal = |a: IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
    if is_linklocal(first.addr()) {
        return Ok(());
    }
    attach_linklocal(cx, ifp, linklocal)
}

/// Whether it is a real interface of our own.
pub fn is_real(ifp: &Ifnet) -> bool {
    ifp.if_type == IFT_ETHER && !ifp.shared_with_host
}

/// Whether the interface has an IPv6 address.
fn has_any(cx: &Ctx0<'_>, ifp: &Arc<Ifnet>) -> bool {
    addresses_of(cx.m, cx.n0, ifp).iter().any(|ia| ia.ifa_addr.is_ipv6())
}

/// An IPv6 address came or went: as long as a real interface of our own has
/// any, it hears what is for all nodes.
pub fn review_allnodes(cx: &Ctx0<'_>, ifp: &Arc<Ifnet>) {
    let allnodes = IN6ADDR_LINKLOCAL_ALLNODES.into();
    let joined = ifp.own(cx.n0).if_multiaddrs.borrow().iter().any(|(g, _)| *g == allnodes);
    match is_real(ifp) && has_any(cx, ifp) {
        true if !joined => if_::addmulti(cx.m, cx.n0, ifp, allnodes),
        false if joined => if_::delmulti(cx.m, cx.n0, ifp, allnodes),
        _ => {}
    }
}

fn attach_linklocal(cx: &mut Ctx0<'_>, ifp: &Arc<Ifnet>, addr: Ipv6Addr) -> Result<(), Errno> {
    let net = Ipv6Net::new(addr, PREFIXLEN).map_err(|_| Errno::EINVAL)?;
    ifaddr::add_address(cx, ifp, IpNet::V6(net), None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dev::lan::Lan;
    use crate::machine::{Config, Machine, PerCpu};
    use compat::net::if_::IfName;
    use compat::sys::time::VirtualClock;
    use std::sync::Arc as StdArc;

    /// The groups of the interface and how often each is joined, sorted.
    fn groups(cx: &Ctx0<'_>, ifp: &Arc<Ifnet>) -> Vec<(String, u32)> {
        let mut all: Vec<_> =
            ifp.own(cx.n0).if_multiaddrs.borrow().iter().map(|(g, n)| (g.to_string(), *n)).collect();
        all.sort();
        all
    }

    /// A machine with em0, whose link-local address is fe80::ff:fe00:2.
    fn with_em0(test: impl FnOnce(&mut Ctx0<'_>, &IfEntry)) {
        let clock = StdArc::new(VirtualClock::default());
        let mut booted =
            Machine::boot(Config { ncpus: 1, clock, seed: [0; 32], hz: 0, log: crate::machine::trace() });
        let mut n0 = booted.seeds.remove(0).claim0(Box::new(|| {}));
        let cpu = PerCpu::default();
        let mut cx = Ctx0 { m: &booted.machine, n0: &mut n0, cpu: &cpu };
        let em0 = IfName::new("em0").unwrap();
        let dev = Lan::new().attach(em0, [2, 0, 0, 0, 0, 2], 1);
        if_::attach_device(&mut cx, &dev).unwrap();
        let entry = cx.m.ifunit(cx.n0, em0).unwrap();
        test(&mut cx, &entry);
    }

    fn add(cx: &mut Ctx0<'_>, entry: &IfEntry, net: &str) {
        ifaddr::add_address(cx, &entry.ifp, net.parse().unwrap(), None).unwrap();
    }

    fn delete(cx: &mut Ctx0<'_>, entry: &IfEntry, addr: &str) {
        let addr: IpAddr = addr.parse().unwrap();
        let ia = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().find(|ia| ia.ifa_addr == addr);
        ifaddr::delete_address(cx, &ia.unwrap());
    }

    #[test]
    fn groups_are_joined_with_the_address_that_needs_them_and_left_with_the_last_that_does() {
        with_em0(|cx, em0| {
            let all = |g: &[(&str, u32)]| g.iter().map(|(g, n)| ((*g).to_owned(), *n)).collect::<Vec<_>>();
            for round in 0..3 {
                assert_eq!(groups(cx, &em0.ifp), [], "round {round}");
                add(cx, em0, "10.0.0.2/24");
                assert_eq!(groups(cx, &em0.ifp), all(&[("224.0.0.1", 1)]));
                add(cx, em0, "2001:db8::7/64");
                // Another address of the same last three bytes.
                add(cx, em0, "2001:db8:1::7/64");
                let both = [("224.0.0.1", 1), ("ff02::1", 1), ("ff02::1:ff00:2", 1), ("ff02::1:ff00:7", 2)];
                assert_eq!(groups(cx, &em0.ifp), all(&both));
                // As it is, and with another prefix: the same address.
                let ia = addresses_of(cx.m, cx.n0, &em0.ifp).into_iter().last().unwrap();
                ifaddr::change_address(cx, &ia, Some(64), None).unwrap();
                ifaddr::change_address(cx, &ia, Some(48), None).unwrap();
                assert_eq!(groups(cx, &em0.ifp), all(&both));
                delete(cx, em0, "2001:db8::7");
                delete(cx, em0, "fe80::ff:fe00:2");
                let one = [("224.0.0.1", 1), ("ff02::1", 1), ("ff02::1:ff00:7", 1)];
                assert_eq!(groups(cx, &em0.ifp), all(&one));
                delete(cx, em0, "2001:db8:1::7");
                assert_eq!(groups(cx, &em0.ifp), all(&[("224.0.0.1", 1)]));
                // A link-local one alone.
                add(cx, em0, "fe80::7/64");
                let one = [("224.0.0.1", 1), ("ff02::1", 1), ("ff02::1:ff00:7", 1)];
                assert_eq!(groups(cx, &em0.ifp), all(&one));
                ifaddr::delete_addresses(cx, &em0.ifp);
            }
        });
    }
}
