//! Carp interfaces as interfaces of Linux, whose own stack serves the virtual
//! addresses: a macvlan for each, on the interface that is its parent, or a tap
//! with the machine's netisrs between both.
//!
//! ```text
//!   MASTER         --> carrier, 192.168.1.1/24, a way out for what it says
//!   BACKUP, INIT   --> no carrier: takes no frame, has no address
//! ```
//!
//! What should be is compared with what was done each time that anything may have
//! changed, on either side. A transition comes from netisr0 itself, which waits: when
//! the first advertisement of a MASTER draws the frames here, they are taken, and
//! what was on its way before somebody else's was heard still is. An address has a
//! lifetime that is renewed all the time: whatever ends or stops this process, the
//! kernel takes it away before a peer takes over, with nobody's help. Who cannot be
//! served is no MASTER, and of a machine whose netisr0 does not answer nothing is
//! renewed.

mod link;
mod pulse;
mod shown;
mod succession;

use self::link::Link;
use self::pulse::Pulse;
use self::shown::{Shown, Wanted, ok_if};
use super::netconf::{self, NetConf, at};
use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Runtime;
use super::succession::{Estate, Step};
use crate::dev::rtnetlink::{HostLink, RtNetlink, RtWatch, Rule};
use crate::dev::{DataPath, Device, host};
use crate::kern::devctl::{Serve, Served, Vhosted};
use crate::machine::Machine;
use compat::net::if_::IfName;
use compat::sys::time::Time;
use ipnet::IpNet;
use libcarp::softc::State;
use mio::Interest;
use nix::errno::Errno as Linux;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What an interface of ours is called beside its name, so that the next netisrd
/// knows what a dead one has left.
const ALIAS: &str = "netisrd";
/// Where the settings of interfaces are that come and go.
pub const SETTINGS: [&str; 2] = ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"];
/// Whether the host forwards IPv6; not there without IPv6.
const FORWARDING: &str = "ipv6/conf/all/forwarding";
/// Something has changed in the host.
const HOST: usize = 0;
/// What could not be done is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// And what could not be done for a MASTER is not asked of one before this: nobody
/// else can try whether it can be done by now, and each try takes the address from
/// its holder for a moment.
const HOLD: Duration = Duration::from_secs(10);

/// An interface that carries mirrors.
struct Lower {
    /// Its name in the machine.
    name: IfName,
    /// Its index in the host; none while the host has none.
    index: Option<u32>,
    /// Which kind of mirrors.
    path: DataPath,
}

/// What went wrong, and until when that counts whatever succeeds.
struct Complaint {
    what: String,
    until: Time,
}

