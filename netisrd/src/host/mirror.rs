//! Carp interfaces as interfaces of Linux, whose own stack serves the virtual
//! addresses: a macvlan for each, on the interface that is its parent.
//!
//! ```text
//!   MASTER         --> mode bridge, carrier, 192.168.1.1/24, prefix route
//!   BACKUP, INIT   --> mode source, no carrier: takes no frame, has no address
//! ```
//!
//! What should be is compared with what was done each time that anything may have
//! changed, on either side. A transition comes from netisr0 itself, which waits: when
//! the first advertisement of a MASTER draws the frames here, they are taken, and
//! what was on its way before somebody else's was heard still is. An address has a lifetime that is renewed all the
//! time: whatever ends or stops this process, the kernel takes it away before a
//! peer takes over, with nobody's help.

use super::netconf::NetConf;
use super::parts::{Desk, Flow, Part, Turn};
use super::succession::{Estate, Step};
use crate::dev::rtnetlink::{HostLink, RtNetlink, RtWatch};
use crate::dev::{Device, host};
use crate::kern::devctl::{Serve, Served, Vhosted};
use compat::net::if_::IfName;
use compat::net::if_var::LlAddr;
use compat::sys::time::Time;
use ipnet::IpNet;
use libcarp::softc::State;
use mio::Interest;
use nix::errno::Errno as Linux;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What an interface of ours is called beside its name, so that the next netisrd
/// knows what a dead one has left.
const ALIAS: &str = "netisrd";
/// Where the settings of interfaces are that come and go.
pub const SETTINGS: [&str; 2] = ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"];
/// What a successor finds them by.
const SUCCESSION: &str = "interfaces of the host";
/// Something has changed in the host.
const HOST: usize = 0;

/// An interface that carries mirrors.
struct Lower {
    /// Its name in the machine.
    name: IfName,
    /// Its index in the host.
    index: u32,
}

/// What a carp interface should be in the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    lower: u32,
    /// None without a vhid: such an interface is down.
    lladdr: Option<LlAddr>,
    master: bool,
    /// The virtual addresses, and whether the prefix route goes with each.
    addrs: BTreeMap<IpNet, bool>,
    /// Seconds that the addresses live without being renewed.
    lifetime: u32,
}

/// What it is.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    index: u32,
    lower: u32,
    lladdr: Option<LlAddr>,
    master: bool,
    addrs: BTreeMap<IpNet, bool>,
    lifetime: u32,
    /// What went wrong last, to be said once.
    #[serde(skip)]
    complaint: Option<String>,
}

/// All of them.
struct Mirror {
    rt: RtNetlink,
    lowers: Vec<Lower>,
    shown: BTreeMap<String, Shown>,
    conf: NetConf,
    /// When the addresses are to be renewed.
    renew: Option<Time>,
    /// The transitions that are in it.
    transitions: u64,
    /// At the end nothing is made any more.
    ended: bool,
}

/// The mirror as a part. Its lock is held while the host is asked for something,
/// and for nothing else: who holds it waits for nobody.
pub struct Mirrors {
    mirror: Arc<Mutex<Mirror>>,
    watch: RtWatch,
}

impl Mirrors {
    /// On those of the interfaces where the host serves the virtual addresses, if
    /// there are any. What a dead netisrd has left on them is removed; what has to
    /// be set there is kept in `saved`, and put back at the end, or by the next one.
    /// One that follows another process touches nothing before it goes on in its
    /// place.
    ///
    /// # Errors
    /// The kernel does not allow it.
    pub fn on(devices: &[Device], saved: &Path, follows: bool) -> io::Result<Option<Mirrors>> {
        let mut lowers = Vec::new();
        for dev in devices.iter().filter(|dev| dev.served_by_host) {
            lowers.push(Lower { name: dev.name, index: host::index(dev.name.as_str())? });
        }
        if lowers.is_empty() {
            return Ok(None);
        }
        let watch = RtWatch::new().map_err(|e| failed("rtnetlink", e))?;
        let mirror = Arc::new(Mutex::new(Mirror::new(lowers, saved, follows)?));
        Ok(Some(Mirrors { mirror, watch }))
    }

