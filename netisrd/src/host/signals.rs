//! Signals as bytes in a pipe.

use super::parts::{Desk, Flow, Part, Turn};
use mio::Interest;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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

/// Halts the daemon when it is asked to end, by TERM or INT; and by HUP, if it has
/// no configuration to read again and was not started to outlive its terminal.
pub struct Signals(Pipe);

impl Signals {
    /// From now on nothing ends the process in the middle of its work.
    ///
    /// # Errors
    /// No more descriptors.
    pub fn new(ends_with_terminal: bool) -> io::Result<Signals> {
        let hangup = (ends_with_terminal && !is_ignored(SIGHUP)?).then_some(SIGHUP);
        let all: Vec<i32> = [SIGTERM, SIGINT].into_iter().chain(hangup).collect();
        Pipe::new(&all).map(Signals)
    }
}

/// As whoever started the process has said, as nohup(1) does.
fn is_ignored(signal: i32) -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    Ok(mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1))
}

impl Part for Signals {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.0.fd(), SIGNAL, Interest::READABLE)
    }

    fn serve(&mut self, _: &Turn<'_>) -> io::Result<Flow> {
        Ok(if self.0.arrived()? { Flow::Halt } else { Flow::Continue })
    }
}
