//! A carp interface in the host, on the tap path: the host's stack sends and
//! hears by it, and the machine is the wire behind it. It goes with the process.

use super::tap::{self, TapRx};
use super::{OFFLOADED_MAX, Offload, RxQueue, sys};
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
    queues: Vec<Arc<OwnedFd>>,
    carrier: AtomicBool,
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
        let rx = queues.iter().map(|fd| -> Box<dyn RxQueue> {
            let buf = vec![0; OFFLOADED_MAX].into_boxed_slice();
            Box::new(TapRx { name, fd: fd.clone(), buf, is_offloaded: true })
        });
        let rx = rx.collect();
        (CarpTap { queues, carrier: AtomicBool::new(carrier) }, rx)
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
        self.carrier.store(on, Ordering::Release);
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
}
