//! Which state each carp interface is in, and when it advertises.

use super::picture::{Adverts, Lane, Span, resolution};
use crate::lab::record::{Event, State, What};
use std::collections::BTreeMap;

/// A change of state whose vhid and LAN are known as far as can be.
struct Change<'a> {
    at: u64,
    machine: &'a str,
    ifname: &'a str,
    lan: Option<&'a str>,
    vhid: u8,
    from: State,
    to: State,
}

/// A lane that is being drawn.
struct Open {
    lane: Lane,
    since: u64,
    is: State,
}

impl Open {
    fn turn(&mut self, at: u64, to: State) {
        if at > self.since && self.is != to {
            self.lane.spans.push(Span { from: self.since, to: at, is: self.is });
            self.since = at;
        }
        self.is = to;
    }
}

/// One lane for each interface and vhid on each LAN, in no order.
pub(super) fn of(events: &[Event], end: u64, most: usize) -> Vec<Lane> {
    let mut open: Vec<Open> = Vec::new();
    for c in changes(events) {
        let mine = |l: &Lane| l.machine == c.machine && l.ifname == c.ifname;
        let this = |l: &Lane| mine(l) && l.vhid == c.vhid && l.lan.as_deref() == c.lan;
        let known = open.iter().position(|o| this(&o.lane));
        let at = known.unwrap_or_else(|| {
            open.push(begin(&c));
            open.len() - 1
        });
        // An interface that takes another vhid or LAN leaves its lane.
        if c.from != State::Absent && (known.is_none() || open[at].is == State::Absent) {
            let left = open.iter_mut().enumerate().find(|(i, o)| *i != at && mine(&o.lane) && o.is == c.from);
            if let Some((_, left)) = left {
                left.turn(c.at, State::Absent);
                open[at].is = State::Absent;
            }
        }
        open[at].turn(c.at, c.to);
    }
    let close = |mut o: Open| {
        if end > o.since {
            o.lane.spans.push(Span { from: o.since, to: end, is: o.is });
        }
        o.lane
    };
    let mut lanes = open.into_iter().map(close).collect();
    adverts(events, &mut lanes, end, most);
    lanes
}

/// From the beginning on it was in the state that it now leaves.
fn begin(c: &Change<'_>) -> Open {
    let lane = Lane {
        lan: c.lan.map(Into::into),
        machine: c.machine.into(),
        ifname: c.ifname.into(),
        vhid: c.vhid,
        spans: Vec::new(),
        adverts: Vec::new(),
    };
    Open { lane, since: 0, is: c.from }
}

/// All changes. An interface without vhid or LAN is counted to those that it
/// gets, or had last when it goes.
fn changes(events: &[Event]) -> Vec<Change<'_>> {
    let mut all: Vec<Change<'_>> = events.iter().filter_map(change).collect();
    fill(all.iter_mut().filter(|c| c.to == State::Absent || c.vhid != 0));
    fill(all.iter_mut().rev());
    fill(all.iter_mut());
    all
}

fn change(event: &Event) -> Option<Change<'_>> {
    let What::State { machine, ifname, lan, vhid, from, to } = &event.what else { return None };
    Some(Change { at: event.at, machine, ifname, lan: lan.as_deref(), vhid: *vhid, from: *from, to: *to })
}

/// Gives what has no vhid, or no LAN, that of its interface's change before.
fn fill<'a: 'b, 'b>(changes: impl Iterator<Item = &'b mut Change<'a>>) {
    let mut known: BTreeMap<(&str, &str), (u8, Option<&str>)> = BTreeMap::new();
    for c in changes {
        let before = known.entry((c.machine, c.ifname)).or_default();
        if c.vhid == 0 {
            c.vhid = before.0;
        }
        c.lan = c.lan.or(before.1);
        *before = (c.vhid, c.lan);
    }
}

/// Puts each advertisement on its sender's lane, or on one of its own.
fn adverts(events: &[Event], lanes: &mut Vec<Lane>, end: u64, most: usize) {
    let is_one = |e: &&Event| matches!(e.what, What::Advert { .. });
    let near = resolution(events.iter().filter(is_one).count(), most, lanes.len(), end);
    let mut places: BTreeMap<(&str, &str, u8), usize> = BTreeMap::new();
    for event in events {
        let What::Advert { lan, machine, vhid, advbase, advskew, .. } = &event.what else { continue };
        let place = *places.entry((lan, machine, *vhid)).or_insert_with(|| {
            let mine = |l: &Lane| l.machine == *machine && l.vhid == *vhid && l.lan.as_ref() == Some(lan);
            lanes.iter().position(mine).unwrap_or_else(|| {
                lanes.push(sender(lan, machine, *vhid));
                lanes.len() - 1
            })
        });
        let all = &mut lanes[place].adverts;
        match all.last_mut() {
            Some(last) if near > 0 && last.from / near == event.at / near => {
                (last.to, last.count) = (event.at, last.count + 1);
            }
            _ => all.push(Adverts {
                from: event.at,
                to: event.at,
                count: 1,
                advbase: *advbase,
                advskew: *advskew,
            }),
        }
    }
}

/// Of one that has no carp interface.
fn sender(lan: &str, machine: &str, vhid: u8) -> Lane {
    Lane {
        lan: Some(lan.into()),
        machine: machine.into(),
        ifname: String::new(),
        vhid,
        spans: Vec::new(),
        adverts: Vec::new(),
    }
}
