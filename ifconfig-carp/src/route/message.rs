//! Routing messages, as `route.c: print_rtmsg` shows them.

use compat::net::if_::{IfMsghdr, IfaMsghdr, LinkState};
use compat::net::if_dl::SockAddrDl;
use compat::net::route::*;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::socket::{AF_INET, AF_INET6, AF_LINK, rt_roundup};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::{FromBytes, IntoBytes};

/// A route of a table.
pub(super) struct Route {
    pub(super) net: Prefix,
    pub(super) index: u16,
    pub(super) netif: String,
    flags: i32,
    scope: u32,
}

/// A destination and how many bits of it count.
pub(super) struct Prefix {
    addr: IpAddr,
    len: u32,
}

impl Prefix {
    pub(super) fn addr(&self) -> IpAddr {
        self.addr
    }
}

impl Route {
    /// As the first column shows it.
    pub(super) fn destination(&self) -> String {
        let scope = if self.scope > 0 { format!("%{}", self.netif) } else { String::new() };
        format!("{}{scope}/{}", self.net.addr, self.net.len)
    }

    /// `show.c: p_flags`
    pub(super) fn letters(&self) -> String {
        let letters = [(RTF_UP, 'U'), (0x2, 'G'), (0x4, 'H'), (RTF_CLONING, 'C'), (0x800, 'S')];
        letters.iter().filter(|(bit, _)| self.flags & bit != 0).map(|(_, c)| *c).collect()
    }
}

/// The routes of a table's page; `None` for what is none.
pub(super) fn routes(mut rest: &[u8]) -> Option<Vec<Route>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let len = usize::from(u16::from_ne_bytes([*rest.first()?, *rest.get(1)?]));
        let (message, after) = rest.split_at_checked(len).filter(|_| len > 0)?;
        rest = after;
        let Message::Route(hdr, addrs) = Message::parse(message)? else { return None };
        all.push(route(&hdr, &addrs)?);
    }
    Some(all)
}

fn route(hdr: &RtMsghdr, addrs: &[(i32, Name)]) -> Option<Route> {
    let of = |bit| addrs.iter().find(|(b, _)| *b == bit).map(|(_, name)| name);
    let (addr, scope) = match of(RTA_DST)? {
        Name::Inet(a) => (IpAddr::V4(*a), 0),
        Name::Inet6(a, scope) => (IpAddr::V6(*a), *scope),
        _ => return None,
    };
    let len = match of(RTA_NETMASK)? {
        Name::Inet(a) => u32::from(*a).leading_ones(),
        Name::Inet6(a, _) => u128::from(*a).leading_ones(),
        _ => return None,
    };
    let Name::Link(link) = of(RTA_GATEWAY)? else { return None };
    let netif = link.split(':').next().unwrap_or("").to_owned();
    Some(Route { net: Prefix { addr, len }, index: hdr.rtm_index, netif, flags: hdr.rtm_flags, scope })
}

/// A socket address, as `routename` shows it.
pub(super) enum Name {
    Inet(Ipv4Addr),
    Inet6(Ipv6Addr, u32),
    Link(String),
    Other(u8),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Inet(a) => a.fmt(f),
            Name::Inet6(a, 0) => a.fmt(f),
            Name::Inet6(a, scope) => write!(f, "{a}%{scope}"),
            Name::Link(name) => f.write_str(name),
            Name::Other(af) => write!(f, "af {af}"),
        }
    }
}

/// The names that a message's bits announce, each with its bit.
type Names = Vec<(i32, Name)>;

/// A message.
pub(super) enum Message {
    IfInfo(Box<IfMsghdr>, Names),
    Addr(IfaMsghdr, Names),
    Announce(IfAnnouncemsghdr),
    Route(Box<RtMsghdr>, Names),
    /// One of a kind, or of a version, that is not known.
    Unknown(u8, u8),
}

