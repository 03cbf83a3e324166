//! A machine: its namespace stays, its process comes and goes.

use super::follow::{spawn, without_stamp};
use super::hands::Hands;
use super::net;
use super::play::Shared;
use super::states::States;
use super::{PATIENCE, ucarp};
use crate::lab::host::typed;
use crate::lab::judge::{Rule, Violation};
use crate::lab::record::What;
use crate::lab::scenario::{Kind, MachineSpec, Name};
use compat::sys::ctlsock::Request;
use compat::sys::time::Clock;
use ifconfig_carp::{Syscalls, UnixSocket};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Where sockets and scripts are: a folder of the lab's own.
const DIR: &str = "/run/netisrd-lab";

/// A machine, on or off.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) spec: MachineSpec,
    start: Start,
    /// It starts, and will be
    warm: Option<JoinHandle<Result<Running, String>>>,
    /// ready to be switched on: it has a cable, and no configuration.
    ready: Option<Running>,
    on: Option<Running>,
    /// It was switched off, and its process may not have ended yet.
    leaving: Option<JoinHandle<Result<(), String>>>,
    paused: bool,
}

/// What it takes to start its process.
#[derive(Clone)]
struct Start {
    name: String,
    number: usize,
    spec: MachineSpec,
    netisrs: usize,
    socket: PathBuf,
    states: Arc<Mutex<States>>,
    shared: Shared,
}

/// A process. Dropped, it is killed.
struct Running {
    child: Child,
    /// Word of its output's end.
    end: Receiver<()>,
    /// Who hears its routing socket.
    listener: Option<JoinHandle<()>>,
}

impl Machine {
    /// Off; `lan` knows which LAN each card is on.
    pub(super) fn new(
        number: usize,
        name: &str,
        spec: &MachineSpec,
        netisrs: usize,
        shared: &Shared,
    ) -> Result<Machine, String> {
        std::fs::create_dir_all(DIR).map_err(|e| format!("{DIR}: {e}"))?;
        let socket = Path::new(DIR).join(format!("{}.sock", net::netns(number)));
        let cards = spec.interfaces.iter().map(|(card, lan)| (card.clone(), lan.as_ref().clone()));
        let states = States::new(name, cards.collect(), &socket, shared.journal.clone());
        let start = Start {
            name: name.to_owned(),
            number,
            spec: spec.clone(),
            netisrs: spec.netisrs.unwrap_or(netisrs).max(1),
            socket,
            states: Arc::new(Mutex::new(states)),
            shared: shared.clone(),
        };
        let (name, spec) = (name.to_owned(), spec.clone());
        Ok(Machine { name, spec, start, warm: None, ready: None, on: None, leaving: None, paused: false })
    }

    /// Whether it is switched on.
    pub(super) fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// Starts netisrd ahead of its boot: what the host needs for that is not
    /// the machine's time.
    pub(super) fn warm_up(&mut self) {
        if self.spec.kind == Kind::Netisrd && self.warm.is_none() && self.ready.is_none() {
            let (start, leaving) = (self.start.clone(), self.leaving.take());
            let warm_up = move || {
                if let Some(leaving) = leaving {
                    leaving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                }
                start.netisrd()
            };
            self.warm = Some(thread::spawn(warm_up));
        }
    }

    /// Waits until it has started.
    pub(super) fn wait_warm(&mut self) -> Result<(), String> {
        if let Some(warm) = self.warm.take() {
            let running = warm.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            self.ready = Some(running.map_err(|e| format!("{}: {e}", self.name))?);
        }
        Ok(())
    }

    /// Switches it on.
    pub(super) fn switch_on(&mut self) -> Result<(), String> {
        if self.ready.is_none() {
            self.warm_up();
            self.wait_warm()?;
        }
        self.note(What::Boot { machine: self.name.clone() });
        self.on = match self.spec.kind {
            Kind::Netisrd => self.ready.take(),
            Kind::Ucarp => {
                self.wait_left()?;
                Some(self.start.ucarp().map_err(|e| format!("{}: {e}", self.name))?)
            }
        };
        Ok(())
    }

    /// Gives it its boot lines.
    pub(super) fn configure(&mut self) {
        for line in self.spec.boot.clone() {
            self.type_(&line, Some(false));
        }
        self.states().look_for_vhids();
    }

