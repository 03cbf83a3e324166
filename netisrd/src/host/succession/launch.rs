//! A successor in the background, for whoever only types a command: it is started,
//! and the command ends once it goes on.
//!
//! ```text
//!   netisrd upgrade --- netisrd start-successor --- netisrd --takeover
//!                       ends at once                begins then, a child of init
//! ```
//! systemd would stop a service whose main process is not its own child without
//! letting it bow out: it kills what it cannot wait for.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write, stdin, stdout};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The option of one that says so.
pub const TELLS: &str = "tell-ready";
/// The command of the process between.
pub const START: &str = "start-successor";
/// How it does.
const READY: &str = "ready\n";

/// Have this program go on in the place of the running netisrd, if that is another
/// one; if not, have it read its configuration again.
#[derive(clap::Args)]
pub struct Upgrade {
    /// The running netisrd
    pid: u32,

    /// Options of netisrd that it is to have
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// Start it, and leave it to init.
#[derive(clap::Args)]
pub struct Start {
    /// Options of netisrd that it is to have
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// This program.
fn netisrd() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("netisrd");
    command
}

impl Start {
    /// It has this process's standard files.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self) -> io::Result<()> {
        netisrd().arg("--takeover").arg(format!("--{TELLS}")).args(&self.options).spawn().map(drop)
    }
}

impl Upgrade {
    /// The options that this program is to have.
    pub fn options(&self) -> &[OsString] {
        &self.options
    }

    /// Whether another file was started there than here. One of the same name in its
    /// place is another one.
    ///
    /// # Errors
    /// There is no such process, or it is somebody else's.
    pub fn is_another(&self) -> io::Result<bool> {
        let program = |of: &str| {
            let path = PathBuf::from(format!("/proc/{of}/exe"));
            let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
            fs::metadata(&path).map(|meta| (meta.dev(), meta.ino())).map_err(named)
        };
        Ok(program("self")? != program(&self.pid.to_string())?)
    }

    /// Starts it, and waits until it goes on. It has this process's standard error.
    ///
    /// # Errors
    /// It does not start; or it has ended, and said why.
    pub fn launch(&self) -> io::Result<()> {
        let mut command = netisrd();
        // Nothing of them is this one's own.
        command.arg(START).arg("--").args(&self.options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).current_dir("/");
        let mut between = command.spawn()?;
        let begins = between.stdin.take();
        let ended = between.wait()?;
        if !ended.success() {
            return Err(io::Error::other(format!("the new one was not started: {ended}")));
        }
        drop(begins);
        let mut said = String::new();
        between.stdout.take().map_or(Ok(0), |out| BufReader::new(out).read_line(&mut said))?;
        match said.as_str() {
            READY => Ok(()),
            _ => Err(io::Error::other("the new one has ended")),
        }
    }
}

/// Waits until whoever has started it is gone: its standard input ends.
///
/// # Errors
/// It cannot be read.
pub fn orphaned() -> io::Result<()> {
    stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// It goes on, and says so to whoever has started it.
///
/// # Errors
/// Nobody listens.
pub fn tell_ready() -> io::Result<()> {
    let mut out = stdout();
    out.write_all(READY.as_bytes())?;
    out.flush()
}
