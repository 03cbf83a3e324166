//! TERM and INT as bytes in a pipe.

use super::parts::{Desk, Flow, Part, Turn};
use mio::Interest;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

const SIGNAL: usize = 0;

/// Halts the daemon when it is asked to end.
pub struct Signals(UnixStream);

impl Signals {
    /// From now on nothing ends the process in the middle of its work.
    pub fn new() -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        read.set_nonblocking(true)?;
        Ok(Signals(read))
    }
}

impl Part for Signals {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(&self.0, SIGNAL, Interest::READABLE)
    }

    fn serve(&mut self, _: &Turn<'_>) -> io::Result<Flow> {
        // What came before it was registered may make no event.
        match self.0.read(&mut [0; 16]) {
            Ok(n) if n > 0 => Ok(Flow::Halt),
            Ok(_) => Ok(Flow::Continue),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(Flow::Continue)
            }
            Err(e) => Err(e),
        }
    }
}
