//! `sys/msgport.h`: LWKT message ports. A port belongs to one thread, which
//! takes messages from it; any thread may send. Of one kind they come in order;
//! droppable ones go first, and packets last: a wire can send any number of
//! them, and whoever waits for an answer must not wait for a flood.
//!
//! ```text
//! sender                                  owner
//! p  queue.push(m)                        t  queues.pop() = None
//! q  if !pending.swap(true) { wake() }    u  pending.swap(false)
//!                                         v  queues.pop() = None: sleep until woken
//! ```
//!
//! No wakeup is lost: `q` and `u` are steps of one order. If `q` is the later,
//! it finds `false` and wakes; if `u` is, it acquires what `q` released, which
//! `p` is part of, and `v` finds the message. `model.rs` beside this file tries every order.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use concurrent_queue::ConcurrentQueue;
use std::collections::VecDeque;
use std::sync::{OnceLock, PoisonError};

/// Names a droppable message in flight, for [`MsgPort::dropmsg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsgId(u64);

type Wake = Box<dyn Fn() + Send + Sync>;

/// Droppable messages. They are few, and no packet is among them: a lock will
/// do.
struct Droppable<M> {
    queue: VecDeque<(MsgId, M)>,
    seq: u64,
}

struct Port<M> {
    droppable: Mutex<Droppable<M>>,
    /// How many there are, so that the owner need not lock to find none.
    ndroppable: AtomicUsize,
    queue: ConcurrentQueue<M>,
    packets: ConcurrentQueue<M>,
    /// The owner was woken, or will look again before it sleeps.
    pending: AtomicBool,
    wake: OnceLock<Wake>,
}

/// `lwkt_port_t`. Clones are the same port.
pub struct MsgPort<M>(Arc<Port<M>>);

impl<M> Clone for MsgPort<M> {
    fn clone(&self) -> Self {
        MsgPort(self.0.clone())
    }
}

impl<M> Default for MsgPort<M> {
    fn default() -> Self {
        MsgPort(Arc::new(Port {
            droppable: Mutex::new(Droppable { queue: VecDeque::new(), seq: 0 }),
            ndroppable: AtomicUsize::new(0),
            queue: ConcurrentQueue::unbounded(),
            packets: ConcurrentQueue::unbounded(),
            pending: AtomicBool::new(false),
            wake: OnceLock::new(),
        }))
    }
}

impl<M> MsgPort<M> {
    /// How the owner is woken. Once only, and before anybody sends; a
    /// simulator's ports have none.
    pub fn set_wake(&self, wake: Wake) {
        let _ = self.0.wake.set(wake);
    }

    /// `lwkt_sendmsg`: queues and wakes.
    pub fn sendmsg(&self, msg: M) {
        // p. An unbounded queue that nobody closes takes everything.
        let _ = self.0.queue.push(msg);
        self.notify();
    }

    /// `lwkt_sendmsg` with `MSGF_PRIORITY` and `MSGF_DROPABLE`: goes before
    /// all others, and can be taken back until it is dispatched. The owner
    /// sends these to itself, and needs no waking.
    pub fn sendmsg_droppable(&self, msg: M) -> MsgId {
        let mut d = lock(&self.0.droppable);
        d.seq += 1;
        let id = MsgId(d.seq);
        d.queue.push_back((id, msg));
        self.0.ndroppable.store(d.queue.len(), Ordering::Relaxed);
        id
    }

    // q
    fn notify(&self) {
        if !self.0.pending.swap(true, Ordering::Release)
            && let Some(wake) = self.0.wake.get()
        {
            wake();
        }
    }

    /// Queues a packet, behind all other messages, unless `limit` or more of
    /// them wait already: a wire must not fill the memory. Gives the message
    /// back then. Of senders at the same moment each may add one above the
    /// limit.
    pub fn sendmsg_packet(&self, limit: usize, msg: M) -> Result<(), M> {
        self.queue_packet(limit, msg)?;
        self.notify();
        Ok(())
    }

    /// The same for one of several that come together: the owner need not learn of it
    /// before [`wakeup`](MsgPort::wakeup), which whoever queues must call soon.
    pub fn queue_packet(&self, limit: usize, msg: M) -> Result<(), M> {
        if self.0.packets.len() >= limit {
            return Err(msg);
        }
        // p
        let _ = self.0.packets.push(msg);
        Ok(())
    }

    /// Wakes the owner for what was queued.
    pub fn wakeup(&self) {
        self.notify();
    }

    /// `lwkt_dropmsg`: takes a droppable message back that was not yet
    /// dispatched; whether it was still there.
    pub fn dropmsg(&self, id: MsgId) -> bool {
        let mut d = lock(&self.0.droppable);
        let at = d.queue.iter().position(|(i, _)| *i == id);
        let dropped = at.and_then(|i| d.queue.remove(i));
        self.0.ndroppable.store(d.queue.len(), Ordering::Relaxed);
        dropped.is_some()
    }

    /// `lwkt_getport`: the next message, if any. For the owner alone: after
    /// `None` it may sleep, and the next message wakes it.
    pub fn getport(&self) -> Option<M> {
        // t
        if let Some(msg) = self.take() {
            return Some(msg);
        }
        self.settle();
        // v
        self.take()
    }

    /// Whether there is no message; if so the owner may sleep, as after a
    /// `getport` that gave none.
    pub fn is_idle(&self) -> bool {
        if !self.is_empty() {
            return false;
        }
        // u
        Self::settle(self);
        // v
        self.is_empty()
    }

    // u
    fn settle(&self) {
        self.0.pending.swap(false, Ordering::Acquire);
    }

