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

mod held;
mod link;
mod looker;
mod owner;
mod part;
mod pulse;
mod shown;
mod succession;
mod trouble;
mod ways;

pub use self::part::Mirrors;

use self::held::Lower;
use self::link::Link;
use self::looker::Found;
use self::owner::Owner;
use self::shown::{Shown, Wanted, ok_if};
use self::trouble::Troubles;
use self::ways::Ways;
use super::netconf::{NetConf, at};
use crate::dev::rtnetlink::{HostAddr, HostLink, RtNetlink, Way};
use crate::kern::devctl::{Served, Vhosted};
use crate::kern::lease;
use crate::machine::Machine;
use compat::sys::time::{Clock, Time};
use ipnet::IpNet;
use libcarp::softc::State;
use nix::errno::Errno as Linux;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

/// Where the settings of interfaces are that come and go. A host may have no IPv6.
pub fn settings() -> Vec<PathBuf> {
    let folders = ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"].map(PathBuf::from);
    folders.into_iter().filter(|folder| folder.exists()).collect()
}

/// Longer than anybody waits for.
const HOUR_MS: i32 = 3_600_000;

/// How often a host that changes all the time is looked at, at the end.
const LAST_LOOKS: usize = 16;

/// All of them.
struct Mirror {
    rt: RtNetlink,
    /// What an interface of ours is known by.
    owner: Owner,
    lowers: Vec<Lower>,
    /// The addresses that links of the host have.
    own: BTreeSet<(u32, IpAddr)>,
    /// The ways that the main table has by these interfaces.
    parents: BTreeMap<u32, Vec<Way>>,
    /// Rules or routes may be otherwise by now.
    stale: bool,
    shown: BTreeMap<String, Shown>,
    conf: NetConf,
    /// When the addresses are to be renewed.
    renew: Option<Time>,
    /// What went wrong with which.
    troubles: Troubles,
    /// The host's own links and addresses on these interfaces.
    near: (Vec<HostLink>, Vec<HostAddr>),
    /// The transitions that are in it.
    transitions: u64,
    /// All of them were not, when it was last looked at.
    behind: bool,
    /// Whose mirror it is. The machine itself calls it.
    machine: Weak<Machine>,
    /// What is shown is another process's until the first turn.
    adopted: bool,
    /// At the end nothing is made any more.
    ended: bool,
}

fn failed(what: &str, e: Linux) -> io::Error {
    io::Error::other(format!("{what}: {}", e.desc()))
}

impl Mirror {
    fn new(lowers: Vec<Lower>, folder: &Path, follows: bool) -> io::Result<Mirror> {
        let mut rt = RtNetlink::new().map_err(|e| failed("rtnetlink", e))?;
        let uses: Vec<u32> = lowers.iter().filter_map(|lower| lower.index).collect();
        if follows {
            return Mirror::with((rt, Owner::new()?), lowers, NetConf::waiting(folder, &uses)?);
        }
        let links = rt.links().map_err(|e| failed("rtnetlink", e))?;
        let (left, links): (Vec<_>, Vec<_>) = links.into_iter().partition(owner::is_left);
        let owner = Owner::new()?;
        let indexes: Vec<u32> = left.iter().map(|left| left.index).collect();
        rt.delete_links(&indexes, owner.going()).map_err(|e| failed("what a dead netisrd has left", e))?;
        for left in left {
            tracing::info!("{}: removed, a netisrd that is no more has left it", left.name);
        }
        let is_there = |link| links.iter().any(|l| l.index == link);
        Mirror::forget_rules(&mut rt, is_there).map_err(|e| failed("rule", e))?;
        let mut conf = NetConf::open(folder, &uses, name_in(&links))?;
        for lower in &lowers {
            lower.hold(&mut conf)?;
        }
        Mirror::with((rt, owner), lowers, conf)
    }

    fn with((mut rt, owner): (RtNetlink, Owner), lowers: Vec<Lower>, conf: NetConf) -> io::Result<Mirror> {
        let own = own_addresses(&rt.addresses().map_err(|e| failed("rtnetlink", e))?);
        let (shown, troubles, machine) = (BTreeMap::new(), Troubles::default(), Weak::new());
        let (near, parents, stale) = ((Vec::new(), Vec::new()), BTreeMap::new(), false);
        let (renew, transitions, behind, adopted, ended) = (None, 0, false, false, false);
        let mut mirror = Mirror {
            rt,
            owner,
            lowers,
            own,
            parents,
            stale,
            shown,
            conf,
            renew,
            troubles,
            near,
            transitions,
            behind,
            machine,
            adopted,
            ended,
        };
        let found = Found::look(&mut mirror.rt).map_err(|e| failed("rtnetlink", e))?;
        mirror.know(found);
        Ok(mirror)
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
        self.hold();
        // On another interface it would go anyway; here it has no frame till then.
        let Some(w) = self.wanted(v).filter(|_| !self.ended) else { return self.remove(&[name]) };
        if self.shown.get(&name).is_some_and(|is| !is.is_for(&w)) {
            self.remove(core::slice::from_ref(&name));
        }
        let done = self.apply(&name, &w);
        self.complain(&name, &w, done);
    }

