//! What an administrator has run on each transition: the programs in a folder,
//! as `devd` runs `carp-change` on FreeBSD and keepalived its `notify`.
//!
//! ```text
//!   main thread: a transition --> queue, bounded --> the runner: 10-x, then 20-y
//!                         counts <-- how each has ended <--/
//! ```
//!
//! One transition after the other, and one program after the other. The runner is
//! another process, with what programs need and netisrd does not. It waits for
//! them; nobody waits for it, except at the end. And one that goes on in the place of
//! another netisrd begins with its first when the last of that one has ended.

mod find;
mod program;
pub mod runner;
mod wire;

use super::json::{Wall, state_name};
use super::parts::{Desk, Flow, Part, Turn};
use super::privilege;
use super::succession::{Estate, Step};
use super::watcher::Change;
use crate::kern::devctl::Notice;
use compat::sys::time::Time;
use mio::Interest;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wire::{Answer, Job, Lines, Order};

/// Where they are unless told otherwise.
pub const DEFAULT_DIR: &str = "/etc/netisrd/carp.d";
/// Transitions that wait.
const QUEUE_LEN: usize = 256;
const SOCKET: usize = 0;
const EARLIER: usize = 1;
/// What a successor finds them by.
const SUCCESSION: &str = "hooks";

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

/// Hands transitions to the process that runs the programs.
pub struct Hooks {
    /// `None` once it is gone.
    runner: Option<Runner>,
    queue: VecDeque<Job>,
    counts: Arc<HookCounts>,
    /// Transitions missed that no program has been told of.
    missed: u64,
    limit: Duration,
    /// Each ends when the runner of a netisrd before does, and its programs have.
    earlier: Vec<OwnedFd>,
    /// And with this one's.
    alive: PipeReader,
}

struct Runner {
    child: Child,
    socket: UnixStream,
    heard: Lines,
    /// What the socket had no room for.
    unsaid: Vec<u8>,
    /// It has an order that it has not done.
    busy: bool,
    /// Orders that came too late for it.
    too_late: u64,
}

