//! A carp interface in the host, on the tap path: the host's stack sends and
//! hears by it, and the machine is the wire behind it. It goes with the process.

use super::in_hand::InHand;
use super::tap::{self, TapRx};
use super::{OFFLOADED_MAX, Offload, RxQueue, link, sys};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use nix::errno::Errno as Linux;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the host need not finish itself, the better the rarer it is: an older
/// kernel does not know the last.
const OFFLOADS: [libc::c_uint; 2] = [TSO | libc::TUN_F_USO4 | libc::TUN_F_USO6, TSO];
const TSO: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// The tap.
pub struct CarpTap {
    name: IfName,
    queues: Vec<Arc<OwnedFd>>,
    /// Of each queue.
    in_hand: Vec<Arc<InHand>>,
    carrier: AtomicBool,
    hushed: AtomicBool,
}

impl CarpTap {
    /// Makes it, with a queue for each netisr, down and without a carrier.
    ///
    /// # Errors
    /// One sentence: no permission, an interface of that name exists.
    pub fn open(name: &str, queues: usize) -> io::Result<(CarpTap, Vec<Box<dyn RxQueue>>)> {
        let ifname = tap::tap_name(name)?;
        let fds = tap::attach_queues(ifname, queues, libc::IFF_VNET_HDR)?;
        let (tap, rx) = CarpTap::with(ifname, fds, false);
        let first = tap.first().map_err(|e| sys::failed(name, e))?;
        let offload = |flags| sys::tun_set_offload(first.as_fd(), flags);
        let done = OFFLOADS.into_iter().map(offload).find(|done| *done != Err(Linux::EINVAL));
        done.unwrap_or(Err(Linux::EINVAL)).map_err(|e| sys::failed(name, e))?;
        tap.set_carrier(false).map_err(|e| sys::failed(name, e))?;
        Ok((tap, rx))
    }

    /// One of another process, by its queues' descriptors. It stays as it is.
    ///
    /// # Errors
    /// Not a name of an interface.
    pub fn adopt(
        name: &str,
        queues: Vec<OwnedFd>,
        carrier: bool,
    ) -> io::Result<(CarpTap, Vec<Box<dyn RxQueue>>)> {
        Ok(CarpTap::with(tap::tap_name(name)?, queues.into_iter().map(Arc::new).collect(), carrier))
    }

    fn with(name: IfName, queues: Vec<Arc<OwnedFd>>, carrier: bool) -> (CarpTap, Vec<Box<dyn RxQueue>>) {
        let in_hand: Vec<Arc<InHand>> = queues.iter().map(|_| Arc::default()).collect();
        let rx = queues.iter().zip(&in_hand).map(|(fd, in_hand)| -> Box<dyn RxQueue> {
            let buf = vec![0; OFFLOADED_MAX].into_boxed_slice();
            let (fd, in_hand) = (fd.clone(), in_hand.clone());
            Box::new(TapRx { name, fd, buf, is_offloaded: true, in_hand })
        });
        let rx = rx.collect();
        let (carrier, hushed) = (AtomicBool::new(carrier), AtomicBool::new(false));
        (CarpTap { name, queues, in_hand, carrier, hushed }, rx)
    }

