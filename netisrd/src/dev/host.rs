//! An interface that the host keeps using: the machine listens beside it.
//!
//! libpcap hears, a packet socket of its own sends. The host's stack hears
//! nothing of what the machine sends, and answers for its own addresses.

use super::link;
use super::packet::{self, PacketTx};
use super::rtnetlink::{HostLink, RtNetlink};
use super::{DataPath, Device, ETHER_HDR_LEN, Offload, Queues, RxQueue, Transmit, sys};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use ipnet::IpNet;
use nix::errno::Errno as Linux;
use nix::fcntl::{FcntlArg, FdFlag};
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, getsockopt, send, socket};
use pcap::{Active, Capture, Direction};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The protocols CARP lives on, as a pcap filter: ARP, CARP itself over IPv4
/// and IPv6, neighbour discovery's five messages, and listener queries behind
/// their hop-by-hop options.
pub const PROTOCOLS: &str = "arp or ip proto 112 or ip6 proto 112 \
     or (icmp6 and ip6[40] >= 133 and ip6[40] <= 137) \
     or (ip6[6] = 0 and ip6[40] = 58 and ip6[48] = 130)";
/// Frames to a virtual router's address, 00:00:5e:00:01:xx, as a pcap filter.
pub const VIRTUAL: &str = "ether[0:4] = 0x00005e00 and ether[4] = 1";

/// Frames the kernel holds for us: more than a master of all 255 virtual hosts
/// sends at once.
const RING_FRAMES: u32 = 512;
/// Bound of the kernel memory for them, which is the process's for good.
const RING_BYTES_MAX: u32 = 8 << 20;
/// More than libpcap puts before each frame in the ring.
const RING_OVERHEAD: u32 = 128;

/// The whole filter for a card with the address `lladdr`: the
/// [`PROTOCOLS`] to it or to a group, all to a [`VIRTUAL`] address unless the host
/// takes that, nothing of a VLAN.
pub fn filter(lladdr: [u8; 6], served_by_host: bool) -> String {
    let [a, b, c, d, e, f] = lladdr;
    let us = format!("ether dst {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    let protocols = format!("(({PROTOCOLS}) and (ether multicast or {us}))");
    // `vlan` moves the offsets of all that follows it, so it comes last.
    match served_by_host {
        true => format!("{protocols} and not vlan"),
        false => format!("({protocols} or ({VIRTUAL})) and not vlan"),
    }
}

/// An interface of the host, and what the machine leaves to it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Its name.
    pub name: String,
    /// Who serves the virtual addresses.
    pub path: DataPath,
}

impl Existing {
    /// `IFACE`, `IFACE:macvlan` (the same), `IFACE:tap`, `IFACE:none`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(spec: &str) -> Result<Existing, String> {
        if spec.contains(',') {
            return Err("expected one interface: each has an -i of its own, not a comma".to_owned());
        }
        let (name, path) = spec.split_once(':').unwrap_or((spec, "macvlan"));
        let path = match path {
            "macvlan" => DataPath::Macvlan,
            "tap" => DataPath::Tap,
            "none" => DataPath::None,
            other => {
                return Err(format!("expected {name}:macvlan, {name}:tap or {name}:none, not :{other}"));
            }
        };
        Ok(Existing { name: name.to_owned(), path })
    }

    /// What a device was opened by, unless it is the machine's own.
    pub fn of(dev: &Device) -> Option<Existing> {
        dev.shared_with_host.then(|| Existing { name: dev.name.to_string(), path: dev.path })
    }

    /// The same, as it was.
    ///
    /// # Errors
    /// What was expected.
    pub fn checked(spec: &str) -> Result<String, String> {
        Existing::parse(spec).map(|_| spec.to_owned())
    }
}

/// Opens an interface, which must be up. On the tap path it has those
/// `queues`, before the one of the protocols.
///
/// # Errors
/// One sentence: no such interface, one that is down or is not Ethernet, no
/// permission.
pub fn open(existing: &Existing, queues: Queues) -> io::Result<Device> {
    open_by(existing, || link::by_name(&existing.name), |it| packet::open(it, queues))
}

/// The same of one that another process has open, which has given away the
/// [`descriptors`](Transmit::descriptors) of its sending side: the one of that index,
/// whatever the host calls it by now.
///
/// # Errors
/// The same, and none of them on the tap path.
pub fn adopt(existing: &Existing, index: u32, sockets: Vec<OwnedFd>) -> io::Result<Device> {
    open_by(existing, || link::by_index(index), |it| packet::adopt(it, sockets))
}

/// Whether [`open`] has failed because there is no such interface, or because it is
/// down: it may come.
pub fn may_come(err: &io::Error) -> bool {
    matches!(sys::linux_errno(err), Some(Linux::ENODEV | Linux::ENETDOWN))
}

