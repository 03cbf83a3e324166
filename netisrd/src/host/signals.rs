//! Signals as bytes in a pipe.

use super::parts::{Desk, Flow, Part, Turn};
use mio::Interest;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

const SIGNAL: usize = 0;

/// From now on these signals end nothing, and are here.
pub(super) struct Pipe(UnixStream);

impl Pipe {
    pub(super) fn new(of: &[i32]) -> io::Result<Pipe> {
        let (read, write) = UnixStream::pair()?;
        for signal in of {
            signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
        }
        read.set_nonblocking(true)?;
        Ok(Pipe(read))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether any has come since this was asked last. What came before it was
    /// registered may make no event, so it is asked at each turn.
    pub(super) fn arrived(&mut self) -> io::Result<bool> {
        match self.0.read(&mut [0; 16]) {
            Ok(n) => Ok(n > 0),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Halts the daemon when it is asked to end, by TERM or INT.
pub struct Signals(Pipe);

impl Signals {
    /// From now on nothing ends the process in the middle of its work.
    ///
    /// # Errors
    /// No more descriptors.
    pub fn new() -> io::Result<Signals> {
        Pipe::new(&[SIGTERM, SIGINT]).map(Signals)
    }
}

impl Part for Signals {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.0.fd(), SIGNAL, Interest::READABLE)
    }

    fn serve(&mut self, _: &Turn<'_>) -> io::Result<Flow> {
        Ok(if self.0.arrived()? { Flow::Halt } else { Flow::Continue })
    }
}
