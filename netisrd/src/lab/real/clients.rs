//! Stations that ping: the lab's own taps, and the client of virtual time
//! behind each.

use super::net;
use super::play::Shared;
use crate::dev::{Device, tap};
use crate::lab::client::{Client, PATIENCE, lladdr};
use crate::lab::record::Event;
use crate::lab::scenario::ClientSpec;
use compat::sys::time::{Clock, Time};
use nix::errno::Errno as Linux;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A client's tap, on its LAN.
pub(super) fn plug(n: usize, lan: usize) -> Result<Device, String> {
    let (name, bridge) = (net::client(n), net::bridge(lan));
    let mut dev = tap::open(&name, Some(&bridge), 1).map_err(|e| e.to_string())?;
    net::wait_forwarding(&name)?;
    dev.lladdr = lladdr(n);
    Ok(dev)
}

/// Pings until the end.
pub(super) fn start(
    name: &str,
    spec: &ClientSpec,
    dev: Device,
    shared: Shared,
) -> Result<JoinHandle<Result<(), String>>, String> {
    let client = Client::new(name, dev, spec.address.addr(), spec.ping);
    let spec = spec.clone();
    let work = move || ping(client, &spec, &shared).map_err(|e| format!("a client's tap: {e}"));
    thread::Builder::new().name(format!("client {name}")).spawn(work).map_err(|e| e.to_string())
}

fn ping(mut client: Client, spec: &ClientSpec, shared: &Shared) -> Result<(), Linux> {
    let until = spec.until.map_or(shared.end, |u| shared.end.min(Time::default() + u.0));
    let mut next = Time::default() + spec.from.0;
    let mut events = Vec::new();
    loop {
        let now = shared.clock.now();
        // Who has answered is told when all frames are known.
        client.receive(now, None, &mut events);
        // Of those that are under way at the end nobody can tell.
        client.give_up(now, PATIENCE, &mut events);
        events.drain(..).for_each(|Event { what, .. }| shared.journal.note(what));
        if now >= shared.end {
            return Ok(());
        }
        if now >= next && now < until {
            client.ping(now);
            // One that comes late does not make the next late.
            next = next + spec.interval.0.max(Duration::from_micros(100));
        }
        let wake = if next < until { next } else { shared.end };
        if let Some(fd) = client.poll_fd() {
            let left = TimeSpec::from_duration(wake - shared.clock.now());
            match ppoll(&mut [PollFd::new(fd, PollFlags::POLLIN)], Some(left), None) {
                Ok(_) | Err(Linux::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}
