//! A card in memory that is never empty while it is told so: a wire at full
//! rate without a thread that fills it.

use crate::lab::{ethernet, ipv4, virtual_mac};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use netisrd::dev::{DataPath, Device, RxQueue, Transmit, Waker};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xcc];
/// Different sources, so that every netisr gets its share.
const SOURCES: u8 = 64;

/// Turns it on and off.
#[derive(Default)]
pub(crate) struct Flood {
    on: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Flood {
    /// A card with so many queues, off.
    pub(crate) fn card(lladdr: [u8; 6], queues: usize) -> (Arc<Flood>, Device) {
        let flood = Arc::new(Flood::default());
        // to nobody's port at carp1: as far as a packet goes that needs no answer
        let frame = |source| {
            let packet =
                ipv4(Ipv4Addr::new(10, 77, 2, source), Ipv4Addr::new(10, 77, 1, 1), 17, 64, &[0; 36]);
            ethernet(virtual_mac(1), CLIENT, 0x0800, &packet)
        };
        let frames: Arc<[_]> = (1..=SOURCES).map(frame).collect();
        let queue = |_| -> Box<dyn RxQueue> {
            Box::new(Queue { flood: flood.clone(), frames: frames.clone(), next: 0 })
        };
        let device = Device {
            name: IfName::new("em0").expect("a name"),
            host_index: 0,
            lladdr,
            mtu: 1500,
            rx: (0..queues).map(queue).collect(),
            tx: Arc::new(Sink),
            shared_with_host: false,
            path: DataPath::None,
            addrs: Vec::new(),
        };
        (flood, device)
    }

    pub(crate) fn set(&self, on: bool) {
        self.on.store(on, Ordering::Release);
        if on {
            let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.iter().for_each(|wake| wake());
        }
    }
}

struct Queue {
    flood: Arc<Flood>,
    frames: Arc<[Vec<u8>]>,
    next: usize,
}

impl RxQueue for Queue {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn set_waker(&mut self, wake: Waker) {
        self.flood.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        if !self.flood.on.load(Ordering::Acquire) {
            return Ok(0);
        }
        for _ in 0..budget {
            input(&self.frames[self.next % self.frames.len()]);
            self.next += 1;
        }
        Ok(budget)
    }
}

/// Where advertisements go.
struct Sink;

impl Transmit for Sink {
    fn transmit(&self, _: usize, _: &[u8]) -> Result<(), Errno> {
        Ok(())
    }

    fn set_promisc(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }
}
