//! rtnetlink: links, addresses and routes of the host, asked for and changed. One
//! request at a time, answered before the next.

mod rules;

pub(crate) use rules::Rule;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkHeader, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_packet_route::{AddressFamily, address};
use nix::errno::Errno as Linux;
use nix::sys::socket::{
    AddressFamily as SocketFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv,
    sendto, socket,
};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// More than any answer's packet.
const ROOM: usize = 64 * 1024;
/// How often a host that changes meanwhile is asked how it is.
const DUMPS_MAX: usize = 8;

/// A link of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostLink {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `ip link set alias`
    pub(crate) alias: String,
    pub(crate) up: bool,
    /// It is up, and its cable is in.
    pub(crate) has_carrier: bool,
    /// The link that it lives on.
    pub(crate) lower: Option<u32>,
    pub(crate) is_macvlan: bool,
    pub(crate) lladdr: Option<[u8; 6]>,
    pub(crate) carrier: bool,
    pub(crate) mtu: u32,
}

/// An address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAddr {
    pub(crate) index: u32,
    pub(crate) net: IpNet,
}

/// A socket for requests.
pub(crate) struct RtNetlink {
    fd: OwnedFd,
    seq: u32,
}

impl RtNetlink {
    pub(crate) fn new() -> nix::Result<RtNetlink> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(SocketFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkRoute))?;
        Ok(RtNetlink { fd, seq: 0 })
    }

    /// All links.
    pub(crate) fn links(&mut self) -> nix::Result<Vec<HostLink>> {
        let answers = self.dump(&Route::GetLink(LinkMessage::default()))?;
        Ok(answers.into_iter().filter_map(link).collect())
    }

    /// All addresses, of links of any kind.
    pub(crate) fn addresses(&mut self) -> nix::Result<Vec<HostAddr>> {
        let answers = self.dump(&Route::GetAddress(AddressMessage::default()))?;
        Ok(answers.into_iter().filter_map(addr).collect())
    }

    /// `ip link add link LOWER name NAME type macvlan mode bridge`
    pub(crate) fn add_macvlan(&mut self, name: &str, lower: u32) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(lower),
            macvlan(MacVlanMode::Bridge),
        ];
        self.ask(Route::NewLink(m), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// `ip link set alias`
    pub(crate) fn set_alias(&mut self, index: u32, alias: &str) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::IfAlias(alias.to_owned())])
    }

    /// `ip link set address`
    pub(crate) fn set_lladdr(&mut self, index: u32, lladdr: [u8; 6]) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::Address(lladdr.to_vec())])
    }

    /// `ip link set mtu`
    pub(crate) fn set_mtu(&mut self, index: u32, mtu: u32) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::Mtu(mtu)])
    }

    /// `ip link set up` or `down`
    pub(crate) fn set_up(&mut self, index: u32, up: bool) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.header = LinkHeader { index, change_mask: LinkFlags::Up, ..LinkHeader::default() };
        m.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.ask(Route::NewLink(m), 0).map(drop)
    }

    fn change(&mut self, index: u32, attributes: Vec<LinkAttribute>) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.header.index = index;
        m.attributes = attributes;
        self.ask(Route::NewLink(m), 0).map(drop)
    }

    /// `ip link del`
    pub(crate) fn delete_link(&mut self, index: u32) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.header.index = index;
        self.ask(Route::DelLink(m), 0).map(drop)
    }

    /// `ip address replace NET dev LINK noprefixroute nodad valid_lft SECONDS`
    pub(crate) fn replace_address(&mut self, index: u32, net: IpNet, seconds: u32) -> nix::Result<()> {
        let mut m = address_message(index, net);
        let mut lifetime = CacheInfo::default();
        (lifetime.ifa_valid, lifetime.ifa_preferred) = (seconds, seconds);
        m.attributes.push(AddressAttribute::CacheInfo(lifetime));
        m.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute | AddressFlags::Nodad));
        if let IpNet::V4(net) = net {
            m.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
        self.ask(Route::NewAddress(m), NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    /// `ip address del`
    pub(crate) fn delete_address(&mut self, index: u32, net: IpNet) -> nix::Result<()> {
        self.ask(Route::DelAddress(address_message(index, net)), 0).map(drop)
    }

    /// All of a kind, at one moment: what changes while it is told may lack what is
    /// there all the time. `EBUSY` of a host that changes without end: an
    /// [`RtWatch`] tells of the last change, and then it is time to ask again.
    fn dump(&mut self, of: &Route) -> nix::Result<Vec<Route>> {
        for _ in 0..DUMPS_MAX {
            let (answers, torn) = self.exchange(of.clone(), NLM_F_DUMP)?;
            if !torn {
                return Ok(answers);
            }
        }
        Err(Linux::EBUSY)
    }

    /// What the kernel answers before its acknowledgement, or the error in it.
    fn ask(&mut self, payload: Route, flags: u16) -> nix::Result<Vec<Route>> {
        self.exchange(payload, flags).map(|(answers, _)| answers)
    }

    /// The answers, and whether something has changed between them.
    fn exchange(&mut self, payload: Route, flags: u16) -> nix::Result<(Vec<Route>, bool)> {
        self.seq = self.seq.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.sequence_number = self.seq;
        // A dump ends by itself.
        let end = if flags == NLM_F_DUMP { 0 } else { NLM_F_ACK };
        header.flags = NLM_F_REQUEST | flags | end;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(payload));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        sendto(self.fd.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let (mut answers, mut torn, mut room) = (Vec::new(), false, vec![0; ROOM]);
        loop {
            let n = match recv(self.fd.as_raw_fd(), &mut room, MsgFlags::empty()) {
                Err(Linux::EINTR) => continue,
                other => other?,
            };
            let mut rest = room.get(..n).unwrap_or_default();
            while !rest.is_empty() {
                let (message, len, kind) = first(rest).ok_or(Linux::EBADMSG)?;
                rest = rest.get(len..).unwrap_or_default();
                let answer = match NetlinkMessage::<Route>::deserialize(message) {
                    Ok(answer) => answer,
                    // A link of somebody else's, of a kind that is not known here.
                    Err(_) if kind >= libc::NLMSG_MIN_TYPE as u16 => continue,
                    Err(_) => return Err(Linux::EBADMSG),
                };
                if answer.header.sequence_number != self.seq {
                    continue;
                }
                torn |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(one) => answers.push(one),
                    NetlinkPayload::Done(end) if end.code < 0 => {
                        return Err(Linux::from_raw(end.code.wrapping_neg()));
                    }
                    NetlinkPayload::Done(_) => return Ok((answers, torn)),
                    NetlinkPayload::Error(e) => match e.code {
                        None => return Ok((answers, torn)),
                        Some(negative) => return Err(Linux::from_raw(negative.get().wrapping_neg())),
                    },
                    _ => return Err(Linux::EBADMSG),
                }
            }
        }
    }
}

