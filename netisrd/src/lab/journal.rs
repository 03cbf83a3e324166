//! What a run sees while it happens, in a small form: names are numbers until
//! somebody wants to read them.

use super::model::Advert;
use super::pcapng::Frame;
use super::record::{Event, What};
use compat::sys::time::{Clock, Time};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

enum Seen {
    Ad(usize, usize, Advert),
    Log(usize, String),
    Event(What),
    /// Something that has begun, and of which more is known when it is over.
    Begun,
}

/// The journal of a run. Clones are the same.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    keep: Keep,
}

/// The place of something that has begun.
#[must_use]
pub struct Begun(usize);

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
    pub fn new(clock: Arc<dyn Clock>, keep: Keep) -> Journal {
        Journal(Arc::new(Inner { clock, state: Mutex::default(), keep }))
    }

    /// A frame was sent by that port of that LAN.
    pub fn frame(&self, lan: usize, port: usize, frame: &[u8]) {
        if self.0.keep == Keep::Events {
            return;
        }
        let now = self.0.clock.now();
        let mut state = self.lock();
        if let Some(ad) = Advert::parse(frame) {
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
        self.note_at(self.now(), what);
    }

    /// Something else has happened then.
    pub fn note_at(&self, at: Time, what: What) {
        self.lock().seen.push((at, Seen::Event(what)));
    }

    /// Something begins now, of which more is known later: its place.
    pub fn begin(&self) -> Begun {
        let now = self.now();
        let mut state = self.lock();
        state.seen.push((now, Seen::Begun));
        Begun(state.seen.len() - 1)
    }

    /// What that was, noted before all that has happened since.
    pub fn note_begun(&self, Begun(place): Begun, what: What) {
        if let Some((_, seen)) = self.lock().seen.get_mut(place) {
            *seen = Seen::Event(what);
        }
    }

    /// The run's time.
    pub fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// All of it from the `n`th on, in order; `station` knows who has a port of
    /// a LAN.
    pub fn read(
        &self,
        n: usize,
        lans: &[&str],
        machines: &[&str],
        station: impl Fn(usize, usize) -> String,
    ) -> Vec<Event> {
        let name = |of: &[&str], i: usize| of.get(i).map(|n| (*n).to_owned()).unwrap_or_default();
        let event = |(at, seen): &(Time, Seen)| {
            let what = match seen {
                Seen::Event(what) => what.clone(),
                Seen::Begun => return None,
                Seen::Log(machine, line) => {
                    What::Log { machine: name(machines, *machine), line: line.clone() }
                }
                Seen::Ad(lan, port, ad) => What::Advert {
                    lan: name(lans, *lan),
                    machine: station(*lan, *port),
                    vhid: ad.vhid,
                    advbase: ad.advbase,
                    advskew: ad.advskew,
                    family: ad.family,
                },
            };
            Some(Event { at: at.0, what })
        };
        self.lock().seen.get(n..).unwrap_or_default().iter().filter_map(event).collect()
    }

    /// All frames, once.
    pub fn take_frames(&self) -> Vec<Frame> {
        core::mem::take(&mut self.lock().frames)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
