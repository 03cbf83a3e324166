//! Many machines in one thread, in virtual time: the other way to run the
//! same netisrs, ifnets and CARP as the threads do.
//!
//! A seeded scheduler picks whose turn it is among those who were woken: a
//! message of some port, or a frame of some queue. When nobody has anything to
//! do, the clock moves on to the next callout, or to the arrival of what is
//! under way on a LAN. For a seed the run is the same, byte for byte.

mod clock;
mod host;
mod ready;

use crate::dev::Device;
use crate::dev::lan::Lan;
use crate::machine::{self, Config, Log, Machine};
use crate::net::netisr::{Cred, Netmsg0};
use crate::net::rtsock::Listener;
use clock::HostClock;
use compat::net::if_::LinkState;
use compat::qsbr::Netisr0;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::msgport::{ReplyPort, Waiting, reply_port};
use compat::sys::time::{Clock, Time, VirtualClock};
use host::Host;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use ready::{Ready, Turn, What};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One machine of a world, by the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(usize);

impl MachineId {
    /// How many were added before it.
    pub fn number(self) -> usize {
        self.0
    }
}

/// A world of machines that share a clock.
pub struct World {
    clock: Arc<VirtualClock>,
    rng: ChaCha12Rng,
    machines: Vec<Option<Host>>,
    lans: Vec<Arc<Lan>>,
    ready: Arc<Ready>,
    /// When each machine's next callout is due, in the world's time, or before: most
    /// are put off long before their time, and [`World::first_due`] looks again.
    due: BTreeSet<(Time, usize)>,
    steps: u64,
    observer: Option<Observer>,
}

/// Messages within which a call is answered: one whose timeouts have no end never
/// comes to it.
const CALL: u64 = 1_000_000;
/// One turn in so many goes to anybody.
const STRAYS: usize = 4;

/// Sees each message of a netisr0 before it is dispatched.
pub type Observer = Box<dyn FnMut(MachineId, &Netmsg0)>;

impl World {
    /// An empty world at time 0.
    pub fn new(seed: u64) -> World {
        World {
            clock: Arc::new(VirtualClock::default()),
            rng: ChaCha12Rng::seed_from_u64(seed),
            machines: Vec::new(),
            lans: Vec::new(),
            ready: Arc::default(),
            due: BTreeSet::new(),
            steps: 0,
            observer: None,
        }
    }

    /// From now on `observer` sees what every netisr0 is about to do.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// How many steps its machines have made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The world's clock, for a medium that delays.
    pub fn clock(&self) -> Arc<VirtualClock> {
        self.clock.clone()
    }

    /// What is under way on that LAN arrives when its time has come.
    pub fn join(&mut self, lan: &Arc<Lan>) {
        self.lans.push(lan.clone());
    }

    /// Boots a machine of `ncpus` netisrs with exact timers (`hz` 0) or ticks,
    /// that logs by `tracing`.
    pub fn boot(&mut self, ncpus: usize, hz: u32) -> MachineId {
        self.boot_logging(ncpus, hz, machine::trace())
    }

    /// The same, with a log of its own.
    pub fn boot_logging(&mut self, ncpus: usize, hz: u32, log: Log) -> MachineId {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let clock = Arc::new(HostClock::new(self.clock.clone()));
        let config = Config { ncpus, clock: clock.clone(), seed, hz, log };
        let id = self.machines.len();
        self.machines.push(Some(Host::new(id, Machine::boot(config), clock, self.ready.clone())));
        MachineId(id)
    }

    /// The device becomes an interface of the machine. `ENXIO` for a machine
    /// that is no more, `EEXIST` for a name that is taken.
    pub fn attach(&mut self, id: MachineId, dev: Device) -> Result<u16, Errno> {
        self.call(id, |reply| Netmsg0::Attach(Box::new(dev), reply)).unwrap_or(Err(Errno::ENXIO))
    }

    /// The link of an interface of the machine came or went, as its device says.
    pub fn link_state(&mut self, id: MachineId, if_index: u16, state: LinkState) {
        self.send(id, Netmsg0::LinkState(if_index, state));
    }

