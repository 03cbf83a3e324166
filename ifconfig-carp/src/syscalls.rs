//! The boundary between a command and the machine it talks to.

use compat::sys::ctlsock::{Reply, Request};
use std::fmt;
use std::io::BufRead;
use std::path::Path;

/// What a command needs of the machine: its `ioctl(2)` and `sysctl(3)`.
pub trait Syscalls {
    /// Makes one system call. An errno of the machine is a [`Reply`]; the
    /// error is for a call that got no answer.
    fn call(&mut self, request: &Request) -> Result<Reply, CallError>;

    /// Waits for what the machine tells a routing socket. An error is the end.
    fn hear(&mut self) -> Result<Reply, CallError> {
        Err(CallError::new("this machine tells nothing"))
    }

    /// The lines of the machine's event socket, at `path` or where it is by
    /// default.
    fn events(&mut self, path: Option<&Path>) -> Result<Box<dyn BufRead>, CallError> {
        let _ = path;
        Err(CallError::new("this machine has no event socket"))
    }

    /// `-S PATH`: the user names the machine by its socket. Comes before the
    /// first call, if at all; a machine in the same process has no use for it.
    fn select(&mut self, path: &Path) {
        let _ = path;
    }
}

/// A system call that got no answer, as the text of an error line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError(String);

impl CallError {
    /// With `text`, which needs neither the program's name nor a newline.
    pub fn new(text: impl Into<String>) -> CallError {
        CallError(text.into())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CallError {}
