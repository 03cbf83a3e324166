//! The ways that packets from a virtual address go: as the main table says, but where
//! that leaves by the parent, by the carp interface, and so from the virtual MAC.
//!
//! ```text
//!   main table                       what 192.168.1.1 says
//!   default via 192.168.1.254 eth0   default via 192.168.1.254 carp0
//!   192.168.1.0/24            eth0   192.168.1.0/24            carp0
//!   192.168.1.64/26           tun0   192.168.1.64/26           tun0
//! ```

use super::Mirror;
use super::looker::Found;
use super::shown::{Shown, ok_if};
use crate::dev::rtnetlink::{By, RtNetlink, Rule, Way};
use ipnet::IpNet;
use nix::errno::Errno as Linux;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Of what no table of the host's has given one.
const METRIC: u32 = 1;

/// Of one carp interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) rules: BTreeSet<Rule>,
    /// Each with the length of its table.
    pub(super) routes: BTreeSet<(Way, u8)>,
}

impl Ways {
    /// Of a link with these addresses, on a parent with those ways.
    pub(super) fn of(link: u32, nets: &[IpNet], parents: &[Way]) -> Ways {
        let mut ways = Ways::default();
        for net in nets {
            let alike = |way: &&Way| way.to.addr().is_ipv4() == net.addr().is_ipv4();
            let prefix = Way { via: None, to: net.trunc(), metric: METRIC };
            let has_own = net.prefix_len() < net.max_prefix_len()
                && !parents.iter().any(|way| way.via.is_none() && way.to == prefix.to);
            for way in parents.iter().filter(alike).chain(has_own.then_some(&prefix)) {
                let len = way.to.prefix_len();
                ways.routes.insert((*way, len));
                ways.routes.extend(router(way).map(|router| (router, len)));
                ways.rules.insert(Rule { from: net.addr(), by: By::Link { index: link, len } });
                ways.rules.insert(Rule { from: net.addr(), by: By::Main { longer: len } });
            }
        }
        ways
    }
}

/// The ways that the main table has by a link.
pub(super) fn of_link(parents: &BTreeMap<u32, Vec<Way>>, link: u32) -> &[Way] {
    parents.get(&link).map(Vec::as_slice).unwrap_or_default()
}

/// IPv6 asks the table itself whether a router is on the link.
fn router(way: &Way) -> Option<Way> {
    match way.via {
        Some(IpAddr::V6(via)) if !via.is_unicast_link_local() => {
            Some(Way { via: None, to: IpNet::from(IpAddr::V6(via)), metric: METRIC })
        }
        _ => None,
    }
}

impl Shown {
    /// Makes its rules and routes what they should be. What of the parent's ways the
    /// kernel does not take is said once, and goes as the main table says.
    pub(super) fn lead(&mut self, rt: &mut RtNetlink, name: &str, wanted: &Ways) -> nix::Result<()> {
        let gone: Vec<Rule> = self.ways.rules.difference(&wanted.rules).copied().collect();
        for rule in gone.into_iter().rev() {
            self.unlead(rt, rule)?;
        }
        let gone: Vec<_> = self.ways.routes.difference(&wanted.routes).copied().collect();
        for (way, len) in gone.into_iter().rev() {
            ok_if(ok_if(rt.delete_way(self.index, len, way), Linux::ESRCH), Linux::ENODEV)?;
            self.ways.routes.remove(&(way, len));
        }
        self.refused.retain(|way| wanted.routes.contains(way));
        let new: Vec<_> = wanted.routes.difference(&self.ways.routes).copied().collect();
        for (way, len) in new {
            match ok_if(rt.add_way(self.index, len, way), Linux::EEXIST) {
                Ok(()) => drop(self.ways.routes.insert((way, len))),
                Err(e) if way.metric == METRIC && way.via.is_none() => return Err(e),
                Err(e) if self.refused.insert((way, len)) => {
                    tracing::warn!("{name}: what it says to {} leaves by its parent: {}", way.to, e.desc());
                }
                Err(_) => {}
            }
        }
        let new: Vec<Rule> = wanted.rules.difference(&self.ways.rules).copied().collect();
        for rule in new {
            ok_if(rt.add_rule(rule), Linux::EEXIST)?;
            self.ways.rules.insert(rule);
        }
        Ok(())
    }