    /// An interface of the machine leaves: its device died.
    pub fn detach(&mut self, id: MachineId, if_index: u16) {
        self.send(id, Netmsg0::IfDetach(if_index));
    }

    /// A message that nobody waits for, before whatever else is under way.
    fn send(&mut self, id: MachineId, msg: Netmsg0) {
        if let Some(Some(host)) = self.machines.get(id.0) {
            host.m.port0.sendmsg_droppable(msg);
            host.netisrs[0].wake();
        }
    }

    /// Listens to the machine's routing messages.
    pub fn listen(&self, id: MachineId) -> Option<Listener> {
        Some(self.machines.get(id.0)?.as_ref()?.m.listeners.listen(Box::new(|| ())))
    }

    /// A configuration of one interface begins, or ends: carp interfaces hold no election
    /// in between.
    pub fn configuring(&mut self, id: MachineId, is: bool) {
        self.call(id, |reply| Netmsg0::Configuring(is, reply));
    }

    /// One system call, by root.
    pub fn syscall(&mut self, id: MachineId, req: Request) -> Reply {
        let cred = Cred { privileged: true };
        self.call(id, |reply| Netmsg0::Syscall(cred, req, reply))
            .unwrap_or_else(|| Reply::error(Errno::ENXIO))
    }

    /// The same, and it is for the caller to run the world until it is answered.
    pub fn submit(&mut self, id: MachineId, req: Request) -> Option<Waiting<Reply>> {
        let (reply, waiting) = reply_port();
        let cred = Cred { privileged: true };
        self.machines.get(id.0)?.as_ref()?.m.port0.sendmsg(Netmsg0::Syscall(cred, req, reply));
        Some(waiting)
    }

    /// The machine halts in order: every MASTER bows out.
    pub fn halt(&mut self, id: MachineId) {
        self.resume(id);
        self.call(id, Netmsg0::Halt);
        self.crash(id);
    }

    /// The machine is gone from one moment to the next.
    pub fn crash(&mut self, id: MachineId) {
        if let Some(host) = self.machines.get_mut(id.0).and_then(Option::take)
            && let Some(t) = host.due
        {
            self.due.remove(&(t, id.0));
        }
    }

    /// Whether the machine runs, paused or not.
    pub fn is_alive(&self, id: MachineId) -> bool {
        self.machines.get(id.0).is_some_and(Option::is_some)
    }

    /// The machine, and netisr0's token, for whoever looks on.
    pub fn look(&self, id: MachineId) -> Option<(&Machine, &Netisr0)> {
        let host = self.machines.get(id.0)?.as_ref()?;
        Some((&host.m, &host.n0))
    }

    /// The machine stops, as a process does by SIGSTOP: its clock goes on.
    pub fn pause(&mut self, id: MachineId) {
        if let Some(Some(host)) = self.machines.get_mut(id.0) {
            host.paused.get_or_insert_default();
        }
    }

    /// The machine goes on.
    pub fn resume(&mut self, id: MachineId) {
        if let Some(Some(host)) = self.machines.get_mut(id.0)
            && let Some(parked) = host.paused.take()
        {
            self.ready.turns().extend(parked);
            host.netisrs[0].wake();
        }
    }

    /// Whether the machine is paused.
    pub fn is_paused(&self, id: MachineId) -> bool {
        matches!(self.machines.get(id.0), Some(Some(h)) if h.paused.is_some())
    }

    /// The machine's clock goes on at `ppm` millionths of the world's, and
    /// jumps forwards by `jump`.
    pub fn set_clock(&mut self, id: MachineId, ppm: u64, jump: Duration) {
        if let Some(Some(host)) = self.machines.get_mut(id.0) {
            host.clock.set(ppm, jump);
            host.netisrs[0].wake();
            self.note_due(id.0);
        }
    }

    /// When the machine's clock will show `t`, by the world's.
    pub fn in_world(&self, id: MachineId, t: Time) -> Option<Time> {
        Some(self.machines.get(id.0)?.as_ref()?.clock.in_world(t))
    }

