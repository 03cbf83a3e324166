//! A card of the machine's own: a tap, most often a port of a host bridge.
//!
//! The tap is not persistent: the kernel removes it with the last descriptor,
//! whatever ended the process. What the machine sends, the host's side of the
//! tap receives, and the other way round; so the machine's address must not be
//! the one of the host's side, or a bridge keeps the machine's frames.

use super::in_hand::InHand;
use super::link;
use super::rtnetlink::{RtNetlink, RtWatch};
use super::{DataPath, Device, RxQueue, Transmit, check_len, sys};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use nix::errno::Errno as Linux;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use sha1::{Digest, Sha1};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long [`open`] waits for the tap to pass frames: more than the moment a
/// carrier takes, less than a bridge with spanning tree listens and learns.
const FORWARDING_WAIT: Duration = Duration::from_secs(3);
/// `MAX_TAP_QUEUES` of Linux.
const MAX_QUEUES: usize = 256;
/// Room for a frame at any MTU a tap may be given; pages not touched cost nothing.
const FRAME_MAX: usize = 65536;

/// Makes the tap `name` with `queues` queues, sets it up, and makes it a port
/// of `bridge`. Waits up to three seconds until it passes frames, since those
/// sent earlier are lost; where that takes longer (spanning tree, a bridge
/// that is down) the device works but [`forwarding`] still says false.
///
/// # Errors
/// One sentence: no permission, an interface of that name exists, no such
/// bridge, a name over 15 bytes, no queues or more than 256.
pub fn open(name: &str, bridge: Option<&str>, queues: usize) -> io::Result<Device> {
    let who = format!("tap {name}");
    let ifname = tap_name(name)?;
    if !(1..=MAX_QUEUES).contains(&queues) {
        return Err(sys::failure(Linux::EINVAL, format!("{who}: {queues} queues (1 to {MAX_QUEUES})")));
    }
    let bridge = bridge.map(find_bridge).transpose()?;
    let fds = attach_queues(ifname, queues, 0)?;
    quiet_ipv6(name);
    let mut rt = RtNetlink::new().map_err(|e| sys::failed(format!("{who}: netlink"), e))?;
    let tap = rt.link_by_name(name).map_err(|e| sys::failed(&who, e))?;
    if let Some((bridge, index)) = bridge {
        rt.set_master(tap.index, index).map_err(|e| sys::failed(format!("bridge {bridge}: {who}"), e))?;
    }
    rt.set_up(tap.index, true).map_err(|e| sys::failed(&who, e))?;
    wait_forwarding(name, FORWARDING_WAIT)?;
    Ok(device((ifname, tap.index), lladdr(name, tap.lladdr), tap.mtu, fds))
}

/// The tap of another process that has made it as `name` and given its queues'
/// descriptors away: the one of that index, whatever the host calls it by now. It
/// stays as it is.
///
/// # Errors
/// One sentence: it is gone, or has no queue.
pub fn adopt(name: &str, index: u32, lladdr: [u8; 6], queues: Vec<OwnedFd>) -> io::Result<Device> {
    let who = format!("tap {name}");
    let tap = link::by_index(index).map_err(|e| sys::failed(&who, e))?;
    match IfName::new(name) {
        Some(name) if !queues.is_empty() => {
            Ok(device((name, index), lladdr, tap.mtu, queues.into_iter().map(Arc::new).collect()))
        }
        _ => Err(sys::failure(Linux::EINVAL, format!("{who}: no queues"))),
    }
}

fn device((name, host_index): (IfName, u32), lladdr: [u8; 6], mtu: u32, fds: Vec<Arc<OwnedFd>>) -> Device {
    let rx = fds.iter().map(|fd| -> Box<dyn RxQueue> {
        let buf = vec![0; FRAME_MAX].into_boxed_slice();
        Box::new(TapRx { name, fd: Arc::clone(fd), buf, is_offloaded: false, in_hand: Arc::default() })
    });
    Device {
        name,
        host_index,
        lladdr,
        mtu,
        rx: rx.collect(),
        tx: Arc::new(TapTx { queues: fds, mtu: AtomicU32::new(mtu) }),
        shared_with_host: false,
        path: DataPath::None,
        addrs: Vec::new(),
    }
}

/// Whether the tap passes frames now: it is up, has a carrier, and its bridge
/// forwards to and from it.
///
/// # Errors
/// There is no interface of that name.
pub fn forwarding(name: &str) -> io::Result<bool> {
    link::by_name(name).map(|link| link.passes_frames()).map_err(|e| sys::failed(format!("tap {name}"), e))
}

/// Waits until [`forwarding`], woken by the kernel's notifications; false when
/// `timeout` came first.
///
/// # Errors
/// There is no interface of that name, or it is removed meanwhile.
pub fn wait_forwarding(name: &str, timeout: Duration) -> io::Result<bool> {
    let until = Instant::now() + timeout;
    // Subscribed before the first look: a change after that look wakes the wait.
    let failed = |e| sys::failed(format!("tap {name}: netlink"), e);
    let watch = RtWatch::of_links().map_err(failed)?;
    loop {
        if forwarding(name)? {
            return Ok(true);
        }
        if !watch.wait(until).map_err(failed)? {
            return Ok(false);
        }
    }
}

/// A name that the kernel takes as it is: it would make `tap%d` a `tap0`.
pub(super) fn tap_name(name: &str) -> io::Result<IfName> {
    let plain = !name.contains([':', '%']) && name != "." && name != "..";
    IfName::new(name).filter(|_| plain).ok_or_else(|| {
        let what = format!("tap {name}: not a name for an interface (1 to 15 printable bytes without / : %)");
        sys::failure(Linux::EINVAL, what)
    })
}

