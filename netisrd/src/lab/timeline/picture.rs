//! What a run looks like, before anybody draws it.
//!
//! ```text
//!   events --> Picture: machines with marks,       --> timeline.svg
//!              lanes with spans and advertisements --> report.html, as JSON
//!              faults, pings, verdicts
//! ```

use super::words;
use crate::lab::record::{Event, State, What};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that is drawn. Times are nanoseconds since the run began.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Picture {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// Not for a script, whose numbers have 53 bits.
    #[serde(skip)]
    pub(crate) seed: u64,
    /// `virtual` or `real`.
    pub(crate) clock: String,
    /// When the last thing happened; not 0.
    pub(crate) end: u64,
    /// The verdict, if the run came to one.
    pub(crate) passed: Option<bool>,
    /// In the run's order.
    pub(crate) machines: Vec<Machine>,
    /// In the order of LANs, then vhids, then machines.
    pub(crate) lanes: Vec<Lane>,
    /// In order of their beginnings.
    pub(crate) faults: Vec<Fault>,
    /// By client and address.
    pub(crate) pings: Vec<Pings>,
    /// Expectations and violations, in order.
    pub(crate) verdicts: Vec<Verdict>,
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Power {
    Off,
    On,
    Paused,
}

/// From one moment to another, one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Span<T> {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) is: T,
}

/// A machine, and what was done to it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) power: Vec<Span<Power>>,
    pub(crate) marks: Vec<Mark>,
}

/// The kinds of marks; of those that fall together the greatest is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Command,
    /// A command whose exit status is not 0.
    Error,
    Resume,
    Pause,
    Boot,
    Halt,
    Crash,
}

impl Kind {
    /// All, and what a legend calls them.
    pub(crate) const ALL: [(Kind, &str); 7] = [
        (Kind::Boot, "boot"),
        (Kind::Crash, "crash"),
        (Kind::Halt, "halt"),
        (Kind::Pause, "pause"),
        (Kind::Resume, "resume"),
        (Kind::Command, "command"),
        (Kind::Error, "failed command"),
    ];
}

/// Something that was done to a machine.
#[derive(Debug, Serialize)]
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// A carp interface, or whoever else advertises.
#[derive(Debug, Serialize)]
pub(crate) struct Lane {
    pub(crate) lan: Option<String>,
    pub(crate) machine: String,
    /// Empty for one that only advertises.
    pub(crate) ifname: String,
    pub(crate) vhid: u8,
    pub(crate) spans: Vec<Span<State>>,
    pub(crate) adverts: Vec<Adverts>,
}

impl Lane {
    /// `a carp0 vhid 1`
    pub(crate) fn name(&self) -> String {
        let Lane { machine, ifname, vhid, .. } = self;
        if ifname.is_empty() {
            return format!("{machine} vhid {vhid} (sends)");
        }
        format!("{machine} {ifname} vhid {vhid}")
    }
}

/// One advertisement, or some that are too near to each other to be told
/// apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "(u64, u64, u32, u8, u8)")]
pub(crate) struct Adverts {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) count: u32,
    pub(crate) advbase: u8,
    pub(crate) advskew: u8,
}

impl From<Adverts> for (u64, u64, u32, u8, u8) {
    fn from(a: Adverts) -> Self {
        (a.from, a.to, a.count, a.advbase, a.advskew)
    }
}

/// Something that went wrong by intent.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) text: String,
    pub(crate) lan: Option<String>,
    pub(crate) machine: Option<String>,
}

/// One client's pings of one address.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Pings {
    pub(crate) client: String,
    pub(crate) to: String,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// From the first of the most that were lost in a row to the next that was
    /// answered, or to the end.
    pub(crate) gap: Option<(u64, u64)>,
    /// The least, the mean and the greatest time to an answer.
    pub(crate) rtt: Option<(u64, u64, u64)>,
    pub(crate) runs: Vec<Run>,
}

/// One ping, or some that are too near to each other to be told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "(u64, u64, u32, u32, u64, u64, Option<String>)")]
pub(crate) struct Run {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) count: u32,
    pub(crate) lost: u32,
    /// The least and the greatest time to an answer; 0 if none came.
    pub(crate) low: u64,
    pub(crate) high: u64,
    /// Who answered last.
    pub(crate) machine: Option<String>,
}

impl From<Run> for (u64, u64, u32, u32, u64, u64, Option<String>) {
    fn from(r: Run) -> Self {
        (r.from, r.to, r.count, r.lost, r.low, r.high, r.machine)
    }
}

/// An expectation or a violated invariant.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) at: u64,
    pub(crate) text: String,
    pub(crate) seen: String,
    pub(crate) holds: bool,
    /// Whether it is an invariant's violation.
    pub(crate) violated: bool,
}

impl Picture {
    /// What `events` look like. Of advertisements and of pings `most` are told
    /// one by one; if there are more, neighbours are told together.
    pub(crate) fn of(events: &[Event], most: usize) -> Picture {
        let end = events.iter().map(|e| e.at).max().unwrap_or(0).max(1);
        let mut p = Picture { end, ..Picture::default() };
        let mut lans = Vec::new();
        let mut names = Vec::new();
        for event in events {
            match &event.what {
                What::Run { scenario, seed, time, lans: l, machines, .. } => {
                    (p.scenario, p.seed, p.clock) = (scenario.clone(), *seed, time.clone());
                    (lans, names) = (l.clone(), machines.clone());
                }
                What::End { passed } => p.passed = Some(*passed),
                What::Fault { .. } => p.fault(event),
                What::Expect { text, holds, seen } => {
                    let (text, seen) = (text.clone(), seen.clone());
                    p.verdicts.push(Verdict { at: event.at, text, seen, holds: *holds, violated: false });
                }
                What::Violation { text } => {
                    let text = format!("violated: {text}");
                    p.verdicts.push(Verdict {
                        at: event.at,
                        text,
                        seen: String::new(),
                        holds: false,
                        violated: true,
                    });
                }
                _ => {}
            }
        }
        p.machines = super::machines::of(events, &names, end);
        p.lanes = super::lanes::of(events, end, most);
        let place = |all: &[String], name: &str| all.iter().position(|n| n == name).unwrap_or(all.len());
        p.lanes.sort_by_cached_key(|l| {
            let lan = l.lan.as_ref().map_or(usize::MAX, |name| place(&lans, name));
            let machine = (place(&names, &l.machine), l.machine.clone());
            (lan, l.lan.clone(), l.vhid, machine, l.ifname.clone())
        });
        p.pings = pings(events, end, most);
        p
    }

