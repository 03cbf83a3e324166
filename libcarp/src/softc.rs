//! `struct carp_softc`, and what `ip_carp.c` keeps in globals.

use crate::carpreq::CarpStats;
use crate::header::{Counter, Digest};
use crate::hmac::CarpHmac;
use crate::log::LogLimit;
use crate::peers::Peers;
use crate::reason::History;
use crate::sysctl::CarpOpts;
use crate::types::{Interval, Key, Vhid};
use crate::vhaddr::CarpVhaddr;
use crate::{Ifaddr, Ifnet};
use compat::netinet::in_::INADDR_CARP_GROUP;
use compat::netinet6::in6::IN6ADDR_CARP_GROUP;
use compat::qsbr::{Brand, Netisr, Netisr0, Netisr0Cell, QsCell};
use compat::sys::socket::Af;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use triomphe::Arc;

/// `sc_state`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not started.
    Init = 0,
    /// Listens for a master.
    Backup = 1,
    /// Holds the virtual addresses.
    Master = 2,
}

impl State {
    /// The number in `carpr_state`.
    pub fn from_i32(v: i32) -> Option<State> {
        match v {
            0 => Some(State::Init),
            1 => Some(State::Backup),
            2 => Some(State::Master),
            _ => None,
        }
    }
}

/// `struct carp_softc`. Other netisrs see the interface, the state and the
/// parent; all else is netisr0's.
pub struct CarpSoftc {
    /// `arpcom.ac_if`: the carp interface itself.
    pub sc_if: Arc<Ifnet>,
    /// `sc_carpdev`: the parent; switched together with its `if_carp`.
    pub sc_carpdev: QsCell<Arc<Ifnet>>,
    sc_state: AtomicU8,
    /// Whether its advertisements come to the parent's own MAC, from a peer.
    unicast: AtomicBool,
    own: Netisr0Cell<SoftcOwn>,
}

/// netisr0's part of a softc.
pub struct SoftcOwn {
    /// `sc_vhid`; `None` is upstream's -1.
    pub vhid: Cell<Option<Vhid>>,
    /// `sc_advbase`, seconds.
    pub advbase: Cell<u8>,
    /// `sc_advskew`, 1/256 seconds.
    pub advskew: Cell<u8>,
    /// `sc_vha_list`, ascending by address. Replaced, never changed in place,
    /// so that whoever walks it keeps what it began with.
    pub vha_list: RefCell<std::sync::Arc<[Arc<CarpVhaddr>]>>,
    /// `carpdev` of OpenBSD and NetBSD: the only parent that it may have.
    /// `None`: its addresses choose.
    pub bound: RefCell<Option<Arc<Ifnet>>>,
    /// The parent that it lost because that went down.
    pub lost_parent: RefCell<Option<Arc<Ifnet>>>,
    af: [SoftcAf; 2],
    /// `sc_key`
    pub key: RefCell<Key>,
    /// `sc_sha1`, `sc_pad`
    pub hmac: RefCell<CarpHmac>,
    /// `sc_counter`: of the advertisement sent last.
    pub counter: Cell<Counter>,
    /// Counter and digest of the advertisements sent last: their echoes are
    /// ours.
    pub lastads: RefCell<[Option<(Counter, Digest)>; 8]>,
    /// Advertisements until the addresses are announced once more; 0 for no
    /// announcement due.
    pub reannounce: Cell<u8>,
    /// `sc_sendad_errors`
    pub sendad_errors: Cell<u32>,
    /// `sc_sendad_success`
    pub sendad_success: Cell<u32>,
    /// What its failed advertisements add to the machine's demotion.
    pub sendad_demotes: Cell<Option<i32>>,
    /// `sc_suppress`: what its parent's being down adds to it.
    pub suppress: Cell<Option<i32>>,
    /// What an address of it that nothing backs adds to it.
    pub unbacked: Cell<Option<i32>>,
    /// The skew that was advertised last.
    pub advertised: Cell<u8>,
    /// `sc_dead`
    pub dead: Cell<bool>,
    /// Nobody can serve its addresses.
    pub unserved: Cell<bool>,
    /// How it came to its state.
    pub history: History,
    /// Whom it has heard.
    pub peers: Peers,
}

