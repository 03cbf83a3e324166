//! A small model of CARP beside the real one: what state a carp interface must
//! be in, told by what can be seen of its machine from outside.
//!
//! ```text
//!   commands, faults ---+
//!   frames heard -------+--> Host --> Vhost --> state, and the advertisements
//!   attempts to send ---+                       that it still owes
//! ```
//!
//! It knows the protocol and `docs/deviations.md`, has no line in common with
//! libcarp, and no input or output. One [`Host`] is one machine, whose timers are
//! exact (`hz` 0) and whose `now` is its own clock's.
//!
//! Whoever drives it tells it of every step at once: a command that has
//! succeeded, then what was sent. Timers go before whatever arrives at the same
//! instant, so [`Host::tick`] comes before each [`Input::Heard`], and again when
//! nobody has anything to do any more: then the states are to be compared, and
//! nothing may be owed. While a machine is paused it is told nothing.
//!
//! Not here: ticks, peers, `carpdev`, vhids of an interface, balancing, the
//! factors of demotion, groups other than `carp`, a mask that changes, a prefix that
//! two of the parents' addresses share.

use super::record::State;
use compat::sys::time::Time;
use ipnet::IpNet;
use std::net::IpAddr;

mod advert;
mod vhost;

pub use advert::{Advert, Owed};
pub use vhost::Vhost;

/// What one reason adds to the skews, and the skew that demotion ends at.
const DEMOTED: i64 = 240;

/// `struct carpreq` without the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// 0: none yet.
    pub vhid: u8,
    /// Seconds.
    pub advbase: u8,
    /// 256ths of a second.
    pub advskew: u8,
    /// The password, with NULs behind it.
    pub key: [u8; 20],
}

/// What happens to one carp interface. A command is given when it has
/// succeeded: one that fails changes nothing.
#[derive(Clone, Debug)]
pub enum Input {
    /// `ifconfig carpN create`
    Create,
    /// `ifconfig carpN destroy`
    Destroy,
    /// `SIOCSVH`, and the state that it asks for.
    Setvh(Config, Option<State>),
    /// `ifconfig carpN up` or `down`
    Up(bool),
    /// `SIOCAIFADDR`
    Addr(IpNet),
    /// `SIOCDIFADDR`
    Unaddr(IpAddr),
    /// It was given an advertisement: any that came to its machine for its vhid.
    Heard(Advert),
    /// It has tried to send an advertisement by that parent; whether the wire took
    /// it.
    Sent(usize, Advert, bool),
}

/// What happens to a machine.
#[derive(Clone, Debug)]
pub enum HostInput {
    /// `net.inet.carp.preempt`
    Preempt(bool),
    /// A write to `net.inet.carp.demotion`, which adds.
    Demote(i32),
    /// The group `carp` was demoted so many times more, or fewer.
    GroupDemote(i32),
    /// `ifconfig emN up` or `down`, of a parent by number.
    ParentUp(usize, bool),
    /// The link of a parent came or went, and the machine was told.
    Link(usize, bool),
    /// A parent has another address. An address brings its interface up:
    /// `ParentUp` follows.
    ParentAddr(usize, IpNet),
    /// A parent has an address less.
    ParentUnaddr(usize, IpAddr),
    /// The machine halts in order.
    Halt,
}

/// What the carp interfaces of a machine have in common.
#[derive(Clone, Debug)]
struct Shared {
    preempt: bool,
    /// All reasons together, in skew.
    demotion: i64,
    /// How many they are.
    reasons: u32,
    group: i32,
    parents: Vec<Parent>,
}

/// An interface with a cable.
#[derive(Clone, Debug)]
struct Parent {
    up: bool,
    link: bool,
    addrs: Vec<IpNet>,
}

impl Shared {
    fn change(&mut self, parent: usize, change: impl FnOnce(&mut Parent)) {
        if let Some(parent) = self.parents.get_mut(parent) {
            change(parent);
        }
    }

    /// Whether nobody here may preempt: one reason is enough, whatever else is
    /// subtracted.
    fn suppressed(&self) -> bool {
        self.reasons > 0 || self.demotion > 0 || self.group > 0
    }
}

/// One machine.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Shared,
    /// Written to the sysctl.
    sysctl: i64,
    vhosts: Vec<Vhost>,
    /// Something has changed a skew, and MASTERs have not said so.
    unsaid: bool,
}

impl Host {
    /// A machine that has just booted, with so many parents.
    pub fn new(parents: usize) -> Host {
        let parent = Parent { up: true, link: true, addrs: Vec::new() };
        let parents = vec![parent; parents];
        let shared = Shared { preempt: false, demotion: 0, reasons: 0, group: 0, parents };
        Host { shared, sysctl: 0, vhosts: Vec::new(), unsaid: false }
    }

    /// One carp interface, by number.
    pub fn vhost(&self, n: usize) -> Option<&Vhost> {
        self.vhosts.get(n)
    }

    /// All of them.
    pub fn vhosts(&self) -> &[Vhost] {
        &self.vhosts
    }

