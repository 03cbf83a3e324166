//! `netinet6/in6.c`: IPv6 address ioctls.

use crate::machine::Ctx0;
use crate::net::if_::{self, IfEntry};
use crate::net::ifaddr::{self, addresses_of};
use crate::netinet::carp_vhid;
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

/// `SIOCDIFADDR_IN6`: `EADDRNOTAVAIL` if the interface does not have it.
pub fn difaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &In6IfReq) -> Result<(), Errno> {
    if req.ifr_addr.sin6_family != AF_INET6 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let addr = IpAddr::V6(req.ifr_addr.addr());
    if carp_vhid::delete_address(cx, entry, addr) {
        return Ok(());
    }
    let ia = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().find(|ia| ia.ifa_addr == addr);
    ifaddr::delete_address(cx, &ia.ok_or(Errno::EADDRNOTAVAIL)?);
    Ok(())
}

/// `in6_ifattach`: before its first IPv6 address a real interface of our own
/// gets a link-local one, made of its MAC, and hears what is for all nodes.
/// A carp interface has the addresses that it is given and no others.
pub fn ifattach(cx: &mut Ctx0<'_>, ifp: &Arc<Ifnet>, first: IpNet) -> Result<(), Errno> {
    let has_any = addresses_of(cx.m, cx.n0, ifp).iter().any(|ia| ia.ifa_addr.is_ipv6());
    if has_any || ifp.if_type != compat::net::if_::IFT_ETHER || ifp.shared_with_host {
        return Ok(());
    }
    if_::addmulti(cx.m, cx.n0, ifp, IN6ADDR_LINKLOCAL_ALLNODES.into());
    let linklocal = linklocal_of(ifp.lladdr());
    let is_linklocal = |a: IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
    if is_linklocal(first.addr()) {
        return Ok(());
    }
    attach_linklocal(cx, ifp, linklocal)
}

fn attach_linklocal(cx: &mut Ctx0<'_>, ifp: &Arc<Ifnet>, addr: Ipv6Addr) -> Result<(), Errno> {
    let net = Ipv6Net::new(addr, PREFIXLEN).map_err(|_| Errno::EINVAL)?;
    ifaddr::add_address(cx, ifp, IpNet::V6(net), None)
}
