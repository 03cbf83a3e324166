//! One netisr as an OS thread: a mio poll over its port's waker, the receive
//! queues that it owns, and its next callout.

use crate::dev::RxQueue;
use crate::machine::{Ctx, Machine, PerCpu};
use crate::net::netisr::{self, Flow};
use compat::net::netisr::PortSync;
use compat::qsbr::{Netisr, Netisr0, Seed};
use compat::sys::time::Time;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sched::sched_getcpu;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Frames taken from one queue before messages and other queues have a turn.
const RX_BUDGET: usize = 64;
const WAKER: Token = Token(0);
const TIMER: Token = Token(1);
const FIRST_QUEUE: usize = 2;

/// How often it is looked at how many advertisements there are.
const WINDOW: Duration = Duration::from_millis(10);
/// From so many a millisecond on they are nobody's: 255 virtual hosts of twenty
/// routers each have fewer.
const FLOOD_PER_MS: u64 = 8;
/// How long frames gather then.
const GATHER: Duration = Duration::from_micros(500);

/// Whether advertisements are taken in bundles: the kernel wakes a reader for each
/// frame that it did not expect, and that costs more than to judge it. So whoever
/// floods the wire with them is looked at from time to time, as `ifpoll` does.
#[derive(Default)]
struct Bundles {
    on: bool,
    since: Time,
    seen: u64,
}

impl Bundles {
    /// So many have come until now.
    fn look(&mut self, advertisements: u64, now: Time) -> bool {
        let passed = now - self.since;
        if passed >= WINDOW {
            let most = FLOOD_PER_MS * u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            self.on = advertisements - self.seen > most;
            (self.since, self.seen) = (now, advertisements);
        }
        self.on
    }
}

/// For how long a netisr that carries what the host sends looks for the next frame
/// before it sleeps. To be woken on another processor costs more than the frame: a
/// request and its answer would wait for it twice.
const BUSY_POLL: Duration = Duration::from_micros(100);
/// For how long it does not while whoever makes the answer needs its processor.
const CROWDED: Duration = Duration::from_millis(100);

/// Whether it looks: only while frames follow each other that closely, so that
/// whoever asks from time to time costs nothing; and not where others wait for its
/// processor, for there it is woken at once.
#[derive(Default)]
struct Lingering {
    most: Duration,
    last: Time,
    on: bool,
    /// How often it has lingered in turn and others have waited.
    waited: u32,
    /// Which processor has others that wait, and until when it counts as one.
    crowded: Option<(usize, Time)>,
}

impl Lingering {
    /// For `asked`, if somebody has said so.
    fn new(asked: Option<Duration>) -> Lingering {
        let alone = std::thread::available_parallelism().is_ok_and(|n| n.get() == 1);
        let most = asked.unwrap_or(if alone { Duration::ZERO } else { BUSY_POLL });
        Lingering { most, ..Lingering::default() }
    }

    /// Frames have come. `processor`: where it runs, as the scheduler likes.
    fn came(&mut self, now: Time, processor: impl Fn() -> usize) {
        if self.on {
            self.waited = 0;
        }
        self.crowded = self.crowded.filter(|(at, until)| now < *until && *at == processor());
        self.on = now - self.last < self.most && self.crowded.is_none();
        self.last = now;
    }

    fn goes_on(&mut self, now: impl FnOnce() -> Time) -> bool {
        self.on = self.on && now() - self.last < self.most;
        self.on
    }

    /// Others have had the processor: they make the answer, or something else once.
    fn others_ran(&mut self, processor: impl Fn() -> usize) {
        self.on = false;
        self.waited += 1;
        if self.waited > 1 {
            (self.waited, self.crowded) = (0, Some((processor(), self.last + CROWDED)));
        }
    }
}

/// Where this thread runs; nobody asks for the number.
fn processor() -> usize {
    sched_getcpu().unwrap_or_default()
}

/// Lets others run on this processor, if they wait for it; whether some did.
fn yielded() -> bool {
    let switches = || getrusage(UsageWho::RUSAGE_THREAD).map(|used| used.involuntary_context_switches()).ok();
    let before = switches();
    std::thread::yield_now();
    before != switches()
}

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
            match self.poll.poll(&mut events, (busy || lingers).then_some(Duration::ZERO)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
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
    }

    fn take_new_queues(&mut self) -> io::Result<()> {
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
        }
        Ok(())
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
    fn a_flood_is_taken_in_bundles_until_it_ends() {
        let mut bundles = Bundles::default();
        let ms = |n: u64| Time(n * 1_000_000);
        // Many, but over a long time; then more than anybody has; then none.
        let looks = [(1_000, 500), (1_050, 510), (1_132, 520), (1_132, 525), (1_132, 530)];
        let said = looks.map(|(advertisements, at)| bundles.look(advertisements, ms(at)));
        assert_eq!(said, [false, false, true, true, false]);
    }

    #[test]
    fn a_netisr_looks_for_the_next_frame_while_they_follow_each_other() {
        let us = |n: u64| Time(n * 1_000);
        let mut l = Lingering { most: Duration::from_micros(50), ..Lingering::default() };
        l.came(us(1_000), || 0);
        assert!(!l.goes_on(|| us(1_001)), "the first one for long");
        l.came(us(1_049), || 0);
        assert!(l.goes_on(|| us(1_098)));
        assert!(!l.goes_on(|| us(1_099)));
        assert!(!l.goes_on(|| us(1_098)), "it sleeps until another comes");
        l.came(us(1_100), || 0);
        assert!(!l.goes_on(|| us(1_100)), "51 us after that one");
        l.came(us(1_110), || 0);
        assert!(l.goes_on(|| us(1_110)));
        let mut never = Lingering::new(Some(Duration::ZERO));
        never.came(us(1), || 0);
        never.came(us(1), || 0);
        assert!(!never.goes_on(|| us(1)));
    }

    #[test]
    fn where_others_wait_for_the_processor_it_sleeps() {
        let mut l = Lingering { most: Duration::from_micros(50), ..Lingering::default() };
        let mut now = Time(1_000_000);
        let mut lingers = |l: &mut Lingering, processor: usize| {
            now = now + Duration::from_micros(10);
            l.came(now, || processor);
            l.goes_on(|| now)
        };
        assert!(!lingers(&mut l, 0));
        // Once is nothing, if it then finds a frame.
        for _ in 0..2 {
            assert!(lingers(&mut l, 0));
            l.others_ran(|| 0);
            assert!(!l.goes_on(|| Time(0)));
            assert!(lingers(&mut l, 0) && lingers(&mut l, 0));
        }
        for _ in 0..2 {
            assert!(lingers(&mut l, 0));
            l.others_ran(|| 0);
        }
        assert!(!lingers(&mut l, 0) && !lingers(&mut l, 0));
        assert!(lingers(&mut l, 1), "that is another one");
        assert!(lingers(&mut l, 0), "and what was is forgotten");
    }

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
