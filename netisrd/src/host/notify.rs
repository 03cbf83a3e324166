//! `sd_notify(3)`: what the service manager hears of the daemon.
//!
//! The socket is opened once, so that what is forbidden to the process later
//! does not matter, and is never waited for.

use super::clock::monotonic;
use super::json::state_name;
use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Upkeep;
use super::succession::{Estate, Step};
use crate::kern::devctl::Vhosted;
use compat::sys::time::Time;
use libcarp::softc::State;
use std::cell::Cell;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;

/// What a successor finds it by.
const SUCCESSION: &str = "service manager";

/// Tells the service manager that netisrd is ready, what its carp interfaces
/// are, and that its netisrs answer.
pub struct Notify {
    manager: Manager,
    /// `STATUS=` as it was said last.
    status: Option<String>,
    /// How often the manager wants to hear that all is well, halved.
    watchdog: Option<Duration>,
    /// When it hears that next.
    due: Option<Time>,
}

/// The service manager, for all on the main thread who have something to tell it.
#[derive(Clone)]
pub struct Manager(Rc<Told>);

struct Told {
    socket: UnixDatagram,
    /// A failure was logged.
    failed: Cell<bool>,
}

impl Manager {
    fn on(socket: UnixDatagram) -> Manager {
        Manager(Rc::new(Told::on(socket)))
    }

    /// The configuration is read again, or the machine handed over: no end, and
    /// [`ready`](Manager::ready) follows. Since when it wants to know.
    pub(super) fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic() / 1000));
    }

    /// It is as ready as it was.
    pub(super) fn ready(&self) {
        self.say("READY=1\n");
    }

    fn say(&self, text: &str) {
        self.0.say(text);
    }
}

impl Told {
    fn on(socket: UnixDatagram) -> Told {
        Told { socket, failed: Cell::new(false) }
    }

    fn say(&self, text: &str) {
        match self.socket.send(text.as_bytes()) {
            Ok(_) => self.failed.set(false),
            Err(e) if !self.failed.replace(true) => tracing::warn!("NOTIFY_SOCKET: {e}"),
            Err(_) => {}
        }
    }
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
        let manager = Manager::on(socket);
        Ok(Some(Notify { manager, status: None, watchdog: watchdog(), due: None }))
    }

    /// As the environment says, or, without it, the service manager of the netisrd
    /// that this one follows.
    ///
    /// # Errors
    /// As of [`from_env`](Notify::from_env).
    pub fn of_successor(estate: &mut Estate) -> io::Result<Option<Notify>> {
        let (own, watchdog) = (Notify::from_env()?, estate.take::<Duration>(SUCCESSION)?);
        let theirs = estate.descriptors(SUCCESSION)?.map(|[socket]| Notify {
            manager: Manager::on(UnixDatagram::from(socket)),
            status: None,
            watchdog,
            due: None,
        });
        // It is watched whoever's socket it has.
        let own = own.map(|own| Notify { watchdog: own.watchdog.or(watchdog), ..own });
        Ok(own.or(theirs))
    }

    /// Says that all is well in the middle of a long turn too.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn upkeep(&self) -> io::Result<Option<Upkeep>> {
        let Some(interval) = self.watchdog else { return Ok(None) };
        let (manager, mut due) = (Told::on(self.manager.0.socket.try_clone()?), None);
        Ok(Some(Box::new(move |machine| {
            let due = due.get_or_insert_with(|| machine.now() + interval);
            if *due <= machine.now() {
                machine.barrier();
                manager.say("WATCHDOG=1\n");
                *due = machine.now() + interval;
            }
        })))
    }

    /// For others who have something to tell it.
    pub fn manager(&self) -> Manager {
        self.manager.clone()
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
            self.manager.say(&format!("{ready}STATUS={status}\n"));
            self.status = Some(status);
        }
        if let Some(interval) = self.watchdog
            && self.due.is_none_or(|due| due <= turn.now)
        {
            // A netisr that hangs does not return from this, and the manager
            // acts on what it does not hear.
            turn.machine.barrier();
            self.manager.say("WATCHDOG=1\n");
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
                estate.lend(SUCCESSION, &[&self.manager.0.socket])?;
            }
            Step::Frozen(_) => self.manager.reloading(),
            Step::Waits => {}
            // It says itself that it is.
            Step::Ready(pid) => self.manager.say(&format!("MAINPID={pid}\n")),
            Step::Stays => self.manager.say(&format!("MAINPID={}\nREADY=1\n", std::process::id())),
        }
        Ok(())
    }

    fn halting(&mut self) {
        self.watchdog = None;
        self.manager.say("STOPPING=1\nSTATUS=halting\n");
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
