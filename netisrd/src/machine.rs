//! The machine: all that upstream keeps in globals, in one value.

use crate::dev::RxQueue;
use crate::kern::devctl::Devctl;
use crate::kern::lease::Lease;
use crate::net::fate::Fates;
use crate::net::if_::IfTable;
use crate::net::if_llatbl::LlTable;
use crate::net::ifaddr::AddrTable;
use crate::net::lent::Owners;
use crate::net::netisr::{Netmsg, Netmsg0};
use crate::net::route::RouteTable;
use crate::net::rtsock::Listeners;
use crate::netinet::ip_input::IpStats;
use crate::netinet6::ip6_input::Ip6Stats;
use crate::netinet6::mld6::Reported;
use compat::net::if_var::{Counter, IfgGroup};
use compat::net::netisr::{self, Proc};
use compat::qsbr::{Brand, Netisr, Netisr0, Netisr0Cell, QsCell, Seed};
use compat::sys::callout::Callouts;
use compat::sys::mbuf;
use compat::sys::msgport::{MsgId, MsgPort};
use compat::sys::ratecheck::RateCheck;
use compat::sys::time::Clock;
use core::cell::{Cell, RefCell};
use core::fmt;
use libcarp::kernel::{CarpCallout, Level};
use libcarp::{Carp, Ifaddr, Ifnet};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use triomphe::Arc;

/// A packet of this machine.
pub type Mbuf = mbuf::Mbuf<Ifnet>;

/// What a machine is booted with.
pub struct Config {
    /// How many netisrs.
    pub ncpus: usize,
    /// Real or virtual time.
    pub clock: StdArc<dyn Clock>,
    /// What `karc4random` grows from.
    pub seed: [u8; 32],
    /// Ticks a second that callouts are rounded up to, as on a BSD kernel; 0
    /// for exact ones.
    pub hz: u32,
    /// Where CARP's sentences go.
    pub log: Log,
}