    /// Puts the cable of a card in or out.
    pub(super) fn cable(&self, ifname: &str, out: bool, hands: &Hands) {
        let number = self.start.number;
        let Some(card) = self.spec.interfaces.keys().position(|i| i == ifname) else { return };
        let word = if out { "down" } else { "up" };
        let (netns, name) = match self.spec.kind {
            // Its tap exists as long as its netisrd does.
            Kind::Netisrd if self.on.is_none() => return,
            // To take its carrier away would do as well, but the kernel takes
            // up to a second to tell of that.
            Kind::Netisrd => (Some(net::netns(number)), ifname.to_owned()),
            Kind::Ucarp => (None, net::port(number, card)),
        };
        hands.then(move || match net::ip(netns.as_deref(), &[format!("link set dev {name} {word}")]) {
            // The machine has crashed before it came to that.
            Err(e) if e.contains("Cannot find device") => Ok(()),
            other => other,
        });
    }

    /// Gives it a command, of which is known whether it fails, or not.
    pub(super) fn run(&mut self, line: &Name, fails: Option<bool>) {
        self.type_(line, fails);
        if self.on.is_some() && !self.paused {
            self.states().look_for_vhids();
        }
    }

    fn type_(&mut self, line: &Name, fails: Option<bool>) {
        let begun = self.start.shared.journal.begin();
        let (status, output) = if self.on.is_none() {
            (1, "the machine is off".to_owned())
        } else if self.paused {
            (1, "the machine is paused".to_owned())
        } else {
            let mut calls = UnixSocket::new();
            calls.select(&self.start.socket);
            typed(&mut calls, line.as_ref())
        };
        if fails.is_some_and(|fails| (status != 0) != fails) {
            let place = self.start.shared.source.before(line);
            let (name, line) = (&self.name, line.as_ref());
            self.start.wrong(format!("{place}{name}: {line}: status {status}: {}", output.trim()));
        }
        let (machine, line) = (self.name.clone(), line.as_ref().clone());
        self.start.shared.journal.note_begun(begun, What::Command { machine, line, status, output });
    }

    /// It is gone from one moment to the next.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.note(What::Crash { machine: self.name.clone() });
        self.off(Signal::SIGKILL)
    }

    /// It is shut down in order.
    pub(super) fn halt(&mut self) -> Result<(), String> {
        self.note(What::Halt { machine: self.name.clone() });
        if self.paused {
            self.signal(Signal::SIGCONT)?;
        }
        self.off(Signal::SIGTERM)
    }

    /// It stops, or goes on.
    pub(super) fn pause(&mut self, stop: bool) -> Result<(), String> {
        let machine = self.name.clone();
        self.signal(if stop { Signal::SIGSTOP } else { Signal::SIGCONT })?;
        self.paused = stop;
        self.note(if stop { What::Pause { machine } } else { What::Resume { machine } });
        Ok(())
    }

    /// Looks whether its process has ended by itself.
    pub(super) fn check(&mut self) {
        let ended = match self.on.as_mut().map(|r| r.child.try_wait()) {
            Some(Ok(Some(status))) => status.to_string(),
            Some(Err(e)) => e.to_string(),
            _ => return,
        };
        self.on = None;
        self.states().off();
        self.start.wrong(format!("{}: its process ended: {ended}", self.name));
    }

    /// Ends it by that signal. What the kernel takes to end a process and its
    /// taps is not waited for.
    fn off(&mut self, signal: Signal) -> Result<(), String> {
        self.signal(signal)?;
        if signal == Signal::SIGKILL {
            // It says nothing more.
            self.states().off();
        }
        self.paused = false;
        if let Some(running) = self.on.take() {
            let start = self.start.clone();
            self.leaving = Some(thread::spawn(move || start.leave(running, signal)));
        }
        Ok(())
    }

    /// Waits until it has left, if it was there.
    fn wait_left(&mut self) -> Result<(), String> {
        let left = self.leaving.take().map_or(Ok(Ok(())), JoinHandle::join);
        left.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let Some(running) = &self.on else { return Ok(()) };
        kill(running.pid(), signal).map_err(|e| format!("{}: {signal}: {}", self.name, e.desc()))
    }

    fn note(&self, what: What) {
        self.start.shared.journal.note(what);
    }

    fn states(&self) -> MutexGuard<'_, States> {
        lock(&self.start.states)
    }
}

