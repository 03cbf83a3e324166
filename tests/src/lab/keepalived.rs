//! keepalived, who speaks VRRP: not CARP, but over the same protocol number and with
//! the same Ethernet addresses.

use super::proc::Proc;
use super::{Host, Lab, PATIENCE};
use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

/// One of its virtual routers.
#[derive(Clone, Copy, Debug)]
pub struct Vrrp {
    /// `virtual_router_id`
    pub vrid: u8,
    /// The virtual address.
    pub addr: Ipv4Addr,
    /// Whether it answers with `00:00:5e:00:01:vrid` instead of its own Ethernet
    /// address.
    pub use_vmac: bool,
}

/// A running keepalived.
#[derive(Debug)]
pub struct Keepalived {
    /// The process and its log.
    pub proc: Proc,
}

impl Keepalived {
    /// Starts it on a host's `v0`, all virtual routers with one priority.
    pub fn start(lab: &Lab, host: &Host, priority: u8, routers: &[Vrrp]) -> Keepalived {
        let name = format!("keepalived-{}", host.ns);
        let mut conf = format!("global_defs {{\n router_id {name}\n}}\n");
        for r in routers {
            let vmac = if r.use_vmac { format!(" use_vmac vrrp.{}\n", r.vrid) } else { String::new() };
            write!(
                conf,
                "vrrp_instance V{0} {{\n state BACKUP\n interface v0\n virtual_router_id {0}\n priority {priority}\n \
                 advert_int 1\n{vmac} virtual_ipaddress {{\n  {1}/24\n }}\n}}\n",
                r.vrid, r.addr
            )
            .unwrap();
        }
        let file = |what: &str| lab.dir().join(format!("{name}.{what}"));
        fs::write(file("conf"), conf).unwrap();
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
        command.arg("--use-file").arg(file("conf"));
        command.arg("--pid").arg(file("pid")).arg("--vrrp_pid").arg(file("vrrp.pid"));
        Keepalived { proc: Proc::spawn(&name, Some(&host.ns), command) }
    }

    /// Waits until a virtual router is in a state (`MASTER`, `BACKUP`).
    pub fn wait_state(&self, vrid: u8, state: &str) {
        let entering = format!("(V{vrid}) Entering {state} STATE");
        self.proc.log.wait_line(0, &entering, PATIENCE, |l| l.contains(&entering));
    }

    /// The states that a virtual router has come to, in order.
    pub fn states(&self, vrid: u8) -> Vec<String> {
        let entering = format!("(V{vrid}) Entering ");
        let lines = self.proc.log.lines();
        let states = lines.iter().filter_map(|l| l.split_once(&entering)?.1.split(' ').next());
        states.map(str::to_owned).collect()
    }
}
