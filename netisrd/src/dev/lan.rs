//! A cable in memory: a hub between the cards of machines in one process.
//!
//! ```text
//!   transmit --> wire lock: observers, then every other port's queue --> wakers
//! ```
//!
//! The order of frames is the same for all: the order of the transmissions;
//! ports hear in the order they were attached. With one thread, or one thread
//! at a time, a run repeats exactly.
//!
//! A [`Medium`] may lose, change, double or delay what is sent; what is delayed
//! waits in the cable until [`Lan::arrive`].

use super::{DataPath, Device, RxQueue, Transmit, Waker, check_len};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use compat::sys::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Frames a queue holds; those beyond are dropped and counted.
pub const QUEUE_LEN: usize = 1024;
/// `ETHERMTU`
const MTU: u32 = 1500;

/// Sees each frame with the index of the port that sent it.
pub type Observer = Box<dyn Fn(usize, &[u8]) + Send + Sync>;

/// A frame that arrives at a port.
pub struct Arrival {
    /// Where.
    pub port: usize,
    /// When; `None` for at once.
    pub at: Option<Time>,
    /// What.
    pub frame: Arc<[u8]>,
}

/// What becomes of frames between the ports.
pub trait Medium: Send {
    /// Port `from` has sent `frame`; the ports in `to`, which are not `from`,
    /// would hear it. What arrives is pushed to `arrivals`.
    fn carry(&mut self, from: usize, frame: &Arc<[u8]>, to: &[usize], arrivals: &mut Vec<Arrival>);
}

/// A medium that drops what `passes` says no to: of each frame, with the index
/// of the port that sent it.
pub fn filter(passes: impl Fn(usize, &[u8]) -> bool + Send + 'static) -> Box<dyn Medium> {
    struct Filter<F>(F);
    impl<F: Fn(usize, &[u8]) -> bool + Send> Medium for Filter<F> {
        fn carry(&mut self, from: usize, frame: &Arc<[u8]>, to: &[usize], arrivals: &mut Vec<Arrival>) {
            if (self.0)(from, frame) {
                arrivals.extend(to.iter().map(|port| Arrival {
                    port: *port,
                    at: None,
                    frame: frame.clone(),
                }));
            }
        }
    }
    Box::new(Filter(passes))
}

#[derive(Default)]
struct Wire {
    observers: Vec<Observer>,
    medium: Option<Box<dyn Medium>>,
}

/// A hub. Ports are counted from 0 in the order they were attached, and an
/// index is not used again.
#[derive(Default)]
pub struct Lan {
    /// Held while a frame is on the cable, so that it also is the order of frames.
    wire: Mutex<Wire>,
    /// Held for moments only, never while foreign code runs.
    state: Mutex<State>,
}

/// Frames and their ports, by the time and the order of arrival.
type UnderWay = BTreeMap<(Time, u64), (usize, Arc<[u8]>)>;

#[derive(Default)]
struct State {
    ports: Vec<Port>,
    drops: u64,
    under_way: UnderWay,
    seq: u64,
}

struct Port {
    name: IfName,
    up: bool,
    /// What sending fails with, if it does.
    fault: Option<Errno>,
    /// None once the card is gone.
    queues: Vec<Option<Queue>>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Arc<[u8]>>,
    wake: Option<Waker>,
}

impl Lan {
    /// A cable with no ports.
    pub fn new() -> Arc<Lan> {
        Arc::default()
    }

    /// A new card on the cable, its link up, with `queues` receive queues (at
    /// least one). The card leaves when both its queues and its sending side
    /// are dropped.
    pub fn attach(self: &Arc<Lan>, name: IfName, lladdr: [u8; 6], queues: usize) -> Device {
        let queues = queues.max(1);
        let mut state = self.state();
        let port = state.ports.len();
        let slots = (0..queues).map(|_| Some(Queue::default())).collect();
        state.ports.push(Port { name, up: true, fault: None, queues: slots });
        drop(state);
        let rx = (0..queues).map(|queue| -> Box<dyn RxQueue> {
            Box::new(LanRx { lan: Arc::clone(self), port, queue, taken: VecDeque::new() })
        });
        Device {
            name,
            host_index: 0,
            lladdr,
            mtu: MTU,
            rx: rx.collect(),
            tx: Arc::new(LanTx { lan: Arc::clone(self), port }),
            shared_with_host: false,
            path: DataPath::None,
            addrs: Vec::new(),
        }
    }

