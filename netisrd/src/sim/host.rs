//! A machine of a world: its netisrs and queues, and what a turn of each is.

use super::clock::HostClock;
use super::ready::{Ready, Sleeper, Turn, What};
use super::{MachineId, Observer};
use crate::dev::RxQueue;
use crate::kern::carp_kernel::softclock;
use crate::machine::{Booted, Ctx, Ctx0, Machine, PerCpu};
use crate::net::netisr::{self, Flow};
use compat::qsbr::{Netisr, Netisr0};
use compat::sys::time::{Clock, Time};
use std::cell::RefCell;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;

/// netisr 1 to n-1, which netisr0's synchronisation reaches too.
type Others = Rc<RefCell<Vec<(Netisr, PerCpu)>>>;

/// One machine of a world, while it is on.
pub(super) struct Host {
    id: usize,
    pub(super) m: Arc<Machine>,
    pub(super) clock: Arc<HostClock>,
    ready: Arc<Ready>,
    pub(super) n0: Netisr0,
    cpu0: PerCpu,
    others: Others,
    /// Netisr, interface, queue.
    queues: Vec<(usize, u16, Box<dyn RxQueue>)>,
    pub(super) netisrs: Vec<Sleeper>,
    /// What `World::due` has of it.
    pub(super) due: Option<Time>,
    /// Stopped, as by SIGSTOP: whose turn would have been.
    pub(super) paused: Option<Vec<Turn>>,
}

impl Host {
    pub(super) fn new(id: usize, booted: Booted, clock: Arc<HostClock>, ready: Arc<Ready>) -> Host {
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
    pub(super) fn take(&mut self, what: What, observer: &mut Option<Observer>) -> bool {
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
        if let What::Netisr(k) = what {
            // A message may have brought some.
            self.take_new_queues();
            if worked && self.has_more(k) {
                self.netisrs[k].wake();
            }
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
        let others = self.others.borrow();
        let others = others.iter().map(|(n, cpu)| (n.cpuid(), cpu));
        for (k, cpu) in iter::once((0, &self.cpu0)).chain(others) {
            // A device in memory has no descriptor that would be kept.
            cpu.gone.take();
            for (if_index, mut rx) in cpu.new_queues.take() {
                let sleeper = Sleeper::new(&self.ready, self.id, What::Queue(self.queues.len()));
                rx.set_waker(Arc::new(move || sleeper.wake()));
                self.queues.push((k, if_index, rx));
            }
        }
    }

    /// When its next callout is due, by the world's clock.
    pub(super) fn next_callout(&self) -> Option<Time> {
        let next = self.m.own(&self.n0).callouts.borrow().next();
        next.map(|t| self.clock.in_world(t))
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
