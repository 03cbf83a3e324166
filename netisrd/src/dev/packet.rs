//! The tap path's frames on an interface of the host, as its stack has them: whole
//! segments of TCP, checksums that the card makes. Each is behind a
//! `virtio_net_hdr` that says so.
//!
//! A packet socket for each netisr, in a group that deals the frames out: by flow, or by
//! the processor that has them, whose netisr need not be woken on another one then. A
//! process that goes on in this one's place goes on with them, and misses no frame.
//! What the machine's own protocols hear, [`host`](super::host) captures beside
//! them.

use super::host::Interface;
use super::in_hand::InHand;
use super::{Fanout, OFFLOADED_MAX, Offload, Processors, Queues, RxQueue, sys};
use compat::netinet::in_::IPPROTO_CARP;
use compat::sys::errno::Errno;
use nix::errno::Errno as Linux;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What the kernel holds for a netisr that is busy, some hundred whole segments,
/// and of what it has sent and the card has not.
const BUF: usize = 8 << 20;
/// The bound of it for all netisrs.
const BUF_ALL: usize = 64 << 20;
/// Frames that are waited for at the end: whoever sends without a pause has no last.
const DRAINED_MAX: usize = 1024;

const LD_W: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
pub(super) const LD_H: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
pub(super) const LD_B: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
pub(super) const JEQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JSET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
pub(super) const RET: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