/// With the tap path's queues by `packets`.
fn open_by(
    existing: &Existing,
    find: impl FnOnce() -> nix::Result<HostLink>,
    packets: impl FnOnce(Interface) -> nix::Result<(Vec<Box<dyn RxQueue>>, PacketTx)>,
) -> io::Result<Device> {
    let (ifname, path) = (existing.name.as_str(), existing.path);
    let fail = |errno| sys::failed(ifname, errno);
    let name = IfName::new(ifname).ok_or_else(|| {
        sys::failure(Linux::EINVAL, format!("{ifname}: not a name of an interface (1 to 15 printable bytes)"))
    })?;
    let link = find().map_err(fail)?;
    let lladdr = ethernet_address(&link).ok_or_else(|| {
        let what = format!("{ifname}: not an Ethernet link (ARPHRD {})", link.hatype);
        sys::failure(Linux::EAFNOSUPPORT, what)
    })?;
    if !link.up {
        return Err(fail(Linux::ENETDOWN));
    }
    let socket = packet_socket(link.index).map_err(|errno| match errno {
        Linux::EPERM => sys::failure(errno, format!("{ifname}: {} (needs CAP_NET_RAW)", errno.desc())),
        _ => fail(errno),
    })?;
    let filter = filter(lladdr, path.is_served_by_host());
    let capture = capture(&link.name, &filter, link.mtu).map_err(|e| pcap_failed(ifname, link.index, &e))?;
    // libpcap leaves it to be inherited, and a child would keep the interface promiscuous.
    nix::fcntl::fcntl(&capture, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(fail)?;
    // Where the kernel is older than 4.20, the capture's direction suffices.
    let _ = sys::ignore_outgoing(capture.as_fd());
    let it = Interface { name, index: link.index };
    let (mut rx, packets) = match path {
        DataPath::Tap => packets(it).map(|(rx, tx)| (rx, Some(tx))).map_err(fail)?,
        _ => (Vec::new(), None),
    };
    let heard = Arc::new(capture.as_fd().try_clone_to_owned()?);
    let capture = Arc::new(Mutex::new(capture));
    let hears = Arc::downgrade(&capture);
    rx.push(Box::new(HostRx { it, fd: heard.clone(), capture, again: false }));
    Ok(Device {
        name,
        host_index: link.index,
        lladdr,
        mtu: link.mtu,
        rx,
        tx: Arc::new(HostTx { it, socket, heard, packets, path, capture: hears }),
        shared_with_host: true,
        path,
        addrs: addresses(&link.name).map_err(fail)?,
    })
}

/// What the host calls the interface of that index by now; `None` of one that there is
/// not.
pub fn called(index: u32) -> Option<String> {
    link::by_index(index).ok().map(|link| link.name)
}

/// Whether the host's interface can be a card; `None` of one that there is not.
pub fn is_ethernet(ifname: &str) -> Option<bool> {
    link::by_name(ifname).ok().map(|link| ethernet_address(&link).is_some())
}

/// What the host's interface is part of, if that leaves it no macvlan, and what does in
/// its place.
pub fn taken_by(ifname: &str) -> Option<String> {
    let mut rt = RtNetlink::new().ok()?;
    let link = rt.link_by_name(ifname).ok()?;
    rt.taken_by(&link)
}

fn ethernet_address(link: &HostLink) -> Option<[u8; 6]> {
    link.lladdr.filter(|_| link.hatype == libc::ARPHRD_ETHER)
}

/// Sends on one interface; protocol 0 keeps the kernel from queueing a copy of
/// each frame here.
fn packet_socket(ifindex: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    sys::bind_packet(fd.as_fd(), ifindex, 0)?;
    Ok(fd)
}

/// In immediate mode each slot of the ring has room for `snaplen` bytes: at
/// libpcap's usual 65535 two megabytes are 32 frames. So it is the card's own
/// largest frame, and what is longer is [`HostRx::receive`]'s to drop.
fn capture(ifname: &str, filter: &str, mtu: u32) -> Result<Capture<Active>, pcap::Error> {
    let snaplen = mtu.min(65535) + ETHER_HDR_LEN as u32;
    let slot = (snaplen + RING_OVERHEAD).next_power_of_two();
    let mut capture = Capture::from_device(ifname)?
        .promisc(true)
        .immediate_mode(true)
        .snaplen(snaplen as i32)
        .buffer_size((slot * RING_FRAMES).min(RING_BYTES_MAX) as i32)
        .open()?
        .setnonblock()?;
    capture.direction(Direction::In)?;
    capture.filter(filter, true)?;
    Ok(capture)
}

fn pcap_failed(ifname: &str, index: u32, err: &pcap::Error) -> io::Error {
    // libpcap tells in words only; what the interface is now says more.
    match link::by_index(index) {
        Err(errno) => sys::failed(ifname, errno),
        Ok(link) if !link.up => sys::failed(ifname, Linux::ENETDOWN),
        Ok(_) => sys::failure(Linux::EIO, format!("{ifname}: {err}")),
    }
}

/// The host's addresses on the interface, with their prefixes; none of one that
/// there is not.
pub fn addresses(ifname: &str) -> nix::Result<Vec<IpNet>> {
    // An address with a label, `em0:1`, is listed under that label.
    let on_it = |name: &str| name.split(':').next() == Some(ifname);
    let addrs = nix::ifaddrs::getifaddrs()?.filter(|ifa| on_it(&ifa.interface_name)).filter_map(|ifa| {
        let (addr, mask) = (ifa.address.as_ref()?, ifa.netmask.as_ref()?);
        let (addr, mask) = match (addr.as_sockaddr_in(), addr.as_sockaddr_in6()) {
            (Some(a), _) => (IpAddr::V4(a.ip()), IpAddr::V4(mask.as_sockaddr_in()?.ip())),
            (_, Some(a)) => (IpAddr::V6(a.ip()), IpAddr::V6(mask.as_sockaddr_in6()?.ip())),
            _ => return None,
        };
        IpNet::with_netmask(addr, mask).ok()
    });
    Ok(addrs.collect())
}

/// Which interface of the host.
#[derive(Clone, Copy)]
pub(super) struct Interface {
    pub(super) name: IfName,
    pub(super) index: u32,
}

impl Interface {
    /// Fails when the interface is gone; one that is down may come back. Whoever
    /// cannot ask, for want of descriptors or memory, has heard of no end.
    pub(super) fn check_alive(&self) -> io::Result<()> {
        match link::by_index(self.index) {
            Err(Linux::ENODEV) => {
                Err(sys::failure(Linux::ENXIO, format!("{}: the interface was removed", self.name)))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

struct HostRx {
    it: Interface,
    /// The capture's, to be polled.
    fd: Arc<OwnedFd>,
    /// Nobody else wants it but for a moment, when the card's address has changed.
    capture: Arc<Mutex<Capture<Active>>>,
    /// The last call ended at its budget, so that an empty queue is no surprise now.
    again: bool,
}

impl HostRx {
    fn is_told(&self) -> bool {
        getsockopt(&self.fd, SocketError) != Ok(0)
    }
}

impl RxQueue for HostRx {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        // libpcap counts in ints.
        let budget = budget.min(i32::MAX as usize);
        // The kernel tells once, when the interface goes down, and a removal is told
        // as that. It is heard here first: libpcap would look for the interface by
        // its name from then on, which may be another one by now.
        let mut told = self.is_told();
        let done = match lock(&self.capture).dispatch(Some(budget), |packet| {
            // Segments that the host has merged, longer than any frame on the
            // cable: a card with that MTU would have dropped it as a giant.
            if packet.header.caplen == packet.header.len {
                input(&packet);
            }
        }) {
            Ok(done) => done,
            Err(e) => {
                self.it.check_alive()?;
                return Err(sys::failure(Linux::EIO, format!("{}: {e}", self.it.name)));
            }
        };
        told |= done < budget && self.is_told();
        // libpcap may have taken the telling all the same: an event with no frame
        // behind it is one.
        if told || (done == 0 && budget > 0 && !self.again) {
            self.it.check_alive()?;
        }
        self.again = done == budget;
        Ok(done)
    }
}

fn lock(capture: &Mutex<Capture<Active>>) -> MutexGuard<'_, Capture<Active>> {
    // Whoever panics ends the process.
    capture.lock().unwrap_or_else(PoisonError::into_inner)
}

struct HostTx {
    it: Interface,
    /// For finished frames, the machine's own.
    socket: OwnedFd,
    /// The socket of the capture, which libpcap is never asked to count.
    heard: Arc<OwnedFd>,
    packets: Option<PacketTx>,
    path: DataPath,
    /// What hears; none once the interface has left.
    capture: Weak<Mutex<Capture<Active>>>,
}

impl Transmit for HostTx {
    fn transmit(&self, _queue: usize, frame: &[u8]) -> Result<(), Errno> {
        match send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(()),
            Err(e) => Err(sys::transmit_errno(e)),
        }
    }

    fn set_promisc(&self, _on: bool) -> Result<(), Errno> {
        // The capture has asked for it, and gives it up when it is closed.
        Ok(())
    }

    fn set_lladdr(&self, lladdr: [u8; 6]) -> io::Result<()> {
        let Some(capture) = self.capture.upgrade() else { return Ok(()) };
        let filter = filter(lladdr, self.path.is_served_by_host());
        let done = lock(&capture).filter(&filter, true);
        done.map_err(|e| sys::failure(Linux::EIO, format!("{}: {e}", self.it.name)))
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.packets.iter().flat_map(PacketTx::descriptors).collect()
    }

    fn input_drops(&self) -> u64 {
        let sockets = self.packets.iter().flat_map(PacketTx::descriptors).chain([self.heard.as_fd()]);
        // One that cannot be asked, for want of memory, is asked again.
        sockets.filter_map(|socket| sys::packet_drops(socket).ok()).map(u64::from).sum()
    }

    fn offload(&self) -> Option<&dyn Offload> {
        self.packets.as_ref().map(|tx| -> &dyn Offload { tx })
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
