//! Least privilege: what the process gives up once its devices and its control
//! socket are open.
//!
//! ```text
//! no core        a crash leaves none
//! capabilities   CAP_NET_ADMIN and CAP_NET_RAW, as far as they were there; the
//!                bounding set is empty, so that no program gets more
//! no_new_privs   with either of the next two, which need it
//! seccomp        the system calls of `seccomp.rs`; any other fails with EPERM
//! landlock       the control socket's folder, to clean up; no TCP
//! ```
//! It happens before the netisrs' threads start, which inherit it. What is
//! switched on widens it: [`Later`]. Programs on transitions are another process's,
//! which gives up less: `lower_for_programs`.

mod landlock;
mod seccomp;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What a machine needs once its devices are open.
const KEPT: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// What of it is not wanted.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep all capabilities
    #[arg(long)]
    keep_caps: bool,

    /// Do without the filter of system calls
    #[arg(long)]
    no_seccomp: bool,

    /// Do without landlock
    #[arg(long)]
    no_landlock: bool,

    /// Let a crash leave a core, which has the passwords in it
    #[arg(long)]
    core: bool,
}

/// What the process does after its start, beside what every machine does.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// Folders in which files are removed: the control socket's.
    pub cleans: Vec<PathBuf>,
    /// Folders in which files are read whose names are known: nobody looks what there is.
    /// A file alone would be another one once somebody has replaced it.
    pub reads: Vec<PathBuf>,
    /// Folders in which files are written that are there: settings of the kernel.
    pub writes: Vec<PathBuf>,
    /// Interfaces of the host that come again are opened again.
    pub interfaces: bool,
    /// Devices are opened, made and set up.
    pub devices: bool,
    /// Taps are made.
    pub taps: bool,
    /// There is a child whose end is noticed.
    pub child: bool,
}

impl Options {
    /// As options of another process.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("--keep-caps", self.keep_caps),
            ("--no-seccomp", self.no_seccomp),
            ("--no-landlock", self.no_landlock),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(word, _)| word)
    }
}

/// Gives up what is not needed any more, of this thread and all that it will
/// start, and says so.
///
/// # Errors
/// A sentence, with the option that does without. A kernel without landlock is
/// none.
pub fn lower(options: Options, later: &Later) -> io::Result<()> {
    tell("capabilities", &caps(options, &CapsHashSet::new())?);
    tell("no_new_privs", &no_new_privs(options)?);
    // Before the filter, which does not let it.
    tell("no core", &no_core(options)?);
    let files = match options.no_landlock {
        true => Outcome::Off("--no-landlock"),
        false => landlock::restrict(later).map_err(|e| failed("landlock", "--no-landlock", &e))?,
    };
    tell("landlock", &files);
    let calls = match options.no_seccomp {
        true => Outcome::Off("--no-seccomp"),
        false => seccomp::restrict(later).map_err(|e| failed("seccomp", "--no-seccomp", &e))?,
    };
    tell("seccomp", &calls);
    Ok(())
}

/// The same in the process that runs programs, which inherit it, and nobody knows
/// what they do: of system calls only the worst are refused, of files none, and
/// they have the capabilities that netisrd keeps.
///
/// # Errors
/// A sentence, with the option that does without.
pub(crate) fn lower_for_programs(options: Options) -> io::Result<()> {
    let kept = KEPT.into_iter().collect();
    tell("programs: capabilities", &caps(options, &kept)?);
    tell("programs: no_new_privs", &no_new_privs(options)?);
    let calls = match options.no_seccomp {
        true => Outcome::Off("--no-seccomp"),
        false => seccomp::restrict_programs().map_err(|e| failed("seccomp", "--no-seccomp", &e))?,
    };
    tell("programs: seccomp", &calls);
    Ok(())
}

fn caps(options: Options, programs: &CapsHashSet) -> io::Result<Outcome> {
    match options.keep_caps {
        true => Ok(Outcome::Off("--keep-caps")),
        false => lower_caps(programs).map_err(|e| failed("capabilities", "--keep-caps", &e)),
    }
}

fn no_new_privs(options: Options) -> io::Result<Outcome> {
    if options.no_seccomp && options.no_landlock {
        return Ok(Outcome::Off("nothing needs it"));
    }
    nix::sys::prctl::set_no_new_privs()?;
    Ok(Outcome::On("for good".into()))
}

/// A core has the passwords in it. What the kernel pipes cores to heeds no limit, with
/// this one exception: of one byte it makes none.
fn no_core(options: Options) -> io::Result<Outcome> {
    if options.core {
        return Ok(Outcome::Off("--core"));
    }
    // Nobody without CAP_SYS_RESOURCE raises one that is 0.
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, hard.min(1), hard.min(1))?;
    Ok(Outcome::On("passwords stay in memory".into()))
}

/// What became of one of the parts.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// And how far it goes.
    On(String),
    /// And why.
    Off(&'static str),
}

fn tell(part: &str, outcome: &Outcome) {
    match outcome {
        Outcome::On(how) => tracing::info!("sandbox: {part} on: {how}"),
        Outcome::Off(why) => tracing::info!("sandbox: {part} off: {why}"),
    }
}

fn failed(part: &str, option: &str, why: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("{part}: {why} ({option} starts without)"))
}

/// Keeps [`KEPT`], as far as there, and lets programs have those of `programs`.
fn lower_caps(programs: &CapsHashSet) -> Result<Outcome, caps::errors::CapsError> {
    let kept: CapsHashSet =
        caps::read(None, CapSet::Permitted)?.into_iter().filter(|c| KEPT.contains(c)).collect();
    let bound: CapsHashSet = kept.intersection(programs).copied().collect();
    // First what needs a capability that is about to go.
    let bounding = match caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        true => {
            for cap in caps::read(None, CapSet::Bounding)?.difference(&bound) {
                caps::drop(None, CapSet::Bounding, *cap)?;
            }
            named(&bound)
        }
        false => "left as it was (no CAP_SETPCAP)".to_owned(),
    };
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Permitted, &kept)?;
    Ok(Outcome::On(format!("{}; bounding set: {bounding}", named(&kept))))
}

fn named(set: &CapsHashSet) -> String {
    let names: Vec<String> = KEPT.iter().filter(|c| set.contains(c)).map(ToString::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests;
