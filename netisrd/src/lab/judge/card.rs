//! A card that remembers what goes through it, and what netisr0 gets of it.

use super::answers::Says;
use crate::dev::{Device, RxQueue, Transmit, Waker};
use crate::lab::model::Advert;
use crate::net::netisr::Netmsg0;
use crate::sim::Observer;
use compat::net::if_::{IfName, LinkState};
use compat::sys::errno::Errno;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was done since somebody looked. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Acts(Arc<Mutex<Vec<Act>>>);

/// What was done.
pub(super) enum Act {
    /// The card of that number was given an advertisement to send; whether the
    /// wire took it.
    Sent(usize, Advert, bool),
    /// A card was given a frame that says where an address is.
    Says(usize, Says),
    /// A card has handed a frame to its machine.
    Took,
    /// netisr0 is about to look at an advertisement that came in there.
    Heard(IfName, Advert),
    /// netisr0 is about to learn that the link of an interface came or went.
    Link(u16, bool),
}

impl Acts {
    /// The card, remembering.
    pub(super) fn wrap(&self, card: usize, mut dev: Device) -> Device {
        dev.tx = Arc::new(Tx { card, inner: dev.tx, acts: self.clone() });
        let rx = |inner| -> Box<dyn RxQueue> { Box::new(Rx { inner, acts: self.clone() }) };
        dev.rx = dev.rx.into_iter().map(rx).collect();
        dev
    }

    /// Who sees what every netisr0 is about to do.
    pub(super) fn observer(&self) -> Observer {
        let acts = self.clone();
        Box::new(move |_, msg| match msg {
            Netmsg0::Carp(m) => {
                if let Some(ad) = Advert::parse(&m.data) {
                    acts.push(Act::Heard(m.rcvif.if_xname, ad));
                }
            }
            Netmsg0::LinkState(if_index, state) => {
                acts.push(Act::Link(*if_index, *state != LinkState::Down));
            }
            _ => {}
        })
    }

    /// All of it, in order.
    pub(super) fn take(&self) -> Vec<Act> {
        core::mem::take(&mut *self.lock())
    }

    fn push(&self, act: Act) {
        self.lock().push(act);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Act>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tx {
    card: usize,
    inner: Arc<dyn Transmit>,
    acts: Acts,
}

impl Transmit for Tx {
    fn transmit(&self, queue: usize, frame: &[u8]) -> Result<(), Errno> {
        let result = self.inner.transmit(queue, frame);
        if let Some(ad) = Advert::parse(frame) {
            self.acts.push(Act::Sent(self.card, ad, result.is_ok()));
        } else if let Some(says) = Says::parse(frame) {
            self.acts.push(Act::Says(self.card, says));
        }
        result
    }

    fn set_promisc(&self, on: bool) -> Result<(), Errno> {
        self.inner.set_promisc(on)
    }
}

struct Rx {
    inner: Box<dyn RxQueue>,
    acts: Acts,
}

impl RxQueue for Rx {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn set_waker(&mut self, wake: Waker) {
        self.inner.set_waker(wake);
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> std::io::Result<usize> {
        let Rx { inner, acts } = self;
        inner.receive(budget, &mut |frame| {
            acts.push(Act::Took);
            input(frame);
        })
    }
}