    /// The end of a fault is its beginning's text again or, if it says
    /// something else, ends the last of the same LAN and machine.
    fn fault(&mut self, event: &Event) {
        let What::Fault { text, lan, machine, over } = &event.what else { return };
        if !over {
            let (lan, machine) = (lan.clone(), machine.clone());
            self.faults.push(Fault { from: event.at, to: self.end, text: text.clone(), lan, machine });
            return;
        }
        // One that ended at the very end is found again, which is harmless.
        let end = self.end;
        let open = |f: &&mut Fault| f.to == end && f.lan == *lan && f.machine == *machine;
        let same = |f: &&mut Fault| open(f) && f.text == *text;
        let found = self.faults.iter_mut().rev().find(same);
        if let Some(fault) = found {
            fault.to = event.at;
        } else if let Some(fault) = self.faults.iter_mut().rev().find(open) {
            fault.to = event.at;
        }
    }
}

/// How near two things must be to be told together, if `count` in all are to
/// become about `most` in `rows` rows. 0 is never.
pub(super) fn resolution(count: usize, most: usize, rows: usize, end: u64) -> u64 {
    if count <= most {
        return 0;
    }
    let per_row = (most / rows.max(1)).max(1) as u64;
    (end / per_row).max(1)
}

/// When it was sent, how long the answer took, and whose that was.
type Ping<'a> = (u64, Option<u64>, Option<&'a String>);

fn pings(events: &[Event], end: u64, most: usize) -> Vec<Pings> {
    let mut all: BTreeMap<_, Vec<Ping<'_>>> = BTreeMap::new();
    let mut count = 0;
    for event in events {
        if let What::Ping { client, to, sent, rtt, machine, .. } = &event.what {
            all.entry((client, to)).or_default().push((*sent, *rtt, machine.as_ref()));
            count += 1;
        }
    }
    let near = resolution(count, most, all.len(), end);
    let tell = |((client, to), mut pings): ((&String, &std::net::IpAddr), Vec<_>)| {
        pings.sort();
        let mut told = Pings { client: client.clone(), to: to.to_string(), ..Pings::default() };
        told.count(&pings, end);
        for (sent, rtt, machine) in pings {
            told.add(near, sent, rtt, machine);
        }
        told
    };
    all.into_iter().map(tell).collect()
}

impl Pings {
    fn count(&mut self, pings: &[Ping<'_>], end: u64) {
        let rtts: Vec<u64> = pings.iter().filter_map(|p| p.1).collect();
        self.sent = pings.len() as u64;
        self.lost = (pings.len() - rtts.len()) as u64;
        let mean = rtts.iter().sum::<u64>().checked_div(rtts.len() as u64);
        let ends = rtts.iter().min().zip(rtts.iter().max());
        self.rtt = ends.zip(mean).map(|((low, high), mean)| (*low, mean, *high));
        let gaps = pings.chunk_by(|a, b| a.1.is_none() == b.1.is_none()).filter(|c| c[0].1.is_none());
        let until = |from: u64| {
            let next = pings.iter().find(|p| p.0 > from && p.1.is_some());
            next.map_or(end.max(from), |p| p.0)
        };
        self.gap = gaps.rev().max_by_key(|c| c.len()).map(|c| (c[0].0, until(c[0].0)));
    }

    fn add(&mut self, near: u64, sent: u64, rtt: Option<u64>, machine: Option<&String>) {
        if let Some(last) = self.runs.last_mut()
            && near > 0
            && last.from / near == sent / near
        {
            (last.to, last.count) = (sent, last.count + 1);
            last.lost += u32::from(rtt.is_none());
            if let Some(rtt) = rtt {
                last.low = if last.high == 0 { rtt } else { last.low.min(rtt) };
                last.high = last.high.max(rtt);
                last.machine = machine.cloned().or(last.machine.take());
            }
            return;
        }
        let (lost, rtt, machine) = (u32::from(rtt.is_none()), rtt.unwrap_or(0), machine.cloned());
        self.runs.push(Run { from: sent, to: sent, count: 1, lost, low: rtt, high: rtt, machine });
    }
}

/// What a mark is of, and on which machine; nothing for other events.
pub(super) fn mark(event: &Event) -> Option<(&String, Mark)> {
    let (machine, kind) = match &event.what {
        What::Boot { machine } => (machine, Kind::Boot),
        What::Crash { machine } => (machine, Kind::Crash),
        What::Halt { machine } => (machine, Kind::Halt),
        What::Pause { machine } => (machine, Kind::Pause),
        What::Resume { machine } => (machine, Kind::Resume),
        What::Command { machine, status: 0, .. } => (machine, Kind::Command),
        What::Command { machine, .. } => (machine, Kind::Error),
        _ => return None,
    };
    Some((machine, Mark { at: event.at, kind, text: words::event(&event.what) }))
}
