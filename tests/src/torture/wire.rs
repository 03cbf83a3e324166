//! Devices that produce frames as fast as they are asked for them.

use compat::net::ethernet::EtherHeader;
use compat::net::if_::IfName;
use compat::netinet::in_::in_cksum;
use compat::netinet::ip::Ip;
use compat::netinet6::ip6::Ip6;
use compat::sys::errno::Errno;
use netisrd::dev::{DataPath, Device, RxQueue, Transmit, Waker};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One of so many frames is refused by the card.
const REFUSED: u64 = 1009;

/// How much the cards receive. Under a flood few changes get done, and none
/// overtakes another by much; with less on the wire there are thousands a
/// second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As many frames as are asked for.
    Flood,
    /// A burst each millisecond.
    Bursts,
    /// Nothing.
    Quiet,
}

impl Pace {
    pub(super) const ALL: [Pace; 3] = [Pace::Flood, Pace::Bursts, Pace::Quiet];
}

/// Frames in a burst of one queue.
const BURST: usize = 16;
/// Between two bursts.
const BEAT: Duration = Duration::from_millis(1);

/// What the devices of one machine share.
#[derive(Default)]
struct Shared {
    produced: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    stopped: AtomicBool,
    pace: AtomicU8,
    /// How each queue's netisr is told of a burst.
    wakers: Mutex<Vec<(IfName, Waker)>>,
}

impl Shared {
    fn wake_all(&self) {
        self.wakers.lock().expect("no waker panics").iter().for_each(|(_, wake)| wake());
    }
}

/// All devices of one machine.
pub(super) struct Cable {
    shared: Arc<Shared>,
    frames: Arc<[Vec<u8>]>,
    seed: u64,
    dead: Vec<(IfName, Arc<AtomicBool>)>,
}

impl Cable {
    pub(super) fn new(seed: u64) -> Cable {
        let shared = Arc::<Shared>::default();
        let beat = shared.clone();
        std::thread::spawn(move || {
            while !beat.stopped.load(Ordering::Acquire) {
                std::thread::park_timeout(BEAT);
                beat.wake_all();
            }
        });
        Cable { shared, frames: frames().into(), seed, dead: Vec::new() }
    }

    /// From now on so much comes in.
    pub(super) fn pace(&self, pace: Pace) {
        self.shared.pace.store(pace as u8, Ordering::Relaxed);
        self.shared.wake_all();
    }

    /// A new card.
    pub(super) fn card(&mut self, name: IfName, n: u8, queues: usize) -> Device {
        let dead = Arc::new(AtomicBool::new(false));
        self.dead.push((name, dead.clone()));
        let rx = (0..queues).map(|q| -> Box<dyn RxQueue> {
            self.seed += 1;
            Box::new(Source {
                name,
                shared: self.shared.clone(),
                frames: self.frames.clone(),
                rng: ChaCha8Rng::seed_from_u64(self.seed + q as u64),
                dead: dead.clone(),
            })
        });
        Device {
            name,
            host_index: 0,
            lladdr: [2, 0, 0, 0, 0, n],
            mtu: 1500,
            rx: rx.collect(),
            tx: Arc::new(Sink(self.shared.clone())),
            shared_with_host: false,
            path: DataPath::None,
            addrs: Vec::new(),
        }
    }

    /// The card dies: its next read fails.
    pub(super) fn kill(&mut self, name: IfName) {
        self.dead.retain(|(n, dead)| {
            let it = *n == name;
            dead.fetch_or(it, Ordering::Relaxed);
            !it
        });
        let mut wakers = self.shared.wakers.lock().expect("no waker panics");
        wakers.retain(|(n, wake)| {
            wake();
            *n != name
        });
    }

    /// No card produces anything more.
    pub(super) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.wake_all();
        self.shared.wakers.lock().expect("no waker panics").clear();
    }

    pub(super) fn produced(&self) -> u64 {
        self.shared.produced.load(Ordering::Acquire)
    }

    /// Frames that the cards took, and that they refused.
    pub(super) fn sent(&self) -> (u64, u64) {
        (self.shared.sent.load(Ordering::Relaxed), self.shared.refused.load(Ordering::Relaxed))
    }
}

struct Source {
    name: IfName,
    shared: Arc<Shared>,
    frames: Arc<[Vec<u8>]>,
    rng: ChaCha8Rng,
    dead: Arc<AtomicBool>,
}

