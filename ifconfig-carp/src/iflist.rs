//! The machine's interfaces and addresses: `getifaddrs(3)` over the routing
//! messages of `NET_RT_IFLIST`.

use crate::failure::Failure;
use crate::kernel::{Kernel, bad_answer};
use compat::net::if_::{IfMsghdr, IfaMsghdr, Iff};
use compat::net::if_dl::SockAddrDl;
use compat::netinet::in_::SockAddrIn;
use compat::sys::ctlsock::SYSCTL_IFLIST;
use compat::sys::socket::{AF_INET, AF_LINK, rt_roundup};
use std::net::Ipv4Addr;
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
    index: u16,
    /// `IFT_*`
    pub(crate) if_type: u8,
    pub(crate) flags: Iff,
    pub(crate) metric: u64,
    pub(crate) mtu: u64,
    /// Empty where there is none.
    pub(crate) lladdr: Vec<u8>,
    /// In the machine's order.
    pub(crate) inet: Vec<Inet>,
}

/// An IPv4 address of an interface.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inet {
    pub(crate) addr: Ipv4Addr,
    pub(crate) netmask: Ipv4Addr,
    /// Broadcast or destination address, 0.0.0.0 where there is none.
    pub(crate) broadcast: Ipv4Addr,
}

/// Asks for all interfaces, page by page.
pub(crate) fn read(kernel: &mut Kernel) -> Result<Vec<Interface>, Failure> {
    let mut list: Vec<Interface> = Vec::new();
    loop {
        let next = list.last().map_or(0, |last| u32::from(last.index) + 1);
        let reply = kernel.sysctl(&format!("{SYSCTL_IFLIST}.{next}"), &[])?;
        let page = parse(&reply.data).ok_or_else(|| bad_answer(SYSCTL_IFLIST))?;
        if page.is_empty() {
            return Ok(list);
        }
        if page.iter().any(|i| u32::from(i.index) < next) {
            return Err(bad_answer(SYSCTL_IFLIST));
        }
        list.extend(page);
    }
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
                if let (index, Some(inet)) = address(msg)? {
                    list.iter_mut().find(|i| i.index == index)?.inet.push(inet);
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
        inet: Vec::new(),
    })
}

/// The interface's index and the address, if it is one of IPv4.
fn address(msg: &[u8]) -> Option<(u16, Option<Inet>)> {
    let (head, rest) = IfaMsghdr::read_from_prefix(msg).ok()?;
    let sas = sockaddrs(head.ifam_addrs, rest)?;
    let addr: SockAddrIn = padded(find(&sas, RTA_IFA)?);
    if addr.sin_family != AF_INET {
        return Some((head.ifam_index, None));
    }
    let other = |bit| find(&sas, bit).map_or(Ipv4Addr::UNSPECIFIED, |sa| padded::<SockAddrIn>(sa).addr());
    let inet = Inet { addr: addr.addr(), netmask: other(RTA_NETMASK), broadcast: other(RTA_BRD) };
    Some((head.ifam_index, Some(inet)))
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

    #[test]
    fn a_message_each_for_interface_and_address_makes_one_interface() {
        let unknown = [8u8, 0, RTM_VERSION, 0x77, 0, 0, 0, 0];
        let list = parse(&[&ifinfo()[..], &unknown, &newaddr(7)].concat()).unwrap();
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
            inet: vec![inet],
        };
        assert_eq!(list, [expected]);
        assert_eq!(parse(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_short_or_changed_anywhere_never_panics() {
        let good = [ifinfo(), newaddr(7)].concat();
        for end in 0..good.len() {
            let whole = end == 0 || end == ifinfo().len();
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
