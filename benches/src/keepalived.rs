//! keepalived, the other peer: VRRP on the same hosts.

use crate::lab::{Host, Lab, PATIENCE, Proc, command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The program's name.
pub(crate) const NAME: &str = "keepalived";

/// How to start it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// The virtual router.
    pub(crate) vrid: u8,
    /// The higher one is MASTER.
    pub(crate) priority: u8,
    /// The virtual address.
    pub(crate) addr: Ipv4Addr,
}

/// One keepalived, on a host's `v0`, the address on a macvlan `use_vmac`. It
/// advertises each second. Dropping it kills it.
pub(crate) struct Keepalived {
    proc: Proc,
    demotion: PathBuf,
}

impl Keepalived {
    /// Starts it, and says nothing about its state.
    pub(crate) fn start(lab: &Lab, host: &Host, setup: Setup) -> Keepalived {
        let file = |what: &str| lab.dir().join(format!("{NAME}-{}-{what}", host.ns));
        let (conf, demotion, pids) = (file("conf"), file("demotion"), ["pid", "vrrp"].map(file));
        // Of one that was killed: nobody has waited for all of it, so that it still
        // counts as running.
        pids.iter().for_each(|pid| drop(fs::remove_file(pid)));
        fs::write(&demotion, "0\n").unwrap();
        fs::write(&conf, setup.text(&demotion.display().to_string())).unwrap();
        // It complains of each bad frame, and whoever reads that would be measured too.
        let mut words = command(&format!("{NAME} --vrrp --dont-fork --dont-respawn --no-syslog"));
        words.arg("--use-file").arg(conf).arg("--pid").arg(&pids[0]).arg("--vrrp_pid").arg(&pids[1]);
        Keepalived { proc: Proc::spawn(&format!("{NAME}-{}", host.ns), Some(&host.ns), words), demotion }
    }

    /// From now on its priority is less by so much.
    pub(crate) fn demote(&self, by: u8) {
        fs::write(&self.demotion, format!("-{by}\n")).unwrap();
    }

    /// It goes in order, and says so.
    pub(crate) fn stop(&self) {
        self.proc.signal(Signal::SIGTERM);
        self.proc.wait_exit(PATIENCE);
    }

    /// All its processes.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let parent = self.proc.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        [parent].into_iter().chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }

    /// All its processes end without a word. The parent would see to the other's
    /// leave if it could, and the other to its own.
    pub(crate) fn crash(&self) {
        let pids = self.pids();
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in &pids {
                kill(Pid::from_raw(*pid), signal).unwrap();
            }
        }
        self.proc.wait_exit(PATIENCE);
    }
}

impl Setup {
    fn text(self, demotion: &str) -> String {
        let Setup { vrid, priority, addr } = self;
        format!(
            "track_file demotion {{\n file {demotion}\n weight 1\n}}\n\
            vrrp_instance v {{\n state BACKUP\n interface v0\n virtual_router_id {vrid}\n \
            priority {priority}\n advert_int 1\n use_vmac carp0\n \
            authentication {{\n  auth_type PASS\n  auth_pass secret\n }}\n \
            virtual_ipaddress {{\n  {addr}/24\n }}\n track_file {{\n  demotion\n }}\n}}\n"
        )
    }
}
