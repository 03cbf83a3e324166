//! What has happened so far, in the order in which a view asks for it.

use crate::lab::record::{Event, What};
use crate::lab::timeline::picture::Picture;
use crate::lab::timeline::words;
use std::collections::BTreeMap;

/// The events so far.
#[derive(Default)]
pub(super) struct Story {
    /// How many there were.
    pub(super) count: usize,
    /// What changes something, as opposed to what is always heard.
    pub(super) changes: Vec<Event>,
    /// When a machine has advertised a vhid on a LAN.
    adverts: BTreeMap<(String, String, u8), Vec<u64>>,
    /// Each client's pings, in the order in which they were sent.
    pub(super) pings: BTreeMap<String, Vec<Event>>,
    /// All that is worth a line.
    pub(super) lines: Vec<Line>,
}

/// Something that happened, in words.
pub(super) struct Line {
    pub(super) at: u64,
    pub(super) text: String,
    /// Pings that were lost, if it is about some.
    lost: Option<(String, u64)>,
    /// Whether something is not as it should be.
    pub(super) bad: bool,
}

/// What became of the pings of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pings {
    pub(super) sent: usize,
    pub(super) lost: usize,
}

impl Story {
    /// Something has happened; whether it is worth a line.
    pub(super) fn add(&mut self, event: Event) -> bool {
        self.count += 1;
        let told = self.tell(&event);
        match &event.what {
            What::Advert { lan, machine, vhid, .. } => {
                self.adverts.entry((lan.clone(), machine.clone(), *vhid)).or_default().push(event.at);
            }
            What::Ping { client, sent, .. } => {
                let pings = self.pings.entry(client.clone()).or_default();
                let at = pings.partition_point(|p| sent_at(p) <= *sent);
                pings.insert(at, event);
            }
            What::Log { .. } => {}
            _ => self.changes.push(event),
        }
        told
    }

    fn tell(&mut self, event: &Event) -> bool {
        let mut text = words::event(&event.what);
        let mut lost = None;
        match &event.what {
            // What is always heard, and what is told elsewhere.
            What::Advert { .. } | What::Ping { rtt: Some(_), .. } => return false,
            What::Run { .. } | What::Expect { .. } => return false,
            What::Ping { client, to, .. } => {
                if let Some(Line { lost: Some((who, n)), text, .. }) = self.lines.last_mut()
                    && who == client
                {
                    *n += 1;
                    *text = format!("{client} pings {to}: {n} lost");
                    return false;
                }
                text = format!("{client} pings {to}: lost");
                lost = Some((client.clone(), 1));
            }
            _ => {}
        }
        let bad = match &event.what {
            What::Crash { .. } | What::Violation { .. } | What::Ping { .. } => true,
            What::Fault { over, .. } => !over,
            What::Command { status, .. } => *status != 0,
            What::End { passed } => !passed,
            _ => false,
        };
        self.lines.push(Line { at: event.at, text, lost, bad });
        true
    }

    /// What it looks like at `now`. Whatever lasts is told until the moment
    /// after, and so nothing else ends there.
    pub(super) fn picture(&mut self, now: u64) -> Picture {
        let last = What::Log { machine: String::new(), line: String::new() };
        self.changes.push(Event { at: now.saturating_add(1), what: last });
        let picture = Picture::of(&self.changes, usize::MAX);
        self.changes.pop();
        picture
    }

    /// How often that machine has advertised, from one moment until another.
    pub(super) fn adverts(&self, lan: &str, machine: &str, vhid: u8, from: u64, until: u64) -> usize {
        let all = self.adverts.get(&(lan.to_owned(), machine.to_owned(), vhid));
        let before = |t| all.map_or(0, |all| all.partition_point(|at| *at < t));
        before(until).saturating_sub(before(from))
    }
}

/// What became of those that were sent from one moment until another.
pub(super) fn fate(pings: &[Event], from: u64, until: u64) -> Pings {
    let begin = pings.partition_point(|p| sent_at(p) < from);
    let end = pings.partition_point(|p| sent_at(p) < until);
    let these = pings.get(begin..end).unwrap_or_default();
    let lost = these.iter().filter(|p| matches!(p.what, What::Ping { rtt: None, .. })).count();
    Pings { sent: these.len(), lost }
}

fn sent_at(event: &Event) -> u64 {
    match &event.what {
        What::Ping { sent, .. } => *sent,
        _ => event.at,
    }
}
