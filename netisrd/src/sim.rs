//! Many machines in one thread, in virtual time: the other way to run the
//! same netisrs, ifnets and CARP as the threads do.
//!
//! A seeded scheduler picks whose turn it is: a message of some port, or a
//! frame of some queue. When nobody has anything to do, the clock moves on to
//! the next callout. For a seed the run is the same, byte for byte.

use crate::dev::{Device, RxQueue};
use crate::kern::carp_kernel::softclock;
use crate::machine::{Booted, Config, Ctx, Machine, PerCpu};
use crate::net::netisr::{self, Cred, Flow, Netmsg0};
use crate::net::rtsock::Listener;
use compat::net::if_::LinkState;
use compat::qsbr::{Netisr, Netisr0};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::msgport::{ReplyPort, Waiting, reply_port};
use compat::sys::time::{Clock, Time, VirtualClock};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// One machine of a world, by the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(usize);

/// A world of machines that share a clock.
pub struct World {
    clock: Arc<VirtualClock>,
    rng: ChaCha12Rng,
    machines: Vec<Option<Host>>,
}

/// netisr 1 to n-1, which netisr0's synchronisation reaches too.
type Others = Rc<RefCell<Vec<(Netisr, PerCpu)>>>;

struct Host {
    m: Arc<Machine>,
    n0: Netisr0,
    cpu0: PerCpu,
    others: Others,
    /// Netisr, interface, queue.
    queues: Vec<(usize, u16, Box<dyn RxQueue>)>,
}

/// Whose turn it may be.
#[derive(Clone, Copy)]
enum Turn {
    Netisr(usize),
    Queue(usize),
}

impl World {
    /// An empty world at time 0.
    pub fn new(seed: u64) -> World {
        let rng = ChaCha12Rng::seed_from_u64(seed);
        World { clock: Arc::new(VirtualClock::default()), rng, machines: Vec::new() }
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Boots a machine of `ncpus` netisrs with exact timers (`hz` 0) or ticks.
    pub fn boot(&mut self, ncpus: usize, hz: u32) -> MachineId {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let config = Config { ncpus, clock: self.clock.clone(), seed, hz };
        self.machines.push(Some(Host::new(Machine::boot(config))));
        MachineId(self.machines.len() - 1)
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

    /// The machine halts in order: every MASTER bows out.
    pub fn halt(&mut self, id: MachineId) {
        self.call(id, Netmsg0::Halt);
        self.machines[id.0] = None;
    }

    /// The machine is gone from one moment to the next.
    pub fn crash(&mut self, id: MachineId) {
        self.machines[id.0] = None;
    }

    /// Sends a message to netisr0 and runs the world, without letting time
    /// pass, until it is answered.
    fn call<R>(&mut self, id: MachineId, msg: impl FnOnce(ReplyPort<R>) -> Netmsg0) -> Option<R> {
        let (reply, waiting): (_, Waiting<R>) = reply_port();
        self.machines.get(id.0)?.as_ref()?.m.port0.sendmsg(msg(reply));
        loop {
            if let Some(r) = waiting.poll() {
                return Some(r);
            }
            if !self.step() {
                return None;
            }
        }
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Time) {
        loop {
            while self.step() {}
            match self.next_callout().filter(|t| *t <= end) {
                Some(t) => self.clock.advance_to(t),
                None => return self.clock.advance_to(end),
            }
        }
    }

    /// Runs for `d`.
    pub fn run_for(&mut self, d: Duration) {
        self.run_until(self.now() + d);
    }

    fn next_callout(&self) -> Option<Time> {
        let hosts = self.machines.iter().flatten();
        hosts.filter_map(|h| h.m.own(&h.n0).callouts.borrow().next()).min()
    }

    /// One message or one frame, of whoever the scheduler picks; `false` when
    /// nobody has anything to do now.
    fn step(&mut self) -> bool {
        let mut turns = Vec::new();
        for (i, host) in self.machines.iter().enumerate() {
            if let Some(h) = host {
                turns.extend(h.turns().map(|t| (i, t)));
            }
        }
        while !turns.is_empty() {
            let pick = self.rng.next_u32() as usize % turns.len();
            let (i, turn) = turns.swap_remove(pick);
            if let Some(h) = &mut self.machines[i]
                && h.take(turn)
            {
                return true;
            }
        }
        false
    }
}

impl Host {
    fn new(booted: Booted) -> Host {
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
        Host { m, n0, cpu0: PerCpu::default(), others, queues: Vec::new() }
    }

    fn turns(&self) -> impl Iterator<Item = Turn> + use<> {
        let netisrs = (0..self.m.ncpus()).map(Turn::Netisr);
        netisrs.chain((0..self.queues.len()).map(Turn::Queue))
    }

    /// Whether there was something to do.
    fn take(&mut self, turn: Turn) -> bool {
        let worked = match turn {
            Turn::Netisr(0) => {
                softclock(&self.m, &self.n0);
                let msg = self.m.port0.getport();
                msg.map(|msg| netisr::dispatch0(&self.m, &mut self.n0, &self.cpu0, msg)).is_some()
            }
            Turn::Netisr(k) => match self.m.ports[k - 1].getport() {
                Some(msg) => {
                    let mut others = self.others.borrow_mut();
                    let (n, cpu) = &mut others[k - 1];
                    // A halt is netisr0's to carry out; nobody is waiting.
                    let _: Flow = netisr::dispatch(&self.m, n, cpu, msg);
                    true
                }
                None => false,
            },
            Turn::Queue(q) => self.receive(q),
        };
        self.take_new_queues();
        worked
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
        let new = self.cpu0.new_queues.take();
        self.queues.extend(new.into_iter().map(|(index, rx)| (0, index, rx)));
        for (n, cpu) in self.others.borrow().iter() {
            let new = cpu.new_queues.take();
            self.queues.extend(new.into_iter().map(|(index, rx)| (n.cpuid(), index, rx)));
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
