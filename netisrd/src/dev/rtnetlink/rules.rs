//! Rules for what a carp interface's own addresses say. The main table is left alone:
//! the host's other addresses answer as they did.

use super::{RtNetlink, addr_family};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::route::{RouteHeader, RouteProtocol};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use std::net::IpAddr;

/// Who has made a rule or a route: CARP, by its number among the protocols.
pub(super) const RTPROT: RouteProtocol = RouteProtocol::Other(compat::netinet::in_::IPPROTO_CARP);
/// After what an administrator says of the address, before the main table.
const PRIORITY: u32 = 32_000;
/// A link has a table for each length of a prefix, in the first byte, from this one on:
/// above all that people number by hand.
const TABLES: u32 = 0x6361_0000;

/// The table with a link's routes to prefixes of that length.
pub(super) fn table(link: u32, len: u8) -> u32 {
    TABLES.wrapping_add(u32::from(len) << 24).wrapping_add(link)
}

/// Whose table, and of which length.
pub(super) fn of_table(table: u32) -> Option<(u32, u8)> {
    let (len, link) = ((table >> 24).checked_sub(TABLES >> 24)?, table & 0xff_ffff);
    Some((link.checked_sub(TABLES & 0xff_ffff)?, u8::try_from(len).ok().filter(|len| *len <= 128)?))
}

/// What is said from an address goes by a table, if that knows a way.
///
/// The longest prefix wins, whichever table it is in: for each length that a link has
/// routes of, the main table is asked for a longer one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) from: IpAddr,
    pub(crate) by: By,
}

/// In the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// `lookup LINK'S`, for prefixes of that length.
    Link { index: u32, len: u8 },
    /// `lookup main suppress_prefixlength LEN`
    Main { longer: u8 },
}

impl Rule {
    /// The link whose rule it is, if it tells.
    pub(crate) fn link(&self) -> Option<u32> {
        match self.by {
            By::Link { index, .. } => Some(index),
            By::Main { .. } => None,
        }
    }

    fn priority(&self) -> u32 {
        let max: u8 = if self.from.is_ipv4() { 32 } else { 128 };
        let (len, after) = match self.by {
            By::Main { longer } => (longer, 0),
            By::Link { len, .. } => (len, 1),
        };
        PRIORITY + 2 * u32::from(max.saturating_sub(len)) + after
    }
}

impl RtNetlink {
    /// `ip rule add from ADDRESS lookup TABLE`
    pub(crate) fn add_rule(&mut self, rule: Rule) -> nix::Result<()> {
        self.ask(Route::NewRule(rule_message(rule)), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// `ip rule del from ADDRESS lookup TABLE`
    pub(crate) fn delete_rule(&mut self, rule: Rule) -> nix::Result<()> {
        self.ask(Route::DelRule(rule_message(rule)), 0).map(drop)
    }

    /// All of CARP's.
    pub(crate) fn rules(&mut self) -> nix::Result<Vec<Rule>> {
        let answers = self.dump(&Route::GetRule(RuleMessage::default()))?;
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
        RuleAttribute::Priority(rule.priority()),
        RuleAttribute::Protocol(RTPROT),
    ];
    m.attributes.extend(match rule.by {
        By::Link { index, len } => vec![RuleAttribute::Table(table(index, len))],
        By::Main { longer } => vec![
            RuleAttribute::Table(RouteHeader::RT_TABLE_MAIN.into()),
            RuleAttribute::SuppressPrefixLen(longer.into()),
        ],
    });
    m
}

fn rule(answer: Route) -> Option<Rule> {
    let Route::NewRule(m) = answer else { return None };
    let (mut from, mut table, mut longer, mut ours) = (None, None, None, false);
    for attribute in m.attributes {
        match attribute {
            RuleAttribute::Source(addr) => from = Some(addr),
            RuleAttribute::Table(id) => table = Some(id),
            RuleAttribute::SuppressPrefixLen(len) => longer = u8::try_from(len).ok(),
            RuleAttribute::Protocol(by) => ours = by == RTPROT,
            _ => {}
        }
    }
    let by = match (table.filter(|_| ours)?, longer) {
        (main, Some(longer)) if main == u32::from(RouteHeader::RT_TABLE_MAIN) => By::Main { longer },
        (table, _) => of_table(table).map(|(index, len)| By::Link { index, len })?,
    };
    Some(Rule { from: from?, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_links_and_of_one_length() {
        for (link, len) in [(1, 0), (2, 24), (0x9e_ffff, 128)] {
            assert_eq!(of_table(table(link, len)), Some((link, len)));
        }
        assert_eq!(table(7, 0), 1_667_301_383);
        for other in [254, 51_820, 0x6260_0001, 0x6360_ffff, 0xff61_0001] {
            assert_eq!(of_table(other), None, "{other:x}");
        }
    }
}
