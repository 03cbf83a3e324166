//! Rules and tables of routes for what a carp interface's own addresses say. The
//! main table is left alone: the host's other addresses answer as they did.

use super::{RtNetlink, addr_family};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use std::net::IpAddr;

/// Who has made a rule or a route: CARP, by its number among the protocols.
const RTPROT: RouteProtocol = RouteProtocol::Other(compat::netinet::in_::IPPROTO_CARP);
/// The tables of links begin here, each with its index: above all that people number
/// by hand.
const TABLES: u32 = 0x6361_0000;
/// After what an administrator says of the address, before the main table.
const PRIORITY: u32 = 32_000;

/// What is said from an address goes by the table of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) from: IpAddr,
    /// The link's index.
    pub(crate) link: u32,
}

impl RtNetlink {
    /// `ip route add PREFIX dev LINK table LINK'S`
    pub(crate) fn add_route(&mut self, link: u32, net: IpNet) -> nix::Result<()> {
        self.ask(Route::NewRoute(route_message(link, net)), NLM_F_CREATE).map(drop)
    }

    /// `ip route del PREFIX dev LINK table LINK'S`
    pub(crate) fn delete_route(&mut self, link: u32, net: IpNet) -> nix::Result<()> {
        self.ask(Route::DelRoute(route_message(link, net)), 0).map(drop)
    }

    /// `ip rule add from ADDRESS lookup LINK'S`
    pub(crate) fn add_rule(&mut self, rule: Rule) -> nix::Result<()> {
        self.ask(Route::NewRule(rule_message(rule)), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// `ip rule del from ADDRESS lookup LINK'S`
    pub(crate) fn delete_rule(&mut self, rule: Rule) -> nix::Result<()> {
        self.ask(Route::DelRule(rule_message(rule)), 0).map(drop)
    }

    /// All of them.
    pub(crate) fn rules(&mut self) -> nix::Result<Vec<Rule>> {
        let answers = self.ask(Route::GetRule(RuleMessage::default()), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(rule).collect())
    }
}

fn rule_message(rule: Rule) -> RuleMessage {
    let mut m = RuleMessage::default();
    m.header = RuleHeader {
        family: addr_family(rule.from),
        src_len: if rule.from.is_ipv4() { 32 } else { 128 },
        action: RuleAction::ToTable,
        ..RuleHeader::default()
    };
    m.attributes = vec![
        RuleAttribute::Source(rule.from),
        RuleAttribute::Table(TABLES + rule.link),
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::Protocol(RTPROT),
    ];
    m
}

fn rule(answer: Route) -> Option<Rule> {
    let Route::NewRule(m) = answer else { return None };
    let (mut from, mut link, mut ours) = (None, None, false);
    for attribute in m.attributes {
        match attribute {
            RuleAttribute::Source(addr) => from = Some(addr),
            RuleAttribute::Table(table) => link = table.checked_sub(TABLES),
            RuleAttribute::Protocol(by) => ours = by == RTPROT,
            _ => {}
        }
    }
    ours.then_some(Rule { from: from?, link: link? })
}

fn route_message(link: u32, net: IpNet) -> RouteMessage {
    let mut m = RouteMessage::default();
    let net = net.trunc();
    m.header = RouteHeader {
        address_family: addr_family(net.addr()),
        destination_prefix_length: net.prefix_len(),
        protocol: RTPROT,
        scope: if net.addr().is_ipv4() { RouteScope::Link } else { RouteScope::Universe },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let to = match net.addr() {
        IpAddr::V4(a) => RouteAddress::Inet(a),
        IpAddr::V6(a) => RouteAddress::Inet6(a),
    };
    m.attributes = vec![
        RouteAttribute::Destination(to),
        RouteAttribute::Oif(link),
        RouteAttribute::Table(TABLES + link),
    ];
    m
}
