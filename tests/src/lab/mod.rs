//! A laboratory: namespaces, bridges, veths, hosts and the programs on them.
//!
//! [`run`] gives a test a laboratory of its own. In it everything waits for
//! events (a log line, a frame, a netlink message, the end of a process), and
//! each wait has a bound, [`PATIENCE`], that only a hang should reach.

mod control;
mod events;
mod forge;
mod frame;
mod frame6;
mod hang;
mod keepalived;
mod manager;
mod neighbours;
mod netisrd;
mod pinger;
mod proc;
mod roles;
mod run;
mod scene;
mod tools;
mod ucarp;
mod verify;
mod wire;

pub use control::Control;
pub use events::Events;
pub use forge::{Forge, checksum, digest, echo_request, ethernet, ipv4, seal};
pub use frame::{Advert, Arp, BROADCAST, Frame, Mac, Packet, arp_request, show_mac, virtual_mac};
pub use frame6::{Nd, Packet6, echo_request6, solicitation, solicited_node};
pub use hang::Hang;
pub use keepalived::{Keepalived, Vrrp};
pub use manager::Manager;
pub use neighbours::{Learnt, Neighbours};
pub use netisrd::{Netisrd, Setup};
pub use pinger::{Pinger, Probe};
pub use proc::{Log, Proc, Said, command};
pub use roles::{adverts, one_voice, settle, settled};
pub use run::{Needs, as_user, binary, find_program, in_ci, profile_dir, run, skip, target_dir};
pub use scene::{N1, N2, VIP, host_and_client, on_host, on_tap, on_veth, virtual_host};
pub use tools::{Stats, Tools};
pub use ucarp::{Ucarp, UcarpSetup};
pub use verify::faults;
pub use wire::{Wire, write_pcap};

