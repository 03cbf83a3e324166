//! What happened, on one clock, and what can be counted from it.

use super::{ADVBASE, VIP};
use crate::lab::{Mac, show_mac, virtual_mac};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The virtual host.
const VHID: u8 = 1;

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Preferred, and killed.
    A,
    /// Takes over.
    B,
}

impl Who {
    /// Both.
    pub const ALL: [Who; 2] = [Who::A, Who::B];

    /// `a` or `b`.
    pub fn name(self) -> &'static str {
        match self {
            Who::A => "a",
            Who::B => "b",
        }
    }

    /// Its network card.
    pub fn card(self) -> &'static str {
        match self {
            Who::A => "em0",
            Who::B => "em1",
        }
    }

    /// Its own address.
    pub fn ip(self) -> Ipv4Addr {
        match self {
            Who::A => Ipv4Addr::new(10, 0, 0, 2),
            Who::B => Ipv4Addr::new(10, 0, 0, 3),
        }
    }

    /// Its advskew: the smaller one is preferred.
    pub fn advskew(self) -> u8 {
        match self {
            Who::A => 0,
            Who::B => 100,
        }
    }

    /// Its place in an array.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running.
    Off,
    /// Running, without a virtual address.
    Init,
    /// Listens.
    Backup,
    /// Has the address.
    Master,
}

impl State {
    /// All.
    pub const ALL: [State; 4] = [State::Off, State::Init, State::Backup, State::Master];

    /// As `ifconfig-carp` prints it.
    pub fn name(self) -> &'static str {
        match self {
            State::Off => "off",
            State::Init => "INIT",
            State::Backup => "BACKUP",
            State::Master => "MASTER",
        }
    }

    /// From a log line.
    pub fn named(name: &str) -> Option<State> {
        [State::Init, State::Backup, State::Master].into_iter().find(|s| s.name() == name)
    }
}

/// A transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Duration,
    /// Of which machine.
    pub who: Who,
    /// To what.
    pub to: State,
    /// Why, in the machine's own words; may be empty.
    pub why: String,
}

/// A machine's advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// When.
    pub at: Duration,
    /// Whose.
    pub who: Who,
}

/// An echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// When it was sent.
    pub sent: Duration,
    /// When its answer came.
    pub answered: Option<Duration>,
}

/// An echo reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: Duration,
    /// The machine it came out of.
    pub who: Who,
    /// The Ethernet address it came from.
    pub mac: Mac,
}

/// A time without answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last answer before it; the first ping, if there was none.
    pub from: Duration,
    /// The first answer after it; the story's end, if there was none.
    pub to: Duration,
    /// Pings lost.
    pub lost: usize,
}

impl Outage {
    /// How long.
    pub fn length(&self) -> Duration {
        self.to - self.from
    }
}

/// A time in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From then on.
    pub from: Duration,
    /// Until then.
    pub to: Duration,
    /// The state.
    pub state: State,
}

/// All of it, each list in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Transitions of both machines.
    pub changes: Vec<Change>,
    /// Advertisements of both machines.
    pub adverts: Vec<Advert>,
    /// The client's pings.
    pub pings: Vec<Ping>,
    /// Their answers.
    pub answers: Vec<Answer>,
    /// When the recording ended.
    pub end: Duration,
}

/// How long a BACKUP waits for an advertisement: `3 * advbase + advskew / 256`
/// seconds.
pub fn master_down_interval(advbase: u8, advskew: u8) -> Duration {
    Duration::from_micros(3_000_000 * u64::from(advbase) + 1_000_000 * u64::from(advskew) / 256)
}

