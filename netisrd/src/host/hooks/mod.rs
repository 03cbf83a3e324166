//! What an administrator has run on each transition: the programs in a folder,
//! as `devd` runs `carp-change` on FreeBSD and keepalived its `notify`.
//!
//! ```text
//!   main thread: a transition --> queue, bounded --> a thread: 10-x, then 20-y
//! ```
//!
//! One transition after the other, and one program after the other. The thread
//! waits for them; nobody waits for the thread, except at the end.

mod find;
mod program;

use super::json::{Wall, state_name};
use super::parts::{Desk, Flow, Part, Turn};
use super::watcher::Change;
use crate::kern::devctl::Notice;
use compat::sys::time::{Clock, Time};
use find::Finder;
use program::Ended;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where they are unless told otherwise.
pub const DEFAULT_DIR: &str = "/etc/netisrd/carp.d";
/// Transitions that wait.
const QUEUE_LEN: usize = 256;
/// What a program finds others by.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the programs have fared.
#[derive(Debug, Default)]
pub struct HookCounts {
    /// Ended with status 0.
    pub succeeded: AtomicU64,
    /// Ended otherwise, or could not be started.
    pub failed: AtomicU64,
    /// Were still running when their time was over.
    pub timed_out: AtomicU64,
    /// Transitions on which none was run.
    pub missed: AtomicU64,
}

fn count(n: &AtomicU64, more: u64) {
    n.fetch_add(more, Ordering::Relaxed);
}

/// Hands transitions to the thread that runs the programs.
pub struct Hooks {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<HookCounts>,
    /// Transitions missed that no program has been told of.
    missed: u64,
    limit: Duration,
    clock: Arc<dyn Clock>,
    /// When the last program must have ended.
    last: Arc<OnceLock<Time>>,
}

struct Job {
    notice: Notice,
    /// RFC 3339.
    time: String,
    /// Transitions before it that were missed.
    missed: u64,
}

impl Hooks {
    /// The programs in `dir`, each with so much time.
    pub fn start(dir: &Path, limit: Duration, clock: Arc<dyn Clock>) -> io::Result<Hooks> {
        let (queue, jobs) = sync_channel(QUEUE_LEN);
        let counts = Arc::new(HookCounts::default());
        let last = Arc::new(OnceLock::new());
        let worker = Worker {
            finder: Finder::new(dir),
            limit,
            clock: clock.clone(),
            counts: counts.clone(),
            last: last.clone(),
        };
        let thread = std::thread::Builder::new().name("hooks".into()).spawn(move || worker.work(&jobs))?;
        Ok(Hooks { queue: Some(queue), thread: Some(thread), counts, missed: 0, limit, clock, last })
    }

    /// How the programs fare.
    pub fn counts(&self) -> Arc<HookCounts> {
        self.counts.clone()
    }

    fn miss(&mut self, n: u64) {
        if self.missed == 0 {
            tracing::error!("hooks: behind by {QUEUE_LEN} transitions; some are missed");
        }
        self.missed += n;
        count(&self.counts.missed, n);
    }

    fn give(&mut self, notice: &Notice, wall: &Wall) {
        let job = Job { notice: notice.clone(), time: wall.text(notice.at), missed: self.missed };
        match self.queue.as_ref().map(|q| q.try_send(job)) {
            Some(Ok(())) => self.missed = 0,
            Some(Err(TrySendError::Full(_))) => self.miss(1),
            // A thread that panicked has said so.
            Some(Err(TrySendError::Disconnected(_))) | None => self.miss(1),
        }
    }
}

impl Part for Hooks {
    fn register(&mut self, _: &Desk<'_>) -> io::Result<()> {
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let wall = Wall::at(turn.now);
        for change in turn.changes {
            match change {
                Change::Transition(notice) => self.give(notice, &wall),
                Change::Missed(n) => self.miss(*n),
                _ => {}
            }
        }
        Ok(Flow::Continue)
    }

    /// What waits has as much time as one program, all together.
    fn end(&mut self) {
        let _ = self.last.set(self.clock.now() + self.limit);
        self.queue = None;
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("hooks: the thread that runs them has panicked");
        }
    }
}

