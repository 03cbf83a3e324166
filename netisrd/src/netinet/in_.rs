//! `netinet/in.c`: IPv4 address ioctls.

use crate::machine::Ctx0;
use crate::net::if_::IfEntry;
use crate::net::ifaddr::{self, addresses_of};
use crate::net::lent;
use crate::netinet::carp_vhid;
use compat::net::if_::{IfAliasReq, IfAliasReqVhid, IfReq};
use compat::netinet::in_::{class_mask, len_of_mask};
use compat::sys::errno::Errno;
use compat::sys::socket::{AF_INET, AF_UNSPEC};
use core::net::{IpAddr, Ipv4Addr};
use ipnet::{IpNet, Ipv4Net};
use libcarp::Ifaddr;
use triomphe::Arc;

/// The IPv4 addresses of an interface, oldest first.
fn inet_of(cx: &Ctx0<'_>, entry: &IfEntry) -> Vec<(Ipv4Addr, Arc<Ifaddr>)> {
    let v4 = |ia: Arc<Ifaddr>| match ia.ifa_addr {
        IpAddr::V4(a) => Some((a, ia)),
        IpAddr::V6(_) => None,
    };
    addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().filter_map(v4).collect()
}

/// `SIOCGIFADDR`: the first address. `EADDRNOTAVAIL` if there is none.
pub fn first_address(cx: &Ctx0<'_>, entry: &IfEntry) -> Result<Ipv4Addr, Errno> {
    inet_of(cx, entry).first().map(|(a, _)| *a).ok_or(Errno::EADDRNOTAVAIL)
}

/// `SIOCAIFADDR`: adds an address, or changes the mask of one that is there.
/// What is there already, as it is, causes no transition.
pub fn aifaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &IfAliasReq) -> Result<(), Errno> {
    let addr = match req.ifra_addr {
        // "netmask M" alone is about the address that is there.
        sin if sin.sin_len == 0 => first_address(cx, entry)?,
        sin if sin.sin_family == AF_INET => sin.addr(),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let len = match req.ifra_mask.sin_len {
        0 => None,
        _ => Some(len_of_mask(req.ifra_mask.addr()).ok_or(Errno::EINVAL)?),
    };
    if !is_host_address(addr) {
        return Err(Errno::EINVAL);
    }
    let broad = (req.ifra_broadaddr.sin_family == AF_INET).then(|| req.ifra_broadaddr.addr());
    let known = inet_of(cx, entry).into_iter().find(|(a, _)| *a == addr);
    let net = match known {
        None => {
            let len = len.or_else(|| len_of_mask(class_mask(addr))).ok_or(Errno::EINVAL)?;
            let net = IpNet::V4(Ipv4Net::new(addr, len).map_err(|_| Errno::EINVAL)?);
            ifaddr::add_address(cx, &entry.ifp, net, broad)?;
            net
        }
        Some((_, ia)) => {
            ifaddr::change_address(cx, &ia, len, broad)?;
            ia.net(cx.n0)
        }
    };
    lent::typed(cx, &entry.ifp, net);
    ifaddr::bring_up(cx, entry);
    Ok(())
}

/// FreeBSD's `SIOCAIFADDR`: the address of a vhid of the interface, or its own.
/// `ENOENT` for a vhid that it does not have.
pub fn aifaddr_vhid(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &IfAliasReqVhid) -> Result<(), Errno> {
    if req.ifra_vhid == 0 {
        return aifaddr(cx, entry, &req.ifra);
    }
    let addr = req.ifra.ifra_addr.addr();
    if req.ifra.ifra_addr.sin_family != AF_INET {
        return Err(Errno::EAFNOSUPPORT);
    }
    let mask = match req.ifra.ifra_mask.sin_len {
        0 => class_mask(addr),
        _ => req.ifra.ifra_mask.addr(),
    };
    let len = len_of_mask(mask).filter(|_| is_host_address(addr)).ok_or(Errno::EINVAL)?;
    let net = Ipv4Net::new(addr, len).map_err(|_| Errno::EINVAL)?;
    carp_vhid::add_address(cx, entry, req.ifra_vhid, IpNet::V4(net))
}

/// An address that a host can have.
fn is_host_address(a: Ipv4Addr) -> bool {
    !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast()
}

/// `SIOCDIFADDR`: deletes the address, the first one if none is named.
/// `EADDRNOTAVAIL` if the interface does not have it, or only because the host has.
pub fn difaddr(cx: &mut Ctx0<'_>, entry: &IfEntry, req: &IfReq) -> Result<(), Errno> {
    let sin = req.sin();
    let mut mine = inet_of(cx, entry).into_iter();
    let named = sin.sin_family == AF_INET && !sin.addr().is_unspecified();
    if named && carp_vhid::delete_address(cx, entry, sin.addr().into()) {
        return Ok(());
    }
    let ia = match sin.sin_family {
        AF_INET if named => mine.find(|(a, _)| *a == sin.addr()),
        AF_UNSPEC | AF_INET => mine.find(|(_, ia)| !lent::is_hosts_alone(cx, ia)),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    let (_, ia) = ia.ok_or(Errno::EADDRNOTAVAIL)?;
    lent::delete_typed(cx, &ia)
}
