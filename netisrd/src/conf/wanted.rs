//! What all lines of a file together ask for of one interface, and the lines
//! that lead from one such wish to another.

use super::act::{Act, Words};
use super::place::Place;
use compat::net::if_::{IfName, Iff};
use compat::netinet::in_::{INADDR_CARP_GROUP, mask_of_len};
use compat::netinet6::in6::IN6ADDR_CARP_GROUP;
use ifconfig_carp::ifconfig::{Address, Asked, Password, flag_word};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Of one interface. What is not mentioned is as it is by default.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    /// Where the first of its lines stands.
    at: Place,
    is_carp: bool,
    /// A carp interface has the one `None`; others have one for each vhid.
    hosts: BTreeMap<Option<u8>, VirtualHost>,
    flags: BTreeMap<u32, bool>,
    groups: BTreeMap<IfName, bool>,
    /// What was said of flags first, and where: an address takes `up` out of those above.
    said_flags: BTreeMap<u32, (bool, Place)>,
    /// The same of groups.
    said_groups: BTreeMap<IfName, (bool, Place)>,
    addrs: BTreeMap<IpAddr, Ifa>,
}

/// The parameters of CARP, of one vhid.
#[derive(Clone, Default)]
struct VirtualHost {
    at: Place,
    /// Where each of them was said first.
    places: BTreeMap<&'static str, Place>,
    vhid: Option<u8>,
    advbase: Option<u8>,
    advskew: Option<u8>,
    password: Option<Arc<Password>>,
    state: Option<&'static str>,
    peer: Option<Ipv4Addr>,
    peer6: Option<Ipv6Addr>,
    carpdev: Option<IfName>,
}

#[derive(Clone, Copy)]
struct Ifa {
    at: Place,
    address: Address,
    /// The virtual host whose it is, on an interface that is no carp interface.
    vhid: Option<u8>,
}

/// One deed, and what takes it back, in order.
pub(super) struct Step {
    pub(super) at: Place,
    pub(super) act: Act,
    pub(super) undo: Vec<Act>,
    /// What was there before is not known: nothing takes it back.
    pub(super) lasting: bool,
    /// The address that comes or goes by it.
    pub(super) comes: Option<IpAddr>,
    pub(super) goes: Option<IpAddr>,
}

impl Step {
    pub(super) fn new(at: Place, act: Act, undo: Vec<Act>) -> Step {
        Step { at, act, undo, lasting: false, comes: None, goes: None }
    }
}

impl Wanted {
    pub(super) fn new(is_carp: bool) -> Wanted {
        Wanted { is_carp, ..Wanted::default() }
    }

    /// What a line says otherwise than one before it has: the keyword, and where that
    /// stands.
    pub(super) fn contradicts(&self, asked: &Asked) -> Option<(&'static str, Place)> {
        let key = if self.is_carp { None } else { asked.vhid };
        let parameter = self.hosts.get(&key).and_then(|host| host.contradicts(asked));
        let flag = || {
            let said = |(flag, on): &(Iff, bool)| {
                let (was, at) = self.said_flags.get(&flag.bits()).filter(|(was, _)| was != on)?;
                Some((flag_word(*flag, *was)?, *at))
            };
            asked.flags.iter().find_map(said)
        };
        let group = || {
            let said = |(group, is_in): &(IfName, bool)| {
                let (was, at) = self.said_groups.get(group).filter(|(was, _)| was != is_in)?;
                Some((if *was { "group" } else { "-group" }, *at))
            };
            asked.groups.iter().find_map(said)
        };
        parameter.or_else(flag).or_else(group)
    }