struct Worker {
    finder: Finder,
    limit: Duration,
    clock: Arc<dyn Clock>,
    counts: Arc<HookCounts>,
    last: Arc<OnceLock<Time>>,
}

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) {
        let mut too_late = 0;
        while let Ok(job) = jobs.recv() {
            if self.time_left().is_zero() {
                too_late += 1;
                continue;
            }
            for path in self.finder.find() {
                self.run(&path, &job);
            }
        }
        if too_late > 0 {
            count(&self.counts.missed, too_late);
            tracing::error!("hooks: {too_late} transitions are missed: netisrd halts");
        }
    }

    /// How long a program may run that starts now.
    fn time_left(&self) -> Duration {
        let now = self.clock.now();
        self.last.get().map_or(self.limit, |last| (*last - now).min(self.limit))
    }

    fn run(&self, path: &Path, job: &Job) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(path);
        command.args(words(&job.notice)).env_clear().envs(environment(job));
        let (counter, how) = match program::run(&name, command, self.time_left(), &*self.clock) {
            Ok(Ended::With(status)) if status.success() => (&self.counts.succeeded, None),
            Ok(Ended::With(status)) => (&self.counts.failed, Some(status.to_string())),
            Ok(Ended::Late(status)) => {
                (&self.counts.timed_out, Some(format!("its time was over, and it was ended: {status}")))
            }
            Err(e) => (&self.counts.failed, Some(e.to_string())),
        };
        count(counter, 1);
        if let Some(how) = how {
            let n = &job.notice;
            let (of, new) = (subsystem(n), state_name(n.t.new));
            tracing::error!("hook {name}, {of} {new}: {how}");
        }
    }
}

/// FreeBSD's subsystem of a CARP event: `1@em0`.
fn subsystem(n: &Notice) -> String {
    let parent = n.of.parent.as_ref().unwrap_or(&n.of.ifname);
    format!("{}@{parent}", n.of.vhid)
}

/// `argv` after the name: what a script that FreeBSD's `devd` would start with
/// `$subsystem $type` expects, then the rest.
fn words(n: &Notice) -> Vec<OsString> {
    let mut words = vec![
        subsystem(n),
        state_name(n.t.new).to_owned(),
        n.of.ifname.to_string(),
        state_name(n.t.old).to_owned(),
        n.t.reason.to_string(),
    ];
    words.extend(n.addresses.iter().map(ToString::to_string));
    words.into_iter().map(OsString::from).collect()
}

fn environment(job: &Job) -> Vec<(&'static str, String)> {
    let n = &job.notice;
    let addresses: Vec<String> = n.addresses.iter().map(ToString::to_string).collect();
    vec![
        ("PATH", PATH.to_owned()),
        ("CARP_INTERFACE", n.of.ifname.to_string()),
        ("CARP_VHID", n.of.vhid.to_string()),
        ("CARP_PARENT", n.of.parent.map(|p| p.to_string()).unwrap_or_default()),
        ("CARP_OLD_STATE", state_name(n.t.old).to_owned()),
        ("CARP_STATE", state_name(n.t.new).to_owned()),
        ("CARP_REASON", n.t.reason.to_string()),
        ("CARP_ADDRESSES", addresses.join(" ")),
        ("CARP_TIME", job.time.clone()),
        ("CARP_MISSED", job.missed.to_string()),
    ]
}

/// The folder of programs: the one that was asked for, which must be there, or
/// the default. `None` if that is not there, or an empty name was asked for:
/// nothing will be run, now or later.
pub fn dir(option: Option<&OsStr>) -> io::Result<Option<PathBuf>> {
    let dir = PathBuf::from(option.unwrap_or(OsStr::new(DEFAULT_DIR)));
    if dir.as_os_str().is_empty() {
        return Ok(None);
    }
    match std::fs::read_dir(&dir) {
        Ok(_) => Ok(Some(dir)),
        Err(e) if option.is_none() && e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io::Error::new(e.kind(), format!("hooks {}: {e}", dir.display()))),
    }
}