    /// And of all, as they were after so many transitions. It is woken once more if
    /// there have been others since.
    fn sync(&mut self, vhosts: &[Vhosted], transitions: u64) {
        self.behind = transitions < self.transitions;
        if self.behind {
            return;
        }
        self.own_up();
        self.hold();
        let served = vhosts.iter().map(Vhosted::served);
        let wanted: BTreeMap<String, Wanted> =
            served.filter_map(|v| Some((v.name.to_string(), self.wanted(&v)?))).collect();
        let gone: Vec<String> = self
            .shown
            .iter()
            .filter(|(name, is)| wanted.get(*name).is_none_or(|w| !is.is_for(w)))
            .map(|(name, _)| name.clone())
            .collect();
        self.remove(&gone);
        for (name, w) in &wanted {
            let done = self.apply(name, w);
            self.complain(name, w, done);
        }
        self.troubles.retain(|name| wanted.contains_key(name));
        self.renew = self.next_renewal();
    }

    fn masters(&self) -> impl Iterator<Item = &Shown> {
        self.shown.values().filter(|is| is.master)
    }

    /// When the first of the addresses are to be renewed.
    fn next_renewal(&self) -> Option<Time> {
        self.masters().map(Shown::next_renewal).min()
    }

    /// When a MASTER that is not renewed any more is surely not served.
    fn gone_by(&self) -> Option<Time> {
        self.masters().map(Shown::gone_by).min()
    }

    /// The same moment later, if netisr0 answers by then.
    fn put_off(&mut self, now: Time) {
        let shortest = self.masters().map(|is| is.lifetime).min();
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
        // The host would answer for it with the card's own MAC, MASTER or not.
        let own = v.living.iter().find(|(net, _)| self.own.contains(&(index, net.addr())));
        let refused = own.map(|(net, _)| format!("{} is {}'s own address", net.addr(), lower.name));
        let refused = refused.or_else(|| lower.trouble.clone());
        let master = v.state == State::Master && refused.is_none();
        let living = v.living.iter().filter(|_| master);
        let addrs = living.map(|(net, route)| (*net, *route)).collect();
        // Gone before a peer has waited for three times advbase: the kernel looks
        // once a second.
        let lifetime = lease::lifetime(v.advbase);
        let asked = v.living.iter().map(|(net, _)| *net).collect();
        Some(Wanted { if_index, lower: index, path, lladdr, master, addrs, asked, lifetime, refused })
    }

    fn apply(&mut self, name: &str, w: &Wanted) -> Result<(), String> {
        if !self.shown.contains_key(name) {
            let shown = self.create(name, w)?;
            self.shown.insert(name.to_owned(), shown);
        }
        let now = self.machine.upgrade().map(|m| m.clock().now()).unwrap_or_default();
        let (rt, conf, Some(is)) = (&mut self.rt, &self.conf, self.shown.get_mut(name)) else {
            return Ok(());
        };
        let index = is.index;
        let failed = |what: &'static str| move |e: Linux| format!("{what}: {}", e.desc());
        // Whoever is not MASTER takes no frame before it has no address.
        if is.master && !w.master {
            is.link.set_carrier(rt, index, false).map_err(failed("carrier"))?;
            is.master = false;
            if is.link.loses_routes() {
                is.ways.routes.clear();
            }
        }
        let stays = |net: &&IpNet| w.addrs.contains_key(net) && !is.lost.contains(net);
        let gone: Vec<IpNet> = is.addrs.iter().filter(|net| !stays(net)).copied().collect();
        for net in gone {
            is.withdraw(rt, net).map_err(failed("address"))?;
        }
        is.inet6 = is.inet6 || settle6(conf, name)?;
        if is.lladdr != w.lladdr {
            if let Some(lladdr) = w.lladdr {
                rt.set_lladdr(index, lladdr).map_err(failed("address"))?;
            }
            is.link.set_running(rt, index, w.lladdr.is_some()).map_err(failed("up"))?;
            is.lladdr = w.lladdr;
        }
        // One that the kernel does not take is no reason to leave out the others.
        let mut done = w.refused.clone().map_or(Ok(()), Err);
        if let Some(net) = w.asked.iter().find(|net| !is.inet6 && net.addr().is_ipv6()) {
            done = done.and(Err(format!("{net}: no IPv6 there")));
        }
        let inet6 = is.inet6;
        let can = |net: &&IpNet| inet6 || net.addr().is_ipv4();
        if is.lifetime != w.lifetime || is.addrs.is_empty() {
            is.renewed = now;
        }
        for net in w.addrs.keys().filter(can) {
            if is.lifetime != w.lifetime || !is.addrs.contains(net) {
                let added = rt.replace_address(index, *net, w.lifetime);
                done = done.and(added.map_err(|e| format!("{net}: {}", e.desc())));
                is.addrs.insert(*net);
            }
        }
        is.lifetime = w.lifetime;
        // And a MASTER has its addresses before it takes a frame.
        if !is.master && w.master {
            is.link.set_carrier(rt, index, true).map_err(failed("carrier"))?;
            is.master = true;
        }
        let routed: Vec<IpNet> =
            w.addrs.iter().filter(|(net, routed)| **routed && can(net)).map(|(net, _)| *net).collect();
        let parents = self.parents.get(&w.lower).map(Vec::as_slice).unwrap_or_default();
        done.and(is.lead(rt, name, &Ways::of(index, &routed, parents)).map_err(failed("route")))
    }

