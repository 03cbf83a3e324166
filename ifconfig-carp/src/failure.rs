//! Why a command stops, and the one line that says so.

use crate::printable::one_line;
use crate::syscalls::CallError;
use compat::sys::errno::Errno;
use std::fmt;
use std::io;

/// Why a command stops with status 1.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The options make no sense together: the usage text follows.
    Usage,
    /// One line.
    Message(String),
    /// The machine refused `call`.
    Kernel { call: String, errno: Errno },
    /// The machine did not answer.
    Call(CallError),
    /// Standard output.
    Output(io::Error),
    /// Lines about all that went wrong are out already.
    Reported,
}

impl Failure {
    pub(crate) fn message(text: impl Into<String>) -> Failure {
        Failure::Message(text.into())
    }

    /// The errno, if it was the machine that refused.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Failure::Kernel { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Says nothing: it is the reader who went away (`| head`).
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Failure::Output(e) => e.kind() == io::ErrorKind::BrokenPipe,
            Failure::Reported => true,
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage | Failure::Reported => Ok(()),
            Failure::Message(text) => f.write_str(&one_line(text)),
            // ifconfig.c: Perror
            Failure::Kernel { call, errno: Errno::ENXIO } => write!(f, "{call}: no such interface"),
            Failure::Kernel { call, errno: Errno::EPERM } => write!(f, "{call}: permission denied"),
            Failure::Kernel { call, errno } => write!(f, "{call}: {errno}"),
            Failure::Call(e) => f.write_str(&one_line(&e.to_string())),
            Failure::Output(e) => write!(f, "stdout: {e}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::Output(e)
    }
}

impl From<CallError> for Failure {
    fn from(e: CallError) -> Failure {
        Failure::Call(e)
    }
}
