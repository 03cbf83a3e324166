//! The judge of a run: whether what the machines do is right, at every step.
//!
//! ```text
//!   cards ---------+
//!   system calls --+--> beside: the reference model of each machine
//!   faults --------+    causes: what a machine counts, joins, arms and lists
//!                       lans:   one MASTER for each virtual host, who stays
//! ```
//!
//! A [`Play`](super::run::Play) tells it of all that happens. It changes nothing
//! in a run, and whatever it finds is a [`Violation`]. What a machine has that
//! the model does not know (ticks, peers, `carpdev`, vhids of an interface, ...)
//! ends the model of that machine until it boots again; all else goes on.

mod answers;
mod beside;
mod calm;
mod card;
mod causes;
mod lans;
mod request;

use super::host::Host;
use super::model::HostInput;
use super::record::State;
use crate::dev::Device;
use crate::sim::{MachineId, Observer, World};
use beside::Beside;
use calm::Calm;
use card::{Act, Acts};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::time::Time;
use lans::Lans;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What must be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The machine and the reference model are in the same states.
    Model,
    /// Whatever the model owes is sent.
    Owed,
    /// Nothing else is sent.
    Sent,
    /// Reasons not to preempt, and the demotion, are what their causes add up to.
    Reasons,
    /// `if_carp` is ascending, has no vhid twice, and those whose parent it is.
    IfCarp,
    /// `if_pcount` is what its causes add up to.
    Promisc,
    /// An interface is in the groups that its addresses and CARP ask for.
    Groups,
    /// A softc's counts, timers and state fit each other.
    Softc,
    /// Every frame that a card has handed over has one fate.
    Frames,
    /// Nothing piles up.
    Bounds,
    /// Only a MASTER says where its addresses are, under its virtual MAC, and says it
    /// when it becomes one.
    Answers,
    /// A virtual host has one MASTER once all is quiet.
    OneMaster,
    /// It has no two for longer than an advertisement takes.
    TwoMasters,
    /// A healthy MASTER stays one while nobody is better.
    LostMaster,
    /// A machine that comes back has the configuration that it booted with.
    Config,
    /// A command succeeds, or fails, as the scenario says.
    Command,
    /// Nothing asserts in vain.
    Panic,
    /// What happens at one moment has an end.
    Livelock,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// What must be true.
    pub rule: Rule,
    /// Of which machine, by its number; `None` if of none alone.
    pub machine: Option<usize>,
    /// What is not.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

type Verdict = Result<(), (Rule, String)>;

fn wrong(rule: Rule, text: String) -> Verdict {
    Err((rule, text))
}

/// One machine, while it is on.
struct Watched {
    id: MachineId,
    beside: Beside,
    /// Frames that its cards have handed over.
    taken: u64,
    /// What was written to `net.inet.carp.demotion`.
    written: i64,
    /// Its demotion, when it was looked at last.
    demotion: i64,
}

/// The judge.
#[derive(Default)]
pub struct Judge {
    acts: Acts,
    machines: Vec<Option<Watched>>,
    /// What each had when it had run its boot lines for the first time.
    booted: Vec<Option<String>>,
    lans: Lans,
    /// Machines that have done something since they were looked at.
    touched: BTreeSet<usize>,
    /// Those whose carp interfaces may be others, or in other states.
    stale: BTreeSet<usize>,
    /// Since when all is well.
    calm: Calm,
    /// Where addresses are, as was said to everybody at that moment.
    announced: (Time, BTreeSet<(usize, IpAddr)>),
    violations: Vec<Violation>,
    /// What was found already, of whom: once is enough.
    known: BTreeSet<(Rule, Option<usize>)>,
}

