//! One carp interface: its state, its timers, and what it owes.

mod wire;

use super::{Advert, Config, DEMOTED, Input, Owed, Parent, Shared};
use crate::lab::record::{Family, State};
use compat::sys::time::Time;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// `CARP_SENDAD_MAX_ERRORS` and `CARP_SENDAD_MIN_SUCCESS`.
const IN_A_ROW: u32 = 3;
/// Own advertisements that an echo is known by.
const REMEMBERED: usize = 8;

/// One carp interface: one vhid on one LAN.
#[derive(Clone, Debug)]
pub struct Vhost {
    state: State,
    config: Config,
    /// The interface that it is on, or was last.
    pub(super) parent: usize,
    /// `IFF_UP`
    up: bool,
    /// Its addresses, active or not.
    addrs: Vec<IpNet>,
    /// The families in which any is active.
    active: Vec<Family>,
    /// The active ones.
    backed: Vec<IpAddr>,
    /// When a family's silence has lasted too long.
    down: [Option<Time>; 2],
    /// When the next advertisement is due.
    ad: Option<Time>,
    /// The skew that was advertised last.
    advertised: u8,
    /// What it still has to send now.
    owed: Vec<Owed>,
    /// Whether what is being sent has failed in one family.
    failed: bool,
    /// So many of these do not count as sent or failed.
    uncounted: usize,
    errors: u32,
    successes: u32,
    /// Too many advertisements failed.
    sending: bool,
    /// It had a parent that went down.
    pub(super) lost: bool,
    /// And would run if that were up, or had a link.
    parent_down: bool,
    reasons_before: (bool, bool),
    /// Another one was heard over IPv4 since it became MASTER.
    heard4: bool,
    /// What it sent last.
    sent: Vec<Advert>,
    /// The election is about to start over.
    restarts: bool,
    /// What it sent without a reason.
    surprise: Option<Advert>,
}

impl Default for Vhost {
    fn default() -> Vhost {
        Vhost {
            state: State::Absent,
            config: Config { advbase: 1, ..Config::default() },
            parent: 0,
            up: false,
            addrs: Vec::new(),
            active: Vec::new(),
            backed: Vec::new(),
            down: [None; 2],
            ad: None,
            advertised: 0,
            owed: Vec::new(),
            failed: false,
            uncounted: 0,
            errors: 0,
            successes: 0,
            sending: false,
            lost: false,
            parent_down: false,
            reasons_before: (false, false),
            heard4: false,
            sent: Vec::new(),
            restarts: false,
            surprise: None,
        }
    }
}

impl Vhost {
    /// The state that it must be in.
    pub fn state(&self) -> State {
        self.state
    }

    /// What it was configured to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it must still send at this instant.
    pub fn due_to_advertise(&self) -> &[Owed] {
        &self.owed
    }

    /// The first advertisement that it should not have sent.
    pub fn surprise(&self) -> Option<&Advert> {
        self.surprise.as_ref()
    }