/// What a softc has once for each family.
pub struct SoftcAf {
    /// `sc_ia`, `sc_ia6`: the address that advertisements come from.
    pub ia: RefCell<Option<Arc<Ifaddr>>>,
    /// `sc_naddrs`, `sc_naddrs6`: how many virtual addresses are active.
    pub naddrs: Cell<usize>,
    /// `sc_imo`, `sc_im6o`: the group that is joined.
    pub joined: Cell<Option<IpAddr>>,
    /// Where advertisements go: CARP's group, another one, or a peer.
    pub dst: Cell<IpAddr>,
    /// An advertisement was heard since this softc became MASTER.
    pub heard: Cell<bool>,
}

impl SoftcAf {
    fn new(af: Af) -> SoftcAf {
        SoftcAf {
            ia: RefCell::new(None),
            naddrs: Cell::new(0),
            joined: Cell::new(None),
            dst: Cell::new(carp_group(af)),
            heard: Cell::new(false),
        }
    }
}

/// 224.0.0.18, ff02::12.
pub const fn carp_group(af: Af) -> IpAddr {
    match af {
        Af::Inet => IpAddr::V4(INADDR_CARP_GROUP),
        Af::Inet6 => IpAddr::V6(IN6ADDR_CARP_GROUP),
    }
}

impl CarpSoftc {
    /// What `carp_clone_create` fills in.
    pub fn new(brand: &Brand, sc_if: Arc<Ifnet>) -> CarpSoftc {
        let key = Key::default();
        let own = SoftcOwn {
            vhid: Cell::new(None),
            advbase: Cell::new(1),
            advskew: Cell::new(0),
            vha_list: RefCell::new([].into()),
            bound: RefCell::new(None),
            lost_parent: RefCell::new(None),
            af: Af::ALL.map(SoftcAf::new),
            hmac: RefCell::new(CarpHmac::prepare(&key, 0, &[])),
            key: RefCell::new(key),
            counter: Cell::new(Counter(0)),
            lastads: RefCell::new([None; 8]),
            reannounce: Cell::new(0),
            sendad_errors: Cell::new(0),
            sendad_success: Cell::new(0),
            sendad_demotes: Cell::new(None),
            suppress: Cell::new(None),
            unbacked: Cell::new(None),
            advertised: Cell::new(0),
            dead: Cell::new(false),
            unserved: Cell::new(false),
            history: History::default(),
            peers: Peers::default(),
        };
        CarpSoftc {
            sc_if,
            sc_carpdev: QsCell::new(brand),
            sc_state: AtomicU8::new(State::Init as u8),
            unicast: AtomicBool::new(false),
            own: Netisr0Cell::new(brand, own),
        }
    }

    /// `sc_state`, for any netisr.
    #[inline]
    pub fn state(&self) -> State {
        match self.sc_state.load(Ordering::Acquire) {
            2 => State::Master,
            1 => State::Backup,
            _ => State::Init,
        }
    }

    /// Stores `sc_state`. Only `state::set_state` does.
    pub(crate) fn store_state(&self, _: &Netisr0, s: State) {
        self.sc_state.store(s as u8, Ordering::Release);
    }

    /// Whether it takes what is sent to its MAC: a running MASTER.
    #[inline]
    pub fn is_running_master(&self) -> bool {
        self.state() == State::Master && self.sc_if.is_up_and_running()
    }

    /// Whether a peer's advertisements come to the parent's own MAC.
    #[inline]
    pub fn is_unicast(&self) -> bool {
        self.unicast.load(Ordering::Acquire)
    }

    /// Where advertisements of a family go from now on.
    pub(crate) fn set_dst(&self, n0: &Netisr0, dst: IpAddr) {
        let own = self.own(n0);
        own.af(Af::of(dst)).dst.set(dst);
        let unicast = Af::ALL.iter().any(|af| !own.af(*af).dst.get().is_multicast());
        self.unicast.store(unicast, Ordering::Release);
    }

