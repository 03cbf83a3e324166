//! One netisr as an OS thread: a mio poll over its port's waker, the receive
//! queues that it owns, and its next callout.

use self::pace::{Bundles, GATHER, Lingering, processor, yielded};
use self::place::Place;
use crate::dev::RxQueue;
use crate::machine::{Ctx, Machine, PerCpu};
use crate::net::netisr::{self, Flow};
use compat::net::netisr::PortSync;
use compat::qsbr::{Netisr, Netisr0, Seed};
use compat::sys::time::Time;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mod pace;
mod place;

/// Frames taken from one queue before messages and other queues have a turn.
const RX_BUDGET: usize = 64;
const WAKER: Token = Token(0);
const TIMER: Token = Token(1);
const FIRST_QUEUE: usize = 2;

/// netisr0's token, or another's.
enum NetisrToken {
    Zero(Netisr0),
    Other(Netisr),
}

impl NetisrToken {
    fn any(&self) -> &Netisr {
        match self {
            NetisrToken::Zero(n0) => n0,
            NetisrToken::Other(n) => n,
        }
    }

    fn run(&mut self, m: &Machine, cpu: &PerCpu) -> (Flow, bool) {
        match self {
            NetisrToken::Zero(n0) => netisr::run0(m, n0, cpu),
            NetisrToken::Other(n) => netisr::run(m, n, cpu),
        }
    }

    /// The next callout, or end of a lease. Only netisr0 has them.
    fn deadline(&self, m: &Machine) -> Option<Time> {
        match self {
            NetisrToken::Zero(n0) => {
                let callout = m.own(n0).callouts.borrow().next();
                callout.into_iter().chain(m.own(n0).lease.next()).min()
            }
            NetisrToken::Other(_) => None,
        }
    }
}

struct Queue {
    if_index: u16,
    rx: Box<dyn RxQueue>,
    ready: bool,
}

/// What a netisr's thread polls.
pub struct NetisrThread {
    m: Arc<Machine>,
    poll: Poll,
    waker: Arc<Waker>,
    /// A queue in memory has frames.
    memory_ready: Arc<AtomicBool>,
    timer: TimerFd,
    armed: Option<Time>,
    queues: Vec<Option<Queue>>,
    bundles: Bundles,
    lingering: Lingering,
    place: Place,
    cpu: PerCpu,
}