    /// Sends a message to netisr0, which alone works until it is answered: no time
    /// passes, and nobody else has a turn that no one would see. A machine that is
    /// paused does not answer.
    fn call<R>(&mut self, id: MachineId, msg: impl FnOnce(ReplyPort<R>) -> Netmsg0) -> Option<R> {
        let (reply, waiting): (_, Waiting<R>) = reply_port();
        self.machines.get(id.0)?.as_ref()?.m.port0.sendmsg(msg(reply));
        for _ in 0..CALL {
            if let Some(r) = waiting.poll() {
                return Some(r);
            }
            let host = self.machines[id.0].as_mut().filter(|host| host.paused.is_none())?;
            let worked = host.take(What::Netisr(0), &mut self.observer);
            self.note_due(id.0);
            self.steps += u64::from(worked);
            if !worked {
                return None;
            }
        }
        None
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Time) {
        loop {
            while self.step().is_some() {}
            match self.next_event().filter(|t| *t <= end) {
                Some(t) => self.advance_to(t),
                None => return self.advance_to(end),
            }
        }
    }

    /// Runs for `d`.
    pub fn run_for(&mut self, d: Duration) {
        self.run_until(self.now() + d);
    }

    /// When something happens next, if nobody has anything to do now: a
    /// callout is due, or a frame arrives.
    pub fn next_event(&mut self) -> Option<Time> {
        let due = self.first_due().map(|(t, _)| t);
        due.into_iter().chain(self.lans.iter().filter_map(|lan| lan.next_arrival())).min()
    }

    /// Lets time pass until `t`, and wakes whoever has waited for it.
    pub fn advance_to(&mut self, t: Time) {
        self.clock.advance_to(t);
        let now = self.clock.now();
        while let Some((t, id)) = self.first_due().filter(|(t, _)| *t <= now) {
            self.due.remove(&(t, id));
            if let Some(Some(host)) = self.machines.get_mut(id) {
                host.due = None;
                host.netisrs[0].wake();
            }
        }
        self.lans.iter().for_each(|lan| lan.arrive(now));
    }

    /// One message or one frame, of whoever the scheduler picks, and whose it
    /// was; `None` when nobody has anything to do now.
    pub fn step(&mut self) -> Option<MachineId> {
        loop {
            let turn = self.pick()?;
            let Some(Some(host)) = self.machines.get_mut(turn.machine) else { continue };
            if let Some(parked) = &mut host.paused {
                parked.push(turn);
                continue;
            }
            turn.begin();
            let worked = host.take(turn.what, &mut self.observer);
            if matches!(turn.what, What::Netisr(0)) {
                self.note_due(turn.machine);
            }
            if worked {
                self.steps += 1;
                return Some(MachineId(turn.machine));
            }
        }
    }

    /// Mostly whoever was woken last: what it needs is at hand. But anybody may
    /// come next.
    fn pick(&mut self) -> Option<Turn> {
        let mut turns = self.ready.turns();
        let n = turns.len();
        if n > 1 {
            let dice = self.rng.next_u32() as usize;
            if dice.is_multiple_of(STRAYS) {
                turns.swap(dice / STRAYS % n, n - 1);
            }
        }
        turns.pop()
    }

    /// The machine's next callout may be due earlier than is known.
    fn note_due(&mut self, id: usize) {
        let Some(Some(host)) = self.machines.get_mut(id) else { return };
        let Some(next) = host.next_callout() else { return };
        if host.due.is_none_or(|due| next < due) {
            if let Some(t) = host.due.replace(next) {
                self.due.remove(&(t, id));
            }
            self.due.insert((next, id));
        }
    }

    /// Whose callout is due first, and when.
    fn first_due(&mut self) -> Option<(Time, usize)> {
        loop {
            let &(t, id) = self.due.first()?;
            let host = self.machines.get_mut(id).and_then(Option::as_mut);
            let next = host.as_ref().and_then(|host| host.next_callout());
            if next == Some(t) {
                return Some((t, id));
            }
            self.due.remove(&(t, id));
            self.due.extend(next.map(|t| (t, id)));
            if let Some(host) = host {
                host.due = next;
            }
        }
    }
}