/// The first of some messages, where the next one begins, and what kind it is.
fn first(messages: &[u8]) -> Option<(&[u8], usize, u16)> {
    let length = u32::from_ne_bytes(messages.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(messages.get(4..6)?.try_into().ok()?);
    let message = messages.get(..length).filter(|m| m.len() >= 16)?;
    Some((message, length.next_multiple_of(4), kind))
}

fn macvlan(mode: MacVlanMode) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::MacVlan),
        LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])),
    ])
}

fn addr_family(addr: IpAddr) -> AddressFamily {
    if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn address_message(index: u32, net: IpNet) -> AddressMessage {
    let mut m = AddressMessage::default();
    m.header = AddressHeader {
        family: addr_family(net.addr()),
        prefix_len: net.prefix_len(),
        scope: AddressScope::Universe,
        index,
        ..AddressHeader::default()
    };
    m.attributes = vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    m
}

fn link(answer: Route) -> Option<HostLink> {
    let Route::NewLink(m) = answer else { return None };
    let flags = m.header.flags;
    let mut link = HostLink {
        index: m.header.index,
        up: flags.contains(LinkFlags::Up),
        has_carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        ..HostLink::default()
    };
    for attribute in m.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Link(lower) => link.lower = Some(lower),
            LinkAttribute::Address(lladdr) => link.lladdr = lladdr.try_into().ok(),
            LinkAttribute::Carrier(carrier) => link.carrier = carrier != 0,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::LinkInfo(info) => {
                link.is_macvlan = info.contains(&LinkInfo::Kind(InfoKind::MacVlan));
            }
            _ => {}
        }
    }
    Some(link)
}

fn addr(answer: Route) -> Option<HostAddr> {
    let Route::NewAddress(m) = answer else { return None };
    // Of a point-to-point link, `Address` is the other end's.
    let local = m.attributes.iter().find_map(|a| match a {
        address::AddressAttribute::Local(addr) => Some(*addr),
        _ => None,
    });
    let any = m.attributes.iter().find_map(|a| match a {
        address::AddressAttribute::Address(addr) => Some(*addr),
        _ => None,
    });
    let net = IpNet::new(local.or(any)?, m.header.prefix_len).ok()?;
    Some(HostAddr { index: m.header.index, net })
}

/// Hears of every change to a link or an address of the host.
pub(crate) struct RtWatch(OwnedFd);

impl RtWatch {
    pub(crate) fn new() -> nix::Result<RtWatch> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(SocketFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkRoute))?;
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
        Ok(RtWatch(fd))
    }

    /// What to poll for readability.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets what was told so far. What was lost because nobody listened was told
    /// as well: whoever asks then looks at all.
    pub(crate) fn drain(&self) -> nix::Result<()> {
        let mut room = [0; 4096];
        loop {
            match recv(self.0.as_raw_fd(), &mut room, MsgFlags::empty()) {
                Ok(_) | Err(Linux::EINTR | Linux::ENOBUFS) => {}
                Err(Linux::EAGAIN) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}
