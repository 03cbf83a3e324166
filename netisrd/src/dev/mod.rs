//! Network cards: what the machine's `ifnet`s send on and hear from.
//!
//! ```text
//!              +-- tap.rs    a card of the machine's own, on a host bridge
//!   Device ----+-- host.rs   an interface the host keeps using, through pcap;
//!              |             packet.rs: on the tap path, as the host's stack has it
//!              +-- lan.rs    a cable in memory, for tests and simulation
//!
//!   RxQueue x N   one per netisr, read by that netisr alone
//!   Transmit      one per card, called by every netisr
//!
//!   HostSide ------ carptap.rs   a carp interface in the host, on the tap path
//! ```
//!
//! [`sys`] holds all system calls that need `unsafe`, `rtnetlink` asks and changes the host.
#![allow(clippy::disallowed_methods, reason = "a device waits for its host, by the host's clock")]

use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use ipnet::IpNet;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

pub mod carptap;
pub mod host;
mod in_hand;
pub mod lan;
mod link;
mod packet;
pub(crate) mod rtnetlink;
pub mod sys;
pub mod tap;
#[cfg(test)]
pub(crate) mod testns;
pub(crate) mod unix_diag;
pub mod watch;

/// `ETHER_ADDR_LEN` twice and the type.
const ETHER_HDR_LEN: usize = 14;
/// What a VLAN tag adds.
const ETHER_VLAN_ENCAP_LEN: usize = 4;
/// `struct virtio_net_hdr`: what is not finished of the frame behind it, its
/// checksum, or that it is several segments.
pub const VNET_HDR_LEN: usize = 10;
/// The longest frame that has such a header, with it.
const OFFLOADED_MAX: usize = VNET_HDR_LEN + ETHER_HDR_LEN + ETHER_VLAN_ENCAP_LEN + 65535;

/// Called by a device in memory when one of its queues has something to read.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// One receive queue. It is owned by one netisr, which alone reads it.
pub trait RxQueue: Send {
    /// What to poll for readability; `None` for a device in memory, which
    /// calls its waker instead. Edge-triggered polling is enough for a reader
    /// that goes on until [`receive`](RxQueue::receive) gives less than its
    /// budget. An error event is to be answered by `receive` too.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>>;

    /// For devices in memory: `wake` is called whenever the queue turns from
    /// empty to not empty, by each `receive` that leaves something in it, and now
    /// if it is not empty already. Others ignore it.
    fn set_waker(&mut self, wake: Waker) {
        let _ = wake;
    }

    /// Hands up to `budget` frames to `input` (whole Ethernet frames without
    /// FCS) and says how many; fewer than `budget` means that the queue was
    /// empty (`EAGAIN`) at that moment.
    ///
    /// # Errors
    /// The device is dead, its interface removed: no frame will ever come.
    /// [`sys::bsd_errno`] gives the number.
    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> std::io::Result<usize>;

    /// Whether each frame is behind its `virtio_net_hdr`, for the host or from it.
    fn is_offloaded(&self) -> bool {
        false
    }

    /// Whose frames come here, if it is by [`Fanout::Cpu`].
    fn processors(&self) -> Option<Processors> {
        None
    }
}

/// The processors of which `of` divides the number but for a rest of `nth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// Which queue.
    pub nth: usize,
    /// Of how many.
    pub of: usize,
}

/// `PACKET_FANOUT`: by what the frames of an interface are dealt out to several queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fanout {
    /// `PACKET_FANOUT_HASH`: by the flow, which stays in order whatever the card does.
    Hash,
    /// `PACKET_FANOUT_CPU`: by the processor that has them. A card that deals flows out to
    /// as many processors keeps them in order; a program that sends from the same host
    /// does not when it moves.
    Cpu,
}

/// The queues that an interface is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// One for each netisr.
    pub count: usize,
    /// What comes to which; unless told, by processor if the card has a receive queue for
    /// each of these, as netisrs of DragonFly take what their own processor has heard,
    /// and else by flow.
    pub fanout: Option<Fanout>,
}

/// The sending side, shared by all netisrs; no lock on the path.
pub trait Transmit: Send + Sync {
    /// Sends one whole frame now; never blocks. `queue` is the receive queue
    /// of the netisr that sends: a card with several sends on the same one, so
    /// that answers come back to whom they answer.
    ///
    /// # Errors
    /// BSD's: `ENOBUFS` when a queue is full, `ENETDOWN` when the interface is
    /// down, `ENXIO` when it is gone, `EMSGSIZE` for a frame over the MTU,
    /// `EINVAL` for less than an Ethernet header.
    fn transmit(&self, queue: usize, frame: &[u8]) -> Result<(), Errno>;

    /// `ifpromisc()`: asks the hardware; devices that hear all anyway just
    /// return `Ok`.
    ///
    /// # Errors
    /// What the hardware answers.
    fn set_promisc(&self, on: bool) -> Result<(), Errno>;

