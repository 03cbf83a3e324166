//! `sys/msgport.h`: LWKT message ports. A port belongs to one thread, which
//! takes messages from it in order, priority messages first; any thread may
//! send. A droppable message can be taken back until it is dispatched.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// `MSGF_PRIORITY`, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// In the order of arrival.
    Normal,
    /// Before all normal messages.
    Priority,
}

/// Names a message in flight, for [`MsgPort::dropmsg`] (`MSGF_DROPABLE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsgId(u64);

type Wake = Box<dyn Fn() + Send + Sync>;

struct Queues<M> {
    prio: VecDeque<(MsgId, M)>,
    normal: VecDeque<(MsgId, M)>,
    seq: u64,
}

struct Port<M> {
    queues: Mutex<Queues<M>>,
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
        let queues = Queues { prio: VecDeque::new(), normal: VecDeque::new(), seq: 0 };
        MsgPort(Arc::new(Port { queues: Mutex::new(queues), wake: OnceLock::new() }))
    }
}

impl<M> MsgPort<M> {
    /// What to call when the port turns from empty to not empty. Once only;
    /// a simulator's ports have none.
    pub fn set_wake(&self, wake: Wake) {
        let _ = self.0.wake.set(wake);
    }

    fn lock(&self) -> MutexGuard<'_, Queues<M>> {
        // A panic under the lock cannot leave a queue half changed.
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `lwkt_sendmsg`: queues and wakes. The id is good for `dropmsg`.
    pub fn sendmsg(&self, prio: Priority, msg: M) -> MsgId {
        self.queue(self.lock(), prio, msg)
    }

    /// Queues a normal message unless `limit` of them wait already: a wire
    /// must not fill the memory. Gives the message back then.
    pub fn sendmsg_bounded(&self, limit: usize, msg: M) -> Result<(), M> {
        let q = self.lock();
        if q.normal.len() >= limit {
            return Err(msg);
        }
        self.queue(q, Priority::Normal, msg);
        Ok(())
    }

    fn queue(&self, mut q: MutexGuard<'_, Queues<M>>, prio: Priority, msg: M) -> MsgId {
        q.seq += 1;
        let id = MsgId(q.seq);
        let was_empty = q.prio.is_empty() && q.normal.is_empty();
        match prio {
            Priority::Priority => q.prio.push_back((id, msg)),
            Priority::Normal => q.normal.push_back((id, msg)),
        }
        drop(q);
        if was_empty && let Some(wake) = self.0.wake.get() {
            wake();
        }
        id
    }

    /// `lwkt_dropmsg`: takes a priority message back that was not yet
    /// dispatched; whether it was still there.
    pub fn dropmsg(&self, id: MsgId) -> bool {
        let mut q = self.lock();
        let at = q.prio.iter().position(|(i, _)| *i == id);
        at.and_then(|i| q.prio.remove(i)).is_some()
    }

    /// `lwkt_getport`: the next message, if any.
    pub fn getport(&self) -> Option<M> {
        let mut q = self.lock();
        q.prio.pop_front().or_else(|| q.normal.pop_front()).map(|(_, m)| m)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        let q = self.lock();
        q.prio.len() + q.normal.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end of a synchronous message that its handler answers
/// (`lwkt_replymsg`). Dropped unanswered, the sender is told so.
pub struct ReplyPort<R>(mpsc::Sender<R>);

/// The end that waits.
pub struct Waiting<R>(mpsc::Receiver<R>);

/// A reply port and its waiting end.
pub fn reply_port<R>() -> (ReplyPort<R>, Waiting<R>) {
    let (tx, rx) = mpsc::channel();
    (ReplyPort(tx), Waiting(rx))
}

impl<R> ReplyPort<R> {
    /// Answers. A sender that has gone does not mind.
    pub fn replymsg(self, r: R) {
        let _ = self.0.send(r);
    }
}

impl<R> Waiting<R> {
    /// Waits; `None` if the message was dropped without an answer.
    pub fn wait(self) -> Option<R> {
        self.0.recv().ok()
    }

    /// The answer, if it is there already.
    pub fn poll(&self) -> Option<R> {
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn priority_goes_first_and_order_is_kept() {
        let p = MsgPort::default();
        for m in ["a", "b"] {
            p.sendmsg(Priority::Normal, m);
        }
        for m in ["P", "Q"] {
            p.sendmsg(Priority::Priority, m);
        }
        let got: Vec<_> = std::iter::from_fn(|| p.getport()).collect();
        assert_eq!(got, ["P", "Q", "a", "b"]);
    }

    #[test]
    fn a_dropped_message_never_arrives_and_a_dispatched_one_cannot_be_dropped() {
        let p = MsgPort::default();
        let a = p.sendmsg(Priority::Priority, 'a');
        let b = p.sendmsg(Priority::Priority, 'b');
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
            p.sendmsg(Priority::Normal, ());
        }
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        while p.getport().is_some() {}
        p.sendmsg(Priority::Normal, ());
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_bounded_port_refuses_what_is_too_much_but_never_a_plain_message() {
        let p = MsgPort::default();
        assert_eq!(p.sendmsg_bounded(2, 1), Ok(()));
        assert_eq!(p.sendmsg_bounded(2, 2), Ok(()));
        assert_eq!(p.sendmsg_bounded(2, 3), Err(3));
        p.sendmsg(Priority::Normal, 4);
        assert_eq!(p.getport(), Some(1));
        assert_eq!(p.len(), 2);
    }

    #[test]
    fn a_message_dropped_without_an_answer_does_not_hang_its_sender() {
        let (reply, waiting) = reply_port::<()>();
        drop(reply);
        assert_eq!(waiting.wait(), None);
    }
}
