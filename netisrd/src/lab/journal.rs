//! What a run sees while it happens, in a small form: names are numbers until
//! somebody wants to read them.

use super::pcapng::Frame;
use super::record::{Event, Family, What};
use compat::net::ethernet::{ETHERTYPE_IP, ETHERTYPE_IPV6};
use compat::netinet::in_::IPPROTO_CARP;
use compat::sys::time::{Clock, Time, VirtualClock};
use libcarp::header::CARP_HEADER_LEN;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An advertisement on a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ad {
    /// `carp_vhid`
    pub vhid: u8,
    /// `carp_advbase`
    pub advbase: u8,
    /// `carp_advskew`
    pub advskew: u8,
    /// Over which family.
    pub family: Family,
}

impl Ad {
    /// That which a frame carries, whatever its digest.
    pub fn parse(frame: &[u8]) -> Option<Ad> {
        let ether_type = frame.get(12..14)?;
        let (family, at) = match u16::from_be_bytes([ether_type[0], ether_type[1]]) {
            ETHERTYPE_IP if frame.get(23) == Some(&IPPROTO_CARP) => {
                (Family::Ip, 14 + usize::from(frame[14] & 0xf) * 4)
            }
            ETHERTYPE_IPV6 if frame.get(20) == Some(&IPPROTO_CARP) => (Family::Ip6, 54),
            _ => return None,
        };
        // VRRP has the same number and another version.
        let h: &[u8; CARP_HEADER_LEN] = frame.get(at..)?.first_chunk().filter(|h| h[0] == 0x21)?;
        Some(Ad { vhid: h[1], advbase: h[5], advskew: h[2], family })
    }
}

enum Seen {
    Ad(usize, usize, Ad),
    Log(usize, String),
    Event(What),
}

/// The journal of a run. Clones are the same.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
    keep: Keep,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// States, commands, faults, and pings.
    Events,
    /// Advertisements and log lines too.
    Records,
    /// All frames too.
    Frames,
}

#[derive(Default)]
struct State {
    seen: Vec<(Time, Seen)>,
    frames: Vec<Frame>,
}

impl Journal {
    /// An empty one.
    pub fn new(clock: Arc<VirtualClock>, keep: Keep) -> Journal {
        Journal(Arc::new(Inner { clock, state: Mutex::default(), keep }))
    }

    /// A frame was sent by that port of that LAN.
    pub fn frame(&self, lan: usize, port: usize, frame: &[u8]) {
        if self.0.keep == Keep::Events {
            return;
        }
        let now = self.0.clock.now();
        let mut state = self.lock();
        if let Some(ad) = Ad::parse(frame) {
            state.seen.push((now, Seen::Ad(lan, port, ad)));
        }
        if self.0.keep == Keep::Frames {
            state.frames.push(Frame { at: now, lan, data: frame.into() });
        }
    }

    /// A machine has logged a line.
    pub fn log(&self, machine: usize, line: impl FnOnce() -> String) {
        if self.0.keep != Keep::Events {
            let now = self.0.clock.now();
            self.lock().seen.push((now, Seen::Log(machine, line())));
        }
    }

    /// Something else has happened.
    pub fn note(&self, what: What) {
        let now = self.0.clock.now();
        self.lock().seen.push((now, Seen::Event(what)));
    }

    /// All of it, in order; `station` knows who has a port of a LAN.
    pub fn read(
        &self,
        lans: &[String],
        machines: &[String],
        station: impl Fn(usize, usize) -> String,
    ) -> (Vec<Event>, Vec<Frame>) {
        let State { seen, frames } = core::mem::take(&mut *self.lock());
        let name = |of: &[String], i: usize| of.get(i).cloned().unwrap_or_default();
        let event = |(at, seen): (Time, Seen)| {
            let what = match seen {
                Seen::Event(what) => what,
                Seen::Log(machine, line) => What::Log { machine: name(machines, machine), line },
                Seen::Ad(lan, port, ad) => What::Advert {
                    lan: name(lans, lan),
                    machine: station(lan, port),
                    vhid: ad.vhid,
                    advbase: ad.advbase,
                    advskew: ad.advskew,
                    family: ad.family,
                },
            };
            Event { at: at.0, what }
        };
        (seen.into_iter().map(event).collect(), frames)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