    fn take(&self) -> Option<M> {
        // Relaxed: it was the owner who stored it.
        if self.0.ndroppable.load(Ordering::Relaxed) > 0 {
            let mut d = lock(&self.0.droppable);
            if let Some((_, msg)) = d.queue.pop_front() {
                self.0.ndroppable.store(d.queue.len(), Ordering::Relaxed);
                return Some(msg);
            }
        }
        self.0.queue.pop().or_else(|_| self.0.packets.pop()).ok()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.0.queue.len() + self.0.packets.len() + lock(&self.0.droppable).queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.ndroppable.load(Ordering::Relaxed) == 0 && self.0.queue.is_empty() && self.0.packets.is_empty()
    }
}

/// A panic under a lock of this file leaves nothing half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Slot<R> {
    /// Not answered yet.
    Open,
    Answered(R),
    /// Dropped unanswered, or the answer was taken.
    Closed,
}

struct Exchange<R> {
    slot: Mutex<Slot<R>>,
    changed: Condvar,
}

/// The end of a synchronous message that its handler answers
/// (`lwkt_replymsg`). Dropped unanswered, the sender is told so.
pub struct ReplyPort<R>(Arc<Exchange<R>>);

/// The end that waits.
pub struct Waiting<R>(Arc<Exchange<R>>);

/// A reply port and its waiting end.
pub fn reply_port<R>() -> (ReplyPort<R>, Waiting<R>) {
    let exchange = Arc::new(Exchange { slot: Mutex::new(Slot::Open), changed: Condvar::new() });
    (ReplyPort(exchange.clone()), Waiting(exchange))
}

impl<R> ReplyPort<R> {
    /// Answers. A sender that has gone does not mind.
    pub fn replymsg(self, r: R) {
        // Dropping `self` wakes the sender.
        *lock(&self.0.slot) = Slot::Answered(r);
    }
}

impl<R> Drop for ReplyPort<R> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0.slot);
        if let Slot::Open = *slot {
            *slot = Slot::Closed;
        }
        drop(slot);
        self.0.changed.notify_one();
    }
}

impl<R> Waiting<R> {
    /// Waits; `None` if the message was dropped without an answer. Who may wait
    /// is for [`domsg`](crate::net::netisr::domsg) to say.
    pub(crate) fn wait(self) -> Option<R> {
        let mut slot = lock(&self.0.slot);
        while let Slot::Open = *slot {
            slot = self.0.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut slot)
    }

    /// The answer, if it is there already.
    pub fn poll(&self) -> Option<R> {
        take(&mut lock(&self.0.slot))
    }
}

fn take<R>(slot: &mut Slot<R>) -> Option<R> {
    match std::mem::replace(slot, Slot::Closed) {
        Slot::Answered(r) => Some(r),
        other => {
            *slot = other;
            None
        }
    }
}

#[cfg(all(test, loom))]
mod model;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn droppable_messages_go_first_and_order_is_kept() {
        let p = MsgPort::default();
        for m in ["a", "b"] {
            p.sendmsg(m);
        }
        for m in ["P", "Q"] {
            p.sendmsg_droppable(m);
        }
        let got: Vec<_> = std::iter::from_fn(|| p.getport()).collect();
        assert_eq!(got, ["P", "Q", "a", "b"]);
    }

    #[test]
    fn a_dropped_message_never_arrives_and_a_dispatched_one_cannot_be_dropped() {
        let p = MsgPort::default();
        let a = p.sendmsg_droppable('a');
        let b = p.sendmsg_droppable('b');
        assert!(p.dropmsg(b));
        assert!(!p.dropmsg(b));
        assert_eq!(p.getport(), Some('a'));
        assert!(!p.dropmsg(a));
        assert_eq!(p.getport(), None);
    }

    #[test]
    fn the_owner_is_woken_once_for_a_burst() {
        let p = MsgPort::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let w = woken.clone();
        p.set_wake(Box::new(move || {
            w.fetch_add(1, Ordering::Relaxed);
        }));
        for _ in 0..3 {
            p.sendmsg(());
        }
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        while p.getport().is_some() {}
        p.sendmsg(());
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn packets_that_come_together_wake_the_owner_after_the_last() {
        let p = MsgPort::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let w = woken.clone();
        p.set_wake(Box::new(move || {
            w.fetch_add(1, Ordering::Relaxed);
        }));
        let queued = [1, 2, 3].map(|msg| p.queue_packet(2, msg));
        assert_eq!((queued, woken.load(Ordering::Relaxed)), ([Ok(()), Ok(()), Err(3)], 0));
        p.wakeup();
        p.wakeup();
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let got: Vec<_> = std::iter::from_fn(|| p.getport()).collect();
        assert_eq!(got, [1, 2]);
    }

    #[test]
    fn packets_are_refused_when_they_are_too_many_and_go_behind_all_other_messages() {
        let p = MsgPort::default();
        assert_eq!(p.sendmsg_packet(2, 1), Ok(()));
        assert_eq!(p.sendmsg_packet(2, 2), Ok(()));
        assert_eq!(p.sendmsg_packet(2, 3), Err(3));
        p.sendmsg(4);
        p.sendmsg(5);
        assert_eq!(p.len(), 4);
        let got: Vec<_> = std::iter::from_fn(|| p.getport()).collect();
        assert_eq!(got, [4, 5, 1, 2]);
    }

    #[test]
    fn a_message_dropped_without_an_answer_does_not_hang_its_sender() {
        let (reply, waiting) = reply_port::<()>();
        drop(reply);
        assert_eq!(waiting.wait(), None);
    }
}
