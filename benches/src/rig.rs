//! A machine whose netisr0 is this thread, to hand frames to and to change.

use compat::net::if_::IfName;
use compat::net::netisr::PortSync;
use compat::qsbr::Netisr0;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::msgport::{ReplyPort, reply_port};
use compat::sys::time::VirtualClock;
use ifconfig_carp::{CallError, Syscalls, ifconfig, sysctl};
use netisrd::dev::lan::Lan;
use netisrd::dev::{Device, RxQueue};
use netisrd::host::thread::NetisrThread;
use netisrd::machine::{Booted, Config, Ctx, Ctx0, Machine, PerCpu, trace};
use netisrd::net::netisr::{self, Cred, Netmsg0};
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::thread::JoinHandle;

/// `em0`'s MAC.
pub(crate) const LLADDR: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A machine with one card `em0`. Its clock stands still. netisr0 is this
/// thread, the others are threads as in netisrd.
pub(crate) struct Rig {
    pub(crate) m: Arc<Machine>,
    pub(crate) n0: Netisr0,
    cpu: PerCpu,
    /// Of `em0`.
    pub(crate) index: u16,
    others: Vec<JoinHandle<()>>,
}

impl Rig {
    /// One netisr, carp1 to carpN, all of them MASTER, on a cable that leads
    /// nowhere.
    pub(crate) fn new(vhids: u8) -> Rig {
        let em0 = IfName::new("em0").expect("a name");
        Rig::with(1, vhids, Lan::new().attach(em0, LLADDR, 1))
    }

    /// The same with so many netisrs, on that device.
    pub(crate) fn with(netisrs: usize, vhids: u8, device: Device) -> Rig {
        let clock = Arc::new(VirtualClock::default());
        let Booted { machine: m, seeds, .. } =
            Machine::boot(Config { ncpus: netisrs, clock, seed: [7; 32], hz: 0, log: trace() });
        let mut seeds = seeds.into_iter();
        let seed0 = seeds.next().expect("netisr0's seed");
        let spawn = |seed| NetisrThread::spawn(m.clone(), seed, None).expect("a thread");
        let others = seeds.map(spawn).collect();
        let n0 = seed0.claim0(Box::new(PortSync::new(m.ports.clone())));
        let mut rig = Rig { m, n0, cpu: PerCpu::default(), index: 0, others };
        rig.index = rig.ask(|reply| Netmsg0::Attach(Box::new(device), reply)).expect("a free name");
        configure(&mut rig, vhids);
        rig
    }

    /// This netisr, dispatching.
    pub(crate) fn ctx(&self) -> Ctx<'_> {
        Ctx { m: &self.m, n: &self.n0, cpu: &self.cpu }
    }

    /// netisr0, dispatching.
    pub(crate) fn ctx0(&mut self) -> Ctx0<'_> {
        Ctx0 { m: &self.m, n0: &mut self.n0, cpu: &self.cpu }
    }

    /// What waits at netisr0's port.
    pub(crate) fn run(&mut self) {
        netisr::run0(&self.m, &mut self.n0, &self.cpu);
    }

    /// netisr0's own queues of the card.
    pub(crate) fn queues(&self) -> Vec<Box<dyn RxQueue>> {
        self.cpu.new_queues.take().into_iter().map(|(_, q)| q).collect()
    }

    /// Halts; every netisr's thread ends.
    pub(crate) fn halt(mut self) {
        self.ask(Netmsg0::Halt);
        for t in self.others {
            t.join().expect("a netisr does not panic");
        }
    }

    /// Sends netisr0 a message and is netisr0 until it is answered.
    fn ask<R>(&mut self, msg: impl FnOnce(ReplyPort<R>) -> Netmsg0) -> R {
        let (reply, waiting) = reply_port();
        self.m.port0.sendmsg(msg(reply));
        loop {
            self.run();
            if let Some(answer) = waiting.poll() {
                return answer;
            }
        }
    }
}

/// What the programs enter by.
type Entry = fn(&[OsString], &mut dyn Syscalls, &mut dyn Write, &mut dyn Write) -> u8;

/// A command of a program, as a person types it.
pub(crate) fn ifconfig(machine: &mut dyn Syscalls, words: &str) {
    command(ifconfig::run, machine, &format!("ifconfig-carp {words}"));
}

fn command(run: Entry, machine: &mut dyn Syscalls, line: &str) {
    let argv: Vec<_> = line.split_whitespace().map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(&argv, machine, &mut out, &mut err);
    assert_eq!(status, 0, "{line}: {}", String::from_utf8_lossy(&err));
}

/// carp1 to carpN on `em0`, all of them MASTER.
pub(crate) fn configure(machine: &mut dyn Syscalls, vhids: u8) {
    command(sysctl::run, machine, "sysctl-carp net.inet.carp.preempt=1");
    ifconfig(machine, "em0 10.77.0.1/16");
    for vhid in 1..=vhids {
        ifconfig(machine, &format!("carp{vhid} create"));
        ifconfig(machine, &format!("carp{vhid} vhid {vhid} pass secret 10.77.1.{vhid}/16"));
    }
}

impl Syscalls for Rig {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let request = request.clone();
        Ok(self.ask(|reply| Netmsg0::Syscall(Cred { privileged: true }, request, reply)))
    }
}
