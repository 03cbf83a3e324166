//! A machine in this thread, to hand frames to.

use compat::net::if_::IfName;
use compat::qsbr::Netisr0;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::msgport::{ReplyPort, reply_port};
use compat::sys::time::VirtualClock;
use ifconfig_carp::{CallError, Syscalls, ifconfig, sysctl};
use netisrd::dev::lan::Lan;
use netisrd::machine::{Booted, Config, Ctx, Machine, PerCpu};
use netisrd::net::netisr::{self, Cred, Netmsg0};
use std::ffi::OsString;
use std::sync::Arc;

/// A machine of one netisr, which is this thread, with one card `em0` on a
/// cable that leads nowhere. Its clock stands still.
pub(super) struct Rig {
    pub(super) m: Arc<Machine>,
    pub(super) n0: Netisr0,
    cpu: PerCpu,
    /// Of `em0`.
    pub(super) index: u16,
}

impl Rig {
    /// With carp1 to carpN, all of them MASTER.
    pub(super) fn new(vhids: u8) -> Rig {
        let clock = Arc::new(VirtualClock::default());
        let Booted { machine, mut seeds, .. } =
            Machine::boot(Config { ncpus: 1, clock, seed: [7; 32], hz: 0, log: netisrd::machine::trace() });
        let n0 = seeds.remove(0).claim0(Box::new(|| {}));
        let mut rig = Rig { m: machine, n0, cpu: PerCpu::default(), index: 0 };
        let em0 = IfName::new("em0").expect("a name");
        let device = Box::new(Lan::new().attach(em0, [2, 0, 0, 0, 0, 1], 1));
        rig.index = rig.ask(|reply| Netmsg0::Attach(device, reply)).expect("a free name");
        rig.command(sysctl::run, "sysctl-carp net.inet.carp.preempt=1");
        rig.command(ifconfig::run, "ifconfig-carp em0 10.77.0.1/16");
        for vhid in 1..=vhids {
            rig.command(ifconfig::run, &format!("ifconfig-carp carp{vhid} create"));
            let words = format!("carp{vhid} vhid {vhid} pass secret 10.77.1.{vhid}/16");
            rig.command(ifconfig::run, &format!("ifconfig-carp {words}"));
        }
        rig
    }

    /// This netisr, dispatching.
    pub(super) fn ctx(&self) -> Ctx<'_> {
        Ctx { m: &self.m, n: &self.n0, cpu: &self.cpu }
    }

    /// Sends netisr0 a message and is netisr0 until it is answered.
    fn ask<R>(&mut self, msg: impl FnOnce(ReplyPort<R>) -> Netmsg0) -> R {
        let (reply, waiting) = reply_port();
        self.m.port0.sendmsg(msg(reply));
        loop {
            netisr::run0(&self.m, &mut self.n0, &self.cpu);
            if let Some(answer) = waiting.poll() {
                return answer;
            }
        }
    }

    fn command(&mut self, run: Entry, line: &str) {
        let argv: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = run(&argv, self, &mut out, &mut err);
        assert_eq!(status, 0, "{line}: {}", String::from_utf8_lossy(&err));
    }
}

/// What the programs enter by.
type Entry = fn(&[OsString], &mut dyn Syscalls, &mut dyn std::io::Write, &mut dyn std::io::Write) -> u8;

impl Syscalls for Rig {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let request = request.clone();
        Ok(self.ask(|reply| Netmsg0::Syscall(Cred { privileged: true }, request, reply)))
    }
}