    /// What netisr0 calls in a transition.
    pub fn serve(&self) -> Serve {
        let mirror = self.mirror.clone();
        Box::new(move |served, transitions| {
            let mut mirror = lock(&mirror);
            mirror.transitions = transitions;
            mirror.show(served);
        })
    }
}

fn lock(mirror: &Mutex<Mirror>) -> MutexGuard<'_, Mirror> {
    // Whoever panics ends the process.
    mirror.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(what: &str, e: Linux) -> io::Error {
    io::Error::other(format!("{what}: {}", e.desc()))
}

impl Mirror {
    fn new(lowers: Vec<Lower>, saved: &Path, follows: bool) -> io::Result<Mirror> {
        let mut rt = RtNetlink::new().map_err(|e| failed("rtnetlink", e))?;
        if follows {
            return Ok(Mirror::with(rt, lowers, NetConf::waiting(saved)));
        }
        let on_ours = |l: &HostLink| lowers.iter().any(|lower| l.lower == Some(lower.index));
        for left in rt.links().map_err(|e| failed("rtnetlink", e))? {
            if left.is_macvlan && left.alias == ALIAS && on_ours(&left) {
                rt.delete_link(left.index).map_err(|e| failed(&left.name, e))?;
                tracing::info!("{}: removed, a netisrd that is no more has left it", left.name);
            }
        }
        let mut conf = NetConf::open(saved)?;
        for lower in &lowers {
            // The host would answer for a virtual address here too, with the card's
            // own MAC, and ask in its name.
            conf.raise(&format!("ipv4/conf/{}/arp_ignore", lower.name), 1)?;
            conf.raise(&format!("ipv4/conf/{}/arp_announce", lower.name), 2)?;
        }
        Ok(Mirror::with(rt, lowers, conf))
    }

    fn with(rt: RtNetlink, lowers: Vec<Lower>, conf: NetConf) -> Mirror {
        let (shown, renew, transitions, ended) = (BTreeMap::new(), None, 0, false);
        Mirror { rt, lowers, shown, conf, renew, transitions, ended }
    }

    /// Makes the host what the machine says of one.
    fn show(&mut self, v: &Served) {
        let name = v.name.to_string();
        if let Some(w) = self.wanted(v).filter(|_| !self.ended) {
            if self.shown.get(&name).is_some_and(|is| is.lower != w.lower) {
                self.remove(&name);
            }
            let done = self.apply(&name, &w);
            self.complain(&name, done);
        }
    }