impl NetisrThread {
    /// Starts the thread of `seed`'s netisr. It ends when the machine halts. A
    /// panic in it ends the process: a dead netisr would stall every
    /// synchronisation, and a machine without it answers nobody. `busy_poll`: how
    /// long it looks for the host's next frame before it sleeps.
    #[allow(clippy::panic, reason = "it ends as one that has panicked does")]
    pub fn spawn(
        m: Arc<Machine>,
        seed: Seed,
        busy_poll: Option<Duration>,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
        let cpuid = seed.cpuid();
        let wake = {
            let waker = waker.clone();
            Box::new(move || {
                if let Err(e) = waker.wake() {
                    tracing::error!("netisr {cpuid}: wake: {e}");
                }
            })
        };
        match cpuid {
            0 => m.port0.set_wake(wake),
            k => m.ports[k - 1].set_wake(wake),
        }
        let memory_ready = Arc::new(AtomicBool::new(false));
        let lingering = Lingering::new(busy_poll);
        let place = Place::default();
        std::thread::Builder::new().name(format!("netisr {cpuid}")).spawn(move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let cpu = PerCpu::default();
                let queues = Vec::new();
                let (armed, bundles) = (None, Bundles::default());
                let t = NetisrThread {
                    m,
                    poll,
                    waker,
                    memory_ready,
                    timer,
                    armed,
                    queues,
                    bundles,
                    lingering,
                    place,
                    cpu,
                };
                let failed = t.service_loop(seed).err();
                // Whoever hears of panics sees to it that it is read.
                assert!(failed.is_none(), "netisr {cpuid}: {failed:?}");
            }));
            if ended.is_err() {
                std::process::abort();
            }
        })
    }

    /// `netmsg_service_loop`
    fn service_loop(mut self, seed: Seed) -> io::Result<()> {
        let mut token = match seed.cpuid() {
            0 => NetisrToken::Zero(seed.claim0(Box::new(PortSync::new(self.m.ports.clone())))),
            _ => NetisrToken::Other(seed.claim()),
        };
        let mut events = Events::with_capacity(64);
        loop {
            let (flow, more) = token.run(&self.m, &self.cpu);
            if flow == Flow::Halt {
                return Ok(());
            }
            self.drop_queues();
            self.take_new_queues()?;
            self.arm_timer(token.deadline(&self.m))?;
            let still = self.cpu.still.get();
            let busy = more || (!still && self.queues.iter().flatten().any(|q| q.ready));
            if !busy {
                self.let_gather(token.any().cpuid());
            }
            let lingers = !busy && self.lingering.goes_on(|| self.m.clock().now());
            if lingers && yielded() {
                self.lingering.others_ran(processor);
            }
            self.poll(&mut events, (busy || lingers).then_some(Duration::ZERO))?;
            for event in &events {
                self.note(event);
            }
            if self.memory_ready.swap(false, Ordering::AcqRel) {
                let in_memory = |q: &&mut Queue| q.rx.poll_fd().is_none();
                self.queues.iter_mut().flatten().filter(in_memory).for_each(|q| q.ready = true);
            }
            // What it may not take now it finds by `ready` later.
            if !still {
                self.receive(&token)?;
            }
        }
    }

    /// Until there are events. Whoever was stopped meanwhile is told that first, and not
    /// what has come.
    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            match self.poll.poll(events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Sleeps, if [`Bundles`] says so, until a few frames are there. Callouts are as
    /// due as ever, and a queue that carries what the host sends is not kept waiting.
    #[allow(clippy::disallowed_methods, reason = "each of the frames that are waited for is an event")]
    fn let_gather(&mut self, cpuid: usize) {
        let now = self.m.clock().now();
        let bundles = self.bundles.look(self.m.fates.advertisements(cpuid), now);
        if bundles && !self.queues.iter().flatten().any(|q| q.rx.is_offloaded()) {
            let due = self.armed.map_or(GATHER, |at| Duration::from_nanos(at.0.saturating_sub(now.0)));
            std::thread::sleep(due.min(GATHER));
        }
    }

    fn note(&mut self, event: &Event) {
        match event.token() {
            WAKER => {}
            TIMER => {
                // Edge-triggered and one-shot: what it says is known already.
                self.armed = None;
            }
            Token(t) => {
                if let Some(Some(q)) = self.queues.get_mut(t - FIRST_QUEUE) {
                    q.ready = true;
                }
            }
        }
    }

    /// Takes up to [`RX_BUDGET`] frames from each queue that may have some.
    fn receive(&mut self, token: &NetisrToken) -> io::Result<()> {
        for slot in &mut self.queues {
            let Some(q) = slot.as_mut().filter(|q| q.ready) else { continue };
            let cx = Ctx { m: &self.m, n: token.any(), cpu: &self.cpu };
            let input = if q.rx.is_offloaded() { netisr::input_offloaded } else { netisr::input_batched };
            let received = q.rx.receive(RX_BUDGET, &mut |frame| input(cx, q.if_index, frame));
            netisr::wakeup(cx);
            match received {
                Ok(n) => {
                    q.ready = n == RX_BUDGET;
                    if n > 0 && q.rx.is_offloaded() {
                        self.lingering.came(self.m.clock().now(), processor);
                    }
                }
                Err(e) => {
                    netisr::queue_died(cx, q.if_index, &e);
                    if let Some(fd) = q.rx.poll_fd() {
                        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))?;
                    }
                    *slot = None;
                }
            }
        }
        Ok(())
    }

    /// Those of interfaces that have left without a word to their queue. Closing
    /// takes the descriptor out of the poll too.
    fn drop_queues(&mut self) {
        let gone = self.cpu.gone.take();
        if gone.is_empty() {
            return;
        }
        self.cpu.new_queues.borrow_mut().retain(|(if_index, _)| !gone.contains(if_index));
        let is_gone = |slot: &&mut Option<Queue>| slot.as_ref().is_some_and(|q| gone.contains(&q.if_index));
        self.queues.iter_mut().filter(is_gone).for_each(|slot| *slot = None);
        self.settle();
    }

    fn take_new_queues(&mut self) -> io::Result<()> {
        let mut changed = false;
        for (if_index, mut rx) in self.cpu.new_queues.borrow_mut().drain(..) {
            let at = free_slot(&mut self.queues);
            let token = Token(at + FIRST_QUEUE);
            match rx.poll_fd() {
                Some(fd) => {
                    let interest = Interest::READABLE;
                    self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, interest)?;
                }
                None => {
                    let (ready, waker) = (self.memory_ready.clone(), self.waker.clone());
                    rx.set_waker(Arc::new(move || {
                        ready.store(true, Ordering::Release);
                        let _ = waker.wake();
                    }));
                }
            }
            // What came before it was polled makes no event.
            self.queues[at] = Some(Queue { if_index, rx, ready: true });
            changed = true;
        }
        if changed {
            self.settle();
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.place.settle(self.queues.iter().flatten().find_map(|q| q.rx.processors()));
    }

    /// The timer's resolution is the clock's, a poll's timeout would be
    /// milliseconds.
    fn arm_timer(&mut self, deadline: Option<Time>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        match deadline {
            Some(when) => {
                // 0 would disarm; what is due already fires at once.
                let after = (when - self.m.clock().now()).max(Duration::from_nanos(1));
                let spec = Expiration::OneShot(TimeSpec::from_duration(after));
                self.timer.set(spec, TimerSetTimeFlags::empty())?;
            }
            None => self.timer.unset()?,
        }
        self.armed = deadline;
        Ok(())
    }
}

/// A place that a dead queue has left, or one more. An event that still comes
/// for the dead one only makes the new one look.
fn free_slot<T>(slots: &mut Vec<Option<T>>) -> usize {
    slots.iter().position(Option::is_none).unwrap_or_else(|| {
        slots.push(None);
        slots.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_takes_the_place_of_a_dead_one() {
        let mut slots = Vec::new();
        for n in 0..3 {
            assert_eq!(free_slot(&mut slots), n);
            slots[n] = Some(n);
        }
        slots[1] = None;
        assert_eq!((free_slot(&mut slots), slots.len()), (1, 3));
    }
}
