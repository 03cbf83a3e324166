//! Word from the kernel that a link, an address or a neighbour has changed.

use super::{PATIENCE, within};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// `RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`.
const GROUPS: u32 = 0x1 | 0x4 | 0x10 | 0x100;

/// A subscription to a namespace's route messages. What a message says is not
/// read: it only tells that it is time to look again.
#[derive(Debug)]
pub struct Events(OwnedFd);

impl Events {
    /// Subscribes, before the first look, so no change is missed.
    pub fn open(ns: Option<&str>) -> Events {
        let open = || {
            let route = SockProtocol::NetlinkRoute;
            let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route).unwrap();
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).unwrap();
            fd
        };
        Events(within(ns, open))
    }

    /// Looks until `true`, again after each message.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub fn wait_until(&self, what: &str, mut look: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !look() {
            let left = until.saturating_duration_since(Instant::now());
            assert!(wait_readable(self.0.as_fd(), left), "no {what} within {PATIENCE:?}");
            self.drain();
        }
    }

    /// An overrun only means many changes.
    fn drain(&self) {
        let mut buffer = [0; 8192];
        while !matches!(recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT), Err(Errno::EAGAIN)) {}
    }
}

/// Waits until a descriptor is readable (or at its end); `false` after `within`.
pub(super) fn wait_readable(fd: BorrowedFd<'_>, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let millis = left.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) if left.is_zero() => return false,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return true,
            Err(e) => panic!("poll: {e}"),
        }
    }
}
