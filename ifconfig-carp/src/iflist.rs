//! The machine's interfaces and addresses: `getifaddrs(3)` over the routing
//! messages of `NET_RT_IFLIST`.

use crate::failure::Failure;
use crate::kernel::{Kernel, bad_answer};
use compat::net::if_::{IfMsghdr, IfaMsghdr, Iff};
use compat::net::if_dl::SockAddrDl;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::{SockAddrIn6, len_of_mask6};
use compat::sys::ctlsock::SYSCTL_IFLIST;
use compat::sys::socket::{AF_INET, AF_INET6, AF_LINK, rt_roundup};
use std::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::{FromBytes, IntoBytes};

/// `RTM_VERSION`: messages of another are not for us.
const RTM_VERSION: u8 = 7;
/// `RTM_NEWADDR`
const RTM_NEWADDR: u8 = 0xc;
/// `RTM_IFINFO`
const RTM_IFINFO: u8 = 0xe;
/// `RTA_NETMASK`
const RTA_NETMASK: u32 = 0x4;
/// `RTA_IFP`
const RTA_IFP: u32 = 0x10;
/// `RTA_IFA`
const RTA_IFA: u32 = 0x20;
/// `RTA_BRD`
const RTA_BRD: u32 = 0x80;

/// An interface: the entries of `struct ifaddrs` that have one name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: u16,
    /// `IFT_*`
    pub(crate) if_type: u8,
    pub(crate) flags: Iff,
    pub(crate) metric: u64,
    pub(crate) mtu: u64,
    /// Empty where there is none.
    pub(crate) lladdr: Vec<u8>,
    /// In the machine's order.
    pub(crate) addrs: Vec<Ifa>,
}

/// An address of an interface.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ifa {
    /// The virtual host whose address it is; 0 for the interface's own.
    pub(crate) vhid: u8,
    pub(crate) addr: Addr,
}

/// `ifa_addr`, in a family that is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Addr {
    Inet(Inet),
    Inet6(Inet6),
}

/// An IPv4 address of an interface.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inet {
    pub(crate) addr: Ipv4Addr,
    pub(crate) netmask: Ipv4Addr,
    /// Broadcast or destination address, 0.0.0.0 where there is none.
    pub(crate) broadcast: Ipv4Addr,
}

/// An IPv6 address of an interface.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inet6 {
    pub(crate) addr: Ipv6Addr,
    /// 0 for a mask that is none, as upstream's `prefix` has it.
    pub(crate) prefixlen: u8,
    /// Index of a link-local address's interface; 0 for none.
    pub(crate) scope: u32,
}

/// Asks for all interfaces, page by page.
pub(crate) fn read(kernel: &mut Kernel) -> Result<Vec<Interface>, Failure> {
    let mut list: Vec<Interface> = Vec::new();
    loop {
        let next = list.last().map_or(0, |last| u32::from(last.index) + 1);
        let page = page(kernel, next)?;
        if page.is_empty() {
            return Ok(list);
        }
        if page.iter().any(|i| u32::from(i.index) < next) {
            return Err(bad_answer(SYSCTL_IFLIST));
        }
        list.extend(page);
    }
}

/// The one interface with that index.
pub(crate) fn at(kernel: &mut Kernel, index: u16) -> Result<Option<Interface>, Failure> {
    Ok(page(kernel, index.into())?.into_iter().find(|i| i.index == index))
}

fn page(kernel: &mut Kernel, first: u32) -> Result<Vec<Interface>, Failure> {
    let reply = kernel.sysctl(&format!("{SYSCTL_IFLIST}.{first}"), &[])?;
    parse(&reply.data).ok_or_else(|| bad_answer(SYSCTL_IFLIST))
}

fn parse(mut rest: &[u8]) -> Option<Vec<Interface>> {
    let mut list: Vec<Interface> = Vec::new();
    while !rest.is_empty() {
        // All routing messages begin with length, version and type.
        let &[a, b, version, kind, ..] = rest else { return None };
        let (msg, next) = rest.split_at_checked(u16::from_ne_bytes([a, b]).into())?;
        if msg.len() < 4 {
            return None;
        }
        rest = next;
        match (version, kind) {
            (RTM_VERSION, RTM_IFINFO) => list.push(interface(msg)?),
            (RTM_VERSION, RTM_NEWADDR) => {
                if let (index, Some(ifa)) = address(msg)? {
                    list.iter_mut().find(|i| i.index == index)?.addrs.push(ifa);
                }
            }
            _ => {}
        }
    }
    Some(list)
}

