//! Many machines in one thread, in virtual time: the other way to run the
//! same netisrs, ifnets and CARP as the threads do.
//!
//! A seeded scheduler picks whose turn it is among those who were woken: a
//! message of some port, or a frame of some queue. When nobody has anything to
//! do, the clock moves on to the next callout, or to the arrival of what is
//! under way on a LAN. For a seed the run is the same, byte for byte.

mod clock;

use crate::dev::lan::Lan;
use crate::dev::{Device, RxQueue};
use crate::kern::carp_kernel::softclock;
use crate::machine::{self, Booted, Config, Ctx, Ctx0, Log, Machine, PerCpu};
use crate::net::netisr::{self, Cred, Flow, Netmsg0};
use crate::net::rtsock::Listener;
use clock::HostClock;
use compat::net::if_::LinkState;
use compat::qsbr::{Netisr, Netisr0};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::msgport::{ReplyPort, Waiting, reply_port};
use compat::sys::time::{Clock, Time, VirtualClock};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// When each machine's next callout is due, in the world's time.
    due: BTreeSet<(Time, usize)>,
    steps: u64,
    observer: Option<Observer>,
}

/// Steps within which a call is answered: one whose timeouts have no end never
/// comes to it.
const CALL: u64 = 1_000_000;
/// One turn in so many goes to anybody.
const STRAYS: usize = 4;

/// Sees each message of a netisr0 before it is dispatched.
pub type Observer = Box<dyn FnMut(MachineId, &Netmsg0)>;

/// netisr 1 to n-1, which netisr0's synchronisation reaches too.
type Others = Rc<RefCell<Vec<(Netisr, PerCpu)>>>;

struct Host {
    id: usize,
    m: Arc<Machine>,
    clock: Arc<HostClock>,
    ready: Arc<Ready>,
    n0: Netisr0,
    cpu0: PerCpu,
    others: Others,
    /// Netisr, interface, queue.
    queues: Vec<(usize, u16, Box<dyn RxQueue>)>,
    netisrs: Vec<Sleeper>,
    /// What `World::due` has of it.
    due: Option<Time>,
    /// Stopped, as by SIGSTOP: whose turn would have been.
    paused: Option<Vec<Turn>>,
}

/// Whose turn it may be: what was woken and had no turn since.
#[derive(Default)]
struct Ready(Mutex<Vec<Turn>>);

struct Turn {
    machine: usize,
    what: What,
    queued: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
enum What {
    Netisr(usize),
    Queue(usize),
}

/// Somebody who waits to be woken: a netisr for its port, or for a queue.
#[derive(Clone)]
struct Sleeper {
    ready: Arc<Ready>,
    machine: usize,
    what: What,
    queued: Arc<AtomicBool>,
}

impl Sleeper {
    fn wake(&self) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let queued = self.queued.clone();
            self.ready.turns().push(Turn { machine: self.machine, what: self.what, queued });
        }
    }
}

impl Ready {
    fn turns(&self) -> MutexGuard<'_, Vec<Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

