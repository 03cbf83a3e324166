//! `struct carp_softc`, and what `ip_carp.c` keeps in globals.

use crate::carpreq::{CarpStats, Vhaf};
use crate::header::{Counter, Digest};
use crate::hmac::CarpHmac;
use crate::log::LogLimit;
use crate::sysctl::CarpOpts;
use crate::types::{Interval, Key, SUPPRESSED_ADVSKEW, Vhid};
use crate::vhaddr::CarpVhaddr;
use crate::{Ifnet, InIfaddr};
use compat::qsbr::{Brand, Netisr, Netisr0, Netisr0Cell, QsCell};
use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
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
    /// `sc_ia`: the address that advertisements come from.
    pub ia: RefCell<Option<Arc<InIfaddr>>>,
    /// `sc_naddrs`: how many virtual addresses have a backing address.
    pub naddrs: Cell<usize>,
    /// `sc_key`
    pub key: RefCell<Key>,
    /// `sc_sha1`, `sc_pad`
    pub hmac: RefCell<CarpHmac>,
    /// `sc_init_counter`: no advertisement was accepted yet.
    pub init_counter: Cell<bool>,
    /// `sc_counter`
    pub counter: Cell<Counter>,
    /// Counter and digest of the advertisements sent last: their echoes are
    /// ours.
    pub lastads: Cell<[Option<(Counter, Digest)>; 8]>,
    /// Advertisements until the addresses are announced once more; 0 for no
    /// announcement due.
    pub reannounce: Cell<u8>,
    /// `sc_sendad_errors`
    pub sendad_errors: Cell<u32>,
    /// `sc_sendad_success`
    pub sendad_success: Cell<u32>,
    /// `sc_imo`: whether the group is joined.
    pub joined: Cell<bool>,
    /// `sc_dead`
    pub dead: Cell<bool>,
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
            ia: RefCell::new(None),
            naddrs: Cell::new(0),
            hmac: RefCell::new(CarpHmac::prepare(&key, 0, core::iter::empty())),
            key: RefCell::new(key),
            init_counter: Cell::new(true),
            counter: Cell::new(Counter(0)),
            lastads: Cell::new([None; 8]),
            reannounce: Cell::new(0),
            sendad_errors: Cell::new(0),
            sendad_success: Cell::new(0),
            joined: Cell::new(false),
            dead: Cell::new(false),
        };
        CarpSoftc {
            sc_if,
            sc_carpdev: QsCell::new(brand),
            sc_state: AtomicU8::new(State::Init as u8),
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

    /// How often it advertises with the skew that is configured.
    pub fn interval(&self) -> Interval {
        Interval::new(self.advbase.get().into(), self.advskew.get())
    }

    /// How long it waits for a master: three times advbase, and the skew.
    pub fn master_down_interval(&self) -> Interval {
        Interval::new(3 * u16::from(self.advbase.get()), self.advskew.get())
    }

    /// Whether some virtual address is also the parent's own.
    pub fn is_owner(&self, n0: &Netisr0) -> bool {
        self.vha_list.borrow().iter().any(|v| v.flags(n0).contains(Vhaf::OWNER))
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
    /// `carp_suppress_preempt`
    pub suppress_preempt: Cell<i32>,
    /// `carpstats`
    pub stats: Cell<CarpStats>,
    /// Own advertisements that came back.
    pub echoes: Cell<u64>,
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
    /// Counts.
    pub fn count(&self, f: impl FnOnce(&mut CarpStats)) {
        let mut s = self.stats.get();
        f(&mut s);
        self.stats.set(s);
    }

    /// Whether preemption is suppressed, and with it the skew raised.
    pub fn suppressed(&self) -> bool {
        self.suppress_preempt.get() != 0
    }

    /// The skew that is advertised, and compared with what is heard.
    pub fn demoted_advskew(&self, advskew: u8) -> u8 {
        if self.suppressed() { advskew.max(SUPPRESSED_ADVSKEW) } else { advskew }
    }
}
