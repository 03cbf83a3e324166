//! A carp interface in the host: what it should be, and what was made of it.

use super::link::Link;
use super::ways::Ways;
use crate::dev::DataPath;
use crate::dev::rtnetlink::{RtNetlink, Rule, Way};
use crate::kern::lease;
use compat::net::if_var::LlAddr;
use compat::sys::time::Time;
use ipnet::IpNet;
use nix::errno::Errno as Linux;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
    pub(super) addrs: BTreeSet<IpNet>,
    /// Those of them that the kernel has taken, and something of them is still there.
    pub(super) lost: BTreeSet<IpNet>,
    /// Its rules and routes.
    pub(super) ways: Ways,
    /// Those that the kernel does not take, as has been said.
    pub(super) refused: BTreeSet<(Way, u8)>,
    pub(super) lifetime: u32,
    /// When the oldest of its addresses was given, or renewed.
    pub(super) renewed: Time,
    /// It has IPv6, with its settings.
    pub(super) inet6: bool,
}

impl Shown {
    /// Just made, and down. By index: of the carp interface in the machine, of the link
    /// in the host, and of the link below.
    pub(super) fn new((if_index, index, lower): (u16, u32, u32), link: Link) -> Shown {
        Shown {
            if_index,
            index,
            link,
            lower,
            lladdr: None,
            master: false,
            addrs: BTreeSet::new(),
            lost: BTreeSet::new(),
            ways: Ways::default(),
            refused: BTreeSet::new(),
            lifetime: 0,
            renewed: Time::default(),
            inet6: false,
        }
    }

    /// Whether it can become that: it is of the same carp interface, on the same one.
    pub(super) fn is_for(&self, w: &Wanted) -> bool {
        (self.if_index, self.lower) == (w.if_index, w.lower)
    }

    /// Four times in the life of its addresses.
    pub(super) fn next_renewal(&self) -> Time {
        self.renewed + self.life() / 4
    }

    /// Whether it is renewed when others are: not long after that it would be alone.
    pub(super) fn may_renew(&self, now: Time) -> bool {
        self.renewed + self.life() / 8 <= now
    }

    /// When they are surely gone if nobody renews them.
    pub(super) fn gone_by(&self) -> Time {
        self.renewed + lease::gone_after(self.lifetime)
    }

    fn life(&self) -> Duration {
        Duration::from_secs(self.lifetime.into())
    }

    /// Takes an address away, with its rules. Routes and addresses the kernel may have
    /// taken itself, but it never takes a rule.
    pub(super) fn withdraw(&mut self, rt: &mut RtNetlink, net: IpNet) -> nix::Result<()> {
        let gone = ok_if(rt.delete_address(self.index, net), Linux::EADDRNOTAVAIL);
        // Or all of the link is, or all of its IPv6.
        let gone = ok_if(ok_if(gone, Linux::ENODEV), Linux::ENXIO);
        let unruled = self.leave_no_rule(rt, |rule| rule.from == net.addr());
        gone.and(unruled)?;
        self.addrs.remove(&net);
        self.lost.remove(&net);
        Ok(())
    }

    /// Without these rules.
    pub(super) fn leave_no_rule(
        &mut self,
        rt: &mut RtNetlink,
        which: impl Fn(&Rule) -> bool,
    ) -> nix::Result<()> {
        let rules: Vec<Rule> = self.ways.rules.iter().copied().filter(which).collect();
        rules.into_iter().rev().try_for_each(|rule| self.unlead(rt, rule))
    }
}

/// What was done already is done.
pub(super) fn ok_if(done: nix::Result<()>, harmless: Linux) -> nix::Result<()> {
    match done {
        Err(e) if e == harmless => Ok(()),
        other => other,
    }
}
