//! A card in memory on which echo requests come in at a fixed pace, and which
//! takes the time of their answers.
//!
//! ```text
//! receive    every frame that is due by now, stamped with when it was due
//! transmit   the answer: how long ago that was
//! ```
//!
//! The card makes its frames in the netisr that reads it, so no other thread
//! takes a processor from those that are measured. It always says that there
//! is more: its netisr polls it without sleeping, and what is measured is the
//! machine, not the scheduler that wakes it. Who comes late gets all that was
//! due meanwhile, each with its own time.

use crate::lab::{arp_request, checksum, echo_request, virtual_mac};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use netisrd::dev::{DataPath, Device, RxQueue, Transmit};
use netisrd::netinet::ip_input::ip_cpu;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xcc];
/// The virtual address of carp1.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
/// Between two frames.
const PACE: Duration = Duration::from_micros(20);
/// Until the machine knows the clients.
const HELLO: Duration = Duration::from_millis(10);
/// Where an IPv4 packet's ICMP message, its checksum, and its identifier and
/// sequence number are: together the frame's number.
const ICMP: usize = 34;
const SUM: usize = ICMP + 2;
const NUMBER: usize = ICMP + 4;
const ECHO_REPLY: u8 = 0;

/// The clients, by the netisr that their packets belong to.
const FLOWS: usize = 2;

/// One round of frames. Shared by the card's two sides and who asks for them.
pub(crate) struct Round {
    base: Instant,
    /// Nanoseconds after `base` when the first frame is due; 0 for no round.
    start: AtomicU64,
    /// The clients are to be heard of, for the machine to know whom to answer.
    hello: AtomicBool,
    /// Frames that have come in.
    sent: AtomicU64,
    /// Of each frame: nanoseconds until its answer, 0 without one.
    took: Box<[AtomicU32]>,
}

impl Round {
    /// A card on whose only queue so many frames come in each round. The netisr
    /// that reads it first calls `settle`.
    pub(crate) fn card(lladdr: [u8; 6], frames: usize, settle: fn()) -> (Arc<Round>, Device) {
        let took = (0..frames).map(|_| AtomicU32::new(0)).collect();
        let [start, sent] = [0, 0].map(AtomicU64::new);
        let hello = AtomicBool::new(false);
        let round = Arc::new(Round { base: Instant::now(), start, hello, sent, took });
        let queue =
            Queue { round: round.clone(), flows: [0, 1].map(Flow::of), next: 0, settle, settled: false };
        let device = Device {
            name: IfName::new("em0").expect("a name"),
            host_index: 0,
            lladdr,
            mtu: 1500,
            rx: vec![Box::new(queue)],
            tx: Arc::new(Answers(round.clone())),
            shared_with_host: false,
            path: DataPath::None,
            addrs: Vec::new(),
        };
        (round, device)
    }

    /// Lets a round begin.
    pub(crate) fn begin(&self) {
        self.took.iter().for_each(|t| t.store(0, Ordering::Relaxed));
        self.sent.store(0, Ordering::Relaxed);
        self.hello.store(true, Ordering::Release);
        thread::sleep(HELLO);
        self.start.store(self.now() + 1, Ordering::Release);
    }

    /// Whether all of its frames have come in.
    pub(crate) fn is_over(&self) -> bool {
        self.sent.load(Ordering::Acquire) == self.took.len() as u64
    }

    /// Nanoseconds of each answered frame of the flow that belongs to that
    /// netisr, in order of size; and how many were not answered.
    pub(crate) fn results(&self, netisr: usize) -> (Vec<u32>, usize) {
        self.start.store(0, Ordering::Release);
        let flow = self.took.iter().skip(netisr).step_by(FLOWS).map(|t| t.load(Ordering::Relaxed));
        let (mut answered, lost): (Vec<_>, Vec<_>) = flow.partition(|ns| *ns > 0);
        answered.sort_unstable();
        (answered, lost.len())
    }

    fn now(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }

    fn due(&self, start: u64, frame: u64) -> u64 {
        start + frame * PACE.as_nanos() as u64
    }
}

/// A client whose packets belong to a netisr.
struct Flow {
    hello: Vec<u8>,
    request: Vec<u8>,
}