    /// And of all, as they were after so many transitions. It is woken once more if
    /// there have been others since.
    fn sync(&mut self, vhosts: &[Vhosted], transitions: u64, now: Time) {
        if transitions < self.transitions {
            return;
        }
        let served = vhosts.iter().map(Vhosted::served);
        let wanted: BTreeMap<String, Wanted> =
            served.filter_map(|v| Some((v.name.to_string(), self.wanted(&v)?))).collect();
        let gone: Vec<String> = self
            .shown
            .iter()
            .filter(|(name, is)| wanted.get(*name).is_none_or(|w| w.lower != is.lower))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.remove(&name);
        }
        for (name, w) in &wanted {
            let done = self.apply(name, w);
            self.complain(name, done);
        }
        let shortest = wanted.values().filter(|w| w.master).map(|w| w.lifetime).min();
        self.renew = shortest.map(|s| now + Duration::from_secs(s.into()) / 4);
    }

    /// Nothing for one whose parent is no interface that carries mirrors; one
    /// without a parent waits on the first.
    fn wanted(&self, v: &Served) -> Option<Wanted> {
        let lower = match v.parent {
            Some(parent) => self.lowers.iter().find(|l| l.name == parent)?,
            None => self.lowers.first()?,
        };
        let vhid = v.vhid;
        let lladdr = (vhid != 0).then_some([0, 0, 0x5e, 0, 1, vhid]);
        let master = v.state == State::Master;
        let living = v.living.iter().filter(|_| master);
        let addrs = living.map(|(net, route)| (*net, *route)).collect();
        // Gone before a peer has waited for three times advbase: the kernel looks
        // once a second.
        let lifetime = (2 * u32::from(v.advbase)).saturating_sub(1).max(1);
        Some(Wanted { lower: lower.index, lladdr, master, addrs, lifetime })
    }

    fn apply(&mut self, name: &str, w: &Wanted) -> Result<(), String> {
        if !self.shown.contains_key(name) {
            let shown = self.create(name, w.lower)?;
            self.shown.insert(name.to_owned(), shown);
        }
        let (rt, Some(is)) = (&mut self.rt, self.shown.get_mut(name)) else { return Ok(()) };
        let index = is.index;
        let failed = |what: &'static str| move |e: Linux| format!("{what}: {}", e.desc());
        // Whoever is not MASTER takes no frame before it has no address.
        if is.master && !w.master {
            rt.set_carrier(index, false).map_err(failed("carrier"))?;
            is.master = false;
        }
        let gone: Vec<IpNet> = is.addrs.keys().filter(|net| !w.addrs.contains_key(net)).copied().collect();
        for net in gone {
            ok_if(rt.delete_address(index, net), Linux::EADDRNOTAVAIL).map_err(failed("address"))?;
            is.addrs.remove(&net);
        }
        if is.lladdr != w.lladdr {
            if let Some(lladdr) = w.lladdr {
                rt.set_lladdr(index, lladdr).map_err(failed("address"))?;
            }
            rt.set_up(index, w.lladdr.is_some()).map_err(failed("up"))?;
            is.lladdr = w.lladdr;
        }
        for (net, route) in &w.addrs {
            if is.lifetime != w.lifetime || !is.addrs.contains_key(net) {
                rt.replace_address(index, *net, w.lifetime).map_err(failed("address"))?;
            }
            let had = is.addrs.insert(*net, false).unwrap_or_default();
            if *route && !had {
                ok_if(rt.add_route(index, *net), Linux::EEXIST).map_err(failed("route"))?;
            } else if had && !route {
                ok_if(rt.delete_route(index, *net), Linux::ESRCH).map_err(failed("route"))?;
            }
            is.addrs.insert(*net, *route);
        }
        is.lifetime = w.lifetime;
        // And a MASTER has its addresses before it takes a frame.
        if !is.master && w.master {
            rt.set_carrier(index, true).map_err(failed("carrier"))?;
            is.master = true;
        }
        Ok(())
    }

    fn create(&mut self, name: &str, lower: u32) -> Result<Shown, String> {
        let failed = |e: Linux| format!("cannot be made: {}", e.desc());
        self.rt.add_macvlan(name, lower).map_err(failed)?;
        let made = self.rt.links().map_err(failed)?.into_iter().find(|l| l.name == name);
        let index = made.ok_or("is gone as soon as it was made")?.index;
        self.rt.set_alias(index, ALIAS).map_err(failed)?;
        // Only virtual addresses are answered for here, whoever asks, and all of
        // them stay when one goes.
        for (leaf, value) in [
            ("ipv4/conf/{}/arp_ignore", 1),
            ("ipv4/conf/{}/arp_announce", 2),
            ("ipv4/conf/{}/rp_filter", 2),
            ("ipv4/conf/{}/promote_secondaries", 1),
            ("ipv6/conf/{}/addr_gen_mode", 1),
            ("ipv6/conf/{}/accept_dad", 0),
            ("ipv6/conf/{}/accept_ra", 0),
            ("ipv6/conf/{}/router_solicitations", 0),
        ] {
            let leaf = leaf.replace("{}", name);
            self.conf.set(&leaf, value).map_err(|e| format!("{leaf}: {e}"))?;
        }
        self.rt.set_carrier(index, false).map_err(failed)?;
        let addrs = BTreeMap::new();
        Ok(Shown { index, lower, lladdr: None, master: false, addrs, lifetime: 0, complaint: None })
    }

    fn remove(&mut self, name: &str) {
        if let Some(is) = self.shown.remove(name) {
            let done = ok_if(self.rt.delete_link(is.index), Linux::ENODEV);
            if let Err(e) = done {
                tracing::warn!("{name}: stays: {}", e.desc());
            }
        }
    }

    /// Each complaint once.
    fn complain(&mut self, name: &str, done: Result<(), String>) {
        let complaint = done.err();
        let last = self.shown.get_mut(name).map(|is| &mut is.complaint);
        match (complaint, last) {
            (Some(new), Some(last)) if last.as_ref() == Some(&new) => {}
            (Some(new), last) => {
                tracing::warn!("{name}: {new}");
                last.into_iter().for_each(|last| *last = Some(new.clone()));
            }
            (None, last) => last.into_iter().for_each(|last| *last = None),
        }
    }

    /// Removes all, and puts back what was set.
    fn end(&mut self) {
        for name in self.shown.keys().cloned().collect::<Vec<_>>() {
            self.remove(&name);
        }
        self.conf.restore();
        self.ended = true;
    }

    /// The addresses live on.
    fn renew(&mut self) {
        for (name, is) in &mut self.shown {
            for net in is.addrs.keys() {
                if let Err(e) = self.rt.replace_address(is.index, *net, is.lifetime) {
                    tracing::warn!("{name}: {net}: {}", e.desc());
                }
            }
        }
    }

    /// What somebody else has done to them is undone: what is not there any more
    /// is forgotten here, and made again.
    fn look(&mut self) -> nix::Result<()> {
        let links = self.rt.links()?;
        let addrs = self.rt.addresses()?;
        self.shown.retain(|_, is| links.iter().any(|l| l.index == is.index));
        for is in self.shown.values_mut() {
            let Some(link) = links.iter().find(|l| l.index == is.index) else { continue };
            let there = |net: &IpNet| addrs.iter().any(|a| a.index == is.index && a.net == *net);
            is.addrs.retain(|net, _| there(net));
            if link.lladdr != is.lladdr || link.up != is.lladdr.is_some() {
                is.lladdr = None;
            }
            if link.protodown == is.master {
                is.master = !link.protodown;
            }
        }
        Ok(())
    }
}