    /// Without that rule.
    pub(super) fn unlead(&mut self, rt: &mut RtNetlink, rule: Rule) -> nix::Result<()> {
        ok_if(rt.delete_rule(rule), Linux::ENOENT)?;
        self.ways.rules.remove(&rule);
        Ok(())
    }
}

impl Mirror {
    /// What was found is what there is.
    pub(super) fn know(&mut self, found: Found) {
        let Found { parents, rules, routes } = found;
        self.parents = parents;
        for is in self.shown.values_mut() {
            let has = |from: IpAddr| is.addrs.iter().any(|net| net.addr() == from);
            let is_its = |rule: &&Rule| rule.link().map_or_else(|| has(rule.from), |link| link == is.index);
            is.ways.rules = rules.iter().filter(is_its).copied().collect();
            let its = routes.iter().filter(|(link, ..)| *link == is.index);
            is.ways.routes = its.map(|(_, len, way)| (*way, *len)).collect();
        }
    }

    /// Takes away the rules of links that are no more.
    pub(super) fn forget_rules(rt: &mut RtNetlink, is_there: impl Fn(u32) -> bool) -> nix::Result<()> {
        let rules = rt.rules()?;
        let live = rules.iter().filter(|rule| rule.link().is_some_and(&is_there));
        let live: BTreeSet<IpAddr> = live.map(|rule| rule.from).collect();
        let is_left = |rule: &&Rule| rule.link().map_or(!live.contains(&rule.from), |link| !is_there(link));
        rules.iter().filter(is_left).try_for_each(|rule| ok_if(rt.delete_rule(*rule), Linux::ENOENT))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn way(to: &str, via: Option<&str>, metric: u32) -> Way {
        Way { via: via.map(|via| via.parse().unwrap()), to: to.parse().unwrap(), metric }
    }

    #[test]
    fn each_length_has_a_table_and_the_main_one_is_asked_for_longer_ones_before() {
        let parents = [way("0.0.0.0/0", Some("10.0.0.254"), 100), way("10.0.0.0/24", None, 0)];
        let vip: IpNet = "10.0.0.1/32".parse().unwrap();
        let ways = Ways::of(7, &[vip], &parents);
        assert_eq!(ways.routes, BTreeSet::from([(parents[1], 24), (parents[0], 0)]));
        let rule = |by| Rule { from: vip.addr(), by };
        let by = |len| [By::Link { index: 7, len }, By::Main { longer: len }].map(rule);
        assert_eq!(ways.rules, [by(0), by(24)].into_iter().flatten().collect());
        // Its own prefix is a way where the parent has none, and once.
        let own = |net: &str| Ways::of(7, &[net.parse().unwrap()], &parents).routes;
        assert_eq!(own("10.0.0.1/24"), ways.routes);
        assert_eq!(own("10.0.0.1/25").difference(&ways.routes).count(), 1);
    }

    #[test]
    fn a_router_of_ipv6_is_on_the_link() {
        let vip: IpNet = "2001:db8::1/128".parse().unwrap();
        let near = way("::/0", Some("fe80::1"), 1024);
        assert_eq!(Ways::of(7, &[vip], &[near]).routes, BTreeSet::from([(near, 0)]));
        let far = way("::/0", Some("2001:db8::fe"), 1024);
        let router = way("2001:db8::fe/128", None, METRIC);
        assert_eq!(Ways::of(7, &[vip], &[far]).routes, BTreeSet::from([(router, 0), (far, 0)]));
        let other: IpNet = "10.0.0.1/32".parse().unwrap();
        assert_eq!(Ways::of(7, &[other], &[far]), Ways::default());
    }
}
