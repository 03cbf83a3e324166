//! A carp interface in the host: what it should be, and what was made of it.

use super::link::Link;
use crate::dev::DataPath;
use crate::dev::rtnetlink::{RtNetlink, Rule};
use compat::net::if_var::LlAddr;
use ipnet::IpNet;
use nix::errno::Errno as Linux;
use std::collections::BTreeMap;

/// What a carp interface should be in the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The carp interface's index in the machine: one that comes again has another.
    pub(super) if_index: u16,
    pub(super) lower: u32,
    pub(super) path: DataPath,
    /// None without a vhid: such an interface is down.
    pub(super) lladdr: Option<LlAddr>,
    pub(super) master: bool,
    /// The virtual addresses, and whether what they say has its way out here.
    pub(super) addrs: BTreeMap<IpNet, bool>,
    /// Those that a MASTER would have.
    pub(super) asked: Vec<IpNet>,
    /// Seconds that the addresses live without being renewed.
    pub(super) lifetime: u32,
    /// Why it cannot be served at all.
    pub(super) refused: Option<String>,
}

impl Wanted {
    /// Whether somebody asks for the same, MASTER or not.
    pub(super) fn asks_as(&self, w: &Wanted) -> bool {
        (self.if_index, self.lower, self.path, self.lladdr, &self.asked)
            == (w.if_index, w.lower, w.path, w.lladdr, &w.asked)
    }
}

/// What it is.
pub(super) struct Shown {
    pub(super) if_index: u16,
    pub(super) index: u32,
    pub(super) link: Link,
    pub(super) lower: u32,
    pub(super) lladdr: Option<LlAddr>,
    pub(super) master: bool,
    pub(super) addrs: BTreeMap<IpNet, bool>,
    pub(super) lifetime: u32,
}

impl Shown {
    /// Whether it can become that: it is of the same carp interface, on the same one.
    pub(super) fn is_for(&self, w: &Wanted) -> bool {
        (self.if_index, self.lower) == (w.if_index, w.lower)
    }

    /// Takes an address away, with its way out. Routes and addresses the kernel may
    /// have taken itself, but it never takes a rule.
    pub(super) fn withdraw(&mut self, rt: &mut RtNetlink, net: IpNet) -> nix::Result<()> {
        let gone = ok_if(rt.delete_address(self.index, net), Linux::EADDRNOTAVAIL);
        // Or all of the link is.
        ok_if(gone, Linux::ENODEV)?;
        self.addrs.remove(&net);
        ok_if(rt.delete_rule(self.rule(net)), Linux::ENOENT)?;
        self.drop_route(rt, net)
    }

    /// What an address says leaves by its own interface, from the virtual MAC, or not.
    pub(super) fn route(&mut self, rt: &mut RtNetlink, net: IpNet, is_wanted: bool) -> nix::Result<()> {
        if self.addrs.get(&net).is_none_or(|is| *is == is_wanted) {
            return Ok(());
        }
        if is_wanted {
            ok_if(rt.add_route(self.index, net), Linux::EEXIST)?;
            ok_if(rt.add_rule(self.rule(net)), Linux::EEXIST)?;
            self.addrs.insert(net, true);
            return Ok(());
        }
        ok_if(rt.delete_rule(self.rule(net)), Linux::ENOENT)?;
        self.addrs.insert(net, false);
        self.drop_route(rt, net)
    }

    /// The link is gone, and with it all but this.
    pub(super) fn leave_no_rule(&self, rt: &mut RtNetlink) -> nix::Result<()> {
        let rules = self.addrs.keys().map(|net| self.rule(*net));
        rules.into_iter().try_for_each(|rule| ok_if(rt.delete_rule(rule), Linux::ENOENT))
    }

    fn rule(&self, net: IpNet) -> Rule {
        Rule { from: net.addr(), link: self.index }
    }

    /// Another address may need it still.
    fn drop_route(&self, rt: &mut RtNetlink, net: IpNet) -> nix::Result<()> {
        match self.addrs.iter().any(|(other, routed)| *routed && other.trunc() == net.trunc()) {
            true => Ok(()),
            false => ok_if(ok_if(rt.delete_route(self.index, net), Linux::ESRCH), Linux::ENODEV),
        }
    }
}

/// What was done already is done.
pub(super) fn ok_if(done: nix::Result<()>, harmless: Linux) -> nix::Result<()> {
    match done {
        Err(e) if e == harmless => Ok(()),
        other => other,
    }
}