/// `log(9)`: takes a line of CARP's.
pub type Log = Box<dyn Fn(Level, fmt::Arguments<'_>) + Send + Sync>;

/// A log that is netisrd's own, on stderr. What `net.inet.carp.log=2` asks for
/// is to be seen, whatever the filter says of the daemon's own debugging.
pub fn trace() -> Log {
    Box::new(|_, line| tracing::info!("{line}"))
}

/// One machine.
pub struct Machine {
    /// For the cells that the machine makes.
    pub brand: Brand,
    /// netisr0's port.
    pub port0: MsgPort<Netmsg0>,
    /// The ports of netisr 1 to n-1.
    pub ports: Vec<MsgPort<Netmsg>>,
    /// `ifindex2ifnet`
    pub ifnets: QsCell<IfTable>,
    /// `INADDR_HASH`, `in6_ifaddr`, for every netisr.
    pub addrs: QsCell<AddrTable>,
    /// `ip_carp.c`
    pub carp: Carp,
    /// `ipstat`
    pub ipstat: IpStats,
    /// `ip6stat`
    pub ip6stat: Ip6Stats,
    /// Whoever listens to routing messages.
    pub listeners: Listeners,
    /// `ip6_forwarding`: whether it says of itself that it is a router.
    pub ip6_forwarding: AtomicBool,
    /// Frames for a vhid that nobody here has.
    pub other_vhid: Counter,
    /// What became of each frame.
    pub fates: Fates,
    /// CARP says nothing and tells nobody: what netisr0 builds was there before.
    pub mute: AtomicBool,
    clock: StdArc<dyn Clock>,
    hz: AtomicU32,
    log: Log,
    own: Netisr0Cell<MachineOwn>,
}

/// netisr0's part.
pub struct MachineOwn {
    /// Callouts of CARP.
    pub callouts: RefCell<Callouts<CarpCallout>>,
    /// Their messages that wait at netisr0's port.
    pub inflight: RefCell<BTreeMap<CarpCallout, MsgId>>,
    /// `in_ifaddrheads`, `in6_ifaddr`, oldest first.
    pub ifaddrs: RefCell<Vec<Arc<Ifaddr>>>,
    /// Whose those are that the host has too.
    pub owners: Owners,
    /// `ifg_head`
    pub ifg_head: RefCell<Vec<Arc<IfgGroup>>>,
    /// What listener reports said last.
    pub mld: Reported,
    /// The next interface's index.
    pub next_index: Cell<u16>,
    /// That of the next one alone, which had it before.
    pub fixed_index: Cell<Option<u16>>,
    /// `karc4random`
    pub rng: RefCell<ChaCha12Rng>,
    /// What whoever acts on changes of state is told.
    pub devctl: Devctl,
    /// Whether whoever serves the virtual addresses outside is there.
    pub lease: Lease,
    /// How many complaints about ARP are still logged.
    pub arp_log: RateCheck,
}

/// A booted machine whose netisrs do not run yet.
pub struct Booted {
    /// The machine.
    pub machine: StdArc<Machine>,
    /// A token for each netisr, netisr0's first.
    pub seeds: Vec<Seed>,
    /// The right to wait for netisr0.
    pub proc_: Proc,
}

impl Machine {
    /// Boots: no interface, no address, nothing running.
    pub fn boot(config: Config) -> Booted {
        let (brand, seeds, proc_) = netisr::boot(config.ncpus);
        let own = MachineOwn {
            callouts: RefCell::default(),
            inflight: RefCell::default(),
            ifaddrs: RefCell::default(),
            owners: Owners::default(),
            ifg_head: RefCell::default(),
            mld: Reported::default(),
            lease: Lease::default(),
            next_index: Cell::new(1),
            fixed_index: Cell::new(None),
            rng: RefCell::new(ChaCha12Rng::from_seed(config.seed)),
            devctl: Devctl::default(),
            arp_log: RateCheck::new(5),
        };
        let machine = Machine {
            port0: MsgPort::default(),
            ports: (1..config.ncpus).map(|_| MsgPort::default()).collect(),
            ifnets: QsCell::new(&brand),
            addrs: QsCell::new(&brand),
            carp: Carp::new(&brand),
            ipstat: IpStats::default(),
            ip6stat: Ip6Stats::default(),
            listeners: Listeners::default(),
            ip6_forwarding: AtomicBool::new(false),
            other_vhid: Counter::default(),
            fates: Fates::new(config.ncpus),
            mute: AtomicBool::new(false),
            clock: config.clock,
            hz: AtomicU32::new(config.hz),
            log: config.log,
            own: Netisr0Cell::new(&brand, own),
            brand,
        };
        Booted { machine: StdArc::new(machine), seeds, proc_ }
    }

    /// netisr0's part.
    pub fn own<'a>(&'a self, n0: &'a Netisr0) -> &'a MachineOwn {
        self.own.get(n0)
    }

    /// `netisr_ncpus`
    pub fn ncpus(&self) -> usize {
        self.ports.len() + 1
    }

    /// The machine's clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// `log(9)`
    pub fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        (self.log)(level, line);
    }

    /// `hz`; 0 for exact callouts.
    pub fn hz(&self) -> u32 {
        self.hz.load(Ordering::Relaxed)
    }

    /// Of callouts that are armed from now on.
    pub fn set_hz(&self, hz: u32) {
        self.hz.store(hz, Ordering::Relaxed);
    }
}

/// What each netisr keeps for itself.
pub struct PerCpu {
    /// Its copy of the neighbours' addresses.
    pub lltable: RefCell<LlTable>,
    /// Its copy of the routing table.
    pub routes: RefCell<RouteTable>,
    /// Receive queues that it was given and does not poll yet.
    pub new_queues: RefCell<Vec<(u16, Box<dyn RxQueue>)>>,
    /// The netisrs that it has queued packets for and not woken yet.
    pub to_wake: RefCell<Vec<usize>>,
    /// Interfaces that have left: it lets go of their queues.
    pub gone: RefCell<Vec<u16>>,
    /// It takes no frame from any.
    pub still: Cell<bool>,
}

impl Default for PerCpu {
    fn default() -> Self {
        PerCpu {
            lltable: RefCell::default(),
            routes: RefCell::new(Arc::from(Vec::new())),
            new_queues: RefCell::default(),
            to_wake: RefCell::default(),
            gone: RefCell::default(),
            still: Cell::new(false),
        }
    }
}

/// Any netisr, dispatching.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The machine.
    pub m: &'a Machine,
    /// Its token.
    pub n: &'a Netisr,
    /// What it keeps for itself.
    pub cpu: &'a PerCpu,
}

/// netisr0, dispatching.
pub struct Ctx0<'a> {
    /// The machine.
    pub m: &'a Machine,
    /// Its token.
    pub n0: &'a mut Netisr0,
    /// What it keeps for itself.
    pub cpu: &'a PerCpu,
}

impl Ctx0<'_> {
    /// netisr0 as any netisr.
    pub fn any(&self) -> Ctx<'_> {
        Ctx { m: self.m, n: self.n0, cpu: self.cpu }
    }
}
