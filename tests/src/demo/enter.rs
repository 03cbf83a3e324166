//! Into namespaces of its own, and out of them whatever happens.
//!
//! Standard input of what runs inside is a pipe that is never written: when
//! the process outside ends, however it ends, the pipe does, then pid 1 inside,
//! and with that every process, interface and mount. A Ctrl-C reaches only the
//! process outside, since what is inside has a process group of its own.

use super::Args;
use super::real::Real;
use crate::lab::{self, Needs, Said, command, find_program};
use netisrd::lab::real::enter::{self, BASE, Ended, INTERRUPTED, USER};
use nix::unistd::geteuid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::fs::OpenOptions;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

/// Says to a copy of this program what it is for.
const STAGE: &str = "NETISRD_DEMO_STAGE";
/// Where [`lab::run`] learns that it is inside.
const LAB_INSIDE: &str = "NETISRD_LAB_INSIDE";

/// What a copy of this program inside namespaces is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// To try out whether namespaces, bridges and taps are allowed.
    Probe,
    /// The demo.
    Inside,
}

/// What this process is for, if it is such a copy.
pub fn stage() -> Option<Stage> {
    match env::var(STAGE).ok()?.as_str() {
        "probe" => Some(Stage::Probe),
        "inside" => Some(Stage::Inside),
        _ => None,
    }
}

/// A panic is a line on stderr and status 1, in whatever thread it is: a
/// laboratory reports every fault by one.
pub fn report_panics_in_a_line() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("panic").replace('\n', " ");
        let place = info.location().map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
        eprintln!("demo: {text}{place}");
        std::process::exit(1);
    }));
}

/// Ctrl-C and the like end the process; nothing outside it was made.
pub fn exit_on_signals() {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).expect("signal handlers");
    let wait = move || {
        if signals.forever().next().is_some() {
            eprintln!("demo: interrupted");
            std::process::exit(INTERRUPTED.into());
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).expect("a thread");
}

/// The `unshare` options with which this machine allows the demo.
///
/// # Errors
/// In one line, why it does not.
pub fn flags() -> Result<Vec<&'static str>, String> {
    let user = [&USER[..], &BASE].concat();
    let as_root = geteuid().is_root().then(|| BASE.to_vec());
    let mut why = None;
    for flags in [user].into_iter().chain(as_root) {
        match try_out(&flags) {
            Ok(()) => return Ok(flags),
            Err(e) => why.get_or_insert(e),
        };
    }
    Err(why.unwrap_or_default())
}

fn try_out(flags: &[&str]) -> Result<(), String> {
    let said = inner(flags, "probe").stdin(Stdio::null()).output().map_err(|e| format!("unshare: {e}"))?;
    if said.status.success() {
        return Ok(());
    }
    let text = [said.stderr, said.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    Err(text.lines().next().map_or_else(|| format!("unshare: {}", said.status), str::to_owned))
}

fn inner(flags: &[&str], stage: &str) -> Command {
    let mut command = enter::command(flags).expect("this program's path");
    command.env(STAGE, stage);
    command
}

/// Inside, for a moment: makes one of everything that the demo makes.
pub fn probe() -> ExitCode {
    match probe_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn probe_all() -> Result<(), String> {
    for program in ["ip", "bridge", "mount"] {
        find_program(program).ok_or_else(|| format!("no program {program} in PATH"))?;
    }
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    tun.map_err(|e| format!("/dev/net/tun cannot be opened: {e}"))?;
    for (what, line) in [
        ("a private /run", "mount -t tmpfs -o mode=755 tmpfs /run"),
        ("a bridge", "ip link add name br0 type bridge"),
        ("a tap", "ip tuntap add dev em0 mode tap"),
        ("a port of a bridge", "ip link set dev em0 master br0"),
        ("a veth", "ip link add name v0 type veth peer name v1"),
        ("a network namespace", "ip netns add client"),
    ] {
        let said = Said::by(None, command(line));
        let why = said.stderr.lines().next().unwrap_or_default();
        said.status.success().then_some(()).ok_or_else(|| format!("{what} cannot be made: {why}"))?;
    }
    Ok(())
}

/// Outside: runs the demo in namespaces; its exit status.
pub fn outside(args: &Args, flags: &[&str]) -> ExitCode {
    let mut command = inner(flags, "inside");
    command.arg("--out").arg(&args.out).env(LAB_INSIDE, "demo");
    match enter::confine(command).expect("unshare") {
        Ended::Interrupted => {
            eprintln!("demo: interrupted; its namespaces are gone");
            ExitCode::from(INTERRUPTED)
        }
        Ended::Status(status) if status.success() => ExitCode::SUCCESS,
        Ended::Status(_) => ExitCode::FAILURE,
    }
}

/// Inside: the demo in a laboratory. Ends the process: pid 1, and with it all
/// the others.
pub fn inside(args: &Args) -> ExitCode {
    lab::run(Needs::namespaces(), |lab| {
        let played = Real::new(lab).and_then(|mut world| super::play(&mut world, &args.out));
        if let Err(e) = &played {
            eprintln!("demo: {e}");
        }
        std::process::exit(i32::from(played.is_err()));
    });
    ExitCode::FAILURE
}