    /// When a timer is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        match self.state {
            State::Master => self.ad,
            State::Backup => self.silent_at(),
            _ => None,
        }
    }

    /// The parent that it is on, or was last, by number.
    pub fn parent(&self) -> usize {
        self.parent
    }

    /// How many reasons not to preempt its machine has by it.
    pub fn reasons(&self) -> u32 {
        u32::from(self.sending) + u32::from(self.parent_down)
    }

    /// What comes of how its advertisements fared.
    pub(super) fn review_sending(&mut self) {
        if self.successes >= IN_A_ROW {
            self.forget();
        } else {
            self.sending |= self.errors >= IN_A_ROW;
        }
    }

    /// Whether they are others than when that was asked last.
    pub(super) fn reasons_changed(&mut self) -> bool {
        let reasons = (self.sending, self.parent_down);
        std::mem::replace(&mut self.reasons_before, reasons) != reasons
    }

    /// Whether it would run if its parent did.
    pub(super) fn review(&mut self, s: &Shared) {
        let wants_to_run = self.up && self.config.vhid != 0 && !self.addrs.is_empty();
        let down = if self.is_attached() { !self.has_link(s) } else { self.lost || self.misses_parent(s) };
        self.parent_down = wants_to_run && down;
    }

    /// Whether a parent that is down has an address for it.
    fn misses_parent(&self, s: &Shared) -> bool {
        let for_us = |q: &IpNet| self.addrs.iter().any(|a| q.trunc() == a.trunc());
        s.parents.iter().any(|p| !p.up && p.addrs.iter().any(for_us))
    }

    /// Whether it has a parent, which is up.
    pub(super) fn is_attached(&self) -> bool {
        !self.backed.is_empty()
    }

    pub(super) fn input(&mut self, s: &Shared, now: Time, input: Input) {
        match input {
            Input::Create => *self = Vhost { state: State::Init, ..Vhost::default() },
            Input::Destroy => {
                self.bow_out(self.parent, &self.active.clone());
                let owed = std::mem::take(&mut self.owed);
                let (parent, reasons_before) = (self.parent, self.reasons_before);
                *self = Vhost { owed, parent, reasons_before, ..Vhost::default() };
            }
            Input::Setvh(config, state) => self.setvh(s, now, config, state),
            Input::Up(up) => {
                if up != self.up {
                    self.bow_out(self.parent, &self.active.clone());
                    self.up = up;
                    self.restart();
                }
            }
            Input::Addr(net) => {
                if !self.addrs.contains(&net) || !self.up {
                    self.bow_out(self.parent, &self.active.clone());
                    self.up = true;
                    self.addrs.retain(|a| a.addr() != net.addr());
                    self.addrs.push(net);
                    self.back(s);
                    self.forget();
                    self.restart();
                }
            }
            Input::Unaddr(addr) => {
                self.addrs.retain(|a| a.addr() != addr);
                self.back_or_leave(s, now);
            }
            Input::Heard(ad) => self.heard(s, now, &ad),
            Input::Sent(parent, ad, ok) => self.sent(parent, ad, ok),
        }
    }

    /// `SIOCSVH`: another vhid starts the election over, all else is no
    /// transition unless one is asked for.
    fn setvh(&mut self, s: &Shared, now: Time, config: Config, state: Option<State>) {
        let other = config.vhid != self.config.vhid;
        if other {
            self.bow_out(self.parent, &self.active.clone());
        }
        self.config = config;
        if other {
            self.forget();
            return self.restart();
        }
        match (self.state, state) {
            (State::Master, Some(State::Backup)) => {
                self.bow_out(self.parent, &self.active.clone());
                self.become_backup(now);
            }
            (State::Backup, Some(State::Master)) => self.become_master(s, now),
            // The earlier deadline stays.
            _ => {
                let (ad, down) = (now + self.interval(self.skew(s)), now + self.master_down());
                self.ad = self.ad.map(|t| t.min(ad));
                self.down = self.down.map(|t| t.map(|t| t.min(down)));
            }
        }
    }

    /// The parent or its addresses have changed.
    pub(super) fn follow(&mut self, s: &Shared, now: Time) {
        if self.state == State::Absent {
            return;
        }
        let (before, active, parent) = (self.backed.clone(), self.active.clone(), self.parent);
        self.back(s);
        let gained = parent != self.parent || self.backed.iter().any(|a| !before.contains(a));
        if !gained && self.can_run(s) == (self.state != State::Init) {
            return self.lost_family(&active, now);
        }
        if s.parents.get(parent).is_some_and(|p| p.link) {
            self.bow_out(parent, &active);
        }
        self.restart();
    }

    fn back_or_leave(&mut self, s: &Shared, now: Time) {
        let (active, parent) = (self.active.clone(), self.parent);
        self.back(s);
        if self.active.is_empty() || self.parent != parent {
            self.bow_out(parent, &active);
            self.restart();
        } else {
            self.lost_family(&active, now);
        }
    }

    /// The last address of a family takes its timer along, and what failed. A
    /// BACKUP listens in the other one from now on.
    fn lost_family(&mut self, before: &[Family], now: Time) {
        for family in [Family::Ip, Family::Ip6] {
            if !before.contains(&family) || self.active.contains(&family) {
                continue;
            }
            self.forget();
            self.down[family as usize] = None;
            let other = 1 - family as usize;
            if self.state == State::Backup && self.down[other].is_none_or(|t| t <= now) {
                self.down[other] = Some(now + self.master_down());
            }
        }
    }

    /// Which addresses have a backing one on the parent. Whoever has none finds
    /// one that has, of its lowest address that lives anywhere.
    fn back(&mut self, s: &Shared) {
        let backs = |p: &Parent, a: &IpNet| p.up && p.addrs.iter().any(|q| q.trunc() == a.trunc());
        let on = |n: usize, addrs: &[IpNet]| -> Vec<IpAddr> {
            let parent = s.parents.get(n);
            addrs.iter().filter(|a| parent.is_some_and(|p| backs(p, a))).map(IpNet::addr).collect()
        };
        let before = std::mem::replace(&mut self.backed, on(self.parent, &self.addrs));
        let was = self.parent;
        if !self.is_attached() {
            if !before.is_empty() {
                self.forget();
            }
            let mut addrs = self.addrs.clone();
            addrs.sort_by_key(IpNet::addr);
            let found = addrs.iter().find_map(|a| s.parents.iter().position(|p| backs(p, a)));
            self.parent = found.unwrap_or(self.parent);
            self.backed = on(self.parent, &self.addrs);
        }
        // Its own address too: the owner's skew is 0.
        let owner = |a: &IpAddr| s.parents[self.parent].addrs.iter().any(|q| q.addr() == *a);
        let new = |a: &IpAddr| was != self.parent || !before.contains(a);
        if self.backed.iter().any(|a| new(a) && owner(a)) {
            self.config.advskew = 0;
        }
        self.lost &= !self.is_attached();
        self.active = [Family::Ip, Family::Ip6]
            .into_iter()
            .filter(|f| self.backed.iter().any(|a| a.is_ipv4() == (*f == Family::Ip)))
            .collect();
    }

    fn can_run(&self, s: &Shared) -> bool {
        let up = s.parents.get(self.parent).is_some_and(|p| p.up && p.link);
        self.up && self.config.vhid != 0 && up && !self.active.is_empty()
    }

    fn has_link(&self, s: &Shared) -> bool {
        s.parents.get(self.parent).is_some_and(|p| p.link)
    }

    /// The election will start over.
    fn restart(&mut self) {
        (self.state, self.ad, self.down) = (State::Init, None, [None; 2]);
        self.restarts = true;
    }

    /// And does, when its own reasons not to preempt have ended.
    pub(super) fn elect(&mut self, s: &Shared, now: Time) {
        if !std::mem::take(&mut self.restarts) {
            return;
        }
        if !self.can_run(s) {
            self.forget();
        } else if s.preempt && !s.suppressed() {
            (self.state, self.heard4) = (State::Master, false);
            self.advertise(s, now);
        } else {
            self.become_backup(now);
        }
    }

    /// What failed is forgotten, what is being sent included.
    fn forget(&mut self) {
        self.uncounted = self.owed.len();
        (self.errors, self.successes, self.sending) = (0, 0, false);
    }

    fn become_backup(&mut self, now: Time) {
        (self.state, self.ad, self.down) = (State::Backup, None, [None; 2]);
        for family in &self.active {
            self.down[*family as usize] = Some(now + self.master_down());
        }
    }

    fn become_master(&mut self, s: &Shared, now: Time) {
        (self.state, self.down, self.heard4) = (State::Master, [None; 2], false);
        self.advertise(s, now);
    }

    fn advertise(&mut self, s: &Shared, now: Time) {
        self.advertised = self.skew(s);
        self.failed = false;
        let (parent, advbase, advskew) = (self.parent, self.config.advbase, self.advertised);
        self.owed.extend(self.active.iter().map(|f| Owed { parent, family: *f, advbase, advskew }));
        self.ad = Some(now + self.interval(self.advertised));
    }

    /// A MASTER that leaves says so there, in those families.
    fn bow_out(&mut self, parent: usize, active: &[Family]) {
        if self.state == State::Master {
            let owed = |f: &Family| Owed { parent, family: *f, advbase: 255, advskew: 255 };
            self.owed.extend(active.iter().map(owed));
        }
    }

    /// Its timer, if it is due.
    pub(super) fn tick(&mut self, s: &Shared, now: Time) {
        match self.state {
            _ if self.owes() => {}
            State::Master if self.ad.is_some_and(|t| t <= now) => self.advertise(s, now),
            State::Backup if self.silent_at().is_some_and(|t| t <= now) => self.become_master(s, now),
            _ => {}
        }
    }

    /// Whether it must still send something.
    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// A MASTER whose skew is another than it advertised says so.
    pub(super) fn say_change(&mut self, s: &Shared, now: Time) {
        if self.state == State::Master && !self.owes() && self.advertised != self.skew(s) {
            self.advertise(s, now);
        }
    }

    /// A family that falls silent alone promotes nobody, even if the other one
    /// is heard without an active address.
    fn silent_at(&self) -> Option<Time> {
        self.down.iter().flatten().max().copied()
    }

    /// The skew that it advertises and compares by.
    fn skew(&self, s: &Shared) -> u8 {
        let raw = i64::from(self.config.advskew);
        let group = if s.group > 0 { DEMOTED } else { 0 };
        let skew = (raw + s.demotion + group).clamp(0, DEMOTED.max(raw));
        u8::try_from(skew).unwrap_or(u8::MAX)
    }

    /// Never less than 1/256 second.
    fn interval(&self, skew: u8) -> Duration {
        (seconds(self.config.advbase.into()) + skewed(skew)).max(skewed(1))
    }

    fn master_down(&self) -> Duration {
        (seconds(3 * u64::from(self.config.advbase)) + skewed(self.config.advskew)).max(skewed(1))
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn skewed(skew: u8) -> Duration {
    Duration::from_micros(u64::from(skew) * 1_000_000 / 256)
}