    /// One line more.
    pub(super) fn add(&mut self, at: Place, asked: Asked) {
        if self.at == Place::default() {
            self.at = at;
        }
        for (flag, on) in &asked.flags {
            self.said_flags.entry(flag.bits()).or_insert((*on, at));
        }
        for (group, is_in) in &asked.groups {
            self.said_groups.entry(*group).or_insert((*is_in, at));
        }
        self.flags.extend(asked.flags.iter().map(|(flag, on)| (flag.bits(), *on)));
        self.groups.extend(asked.groups.iter().copied());
        let key = if self.is_carp { None } else { asked.vhid };
        if let Some(address) = asked.address {
            // It is the last of a line, and brings the interface up.
            self.flags.remove(&Iff::UP.bits());
            self.addrs.insert(address.addr, Ifa { at, address, vhid: key });
        }
        // On other interfaces there is nothing that they could be of.
        if self.is_carp || key.is_some() {
            let host = self.hosts.entry(key).or_insert_with(|| VirtualHost { at, ..VirtualHost::default() });
            host.add(at, asked);
        }
    }

    pub(super) fn place_of(&self, addr: IpAddr) -> Option<Place> {
        Some(self.addrs.get(&addr)?.at)
    }

    /// Those of a carp interface, and of vhids, and where each stands.
    pub(super) fn virtual_addresses(&self) -> impl Iterator<Item = (IpAddr, Place)> + '_ {
        let all = self.addrs.iter().filter(|(_, ifa)| self.is_carp || ifa.vhid.is_some());
        all.map(|(addr, ifa)| (*addr, ifa.at))
    }

    /// What the line at that place adds.
    pub(super) fn net_at(&self, at: Place) -> Option<IpNet> {
        let Address { addr, prefixlen, .. } = self.addrs.values().find(|ifa| ifa.at == at)?.address;
        IpNet::new(addr, prefixlen).ok()
    }

    /// Where a carp interface begins that has addresses and no vhid.
    pub(super) fn lacks_vhid(&self) -> Option<Place> {
        (self.is_carp && !self.addrs.is_empty() && self.own_vhid().is_none()).then_some(self.at)
    }

    /// Where it asks for advertisements that follow each other faster than once a second.
    pub(super) fn hurries(&self) -> impl Iterator<Item = Place> + '_ {
        let hosts = self.hosts.values().filter(|host| host.advbase == Some(0));
        hosts.map(|host| host.places.get("advbase").copied().unwrap_or(host.at))
    }

    /// Whether its addresses live on those of another interface: a parent that is chosen
    /// by name is enough.
    pub(super) fn needs_backing(&self) -> bool {
        self.is_carp && self.hosts.values().all(|host| host.carpdev.is_none())
    }

    pub(super) fn has_vhid(&self, vhid: u8) -> bool {
        self.hosts.values().any(|host| host.vhid == Some(vhid))
    }

    /// Where it gets that vhid.
    pub(super) fn place_of_vhid(&self, vhid: u8) -> Option<Place> {
        let host = self.hosts.values().find(|host| host.vhid == Some(vhid))?;
        Some(host.places.get("vhid").copied().unwrap_or(host.at))
    }

    /// The vhid of a carp interface.
    pub(super) fn own_vhid(&self) -> Option<u8> {
        self.hosts.get(&None)?.vhid
    }

    /// The parent that a carp interface is to have.
    pub(super) fn parent(&self) -> Option<IfName> {
        self.hosts.get(&None)?.carpdev
    }

    /// What leads from `before` to here, on an interface that is there.
    pub(super) fn steps_from(&self, before: &Wanted, name: IfName) -> Vec<Step> {
        let (mut steps, mut before) = (Vec::new(), before.clone());
        for vhid in before.hosts.keys().copied().flatten().collect::<Vec<_>>() {
            // A vhid goes with its last address: one that keeps none is made anew.
            if (before.has_addresses(vhid) && !self.keeps_an_address(&before, vhid))
                || !self.hosts.contains_key(&Some(vhid))
            {
                steps.push(before.take_away(name, vhid, self.at));
            }
        }
        for (key, host) in &self.hosts {
            host.steps_from(before.hosts.get(key), name, *key, &mut steps);
        }
        if let (None, Some(old)) = (self.hosts.get(&None), before.hosts.get(&None)) {
            let nothing = VirtualHost { at: self.at, ..VirtualHost::default() };
            nothing.steps_from(Some(old), name, None, &mut steps);
        }
        self.flag_steps(&before, name, &mut steps);
        self.group_steps(&before, name, &mut steps);
        self.address_steps(&before, name, &mut steps);
        self.down_step(&before, name, &mut steps);
        steps
    }

    fn has_addresses(&self, vhid: u8) -> bool {
        self.addrs.values().any(|ifa| ifa.vhid == Some(vhid))
    }

    fn keeps_an_address(&self, before: &Wanted, vhid: u8) -> bool {
        let mine = self.addrs.iter().filter(|(_, ifa)| ifa.vhid == Some(vhid));
        mine.filter_map(|(addr, _)| before.addrs.get(addr)).any(|ifa| ifa.vhid == Some(vhid))
    }

    /// A vhid leaves with its addresses.
    fn take_away(&mut self, name: IfName, vhid: u8, at: Place) -> Step {
        let mut undo = Vec::new();
        if let Some(host) = self.hosts.remove(&Some(vhid)) {
            undo.push(Act::Ifconfig(name, host.words_from(None, true)));
        }
        let (gone, kept) = self.addrs.iter().partition(|(_, ifa)| ifa.vhid == Some(vhid));
        self.addrs = kept;
        let gone: BTreeMap<IpAddr, Ifa> = gone;
        undo.extend(gone.values().map(|ifa| ifa.add(name, None)));
        Step::new(at, Act::Clear(name, Some(vhid)), undo)
    }

    fn flag_steps(&self, before: &Wanted, name: IfName, steps: &mut Vec<Step>) {
        let all = self.flags.keys().chain(before.flags.keys()).filter(|bits| **bits != Iff::UP.bits());
        for bits in all.collect::<BTreeSet<_>>() {
            let on = |wanted: &Wanted| wanted.flags.get(bits).copied().unwrap_or(false);
            if on(self) != on(before) {
                let flag = Iff::from_bits_retain(*bits);
                let undo = vec![flag_line(name, flag, on(before))];
                steps.push(Step::new(self.at, flag_line(name, flag, on(self)), undo));
            }
        }
        // Its first address brings it up.
        let by_itself = !self.flags.contains_key(&Iff::UP.bits()) && !before.is_told_to_be_down();
        if self.is_up() && !before.is_up() && !by_itself {
            let undo = vec![flag_line(name, Iff::UP, false)];
            steps.push(Step::new(self.at, flag_line(name, Iff::UP, true), undo));
        }
    }

    /// After the addresses, any of which brings it up.
    fn down_step(&self, before: &Wanted, name: IfName, steps: &mut Vec<Step>) {
        if !self.is_up() && (before.is_up() || steps.iter().any(|step| step.comes.is_some())) {
            let undo = if before.is_up() { vec![flag_line(name, Iff::UP, true)] } else { Vec::new() };
            steps.push(Step::new(self.at, flag_line(name, Iff::UP, false), undo));
        }
    }

    fn is_told_to_be_down(&self) -> bool {
        self.flags.get(&Iff::UP.bits()) == Some(&false)
    }

    fn is_up(&self) -> bool {
        self.flags.get(&Iff::UP.bits()).copied().unwrap_or(self.comes_up())
    }

    /// Without being told. Cards are up, whatever they have.
    fn comes_up(&self) -> bool {
        !self.is_carp || !self.addrs.is_empty()
    }

    fn group_steps(&self, before: &Wanted, name: IfName, steps: &mut Vec<Step>) {
        let all: BTreeSet<IfName> = self.groups.keys().chain(before.groups.keys()).copied().collect();
        for group in all {
            // The cloner's own group is where it puts its interfaces.
            let by_default = self.is_carp && group.as_str() == "carp";
            let is_in = |wanted: &Wanted| wanted.groups.get(&group).copied().unwrap_or(by_default);
            let (now, old) = (is_in(self), is_in(before));
            if now != old {
                let line = |is_in| {
                    let mut words = Words::default();
                    words.pair(if is_in { "group" } else { "-group" }, group);
                    Act::Ifconfig(name, words)
                };
                steps.push(Step::new(self.at, line(now), vec![line(old)]));
            }
        }
    }

    /// Those that come are the first: a MASTER without an address is none.
    fn address_steps(&self, before: &Wanted, name: IfName, steps: &mut Vec<Step>) {
        for (addr, ifa) in &self.addrs {
            let old = before.addrs.get(addr);
            let (act, undo) = match old {
                Some(old) if old.is_as(ifa) => continue,
                // It does not change its virtual host: it leaves one for another.
                Some(old) if old.vhid != ifa.vhid => {
                    steps.push(Step::new(ifa.at, old.delete(name), vec![old.add(name, None)]));
                    (ifa.add(name, None), ifa.delete(name))
                }
                Some(old) => (ifa.add(name, Some(old)), old.add(name, Some(ifa))),
                None => (ifa.add(name, None), ifa.delete(name)),
            };
            let comes = Some(*addr).filter(|_| old.is_none());
            let mut undo = vec![undo];
            if comes.is_some() && !before.is_up() {
                undo.push(flag_line(name, Iff::UP, false));
            }
            steps.push(Step { comes, ..Step::new(ifa.at, act, undo) });
        }
        for (addr, ifa) in before.addrs.iter().filter(|(addr, _)| !self.addrs.contains_key(addr)) {
            let step = Step::new(self.at, ifa.delete(name), vec![ifa.add(name, None)]);
            steps.push(Step { goes: Some(*addr), ..step });
        }
    }
}

