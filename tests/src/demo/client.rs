//! The client of the in-memory LAN: answers ARP, pings.

use super::{CLIENT, PING_INTERVAL, VIP};
use crate::lab::{Arp, Frame, Mac, Probe, arp_request, checksum, ethernet, ipv4};
use compat::net::if_::IfName;
use netisrd::dev::lan::Lan;
use netisrd::dev::{Device, Transmit};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const MAC: Mac = [2, 0, 0, 0, 0, 9];
/// Tells our echoes from others.
const IDENT: [u8; 2] = *b"nd";
/// A bound of the wait for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A host of one address.
pub struct Client {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    started: bool,
    stop: bool,
    neighbour: Option<Mac>,
    probes: Vec<Probe>,
    answered: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// A client on the LAN, silent but for ARP.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn attach(lan: &Arc<Lan>) -> io::Result<Client> {
        let name = IfName::new("v0").unwrap_or(IfName::EMPTY);
        let mut device = lan.attach(name, MAC, 1);
        let shared = Arc::new(Shared::default());
        let host = Host { shared: Arc::clone(&shared), tx: Arc::clone(&device.tx), due: None };
        let thread = thread::Builder::new().name("client".into()).spawn(move || host.run(&mut device))?;
        Ok(Client { shared, thread: thread.thread().clone() })
    }

    /// Starts to ping.
    pub fn start(&self) {
        self.shared.lock().started = true;
        self.thread.unpark();
    }

    /// All pings so far.
    pub fn probes(&self) -> Vec<Probe> {
        self.shared.lock().probes.clone()
    }

    /// Where the client believes the virtual address to be.
    pub fn neighbour(&self) -> Option<Mac> {
        self.shared.lock().neighbour
    }

    /// Waits until `n` more pings are answered.
    ///
    /// # Errors
    /// If the next is not within 15 s.
    pub fn wait_answers(&self, n: usize) -> Result<(), String> {
        let mut state = self.shared.lock();
        let wanted = state.answered + n;
        while state.answered < wanted {
            let seen = state.answered;
            let waiting = self.shared.changed.wait_timeout_while(state, PATIENCE, |s| s.answered == seen);
            let (now, timeout) = waiting.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return Err(format!("{VIP} did not answer within {PATIENCE:?}"));
            }
            state = now;
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.thread.unpark();
    }
}

/// The client's thread.
struct Host {
    shared: Arc<Shared>,
    tx: Arc<dyn Transmit>,
    /// When to send next, once started.
    due: Option<Instant>,
}

impl Host {
    fn run(mut self, device: &mut Device) {
        let me = thread::current();
        for rx in &mut device.rx {
            let me = me.clone();
            rx.set_waker(Arc::new(move || me.unpark()));
        }
        loop {
            let state = self.shared.lock();
            let (started, stop) = (state.started, state.stop);
            drop(state);
            if stop {
                return;
            }
            let now = Instant::now();
            if started && self.due.is_none_or(|due| due <= now) {
                self.ping(now);
                // a thread that was late does not catch up in a burst
                self.due = Some((self.due.unwrap_or(now) + PING_INTERVAL).max(now));
            }
            for rx in &mut device.rx {
                // a queue in memory does not die
                let _ = rx.receive(usize::MAX, &mut |bytes| self.input(bytes));
            }
            match self.due {
                Some(due) => thread::park_timeout(due.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
    }

    /// The next echo request; a question where to send it, until that is known.
    fn ping(&self, now: Instant) {
        let mut state = self.shared.lock();
        let Some(to) = state.neighbour else {
            drop(state);
            return self.send(&arp_request(MAC, CLIENT, VIP));
        };
        let seq = state.probes.len() as u32;
        state.probes.push(Probe { seq, sent: now, answered: None });
        drop(state);
        self.send(&ethernet(to, MAC, 0x0800, &ipv4(CLIENT, VIP, 1, 64, &echo_request(seq))));
    }

    fn input(&self, bytes: &[u8]) {
        let at = Instant::now();
        let frame = Frame { at, stamp: Duration::ZERO, bytes: bytes.to_vec() };
        if let Some(arp) = frame.arp() {
            self.arp(&arp);
        } else if let Some(seq) = answered(&frame) {
            let mut state = self.shared.lock();
            let probe = state.probes.get_mut(seq).filter(|p| p.answered.is_none());
            if let Some(probe) = probe {
                probe.answered = Some(at);
                state.answered += 1;
                self.shared.changed.notify_all();
            }
        }
    }

    fn arp(&self, arp: &Arp) {
        if arp.spa == VIP {
            self.shared.lock().neighbour = Some(arp.sha);
        }
        if arp.op == 1 && arp.tpa == CLIENT {
            let mut reply = [&[0, 1, 8, 0, 6, 4, 0, 2], &MAC[..], &CLIENT.octets()].concat();
            reply.extend_from_slice(&arp.sha);
            reply.extend_from_slice(&arp.spa.octets());
            self.send(&ethernet(arp.sha, MAC, 0x0806, &reply));
        }
    }

    fn send(&self, frame: &[u8]) {
        // not sent is the same as not answered
        let _ = self.tx.transmit(0, frame);
    }
}

fn echo_request(seq: u32) -> [u8; 16] {
    let mut p = [0; 16];
    p[0] = 8;
    p[4..6].copy_from_slice(&IDENT);
    p[6..8].copy_from_slice(&(seq as u16).to_be_bytes());
    p[8..12].copy_from_slice(&seq.to_be_bytes());
    let sum = checksum(&p);
    p[2..4].copy_from_slice(&sum.to_be_bytes());
    p
}

/// The number of the ping that a frame answers.
fn answered(frame: &Frame) -> Option<usize> {
    let ip = frame.ipv4().filter(|ip| (ip.protocol, ip.src, ip.dst) == (1, VIP, CLIENT))?;
    let p = ip.payload;
    if p.first() != Some(&0) || p.get(4..6)? != IDENT {
        return None;
    }
    let seq: [u8; 4] = p.get(8..12)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(seq)).ok()
}
