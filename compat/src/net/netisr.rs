//! `net/netisr.h`, `netisr.c`: the network threads' way of waiting for each
//! other.
//!
//! Who may wait for whom is a matter of types. A process ([`Proc`]) may
//! [`domsg`] a netisr; netisr0 waits for all others in
//! [`service_sync`](crate::qsbr::service_sync), through [`PortSync`]. Netisr 1
//! to n-1 have neither: one of them waiting for netisr0 while netisr0
//! synchronises would hang both.

use crate::qsbr::{self, Brand, Seed, Synchronize};
use crate::sys::msgport::{MsgPort, ReplyPort, reply_port};
use core::marker::PhantomData;

/// The context of a process in a system call: the right to wait. It stays on
/// the thread that booted the machine. (Which machine it does not say: a netisr
/// that boots another one to get it has broken the rule with open eyes.)
pub struct Proc {
    here: PhantomData<*mut ()>,
}

/// The brand and the tokens of a machine of `n` netisrs, and its process
/// context.
pub fn boot(n: usize) -> (Brand, Vec<Seed>, Proc) {
    let (brand, seeds) = qsbr::machine(n);
    (brand, seeds, Proc { here: PhantomData })
}

/// `lwkt_domsg`: sends and waits. `None` if the message was dropped without an
/// answer. The port's netisr must still run: after a halt nobody answers.
pub fn domsg<M, R>(_: &Proc, port: &MsgPort<M>, msg: impl FnOnce(ReplyPort<R>) -> M) -> Option<R> {
    let (reply, waiting) = reply_port();
    port.sendmsg(msg(reply));
    waiting.wait()
}

/// The message of `netmsg_service_sync()`: its handler replies it after
/// [`Netisr::quiescent`](crate::qsbr::Netisr::quiescent).
pub struct SyncMsg(pub ReplyPort<()>);

/// The transport of `netmsg_service_sync()` between threads: a message to each
/// other netisr, and a wait for each reply.
pub struct PortSync<M>(Vec<MsgPort<M>>);

impl<M: From<SyncMsg>> PortSync<M> {
    /// `ports`: those of netisr 1 to n-1.
    pub fn new(ports: Vec<MsgPort<M>>) -> PortSync<M> {
        PortSync(ports)
    }
}

impl<M: From<SyncMsg>> Synchronize for PortSync<M> {
    fn synchronize(&mut self) {
        // All are asked before any is waited for: the round trips overlap.
        let replies: Vec<_> = self
            .0
            .iter()
            .map(|port| {
                let (reply, waiting) = reply_port();
                port.sendmsg(SyncMsg(reply).into());
                waiting
            })
            .collect();
        for r in replies {
            // Netisrs end after netisr0: each is there to reply.
            let _ = r.wait();
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An owner on a thread of its own, who sleeps as a netisr does.
    #[test]
    fn a_process_is_answered_whatever_packets_come() {
        const CALLS: u32 = if cfg!(miri) { 5 } else { 500 };
        let (_, _, process) = boot(1);
        let port: MsgPort<Option<ReplyPort<u32>>> = MsgPort::default();
        let (wake, woken) = std::sync::mpsc::channel();
        port.set_wake(Box::new(move || wake.send(()).unwrap()));
        let answered = std::thread::scope(|s| {
            let owner = port.clone();
            let owner = s.spawn(move || {
                let mut answered = 0;
                while answered < CALLS {
                    match owner.getport() {
                        Some(Some(reply)) => {
                            answered += 1;
                            reply.replymsg(answered);
                        }
                        Some(None) => {}
                        None => woken.recv().unwrap(),
                    }
                }
                answered
            });
            let packets = port.clone();
            s.spawn(move || {
                for _ in 0..CALLS {
                    // A port that is full refuses it.
                    let _ = packets.sendmsg_packet(8, None);
                }
            });
            for n in 1..=CALLS {
                assert_eq!(domsg(&process, &port, Some), Some(n));
            }
            owner.join().unwrap()
        });
        assert_eq!(answered, CALLS);
    }
}