use nix::sched::{CloneFlags, setns};
use std::fmt::Display;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The bound of a wait: never an expectation, only an end to a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `f` in a network namespace (`None`: where the caller is). Processes,
/// sockets and captures made by `f` stay there.
pub fn within<T: Send>(ns: Option<&str>, f: impl FnOnce() -> T + Send) -> T {
    let Some(name) = ns else { return f() };
    let there = || {
        let file = File::open(format!("/run/netns/{name}")).unwrap_or_else(|e| panic!("netns {name}: {e}"));
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        f()
    };
    // setns moves one thread, so it is one that ends here
    let joined = thread::scope(|s| s.spawn(there).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A laboratory, alive for one test.
#[derive(Debug)]
pub struct Lab {
    name: String,
    dir: PathBuf,
}

/// A network namespace with one interface, `v0`, whose other end is a port of
/// a bridge in the laboratory's own namespace.
#[derive(Clone, Debug)]
pub struct Host {
    /// The namespace's name, and the bridge port's.
    pub ns: String,
    /// `v0`'s address.
    pub ip: Ipv4Addr,
    /// `v0`'s Ethernet address.
    pub mac: Mac,
}

impl Lab {
    fn new(name: &str) -> Lab {
        // sockets, namespaces and scripts are private, and gone with the namespace
        Said::by(None, command("mount -t tmpfs -o mode=755 tmpfs /run")).ok();
        let dir = PathBuf::from("/run/lab");
        fs::create_dir_all("/run/netns").unwrap();
        fs::create_dir_all(&dir).unwrap();
        quiet();
        let lab = Lab { name: name.to_owned(), dir };
        lab.ip("link set lo up");
        lab
    }

    /// The test's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A folder that ends with the laboratory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `ip`.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip(&self, words: &str) -> String {
        self.ip_in(None, words)
    }

    /// Runs `ip` in a namespace.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip_in(&self, ns: Option<&str>, words: &str) -> String {
        Said::by(ns, command(&format!("ip {words}"))).ok()
    }

    /// A bridge that forwards at once and says nothing of its own.
    pub fn bridge(&self, name: &str) {
        self.ip(&format!("link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
        self.ip(&format!("link set dev {name} up"));
    }

    /// A bridge that passes a group's frames only to ports that have asked for
    /// them, and asks who does.
    pub fn snooping_bridge(&self, name: &str) {
        self.ip(&format!("link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 1"));
        // to ask over IPv6 it needs an address of its own
        inet6(None, name);
        self.ip(&format!("link set dev {name} up"));
        let fast = "mcast_query_response_interval 50 mcast_startup_query_interval 100 mcast_mld_version 2";
        self.ip(&format!("link set dev {name} type bridge {fast} mcast_querier 1"));
    }

    /// An empty network namespace.
    pub fn netns(&self, name: &str) {
        self.ip(&format!("netns add {name}"));
        within(Some(name), quiet);
        self.ip_in(Some(name), "link set lo up");
    }

    /// A veth pair, each end up, in its namespace (`None`: the laboratory's
    /// own). Returns once both ends have carrier.
    pub fn veth(&self, (ns_a, a): (Option<&str>, &str), (ns_b, b): (Option<&str>, &str)) {
        self.ip(&format!("link add name {a} type veth peer name {b}{}", in_netns(ns_b)));
        if ns_a.is_some() {
            self.ip(&format!("link set dev {a}{}", in_netns(ns_a)));
        }
        self.ip_in(ns_a, &format!("link set dev {a} up"));
        self.ip_in(ns_b, &format!("link set dev {b} up"));
        self.wait_carrier(ns_a, a);
        self.wait_carrier(ns_b, b);
    }

    /// A namespace `ns` whose `v0` has the address `cidr` and whose other end,
    /// named as the namespace, is a forwarding port of the bridge.
    pub fn host(&self, ns: &str, bridge: &str, cidr: &str) -> Host {
        self.netns(ns);
        self.ip(&format!("link add name {ns} type veth peer name v0{}", in_netns(Some(ns))));
        self.ip(&format!("link set dev {ns} master {bridge} up"));
        self.ip_in(Some(ns), &format!("addr add {cidr} dev v0"));
        self.ip_in(Some(ns), "link set v0 up");
        self.wait_carrier(Some(ns), "v0");
        self.wait_forwarding(ns);
        let link = self.ip_in(Some(ns), "-o link show dev v0");
        let mac = link.split("link/ether ").nth(1).and_then(|s| s.split_whitespace().next());
        let ip = cidr.split('/').next().unwrap_or_default().parse().unwrap();
        Host { ns: ns.to_owned(), ip, mac: frame::parse_mac(mac.unwrap()) }
    }

    /// As [`Lab::host`], with an IPv6 address too.
    pub fn host6(&self, ns: &str, bridge: &str, cidr: &str, cidr6: &str) -> Host {
        let host = self.host(ns, bridge, cidr);
        inet6(Some(ns), "v0");
        self.ip_in(Some(ns), &format!("addr add {cidr6} dev v0 nodad"));
        host
    }

    /// Waits until an interface is up and has carrier.
    pub fn wait_carrier(&self, ns: Option<&str>, dev: &str) {
        Events::open(ns).wait_until(&format!("carrier of {dev}"), || {
            let said = Said::by(ns, command(&format!("ip -o link show dev {dev}")));
            said.stdout.split(['<', ',', '>']).any(|flag| flag == "LOWER_UP")
        });
    }

    /// Waits until a bridge port forwards.
    pub fn wait_forwarding(&self, port: &str) {
        Events::open(None).wait_until(&format!("forwarding of {port}"), || {
            let said = Said::by(None, command(&format!("bridge -o link show dev {port}")));
            said.stdout.contains("LOWER_UP") && said.stdout.contains("state forwarding")
        });
    }

    /// Waits until an interface of the laboratory's own namespace is gone.
    pub fn wait_gone(&self, dev: &str) {
        Events::open(None).wait_until(&format!("end of {dev}"), || !self.has_link(dev));
    }

    /// Whether the laboratory's own namespace has that interface.
    pub fn has_link(&self, dev: &str) -> bool {
        Said::by(None, command(&format!("ip -o link show dev {dev}"))).status.success()
    }

    /// Records what passes an interface of the laboratory's own namespace. On
    /// a bridge that is every frame that the bridge forwards.
    pub fn wire(&self, dev: &str) -> Wire {
        Wire::open(self, None, dev, false)
    }

    /// Records only what comes out of an interface: what the program behind a
    /// tap, or the host behind a veth, says.
    pub fn wire_in(&self, dev: &str) -> Wire {
        Wire::open(self, None, dev, true)
    }

    /// A disk of that size at a folder that is there.
    pub fn mount_tmpfs(&self, at: &Path, size: &str) {
        let options = format!("mount -t tmpfs -o size={size} tmpfs {}", at.display());
        Said::by(None, command(&options)).ok();
    }

    /// Starts to set up a `netisrd`.
    pub fn netisrd(&self, name: &str) -> Setup<'_> {
        Setup::new(self, name)
    }
}

impl Host {
    /// Runs a program in this host.
    pub fn run(&self, words: &str) -> Said {
        Said::by(Some(&self.ns), command(words))
    }

    /// `ip neigh` of an address: the Ethernet address, if there is one.
    pub fn neighbour(&self, of: impl Into<IpAddr>) -> Option<Mac> {
        let of = of.into();
        let said = self.run(&format!("ip neigh show to {of} dev v0")).ok();
        said.split("lladdr ").nth(1).and_then(|s| s.split_whitespace().next()).map(frame::parse_mac)
    }

    /// Waits until this host's neighbour entry of an address is `mac`.
    pub fn wait_neighbour(&self, of: impl Into<IpAddr>, mac: Mac) {
        let of = of.into();
        let what = format!("{of} at {}", show_mac(mac));
        Events::open(Some(&self.ns)).wait_until(&what, || self.neighbour(of) == Some(mac));
    }

    /// The link-local address of `v0`.
    pub fn link_local(&self) -> Ipv6Addr {
        let shown = self.run("ip -6 -o addr show dev v0 scope link").ok();
        let cidr = shown.split("inet6 ").nth(1).unwrap_or_else(|| panic!("no link-local address: {shown}"));
        cidr.split('/').next().unwrap_or_default().parse().unwrap()
    }

    /// Sends up to `count` echo requests to an IPv4 or IPv6 address, which may have a
    /// scope, each when the one before is answered; how many were.
    pub fn ping(&self, to: impl Display, count: u32) -> u32 {
        // With more than one it would wait no longer for the last than the others took.
        let answered = |_: &u32| self.echoes(&format!("-c 1 -W {} {to}", PATIENCE.as_secs())) == 1;
        (0..count).take_while(answered).count() as u32
    }

    /// As [`Host::ping`], where nobody shall answer: nothing tells that nothing comes.
    pub fn ping_nobody(&self, to: impl Display, count: u32) -> u32 {
        self.echoes(&format!("-c {count} -i 0.2 -W 2 {to}"))
    }

    fn echoes(&self, words: &str) -> u32 {
        let said = self.run(&format!("ping -n {words}"));
        let received = said.stdout.split(" received").next().and_then(|s| s.split_whitespace().last());
        received.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{said:?}"))
    }
}

fn in_netns(ns: Option<&str>) -> String {
    ns.map_or_else(String::new, |n| format!(" netns {n}"))
}

/// IPv6 for one interface, without the delay of looking for duplicates.
fn inet6(ns: Option<&str>, dev: &str) {
    within(ns, || {
        for (what, value) in [("accept_dad", "0"), ("router_solicitations", "0"), ("disable_ipv6", "0")] {
            let path = format!("/proc/sys/net/ipv6/conf/{dev}/{what}");
            fs::write(&path, value).unwrap_or_else(|e| panic!("{path}: {e}"));
        }
    });
}

/// No IPv6, so that a capture has only what the test is about.
fn quiet() {
    for which in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        if Path::new(&path).exists() {
            fs::write(&path, "1").unwrap_or_else(|e| panic!("{path}: {e}"));
        }
    }
}
