//! rtnetlink: links, addresses and routes of the host, asked for and changed. One
//! request at a time, answered before the next.

mod links;
mod routes;
mod rules;

pub(crate) use links::{HostLink, Making};
pub(crate) use routes::Way;
pub(crate) use rules::{By, Rule};

use super::sys;
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, address};
use nix::errno::Errno as Linux;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily as SocketFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv,
    sendto, socket,
};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// More than any answer's packet.
const ROOM: usize = 64 * 1024;
/// How often a host that changes meanwhile is asked how it is.
const DUMPS_MAX: usize = 8;

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
    changes: u64,
}

impl RtNetlink {
    pub(crate) fn new() -> nix::Result<RtNetlink> {
        let fd = route_socket(SockFlag::empty())?;
        sys::strict_requests(fd.as_fd())?;
        Ok(RtNetlink { fd, seq: 0, changes: 0 })
    }

    /// All addresses, of links of any kind.
    pub(crate) fn addresses(&mut self) -> nix::Result<Vec<HostAddr>> {
        let answers = self.dump(&Route::GetAddress(AddressMessage::default()))?;
        Ok(answers.into_iter().filter_map(addr).collect())
    }

    /// `ip address replace NET dev LINK noprefixroute nodad valid_lft SECONDS`
    pub(crate) fn replace_address(&mut self, index: u32, net: IpNet, seconds: u32) -> nix::Result<()> {
        let mut m = address_message(index, net);
        let mut lifetime = CacheInfo::default();
        (lifetime.ifa_valid, lifetime.ifa_preferred) = (seconds, seconds);
        m.attributes.push(AddressAttribute::CacheInfo(lifetime));
        m.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute | AddressFlags::Nodad));
        // In a prefix of two or one each address is somebody's.
        if let IpNet::V4(net) = net
            && net.prefix_len() < 31
        {
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

    /// How often it has changed links, rules or routes.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// What the kernel answers before its acknowledgement, or the error in it.
    fn ask(&mut self, payload: Route, flags: u16) -> nix::Result<Vec<Route>> {
        let of_links = matches!(payload, Route::NewLink(_) | Route::SetLink(_) | Route::DelLink(_));
        let of_rules = matches!(payload, Route::NewRule(_) | Route::DelRule(_));
        let of_routes = matches!(payload, Route::NewRoute(_) | Route::DelRoute(_));
        let (answers, _) = self.exchange(payload, flags)?;
        self.changes += u64::from(of_links || of_rules || of_routes);
        Ok(answers)
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

fn route_socket(flags: SockFlag) -> nix::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    socket(SocketFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkRoute))
}

/// The first of some messages, where the next one begins, and what kind it is.
fn first(messages: &[u8]) -> Option<(&[u8], usize, u16)> {
    let length = u32::from_ne_bytes(messages.get(..4)?.try_into().ok()?) as usize;
    let message = messages.get(..length).filter(|m| m.len() >= 16)?;
    Some((message, length.next_multiple_of(4), kind(message)?))
}

fn kind(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?))
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

/// Hears of every change to a link of the host from its making on, and of addresses.
pub(crate) struct RtWatch(OwnedFd);

impl RtWatch {
    pub(crate) fn new() -> nix::Result<RtWatch> {
        RtWatch::of(libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR)
    }

    /// Of links alone.
    pub(crate) fn of_links() -> nix::Result<RtWatch> {
        RtWatch::of(libc::RTMGRP_LINK)
    }

    fn of(groups: i32) -> nix::Result<RtWatch> {
        let fd = route_socket(SockFlag::SOCK_NONBLOCK)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
        Ok(RtWatch(fd))
    }

    /// Waits for a change; false when `until` came first.
    pub(crate) fn wait(&self, until: Instant) -> nix::Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A partial millisecond is waited for, not spun through.
            let left = PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(0) => return Ok(false),
                Ok(_) => break self.drain().map(|()| true),
                Err(Linux::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// What to poll for readability.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets what was told so far. What was lost because nobody listened was told
    /// as well: whoever asks then looks at all.
    pub(crate) fn drain(&self) -> nix::Result<()> {
        self.heard().map(drop)
    }

    /// The same; whether there was more than that addresses are there, or live on.
    pub(crate) fn heard(&self) -> nix::Result<bool> {
        let (mut room, mut more) = ([0; 4096], false);
        loop {
            match recv(self.0.as_raw_fd(), &mut room, MsgFlags::empty()) {
                Ok(n) => more |= room.get(..n).and_then(kind) != Some(libc::RTM_NEWADDR),
                Err(Linux::ENOBUFS) => more = true,
                Err(Linux::EINTR) => {}
                Err(Linux::EAGAIN) => return Ok(more),
                Err(e) => return Err(e),
            }
        }
    }
}
