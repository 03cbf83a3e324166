//! Carp interfaces as interfaces of Linux, whose own stack serves the virtual
//! addresses: a macvlan for each, on the interface that is its parent, or a tap
//! with the machine's netisrs between both.
//!
//! ```text
//!   MASTER         --> carrier (mode bridge), 192.168.1.1/24, prefix route
//!   BACKUP, INIT   --> no carrier (mode source): takes no frame, has no address
//! ```
//!
//! What should be is compared with what was done each time that anything may have
//! changed, on either side. A transition comes from netisr0 itself, which waits: when
//! the first advertisement of a MASTER draws the frames here, they are taken, and
//! what was on its way before somebody else's was heard still is. An address has a
//! lifetime that is renewed all the time: whatever ends or stops this process, the
//! kernel takes it away before a peer takes over, with nobody's help.

mod link;
mod succession;

use self::link::Link;
use super::netconf::{NetConf, at};
use super::parts::{Desk, Flow, Part, Turn};
use super::succession::{Estate, Step};
use crate::dev::rtnetlink::{HostLink, RtNetlink, RtWatch};
use crate::dev::{DataPath, Device, host};
use crate::kern::devctl::{Serve, Served, Vhosted};
use crate::machine::Machine;
use compat::net::if_::IfName;
use compat::net::if_var::LlAddr;
use compat::sys::time::Time;
use ipnet::IpNet;
use libcarp::softc::State;
use mio::Interest;
use nix::errno::Errno as Linux;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What an interface of ours is called beside its name, so that the next netisrd
/// knows what a dead one has left.
const ALIAS: &str = "netisrd";
/// Where the settings of interfaces are that come and go.
pub const SETTINGS: [&str; 2] = ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"];
/// Something has changed in the host.
const HOST: usize = 0;

/// An interface that carries mirrors.
struct Lower {
    /// Its name in the machine.
    name: IfName,
    /// Its index in the host; none while the host has none.
    index: Option<u32>,
    /// Which kind of mirrors.
    path: DataPath,
}

/// What a carp interface should be in the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    /// The carp interface's index in the machine: one that comes again has another.
    if_index: u16,
    lower: u32,
    path: DataPath,
    /// None without a vhid: such an interface is down.
    lladdr: Option<LlAddr>,
    master: bool,
    /// The virtual addresses, and whether the prefix route goes with each.
    addrs: BTreeMap<IpNet, bool>,
    /// Seconds that the addresses live without being renewed.
    lifetime: u32,
}

/// What it is.
struct Shown {
    if_index: u16,
    index: u32,
    link: Link,
    lower: u32,
    lladdr: Option<LlAddr>,
    master: bool,
    addrs: BTreeMap<IpNet, bool>,
    lifetime: u32,
    /// What went wrong last, to be said once.
    complaint: Option<String>,
}

