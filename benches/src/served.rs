//! A virtual address that a host serves, each in its own way.

use crate::keepalived::{self, Keepalived};
use crate::lab::{self, Events, Host, Lab, Netisrd};
use netisrd::dev::host::Existing;
use std::net::Ipv4Addr;

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// No virtual address: the interface's own.
    Plain,
    /// `-i v0:macvlan`
    Macvlan,
    /// `-i v0:tap --fanout cpu`
    TapByCpu,
    /// `-i v0:tap --fanout hash`
    TapByFlow,
    /// keepalived's `use_vmac`.
    Keepalived,
}

impl Way {
    pub(crate) const ALL: [Way; 5] =
        [Way::Plain, Way::Macvlan, Way::TapByCpu, Way::TapByFlow, Way::Keepalived];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Plain => "plain",
            Way::Macvlan => "macvlan",
            Way::TapByCpu => "tap-cpu",
            Way::TapByFlow => "tap-hash",
            Way::Keepalived => keepalived::NAME,
        }
    }

    /// `-i`'s word for it.
    pub(crate) fn spec(self) -> String {
        let path = if self == Way::Macvlan { "macvlan" } else { "tap" };
        format!("v0:{path}")
    }

    fn fanout(self) -> &'static [&'static str] {
        match self {
            Way::TapByCpu => &["--fanout", "cpu"],
            Way::TapByFlow => &["--fanout", "hash"],
            _ => &[],
        }
    }

    /// Whether there is something to measure: a path that netisrd does not have,
    /// or a peer that is not installed, has no row.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Way::Plain => true,
            Way::Macvlan | Way::TapByCpu | Way::TapByFlow => Existing::parse(&self.spec()).is_ok(),
            Way::Keepalived => lab::find_program(keepalived::NAME).is_some(),
        }
    }
}

/// A host with an address, and who serves it.
pub(crate) struct Served {
    pub(crate) way: Way,
    pub(crate) host: Host,
    /// The address to talk to.
    pub(crate) addr: Ipv4Addr,
    _daemon: Daemon,
}

/// Whose end ends the service.
enum Daemon {
    Nobody,
    Netisrd { _it: Netisrd },
    Keepalived { _it: Keepalived },
}

impl Served {
    /// A host of its own on the bridge, once it is MASTER of the address and has it.
    pub(crate) fn start(lab: &Lab, bridge: &str, way: Way) -> Served {
        let n = Way::ALL.iter().position(|w| *w == way).map_or(0, |at| at as u8 + 1);
        let host = lab.host(&format!("h{n}"), bridge, &format!("10.77.0.{n}/24"));
        let addr = Ipv4Addr::new(10, 77, 0, 100 + n);
        let daemon = match way {
            Way::Plain => return Served { way, addr: host.ip, host, _daemon: Daemon::Nobody },
            Way::Macvlan | Way::TapByCpu | Way::TapByFlow => {
                let it = lab.netisrd(&host.ns).netns(&host.ns).args(&["-i", &way.spec()]);
                let it = it.args(way.fanout()).start();
                it.sysctl("net.inet.carp.preempt=1");
                it.carp("carp0", &format!("vhid {n} pass secret {addr}/24"));
                Daemon::Netisrd { _it: it }
            }
            Way::Keepalived => {
                let setup = keepalived::Setup { vrid: n, priority: 254, addr };
                Daemon::Keepalived { _it: Keepalived::start(lab, &host, setup) }
            }
        };
        wait_serves(&host, addr);
        Served { way, host, addr, _daemon: daemon }
    }
}

/// Waits until the host has the address.
pub(crate) fn wait_serves(host: &Host, addr: Ipv4Addr) {
    let what = format!("{addr} on {}", host.ns);
    Events::open(Some(&host.ns)).wait_until(&what, || serves(host, addr));
}

/// Whether the host has the address.
pub(crate) fn serves(host: &Host, addr: Ipv4Addr) -> bool {
    host.run("ip -o addr show").ok().contains(&format!(" {addr}/"))
}