impl VirtualHost {
    /// By its keyword, what `asked` says and this one does not.
    fn contradicts(&self, asked: &Asked) -> Option<(&'static str, Place)> {
        fn differ<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        let all = [
            ("vhid", differ(self.vhid, asked.vhid)),
            ("advbase", differ(self.advbase, asked.advbase)),
            ("advskew", differ(self.advskew, asked.advskew)),
            ("pass", differ(self.password.as_deref(), asked.password.as_ref())),
            ("state", differ(self.state, asked.state)),
            ("peer", differ(self.peer, asked.peer)),
            ("peer6", differ(self.peer6, asked.peer6)),
            ("carpdev", differ(self.carpdev, asked.carpdev)),
        ];
        let (word, _) = all.into_iter().find(|(_, differs)| *differs)?;
        Some((word, self.places.get(word).copied().unwrap_or(self.at)))
    }

    fn add(&mut self, at: Place, asked: Asked) {
        let all = [
            ("vhid", asked.vhid.is_some()),
            ("advbase", asked.advbase.is_some()),
            ("advskew", asked.advskew.is_some()),
            ("pass", asked.password.is_some()),
            ("state", asked.state.is_some()),
            ("peer", asked.peer.is_some()),
            ("peer6", asked.peer6.is_some()),
            ("carpdev", asked.carpdev.is_some()),
        ];
        for (word, _) in all.into_iter().filter(|(_, is)| *is) {
            self.places.entry(word).or_insert(at);
        }
        self.vhid = asked.vhid.or(self.vhid);
        self.advbase = asked.advbase.or(self.advbase);
        self.advskew = asked.advskew.or(self.advskew);
        self.password = asked.password.map(Arc::new).or(self.password.take());
        self.state = asked.state.or(self.state);
        self.peer = asked.peer.or(self.peer);
        self.peer6 = asked.peer6.or(self.peer6);
        self.carpdev = asked.carpdev.or(self.carpdev);
    }