    fn create(&mut self, name: &str, w: &Wanted) -> Result<Shown, String> {
        let failed = |e: Linux| format!("cannot be made: {}", e.desc());
        let machine = self.machine.upgrade().ok_or("its machine has halted")?;
        let (if_index, lower) = (w.if_index, w.lower);
        let making = (lower, w.path, self.owner.making());
        let (index, link) = Link::make(&mut self.rt, name, making, (&machine, if_index))?;
        if let Err(e) = self.settle(name, index) {
            // Or the next try would find its name taken.
            self.rt.delete_link(index).map_err(failed)?;
            return Err(e);
        }
        Ok(Shown::new((if_index, index, lower), link))
    }

    /// Only virtual addresses are answered for there, whoever asks, and all of
    /// them stay when one goes.
    fn settle(&mut self, name: &str, index: u32) -> Result<(), String> {
        self.rt.finish(index, &self.owner.alias()).map_err(|e| format!("alias: {}", e.desc()))?;
        for (leaf, value) in [
            ("ipv4/conf/{}/arp_ignore", 1),
            ("ipv4/conf/{}/arp_announce", 2),
            ("ipv4/conf/{}/rp_filter", 2),
            ("ipv4/conf/{}/promote_secondaries", 1),
        ] {
            set(&self.conf, name, leaf, value)?;
        }
        Ok(())
    }

    fn remove(&mut self, names: &[String]) {
        let mut gone = Vec::new();
        for name in names {
            let Some(mut is) = self.shown.remove(name) else { continue };
            let nets: Vec<IpNet> = is.addrs.iter().copied().collect();
            for net in nets {
                if let Err(e) = is.withdraw(&mut self.rt, net) {
                    tracing::warn!("{name}: {net}: stays: {}", e.desc());
                }
            }
            gone.push(is);
        }
        let indexes: Vec<u32> = gone.iter().map(|is| is.index).collect();
        if let Err(e) = self.rt.delete_links(&indexes, self.owner.going()) {
            tracing::warn!("{}: not removed: {}", names.join(" "), e.desc());
        }
    }

    fn complain(&mut self, name: &str, w: &Wanted, done: Result<(), String>) {
        let Some(now) = self.machine.upgrade().map(|m| m.clock().now()) else { return };
        if let Some(what) = self.troubles.came(name, w, done, now) {
            tracing::warn!("{name}: {what}");
        }
    }

    /// Removes all, and puts back what was set.
    fn end(&mut self) {
        self.remove(&self.shown.keys().cloned().collect::<Vec<_>>());
        // There is no next time to look again.
        let links = (0..LAST_LOOKS).map(|_| self.rt.links()).find(|links| *links != Err(Linux::EBUSY));
        match links.unwrap_or(Err(Linux::EBUSY)) {
            Ok(links) => self.conf.restore(name_in(&links)),
            Err(e) => tracing::warn!("settings of interfaces are not put back: {}", e.desc()),
        }
        self.ended = true;
    }

    /// The addresses live on: those that were not renewed just now.
    fn renew(&mut self, clock: &dyn Clock) {
        for (name, is) in &mut self.shown {
            let now = clock.now();
            if !is.may_renew(now) {
                continue;
            }
            for net in &is.addrs {
                if let Err(e) = self.rt.replace_address(is.index, *net, is.lifetime) {
                    tracing::warn!("{name}: {net}: {}", e.desc());
                }
            }
            is.renewed = now;
        }
        self.renew = self.next_renewal();
    }

