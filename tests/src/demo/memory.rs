//! The world without namespaces: the machines' own code on a LAN in memory.

use super::client::Client;
use super::journal::Journal;
use super::story::Who;
use super::{Record, VIP, World};
use crate::lab::{Frame, show_mac};
use compat::net::if_::IfName;
use compat::sys::ctlsock::{Reply, Request};
use ifconfig_carp::{CallError, Syscalls, ifconfig, sysctl};
use netisrd::dev::lan::Lan;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::runtime::Runtime;
use netisrd::machine::{Config, Log};
use netisrd::net::netisr::Cred;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Network threads of a machine, and queues of its card.
const NCPUS: usize = 2;

/// A LAN, two machines, a client.
pub struct Memory {
    lan: Arc<Lan>,
    journal: Arc<Journal>,
    /// Every frame and the port that it came from.
    frames: Arc<Mutex<Vec<(Frame, usize)>>>,
    /// Who has which port; the client has 0.
    ports: Vec<Option<Who>>,
    machines: [Option<Machine>; 2],
    client: Client,
}

struct Machine {
    runtime: Runtime,
    /// A dead machine says nothing more.
    alive: Arc<AtomicBool>,
    port: usize,
}

impl Memory {
    /// Builds the LAN.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn new() -> Result<Memory, String> {
        let lan = Lan::new();
        let frames: Arc<Mutex<Vec<(Frame, usize)>>> = Arc::default();
        let sink = Arc::clone(&frames);
        lan.tap(Box::new(move |port, bytes| {
            let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let frame = Frame { at: Instant::now(), stamp, bytes: bytes.to_vec() };
            sink.lock().unwrap_or_else(PoisonError::into_inner).push((frame, port));
        }));
        let client = Client::attach(&lan).map_err(|e| format!("the client: {e}"))?;
        let (journal, ports, machines) = (Arc::new(Journal::default()), vec![None], [None, None]);
        Ok(Memory { lan, journal, frames, ports, machines, client })
    }

    fn machine(&self, who: Who) -> Result<&Machine, String> {
        self.machines[who.index()].as_ref().ok_or_else(|| format!("{} is not running", who.name()))
    }
}

impl World for Memory {
    fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    fn boot(&mut self, who: Who) -> Result<(), String> {
        let (name, card) = (who.name(), who.card());
        println!("-- {name}: a machine in this process, its card {card} on the LAN");
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| e.to_string())?;
        let clock = Arc::new(MonotonicClock::start());
        let alive = Arc::new(AtomicBool::new(true));
        let (journal, speaks) = (Arc::clone(&self.journal), Arc::clone(&alive));
        let log: Log = Box::new(move |_, line| {
            if speaks.load(Ordering::SeqCst) {
                journal.line(who, Instant::now(), &line.to_string());
            }
        });
        let runtime = Runtime::start(Config { ncpus: NCPUS, clock, seed, hz: 0, log });
        let runtime = runtime.map_err(|e| format!("{name}: {e}"))?;
        let ifname = IfName::new(card).ok_or("a bad interface name")?;
        let port = self.ports.len();
        let mac = [2, 0, 0, 0, port as u8, who.index() as u8];
        let device = self.lan.attach(ifname, mac, NCPUS);
        self.ports.push(Some(who));
        self.journal.booted(who);
        runtime.attach(device).map_err(|e| format!("{name}: {card}: {e}"))?;
        self.machines[who.index()] = Some(Machine { runtime, alive, port });
        Ok(())
    }

    fn tool(&mut self, who: Who, program: &str, args: &[&str]) -> Result<String, String> {
        let mut kernel = InProcess(&self.machine(who)?.runtime);
        let argv: Vec<_> = [program].iter().chain(args).map(OsString::from).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let run = match program {
            "ifconfig-carp" => ifconfig::run,
            "sysctl-carp" => sysctl::run,
            _ => return Err(format!("no program {program}")),
        };
        let status = run(&argv, &mut kernel, &mut out, &mut err);
        let said = if status == 0 { out } else { err };
        let said = String::from_utf8_lossy(&said).into_owned();
        if status == 0 { Ok(said) } else { Err(said.trim().to_owned()) }
    }

    fn kill(&mut self, who: Who) -> Result<(), String> {
        let machine = self.machines[who.index()].take();
        let machine = machine.ok_or_else(|| format!("{} is not running", who.name()))?;
        println!("-- {}'s cable is cut, then the machine is dropped: what SIGKILL is here", who.name());
        self.journal.killed(who, Instant::now());
        self.lan.set_port_link(machine.port, false);
        machine.alive.store(false, Ordering::SeqCst);
        // it bows out, but nobody hears it
        machine.runtime.halt();
        Ok(())
    }

    fn start_client(&mut self) -> Result<(), String> {
        self.client.start();
        Ok(())
    }

    fn wait_answers(&mut self, n: usize) -> Result<(), String> {
        self.client.wait_answers(n)
    }

    fn show_neighbour(&mut self) {
        if let Some(mac) = self.client.neighbour() {
            println!("-- client: {VIP} is at {}", show_mac(mac));
        }
    }

    fn record(&self) -> Record {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let replies = frames.iter().filter(|(f, _)| f.is_echo_reply_of(VIP));
        let answer = |(f, port): &(Frame, usize)| Some((f.at, (*self.ports.get(*port)?)?, f.src()));
        let answers = replies.filter_map(answer).collect();
        Record { answers, probes: self.client.probes(), frames: frames.into_iter().map(|(f, _)| f).collect() }
    }
}

/// A machine's system calls, without a socket between.
struct InProcess<'a>(&'a Runtime);

impl Syscalls for InProcess<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        Ok(self.0.syscall(Cred { privileged: true }, request.clone()))
    }
}
