//! rtnetlink, as much of it as a card needs: what a link is, setting it up,
//! and waiting for it to change.

use super::sys;
use nix::errno::Errno as Linux;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

const NLMSG_HDRLEN: usize = 16;
const IFINFOMSG_LEN: usize = 16;
const NLA_HDRLEN: usize = 4;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` out of an attribute's type.
const NLA_TYPE_MASK: u16 = 0x3fff;
const IFLA_BRPORT_STATE: u16 = 1;
const BR_STATE_FORWARDING: u8 = 3;

/// A network interface as the host knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    /// `ARPHRD_*`
    pub(super) hatype: u16,
    /// `IFF_*` of Linux
    flags: u32,
    pub(super) mtu: u32,
    /// None where addresses are not Ethernet's.
    pub(super) lladdr: Option<[u8; 6]>,
    /// `IF_OPER_*`
    operstate: u8,
    /// The kind of driver; empty for a physical one.
    pub(super) kind: String,
    /// `BR_STATE_*` of a bridge port.
    port_state: Option<u8>,
    /// It is part of a bridge or some other bundle.
    enslaved: bool,
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// It is up, and its cable is in.
    pub(super) fn has_carrier(&self) -> bool {
        self.is_up() && self.flags & libc::IFF_LOWER_UP as u32 != 0
    }

    /// A frame sent here now reaches the segment, and one of the segment
    /// reaches us.
    pub(super) fn passes_frames(&self) -> bool {
        // A driver that never reports its state has none.
        let oper = [libc::IF_OPER_UP, libc::IF_OPER_UNKNOWN].contains(&i32::from(self.operstate));
        let port = !self.enslaved || self.port_state == Some(BR_STATE_FORWARDING);
        self.has_carrier() && oper && port
    }
}

/// The link called `name`; `ENODEV` when there is none.
pub(super) fn by_name(name: &str) -> nix::Result<Link> {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    request(&message(libc::RTM_GETLINK, 0, 0, Some((libc::IFLA_IFNAME, &value))))?.ok_or(Linux::ENODEV)
}

/// The link with this index; `ENODEV` when it is gone. The answer waits for a
/// removal that is under way.
pub(super) fn by_index(index: u32) -> nix::Result<Link> {
    request(&message(libc::RTM_GETLINK, index, 0, None))?.ok_or(Linux::ENODEV)
}

/// `ip link set index up`
pub(super) fn set_up(index: u32) -> nix::Result<()> {
    request(&message(libc::RTM_NEWLINK, index, libc::IFF_UP as u32, None)).map(drop)
}

/// `ip link set index master bridge`
pub(super) fn set_master(index: u32, bridge: u32) -> nix::Result<()> {
    let attr = Some((libc::IFLA_MASTER, &bridge.to_ne_bytes()[..]));
    request(&message(libc::RTM_NEWLINK, index, 0, attr)).map(drop)
}

/// Hears of every change to a link from its making on.
pub(super) struct Watch(OwnedFd);

impl Watch {
    pub(super) fn new() -> nix::Result<Watch> {
        let fd = route_socket(SockFlag::SOCK_NONBLOCK)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, libc::RTMGRP_LINK as u32))?;
        Ok(Watch(fd))
    }

    /// Waits for a change; false when `until` came first.
    pub(super) fn wait(&self, until: Instant) -> io::Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A partial millisecond is waited for, not spun through.
            let left = PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                Ok(0) => return Ok(false),
                Ok(_) => break self.drain(),
                Err(Linux::EINTR) => {}
                Err(e) => return Err(sys::failed("poll of a netlink socket", e)),
            }
        }
    }

    /// What to poll for readability.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Forgets what was told so far.
    pub(super) fn drain(&self) -> io::Result<bool> {
        let mut sink = [0; 4];
        loop {
            // What the message says does not matter, whoever waits asks anew.
            match recv(self.0.as_raw_fd(), &mut sink, MsgFlags::MSG_TRUNC) {
                // More messages than room: changes all the same.
                Ok(_) | Err(Linux::ENOBUFS | Linux::EINTR) => {}
                Err(Linux::EAGAIN) => return Ok(true),
                Err(e) => return Err(sys::failed("netlink", e)),
            }
        }
    }
}

fn route_socket(flags: SockFlag) -> nix::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
}

/// A request about one link; `up` holds the flags to set.
fn message(kind: u16, index: u32, up: u32, attr: Option<(u16, &[u8])>) -> Vec<u8> {
    let mut m = vec![0; 4];
    m.extend(kind.to_ne_bytes());
    let wants = if kind == libc::RTM_NEWLINK { libc::NLM_F_ACK } else { 0 };
    m.extend(((libc::NLM_F_REQUEST | wants) as u16).to_ne_bytes());
    m.extend([0; 8]); // sequence and port: one request per socket needs neither
    m.extend([libc::AF_UNSPEC as u8, 0, 0, 0]);
    m.extend(index.to_ne_bytes());
    m.extend(up.to_ne_bytes());
    m.extend(up.to_ne_bytes()); // ifi_change
    if let Some((attr, value)) = attr {
        m.extend(((NLA_HDRLEN + value.len()) as u16).to_ne_bytes());
        m.extend(attr.to_ne_bytes());
        m.extend(value);
        m.resize(m.len().next_multiple_of(4), 0);
    }
    let len = m.len() as u32;
    m[..4].copy_from_slice(&len.to_ne_bytes());
    m
}

/// Sends one message and reads its answer: a link, or none for an acknowledgement.
fn request(message: &[u8]) -> nix::Result<Option<Link>> {
    let fd = route_socket(SockFlag::empty())?;
    sendto(fd.as_raw_fd(), message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; 32 * 1024];
    let n = loop {
        match recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty()) {
            Err(Linux::EINTR) => {}
            other => break other?,
        }
    };
    let answer = answer.get(..n).unwrap_or_default();
    let body = answer.get(NLMSG_HDRLEN..).ok_or(Linux::EBADMSG)?;
    match u16_at(answer, 4).map(i32::from) {
        Some(libc::NLMSG_ERROR) => match u32_at(body, 0) {
            Some(0) => Ok(None),
            Some(negative) => Err(Linux::from_raw((negative as i32).wrapping_neg())),
            None => Err(Linux::EBADMSG),
        },
        Some(kind) if kind == i32::from(libc::RTM_NEWLINK) => {
            parse_link(body).map(Some).ok_or(Linux::EBADMSG)
        }
        _ => Err(Linux::EBADMSG),
    }
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        hatype: u16_at(body, 2)?,
        index: u32_at(body, 4)?,
        flags: u32_at(body, 8)?,
        ..Link::default()
    };
    for (kind, value) in attrs(body.get(IFINFOMSG_LEN..)?) {
        match kind {
            libc::IFLA_ADDRESS => link.lladdr = value.try_into().ok(),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_MASTER => link.enslaved = u32_at(value, 0)? != 0,
            libc::IFLA_OPERSTATE => link.operstate = *value.first()?,
            libc::IFLA_LINKINFO => parse_linkinfo(value, &mut link),
            _ => {}
        }
    }
    Some(link)
}

fn parse_linkinfo(info: &[u8], link: &mut Link) {
    let mut port_of = &b""[..];
    for (kind, value) in attrs(info) {
        match kind {
            libc::IFLA_INFO_KIND => link.kind = String::from_utf8_lossy(text(value)).into_owned(),
            libc::IFLA_INFO_SLAVE_KIND => port_of = text(value),
            libc::IFLA_INFO_SLAVE_DATA if port_of == b"bridge" => {
                let state = attrs(value).find(|(kind, _)| *kind == IFLA_BRPORT_STATE);
                link.port_state = state.and_then(|(_, value)| value.first().copied());
            }
            _ => {}
        }
    }
}

fn text(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

/// The attributes in `rest`, up to the first that does not fit.
fn attrs(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(NLA_HDRLEN..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut a = ((NLA_HDRLEN + value.len()) as u16).to_ne_bytes().to_vec();
        a.extend(kind.to_ne_bytes());
        a.extend(value);
        a.resize(a.len().next_multiple_of(4), 0);
        a
    }

    /// A port of a bridge, with `state`.
    fn port(state: u8) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(1u16.to_ne_bytes());
        body.extend(7u32.to_ne_bytes());
        body.extend(((libc::IFF_UP | libc::IFF_LOWER_UP) as u32).to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attr(libc::IFLA_IFNAME, b"em0\0"));
        body.extend(attr(libc::IFLA_ADDRESS, &[2, 1, 2, 3, 4, 5]));
        body.extend(attr(libc::IFLA_MTU, &1500u32.to_ne_bytes()));
        body.extend(attr(libc::IFLA_MASTER, &3u32.to_ne_bytes()));
        body.extend(attr(libc::IFLA_OPERSTATE, &[6]));
        let mut info = attr(libc::IFLA_INFO_KIND, b"tun\0");
        info.extend(attr(libc::IFLA_INFO_SLAVE_KIND, b"bridge\0"));
        info.extend(attr(libc::IFLA_INFO_SLAVE_DATA, &attr(IFLA_BRPORT_STATE, &[state])));
        body.extend(attr(libc::IFLA_LINKINFO | 0x8000, &info));
        body
    }

    #[test]
    fn a_port_passes_frames_once_it_forwards() {
        let link = parse_link(&port(BR_STATE_FORWARDING)).unwrap();
        let want = Link {
            index: 7,
            hatype: 1,
            flags: 0x10001,
            mtu: 1500,
            lladdr: Some([2, 1, 2, 3, 4, 5]),
            operstate: 6,
            kind: "tun".into(),
            port_state: Some(3),
            enslaved: true,
        };
        assert_eq!(link, want);
        assert!(link.passes_frames());
        for state in [0, 1, 2, 4] {
            assert!(!parse_link(&port(state)).unwrap().passes_frames(), "state {state}");
        }
        assert!(!Link { port_state: None, ..want.clone() }.passes_frames());
        assert!(Link { port_state: None, enslaved: false, ..want.clone() }.passes_frames());
        assert!(!Link { operstate: 2, ..want.clone() }.passes_frames());
        assert!(!Link { flags: 1, ..want }.passes_frames());
    }

    #[test]
    fn a_message_cut_anywhere_is_survived() {
        let whole = port(3);
        for n in 0..whole.len() {
            let _ = parse_link(&whole[..n]);
        }
        for n in 0..whole.len() {
            for v in [0, 1, 3, 0xff] {
                let mut bent = whole.clone();
                bent[n] = v;
                let _ = parse_link(&bent);
            }
        }
    }

    #[test]
    fn loopback_is_there_and_others_are_not() {
        let lo = by_name("lo").unwrap();
        assert_eq!(lo.hatype, libc::ARPHRD_LOOPBACK);
        assert_eq!(by_index(lo.index).unwrap().index, lo.index);
        assert_eq!(by_name("no_such_link"), Err(Linux::ENODEV));
        assert_eq!(by_index(0x7fff_ffff), Err(Linux::ENODEV));
    }
}
