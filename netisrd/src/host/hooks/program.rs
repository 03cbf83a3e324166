//! One program, its output, and its time.

use compat::sys::time::{Clock, Time};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io::{self, PipeReader, Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Bytes of output that are logged.
const OUTPUT_MAX: usize = 16 * 1024;
/// Bytes of a line.
const LINE_MAX: usize = 1024;

/// How it ended.
pub(super) enum Ended {
    /// By itself.
    With(ExitStatus),
    /// Its time was over.
    Late(ExitStatus),
}

/// Runs it in a process group of its own, and logs what it says. When its time
/// is over the group is told to end, and a moment later made to. What it has
/// left running goes on, and is no longer heard.
pub(super) fn run(name: &str, mut command: Command, limit: Duration, clock: &dyn Clock) -> io::Result<Ended> {
    let (out, write) = pipe()?;
    command.stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write);
    command.current_dir("/").process_group(0);
    let mut child = Running { child: command.spawn()?, reaped: false };
    // The command holds the write ends: dropped, the end of the output is seen.
    drop(command);
    let pid = child.group();
    let (exited, on_exit) = pipe()?;
    // It does not reap: until this thread does, the number is the program's.
    let waiter = std::thread::Builder::new().name("hook".into()).spawn(move || {
        let waited = loop {
            match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Err(Errno::EINTR) => {}
                other => break other.map(|_| ()),
            }
        };
        drop(on_exit);
        waited
    })?;
    let mut output = Output { name, pipe: Some(out), line: Vec::new(), left: OUTPUT_MAX };
    let mut late = false;
    if !output.follow(&exited, clock.now() + limit, clock)? {
        late = true;
        signal(pid, Signal::SIGTERM);
        if !output.follow(&exited, clock.now() + GRACE, clock)? {
            signal(pid, Signal::SIGKILL);
        }
    }
    waiter.join().map_err(|_| io::Error::other("a thread has panicked"))??;
    if late {
        // Whoever of the group has ignored TERM goes with its leader.
        signal(pid, Signal::SIGKILL);
    }
    output.end()?;
    let status = child.wait()?;
    Ok(if late { Ended::Late(status) } else { Ended::With(status) })
}

/// A program that has been started. Whoever cannot follow it to its end ends it, with
/// its group.
struct Running {
    child: Child,
    reaped: bool,
}

impl Running {
    /// Its group, of which it is the leader: their number is one.
    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            signal(self.group(), Signal::SIGKILL);
            if let Err(e) = self.child.wait() {
                tracing::error!("hooks: process {}: {e}", self.group());
            }
        }
    }
}

/// To the whole group. It is there: its leader has not been reaped.
fn signal(group: Pid, signal: Signal) {
    if let Err(e) = killpg(group, signal) {
        tracing::error!("hooks: {signal} to process group {group}: {e}");
    }
}

struct Output<'a> {
    name: &'a str,
    /// `None` once it has ended.
    pipe: Option<PipeReader>,
    line: Vec<u8>,
    /// How much more is logged.
    left: usize,
}

impl Output<'_> {
    /// Logs until `exited` ends; `false` if it does not before `until`.
    fn follow(&mut self, exited: &PipeReader, until: Time, clock: &dyn Clock) -> io::Result<bool> {
        loop {
            let left = until - clock.now();
            if left.is_zero() {
                return Ok(false);
            }
            let (is_out, is_over) = self.wait(Some(exited), Some(left))?;
            if is_out {
                self.read()?;
            } else if is_over {
                return Ok(true);
            }
        }
    }

    /// What is there still; nobody is waited for.
    fn end(&mut self) -> io::Result<()> {
        while self.left > 0 && self.wait(None, Some(Duration::ZERO))?.0 {
            self.read()?;
        }
        self.flush();
        Ok(())
    }

    /// Whether there is something to read, and whether `exited` has ended.
    fn wait(&self, exited: Option<&PipeReader>, left: Option<Duration>) -> io::Result<(bool, bool)> {
        let fds = self.pipe.iter().chain(exited).map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<_> = fds.collect();
        // Rounded up: not to come back a moment too early, again and again.
        let ms = left.map_or(-1, |l| i32::try_from(l.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        match poll(&mut fds, PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => return Ok((false, false)),
            other => other?,
        };
        let is = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| fd.any().unwrap_or(true));
        let out = self.pipe.is_some().then(|| &fds[0]);
        let over = exited.and_then(|_| fds.last());
        Ok((is(out), is(over)))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let n = match self.pipe.as_mut().map_or(Ok(0), |p| p.read(&mut bytes)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        };
        if n == 0 {
            self.pipe = None;
        }
        for b in &bytes[..n] {
            if self.left == 0 {
                // Read, so that it does not wait for a reader.
                return Ok(());
            }
            self.left -= 1;
            if *b == b'\n' || self.line.len() == LINE_MAX {
                self.flush();
            }
            if *b != b'\n' {
                self.line.push(*b);
            }
            if self.left == 0 {
                self.flush();
                tracing::warn!(
                    "hook {}: says more than {OUTPUT_MAX} bytes; the rest is not logged",
                    self.name
                );
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        let line = core::mem::take(&mut self.line);
        if !line.is_empty() {
            let text: String = String::from_utf8_lossy(&line).chars().flat_map(printable).collect();
            tracing::info!("hook {}: {text}", self.name);
        }
    }
}

/// Nothing that a program says repaints a terminal.
fn printable(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control() && c != '\t';
    let plain = (!escaped).then_some(c);
    plain.into_iter().chain(escaped.then(|| c.escape_default()).into_iter().flatten())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::sys::wait::waitpid;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Nobody can go on by it.
    struct Broken;

    impl Clock for Broken {
        fn now(&self) -> Time {
            std::panic::resume_unwind(Box::new("broken"))
        }
    }

    #[test]
    fn whatever_happens_between_its_start_and_its_end_no_program_is_left() {
        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        let limit = Duration::from_secs(1);
        let ran = catch_unwind(AssertUnwindSafe(|| run("sleep", sleep, limit, &Broken)));
        assert!(ran.is_err());
        // Of the children of this thread alone.
        let mine = WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD;
        assert_eq!(waitpid(None, Some(mine)), Err(Errno::ECHILD));
    }
}
