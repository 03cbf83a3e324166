//! Into namespaces of its own, and out of them whatever happens.
//!
//! The program starts itself again, as pid 1 of a pid namespace. Standard input
//! of that one is a pipe to which nobody writes: when the first one ends, by
//! whatever, the pipe does, then pid 1, and with it every process, interface,
//! namespace and mount. It has a process group of its own, so that a Ctrl-C
//! reaches only the first one, which can say what it has done.

use super::play;
use crate::lab::scenario::Scenario;
use nix::unistd::geteuid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{env, thread};

/// Inside, the status of a run that was not as expected: `unshare` has 1 for
/// itself.
pub const NOT_AS_EXPECTED: u8 = 3;
/// A shell's status for a Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// `unshare` options: namespaces in which whatever is made ends with pid 1.
pub const BASE: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// And in front of them, of a user who is not root.
pub const USER: [&str; 2] = ["--user", "--map-root-user"];

/// The way into what runs inside: open as long as that may live, closed by a
/// signal.
enum Lifeline {
    Open(Option<ChildStdin>),
    Interrupted,
}

/// How what ran inside has ended.
pub enum Ended {
    /// By itself.
    Status(ExitStatus),
    /// By a signal to this process, with all that it has made.
    Interrupted,
}

/// This program in namespaces by these options of `unshare`, still to be given
/// arguments.
///
/// # Errors
/// Nobody knows where this program is.
pub fn command(flags: &[&str]) -> Result<Command, String> {
    let exe = env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("unshare");
    command.args(flags).arg("--").arg(exe);
    command.env("PATH", with_sbin()).env("LC_ALL", "C");
    Ok(command)
}

/// Runs it to its end. Its standard input is the pipe that it is to end with.
///
/// # Errors
/// It cannot be started, or waited for.
pub fn confine(mut command: Command) -> Result<Ended, String> {
    command.stdin(Stdio::piped()).process_group(0);
    // Before there is anything to clean up.
    let lifeline = Arc::new(Mutex::new(Lifeline::Open(None)));
    cut_on_signals(lifeline.clone())?;
    let mut child = command.spawn().map_err(|e| format!("unshare: {e}"))?;
    let stdin = child.stdin.take();
    match &mut *lock(&lifeline) {
        Lifeline::Open(held) => *held = stdin,
        Lifeline::Interrupted => drop(stdin),
    }
    let status = child.wait().map_err(|e| format!("unshare: {e}"))?;
    Ok(match &*lock(&lifeline) {
        Lifeline::Interrupted => Ended::Interrupted,
        Lifeline::Open(_) => Ended::Status(status),
    })
}

/// Runs this program inside with these arguments; its exit status.
///
/// # Errors
/// In one line, why this machine does not allow it, or how it ended.
pub fn outside(scenario: &Scenario, arguments: &[&OsStr]) -> Result<u8, String> {
    if let Some(missing) = play::missing(scenario) {
        return Err(cannot(&missing));
    }
    let mut command = command(&flags().map_err(|e| cannot(&e))?)?;
    command.args(arguments);
    match confine(command)? {
        Ended::Status(status) => told(status),
        Ended::Interrupted => {
            eprintln!("netisrd: interrupted; nothing is left");
            Ok(INTERRUPTED)
        }
    }
}

fn cannot(why: &str) -> String {
    format!("real devices cannot be made here: {why}")
}

/// What the lab's own status means; any other is none of its own.
fn told(status: ExitStatus) -> Result<u8, String> {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(NOT_AS_EXPECTED) => Ok(1),
        Some(status @ (0 | 2)) => Ok(status),
        _ => Err(format!("the lab ended early: {status}")),
    }
}

fn cut_on_signals(lifeline: Arc<Mutex<Lifeline>>) -> Result<(), String> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|e| e.to_string())?;
    let wait = move || signals.forever().for_each(|_| *lock(&lifeline) = Lifeline::Interrupted);
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop).map_err(|e| e.to_string())
}

fn lock(lifeline: &Mutex<Lifeline>) -> MutexGuard<'_, Lifeline> {
    lifeline.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The `unshare` options that this machine allows, or in a line why none.
fn flags() -> Result<Vec<&'static str>, String> {
    let as_root = geteuid().is_root().then(|| BASE.to_vec());
    let mut why = String::new();
    for flags in as_root.into_iter().chain([[&USER[..], &BASE].concat()]) {
        let mut probe = Command::new("unshare");
        probe.args(&flags).arg("true").stdin(Stdio::null());
        match probe.output() {
            Ok(out) if out.status.success() => return Ok(flags),
            Ok(out) => why = String::from_utf8_lossy(&out.stderr).trim().replace('\n', "; "),
            Err(e) => why = format!("unshare: {e}"),
        }
    }
    Err(why)
}

/// `PATH` with the folders that users need not have in theirs.
pub fn with_sbin() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Inside, before anything is made: ends with whoever is outside, and has a
/// `/run` of its own.
///
/// # Errors
/// In one line, what is not allowed here.
pub fn inside() -> Result<(), String> {
    let end_with_outside = || {
        // Nobody writes to it.
        while io::stdin().read(&mut [0]).is_ok_and(|n| n > 0) {}
        // Nothing is said: who would be told is gone.
        std::process::exit(2);
    };
    thread::Builder::new().name("lifeline".into()).spawn(end_with_outside).map_err(|e| e.to_string())?;
    // -n: without a note in the /run that is hidden.
    let mut mount = Command::new("mount");
    super::net::feed(mount.args(["-n", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]), "")
        .map_err(|e| cannot(&e))
}