    /// Frames that found a queue full.
    pub fn drops(&self) -> u64 {
        self.state().drops
    }

    /// Shows `observer` each frame before any port hears it. The observer may
    /// cut and mend links and look at drops; it must not transmit or tap.
    pub fn tap(&self, observer: Observer) {
        lock(&self.wire).observers.push(observer);
    }

    /// From now on frames go by `medium`; observers see those too that do not
    /// arrive. `None`: all arrive at once.
    pub fn set_medium(&self, medium: Option<Box<dyn Medium>>) {
        lock(&self.wire).medium = medium;
    }

    /// When the next of what is under way arrives.
    pub fn next_arrival(&self) -> Option<Time> {
        self.state().under_way.keys().next().map(|(at, _)| *at)
    }

    /// Lets arrive what is due.
    pub fn arrive(&self, now: Time) {
        let mut wakers = Vec::new();
        let mut state = self.state();
        while let Some(first) = state.under_way.first_entry().filter(|e| e.key().0 <= now) {
            let (port, frame) = first.remove();
            wakers.extend(state.deliver(port, frame));
        }
        drop(state);
        wakers.iter().for_each(|wake| wake());
    }

    /// From now on sending on that port fails with `fault`, if there is one.
    pub fn set_port_fault(&self, port: usize, fault: Option<Errno>) {
        if let Some(p) = self.state().ports.get_mut(port) {
            p.fault = fault;
        }
    }

    /// Cuts or mends the links of all cards called `name`, and says how many
    /// there are: two machines may name theirs alike. A port whose link is
    /// down sends nothing (`ENETDOWN`) and gets nothing; what its queues hold
    /// stays, as in a card's ring.
    pub fn set_link(&self, name: IfName, up: bool) -> usize {
        self.state().ports.iter_mut().filter(|p| p.name == name).map(|p| p.up = up).count()
    }

    /// [`set_link`](Lan::set_link) of one port; false when there is no such port.
    pub fn set_port_link(&self, port: usize, up: bool) -> bool {
        self.state().ports.get_mut(port).map(|p| p.up = up).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn transmit(&self, from: usize, frame: &[u8]) -> Result<(), Errno> {
        check_len(frame, MTU)?;
        let mut wire = lock(&self.wire);
        let mut state = self.state();
        let port = state.ports.get(from).ok_or(Errno::ENXIO)?;
        if let Some(fault) = port.fault {
            return Err(fault);
        }
        if !port.up {
            return Err(Errno::ENETDOWN);
        }
        if !wire.observers.is_empty() {
            // They may look at the cable.
            drop(state);
            wire.observers.iter().for_each(|observe| observe(from, frame));
            state = self.state();
        }
        let frame: Arc<[u8]> = frame.into();
        let hearing = state.hearing(from);
        let mut wakers = Vec::new();
        match &mut wire.medium {
            None => hearing.into_iter().for_each(|to| wakers.extend(state.deliver(to, frame.clone()))),
            Some(medium) => {
                let mut arrivals = Vec::new();
                medium.carry(from, &frame, &hearing, &mut arrivals);
                arrivals.into_iter().for_each(|a| wakers.extend(state.accept(a)));
            }
        }
        drop(state);
        drop(wire);
        wakers.iter().for_each(|wake| wake());
        Ok(())
    }
}

impl State {
    /// The ports that hear what `from` sends.
    fn hearing(&self, from: usize) -> Vec<usize> {
        let up = self.ports.iter().enumerate().filter(|(n, p)| *n != from && p.up);
        up.map(|(n, _)| n).collect()
    }

    fn accept(&mut self, a: Arrival) -> Option<Waker> {
        match a.at {
            None => self.deliver(a.port, a.frame),
            Some(at) => {
                self.seq += 1;
                self.under_way.insert((at, self.seq), (a.port, a.frame));
                None
            }
        }
    }