impl Judge {
    /// What was found since somebody asked.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        core::mem::take(&mut self.violations)
    }

    /// A card of a machine that boots.
    pub(super) fn card(&self, card: usize, dev: Device) -> Device {
        self.acts.wrap(card, dev)
    }

    /// A machine is on, with all its cards.
    pub(super) fn on(&mut self, now: Time, host: &Host, id: MachineId) {
        let k = host.number;
        self.machines.resize_with(self.machines.len().max(k + 1), || None);
        self.booted.resize(self.machines.len(), None);
        let cards = host
            .cards
            .iter()
            .enumerate()
            .map(|(i, card)| (card.ifname.clone(), card.if_index, host.lladdr(i)));
        let beside = Beside::new(cards, host.spec.hz == 0);
        self.machines[k] = Some(Watched { id, beside, taken: 0, written: 0, demotion: 0 });
        self.calm.plug(k, host.cards.iter().map(|c| c.lan));
        self.disturbed(now, k);
    }

    /// It has run its boot lines; `config` is what it says of itself then.
    pub(super) fn booted(&mut self, now: Time, host: &Host, config: String) {
        let Some(first) = self.booted.get_mut(host.number) else { return };
        let was = first.get_or_insert_with(|| config.clone());
        if *was != config {
            let text = format!("{} booted with\n{config}and with\n{was}before", host.name);
            self.found(now, None, wrong(Rule::Config, text));
        }
    }

    /// A machine is off.
    pub(super) fn off(&mut self, now: Time, host: &Host) {
        self.machines[host.number] = None;
        self.disturbed(now, host.number);
    }

    /// Something is done to a machine.
    pub(super) fn disturbed(&mut self, now: Time, host: usize) {
        self.calm.disturbed(now, host);
        self.touched.insert(host);
        self.stale.insert(host);
    }

    /// A system call of a machine was answered, and carried out.
    pub(super) fn told(&mut self, world: &World, host: &Host, request: &Request, reply: &Reply) {
        let meaning = request::meaning(request, reply);
        if matches!(meaning, request::Meaning::Nothing) {
            // What fails must have left all as it was; what succeeds has only read.
            if reply.error.is_some() {
                self.stepped(world, host.number);
            }
            return;
        }
        self.disturbed(world.now(), host.number);
        let Some((watched, now)) = self.watched(world, host.number) else { return };
        if let request::Meaning::Machine(HostInput::Demote(by)) = &meaning {
            watched.written += i64::from(*by);
        }
        watched.beside.told(now, &meaning);
        let id = watched.id;
        self.stepped(world, host.number);
        if let Some((m, n0)) = world.look(id)
            && let Some((watched, _)) = self.watched(world, host.number)
        {
            watched.beside.answered(m, n0);
        }
    }

    /// Something is done to the machine in the middle of whatever it does: in which
    /// order they come is more than the model knows.
    pub(super) fn rushed(&mut self, host: &Host) {
        if let Some(Some(watched)) = self.machines.get_mut(host.number) {
            watched.beside.forget();
        }
    }

    /// The machine is about to halt.
    pub(super) fn halts(&mut self, world: &World, host: &Host) {
        if let Some((watched, now)) = self.watched(world, host.number) {
            watched.beside.host_input(now, HostInput::Halt);
        }
    }

    /// A machine's clock goes right from now on, or wrong.
    pub(super) fn set_exact(&mut self, now: Time, host: &Host, exact: bool) {
        self.calm.set_exact(host.number, exact);
        self.disturbed(now, host.number);
    }

    /// A fault of that LAN has begun, or ended; what it has delayed is under way for so long
    /// at most.
    pub(super) fn fault(&mut self, now: Time, lan: usize, over: bool, delay: Duration) {
        self.calm.fault(now, lan, over, delay);
    }

    /// A machine's carp interfaces may be in other states.
    pub(super) fn news(&mut self, now: Time, host: &Host) {
        self.touched.insert(host.number);
        self.stale.insert(host.number);
        let masters = host.carps.iter().filter(|(_, view)| view.state == State::Master);
        self.lans.news(now, host.number, masters.map(|(index, _)| *index));
    }

    /// The machine, and what its clock shows.
    fn watched(&mut self, world: &World, k: usize) -> Option<(&mut Watched, Time)> {
        let watched = self.machines.get_mut(k)?.as_mut()?;
        let (m, _) = world.look(watched.id)?;
        Some((watched, m.clock().now()))
    }

    /// Who sees what every netisr0 is about to do.
    pub(super) fn observer(&self) -> Observer {
        self.acts.observer()
    }

    /// A machine has made a step.
    pub(super) fn stepped(&mut self, world: &World, k: usize) {
        self.touched.insert(k);
        let acts = self.acts.take();
        if self.announced.0 != world.now() {
            self.announced = (world.now(), BTreeSet::new());
        }
        let announced = acts.iter().filter_map(|act| match act {
            Act::Says(_, says) if says.announces => Some((k, says.addr)),
            _ => None,
        });
        self.announced.1.extend(announced);
        let Some((watched, now)) = self.watched(world, k) else { return };
        watched.taken += acts.iter().filter(|act| matches!(act, Act::Took)).count() as u64;
        let Some((m, n0)) = world.look(watched.id) else { return };
        let verdict = watched.beside.stepped(m, n0, now, acts);
        self.note(world, k, verdict);
    }

    /// Nobody has anything to do any more at this moment.
    pub(super) fn idle(&mut self, world: &World, hosts: &[Host], delay: Duration) {
        for k in core::mem::take(&mut self.touched) {
            let verdict = self.machine(world, k);
            self.note(world, k, verdict);
        }
        self.look(world, hosts, delay);
    }

    fn machine(&mut self, world: &World, k: usize) -> Verdict {
        let Some((watched, now)) = self.watched(world, k) else { return Ok(()) };
        let id = watched.id;
        let Some((m, n0)) = world.look(id).filter(|_| !world.is_paused(id)) else { return Ok(()) };
        let demotion = m.carp.own(n0).demotion.get();
        let news = std::mem::replace(&mut watched.demotion, demotion) != demotion;
        watched.beside.idle(m, n0, now)?;
        causes::check(m, n0, watched.taken, watched.written)?;
        if news {
            // It advertises by another skew from now on.
            self.stale.insert(k);
        }
        let said = |addr| self.announced.0 == world.now() && self.announced.1.contains(&(k, addr));
        answers::announced(m, n0, |index| self.lans.master_since((k, index)) == Some(world.now()), said)
    }

    /// What must be true between the machines.
    fn look(&mut self, world: &World, hosts: &[Host], delay: Duration) {
        let mut lost = Vec::new();
        for k in core::mem::take(&mut self.stale) {
            lost.extend(self.look_at(world, &hosts[k]).into_iter().map(|index| (k, index)));
        }
        let now = world.now();
        let calm = |judge: &Judge, lan| judge.calm.since(lan).filter(|quiet| now > *quiet + delay);
        lost.retain(|who| self.lans.lan_of(*who).and_then(|lan| calm(self, lan)).is_some());
        if !lost.is_empty() {
            hosts.iter().for_each(|host| {
                self.look_at(world, host);
            });
            for (k, index) in lost {
                let verdict = self.lans.justified(k, index);
                self.note(world, k, verdict);
            }
        }
        let verdict = self.lans.check(now, |lan| self.calm.since(lan), delay);
        self.found(now, None, verdict);
    }

    fn look_at(&mut self, world: &World, host: &Host) -> Vec<u16> {
        let awake = host.id.filter(|id| !world.is_paused(*id));
        let machine = awake.and_then(|id| world.look(id));
        let lan_of = |ifname: &str| host.cards.iter().find(|c| c.ifname == ifname).map(|c| c.lan);
        self.lans.look(host.number, machine, &format!("{} ", host.name), lan_of)
    }

    /// When something must have happened by: a timer of a model is due, or all
    /// has been quiet long enough.
    pub(super) fn next_deadline(&self, world: &World, delay: Duration) -> Option<Time> {
        let settled = (0..self.calm.lans()).filter_map(|lan| {
            let since = self.calm.since(lan)?;
            Some(since + self.lans.settles_in(lan, delay) + Duration::from_nanos(1))
        });
        let settled = settled.filter(|t| *t > world.now()).min();
        let due = self.machines.iter().flatten().filter_map(|w| {
            if world.is_paused(w.id) {
                return None;
            }
            world.in_world(w.id, w.beside.next_deadline()?)
        });
        due.chain(settled).min()
    }

    /// Time has passed: whose timer is due is looked at, whether it does
    /// anything or not.
    pub(super) fn passed(&mut self, world: &World) {
        for k in 0..self.machines.len() {
            if let Some((watched, now)) = self.watched(world, k)
                && watched.beside.next_deadline().is_some_and(|t| t <= now)
            {
                self.touched.insert(k);
            }
        }
    }

    fn note(&mut self, world: &World, k: usize, verdict: Verdict) {
        if verdict.is_err() {
            self.found(world.now(), Some(k), verdict);
            if let Some(Some(watched)) = self.machines.get_mut(k) {
                watched.beside.forget();
            }
        }
    }

    fn found(&mut self, at: Time, host: Option<usize>, verdict: Verdict) {
        if let Err((rule, text)) = verdict
            && self.known.insert((rule, host))
        {
            self.violations.push(Violation { at, rule, machine: host, text });
        }
    }
}

#[cfg(test)]
mod tests;
