//! Echo requests at a fixed interval, each with its fate.

use super::events::wait_readable;
use super::forge::checksum;
use super::proc::Watched;
use super::{Host, PATIENCE, within};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, socket,
};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Tells our echoes from those of `ping`.
const IDENT: [u8; 2] = *b"nl";

/// One echo request.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Counted from 0.
    pub seq: u32,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer came.
    pub answered: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    probes: Vec<Probe>,
    stop: bool,
}

/// Pings an address from a host until dropped.
#[derive(Debug)]
pub struct Pinger {
    state: Arc<Watched<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Pinger {
    /// Starts to ping.
    pub fn start(host: &Host, to: impl Into<IpAddr>, interval: Duration) -> Pinger {
        let to = to.into();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (family, protocol) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let open = || socket(family, SockType::Raw, flags, protocol);
        let fd = within(Some(&host.ns), open).unwrap();
        let state = Arc::new(Watched::<State>::default());
        let shared = Arc::clone(&state);
        let work = move || ping(&fd, to, interval, &shared);
        let thread = thread::Builder::new().name("pinger".into()).spawn(work).unwrap();
        Pinger { state, thread: Some(thread) }
    }

    /// All probes so far.
    pub fn probes(&self) -> Vec<Probe> {
        self.state.lock().probes.clone()
    }

    /// Waits until a probe that was sent after now is answered.
    pub fn wait_answer(&self) -> Probe {
        let from = self.state.lock().probes.len();
        let answered = |s: &State| s.probes[from..].iter().find(|p| p.answered.is_some()).copied();
        self.state.wait(PATIENCE, answered).unwrap_or_else(|| panic!("no answer within {PATIENCE:?}"))
    }

    /// The longest time between the sending of one answered probe and the
    /// next, and how many between them were not answered.
    pub fn longest_gap(&self) -> (Duration, usize) {
        let probes = self.probes();
        let answered: Vec<_> = probes.iter().filter(|p| p.answered.is_some()).collect();
        let gaps = answered.windows(2).map(|w| (w[1].sent - w[0].sent, (w[1].seq - w[0].seq - 1) as usize));
        gaps.max().unwrap_or_default()
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.state.change(|s| s.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ping(fd: &OwnedFd, to: IpAddr, interval: Duration, state: &Watched<State>) {
    let v6 = to.is_ipv6();
    let to = SockaddrStorage::from(SocketAddr::new(to, 0));
    let mut due = Instant::now();
    for seq in 0.. {
        if state.lock().stop {
            return;
        }
        let probe = Probe { seq, sent: Instant::now(), answered: None };
        state.change(|s| s.probes.push(probe));
        // unreachable is the same as not answered
        let _ = sendto(fd.as_raw_fd(), &request(seq, v6), &to, MsgFlags::empty());
        due = (due + interval).max(Instant::now());
        while wait_readable(fd.as_fd(), due.saturating_duration_since(Instant::now())) {
            let mut buffer = [0; 2048];
            let Ok(n) = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) else { continue };
            let now = Instant::now();
            if let Some(seq) = answered(&buffer[..n], v6) {
                state.change(|s| {
                    s.probes.get_mut(seq).map(|p| p.answered.get_or_insert(now));
                });
            }
        }
    }
}

/// The kernel sums up what is sent over IPv6 itself.
fn request(seq: u32, v6: bool) -> [u8; 16] {
    let mut p = [0; 16];
    p[0] = if v6 { 128 } else { 8 };
    p[4..6].copy_from_slice(&IDENT);
    p[6..8].copy_from_slice(&(seq as u16).to_be_bytes());
    p[8..12].copy_from_slice(&seq.to_be_bytes());
    let sum = checksum(&p);
    p[2..4].copy_from_slice(&sum.to_be_bytes());
    p
}

/// The number of the probe that a packet answers. Over IPv4 it comes with its
/// header.
fn answered(packet: &[u8], v6: bool) -> Option<usize> {
    let header = if v6 { 0 } else { usize::from(packet.first()? & 15) * 4 };
    let icmp = packet.get(header..)?;
    let reply = if v6 { 129 } else { 0 };
    if icmp.first() != Some(&reply) || icmp.get(4..6)? != IDENT {
        return None;
    }
    let seq: [u8; 4] = icmp.get(8..12)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(seq)).ok()
}
