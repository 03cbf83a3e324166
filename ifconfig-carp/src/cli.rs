//! What the four programs share: arguments in, status out.

use crate::failure::Failure;
use crate::socket::UnixSocket;
use crate::syscalls::Syscalls;
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// An entry point: `argv` (with the program's name first), the machine,
/// stdout, stderr; the exit status comes back.
pub type Run = fn(&[OsString], &mut dyn Syscalls, &mut dyn Write, &mut dyn Write) -> u8;

/// `main` of a program: its own arguments, and the machine behind the control
/// socket.
pub fn run_program(run: Run) -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let mut stdout = io::stdout().lock();
    let mut stderr = io::stderr().lock();
    ExitCode::from(run(&argv, &mut UnixSocket::new(), &mut stdout, &mut stderr))
}

/// What a program is called and how it is used.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) usage: &'static str,
}

impl Program {
    /// Options in front of the words. clap's own messages run over several
    /// lines and suggest things; BSD prints its usage text.
    pub(crate) fn options<T: Parser>(&self, argv: &[OsString]) -> Result<T, Failure> {
        T::try_parse_from(argv).map_err(|_| Failure::Usage)
    }

    /// `-h`
    pub(crate) fn help(&self, stdout: &mut dyn Write) -> Result<(), Failure> {
        Ok(stdout.write_all(self.usage.as_bytes())?)
    }

    /// `-V`
    pub(crate) fn version(&self, stdout: &mut dyn Write) -> Result<(), Failure> {
        Ok(writeln!(stdout, "{} {}", self.name, env!("CARGO_PKG_VERSION"))?)
    }

    /// Writes what is left to write and makes the exit status.
    pub(crate) fn finish(
        &self,
        result: Result<(), Failure>,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> u8 {
        match result.and(stdout.flush().map_err(Failure::Output)) {
            Ok(()) => 0,
            Err(failure) => {
                self.complain(&failure, stderr);
                1
            }
        }
    }

    /// The line on stderr. If that cannot be written either, nobody is there
    /// to be told.
    pub(crate) fn complain(&self, failure: &Failure, stderr: &mut dyn Write) {
        let _ = match failure {
            Failure::Usage => stderr.write_all(self.usage.as_bytes()),
            silent if silent.is_silent() => Ok(()),
            other => writeln!(stderr, "{}: {other}", self.name),
        };
    }
}