pub(super) const fn op(code: u16, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

/// Where to, counted from the next instruction.
pub(super) const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// What the kernel knows of a frame beside its bytes.
const fn about(what: libc::c_int) -> u32 {
    (libc::SKF_AD_OFF + what) as u32
}

const NOTHING: [libc::sock_filter; 1] = [op(RET, 0)];

/// Whatever is sent to 00:00:5e:00:01:xx, and what is sent to a group and is not
/// CARP's: that is the machine's alone. Nothing of a VLAN, nothing that the host
/// sends. A successor has the sockets with it. Not in libpcap's language: it cuts frames
/// off at its own limit, and the kernel keeps a VLAN's tag elsewhere.
const WANTED: [libc::sock_filter; 18] = [
    op(LD_W, about(libc::SKF_AD_VLAN_TAG_PRESENT)),
    jump(JEQ, 0, 0, 15),
    op(LD_W, about(libc::SKF_AD_PKTTYPE)),
    jump(JEQ, libc::PACKET_OUTGOING as u32, 13, 0),
    op(LD_W, 0),
    jump(JEQ, 0x5e00, 0, 2),
    op(LD_B, 4),
    jump(JEQ, 1, 8, 9),
    // To a group: the lowest bit of the first byte.
    jump(JSET, 0x0100_0000, 0, 8),
    op(LD_H, 12),
    jump(JEQ, libc::ETH_P_IP as u32, 0, 2),
    op(LD_B, 14 + 9),
    jump(JEQ, IPPROTO_CARP as u32, 4, 3),
    jump(JEQ, libc::ETH_P_IPV6 as u32, 0, 2),
    op(LD_B, 14 + 6),
    jump(JEQ, IPPROTO_CARP as u32, 1, 0),
    op(RET, u32::MAX),
    op(RET, 0),
];

/// A queue for each netisr, and their sending side.
pub(super) fn open(it: Interface, queues: Queues) -> nix::Result<(Vec<Box<dyn RxQueue>>, PacketTx)> {
    let fanout = queues.fanout.unwrap_or_else(|| as_the_card(it, queues.count));
    Ok(with(it, sockets(it, queues.count, fanout)?, fanout))
}

/// Those of another process, by their sockets, with all that waits there. Nobody can
/// leave a group: what comes to which is as it was.
///
/// # Errors
/// There are none.
pub(super) fn adopt(it: Interface, sockets: Vec<OwnedFd>) -> nix::Result<(Vec<Box<dyn RxQueue>>, PacketTx)> {
    let first = sockets.first().ok_or(Linux::EINVAL)?;
    let fanout = sys::fanout_of(first.as_fd())?.1;
    Ok(with(it, sockets, fanout))
}

/// A card without receive queues of its own, as a VLAN, counts as one with a single one.
fn as_the_card(it: Interface, queues: usize) -> Fanout {
    match sys::rx_queues(it.name) {
        Ok(has) if queues > 1 && has >= queues => Fanout::Cpu,
        _ => Fanout::Hash,
    }
}

fn sockets(it: Interface, queues: usize, fanout: Fanout) -> nix::Result<Vec<OwnedFd>> {
    let room = BUF.min(BUF_ALL / queues.max(1));
    let mut group = None;
    let mut sockets = Vec::new();
    for _ in 0..queues {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        // Before it hears anything; and before it shares, others' frames are not its.
        sys::attach_filter(fd.as_fd(), &NOTHING)?;
        sys::vnet_hdr(fd.as_fd())?;
        // In a container's user namespace the host's limit counts.
        setsockopt(&fd, RcvBufForce, &room).or_else(|_| setsockopt(&fd, RcvBuf, &room))?;
        setsockopt(&fd, SndBufForce, &room).or_else(|_| setsockopt(&fd, SndBuf, &room))?;
        sys::bind_packet(fd.as_fd(), it.index, libc::ETH_P_ALL as u16)?;
        group = Some(sys::fanout(fd.as_fd(), fanout, group)?);
        sockets.push(fd);
    }
    sockets.iter().try_for_each(|fd| sys::attach_filter(fd.as_fd(), &WANTED))?;
    Ok(sockets)
}

fn with(it: Interface, sockets: Vec<OwnedFd>, fanout: Fanout) -> (Vec<Box<dyn RxQueue>>, PacketTx) {
    let socket = |fd| Arc::new(Socket { it, fd, in_hand: InHand::default() });
    let sockets: Vec<_> = sockets.into_iter().map(socket).collect();
    let of = sockets.len();
    let rx = sockets.iter().enumerate().map(|(nth, socket)| -> Box<dyn RxQueue> {
        let buf = vec![0; OFFLOADED_MAX].into_boxed_slice();
        let processors = (fanout == Fanout::Cpu).then_some(Processors { nth, of });
        Box::new(PacketRx { socket: socket.clone(), processors, buf })
    });
    (rx.collect(), PacketTx { sockets })
}

struct Socket {
    it: Interface,
    fd: OwnedFd,
    in_hand: InHand,
}

impl Socket {
    fn receive(&self, buf: &mut [u8], budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let mut done = 0;
        while done < budget {
            match recv(self.fd.as_raw_fd(), buf, MsgFlags::MSG_TRUNC) {
                // One that is longer than its header can say is none.
                Ok(n) => input(buf.get(..n).unwrap_or_default()),
                Err(Linux::EAGAIN) => break,
                Err(Linux::EINTR) => continue,
                // It came, and its header cannot say what it is.
                Err(Linux::EINVAL) => input(&[]),
                Err(Linux::ENETDOWN) => {
                    self.it.check_alive()?;
                    continue;
                }
                Err(e) => return Err(sys::failed(self.it.name, e)),
            }
            done += 1;
        }
        Ok(done)
    }
}

struct PacketRx {
    socket: Arc<Socket>,
    processors: Option<Processors>,
    buf: Box<[u8]>,
}

impl RxQueue for PacketRx {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.fd.as_fd())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        self.socket.in_hand.during(|| self.socket.receive(&mut self.buf, budget, input))
    }

    fn is_offloaded(&self) -> bool {
        true
    }

    fn processors(&self) -> Option<Processors> {
        self.processors
    }
}

/// Each netisr sends on the socket that it hears from.
pub(super) struct PacketTx {
    sockets: Vec<Arc<Socket>>,
}

impl PacketTx {
    /// Whoever has them can go on with them.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|socket| socket.fd.as_fd())
    }
}

impl Offload for PacketTx {
    fn transmit_offloaded(&self, queue: usize, frame: &[u8]) -> Result<(), Errno> {
        let socket = self.sockets.get(queue % self.sockets.len()).ok_or(Errno::ENXIO)?;
        match send(socket.fd.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(()),
            Err(e) => Err(sys::transmit_errno(e)),
        }
    }

    fn drain(&self, input: &mut dyn FnMut(&[u8])) {
        let mut buf = vec![0; OFFLOADED_MAX];
        for socket in &self.sockets {
            // A dead one is its netisr's to tell.
            let _ = socket.receive(&mut buf, DRAINED_MAX, input);
        }
        // Who has taken one before the socket was empty has it in hand.
        self.sockets.iter().for_each(|socket| socket.in_hand.wait());
    }
}