impl Shown {
    /// Whether it can become that: it is of the same carp interface, on the same one.
    fn is_for(&self, w: &Wanted) -> bool {
        (self.if_index, self.lower) == (w.if_index, w.lower)
    }
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
    /// Whose mirror it is. The machine itself calls it.
    machine: Weak<Machine>,
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
        for dev in devices.iter().filter(|dev| dev.path.is_served_by_host()) {
            let index = Some(host::index(dev.name.as_str())?);
            lowers.push(Lower { name: dev.name, index, path: dev.path });
        }
        if lowers.is_empty() {
            return Ok(None);
        }
        let watch = RtWatch::new().map_err(|e| failed("rtnetlink", e))?;
        let mirror = Arc::new(Mutex::new(Mirror::new(lowers, saved, follows)?));
        Ok(Some(Mirrors { mirror, watch }))
    }

    /// Whether there are taps among them, which are opened as they are needed.
    pub fn has_taps(&self) -> bool {
        lock(&self.mirror).lowers.iter().any(|lower| lower.path == DataPath::Tap)
    }

    /// Of that machine from now on: what its netisr0 calls in a transition.
    pub fn serve(&self, machine: &Arc<Machine>) -> Serve {
        lock(&self.mirror).machine = Arc::downgrade(machine);
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
            return Ok(Mirror::with(rt, lowers, NetConf::waiting(saved)?));
        }
        let on_ours = |l: &HostLink| l.lower.is_some() && lowers.iter().any(|lower| l.lower == lower.index);
        let links = rt.links().map_err(|e| failed("rtnetlink", e))?;
        for left in &links {
            if left.is_macvlan && left.alias == ALIAS && on_ours(left) {
                rt.delete_link(left.index).map_err(|e| failed(&left.name, e))?;
                tracing::info!("{}: removed, a netisrd that is no more has left it", left.name);
            }
        }
        let mut conf = NetConf::open(saved, name_in(&links))?;
        for lower in &lowers {
            lower.raise(&mut conf)?;
        }
        Ok(Mirror::with(rt, lowers, conf))
    }

    fn with(rt: RtNetlink, lowers: Vec<Lower>, conf: NetConf) -> Mirror {
        let (shown, renew, transitions, machine, ended) = (BTreeMap::new(), None, 0, Weak::new(), false);
        Mirror { rt, lowers, shown, conf, renew, transitions, machine, ended }
    }

    /// Makes the host what the machine says of one.
    fn show(&mut self, v: &Served) {
        let name = v.name.to_string();
        if self.lowers.iter().any(|lower| lower.index.is_none())
            && let Ok(links) = self.rt.links()
        {
            // It may be back, and that not be heard here.
            self.follow(&links);
        }
        if let Some(w) = self.wanted(v).filter(|_| !self.ended) {
            if self.shown.get(&name).is_some_and(|is| !is.is_for(&w)) {
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
            .filter(|(name, is)| wanted.get(*name).is_none_or(|w| !is.is_for(w)))
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
        let (if_index, path) = (v.if_index, lower.path);
        let (vhid, index) = (v.vhid, lower.index?);
        let lladdr = (vhid != 0).then_some([0, 0, 0x5e, 0, 1, vhid]);
        let master = v.state == State::Master;
        let living = v.living.iter().filter(|_| master);
        let addrs = living.map(|(net, route)| (*net, *route)).collect();
        // Gone before a peer has waited for three times advbase: the kernel looks
        // once a second.
        let lifetime = (2 * u32::from(v.advbase)).saturating_sub(1).max(1);
        Some(Wanted { if_index, lower: index, path, lladdr, master, addrs, lifetime })
    }

    fn apply(&mut self, name: &str, w: &Wanted) -> Result<(), String> {
        if !self.shown.contains_key(name) {
            let shown = self.create(name, w)?;
            self.shown.insert(name.to_owned(), shown);
        }
        let (rt, Some(is)) = (&mut self.rt, self.shown.get_mut(name)) else { return Ok(()) };
        let index = is.index;
        let failed = |what: &'static str| move |e: Linux| format!("{what}: {}", e.desc());
        // Whoever is not MASTER takes no frame before it has no address.
        if is.master && !w.master {
            is.link.set_carrier(rt, index, false).map_err(failed("carrier"))?;
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
            is.link.set_carrier(rt, index, true).map_err(failed("carrier"))?;
            is.master = true;
        }
        Ok(())
    }

    fn create(&mut self, name: &str, w: &Wanted) -> Result<Shown, String> {
        let failed = |e: Linux| format!("cannot be made: {}", e.desc());
        let machine = self.machine.upgrade().ok_or("its machine has halted")?;
        let (if_index, lower) = (w.if_index, w.lower);
        let (index, link) = Link::make(&mut self.rt, name, (lower, w.path), (&machine, if_index))?;
        if let Err(e) = self.settle(name, index) {
            // Or the next try would find its name taken.
            self.rt.delete_link(index).map_err(failed)?;
            return Err(e);
        }
        let (lladdr, addrs, complaint) = (None, BTreeMap::new(), None);
        Ok(Shown { if_index, index, link, lower, lladdr, master: false, addrs, lifetime: 0, complaint })
    }

    /// Only virtual addresses are answered for there, whoever asks, and all of
    /// them stay when one goes.
    fn settle(&mut self, name: &str, index: u32) -> Result<(), String> {
        self.rt.set_alias(index, ALIAS).map_err(|e| format!("alias: {}", e.desc()))?;
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
            let leaf = at(leaf, name);
            self.conf.set(&leaf, value).map_err(|e| format!("{leaf}: {e}"))?;
        }
        Ok(())
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
        match self.rt.links() {
            Ok(links) => self.conf.restore(name_in(&links)),
            Err(e) => tracing::warn!("settings of interfaces are not put back: {}", e.desc()),
        }
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

    /// An interface that was deleted is the next one of its name.
    fn follow(&mut self, links: &[HostLink]) {
        for lower in &mut self.lowers {
            if links.iter().any(|l| Some(l.index) == lower.index) {
                continue;
            }
            lower.index = links.iter().find(|l| l.name == lower.name.as_str()).map(|l| l.index);
            if let Err(e) = lower.raise(&mut self.conf) {
                tracing::warn!("{}: {e}", lower.name);
            }
        }
    }

    /// What somebody else has done to them is undone: what is not there any more
    /// is forgotten here, and made again.
    fn look(&mut self) -> nix::Result<()> {
        let links = self.rt.links()?;
        let addrs = self.rt.addresses()?;
        self.follow(&links);
        self.shown.retain(|_, is| links.iter().any(|l| l.index == is.index));
        for is in self.shown.values_mut() {
            let Some(link) = links.iter().find(|l| l.index == is.index) else { continue };
            let there = |net: &IpNet| addrs.iter().any(|a| a.index == is.index && a.net == *net);
            is.addrs.retain(|net, _| there(net));
            if link.lladdr != is.lladdr || link.up != is.lladdr.is_some() {
                is.lladdr = None;
            }
            is.master = is.link.has_carrier(link);
            if let Some(lower) = links.iter().find(|l| l.index == is.lower) {
                is.link.follow_mtu(&mut self.rt, link, lower)?;
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
            Step::Frozen(estate) => mirror.bequeath(estate),
            Step::Waits => {
                mirror.renew();
                Ok(())
            }
            Step::Met(_) | Step::Ready(_) | Step::Stays => Ok(()),
        }
    }

    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        lock(&self.mirror).inherit(estate)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let touched = turn.ready.contains(&HOST);
        let mut mirror = lock(&self.mirror);
        if touched {
            self.watch.drain()?;
            match mirror.look() {
                // It goes on changing, and that will be told.
                Ok(()) | Err(Linux::EBUSY) => {}
                Err(e) => return Err(failed("rtnetlink", e)),
            }
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

impl Lower {
    /// The host would answer for a virtual address here too, with the card's own
    /// MAC, and ask in its name.
    fn raise(&self, conf: &mut NetConf) -> io::Result<()> {
        let (Some(index), name) = (self.index, self.name.as_str()) else { return Ok(()) };
        conf.raise(index, name, "ipv4/conf/{}/arp_ignore", 1)?;
        conf.raise(index, name, "ipv4/conf/{}/arp_announce", 2)
    }
}

/// What the interface of an index is called.
fn name_in(links: &[HostLink]) -> impl Fn(u32) -> Option<String> {
    move |index| links.iter().find(|l| l.index == index).map(|l| l.name.clone())
}

fn ok_if(done: nix::Result<()>, harmless: Linux) -> nix::Result<()> {
    match done {
        Err(e) if e == harmless => Ok(()),
        other => other,
    }
}