impl Message {
    /// `None` for what is cut short.
    pub(super) fn parse(m: &[u8]) -> Option<Message> {
        let &[a, b, version, kind, ..] = m else { return None };
        if usize::from(u16::from_ne_bytes([a, b])) != m.len() {
            return None;
        }
        if version != RTM_VERSION {
            return Some(Message::Unknown(version, kind));
        }
        Some(match kind {
            RTM_IFINFO => {
                let (hdr, rest) = IfMsghdr::read_from_prefix(m).ok()?;
                Message::IfInfo(Box::new(hdr), names(hdr.ifm_addrs, rest)?)
            }
            RTM_NEWADDR | RTM_DELADDR => {
                let (hdr, rest) = IfaMsghdr::read_from_prefix(m).ok()?;
                Message::Addr(hdr, names(hdr.ifam_addrs, rest)?)
            }
            RTM_IFANNOUNCE => Message::Announce(IfAnnouncemsghdr::read_from_prefix(m).ok()?.0),
            RTM_ADD | RTM_DELETE | RTM_CHANGE | RTM_GET => {
                let (hdr, rest) = RtMsghdr::read_from_prefix(m).ok()?;
                Message::Route(Box::new(hdr), names(hdr.rtm_addrs, rest)?)
            }
            kind => Message::Unknown(version, kind),
        })
    }
}

fn names(bits: i32, mut rest: &[u8]) -> Option<Names> {
    let mut all = Vec::new();
    for bit in (0..31).map(|n| 1 << n).filter(|bit| bits & bit != 0) {
        let len = *rest.first()?;
        let (addr, after) = rest.split_at_checked(rt_roundup(len))?;
        rest = after;
        all.push((bit, name(addr)?));
    }
    Some(all)
}

fn name(addr: &[u8]) -> Option<Name> {
    Some(match *addr.get(1)? {
        AF_INET => Name::Inet(SockAddrIn::read_from_prefix(addr).ok()?.0.addr()),
        AF_INET6 => {
            let sin6 = SockAddrIn6::read_from_prefix(addr).ok()?.0;
            Name::Inet6(sin6.addr(), sin6.sin6_scope_id)
        }
        AF_LINK => Name::Link(link(addr)?),
        af => Name::Other(af),
    })
}

/// `link_ntoa(3)`
fn link(addr: &[u8]) -> Option<String> {
    let mut whole = SockAddrDl::new(0, 0, "", [0; 6]);
    let bytes = whole.as_mut_bytes();
    let n = addr.len().min(bytes.len());
    bytes.get_mut(..n)?.copy_from_slice(addr.get(..n)?);
    let (nlen, alen) = (usize::from(whole.sdl_nlen), usize::from(whole.sdl_alen));
    let name = String::from_utf8_lossy(whole.sdl_data.get(..nlen)?).into_owned();
    let mac: Vec<String> = whole.sdl_data.get(nlen..nlen + alen)?.iter().map(|b| format!("{b:x}")).collect();
    Some(if mac.is_empty() { name } else { format!("{name}:{}", mac.join(".")) })
}

const IFF: [(i32, &str); 15] = [
    (0x1, "UP"),
    (0x2, "BROADCAST"),
    (0x4, "DEBUG"),
    (0x8, "LOOPBACK"),
    (0x10, "PTP"),
    (0x40, "RUNNING"),
    (0x80, "NOARP"),
    (0x100, "PPROMISC"),
    (0x200, "ALLMULTI"),
    (0x400, "OACTIVE"),
    (0x800, "SIMPLEX"),
    (0x1000, "LINK0"),
    (0x2000, "LINK1"),
    (0x4000, "LINK2"),
    (0x8000, "MULTICAST"),
];
const RTF: [(i32, &str); 5] =
    [(RTF_UP, "UP"), (0x2, "GATEWAY"), (0x4, "HOST"), (RTF_CLONING, "CLONING"), (0x800, "STATIC")];