fn interface(msg: &[u8]) -> Option<Interface> {
    let (head, rest) = IfMsghdr::read_from_prefix(msg).ok()?;
    let sas = sockaddrs(head.ifm_addrs, rest)?;
    let sdl: SockAddrDl = padded(find(&sas, RTA_IFP)?);
    if sdl.sdl_family != AF_LINK || sdl.name().is_empty() {
        return None;
    }
    let at = usize::from(sdl.sdl_nlen);
    Some(Interface {
        name: sdl.name().to_owned(),
        index: head.ifm_index,
        if_type: head.ifm_data.ifi_type,
        flags: Iff::from_bits_retain(head.ifm_flags as u32),
        metric: head.ifm_data.ifi_metric,
        mtu: head.ifm_data.ifi_mtu,
        lladdr: sdl.sdl_data.get(at..at + usize::from(sdl.sdl_alen))?.to_vec(),
        addrs: Vec::new(),
    })
}

/// The interface's index and the address, if it is of a family that is shown.
fn address(msg: &[u8]) -> Option<(u16, Option<Ifa>)> {
    let (head, rest) = IfaMsghdr::read_from_prefix(msg).ok()?;
    let sas = sockaddrs(head.ifam_addrs, rest)?;
    let sa = find(&sas, RTA_IFA)?;
    let addr = match sa.get(1) {
        Some(&AF_INET) => Addr::Inet(inet(&sas, sa)),
        Some(&AF_INET6) => Addr::Inet6(inet6(&sas, sa)),
        _ => return Some((head.ifam_index, None)),
    };
    Some((head.ifam_index, Some(Ifa { vhid: head.ifam_vhid, addr })))
}

fn inet(sas: &[(u32, &[u8])], sa: &[u8]) -> Inet {
    let other = |bit| find(sas, bit).map_or(Ipv4Addr::UNSPECIFIED, |sa| padded::<SockAddrIn>(sa).addr());
    let addr = padded::<SockAddrIn>(sa).addr();
    Inet { addr, netmask: other(RTA_NETMASK), broadcast: other(RTA_BRD) }
}

fn inet6(sas: &[(u32, &[u8])], sa: &[u8]) -> Inet6 {
    let mask = find(sas, RTA_NETMASK).map(|sa| padded::<SockAddrIn6>(sa).addr());
    let sin6: SockAddrIn6 = padded(sa);
    Inet6 {
        addr: sin6.addr(),
        prefixlen: mask.and_then(len_of_mask6).unwrap_or(0),
        scope: sin6.sin6_scope_id,
    }
}

/// The socket addresses behind a header, one for each bit of `addrs`, lowest
/// first.
fn sockaddrs(addrs: i32, mut rest: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut found = Vec::new();
    for bit in (0..u32::BITS).map(|n| 1 << n).filter(|bit| addrs as u32 & bit != 0) {
        let len = *rest.first()?;
        let sa = rest.get(..len.into())?;
        found.push((bit, sa));
        // The last one's padding may be missing.
        rest = rest.get(rt_roundup(len)..).unwrap_or(&[]);
    }
    Some(found)
}

fn find<'a>(sas: &[(u32, &'a [u8])], wanted: u32) -> Option<&'a [u8]> {
    sas.iter().find(|(bit, _)| *bit == wanted).map(|(_, sa)| *sa)
}