/// All of them.
struct Mirror {
    rt: RtNetlink,
    lowers: Vec<Lower>,
    shown: BTreeMap<String, Shown>,
    conf: NetConf,
    /// When the addresses are to be renewed.
    renew: Option<Time>,
    /// What went wrong with which, said once.
    complaints: BTreeMap<String, Complaint>,
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
    pulse: Pulse,
    /// The machine has been told that these carp interfaces are not served.
    unserved: BTreeSet<u16>,
    /// Whether the host was a router when that was looked at last.
    forwarding: Option<bool>,
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
        Ok(Some(Mirrors {
            mirror,
            watch,
            pulse: Pulse::default(),
            unserved: BTreeSet::new(),
            forwarding: None,
        }))
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
        let is_left = |l: &HostLink| l.is_macvlan && l.alias == ALIAS && on_ours(l);
        let links = rt.links().map_err(|e| failed("rtnetlink", e))?;
        let (left, links): (Vec<_>, Vec<_>) = links.into_iter().partition(is_left);
        for left in left {
            rt.delete_link(left.index).map_err(|e| failed(&left.name, e))?;
            tracing::info!("{}: removed, a netisrd that is no more has left it", left.name);
        }
        let there = |rule: &Rule| links.iter().any(|l| l.index == rule.link);
        let rules = rt.rules().map_err(|e| failed("rtnetlink", e))?;
        for left in rules.iter().filter(|rule| !there(rule)) {
            rt.delete_rule(*left).map_err(|e| failed("rule", e))?;
        }
        let mut conf = NetConf::open(saved, name_in(&links))?;
        for lower in &lowers {
            lower.prepare(&mut conf)?;
        }
        Ok(Mirror::with(rt, lowers, conf))
    }

    fn with(rt: RtNetlink, lowers: Vec<Lower>, conf: NetConf) -> Mirror {
        let (shown, complaints, machine) = (BTreeMap::new(), BTreeMap::new(), Weak::new());
        let (renew, transitions, ended) = (None, 0, false);
        Mirror { rt, lowers, shown, conf, renew, complaints, transitions, machine, ended }
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
        // On another interface it would go anyway; here it has no frame till then.
        let Some(w) = self.wanted(v).filter(|_| !self.ended) else { return self.remove(&name) };
        if self.shown.get(&name).is_some_and(|is| !is.is_for(&w)) {
            self.remove(&name);
        }
        let done = self.apply(&name, &w);
        self.complain(&name, &w, done);
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
            self.complain(name, w, done);
        }
        self.complaints.retain(|name, _| wanted.contains_key(name));
        // What was just made is fresh; nothing else puts a renewal off.
        let next = self.next_renewal(now);
        self.renew = next.map(|next| self.renew.map_or(next, |before| before.min(next)));
    }

    /// Four times in the life of the addresses that live shortest.
    fn next_renewal(&self, now: Time) -> Option<Time> {
        let shortest = self.shown.values().filter(|is| is.master).map(|is| is.lifetime).min();
        shortest.map(|s| now + Duration::from_secs(s.into()) / 4)
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
            is.withdraw(rt, net).map_err(failed("address"))?;
        }
        if is.lladdr != w.lladdr {
            if let Some(lladdr) = w.lladdr {
                rt.set_lladdr(index, lladdr).map_err(failed("address"))?;
            }
            is.link.set_running(rt, index, w.lladdr.is_some()).map_err(failed("up"))?;
            is.lladdr = w.lladdr;
        }
        // One that the kernel does not take is no reason to leave out the others.
        let mut done = Ok(());
        for net in w.addrs.keys() {
            if is.lifetime != w.lifetime || !is.addrs.contains_key(net) {
                let added = rt.replace_address(index, *net, w.lifetime);
                done = done.and(added.map_err(|e| format!("{net}: {}", e.desc())));
                is.addrs.entry(*net).or_insert(false);
            }
        }
        is.lifetime = w.lifetime;
        // And a MASTER has its addresses before it takes a frame.
        if !is.master && w.master {
            is.link.set_carrier(rt, index, true).map_err(failed("carrier"))?;
            is.master = true;
        }
        for (net, route) in &w.addrs {
            done = done.and(is.route(rt, *net, *route).map_err(failed("route")));
        }
        done
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
        let (lladdr, addrs) = (None, BTreeMap::new());
        Ok(Shown { if_index, index, link, lower, lladdr, master: false, addrs, lifetime: 0 })
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
            ("ipv6/conf/{}/disable_ipv6", 0),
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
        if let Some(mut is) = self.shown.remove(name) {
            let nets: Vec<IpNet> = is.addrs.keys().copied().collect();
            let mut done = nets.into_iter().try_for_each(|net| is.withdraw(&mut self.rt, net));
            done = done.and(ok_if(self.rt.delete_link(is.index), Linux::ENODEV));
            if let Err(e) = done {
                tracing::warn!("{name}: stays: {}", e.desc());
            }
        }
    }

    /// Each complaint once.
    fn complain(&mut self, name: &str, w: &Wanted, done: Result<(), String>) {
        let Some(now) = self.machine.upgrade().map(|m| m.clock().now()) else { return };
        let until = if w.master { now + HOLD } else { now };
        match (done, self.complaints.get_mut(name)) {
            (Ok(()), Some(last)) if !w.master && now < last.until => {}
            (Ok(()), _) => drop(self.complaints.remove(name)),
            (Err(what), Some(last)) if last.what == what => last.until = last.until.max(until),
            (Err(what), _) => {
                tracing::warn!("{name}: {what}");
                self.complaints.insert(name.to_owned(), Complaint { what, until });
            }
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
    fn renew(&mut self, now: Time) {
        for (name, is) in &mut self.shown {
            for net in is.addrs.keys() {
                if let Err(e) = self.rt.replace_address(is.index, *net, is.lifetime) {
                    tracing::warn!("{name}: {net}: {}", e.desc());
                }
            }
        }
        self.renew = self.next_renewal(now);
    }

    /// An interface that was deleted is the next one of its name.
    fn follow(&mut self, links: &[HostLink]) {
        for lower in &mut self.lowers {
            if links.iter().any(|l| Some(l.index) == lower.index) {
                continue;
            }
            lower.index = links.iter().find(|l| l.name == lower.name.as_str()).map(|l| l.index);
            if let Err(e) = lower.prepare(&mut self.conf) {
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
        for (name, is) in &mut self.shown {
            let Some(link) = links.iter().find(|l| l.index == is.index) else { continue };
            let there = |net: &IpNet| addrs.iter().any(|a| a.index == is.index && a.net == *net);
            if !link.up {
                // Routes go with that.
                is.addrs.values_mut().for_each(|route| *route = false);
            }
            is.addrs.retain(|net, _| there(net));
            if link.lladdr != is.lladdr || is.link.is_stopped(link) {
                is.lladdr = None;
            }
            is.master = is.link.has_carrier(link);
            if let Some(lower) = links.iter().find(|l| l.index == is.lower) {
                let done = is.link.follow_mtu(&mut self.rt, link, lower);
                if let Err(e) = ok_if(done, Linux::ENODEV) {
                    tracing::warn!("{name}: mtu {}: {}", lower.mtu, e.desc());
                }
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
        let mirror = lock(&self.mirror);
        let renew = mirror.renew.map(|at| Duration::from_nanos(at.0.saturating_sub(now.0)));
        let retry = (!mirror.complaints.is_empty()).then_some(RETRY);
        renew.into_iter().chain(retry).min()
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let mut mirror = lock(&self.mirror);
        match step {
            Step::Frozen(estate) => mirror.bequeath(&self.unserved, estate),
            Step::Waits => mirror.live_on(),
            Step::Met(_) | Step::Ready(_) | Step::Stays => Ok(()),
        }
    }

    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        self.unserved = lock(&self.mirror).inherit(estate)?;
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let touched = turn.ready.contains(&HOST);
        self.follow_forwarding(turn.machine);
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
        if due && self.pulse.beats(turn.machine) {
            mirror.renew(turn.now);
        } else if due {
            mirror.renew = mirror.next_renewal(turn.now);
        }
        if due || touched || turn.woken || !mirror.complaints.is_empty() {
            mirror.sync(turn.watcher.vhosts(), turn.watcher.transitions(), turn.now);
        }
        let unserved = |v: &&Vhosted| mirror.complaints.contains_key(v.name.as_str());
        let unserved = turn.watcher.vhosts().iter().filter(unserved).map(|v| v.of.if_index).collect();
        for changed in self.unserved.symmetric_difference(&unserved) {
            turn.machine.served(*changed, !unserved.contains(changed));
        }
        self.unserved = unserved;
        Ok(Flow::Continue)
    }
}

impl Mirrors {
    /// The machine says of itself what the host is.
    fn follow_forwarding(&mut self, machine: &Runtime) {
        let Ok(now) = netconf::get(FORWARDING).map(|v| v > 0) else { return };
        if self.forwarding.replace(now) != Some(now) {
            machine.machine().ip6_forwarding.store(now, Ordering::Relaxed);
        }
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
    fn prepare(&self, conf: &mut NetConf) -> io::Result<()> {
        let (Some(index), name) = (self.index, self.name.as_str()) else { return Ok(()) };
        // Others do answer for addresses that another interface has.
        conf.require(index, name, "ipv4/conf/{}/arp_ignore", &[1, 2, 8])?;
        conf.require(index, name, "ipv4/conf/{}/arp_announce", &[2])
    }
}

/// What the interface of an index is called.
fn name_in(links: &[HostLink]) -> impl Fn(u32) -> Option<String> {
    move |index| links.iter().find(|l| l.index == index).map(|l| l.name.clone())
}
