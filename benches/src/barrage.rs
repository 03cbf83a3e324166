//! Frames at a constant rate: each batch is what has become due, in one system
//! call.

use crate::cpus;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg, socket,
};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

/// Frames in one system call.
const BATCH: usize = 128;
/// What is due and late beyond that is not sent: a sender that was kept waiting does
/// not make up for it by a rate that nobody asked for.
const MOST: u64 = 2048;
/// How long it sleeps when nothing is due.
const NAP: Duration = Duration::from_micros(200);

/// Frames, and where they are sent.
pub(crate) struct Barrage {
    fd: OwnedFd,
    frames: Vec<Vec<u8>>,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) time: Duration,
}

impl Barrage {
    /// Out of that interface, one frame after the other and from the first again.
    pub(crate) fn new(dev: &str, frames: Vec<Vec<u8>>) -> Barrage {
        assert!(!frames.is_empty(), "nothing to send");
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None).expect("a packet socket");
        let of = getifaddrs().expect("interfaces").filter(|ifa| ifa.interface_name == dev);
        let mut link = of.filter_map(|ifa| ifa.address).filter_map(|addr| addr.as_link_addr().copied());
        bind(fd.as_raw_fd(), &link.next().unwrap_or_else(|| panic!("no interface {dev}"))).expect("bind");
        Barrage { fd, frames }
    }

    /// So many a second for so long, from the first processor.
    pub(crate) fn fire(&self, rate: u32, time: Duration) -> Sent {
        thread::scope(|s| s.spawn(|| self.pace(rate, time)).join()).expect("who sends does not panic")
    }

    fn pace(&self, rate: u32, time: Duration) -> Sent {
        cpus::stay_on(0);
        let slices: Vec<_> = self.frames.iter().map(|f| [IoSlice::new(f)]).collect();
        let mut headers = MultiHeaders::<LinkAddr>::preallocate(BATCH, None);
        let nowhere_else = [None::<LinkAddr>; BATCH];
        let (begun, mut sent, mut forgone) = (Instant::now(), 0_u64, 0_u64);
        loop {
            let elapsed = begun.elapsed();
            if elapsed >= time {
                return Sent { frames: sent, time: elapsed };
            }
            let due = (elapsed.as_secs_f64() * f64::from(rate)) as u64 - forgone;
            if due == sent {
                thread::sleep(NAP);
                continue;
            }
            forgone += (due - sent).saturating_sub(MOST);
            let at = sent as usize % slices.len();
            let batch = &slices[at..][..BATCH.min(slices.len() - at).min((due - sent).min(MOST) as usize)];
            let flags = MsgFlags::empty();
            let done = sendmmsg(self.fd.as_raw_fd(), &mut headers, batch, nowhere_else, [], flags);
            sent += done.expect("frames that leave").count() as u64;
        }
    }
}