    /// When a timer is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        self.vhosts.iter().filter_map(Vhost::next_deadline).min()
    }

    /// All timers that were due have had their turn.
    pub fn tick(&mut self, now: Time) {
        for vhost in &mut self.vhosts {
            vhost.tick(&self.shared, now);
        }
    }

    /// Something happened to one carp interface; they are numbered as they are
    /// created for the first time.
    pub fn input(&mut self, now: Time, n: usize, input: Input) {
        if matches!(input, Input::Create) && n == self.vhosts.len() {
            self.vhosts.push(Vhost::default());
        }
        let Some(vhost) = self.vhosts.get_mut(n) else { return };
        if matches!(input, Input::Sent(..)) {
            // Of several timers that are due at once this one came first.
            vhost.tick(&self.shared, now);
            // A skew that it was configured to it may say when it likes.
            vhost.say_change(&self.shared, now);
        }
        vhost.input(&self.shared, now, input);
        if self.vhosts.iter().all(|v| v.state() == State::Absent) {
            // A group that nobody is in is no more.
            self.shared.group = 0;
        }
        self.settle();
        self.vhosts[n].elect(&self.shared, now);
        self.settle();
        self.end(now);
    }

    /// Something happened to the machine.
    pub fn host_input(&mut self, now: Time, input: HostInput) {
        let s = &mut self.shared;
        match input {
            HostInput::Preempt(on) => {
                s.preempt = on;
                return;
            }
            HostInput::Demote(by) => {
                self.sysctl += i64::from(by);
                self.unsaid |= by != 0;
            }
            HostInput::GroupDemote(by) => {
                s.group += by;
                self.unsaid = true;
            }
            HostInput::ParentUp(p, up) => {
                let of = self.vhosts.iter_mut().filter(|v| v.parent == p);
                of.for_each(|v| v.lost = !up && (v.lost || v.is_attached()));
                s.change(p, |parent| parent.up = up);
            }
            HostInput::Link(p, up) => s.change(p, |parent| parent.link = up),
            HostInput::ParentAddr(p, net) => s.change(p, |parent| {
                if !parent.addrs.contains(&net) {
                    parent.addrs.push(net);
                }
            }),
            HostInput::ParentUnaddr(p, addr) => {
                s.change(p, |parent| parent.addrs.retain(|a| a.addr() != addr))
            }
            HostInput::Halt => {
                (0..self.vhosts.len()).for_each(|n| self.input(now, n, Input::Destroy));
                return;
            }
        }
        // What is no reason any more ends before the elections.
        self.settle();
        self.vhosts.iter_mut().for_each(|v| v.follow(&self.shared, now));
        self.settle();
        self.vhosts.iter_mut().for_each(|v| v.elect(&self.shared, now));
        self.settle();
        self.end(now);
    }

    /// Reasons have come or gone.
    fn settle(&mut self) {
        self.vhosts.iter_mut().for_each(|v| v.review(&self.shared));
        // Each forgets that it has, so all are asked.
        self.unsaid |= self.vhosts.iter_mut().filter_map(|v| v.reasons_changed().then_some(())).count() > 0;
        let reasons = self.vhosts.iter().map(Vhost::reasons).sum();
        self.shared.reasons = reasons;
        self.shared.demotion = self.sysctl + DEMOTED * i64::from(reasons);
    }

    /// When all is sent that an event made the machine send, it counts how that
    /// fared, and MASTERs say what has changed of their skews: that is sent next.
    fn end(&mut self, now: Time) {
        if self.vhosts.iter().any(Vhost::owes) {
            return;
        }
        self.vhosts.iter_mut().for_each(Vhost::review_sending);
        self.settle();
        if std::mem::take(&mut self.unsaid) {
            self.vhosts.iter_mut().for_each(|v| v.say_change(&self.shared, now));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lab::record::Family;

    #[test]
    fn a_model_takes_over_to_the_microsecond() {
        let mut host = Host::new(1);
        host.host_input(Time(0), HostInput::ParentAddr(0, "10.0.0.2/24".parse().unwrap()));
        host.input(Time(0), 0, Input::Create);
        let config = Config { vhid: 1, advbase: 1, advskew: 100, key: [0; 20] };
        host.input(Time(0), 0, Input::Setvh(config, None));
        host.input(Time(0), 0, Input::Addr("10.0.0.1/24".parse().unwrap()));
        assert_eq!(host.next_deadline(), Some(Time(3_390_625_000)));
        let owed = Owed { parent: 0, family: Family::Ip, advbase: 1, advskew: 100 };
        for (at, state, owed) in
            [(3_390_624_999, State::Backup, &[][..]), (3_390_625_000, State::Master, &[owed])]
        {
            host.tick(Time(at));
            let vhost = host.vhost(0).unwrap();
            assert_eq!((vhost.state(), vhost.due_to_advertise()), (state, owed));
        }
        assert_eq!(host.next_deadline(), Some(Time(4_781_250_000)));
    }

    #[test]
    fn who_advertises_all_the_time_is_no_better_than_who_does_so_too() {
        let (vip, from) = ("10.0.0.1", |n: u8| IpAddr::from([10, 0, 0, n]));
        for (peer, state) in [(1, State::Backup), (3, State::Master)] {
            let mut host = Host::new(1);
            host.host_input(Time(0), HostInput::ParentAddr(0, "10.0.0.2/24".parse().unwrap()));
            host.input(Time(0), 0, Input::Create);
            let config = Config { vhid: 1, advbase: 0, advskew: 0, key: [0; 20] };
            host.input(Time(0), 0, Input::Setvh(config.clone(), None));
            host.input(Time(0), 0, Input::Addr(format!("{vip}/24").parse().unwrap()));
            let ad = |n, counter| Advert {
                family: Family::Ip,
                from: from(n),
                vhid: 1,
                advbase: 0,
                advskew: 0,
                counter,
                digest: advert::digest(&config, &[vip.parse().unwrap()], counter),
            };
            let silent = host.next_deadline().unwrap();
            host.tick(silent);
            host.input(silent, 0, Input::Sent(0, ad(2, 7), true));
            assert_eq!(host.vhost(0).unwrap().state(), State::Master);
            host.input(silent, 0, Input::Heard(ad(peer, 8)));
            assert_eq!(host.vhost(0).unwrap().state(), state, "{peer}");
        }
    }
}
