//! Every Ethernet address that a host's kernel has ever believed in.

use super::events::wait_readable;
use super::frame::{Mac, bytes};
use super::within;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// `RTMGRP_NEIGH`.
const GROUP: u32 = 0x4;
/// `RTM_NEWNEIGH`.
const NEWNEIGH: u16 = 28;
/// `NDA_DST`.
const DST: u16 = 1;
/// `NDA_LLADDR`.
const LLADDR: u16 = 2;

/// A neighbour entry as the kernel told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// The neighbour.
    pub of: IpAddr,
    /// Its Ethernet address.
    pub mac: Mac,
}

/// A record of a namespace's neighbour entries from [`Neighbours::watch`] on,
/// kept by the kernel until it is read.
#[derive(Debug)]
pub struct Neighbours(OwnedFd);

impl Neighbours {
    /// Begins to record.
    pub fn watch(ns: Option<&str>) -> Neighbours {
        let open = || {
            let route = SockProtocol::NetlinkRoute;
            let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route).unwrap();
            setsockopt(&fd, sockopt::RcvBuf, &(4 << 20)).unwrap();
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUP)).unwrap();
            fd
        };
        Neighbours(within(ns, open))
    }

    /// What was believed of an address since the last time this was asked:
    /// each change, in order.
    ///
    /// # Panics
    /// If the kernel could not keep all of it.
    pub fn of(&self, address: impl Into<IpAddr>) -> Vec<Mac> {
        let address = address.into();
        self.all().into_iter().filter(|l| l.of == address).map(|l| l.mac).collect()
    }

    /// As [`Neighbours::of`], of all addresses.
    ///
    /// # Panics
    /// If the kernel could not keep all of it.
    pub fn all(&self) -> Vec<Learnt> {
        let mut all = Vec::new();
        let mut buffer = [0; 32 * 1024];
        while wait_readable(self.0.as_fd(), Duration::ZERO) {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(n) => messages(&buffer[..n], &mut all),
                Err(Errno::EAGAIN) => break,
                Err(e) => panic!("neighbour entries were lost: {e}"),
            }
        }
        all
    }
}

fn messages(mut data: &[u8], all: &mut Vec<Learnt>) {
    while let Some(len) = bytes(data, 0).map(|b| u32::from_ne_bytes(b) as usize) {
        let message = &data[..len.clamp(16, data.len())];
        if bytes(message, 4).map(u16::from_ne_bytes) == Some(NEWNEIGH) {
            all.extend(learnt(message.get(28..).unwrap_or_default()));
        }
        data = data.get(len.next_multiple_of(4).max(16)..).unwrap_or_default();
    }
}

/// From the attributes of a message. An entry that is not resolved yet has no
/// Ethernet address.
fn learnt(mut attributes: &[u8]) -> Option<Learnt> {
    let (mut of, mut mac) = (None, None);
    while let Some([len, kind]) = bytes::<4>(attributes, 0).map(|[a, b, c, d]| [[a, b], [c, d]]) {
        let (len, kind) = (usize::from(u16::from_ne_bytes(len)).max(4), u16::from_ne_bytes(kind));
        let value = attributes.get(4..len)?;
        match (kind, value.len()) {
            (DST, 4) => of = bytes::<4>(value, 0).map(IpAddr::from),
            (DST, 16) => of = bytes::<16>(value, 0).map(IpAddr::from),
            (LLADDR, 6) => mac = bytes(value, 0),
            _ => {}
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Learnt { of: of?, mac: mac? })
}
