//! The runner: a process of its own that runs the programs. It was started
//! before netisrd gave up its privileges, so that nothing of what the programs
//! may do has to be left to netisrd.
//!
//! It ends when netisrd does, which it sees by the end of their socket. The
//! program that runs by then still has its time, and is ended when that is over.

use super::find::Finder;
use super::program::{self, Ended};
use super::wire::{Answer, Job, Lines, Order, line};
use crate::host::clock::MonotonicClock;
use crate::host::log::Log;
use crate::host::privilege;
use compat::sys::time::{Clock, Time};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::ffi::OsStr;
use std::io::{self, PipeReader, Write, pipe, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// What a program finds others by.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The subcommand that is the runner.
pub const COMMAND: &str = "run-hooks";

/// The runner's command line.
#[derive(clap::Args)]
pub struct Runner {
    /// Where the programs are
    dir: PathBuf,

    /// How long each of them may take, in seconds
    time: u64,

    #[command(flatten)]
    sandbox: privilege::Options,
}

/// Starts one, on the other end of the socket that comes back, and waits until
/// it is there. The pipe ends with it and its programs: nothing is ever said there.
pub(super) fn start(
    dir: &Path,
    limit: Duration,
    sandbox: privilege::Options,
) -> io::Result<(Child, UnixStream, PipeReader)> {
    let (ours, theirs) = UnixStream::pair()?;
    let (alive, held) = pipe()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("netisrd").arg(COMMAND).args(sandbox.words());
    command.arg(dir).arg(limit.as_secs().to_string());
    command.stdin(OwnedFd::from(theirs)).stdout(held);
    // What a terminal says to netisrd is not for the programs.
    command.process_group(0);
    let child = command.spawn()?;
    // The command holds the other ends: dropped, the end of the runner is seen.
    drop(command);
    let (mut lines, mut stream) = (Lines::default(), ours);
    loop {
        match lines.next()? {
            Some(Answer::Ready) => return Ok((child, stream, alive)),
            Some(_) => return Err(io::Error::other("hooks: the runner speaks out of turn")),
            None if lines.read(&mut stream)? => {}
            // It has said why.
            None => return Err(io::Error::other("hooks: their runner did not start")),
        }
    }
}

/// Is one, until its socket ends, which is its standard input.
///
/// # Errors
/// What it cannot begin without.
pub fn main(runner: &Runner, log: &Log) -> io::Result<()> {
    // It ends with netisrd, and programs are not left alone by a signal that was
    // meant for all. They have the default again.
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let mut socket = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    privilege::lower_for_programs(runner.sandbox)?;
    log.start()?;
    let clock = Arc::new(MonotonicClock::start());
    let (last, (queue, jobs)) = (Arc::new(OnceLock::new()), channel());
    let worker = Worker {
        finder: Finder::new(&runner.dir),
        limit: Duration::from_secs(runner.time),
        clock: clock.clone(),
        last: last.clone(),
        socket: socket.try_clone()?,
    };
    let worker = thread::Builder::new().name("hooks".into()).spawn(move || worker.work(&jobs))?;
    let heard = listen(&mut socket, |order| match order {
        // A worker that is gone has said so, and netisrd hears it by the socket.
        Order::Run(job) => {
            queue.send(job).map_err(|_| io::Error::other("hooks: the runner's thread is gone"))
        }
        Order::Last(ms) => {
            let _ = last.set(clock.now() + Duration::from_millis(ms));
            Ok(())
        }
    });
    // What still waits is too late.
    let _ = last.set(clock.now());
    drop(queue);
    let worked =
        worker.join().unwrap_or_else(|_| Err(io::Error::other("hooks: the runner's thread has panicked")));
    heard.and(worked)
}

fn listen(socket: &mut UnixStream, mut obey: impl FnMut(Order) -> io::Result<()>) -> io::Result<()> {
    let mut lines = Lines::default();
    while lines.read(socket)? {
        while let Some(order) = lines.next()? {
            obey(order)?;
        }
    }
    Ok(())
}

struct Worker {
    finder: Finder,
    limit: Duration,
    clock: Arc<dyn Clock>,
    /// When the last program must have ended.
    last: Arc<OnceLock<Time>>,
    socket: UnixStream,
}

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) -> io::Result<()> {
        // What is wrong there is said before the first transition.
        self.finder.find();
        self.say(Answer::Ready)?;
        while let Ok(job) = jobs.recv() {
            if self.time_left().is_zero() {
                self.say(Answer::TooLate)?;
                continue;
            }
            for path in self.finder.find() {
                let answer = self.run(&path, &job);
                self.say(answer)?;
            }
            self.say(Answer::Done)?;
        }
        Ok(())
    }

    /// Nobody to hear it is no error: the socket's end says so too.
    fn say(&mut self, answer: Answer) -> io::Result<()> {
        match self.socket.write_all(&line(&answer)?) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// How long a program may run that starts now.
    fn time_left(&self) -> Duration {
        let now = self.clock.now();
        self.last.get().map_or(self.limit, |last| (*last - now).min(self.limit))
    }

    fn run(&self, path: &Path, job: &Job) -> Answer {
        let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        let mut command = Command::new(path);
        // Nothing that a shell or a loader goes by is netisrd's to say.
        let said = job.environment.iter().filter(|(k, _)| k.starts_with("CARP_"));
        command.args(&job.words).env_clear().env("PATH", PATH).envs(said.map(|(k, v)| (k, v)));
        let (answer, how) = match program::run(&name, command, self.time_left(), &*self.clock) {
            Ok(Ended::With(status)) if status.success() => (Answer::Succeeded, None),
            Ok(Ended::With(status)) => (Answer::Failed, Some(status.to_string())),
            Ok(Ended::Late(status)) => {
                (Answer::TimedOut, Some(format!("its time was over, and it was ended: {status}")))
            }
            Err(e) => (Answer::Failed, Some(e.to_string())),
        };
        if let Some(how) = how {
            tracing::error!("hook {name}, {}: {how}", job.of);
        }
        answer
    }
}