    /// The card's address is another one, and frames to it are to be heard.
    ///
    /// # Errors
    /// They are not.
    fn set_lladdr(&self, lladdr: [u8; 6]) -> std::io::Result<()> {
        let _ = lladdr;
        Ok(())
    }

    /// Bytes a frame carries after its Ethernet header, from now on.
    fn set_mtu(&self, mtu: u32) {
        let _ = mtu;
    }

    /// The descriptors without which the card would be gone, or what waits in its
    /// queues, one for each of those: whoever has them can go on with it.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Frames that its queues had no room for since this was asked last, of a card whose
    /// host counts them.
    fn input_drops(&self) -> u64 {
        0
    }

    /// The same card for frames that are not finished, if it takes such.
    fn offload(&self) -> Option<&dyn Offload> {
        None
    }
}

/// Whoever takes frames behind their `virtio_net_hdr` and sees to what is not
/// finished of them.
pub trait Offload: Send + Sync {
    /// As [`Transmit::transmit`], of such a frame.
    ///
    /// # Errors
    /// The same.
    fn transmit_offloaded(&self, queue: usize, frame: &[u8]) -> Result<(), Errno>;

    /// Whether it takes frames at all.
    fn has_carrier(&self) -> bool {
        true
    }

    /// Its owner bows out: what others have in hand of its receive queues is done with
    /// when this returns, and what comes after is not to be taken before it has a carrier
    /// anew.
    fn hush(&self) {}

    /// Whether that is so.
    fn is_hushed(&self) -> bool {
        false
    }

    /// Hands what waits in the receive queues of the same card to `input`, in the
    /// place of those who read them, and waits until they have done with theirs.
    fn drain(&self, input: &mut dyn FnMut(&[u8])) {
        let _ = input;
    }
}

/// The host's side of a carp interface: what that hears, the host hears, and what
/// the host says there, it says.
pub struct HostSide {
    /// Of which carp interface, by its index in the machine.
    pub if_index: u16,
    /// What the host says.
    pub rx: Vec<Box<dyn RxQueue>>,
    /// Where it hears.
    pub tx: Arc<dyn Offload>,
}

/// Who answers for the virtual addresses on an interface of the host, and how
/// frames come there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPath {
    /// The host, by macvlans: it takes the frames itself.
    Macvlan,
    /// The host, by taps: the netisrs give it the frames.
    Tap,
    /// The machine.
    None,
}

impl DataPath {
    /// Whether the host answers.
    pub fn is_served_by_host(self) -> bool {
        self != DataPath::None
    }
}

/// An opened network card, before it is attached to a machine.
pub struct Device {
    /// The interface's name, the host's too where the host has one.
    pub name: IfName,
    /// The host's index of it, which stays whatever it is called; 0 of one in memory.
    pub host_index: u32,
    /// The card's address. Nothing in the device depends on it, so a
    /// configuration may put another one here before attaching.
    pub lladdr: [u8; 6],
    /// Bytes a frame carries after its Ethernet header.
    pub mtu: u32,
    /// The receive queues, one or more.
    pub rx: Vec<Box<dyn RxQueue>>,
    /// The sending side.
    pub tx: Arc<dyn Transmit>,
    /// True when the host keeps using the interface and answers for its own addresses.
    pub shared_with_host: bool,
    /// Who answers for the virtual addresses on it.
    pub path: DataPath,
    /// The host's addresses on it with their prefixes, in the host's order
    /// (empty for a tap).
    pub addrs: Vec<IpNet>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.name)
            .field("lladdr", &self.lladdr)
            .field("mtu", &self.mtu)
            .field("queues", &self.rx.len())
            .field("shared_with_host", &self.shared_with_host)
            .field("path", &self.path)
            .field("addrs", &self.addrs)
            .finish_non_exhaustive()
    }
}

/// The card's own look at a frame, where nothing behind it takes one: a tap
/// hands frames of any length to its bridge.
fn check_len(frame: &[u8], mtu: u32) -> Result<(), Errno> {
    let tagged = matches!(frame.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8]));
    let overhead = ETHER_HDR_LEN + if tagged { ETHER_VLAN_ENCAP_LEN } else { 0 };
    if frame.len() < ETHER_HDR_LEN {
        Err(Errno::EINVAL)
    } else if frame.len() > mtu as usize + overhead {
        Err(Errno::EMSGSIZE)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_with_its_header_and_a_tag() {
        let mut frame = [0; 1519];
        assert_eq!(check_len(&frame[..13], 1500), Err(Errno::EINVAL));
        assert_eq!(check_len(&frame[..14], 1500), Ok(()));
        assert_eq!(check_len(&frame[..1514], 1500), Ok(()));
        assert_eq!(check_len(&frame[..1515], 1500), Err(Errno::EMSGSIZE));
        frame[12..14].copy_from_slice(&[0x81, 0x00]);
        assert_eq!(check_len(&frame[..1518], 1500), Ok(()));
        assert_eq!(check_len(&frame, 1500), Err(Errno::EMSGSIZE));
    }
}