    /// Whatever has changed on these interfaces may have been in somebody's way.
    fn look_near(&mut self, links: &[HostLink], addrs: &[HostAddr]) {
        let lowers: Vec<u32> = self.lowers.iter().filter_map(|lower| lower.index).collect();
        let is_ours = |index: u32| self.shown.values().any(|is| is.index == index);
        let on = |l: &&HostLink| {
            let is_on = lowers.contains(&l.index) || l.lower.is_some_and(|lower| lowers.contains(&lower));
            is_on && !is_ours(l.index)
        };
        let links: Vec<HostLink> = links.iter().filter(on).cloned().collect();
        let on = |a: &&HostAddr| links.iter().any(|l| l.index == a.index);
        let near = (links.clone(), addrs.iter().filter(on).cloned().collect());
        if near != self.near {
            self.near = near;
            self.troubles.host_changed();
        }
    }

    /// An interface that was deleted is the next one of its name.
    fn follow(&mut self, links: &[HostLink]) {
        for lower in &mut self.lowers {
            let is = links.iter().find(|l| Some(l.index) == lower.index);
            let is = is.or_else(|| links.iter().find(|l| l.name == lower.name.as_str()));
            lower.index = is.map(|l| l.index);
            is.iter().for_each(|l| lower.called.clone_from(&l.name));
        }
    }

    /// What somebody else has done to them is undone: what is not there any more
    /// is forgotten here, and made again.
    fn look(&mut self) -> nix::Result<()> {
        let links = self.rt.links()?;
        let addrs = self.rt.addresses()?;
        self.own = own_addresses(&addrs);
        self.follow(&links);
        self.look_near(&links, &addrs);
        let is_there = |is: &Shown| links.iter().any(|l| l.index == is.index);
        for is in self.shown.values_mut().filter(|is| !is_there(is)) {
            if let Err(e) = is.leave_no_rule(&mut self.rt, |_| true) {
                tracing::warn!("rule of link {}: stays: {}", is.index, e.desc());
            }
        }
        self.shown.retain(|_, is| is_there(is));
        for (name, is) in &mut self.shown {
            let Some(link) = links.iter().find(|l| l.index == is.index) else { continue };
            let there = |net: &&IpNet| addrs.iter().any(|a| a.index == is.index && a.net == **net);
            let gone: Vec<IpNet> = is.addrs.iter().filter(|net| !there(net)).copied().collect();
            for net in gone {
                if is.withdraw(&mut self.rt, net).is_err() {
                    // That is said when it fails again.
                    is.lost.insert(net);
                }
            }
            // What it gets back has forgotten its settings.
            is.inet6 &= link.mld_report == Some(HOUR_MS);
            if link.lladdr != is.lladdr || is.link.is_stopped(link) {
                is.lladdr = None;
            }
            is.master = is.link.has_carrier(link);
            if let Some(lower) = links.iter().find(|l| l.index == is.lower && l.mtu != link.mtu) {
                // The kernel does so downwards alone, and of a macvlan.
                let done = self.rt.set_mtu(link.index, lower.mtu);
                if let Err(e) = ok_if(done, Linux::ENODEV) {
                    tracing::warn!("{name}: mtu {}: {}", lower.mtu, e.desc());
                }
            }
        }
        Ok(())
    }
}

fn set(conf: &NetConf, name: &str, leaf: &str, value: i32) -> Result<(), String> {
    let leaf = at(leaf, name);
    conf.set(&leaf, value).map_err(|e| format!("{leaf}: {e}"))
}

/// The same of IPv6; whether it has that. The kernel takes it from an interface whose
/// frames are shorter than 1280 bytes.
fn settle6(conf: &NetConf, name: &str) -> Result<bool, String> {
    if !conf.has(&at("ipv6/conf/{}", name)) {
        return Ok(false);
    }
    for (leaf, value) in [
        ("ipv6/conf/{}/addr_gen_mode", 1),
        ("ipv6/conf/{}/accept_dad", 0),
        ("ipv6/conf/{}/accept_ra", 0),
        ("ipv6/conf/{}/router_solicitations", 0),
        // A membership is reported at once and when asked. What is said once more
        // soon after, from the virtual MAC, could draw the frames back from a peer
        // that has taken over meanwhile.
        ("ipv6/conf/{}/mldv2_unsolicited_report_interval", HOUR_MS),
        // What it has made of itself before that goes.
        ("ipv6/conf/{}/disable_ipv6", 1),
        ("ipv6/conf/{}/disable_ipv6", 0),
        // By which an interface with these settings is known.
        ("ipv6/conf/{}/mldv1_unsolicited_report_interval", HOUR_MS),
    ] {
        set(conf, name, leaf, value)?;
    }
    Ok(true)
}

/// Of which link each is.
fn own_addresses(all: &[HostAddr]) -> BTreeSet<(u32, IpAddr)> {
    all.iter().map(|a| (a.index, a.net.addr())).collect()
}

/// What the interface of an index is called.
fn name_in(links: &[HostLink]) -> impl Fn(u32) -> Option<String> {
    move |index| links.iter().find(|l| l.index == index).map(|l| l.name.clone())
}