impl Flow {
    fn of(netisr: usize) -> Flow {
        let frame = |client| echo_request(virtual_mac(1), CLIENT, client, VIP);
        let clients = (1..=250).map(|host| Ipv4Addr::new(10, 77, 2, host));
        let client = clients.into_iter().find(|c| ip_cpu(FLOWS, false, &frame(*c)) == netisr);
        let client = client.expect("one of many hosts belongs to it");
        Flow { hello: arp_request(CLIENT, client, VIP), request: frame(client) }
    }

    /// The frame of that number.
    fn numbered(&mut self, number: u32) -> &[u8] {
        self.request[NUMBER..NUMBER + 4].copy_from_slice(&number.to_be_bytes());
        self.request[SUM..SUM + 2].fill(0);
        let sum = checksum(&self.request[ICMP..]).to_be_bytes();
        self.request[SUM..SUM + 2].copy_from_slice(&sum);
        &self.request
    }
}

struct Queue {
    round: Arc<Round>,
    flows: [Flow; FLOWS],
    next: u64,
    /// Called once, in the netisr that reads the queue.
    settle: fn(),
    settled: bool,
}

impl RxQueue for Queue {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        if !self.settled {
            (self.settle)();
            self.settled = true;
        }
        let start = self.round.start.load(Ordering::Acquire);
        if start == 0 {
            if self.round.hello.swap(false, Ordering::AcqRel) {
                self.flows.iter().for_each(|f| input(&f.hello));
            }
            self.next = 0;
            return Ok(budget);
        }
        for _ in 0..budget {
            let due = self.round.due(start, self.next);
            if self.next == self.round.took.len() as u64 || due > self.round.now() {
                break;
            }
            let flow = (self.next as usize) % FLOWS;
            input(self.flows[flow].numbered(self.next as u32));
            self.next += 1;
            self.round.sent.store(self.next, Ordering::Release);
        }
        Ok(budget)
    }
}

struct Answers(Arc<Round>);

impl Transmit for Answers {
    fn transmit(&self, _: usize, frame: &[u8]) -> Result<(), Errno> {
        let reply = frame.get(ICMP) == Some(&ECHO_REPLY) && frame.get(23) == Some(&1);
        let start = self.0.start.load(Ordering::Acquire);
        let number = frame.get(NUMBER..NUMBER + 4).and_then(|n| n.try_into().ok()).map(u32::from_be_bytes);
        if let (true, true, Some(number)) = (reply, start > 0, number)
            && let Some(took) = self.0.took.get(number as usize)
        {
            let ns = self.0.now().saturating_sub(self.0.due(start, u64::from(number)));
            took.store(u32::try_from(ns).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
        }
        Ok(())
    }

    fn set_promisc(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_netisr_has_a_client_whose_numbered_frames_are_whole() {
        for netisr in 0..FLOWS {
            let mut flow = Flow::of(netisr);
            for number in [0, 1, 0x1234_5678] {
                let frame = flow.numbered(number);
                assert_eq!((ip_cpu(FLOWS, false, frame), checksum(&frame[ICMP..])), (netisr, 0));
            }
        }
    }

    #[test]
    fn nothing_comes_in_before_it_is_due_and_an_answer_is_taken_once_its_round_runs() {
        let (round, mut device) = Round::card([2, 0, 0, 0, 0, 1], 2, || ());
        let mut got = Vec::new();
        let mut queue = device.rx.remove(0);
        let mut receive = |got: &mut Vec<Vec<u8>>| {
            queue.receive(64, &mut |f| got.push(f.to_vec())).expect("a card in memory")
        };
        assert_eq!((receive(&mut got), got.len()), (64, 0));
        round.begin();
        while !round.is_over() {
            receive(&mut got);
        }
        let mut answer = got[1].clone();
        answer[ICMP] = ECHO_REPLY;
        assert_eq!(device.tx.transmit(0, &answer), Ok(()));
        let (answered, lost) = round.results(1);
        assert_eq!((got.len(), answered.len(), lost), (2, 1, 0));
        assert_eq!(round.results(0), (Vec::new(), 1));
    }
}
