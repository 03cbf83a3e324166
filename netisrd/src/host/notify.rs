//! `sd_notify(3)`: what the service manager hears of the daemon.
//!
//! The socket is opened once, so that what is forbidden to the process later
//! does not matter, and is never waited for.

use super::clock::monotonic;
use super::json::state_name;
use super::parts::{Desk, Flow, Part, Turn};
use super::succession::{Estate, Step};
use crate::kern::devctl::Vhosted;
use compat::sys::time::Time;
use libcarp::softc::State;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What a successor finds it by.
const SUCCESSION: &str = "service manager";

/// Tells the service manager that netisrd is ready, what its carp interfaces
/// are, and that its netisrs answer.
pub struct Notify {
    socket: UnixDatagram,
    /// `STATUS=` as it was said last.
    status: Option<String>,
    /// How often the manager wants to hear that all is well, halved.
    watchdog: Option<Duration>,
    /// When it hears that next.
    due: Option<Time>,
    /// A failure was logged.
    failed: bool,
}

impl Notify {
    /// As the environment says; `None` without a service manager.
    pub fn from_env() -> io::Result<Option<Notify>> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let named = |e: io::Error| io::Error::new(e.kind(), format!("NOTIFY_SOCKET: {e}"));
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(&name).map_err(named)?).map_err(named)?;
        socket.set_nonblocking(true)?;
        Ok(Some(Notify { socket, status: None, watchdog: watchdog(), due: None, failed: false }))
    }

    /// As the environment says, or, without it, the service manager of the netisrd
    /// that this one follows.
    ///
    /// # Errors
    /// As of [`from_env`](Notify::from_env).
    pub fn of_successor(estate: &mut Estate) -> io::Result<Option<Notify>> {
        let (own, watchdog) = (Notify::from_env()?, estate.take::<Duration>(SUCCESSION)?);
        let theirs = estate.descriptors(SUCCESSION)?.map(|[socket]| Notify {
            socket: UnixDatagram::from(socket),
            status: None,
            watchdog,
            due: None,
            failed: false,
        });
        Ok(own.or(theirs))
    }

    /// What is going on is no end: `sd_notify(3)` wants to know since when.
    fn reloading(&mut self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic() / 1000));
    }

    fn say(&mut self, text: &str) {
        match self.socket.send(text.as_bytes()) {
            Ok(_) => self.failed = false,
            Err(e) if !self.failed => {
                tracing::warn!("NOTIFY_SOCKET: {e}");
                self.failed = true;
            }
            Err(_) => {}
        }
    }
}

/// A path, or `@` and an abstract name.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

/// Half of `WATCHDOG_USEC`, if it is meant for this process.
fn watchdog() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0).map(|usec| Duration::from_micros(usec / 2))
}

/// `2 MASTER, 1 BACKUP`
pub fn status(vhosts: &[Vhosted]) -> String {
    let counted = [State::Master, State::Backup, State::Init].map(|state| {
        let n = vhosts.iter().filter(|v| v.state == state).count();
        (n > 0).then(|| format!("{n} {}", state_name(state)))
    });
    let counted: Vec<String> = counted.into_iter().flatten().collect();
    if counted.is_empty() { "no carp interface".into() } else { counted.join(", ") }
}

impl Part for Notify {
    fn register(&mut self, _: &Desk<'_>) -> io::Result<()> {
        Ok(())
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        self.due.map(|due| due - now)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let status = status(turn.watcher.vhosts());
        if self.status.as_ref() != Some(&status) {
            let ready = if self.status.is_none() { "READY=1\n" } else { "" };
            self.say(&format!("{ready}STATUS={status}\n"));
            self.status = Some(status);
        }
        if let Some(interval) = self.watchdog
            && self.due.is_none_or(|due| due <= turn.now)
        {
            // A netisr that hangs does not return from this, and the manager
            // acts on what it does not hear.
            turn.machine.barrier();
            self.say("WATCHDOG=1\n");
            self.due = Some(turn.machine.now() + interval);
        }
        Ok(Flow::Continue)
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        match step {
            Step::Met(estate) => {
                if let Some(watchdog) = self.watchdog {
                    estate.put(SUCCESSION, &watchdog)?;
                }
                estate.lend(SUCCESSION, &[&self.socket])?;
            }
            Step::Frozen(_) => self.reloading(),
            Step::Waits => {}
            // It says itself that it is.
            Step::Ready(pid) => self.say(&format!("MAINPID={pid}\n")),
            Step::Stays => self.say(&format!("MAINPID={}\nREADY=1\n", std::process::id())),
        }
        Ok(())
    }

    fn halting(&mut self) {
        self.watchdog = None;
        self.say("STOPPING=1\nSTATUS=halting\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kern::devctl::Vhost;
    use compat::net::if_::IfName;
    use libcarp::Reason;

    #[test]
    fn the_status_counts_the_states_that_there_are() {
        let vhosted = |state| Vhosted {
            of: Vhost { if_index: 1, ifname: IfName([0; 16]), vhid: 1, parent: None },
            state,
            since: Time(1),
            reason: Reason::Started,
            entered: [0, 1, 0],
            advbase: 1,
            advskew: 0,
            demoted_advskew: 0,
            name: IfName([0; 16]),
            addresses: Vec::new(),
            living: Vec::new(),
            peers: Vec::new(),
        };
        assert_eq!(status(&[]), "no carp interface");
        let three = [State::Backup, State::Master, State::Master].map(vhosted);
        assert_eq!(status(&three), "2 MASTER, 1 BACKUP");
        assert_eq!(status(&[State::Init].map(vhosted)), "1 INIT");
    }
}