impl Part for Mirrors {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.watch.fd(), HOST, Interest::READABLE)
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        lock(&self.mirror).renew.map(|at| Duration::from_nanos(at.0.saturating_sub(now.0)))
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let mut mirror = lock(&self.mirror);
        match step {
            Step::Frozen(estate) => estate.put(SUCCESSION, &(&mirror.shown, mirror.conf.before()))?,
            Step::Waits => mirror.renew(),
            Step::Met(_) | Step::Ready(_) | Step::Stays => {}
        }
        Ok(())
    }

    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        if let Some((shown, before)) = estate.take(SUCCESSION)? {
            let mut mirror = lock(&self.mirror);
            mirror.shown = shown;
            mirror.conf.follow(before);
            mirror.renew();
        }
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let touched = turn.ready.contains(&HOST);
        let mut mirror = lock(&self.mirror);
        if touched {
            self.watch.drain()?;
            mirror.look().map_err(|e| failed("rtnetlink", e))?;
        }
        let due = mirror.renew.is_some_and(|at| at <= turn.now);
        if due {
            mirror.renew();
        }
        if due || touched || turn.woken {
            mirror.sync(turn.watcher.vhosts(), turn.watcher.transitions(), turn.now);
        }
        Ok(Flow::Continue)
    }
}

impl Drop for Mirrors {
    fn drop(&mut self) {
        lock(&self.mirror).end();
    }
}

fn ok_if(done: nix::Result<()>, harmless: Linux) -> nix::Result<()> {
    match done {
        Err(e) if e == harmless => Ok(()),
        other => other,
    }
}