    /// `sc_carpdev`
    pub fn carpdev<'n>(&'n self, n: &'n Netisr) -> Option<&'n Arc<Ifnet>> {
        self.sc_carpdev.load(n)
    }

    /// netisr0's part.
    pub fn own<'a>(&'a self, n0: &'a Netisr0) -> &'a SoftcOwn {
        self.own.get(n0)
    }

    /// `if_xname`
    pub fn xname(&self) -> &str {
        self.sc_if.if_xname.as_str()
    }
}

impl SoftcOwn {
    /// The virtual addresses as they are now.
    pub fn vha_list(&self) -> std::sync::Arc<[Arc<CarpVhaddr>]> {
        self.vha_list.borrow().clone()
    }

    /// What it has for that family.
    pub fn af(&self, af: Af) -> &SoftcAf {
        let [inet, inet6] = &self.af;
        match af {
            Af::Inet => inet,
            Af::Inet6 => inet6,
        }
    }

    /// How many virtual addresses are active, of both families.
    pub fn naddrs(&self) -> usize {
        self.af.iter().map(|af| af.naddrs.get()).sum()
    }

    /// The families that have active addresses.
    pub fn families(&self) -> impl Iterator<Item = Af> {
        Af::ALL.into_iter().filter(|af| self.af(*af).naddrs.get() > 0)
    }

    /// How long it waits for a master: three times advbase, and the skew.
    pub fn master_down_interval(&self) -> Interval {
        Interval::new(3 * u16::from(self.advbase.get()), self.advskew.get())
    }
}

/// The globals of `ip_carp.c`, one set for each machine.
pub struct Carp {
    /// For the cells that CARP makes.
    pub brand: Brand,
    own: Netisr0Cell<CarpOwn>,
}

/// netisr0's part: all of it.
#[derive(Default)]
pub struct CarpOwn {
    /// `carpif_list`, the newest first.
    pub carpif_list: RefCell<Vec<Arc<CarpSoftc>>>,
    /// `if_softc`: the same, by index.
    pub by_index: RefCell<BTreeMap<u16, Arc<CarpSoftc>>>,
    /// `carp_opts`
    pub opts: CarpOpts,
    /// `carp_suppress_preempt`: how many reasons there are not to preempt.
    pub suppress_preempt: Cell<i32>,
    /// FreeBSD's `carp_demotion`: what is added to every skew.
    pub demotion: Cell<i64>,
    /// Skews may be others than were advertised.
    pub unsaid: Cell<bool>,
    /// `carpstats`
    stats: RefCell<CarpStats>,
    /// Own advertisements that came back.
    pub echoes: Cell<u64>,
    /// While a configuration is applied: who would have left INIT since it began, by
    /// index, and for which state an administrator has asked since.
    pub(crate) configuring: RefCell<Option<BTreeMap<u16, Option<State>>>>,
    /// How many complaints about packets are still logged.
    pub log_limit: LogLimit,
}

impl Carp {
    /// `MOD_LOAD`
    #[doc(alias = "carp_modevent")]
    pub fn new(brand: &Brand) -> Carp {
        Carp { brand: brand.clone(), own: Netisr0Cell::new(brand, CarpOwn::default()) }
    }

    /// netisr0's part.
    pub fn own<'a>(&'a self, n0: &'a Netisr0) -> &'a CarpOwn {
        self.own.get(n0)
    }

    /// `ifp->if_softc` of a carp interface.
    pub fn softc(&self, n0: &Netisr0, if_index: u16) -> Option<Arc<CarpSoftc>> {
        self.own(n0).by_index.borrow().get(&if_index).cloned()
    }

    /// All carp interfaces, the newest first.
    pub fn softcs(&self, n0: &Netisr0) -> Vec<Arc<CarpSoftc>> {
        self.own(n0).carpif_list.borrow().clone()
    }
}

impl CarpOwn {
    /// `carpstats`, as it is now.
    pub fn stats(&self) -> CarpStats {
        *self.stats.borrow()
    }

    /// Counts.
    pub fn count(&self, f: impl FnOnce(&mut CarpStats)) {
        f(&mut self.stats.borrow_mut());
    }
}
