//! A constant stream of datagrams to an address, and at which of two hosts each
//! of them arrived.

use crate::lab::{Host, within};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PORT: u16 = 9;
/// Between two datagrams.
pub(crate) const EVERY: Duration = Duration::from_millis(1);
/// More than a section sends.
const MOST: usize = 300_000;
/// A datagram that is not there by then is not on its way any more.
const LATE: Duration = Duration::from_millis(20);
/// How long a receiver waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

struct Shared {
    /// How many have been sent.
    sent: AtomicU32,
    /// Of each the hosts that it came to, a bit for each.
    came: Box<[AtomicU8]>,
    stop: AtomicBool,
}

/// The stream, until it is dropped.
pub(crate) struct Drip {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of a part of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// At no host.
    pub(crate) lost: u32,
    /// At both.
    pub(crate) twice: u32,
    /// From the part's begin to the first that was lost, in datagrams.
    pub(crate) first: Option<u32>,
}

impl Drip {
    /// Lets it run from the client to `to`, which is at one of the hosts.
    pub(crate) fn start(client: &Host, to: Ipv4Addr, hosts: &[Host; 2]) -> Drip {
        let came = (0..MOST).map(|_| AtomicU8::new(0)).collect();
        let (sent, stop) = (AtomicU32::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { sent, came, stop });
        let socket = |ns: &str, port| {
            let bind =
                || UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).expect("a free port");
            within(Some(ns), bind)
        };
        let mut threads = Vec::new();
        for (n, host) in hosts.iter().enumerate() {
            let (socket, shared) = (socket(&host.ns, PORT), shared.clone());
            threads.push(thread::spawn(move || receive(&socket, 1 << n, &shared)));
        }
        let (socket, sender) = (socket(&client.ns, 0), shared.clone());
        threads.push(thread::spawn(move || send(&socket, SocketAddrV4::new(to, PORT), &sender)));
        Drip { shared, threads }
    }

    /// How many have been sent: where a part begins or ends.
    pub(crate) fn mark(&self) -> u32 {
        self.shared.sent.load(Ordering::Acquire)
    }

    /// Waits until a datagram sent after now has come to that host.
    pub(crate) fn wait_at(&self, host: usize, patience: Duration) {
        let (from, until) = (self.mark(), Instant::now() + patience);
        let bit = 1 << host;
        let there = |n: u32| self.shared.came[n as usize].load(Ordering::Acquire) & bit != 0;
        while !(from..self.mark()).any(there) {
            assert!(Instant::now() < until, "nothing of the stream comes to host {host}");
            thread::sleep(EVERY);
        }
    }

    /// What became of those from `from` to now.
    pub(crate) fn fate(&self, from: u32) -> Fate {
        let to = self.mark();
        thread::sleep(LATE);
        let mut fate = Fate::default();
        for n in from..to {
            match self.shared.came[n as usize].load(Ordering::Acquire) {
                0 => {
                    fate.lost += 1;
                    fate.first.get_or_insert(n - from);
                }
                3 => fate.twice += 1,
                _ => {}
            }
        }
        fate
    }
}

impl Drop for Drip {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn send(socket: &UdpSocket, to: SocketAddrV4, shared: &Shared) {
    let begun = Instant::now();
    for n in 0..MOST as u32 {
        let due = begun + EVERY * n;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        // counted first, or it could come before it was sent; one that cannot be
        // sent is lost as well
        shared.sent.store(n + 1, Ordering::Release);
        let _ = socket.send_to(&n.to_be_bytes(), to);
    }
}

fn receive(socket: &UdpSocket, bit: u8, shared: &Shared) {
    socket.set_read_timeout(Some(LOOK)).expect("a time limit");
    let mut room = [0; 16];
    while !shared.stop.load(Ordering::Acquire) {
        let Ok(len) = socket.recv(&mut room) else { continue };
        let number = room[..len].try_into().map(u32::from_be_bytes);
        if let Some(came) = number.ok().and_then(|n| shared.came.get(n as usize)) {
            came.fetch_or(bit, Ordering::AcqRel);
        }
    }
}
