//! What the carp interfaces do, as JSON: one object for each [`Change`], and
//! one for how things are.

use super::parts::Turn;
use super::watcher::{Change, Watcher};
use crate::kern::devctl::{Notice, Vhosted};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use compat::sys::time::Time;
use libcarp::peers::Peer;
use libcarp::softc::State;
use serde::Serialize;

/// The machine's time and the world's, at one moment.
#[derive(Clone, Copy)]
pub struct Wall {
    now: Time,
    wall: DateTime<Utc>,
}

impl Wall {
    /// At `now`.
    pub fn at(now: Time) -> Wall {
        Wall { now, wall: Utc::now() }
    }

    /// When that was in the world, as its clock goes now.
    pub fn when(&self, t: Time) -> DateTime<Utc> {
        let ago = TimeDelta::from_std(self.now - t).unwrap_or(TimeDelta::MAX);
        self.wall.checked_sub_signed(ago).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// The same in RFC 3339.
    pub fn text(&self, t: Time) -> String {
        self.when(t).to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

/// `INIT`, `BACKUP`, `MASTER`.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Init => "INIT",
        State::Backup => "BACKUP",
        State::Master => "MASTER",
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Snapshot {
        time: String,
        demotion: i64,
        interfaces: Vec<Interface<'a>>,
    },
    Transition {
        time: String,
        interface: &'a str,
        vhid: u8,
        parent: Option<&'a str>,
        old: &'static str,
        new: &'static str,
        reason: &'static str,
        addresses: Vec<String>,
    },
    Created {
        time: String,
        #[serde(flatten)]
        interface: Interface<'a>,
    },
    Configured {
        time: String,
        #[serde(flatten)]
        interface: Interface<'a>,
    },
    Destroyed {
        time: String,
        interface: &'a str,
        vhid: u8,
    },
    Demotion {
        time: String,
        demotion: i64,
    },
    Missed {
        time: String,
        missed: u64,
    },
}

#[derive(Serialize)]
struct Interface<'a> {
    interface: &'a str,
    vhid: u8,
    parent: Option<&'a str>,
    state: &'static str,
    since: String,
    reason: &'static str,
    advbase: u8,
    advskew: u8,
    demoted_advskew: u8,
    addresses: Vec<String>,
    peers: Vec<Heard>,
}

#[derive(Serialize)]
struct Heard {
    address: String,
    advbase: u8,
    advskew: u8,
    heard: String,
}

impl<'a> Interface<'a> {
    fn new(v: &'a Vhosted, wall: &Wall) -> Interface<'a> {
        let heard = |p: &Peer| Heard {
            address: p.src.to_string(),
            advbase: p.advbase,
            advskew: p.advskew,
            heard: wall.text(p.heard),
        };
        Interface {
            interface: v.of.ifname.as_str(),
            vhid: v.of.vhid,
            parent: v.of.parent.as_ref().map(|p| p.as_str()),
            state: state_name(v.state),
            since: wall.text(v.since),
            reason: v.reason.word(),
            advbase: v.advbase,
            advskew: v.advskew,
            demoted_advskew: v.demoted_advskew,
            addresses: v.addresses.iter().map(ToString::to_string).collect(),
            peers: v.peers.iter().map(heard).collect(),
        }
    }
}

/// How things are, as one line.
pub fn snapshot(watcher: &Watcher, wall: &Wall) -> serde_json::Result<Vec<u8>> {
    let interfaces = watcher.vhosts().iter().map(|v| Interface::new(v, wall)).collect();
    line(&Event::Snapshot { time: wall.text(wall.now), demotion: watcher.demotion(), interfaces })
}

/// What was lost here, as one line.
pub fn missed(missed: u64, wall: &Wall) -> serde_json::Result<Vec<u8>> {
    line(&Event::Missed { time: wall.text(wall.now), missed })
}

/// What the turn has to tell, a line each.
pub fn changes(turn: &Turn<'_>, wall: &Wall) -> serde_json::Result<Vec<Vec<u8>>> {
    turn.changes.iter().map(|c| change(c, wall)).collect()
}

fn change(change: &Change, wall: &Wall) -> serde_json::Result<Vec<u8>> {
    let time = wall.text(wall.now);
    match change {
        Change::Created(v) => line(&Event::Created { time, interface: Interface::new(v, wall) }),
        Change::Configured(v) => line(&Event::Configured { time, interface: Interface::new(v, wall) }),
        Change::Destroyed(v) => {
            line(&Event::Destroyed { time, interface: v.of.ifname.as_str(), vhid: v.of.vhid })
        }
        Change::Demoted(demotion) => line(&Event::Demotion { time, demotion: *demotion }),
        Change::Missed(n) => missed(*n, wall),
        Change::Transition(n) => line(&transition(n, wall)),
    }
}

fn transition<'a>(n: &'a Notice, wall: &Wall) -> Event<'a> {
    Event::Transition {
        time: wall.text(n.at),
        interface: n.of.ifname.as_str(),
        vhid: n.of.vhid,
        parent: n.of.parent.as_ref().map(|p| p.as_str()),
        old: state_name(n.t.old),
        new: state_name(n.t.new),
        reason: n.t.reason.word(),
        addresses: n.addresses.iter().map(ToString::to_string).collect(),
    }
}

fn line(event: &Event<'_>) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}