const RTA: [(i32, &str); 6] = [
    (RTA_DST, "DST"),
    (RTA_GATEWAY, "GATEWAY"),
    (RTA_NETMASK, "NETMASK"),
    (RTA_IFP, "IFP"),
    (RTA_IFA, "IFA"),
    (RTA_BRD, "BRD"),
];

/// `bprintf`: the names of the bits that are set, nothing for none.
struct Bits(i32, &'static [(i32, &'static str)]);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&str> = self.1.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, n)| *n).collect();
        if set.is_empty() { Ok(()) } else { write!(f, "<{}>", set.join(",")) }
    }
}

/// Whose message it is, if it is not the interface's own.
struct Vhid(u8);

impl fmt::Display for Vhid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            vhid => write!(f, "vhid {vhid}, "),
        }
    }
}

/// `pmsg_addrs`
fn write_names(f: &mut fmt::Formatter<'_>, bits: i32, names: &Names) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "\nsockaddrs: {}\n", Bits(bits, &RTA))?;
    names.iter().try_for_each(|(_, name)| write!(f, " {name}"))
}

fn kind(rtm_type: u8) -> &'static str {
    match rtm_type {
        RTM_ADD => "RTM_ADD: Add Route",
        RTM_DELETE => "RTM_DELETE: Delete Route",
        RTM_CHANGE => "RTM_CHANGE: Change Metrics or flags",
        RTM_GET => "RTM_GET: Report Metrics",
        RTM_NEWADDR => "RTM_NEWADDR: address being added to iface",
        RTM_DELADDR => "RTM_DELADDR: address being removed from iface",
        RTM_IFINFO => "RTM_IFINFO: iface status change",
        _ => "RTM_IFANNOUNCE: interface arrival/departure",
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::IfInfo(h, names) => {
                let link = match LinkState::from(h.ifm_data.ifi_link_state as u8) {
                    LinkState::Up => "link: up",
                    LinkState::Down => "link: down",
                    LinkState::Unknown => "link: unknown",
                };
                let (kind, len) = (kind(h.ifm_type), h.ifm_msglen);
                write!(
                    f,
                    "{kind}: len {len}, if# {}, {}{link}, flags:{}",
                    h.ifm_index,
                    Vhid(h.ifm_data.ifi_vhid),
                    Bits(h.ifm_flags, &IFF)
                )?;
                write_names(f, h.ifm_addrs, names)
            }
            Message::Addr(h, names) => {
                let (kind, len) = (kind(h.ifam_type), h.ifam_msglen);
                let vhid = Vhid(h.ifam_vhid);
                let flags = Bits(h.ifam_flags, &RTF);
                write!(f, "{kind}: len {len}, {vhid}metric {}, flags:{flags}", h.ifam_metric)?;
                write_names(f, h.ifam_addrs, names)
            }
            Message::Announce(h) => {
                let (kind, len) = (kind(h.ifan_type), h.ifan_msglen);
                write!(f, "{kind}: len {len}, if# {}, what: ", h.ifan_index)?;
                match h.ifan_what {
                    IFAN_ARRIVAL => f.write_str("arrival"),
                    IFAN_DEPARTURE => f.write_str("departure"),
                    other => write!(f, "#{other}"),
                }
            }
            Message::Route(h, names) => {
                let (kind, len) = (kind(h.rtm_type), h.rtm_msglen);
                write!(
                    f,
                    "{kind}: len {len}, pid: {}, seq {}, errno {}, ",
                    h.rtm_pid, h.rtm_seq, h.rtm_errno
                )?;
                write!(f, "flags:{}\nlocks:  inits: ", Bits(h.rtm_flags, &RTF))?;
                write_names(f, h.rtm_addrs, names)
            }
            Message::Unknown(RTM_VERSION, kind) => write!(f, "#{kind}: not known"),
            Message::Unknown(version, _) => write!(f, "routing message version {version} not understood"),
        }
    }
}
