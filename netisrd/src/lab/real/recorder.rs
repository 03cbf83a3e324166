//! Every frame that comes out of a card, by the port that it comes in at.

use super::net::Port;
use super::play::Shared;
use crate::lab::client;
use compat::net::if_var::LlAddr;
use compat::sys::time::{Clock, Time};
use nix::errno::Errno as Linux;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use pcap::{Active, Capture, Direction};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

/// More than any frame here has.
const LONGEST: i32 = 2048;
/// Room for the frames of a burst: each takes a slot of the longest.
const RING: i32 = 4 << 20;

/// A frame for a client: when, to which, and by which port it came.
pub(super) type Answer = (Time, LlAddr, usize);

/// A recorder until the end: what was for clients, and how many frames found
/// no room.
pub(super) type Recorder = JoinHandle<Result<(Vec<Answer>, u32), String>>;

/// Records these ports, all of which are there.
pub(super) fn start(ports: &[Port], shared: Shared) -> Result<Recorder, String> {
    let captures = ports.iter().map(|port| {
        let capture = open(&port.name).map_err(|e| format!("{}: {e}", port.name))?;
        Ok((port.lan, capture))
    });
    let captures = captures.collect::<Result<Vec<_>, String>>()?;
    let work = move || record(captures, &shared).map_err(|e| format!("a port's recorder: {e}"));
    thread::Builder::new().name("recorder".into()).spawn(work).map_err(|e| e.to_string())
}

fn open(port: &str) -> Result<Capture<Active>, pcap::Error> {
    let capture = Capture::from_device(port)?.immediate_mode(true).promisc(true);
    let capture = capture.snaplen(LONGEST).buffer_size(RING).open()?.setnonblock()?;
    capture.direction(Direction::In)?;
    Ok(capture)
}

fn record(mut captures: Vec<(usize, Capture<Active>)>, shared: &Shared) -> Result<(Vec<Answer>, u32), Linux> {
    let mut answers = Vec::new();
    loop {
        for (port, (lan, capture)) in captures.iter_mut().enumerate() {
            // An error is an empty queue, or an interface that is down: there
            // is nothing to see until it is back up.
            while let Ok(packet) = capture.next_packet() {
                shared.journal.frame(*lan, port, packet.data);
                if let Some(to) = packet.data.first_chunk::<6>().filter(|to| client::is_lladdr(to)) {
                    answers.push((shared.clock.now(), *to, port));
                }
            }
        }
        let now = shared.clock.now();
        if now >= shared.end {
            let dropped = captures.iter_mut().filter_map(|(_, c)| c.stats().ok()).map(|s| s.dropped).sum();
            return Ok((answers, dropped));
        }
        let left = TimeSpec::from_duration(shared.end - now);
        let mut fds: Vec<_> =
            captures.iter().map(|(_, c)| PollFd::new(c.as_fd(), PollFlags::POLLIN)).collect();
        match ppoll(&mut fds, Some(left), None) {
            Ok(_) | Err(Linux::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}