impl Hooks {
    /// Starts the runner of the programs in `dir`, each of which has so much
    /// time. Before privileges are lowered: the programs need more.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(dir: &Path, limit: Duration, sandbox: privilege::Options) -> io::Result<Hooks> {
        let (child, socket, alive) = runner::start(dir, limit, sandbox)?;
        socket.set_nonblocking(true)?;
        let (heard, unsaid) = (Lines::default(), Vec::new());
        let runner = Runner { child, socket, heard, unsaid, busy: false, too_late: 0 };
        let (queue, counts) = (VecDeque::new(), Arc::new(HookCounts::default()));
        let earlier = Vec::new();
        Ok(Hooks { runner: Some(runner), queue, counts, missed: 0, limit, earlier, alive })
    }

    /// How the programs fare.
    pub fn counts(&self) -> Arc<HookCounts> {
        self.counts.clone()
    }

    fn miss(&mut self, n: u64) {
        if self.missed == 0 && self.runner.is_some() {
            tracing::error!("hooks: behind by {QUEUE_LEN} transitions; some are missed");
        }
        self.missed += n;
        count(&self.counts.missed, n);
    }

    fn give(&mut self, notice: &Notice, wall: &Wall) {
        if self.runner.is_none() || self.queue.len() >= QUEUE_LEN {
            self.miss(1);
        } else {
            self.queue.push_back(job(notice, wall.text(notice.at), self.missed));
            self.missed = 0;
        }
    }

    fn take(&mut self, changes: &[Change], now: Time) {
        let wall = Wall::at(now);
        for change in changes {
            match change {
                Change::Transition(notice) => self.give(notice, &wall),
                Change::Missed(n) => self.miss(*n),
                _ => {}
            }
        }
    }

    /// Hears what the runner says, and gives it more to do.
    fn talk(&mut self) {
        let waits = self.look_back(Duration::ZERO);
        let Some(runner) = &mut self.runner else { return };
        let done = waits.and_then(|waits| match runner.hear(&self.counts)? {
            true if waits => Ok(true),
            true => runner.speak(&mut self.queue).map(|()| true),
            false => Ok(false),
        });
        match done {
            Ok(true) => {}
            Ok(false) => self.lose(None),
            Err(e) => self.lose(Some(&e)),
        }
    }

    /// There is no runner any more, and none can be started.
    fn lose(&mut self, why: Option<&io::Error>) {
        let Some(Runner { mut child, busy, .. }) = self.runner.take() else { return };
        let waiting = self.queue.len() as u64 + u64::from(busy);
        self.queue.clear();
        let how = match why {
            Some(e) => e.to_string(),
            // Its socket ends with it, so that this is no wait.
            None => child.wait().map_or_else(|e| e.to_string(), |status| status.to_string()),
        };
        tracing::error!("hooks: their runner is gone ({how}): from now on transitions are missed");
        self.miss(waiting);
    }

    /// Whether those before still run programs, once nothing has happened for so long.
    fn look_back(&mut self, patience: Duration) -> io::Result<bool> {
        while !self.earlier.is_empty() {
            let mut fds: Vec<_> =
                self.earlier.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
            match poll(&mut fds, timeout(patience)) {
                Ok(0) => return Ok(true),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
            let ended: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
            let mut ended = ended.into_iter();
            self.earlier.retain(|_| ended.next() == Some(false));
        }
        Ok(false)
    }

    /// What it waits for at the end: the program that runs may have as much as the last
    /// one, and each of them a moment to end.
    fn patience(&self) -> Duration {
        self.limit + 4 * program::GRACE
    }

    /// Waits until the runner has done all, or is gone, or should be.
    fn finish(&mut self) -> io::Result<()> {
        let patience = timeout(self.patience());
        loop {
            self.talk();
            let Some(runner) = self.runner.as_ref().filter(|r| r.busy || !self.queue.is_empty()) else {
                return Ok(());
            };
            let unsaid = if runner.unsaid.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            let mut fds = [PollFd::new(runner.socket.as_fd(), PollFlags::POLLIN | unsaid)];
            match poll(&mut fds, patience) {
                Ok(0) => return Err(io::Error::other("their runner does not answer")),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Runner {
    /// `false` once it is gone.
    fn hear(&mut self, counts: &HookCounts) -> io::Result<bool> {
        loop {
            while let Some(answer) = self.heard.next()? {
                match answer {
                    Answer::Ready => {}
                    Answer::Succeeded => count(&counts.succeeded, 1),
                    Answer::Failed => count(&counts.failed, 1),
                    Answer::TimedOut => count(&counts.timed_out, 1),
                    Answer::Done => self.busy = false,
                    Answer::TooLate => {
                        self.busy = false;
                        self.too_late += 1;
                        count(&counts.missed, 1);
                    }
                }
            }
            match self.heard.read(&mut self.socket) {
                Ok(true) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                other => return other,
            }
        }
    }

    fn speak(&mut self, queue: &mut VecDeque<Job>) -> io::Result<()> {
        if !self.busy
            && let Some(job) = queue.pop_front()
        {
            self.unsaid.extend(wire::line(&Order::Run(job))?);
            self.busy = true;
        }
        wire::flush(&mut self.unsaid, &mut self.socket)
    }
}

impl Part for Hooks {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        for (n, earlier) in self.earlier.iter().enumerate() {
            desk.watch(earlier, EARLIER + n, Interest::READABLE)?;
        }
        match &self.runner {
            Some(runner) => desk.watch(&runner.socket, SOCKET, Interest::READABLE | Interest::WRITABLE),
            None => Ok(()),
        }
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let Step::Frozen(estate) = step else { return Ok(()) };
        let all: Vec<&dyn AsFd> = self.earlier.iter().map(|fd| fd as &dyn AsFd).collect();
        estate.lend(SUCCESSION, &[&all[..], &[&self.alive]].concat())
    }

    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        self.earlier = estate.all_descriptors(SUCCESSION);
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        self.take(turn.changes, turn.now);
        // What it has said before it was registered may make no event.
        self.talk();
        Ok(Flow::Continue)
    }

    /// The programs that wait are run here. The other process has a runner of its own,
    /// and begins after them.
    fn left(&mut self, changes: &[Change], now: Time) {
        self.take(changes, now);
        self.end();
    }

    /// What waits has as much time as one program, all together.
    fn end(&mut self) {
        match self.look_back(self.patience()) {
            Ok(false) => {}
            Ok(true) => {
                tracing::error!("hooks: the programs of the netisrd before do not end");
                self.earlier.clear();
            }
            Err(e) => tracing::error!("hooks: {e}"),
        }
        if let Some(runner) = &mut self.runner {
            let ms = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
            match wire::line(&Order::Last(ms)) {
                Ok(line) => runner.unsaid.extend(line),
                Err(e) => tracing::error!("hooks: {e}"),
            }
        }
        if let Err(e) = self.finish() {
            tracing::error!("hooks: {e}");
        }
        let too_late = self.runner.as_ref().map_or(0, |runner| runner.too_late);
        if too_late > 0 {
            tracing::error!("hooks: {too_late} transitions are missed: netisrd halts");
        }
    }
}

fn timeout(patience: Duration) -> PollTimeout {
    let ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}

/// FreeBSD's subsystem of a CARP event: `1@em0`.
fn subsystem(n: &Notice) -> String {
    let parent = n.of.parent.as_ref().unwrap_or(&n.of.ifname);
    format!("{}@{parent}", n.of.vhid)
}

fn job(n: &Notice, time: String, missed: u64) -> Job {
    let of = format!("{} {}", subsystem(n), state_name(n.t.new));
    Job { of, words: words(n), environment: environment(n, time, missed) }
}

/// `argv` after the name: what a script that FreeBSD's `devd` would start with
/// `$subsystem $type` expects, then the rest.
fn words(n: &Notice) -> Vec<String> {
    let mut words = vec![
        subsystem(n),
        state_name(n.t.new).to_owned(),
        n.of.ifname.to_string(),
        state_name(n.t.old).to_owned(),
        n.t.reason.to_string(),
    ];
    words.extend(n.addresses.iter().map(ToString::to_string));
    words
}

fn environment(n: &Notice, time: String, missed: u64) -> Vec<(String, String)> {
    let addresses: Vec<String> = n.addresses.iter().map(ToString::to_string).collect();
    let all = [
        ("CARP_INTERFACE", n.of.ifname.to_string()),
        ("CARP_VHID", n.of.vhid.to_string()),
        ("CARP_PARENT", n.of.parent.map(|p| p.to_string()).unwrap_or_default()),
        ("CARP_OLD_STATE", state_name(n.t.old).to_owned()),
        ("CARP_STATE", state_name(n.t.new).to_owned()),
        ("CARP_REASON", n.t.reason.to_string()),
        ("CARP_ADDRESSES", addresses.join(" ")),
        ("CARP_TIME", time),
        ("CARP_MISSED", missed.to_string()),
    ];
    all.map(|(k, v)| (k.to_owned(), v)).into()
}

/// The folder of programs: the one that was asked for, which must be there, or
/// the default, which may come later. `None` if an empty name was asked for: nothing
/// will be run.
pub fn dir(option: Option<&OsStr>) -> io::Result<Option<PathBuf>> {
    let dir = PathBuf::from(option.unwrap_or(OsStr::new(DEFAULT_DIR)));
    if dir.as_os_str().is_empty() {
        return Ok(None);
    }
    match std::fs::read_dir(&dir) {
        Ok(_) => Ok(Some(dir)),
        Err(e) if option.is_none() && e.kind() == io::ErrorKind::NotFound => Ok(Some(dir)),
        Err(e) => Err(io::Error::new(e.kind(), format!("hooks {}: {e}", dir.display()))),
    }
}
