//! The port and the reply under loom: a wakeup that is lost leaves its thread
//! waiting for ever, which loom reports as a deadlock.

use super::*;
use loom::thread;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // `LOOM_MAX_PREEMPTIONS` may say less.
    builder.preemption_bound.get_or_insert(3);
    builder.check(model);
}

/// What the owner sleeps on: mio's waker, whose count stays until it is read.
#[derive(Default)]
struct Sleep {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Sleep {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

fn port_and_sleep<M: 'static>() -> (MsgPort<M>, Arc<Sleep>) {
    let (port, sleep) = (MsgPort::default(), Arc::new(Sleep::default()));
    let wake = sleep.clone();
    port.set_wake(Box::new(move || wake.wake()));
    (port, sleep)
}

/// The owner's loop: all that is there, then sleep.
fn receive<M>(port: &MsgPort<M>, sleep: &Sleep, mut count: usize, mut dispatch: impl FnMut(M)) {
    while count > 0 {
        match port.getport() {
            Some(m) => {
                dispatch(m);
                count -= 1;
            }
            None => sleep.sleep(),
        }
    }
}

/// `q` and `u` alone, around a message that has no order of its own: the
/// queue's could hide what theirs lack.
#[test]
fn a_message_without_any_order_is_not_lost() {
    use crate::sync::atomic::AtomicU32;
    check(|| {
        let (port, sleep) = port_and_sleep::<()>();
        let messages = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let senders = [0, 1].map(|i| {
            let (port, messages) = (port.clone(), messages.clone());
            thread::spawn(move || {
                messages[i].store(1, Ordering::Relaxed);
                port.notify();
            })
        });
        let all = || messages.iter().all(|m| m.load(Ordering::Relaxed) == 1);
        while !all() {
            port.settle();
            if !all() {
                sleep.sleep();
            }
        }
        senders.into_iter().for_each(|s| s.join().unwrap());
    });
}

#[test]
fn two_senders_lose_no_wakeup() {
    check(|| {
        let (port, sleep) = port_and_sleep();
        let senders = [1, 2].map(|m| {
            let port = port.clone();
            thread::spawn(move || port.sendmsg(m))
        });
        let mut sum = 0;
        receive(&port, &sleep, 2, |m| sum += m);
        assert_eq!(sum, 3);
        senders.into_iter().for_each(|s| s.join().unwrap());
    });
}

/// A packet wakes as a message does, and goes behind it when both are there.
#[test]
fn a_packet_and_a_message_lose_no_wakeup() {
    check(|| {
        let (port, sleep) = port_and_sleep();
        let sender = {
            let port = port.clone();
            thread::spawn(move || port.sendmsg_packet(1, 1).unwrap())
        };
        let other = {
            let port = port.clone();
            thread::spawn(move || port.sendmsg(2))
        };
        let mut sum = 0;
        receive(&port, &sleep, 2, |m| sum += m);
        assert_eq!(sum, 3);
        sender.join().unwrap();
        other.join().unwrap();
    });
}

/// Whoever has queued two and wakes once, while the owner may find the first before.
#[test]
fn packets_that_come_together_lose_no_wakeup() {
    check(|| {
        let (port, sleep) = port_and_sleep();
        let sender = {
            let port = port.clone();
            thread::spawn(move || {
                (1..=2).for_each(|m| port.queue_packet(2, m).unwrap());
                port.wakeup();
            })
        };
        let mut sum = 0;
        receive(&port, &sleep, 2, |m| sum += m);
        assert_eq!(sum, 3);
        sender.join().unwrap();
    });
}

#[test]
fn one_sender_twice_keeps_its_order() {
    check(|| {
        let (port, sleep) = port_and_sleep();
        let sender = {
            let port = port.clone();
            thread::spawn(move || [1, 2].into_iter().for_each(|m| port.sendmsg(m)))
        };
        let mut seen = Vec::new();
        receive(&port, &sleep, 2, |m| seen.push(m));
        assert_eq!(seen, [1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn a_droppable_message_of_the_owner_goes_first_and_keeps_nobody_asleep() {
    check(|| {
        let (port, sleep) = port_and_sleep();
        let sender = {
            let port = port.clone();
            thread::spawn(move || port.sendmsg(1))
        };
        let id = port.sendmsg_droppable(2);
        port.sendmsg_droppable(3);
        assert!(port.dropmsg(id));
        let mut seen = Vec::new();
        receive(&port, &sleep, 2, |m| seen.push(m));
        assert_eq!(seen, [3, 1]);
        sender.join().unwrap();
    });
}

/// `domsg`: the answer arrives, or the message is dropped and the sender told.
fn domsg(answer: bool) {
    let (port, sleep) = port_and_sleep::<ReplyPort<u32>>();
    let (reply, waiting) = reply_port();
    let caller = {
        let port = port.clone();
        thread::spawn(move || {
            port.sendmsg(reply);
            waiting.wait()
        })
    };
    receive(&port, &sleep, 1, |reply| {
        if answer {
            reply.replymsg(7);
        }
    });
    assert_eq!(caller.join().unwrap(), answer.then_some(7));
}

#[test]
fn an_answer_arrives() {
    check(|| domsg(true));
}

#[test]
fn a_message_that_is_dropped_does_not_hang_its_sender() {
    check(|| domsg(false));
}