fn find_bridge(name: &str) -> io::Result<(&str, u32)> {
    let link = link::by_name(name).map_err(|e| sys::failed(format!("bridge {name}"), e))?;
    // A bond or a VRF would take the tap as readily.
    if !link.is_bridge() {
        return Err(sys::failure(Linux::EOPNOTSUPP, format!("bridge {name}: not a bridge")));
    }
    Ok((name, link.index))
}

/// One descriptor per queue; the first makes the tap, with `more` flags.
pub(super) fn attach_queues(name: IfName, queues: usize, more: libc::c_int) -> io::Result<Vec<Arc<OwnedFd>>> {
    let multi = if queues > 1 { libc::IFF_MULTI_QUEUE } else { 0 };
    (0..queues)
        .map(|n| {
            let excl = if n == 0 { libc::IFF_TUN_EXCL } else { 0 };
            let flags = libc::IFF_TAP | libc::IFF_NO_PI | multi | excl | more;
            let mode = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let fd = nix::fcntl::open("/dev/net/tun", mode, Mode::empty())
                .map_err(|e| open_failed(name, "needs /dev/net/tun", e))?;
            sys::tun_set_iff(fd.as_fd(), name, flags).map_err(|e| {
                if n == 0 && e == Linux::EBUSY {
                    sys::failure(e, format!("tap {name}: an interface of that name exists already"))
                } else {
                    open_failed(name, "needs CAP_NET_ADMIN and /dev/net/tun", e)
                }
            })?;
            Ok(Arc::new(fd))
        })
        .collect()
}

fn open_failed(name: IfName, needs: &str, errno: Linux) -> io::Error {
    sys::failure(errno, format!("tap {name}: {} ({needs})", errno.desc()))
}

/// Keeps the host's own router solicitations, MLD reports and link-local
/// address off the machine's cable.
fn quiet_ipv6(name: &str) {
    // Fails where the kernel has no IPv6, and then there is nothing to quiet,
    // and where /proc/sys is read-only, as in most containers; the machine
    // then hears a few frames more, which it ignores.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
}

/// The machine's address on this tap: locally administered, the same at every
/// start on the same host, network namespace and name.
fn lladdr(name: &str, host_side: Option<[u8; 6]>) -> [u8; 6] {
    let id = std::fs::read("/etc/machine-id").unwrap_or_default();
    let netns = std::fs::metadata("/proc/self/ns/net").map_or(0, |m| m.ino());
    let mut lladdr = derive_lladdr(&id, netns, name);
    if Some(lladdr) == host_side {
        lladdr[5] ^= 1;
    }
    lladdr
}

fn derive_lladdr(machine_id: &[u8], netns: u64, name: &str) -> [u8; 6] {
    let mut sha = Sha1::new();
    sha.update(machine_id.trim_ascii_end());
    sha.update([0]);
    sha.update(netns.to_be_bytes());
    sha.update(name.as_bytes());
    let digest = sha.finalize();
    let mut lladdr = [0x02, 0, 0, 0, 0, 0];
    for (to, from) in lladdr.iter_mut().skip(1).zip(digest) {
        *to = from;
    }
    lladdr
}

pub(super) struct TapRx {
    pub(super) name: IfName,
    pub(super) fd: Arc<OwnedFd>,
    pub(super) buf: Box<[u8]>,
    /// Each frame is behind its `virtio_net_hdr`.
    pub(super) is_offloaded: bool,
    pub(super) in_hand: Arc<InHand>,
}

impl TapRx {
    fn take(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let mut done = 0;
        while done < budget {
            match nix::unistd::read(&*self.fd, &mut self.buf) {
                Ok(n) => {
                    input(self.buf.get(..n).unwrap_or_default());
                    done += 1;
                }
                Err(Linux::EAGAIN) => break,
                Err(Linux::EINTR) => {}
                Err(Linux::EBADFD) => {
                    let what = format!("tap {}: the interface was removed", self.name);
                    return Err(sys::failure(Linux::EBADFD, what));
                }
                Err(e) => return Err(sys::failed(format!("tap {}", self.name), e)),
            }
        }
        Ok(done)
    }
}

impl RxQueue for TapRx {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let in_hand = self.in_hand.clone();
        in_hand.during(|| self.take(budget, input))
    }

    fn is_offloaded(&self) -> bool {
        self.is_offloaded
    }
}

/// Each netisr sends on the queue that it receives from. The kernel steers a flow
/// to the queue that last sent a frame of it, so answers come back to the
/// netisr that asked, and no two netisrs share a descriptor's counters.
struct TapTx {
    queues: Vec<Arc<OwnedFd>>,
    mtu: AtomicU32,
}

impl Transmit for TapTx {
    fn transmit(&self, queue: usize, frame: &[u8]) -> Result<(), Errno> {
        check_len(frame, self.mtu.load(Ordering::Relaxed))?;
        write(&self.queues, queue, frame)
    }

    fn set_promisc(&self, _on: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn set_mtu(&self, mtu: u32) {
        self.mtu.store(mtu, Ordering::Relaxed);
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.queues.iter().map(|fd| fd.as_fd()).collect()
    }
}

/// A frame into the queue of the netisr that sends.
pub(super) fn write(queues: &[Arc<OwnedFd>], queue: usize, frame: &[u8]) -> Result<(), Errno> {
    let fd = queues.get(queue % queues.len()).ok_or(Errno::ENXIO)?;
    match nix::unistd::write(&**fd, frame) {
        Ok(_) => Ok(()),
        // A tap answers this when its interface is down.
        Err(Linux::EIO) => Err(Errno::ENETDOWN),
        Err(e) => Err(sys::transmit_errno(e)),
    }
}

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