impl RxQueue for Source {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn set_waker(&mut self, wake: Waker) {
        self.shared.wakers.lock().expect("no waker panics").push((self.name, wake));
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(nix::libc::ENODEV));
        }
        if self.shared.stopped.load(Ordering::Acquire) {
            return Ok(0);
        }
        let pace = self.shared.pace.load(Ordering::Relaxed);
        let count = match pace {
            p if p == Pace::Flood as u8 => budget,
            p if p == Pace::Bursts as u8 => BURST.min(budget - 1),
            _ => 0,
        };
        for _ in 0..count {
            let frame = &self.frames[self.rng.next_u32() as usize % self.frames.len()];
            self.shared.produced.fetch_add(1, Ordering::Release);
            input(frame);
        }
        Ok(count)
    }
}

struct Sink(Arc<Shared>);

impl Transmit for Sink {
    fn transmit(&self, _queue: usize, _frame: &[u8]) -> Result<(), Errno> {
        if self.0.sent.fetch_add(1, Ordering::Relaxed) % REFUSED == REFUSED - 1 {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Errno::ENOBUFS);
        }
        Ok(())
    }

    fn set_promisc(&self, _on: bool) -> Result<(), Errno> {
        Ok(())
    }
}

/// What is on the wire: for virtual MACs, real ones and others; ARP, echoes,
/// neighbour discovery, advertisements of known and unknown vhids, and what is
/// broken.
fn frames() -> Vec<Vec<u8>> {
    let vmac = |v: u8| [0, 0, 0x5e, 0, 1, v];
    let real = |n: u8| [2, 0, 0, 0, 0, n];
    let peer = [2, 0, 0, 0, 0, 0xcc];
    let mut all = Vec::new();
    let mut push = |dhost: [u8; 6], shost: [u8; 6], ether_type: u16, payload: &[u8]| {
        all.push(EtherHeader { dhost, shost, ether_type }.frame(payload));
    };
    for net in 0..2u8 {
        for host in 1..12u8 {
            let dst = [10, net, 0, host];
            for client in 100..104u8 {
                let echo = ip([10, net, 0, client], dst, 1, &icmp_echo());
                push(vmac(host), peer, 0x0800, &echo);
                push(real(net), peer, 0x0800, &echo);
            }
            let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
            arp.extend([&peer[..], &[10, net, 0, 100], &[0; 6], &dst].concat());
            push([0xff; 6], peer, 0x0806, &arp);
            push([0xff; 6], peer, 0x0806, &arp[..20]);
        }
    }
    for vhid in 1..12u8 {
        let mut carp = vec![0x21, vhid, 0, 7, 0, 1, 0, 0];
        carp.extend([vhid; 28]);
        let sum = in_cksum(&carp).to_be_bytes();
        carp[6..8].copy_from_slice(&sum);
        let group = [1, 0, 0x5e, 0, 0, 0x12];
        push(group, vmac(vhid), 0x0800, &ip([10, 0, 0, 50], [224, 0, 0, 18], 112, &carp));
        carp[6] ^= 1;
        push(group, vmac(vhid), 0x0800, &ip([10, 0, 0, 50], [224, 0, 0, 18], 112, &carp));
        push(group, vmac(vhid), 0x0800, &ip([10, 0, 0, 50], [224, 0, 0, 18], 112, &carp[..9]));
        let ip6 = Ip6 {
            plen: 0,
            nxt: 58,
            hlim: 255,
            src: "2001:db8::9".parse().expect("an address"),
            dst: "2001:db8::1".parse().expect("an address"),
        };
        push(vmac(vhid), peer, 0x86dd, &ip6.packet(&[128, 0, 0, 0, 0, 1, 0, 1]));
        push([0x33, 0x33, 0xff, 0, 0, 1], peer, 0x86dd, &ip6.packet(&[135, 0, 0, 0, 0, 0, 0, 0]));
        push(vmac(vhid), peer, 0x86dd, &[0x60, 0, 0]);
    }
    push([2, 9, 9, 9, 9, 9], peer, 0x0800, &[0; 20]);
    push([0xff; 6], peer, 0x88cc, &[0; 46]);
    push(real(0), peer, 0x0800, &[0x45; 19]);
    all.push(vec![1, 2, 3]);
    all
}

fn icmp_echo() -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0, 7, 0, 1, b'h', b'i'];
    let sum = in_cksum(&icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    icmp
}

fn ip(src: [u8; 4], dst: [u8; 4], p: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (src.into(), dst.into());
    Ip { hlen: 20, tos: 0, len: 0, id: 1, off: 0, ttl: 255, p, src, dst }.packet(payload)
}