    /// On a carp interface `key` is `None`.
    fn steps_from(&self, before: Option<&VirtualHost>, name: IfName, key: Option<u8>, steps: &mut Vec<Step>) {
        let had = before.and_then(|before| before.vhid);
        if let (None, Some(vhid)) = (self.vhid, had) {
            let mut back = Words::default();
            back.pair("vhid", vhid);
            steps.push(Step::new(self.at, Act::Clear(name, None), vec![Act::Ifconfig(name, back)]));
        }
        let words = self.words_from(before, key.is_some());
        let nothing = if key.is_some() && before.is_some() { 2 } else { 0 };
        if words.as_slice().len() <= nothing {
            return;
        }
        let mut undo = Vec::new();
        match (before, had) {
            (None, _) if key.is_some() => undo.push(Act::Clear(name, key)),
            (_, had) => {
                let unknown = VirtualHost::default();
                let back = before.unwrap_or(&unknown).words_from(Some(self), key.is_some());
                undo.extend((!back.is_empty()).then_some(Act::Ifconfig(name, back)));
                undo.extend((had.is_none() && self.vhid.is_some()).then_some(Act::Clear(name, None)));
            }
        }
        steps.push(Step::new(self.at, Act::Ifconfig(name, words), undo));
    }

    /// What differs; all that is mentioned where there was nothing before.
    fn words_from(&self, before: Option<&VirtualHost>, named: bool) -> Words {
        let mut words = Words::default();
        let b = before.map(|b| (b.vhid, b.advbase, b.advskew, b.peer, b.peer6, b.carpdev));
        if let Some(vhid) = self.vhid.filter(|_| named || b.is_none_or(|b| b.0 != self.vhid)) {
            words.pair("vhid", vhid);
        }
        if let Some(advbase) = differs(self.advbase, b.map(|b| b.1), 1) {
            words.pair("advbase", advbase);
        }
        if let Some(advskew) = differs(self.advskew, b.map(|b| b.2), 0) {
            words.pair("advskew", advskew);
        }
        if self.password != before.and_then(|b| b.password.clone()) {
            words.push("pass");
            words.push(self.password.as_ref().map(|p| p.word()).unwrap_or_default());
        }
        match differs(self.peer, b.map(|b| b.3), INADDR_CARP_GROUP) {
            Some(INADDR_CARP_GROUP) => words.push("mcast"),
            Some(peer) => words.pair("peer", peer),
            None => {}
        }
        match differs(self.peer6, b.map(|b| b.4), IN6ADDR_CARP_GROUP) {
            Some(IN6ADDR_CARP_GROUP) => words.push("mcast6"),
            Some(peer) => words.pair("peer6", peer),
            None => {}
        }
        match differs(self.carpdev, b.map(|b| b.5), IfName::EMPTY) {
            Some(IfName::EMPTY) => words.push("-carpdev"),
            Some(parent) => words.pair("carpdev", parent),
            None => {}
        }
        if let Some(state) = self.state.filter(|_| before.is_none_or(|b| b.state != self.state)) {
            words.pair("state", state);
        }
        words
    }
}