impl Start {
    /// Waits for a process that was told to end by that signal.
    fn leave(&self, mut running: Running, signal: Signal) -> Result<(), String> {
        // One that does not go is a fault of its own.
        if running.end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            self.wrong(format!("{}: its process does not end by {signal}", self.name));
        }
        running.end();
        lock(&self.states).off();
        if let (Kind::Ucarp, Some(ifname)) = (self.spec.kind, self.spec.interfaces.keys().next()) {
            // The host of a dead ucarp has its address still.
            let lines = [format!("link set dev {ifname} down"), format!("addr flush dev {ifname}")];
            net::ip(Some(&net::netns(self.number)), &lines)?;
        }
        Ok(())
    }

    fn wrong(&self, text: String) {
        let (at, machine) = (self.shared.clock.now(), Some(self.number));
        let violation = Violation { at, rule: Rule::Command, machine, text };
        self.shared.journal.note(What::Violation { text: violation.to_string() });
    }

    /// Starts netisrd, and waits until it is ready.
    fn netisrd(self) -> Result<Running, String> {
        let exe = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut command = Command::new(exe);
        command.arg("-S").arg(&self.socket).arg("-n").arg(self.netisrs.to_string());
        command.arg("--hz").arg(self.spec.hz.to_string()).env_remove("RUST_LOG").env("NO_COLOR", "1");
        // What the host does on a takeover of its own is not for a laboratory's.
        command.args(["--hooks", ""]).env_remove("NOTIFY_SOCKET");
        for (i, ifname) in self.spec.interfaces.keys().enumerate() {
            command.arg("--tap").arg(format!("{ifname}@s{i}"));
        }
        let (ready, is_ready) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let hear = self.hearing(end, move |line| {
            if line.starts_with("netisrd: ready") {
                // Who waits for it may have given up.
                let _ = ready.send(());
            }
        });
        let child = spawn(&net::netns(self.number), command, hear)?;
        let mut running = Running { child, end: ended, listener: None };
        is_ready.recv_timeout(PATIENCE).map_err(|_| "netisrd does not start".to_owned())?;
        lock(&self.states).rebooted();
        let mut calls = UnixSocket::new();
        calls.select(&self.socket);
        calls.call(&Request::route()).map_err(|e| e.to_string())?;
        running.listener = Some(self.listen(calls).map_err(|e| e.to_string())?);
        Ok(running)
    }

    /// Hears the routing socket until the machine ends. One thread hears, so
    /// that everything has its time, and another asks what it means.
    fn listen(&self, mut socket: UnixSocket) -> io::Result<JoinHandle<()>> {
        let (tell, told) = mpsc::channel();
        let (states, journal) = (self.states.clone(), self.shared.journal.clone());
        let hear = move || {
            while let Ok(message) = socket.hear() {
                // Who takes them goes last.
                let _ = tell.send((journal.now(), message));
            }
        };
        thread::Builder::new().name("listener".into()).spawn(hear)?;
        let take = move || told.into_iter().for_each(|(at, message)| lock(&states).heard(at, &message));
        thread::Builder::new().name("states".into()).spawn(take)
    }

    /// Switches its card on, and starts ucarp.
    fn ucarp(&self) -> Result<Running, String> {
        let ifname = self.spec.interfaces.keys().next();
        let Some((spec, ifname)) = self.spec.ucarp.as_ref().zip(ifname) else {
            return Err("ucarp has no card".into());
        };
        let netns = net::netns(self.number);
        net::ip(
            Some(&netns),
            &[format!("link set dev {ifname} up"), format!("addr add {} dev {ifname}", spec.own)],
        )?;
        net::within(&netns, || net::wait_forwarding(ifname))??;
        net::wait_forwarding(&net::port(self.number, 0))?;
        let command = ucarp::command(spec, ifname, Path::new(DIR), &netns)?;
        let (end, ended) = mpsc::channel();
        lock(&self.states).come_as(ucarp::IFNAME, spec.vhid.get());
        let states = self.states.clone();
        let hear = self.clone().hearing(end, move |line| {
            if let Some(state) = ucarp::state(line) {
                lock(&states).turn_to(state);
            }
        });
        Ok(Running { child: spawn(&netns, command, hear)?, end: ended, listener: None })
    }

    /// What is done with each line of its process: noted, and looked at.
    fn hearing(
        &self,
        end: Sender<()>,
        mut look: impl FnMut(&str) + Clone + Send + 'static,
    ) -> impl FnMut(&str) + Clone + Send + 'static {
        let (journal, number) = (self.shared.journal.clone(), self.number);
        let over = Over(end);
        move |line| {
            let _ = &over;
            let line = without_stamp(line);
            journal.log(number, || line.to_owned());
            look(line);
        }
    }
}

/// Dropped with the last of its clones, it has said that the output is over.
#[derive(Clone)]
struct Over(#[allow(dead_code, reason = "its end is the word")] Sender<()>);

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Kills it if it is not gone, and waits for all that it said.
    fn end(&mut self) {
        // One that is gone cannot be killed, and that is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nothing is left half done by a panic here.
fn lock(states: &Mutex<States>) -> MutexGuard<'_, States> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}