/// A socket address of which the kernel sent only the bytes in use: it trims
/// netmasks.
fn padded<T: FromBytes + IntoBytes>(sa: &[u8]) -> T {
    let mut out = T::new_zeroed();
    for (to, from) in out.as_mut_bytes().iter_mut().zip(sa) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use compat::net::if_::{IFT_CARP, IfData};

    fn ifinfo() -> Vec<u8> {
        let sdl = SockAddrDl::new(7, IFT_CARP, "carp0", [0, 0, 0x5e, 0, 1, 1]);
        let data = IfData { ifi_type: IFT_CARP, ifi_mtu: 1500, ifi_metric: 3, ..IfData::default() };
        let head = IfMsghdr {
            ifm_msglen: 176 + 56,
            ifm_version: RTM_VERSION,
            ifm_type: RTM_IFINFO,
            ifm_index: 7,
            ifm_pad0: [0; 2],
            ifm_flags: 0x8843,
            ifm_addrs: RTA_IFP as i32,
            ifm_data: data,
        };
        [head.as_bytes(), sdl.as_bytes(), &[0, 0]].concat()
    }

    fn newaddr(index: u16) -> Vec<u8> {
        // A netmask as the kernel trims it: seven bytes, padded to eight.
        let mask = [7, 0, 0, 0, 255, 255, 255, 0];
        let addr = SockAddrIn::new(Ipv4Addr::new(10, 0, 0, 1));
        let brd = SockAddrIn::new(Ipv4Addr::new(10, 0, 0, 255));
        let head = IfaMsghdr {
            ifam_msglen: 24 + 8 + 16 + 16,
            ifam_version: RTM_VERSION,
            ifam_type: RTM_NEWADDR,
            ifam_index: index,
            ifam_vhid: 0,
            ifam_pad0: 0,
            ifam_flags: 0,
            ifam_addrs: (RTA_NETMASK | RTA_IFA | RTA_BRD) as i32,
            ifam_addrflags: 0,
            ifam_metric: 0,
        };
        [head.as_bytes(), &mask, addr.as_bytes(), brd.as_bytes()].concat()
    }

    fn newaddr6(vhid: u8) -> Vec<u8> {
        // Trimmed after the eighth byte of the mask.
        let mask: [u8; 16] = [16, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        let addr = SockAddrIn6::new("fe80::1".parse().unwrap(), 7);
        let head = IfaMsghdr {
            ifam_msglen: 24 + 16 + 32,
            ifam_version: RTM_VERSION,
            ifam_type: RTM_NEWADDR,
            ifam_index: 7,
            ifam_vhid: vhid,
            ifam_pad0: 0,
            ifam_flags: 0,
            ifam_addrs: (RTA_NETMASK | RTA_IFA) as i32,
            ifam_addrflags: 0,
            ifam_metric: 0,
        };
        [head.as_bytes(), &mask, addr.as_bytes(), &[0; 4]].concat()
    }

    #[test]
    fn a_message_each_for_interface_and_address_makes_one_interface() {
        let unknown = [8u8, 0, RTM_VERSION, 0x77, 0, 0, 0, 0];
        let list = parse(&[&ifinfo()[..], &newaddr6(3), &unknown, &newaddr(7)].concat()).unwrap();
        let inet6 = Inet6 { addr: "fe80::1".parse().unwrap(), prefixlen: 64, scope: 7 };
        let inet = Inet {
            addr: Ipv4Addr::new(10, 0, 0, 1),
            netmask: Ipv4Addr::new(255, 255, 255, 0),
            broadcast: Ipv4Addr::new(10, 0, 0, 255),
        };
        let expected = Interface {
            name: "carp0".into(),
            index: 7,
            if_type: IFT_CARP,
            flags: Iff::from_bits_retain(0x8843),
            metric: 3,
            mtu: 1500,
            lladdr: vec![0, 0, 0x5e, 0, 1, 1],
            addrs: vec![Ifa { vhid: 3, addr: Addr::Inet6(inet6) }, Ifa { vhid: 0, addr: Addr::Inet(inet) }],
        };
        assert_eq!(list, [expected]);
        assert_eq!(parse(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_short_or_changed_anywhere_never_panics() {
        let good = [ifinfo(), newaddr(7), newaddr6(0)].concat();
        let (one, two) = (ifinfo().len(), ifinfo().len() + newaddr(7).len());
        for end in 0..good.len() {
            let whole = [0, one, two].contains(&end);
            assert_eq!(parse(&good[..end]).is_some(), whole, "{end}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = parse(&bad);
            }
        }
        assert_eq!(parse(&[ifinfo(), newaddr(8)].concat()), None, "an address without its interface");
    }
}