    /// Queues a frame at a port, and says whom to wake. A link that is down,
    /// and a card that is gone, take nothing.
    fn deliver(&mut self, port: usize, frame: Arc<[u8]>) -> Option<Waker> {
        let port = self.ports.get_mut(port).filter(|p| p.up)?;
        let index = match port.queues.len() {
            1 => 0,
            n => flow_hash(&frame) as usize % n,
        };
        let queue = port.queues.get_mut(index)?.as_mut()?;
        if queue.frames.len() >= QUEUE_LEN {
            self.drops += 1;
            return None;
        }
        queue.frames.push_back(frame);
        if queue.frames.len() == 1 { queue.wake.clone() } else { None }
    }

    fn slot(&mut self, port: usize, queue: usize) -> Option<&mut Option<Queue>> {
        self.ports.get_mut(port)?.queues.get_mut(queue)
    }

    fn queue(&mut self, port: usize, queue: usize) -> Option<&mut Queue> {
        self.slot(port, queue)?.as_mut()
    }
}

impl fmt::Debug for Lan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let ports: Vec<_> = state.ports.iter().map(|p| (p.name, p.up)).collect();
        f.debug_struct("Lan").field("ports", &ports).field("drops", &state.drops).finish_non_exhaustive()
    }
}

/// A panic of an observer or a reader leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Equal for the frames of one flow: of the IP addresses and, where they are
/// whole, the TCP and UDP ports; of the Ethernet header for all else. FNV-1a.
fn flow_hash(frame: &[u8]) -> u32 {
    let bytes = |at: usize, n: usize| frame.get(at..at + n).unwrap_or_default();
    let ports = |proto: u8, at: usize| if matches!(proto, 6 | 17) { bytes(at, 4) } else { &[] };
    let (addrs, ports) = match bytes(12, 2) {
        [0x08, 0x00] => {
            let header = usize::from(frame.get(14).copied().unwrap_or(0) & 0xf) * 4;
            // Later fragments have no ports, and all of a packet stay together.
            let fragment = matches!(bytes(20, 2), [hi, lo] if hi & 0x3f != 0 || *lo != 0);
            let proto = frame.get(23).copied().filter(|_| !fragment).unwrap_or(0);
            (bytes(26, 8), ports(proto, 14 + header))
        }
        [0x86, 0xdd] => (bytes(22, 32), ports(frame.get(20).copied().unwrap_or(0), 54)),
        _ => (bytes(0, 14), &[][..]),
    };
    addrs.iter().chain(ports).fold(0x811c_9dc5, |h: u32, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

struct LanRx {
    lan: Arc<Lan>,
    port: usize,
    queue: usize,
    /// The frames of the present call, kept for its allocation.
    taken: VecDeque<Arc<[u8]>>,
}

impl RxQueue for LanRx {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn set_waker(&mut self, wake: Waker) {
        let waiting = self.lan.state().queue(self.port, self.queue).is_some_and(|q| {
            q.wake = Some(Arc::clone(&wake));
            !q.frames.is_empty()
        });
        if waiting {
            wake();
        }
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        self.taken.clear();
        let mut more = None;
        if let Some(queue) = self.lan.state().queue(self.port, self.queue) {
            let n = budget.min(queue.frames.len());
            self.taken.extend(queue.frames.drain(..n));
            if !queue.frames.is_empty() {
                more.clone_from(&queue.wake);
            }
        }
        // Without a lock: `input` may transmit.
        let done = self.taken.len();
        self.taken.drain(..).for_each(|frame| input(&frame));
        if let Some(wake) = more {
            wake();
        }
        Ok(done)
    }
}

impl Drop for LanRx {
    fn drop(&mut self) {
        let gone = self.lan.state().slot(self.port, self.queue).and_then(Option::take);
        // Outside the lock, since the waker in it is foreign code.
        drop(gone);
    }
}

struct LanTx {
    lan: Arc<Lan>,
    port: usize,
}

impl Transmit for LanTx {
    fn transmit(&self, _queue: usize, frame: &[u8]) -> Result<(), Errno> {
        self.lan.transmit(self.port, frame)
    }

    fn set_promisc(&self, _on: bool) -> Result<(), Errno> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "lan_tests.rs"]
mod tests;
