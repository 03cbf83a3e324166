//! Bridges, veths and namespaces.

use crate::dev::tap;
use crate::lab::scenario::{Kind, Scenario};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Where a station is plugged into a LAN's bridge.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// The interface's name, in the lab's own namespace.
    pub(super) name: String,
    /// Which LAN.
    pub(super) lan: usize,
    /// Whose it is.
    pub(super) station: String,
}

/// The namespace of the `n`th machine.
pub(super) fn netns(machine: usize) -> String {
    format!("m{machine}")
}

/// The port of the `i`th card of the `n`th machine.
pub(super) fn port(machine: usize, card: usize) -> String {
    format!("m{machine}i{card}")
}

/// The bridge of the `n`th LAN.
pub(super) fn bridge(lan: usize) -> String {
    format!("l{lan}")
}

/// The tap of the `n`th client.
pub(super) fn client(n: usize) -> String {
    format!("c{n}")
}

/// Makes all LANs, namespaces and cables; what is plugged in where. Machines
/// first, each one's cards in order, then clients, whose taps are not there yet.
pub(super) fn build(scenario: &Scenario) -> Result<Vec<Port>, String> {
    fs::create_dir_all("/run/netns").map_err(|e| format!("/run/netns: {e}"))?;
    quiet()?;
    let at = |lan: &str| scenario.lan.keys().position(|l| l == lan).unwrap_or_default();
    let mut lines = vec!["link set dev lo up".to_owned()];
    for n in 0..scenario.lan.len() {
        let bridge = bridge(n);
        lines.push(format!("link add name {bridge} type bridge {AT_ONCE}"));
        lines.push(format!("link set dev {bridge} up"));
    }
    lines.extend((0..scenario.machine.len()).map(|n| format!("netns add {}", netns(n))));
    ip(None, &lines)?;
    let mut ports = Vec::new();
    for (n, (name, spec)) in scenario.machine.iter().enumerate() {
        within(&netns(n), quiet)??;
        let mut lines = Vec::new();
        let mut inside = Vec::new();
        for (i, (ifname, lan)) in spec.interfaces.iter().enumerate() {
            let (port, lan, ns) = (port(n, i), at(lan.as_ref()), netns(n));
            let wire = match spec.kind {
                Kind::Netisrd => format!("w{i}"),
                Kind::Ucarp => ifname.clone(),
            };
            lines.push(format!("link add name {port} type veth peer name {wire} netns {ns}"));
            lines.push(format!("link set dev {port} master {} up", bridge(lan)));
            if spec.kind == Kind::Netisrd {
                inside.push(format!("link add name s{i} type bridge {AT_ONCE}"));
                inside.push(format!("link set dev s{i} up"));
                // A LAN that echoes is not to teach it that the machine is on
                // the other side.
                inside.push(format!("link set dev {wire} master s{i} up"));
                inside.push(format!("link set dev {wire} type bridge_slave learning off"));
            }
            ports.push(Port { name: port, lan, station: name.clone() });
        }
        ip(None, &lines)?;
        ip(Some(&netns(n)), &inside)?;
    }
    for (n, (name, spec)) in scenario.client.iter().enumerate() {
        ports.push(Port { name: client(n), lan: at(spec.lan.as_ref()), station: name.clone() });
    }
    Ok(ports)
}

/// A bridge that forwards from the first frame on, and says nothing of its own.
const AT_ONCE: &str = "stp_state 0 forward_delay 0 mcast_snooping 0";

/// Waits until an interface passes frames.
pub(super) fn wait_forwarding(name: &str) -> Result<(), String> {
    match tap::wait_forwarding(name, super::PATIENCE) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{name} passes no frames")),
        Err(e) => Err(e.to_string()),
    }
}

/// This namespace speaks no IPv6, and its bridges ask no firewall but ours, so
/// that nothing is on the wires but what the machines say.
fn quiet() -> Result<(), String> {
    let ipv6 = ["all", "default"].map(|which| (format!("ipv6/conf/{which}/disable_ipv6"), "1"));
    let firewall = ["iptables", "ip6tables", "arptables"];
    let firewall = firewall.map(|which| (format!("bridge/bridge-nf-call-{which}"), "0"));
    for (what, value) in ipv6.into_iter().chain(firewall) {
        let path = Path::new("/proc/sys/net").join(what);
        if path.exists() {
            fs::write(&path, value).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// Runs `f` in that namespace.
pub(super) fn within<T: Send>(netns: &str, f: impl FnOnce() -> T + Send) -> Result<T, String> {
    let there = || {
        let file = File::open(Path::new("/run/netns").join(netns)).map_err(|e| format!("{netns}: {e}"))?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|e| format!("{netns}: {}", e.desc()))?;
        Ok(f())
    };
    // It moves a thread, and one that ends here.
    thread::scope(|s| s.spawn(there).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Has `ip` do these lines in a namespace; `None`: the lab's own.
pub(super) fn ip(netns: Option<&str>, lines: &[String]) -> Result<(), String> {
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-netns", netns]);
    }
    feed(command.args(["-batch", "-"]), &lines.join("\n"))
}

/// Runs a program that reads `input`; its complaint, in a line, if it fails.
pub(super) fn feed(command: &mut Command, input: &str) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let said = |e: io::Error| format!("{name}: {e}");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(said)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(said)?;
    }
    let out = child.wait_with_output().map_err(said)?;
    if out.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&out.stderr);
    Err(format!("{name}: {}", text.lines().next().unwrap_or("failed and said nothing")))
}