impl Story {
    /// A machine's states from 0 to the end, without empty ones.
    pub fn spans(&self, who: Who) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut span = Span { from: Duration::ZERO, to: self.end, state: State::Off };
        for c in self.changes.iter().filter(|c| c.who == who) {
            spans.push(Span { to: c.at, ..span });
            span = Span { from: c.at, to: self.end, state: c.to };
        }
        spans.push(span);
        spans.retain(|s| s.from < s.to);
        spans
    }

    /// What a machine was at a time.
    pub fn state(&self, who: Who, at: Duration) -> State {
        let before = self.changes.iter().rev().find(|c| c.who == who && c.at <= at);
        before.map_or(State::Off, |c| c.to)
    }

    /// Pings without an answer.
    pub fn lost(&self) -> usize {
        self.pings.iter().filter(|p| p.answered.is_none()).count()
    }

    /// Times without answers, oldest first.
    pub fn outages(&self) -> Vec<Outage> {
        let mut outages = Vec::new();
        let mut last = self.pings.first().map_or(Duration::ZERO, |p| p.sent);
        let mut lost = 0;
        for p in &self.pings {
            match p.answered {
                None => lost += 1,
                Some(at) => {
                    if lost > 0 {
                        outages.push(Outage { from: last, to: at, lost });
                    }
                    (last, lost) = (at, 0);
                }
            }
        }
        if lost > 0 {
            outages.push(Outage { from: last, to: self.end, lost });
        }
        outages
    }

    /// The longest of [`Story::outages`].
    pub fn gap(&self) -> Option<Outage> {
        self.outages().into_iter().max_by_key(Outage::length)
    }

    /// When a was killed.
    pub fn killed(&self) -> Option<Duration> {
        self.changes.iter().find(|c| c.who == Who::A && c.to == State::Off).map(|c| c.at)
    }

    /// When a was started again.
    pub fn returned(&self) -> Option<Duration> {
        let killed = self.killed()?;
        self.changes.iter().find(|c| c.who == Who::A && c.to == State::Init && c.at > killed).map(|c| c.at)
    }

    /// From the last advertisement of a, which died, to the first one of b,
    /// which was BACKUP: what [`master_down_interval`] foretells.
    pub fn takeover(&self) -> Option<Duration> {
        let killed = self.killed().filter(|at| self.state(Who::B, *at) == State::Backup)?;
        let last = self.adverts.iter().rev().find(|a| a.who == Who::A && a.at <= killed)?;
        let first = self.adverts.iter().find(|a| a.who == Who::B && a.at > last.at)?;
        Some(first.at - last.at)
    }

    /// Answers of a machine.
    pub fn answers_of(&self, who: Who) -> usize {
        self.answers.iter().filter(|a| a.who == who).count()
    }

    /// Whether all that the demo is to show has happened.
    ///
    /// # Errors
    /// The first thing that has not.
    pub fn verdict(&self) -> Result<(), String> {
        let killed = self.killed().ok_or("a was never killed")?;
        let returned = self.returned().ok_or("a did not come back")?;
        self.all_from_the_virtual_mac()?;
        self.held(Who::A, Duration::ZERO, killed, "before it was killed")?;
        self.held(Who::B, killed, returned, "after a was killed")?;
        self.held(Who::A, returned, self.end, "after it came back")?;
        let roles = Who::ALL.map(|w| self.state(w, self.end));
        if roles != [State::Master, State::Backup] {
            return Err(format!("at the end a is {} and b is {}", roles[0].name(), roles[1].name()));
        }
        let patience = master_down_interval(ADVBASE, 0);
        if let Some(early) = self.takeover().filter(|t| *t < patience) {
            return Err(format!("b took over {early:?} after a's last advertisement, before {patience:?}"));
        }
        Ok(())
    }

    /// Whether a machine became MASTER in that time, and answered pings.
    fn held(&self, who: Who, from: Duration, to: Duration, when: &str) -> Result<(), String> {
        let name = who.name();
        let elected = |c: &&Change| c.who == who && c.to == State::Master && (from..=to).contains(&c.at);
        let master = self.changes.iter().find(elected);
        let since = master.ok_or_else(|| format!("{name} did not become MASTER {when}"))?.at;
        let mut answers = self.answers.iter().filter(|a| a.who == who && (since..=to).contains(&a.at));
        answers.next().map(drop).ok_or_else(|| format!("{name} did not answer for {VIP} {when}"))
    }

    fn all_from_the_virtual_mac(&self) -> Result<(), String> {
        match self.answers.iter().find(|a| a.mac != virtual_mac(VHID)) {
            Some(a) => Err(format!("{} answered from {}", a.who.name(), show_mac(a.mac))),
            None => Ok(()),
        }
    }
}
