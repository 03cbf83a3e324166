//! Processes of a laboratory, and their output as something to wait for.

use super::PATIENCE;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A value that threads wait for: the mutex, and word of each change.
#[derive(Debug, Default)]
pub(super) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn change(&self, f: impl FnOnce(&mut T)) {
        f(&mut self.lock());
        self.changed.notify_all();
    }

    /// The first `Some` of `look`, asked again after each change; `None` after
    /// `within`.
    pub(super) fn wait<R>(&self, within: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let until = Instant::now() + within;
        let mut value = self.lock();
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).unwrap_or_else(|p| p.into_inner()).0;
        }
    }
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    /// Streams that have not ended.
    open: usize,
}

/// The lines that a process wrote so far, without colours.
#[derive(Debug, Default)]
pub struct Log(Watched<Lines>);

impl Log {
    /// How many lines there are: a mark from which to wait for more.
    pub fn len(&self) -> usize {
        self.0.lock().lines.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All lines.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }

    /// The lines from a mark on.
    pub fn since(&self, mark: usize) -> Vec<String> {
        self.0.lock().lines[mark..].to_vec()
    }

    /// Waits for more lines than `mark`, or the end of the output, or `within`.
    pub fn wait_more(&self, mark: usize, within: Duration) {
        self.0.wait(within, |l| (l.lines.len() > mark || l.open == 0).then_some(()));
    }

    /// Waits for the first line from `mark` on that `pred` accepts; its index.
    ///
    /// # Panics
    /// After `within`, or once the output has ended.
    pub fn wait_line(&self, mark: usize, what: &str, within: Duration, pred: impl Fn(&str) -> bool) -> usize {
        let mut seen = mark;
        let found = self.0.wait(within, |l| {
            while let Some(line) = l.lines.get(seen) {
                seen += 1;
                if pred(line) {
                    return Some(Some(seen - 1));
                }
            }
            (l.open == 0).then_some(None)
        });
        match found {
            Some(Some(i)) => i,
            Some(None) => panic!("the output ended without {what}: {:#?}", self.lines()),
            None => panic!("no {what} within {within:?}: {:#?}", self.lines()),
        }
    }

    /// Waits until every writer is gone.
    fn wait_end(&self, within: Duration) {
        self.0.wait(within, |l| (l.open == 0).then_some(()));
    }

    fn follow(self: &Arc<Log>, name: &str, stream: impl Read + Send + 'static) {
        self.0.change(|l| l.open += 1);
        let (log, name) = (Arc::clone(self), name.to_owned());
        let follow = move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = without_escapes(&String::from_utf8_lossy(&line));
                println!("[{name}] {line}");
                log.0.change(|l| l.lines.push(line));
            }
            log.0.change(|l| l.open -= 1);
        };
        thread::Builder::new().name("log".into()).spawn(follow).unwrap();
    }
}

/// A line without its terminal colours.
fn without_escapes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            out.push(c);
        }
    }
    out
}

/// A process of the laboratory. Dropping it kills it.
pub struct Proc {
    name: String,
    pid: Pid,
    /// What it wrote to stdout and stderr.
    pub log: Arc<Log>,
    status: Arc<Watched<Option<ExitStatus>>>,
    waiter: Option<JoinHandle<()>>,
}

impl Proc {
    /// Starts a command in a namespace (`None`: the laboratory's own).
    pub fn spawn(name: &str, ns: Option<&str>, mut command: Command) -> Proc {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        println!("[{name}] $ {}", show(&command));
        let mut child = super::within(ns, || command.spawn()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let log = Arc::new(Log::default());
        log.follow(name, child.stdout.take().unwrap());
        log.follow(name, child.stderr.take().unwrap());
        let pid = Pid::from_raw(child.id() as i32);
        let status = Arc::new(Watched::<Option<ExitStatus>>::default());
        let report = Arc::clone(&status);
        let wait = move || {
            // It is there to be signalled until its status is: its id is nobody
            // else's before it is reaped.
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
            report.change(|status| *status = Some(child.wait().unwrap()));
        };
        let waiter = thread::Builder::new().name("wait".into()).spawn(wait).unwrap();
        Proc { name: name.to_owned(), pid, log, status, waiter: Some(waiter) }
    }

    /// Its process id in the laboratory.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it has not exited.
    pub fn is_running(&self) -> bool {
        self.status.lock().is_none()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        let status = self.status.lock();
        if status.is_none() {
            println!("[{}] <- {signal}", self.name);
            kill(self.pid, signal).unwrap();
        }
    }

    /// Waits for its end, and for the end of its output.
    ///
    /// # Panics
    /// After `within`.
    pub fn wait_exit(&self, within: Duration) -> ExitStatus {
        let status = self.status.wait(within, |s| *s);
        let status = status.unwrap_or_else(|| panic!("{} still runs after {within:?}", self.name));
        self.log.wait_end(within);
        println!("[{}] {status}", self.name);
        status
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait_exit(PATIENCE);
    }
}

impl fmt::Debug for Proc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proc").field("name", &self.name).field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

/// What a finished program said.
#[derive(Debug)]
pub struct Said {
    /// How it was called, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Said {
    /// Runs a command in a namespace to its end.
    pub fn by(ns: Option<&str>, mut command: Command) -> Said {
        command.stdin(Stdio::null());
        let shown = show(&command);
        let out = super::within(ns, || command.output()).unwrap_or_else(|e| panic!("{shown}: {e}"));
        Said::new(shown, &out)
    }

    fn new(command: String, out: &Output) -> Said {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Said { command, status: out.status, stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }

    /// Its standard output.
    ///
    /// # Panics
    /// If it failed.
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{}: {}: {}{}", self.command, self.status, self.stderr, self.stdout);
        self.stdout
    }
}

fn show(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A command of whitespace-separated words.
pub fn command(words: &str) -> Command {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}