    /// Sends a message to netisr0 and runs the world, without letting time
    /// pass, until it is answered. A machine that is paused does not answer.
    fn call<R>(&mut self, id: MachineId, msg: impl FnOnce(ReplyPort<R>) -> Netmsg0) -> Option<R> {
        let (reply, waiting): (_, Waiting<R>) = reply_port();
        self.machines.get(id.0)?.as_ref()?.m.port0.sendmsg(msg(reply));
        let last = self.steps + CALL;
        while self.steps < last {
            if let Some(r) = waiting.poll() {
                return Some(r);
            }
            self.step()?;
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
    pub fn next_event(&self) -> Option<Time> {
        let due = self.due.first().map(|(t, _)| *t);
        due.into_iter().chain(self.lans.iter().filter_map(|lan| lan.next_arrival())).min()
    }

    /// Lets time pass until `t`, and wakes whoever has waited for it.
    pub fn advance_to(&mut self, t: Time) {
        self.clock.advance_to(t);
        let now = self.clock.now();
        while let Some(&(t, id)) = self.due.first().filter(|(t, _)| *t <= now) {
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
            turn.queued.store(false, Ordering::Relaxed);
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

    fn note_due(&mut self, id: usize) {
        let Some(Some(host)) = self.machines.get_mut(id) else { return };
        // A paused machine is woken when it goes on.
        let next = host.m.own(&host.n0).callouts.borrow().next();
        let next = next.map(|t| host.clock.in_world(t));
        if host.due != next {
            if let Some(t) = host.due {
                self.due.remove(&(t, id));
            }
            self.due.extend(next.map(|t| (t, id)));
            host.due = next;
        }
    }
}

impl Host {
    fn new(id: usize, booted: Booted, clock: Arc<HostClock>, ready: Arc<Ready>) -> Host {
        let Booted { machine: m, seeds, .. } = booted;
        let mut seeds = seeds.into_iter();
        let seed0 = seeds.next();
        let others: Others = Rc::new(RefCell::new(seeds.map(|s| (s.claim(), PerCpu::default())).collect()));
        let transport = {
            let (m, others) = (m.clone(), others.clone());
            move || synchronize(&m, &others)
        };
        #[allow(clippy::expect_used, reason = "a machine has at least netisr0")]
        let n0 = seed0.expect("netisr0's seed").claim0(Box::new(transport));
        let netisrs: Vec<_> = (0..m.ncpus()).map(|k| Sleeper::new(&ready, id, What::Netisr(k))).collect();
        for (k, sleeper) in netisrs.iter().enumerate() {
            let sleeper = sleeper.clone();
            let wake = Box::new(move || sleeper.wake());
            match k {
                0 => m.port0.set_wake(wake),
                k => m.ports[k - 1].set_wake(wake),
            }
        }
        let cpu0 = PerCpu::default();
        Host { id, m, clock, ready, n0, cpu0, others, queues: Vec::new(), netisrs, due: None, paused: None }
    }

    /// What is under way is lost, and no word is said.
    fn crash(&mut self) {
        while self.m.port0.getport().is_some() {}
        for port in &self.m.ports {
            while port.getport().is_some() {}
        }
        Ctx0 { m: &self.m, n0: &mut self.n0, cpu: &self.cpu0 }.carp(libcarp::clone::crash);
    }

    /// Whether there was something to do. Whoever has more to do has another turn; a
    /// queue sees to it by itself.
    fn take(&mut self, what: What, observer: &mut Option<Observer>) -> bool {
        let worked = match what {
            What::Netisr(0) => {
                softclock(&self.m, &self.n0);
                let msg = self.m.port0.getport();
                if let (Some(msg), Some(observer)) = (&msg, observer) {
                    observer(MachineId(self.id), msg);
                }
                msg.map(|msg| netisr::dispatch0(&self.m, &mut self.n0, &self.cpu0, msg)).is_some()
            }
            What::Netisr(k) => match self.m.ports[k - 1].getport() {
                Some(msg) => {
                    let mut others = self.others.borrow_mut();
                    let (n, cpu) = &mut others[k - 1];
                    // A halt is netisr0's to carry out; nobody is waiting.
                    let _: Flow = netisr::dispatch(&self.m, n, cpu, msg);
                    true
                }
                None => false,
            },
            What::Queue(q) => self.receive(q),
        };
        self.take_new_queues();
        if let What::Netisr(k) = what
            && worked
            && self.has_more(k)
        {
            self.netisrs[k].wake();
        }
        worked
    }

    /// Whether that netisr has something to do. One that has not sleeps: the next
    /// message wakes it.
    fn has_more(&self, k: usize) -> bool {
        let is_due = |t| t <= self.clock.now();
        match k {
            0 => !self.m.port0.is_idle() || self.m.own(&self.n0).callouts.borrow().next().is_some_and(is_due),
            k => !self.m.ports[k - 1].is_idle(),
        }
    }

    fn receive(&mut self, q: usize) -> bool {
        let (cpu, if_index, queue) = &mut self.queues[q];
        let others = self.others.borrow();
        let (n, percpu): (&Netisr, &PerCpu) = match *cpu {
            0 => (&self.n0, &self.cpu0),
            k => (&others[k - 1].0, &others[k - 1].1),
        };
        let cx = Ctx { m: &self.m, n, cpu: percpu };
        // A device in memory does not die.
        queue.receive(1, &mut |frame| netisr::input(cx, *if_index, frame)).is_ok_and(|n| n > 0)
    }

    fn take_new_queues(&mut self) {
        let mut new = self.cpu0.new_queues.take().into_iter().map(|q| (0, q)).collect::<Vec<_>>();
        for (n, cpu) in self.others.borrow().iter() {
            new.extend(cpu.new_queues.take().into_iter().map(|q| (n.cpuid(), q)));
        }
        for (cpu, (if_index, mut rx)) in new {
            let sleeper = Sleeper::new(&self.ready, self.id, What::Queue(self.queues.len()));
            rx.set_waker(Arc::new(move || sleeper.wake()));
            self.queues.push((cpu, if_index, rx));
        }
    }
}

impl Sleeper {
    fn new(ready: &Arc<Ready>, machine: usize, what: What) -> Sleeper {
        Sleeper { ready: ready.clone(), machine, what, queued: Arc::default() }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After a panic nobody can say what still stands.
        if !std::thread::panicking() {
            self.crash();
        }
    }
}

/// `netmsg_service_sync()` here: every other netisr gets to the end of its
/// queue, and is quiescent.
fn synchronize(m: &Machine, others: &Others) {
    for (port, (n, cpu)) in m.ports.iter().zip(others.borrow_mut().iter_mut()) {
        while let Some(msg) = port.getport() {
            let _: Flow = netisr::dispatch(m, n, cpu, msg);
        }
        n.quiescent();
    }
}