fn flag_line(name: IfName, flag: Iff, on: bool) -> Act {
    Act::Ifconfig(name, Words::of(flag_word(flag, on).unwrap_or_default()))
}

/// What is to be set.
fn differs<T: Copy + PartialEq>(now: Option<T>, before: Option<Option<T>>, by_default: T) -> Option<T> {
    match before {
        None => now,
        Some(before) => Some(now.unwrap_or(by_default)).filter(|now| *now != before.unwrap_or(by_default)),
    }
}

impl Ifa {
    /// Wherever it stands.
    fn is_as(&self, other: &Ifa) -> bool {
        (self.address, self.vhid) == (other.address, other.vhid)
    }

    /// `before` is what it takes the place of.
    fn add(&self, name: IfName, before: Option<&Ifa>) -> Act {
        let Address { addr, prefixlen, broadcast } = self.address;
        let mut words = self.named();
        words.push(format!("{addr}/{prefixlen}"));
        // What is there keeps its own unless it is told.
        let broadcast = broadcast.or_else(|| before.and(self.usual_broadcast()));
        if let Some(broadcast) = broadcast {
            words.pair("broadcast", broadcast);
        }
        words.push("alias");
        Act::Ifconfig(name, words)
    }

    fn delete(&self, name: IfName) -> Act {
        let mut words = self.named();
        words.push(self.address.addr.to_string());
        words.push("-alias");
        Act::Ifconfig(name, words)
    }

    /// How a line about it begins.
    fn named(&self) -> Words {
        let mut words = Words::default();
        if let Some(vhid) = self.vhid {
            words.pair("vhid", vhid);
        }
        if self.address.addr.is_ipv6() {
            words.push("inet6");
        }
        words
    }

    /// What goes without saying.
    fn usual_broadcast(&self) -> Option<Ipv4Addr> {
        let IpAddr::V4(addr) = self.address.addr else { return None };
        let mask = mask_of_len(self.address.prefixlen.into())?;
        Some(Ipv4Addr::from(u32::from(addr) | !u32::from(mask)))
    }
}
