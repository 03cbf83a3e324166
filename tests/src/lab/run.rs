//! From a `#[test]` into a laboratory of its own and back.
//!
//! ```text
//! cargo test ── test process ── unshare ── the same executable, one test, pid 1 ── netisrd, ucarp, ping ...
//!                    │  stdin: a pipe that is never written; its end of file   │
//!                    └────────── ends pid 1, and pid 1's end kills the rest ───┘
//! ```

use super::Lab;
use netisrd::lab::real::enter::{BASE, USER, with_sbin};
use nix::unistd::{Uid, seteuid};
use std::env;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Set inside a laboratory to the name of its test.
const INSIDE: &str = "NETISRD_LAB_INSIDE";
/// What the inner process says when its test has run to its end.
const FINISHED: &str = "lab: finished ";
/// What is not tested here, by its beginning.
const SKIPPED: &str = "skipped: ";
/// Only a bound against a laboratory that hangs; every single wait has its own.
const LIMIT: Duration = Duration::from_secs(900);

/// What a laboratory needs of the machine it runs on.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    taps: bool,
    programs: Vec<&'static str>,
}

impl Needs {
    /// Namespaces and `ip`: what every laboratory needs.
    pub fn namespaces() -> Needs {
        Needs { taps: false, programs: vec!["ip", "bridge", "mount"] }
    }

    /// And `/dev/net/tun`.
    pub fn taps(mut self) -> Needs {
        self.taps = true;
        self
    }

    /// And these programs in `PATH`.
    pub fn programs(mut self, programs: &[&'static str]) -> Needs {
        self.programs.extend(programs);
        self
    }

    /// The `unshare` options that work here.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<Vec<&'static str>, String> {
        for p in &self.programs {
            find_program(p).ok_or_else(|| format!("no program {p} in PATH"))?;
        }
        if self.taps {
            let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
            tun.map_err(|e| format!("/dev/net/tun cannot be opened: {e}"))?;
        }
        // With other users beside root, if there is a way to have them.
        let users = [&USER[..], &["--map-auto"]].concat();
        let mut why = String::from("no program unshare in PATH");
        let as_root = nix::unistd::geteuid().is_root().then(|| BASE.to_vec());
        let as_user = [[&users[..], &BASE].concat(), [&USER[..], &BASE].concat()];
        for flags in as_root.into_iter().chain(as_user) {
            match Command::new("unshare").args(&flags).arg("true").stdin(Stdio::null()).output() {
                Ok(out) if out.status.success() => return Ok(flags),
                Ok(out) => why = String::from_utf8_lossy(&out.stderr).trim().to_owned(),
                Err(e) => why = format!("unshare: {e}"),
            }
        }
        Err(format!("namespaces cannot be made: {why}"))
    }
}

/// Where `PATH` has that program.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|d| d.join(name)).find(|p| p.is_file())
}

/// Whether what is missing must fail instead of being skipped.
pub fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|v| !v.is_empty())
}

/// Runs `body` in a laboratory of its own: new network, mount and pid
/// namespaces that end with the test, however it ends.
///
/// To be called once, from a `#[test]`; what comes before the call runs twice.
/// What is missing on this machine is printed and the test skipped, except
/// under CI (`CI` set and not empty), where it fails.
///
/// # Panics
/// If the body panics, or anything else ends it early.
pub fn run<F: FnOnce(&Lab)>(needs: Needs, body: F) {
    if let Ok(name) = env::var(INSIDE) {
        return inside(&name, body);
    }
    let name = test_name::<F>();
    match needs.check() {
        Ok(flags) => outside(&name, &flags),
        Err(reason) => skip(&reason),
    }
}

/// Prints why something is not tested here.
///
/// # Panics
/// Under CI, which must not skip.
pub fn skip(reason: &str) {
    assert!(!in_ci(), "CI must not skip, but {reason}");
    say(&format!("{SKIPPED}{reason}"));
}

/// As another user, whom only a laboratory of the real root has; `None` without one.
///
/// # Panics
/// Under CI, which must not skip.
pub fn as_user<T>(uid: u32, f: impl FnOnce() -> T) -> Option<T> {
    // The laboratory's process; its real and saved users stay root.
    if let Err(e) = seteuid(Uid::from_raw(uid)) {
        skip(&format!("there is no other user here: {e}"));
        return None;
    }
    let done = f();
    seteuid(Uid::from_raw(0)).expect("root may be root again");
    Some(done)
}

/// Not by a macro of printing: libtest would keep it to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// libtest names a test's thread after it, unless it runs tests on the main
/// thread; then the closure's type, a path below the test's, has it.
fn test_name<F>() -> String {
    match thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => {
            let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
            path.split_once("::").map_or(path, |(_, rest)| rest).to_owned()
        }
    }
}

fn outside(name: &str, flags: &[&str]) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = Command::new("unshare");
    command
        .args(flags)
        .arg("--")
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(INSIDE, name)
        .env("PATH", with_sbin())
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut child = command.spawn().expect("unshare");
    drop(command); // and with it our copies of the writing end
    let lifeline = child.stdin.take();
    let mut finished = false;
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
        finished |= line.contains(&format!("{FINISHED}{name}"));
        // What a laboratory leaves out is for everyone to know.
        if line.starts_with(SKIPPED) { say(&line) } else { println!("{line}") }
    }
    let status = child.wait().unwrap();
    drop(lifeline);
    assert!(status.success(), "the laboratory of {name} failed: {}", describe(status));
    assert!(finished, "the laboratory of {name} ended before its test did, or has no such test");
}

fn describe(status: std::process::ExitStatus) -> String {
    status.signal().map_or_else(|| status.to_string(), |s| format!("signal {s}"))
}

fn inside<F: FnOnce(&Lab)>(name: &str, body: F) {
    let ends_with_its_parent = || {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|n| n > 0) {}
        // nothing is printed: nobody reads it, and to fail at it would be a panic
        std::process::exit(97);
    };
    thread::Builder::new().name("lifeline".into()).spawn(ends_with_its_parent).unwrap();
    let ends_in_time = || {
        thread::sleep(LIMIT);
        eprintln!("lab: hung for {LIMIT:?}");
        std::process::exit(98);
    };
    thread::Builder::new().name("watchdog".into()).spawn(ends_in_time).unwrap();
    let lab = Lab::new(name);
    body(&lab);
    drop(lab);
    println!("{FINISHED}{name}");
}

/// The profile's folder of Cargo's target folder: `target/debug`.
pub fn profile_dir() -> PathBuf {
    let exe = env::current_exe().unwrap();
    let deps = exe.parent().unwrap();
    if deps.ends_with("deps") { deps.parent().unwrap().to_owned() } else { deps.to_owned() }
}

/// Cargo's target folder, where tests leave what a person may want to read.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().map_or_else(|| PathBuf::from("target"), Path::to_owned)
}

/// One of the project's programs: in `NETISRD_BIN_DIR` if that is set, next to
/// the test otherwise.
///
/// # Panics
/// If it has not been built.
pub fn binary(name: &str) -> PathBuf {
    let dir = env::var_os("NETISRD_BIN_DIR").map_or_else(profile_dir, PathBuf::from);
    let path = dir.join(name);
    assert!(path.is_file(), "no {}: run: cargo build --workspace --bins", path.display());
    path
}