    /// Without them it would be gone: whoever has them can go on with it.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.queues.iter().map(|fd| fd.as_fd())
    }

    /// Its carrier. Without one it takes no frame.
    ///
    /// # Errors
    /// It was removed.
    pub fn set_carrier(&self, on: bool) -> nix::Result<()> {
        if !on {
            self.carrier.store(false, Ordering::Release);
        }
        sys::tun_set_carrier(self.first()?.as_fd(), on)?;
        if on {
            // Whoever asks has it take effect at once; till then the host's answers are
            // lost. Under another name it takes its time.
            match link::by_name(self.name.as_str()) {
                Err(e) if e != Linux::ENODEV => return Err(e),
                _ => {}
            }
        }
        self.carrier.store(on, Ordering::Release);
        if on {
            self.hushed.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn first(&self) -> nix::Result<&OwnedFd> {
        self.queues.first().map(|fd| &**fd).ok_or(Linux::ENXIO)
    }
}

impl Offload for CarpTap {
    fn transmit_offloaded(&self, queue: usize, frame: &[u8]) -> Result<(), Errno> {
        tap::write(&self.queues, queue, frame)
    }

    fn has_carrier(&self) -> bool {
        self.carrier.load(Ordering::Acquire)
    }

    fn hush(&self) {
        self.hushed.store(true, Ordering::Release);
        self.in_hand.iter().for_each(|in_hand| in_hand.wait());
    }

    fn is_hushed(&self) -> bool {
        self.hushed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::dev::VNET_HDR_LEN;
    use crate::dev::testns::{BROADCAST, PEER, arp, error_of, in_namespace, ip};

    #[test]
    fn it_has_the_carrier_that_it_is_given_and_passes_frames_with_their_headers() {
        let name = "it_has_the_carrier_that_it_is_given_and_passes_frames_with_their_headers";
        in_namespace(module_path!(), name, || {
            let (tap, mut rx) = CarpTap::open("carp0", 1).unwrap();
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/carp0/disable_ipv6", "1");
            ip("link set carp0 up");
            assert!(!tap.has_carrier() && !link::by_name("carp0").unwrap().passes_frames());
            let watch = link::Watch::new().unwrap();
            tap.hush();
            assert!(tap.is_hushed());
            tap.set_carrier(true).unwrap();
            assert!(!tap.is_hushed());
            let until = std::time::Instant::now() + crate::dev::testns::PATIENCE;
            while !link::by_name("carp0").unwrap().passes_frames() {
                assert!(watch.wait(until).unwrap());
            }
            assert!(tap.has_carrier() && rx[0].is_offloaded());
            // From the host, and to it.
            ip("addr add 192.0.2.3/24 dev carp0");
            ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:ee dev carp0");
            let there = std::net::UdpSocket::bind("192.0.2.3:7").unwrap();
            there.send_to(&[7; 9000], "192.0.2.9:7").unwrap();
            let mut first = Vec::new();
            crate::dev::testns::wait_readable(rx[0].as_ref(), until);
            rx[0].receive(1, &mut |f| first = f[VNET_HDR_LEN..].to_vec()).unwrap();
            assert_eq!(&first[..6], &PEER);
            let asked = [vec![0; VNET_HDR_LEN], arp(BROADCAST, PEER, 3)].concat();
            tap.transmit_offloaded(0, &asked).unwrap();
            let us = link::by_name("carp0").unwrap().lladdr.unwrap();
            let mut answers = Vec::new();
            while !answers.iter().any(|f: &Vec<u8>| f[VNET_HDR_LEN + 12..][..2] == [8, 6]) {
                crate::dev::testns::wait_readable(rx[0].as_ref(), until);
                rx[0].receive(8, &mut |f| answers.push(f.to_vec())).unwrap();
            }
            let answer = answers.pop().unwrap();
            assert_eq!(
                (&answer[VNET_HDR_LEN..][..6], &answer[VNET_HDR_LEN + 6..][..6]),
                (&PEER[..], &us[..])
            );
        });
    }

    #[test]
    fn a_removed_one_is_noticed() {
        in_namespace(module_path!(), "a_removed_one_is_noticed", || {
            let (tap, mut rx) = CarpTap::open("carp0", 2).unwrap();
            let again = CarpTap::open("carp0", 2).map(drop).unwrap_err();
            assert_eq!(again.to_string(), "tap carp0: an interface of that name exists already");
            ip("link del carp0");
            for queue in &mut rx {
                assert_eq!(error_of(queue.as_mut()).to_string(), "tap carp0: the interface was removed");
            }
            assert_eq!(tap.transmit_offloaded(1, &[0; 100]), Err(Errno::ENXIO));
            assert!(tap.set_carrier(true).is_err() && !tap.has_carrier());
            // Its name is free, whoever still has the old one's descriptors.
            CarpTap::open("carp0", 1).unwrap();
        });
    }
}
