//! Routes of the host: those of the main table that leave by a link, and those in
//! another link's own tables. What a routing daemon has made is not looked at: there may
//! be a million of them, and they may change all the time.

use super::rules::{RTPROT, of_table, table};
use super::{RtNetlink, RtWatch, addr_family};
use crate::dev::packet::{JEQ, LD_B, LD_H, RET, jump, op};
use crate::dev::sys;
use ipnet::IpNet;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno as Linux;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who makes the routes that are followed. The kernel is asked for each alone, so that
/// nothing of a routing daemon's leaves it.
const FOLLOWED: [RouteProtocol; 5] = [
    RouteProtocol::Kernel,
    RouteProtocol::Boot,
    RouteProtocol::Static,
    RouteProtocol::Ra,
    RouteProtocol::Dhcp,
];

/// A way that packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    /// By a router. Those without one come first: a router is found by them.
    pub(crate) via: Option<IpAddr>,
    pub(crate) to: IpNet,
    /// The lowest goes before others to the same.
    pub(crate) metric: u32,
}

impl RtNetlink {
    /// What the main table says of links: what the kernel has made, an administrator,
    /// DHCP and routers' advertisements. Of a route by several links, nothing.
    pub(crate) fn ways(&mut self) -> nix::Result<Vec<(u32, Way)>> {
        let mut ways = Vec::new();
        let families = [AddressFamily::Inet, AddressFamily::Inet6];
        for (family, by) in families.into_iter().flat_map(|family| FOLLOWED.map(|by| (family, by))) {
            let mut m = RouteMessage::default();
            (m.header.address_family, m.header.table) = (family, RouteHeader::RT_TABLE_MAIN);
            m.header.protocol = by;
            match self.dump(&Route::GetRoute(m)) {
                // No route was ever made there.
                Err(Linux::ENOENT) => {}
                answers => ways.extend(answers?.into_iter().filter_map(|m| followed(m, family))),
            }
        }
        Ok(ways)
    }

    /// What is in the tables of links, each with the link and the table's length.
    pub(crate) fn own_ways(&mut self) -> nix::Result<Vec<(u32, u8, Way)>> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut m = RouteMessage::default();
            (m.header.address_family, m.header.protocol) = (family, RTPROT);
            let answers = self.dump(&Route::GetRoute(m))?;
            all.extend(answers.into_iter().filter_map(|m| own(m, family)));
        }
        Ok(all)
    }

    /// `ip route add PREFIX [via ROUTER onlink] dev LINK table LINK'S`
    pub(crate) fn add_way(&mut self, link: u32, len: u8, way: Way) -> nix::Result<()> {
        self.ask(Route::NewRoute(message(link, len, way)), NLM_F_CREATE).map(drop)
    }

    /// `ip route del PREFIX dev LINK table LINK'S`
    pub(crate) fn delete_way(&mut self, link: u32, len: u8, way: Way) -> nix::Result<()> {
        self.ask(Route::DelRoute(message(link, len, way)), 0).map(drop)
    }
}

fn message(link: u32, len: u8, way: Way) -> RouteMessage {
    let mut m = RouteMessage::default();
    let is_ipv4 = way.to.addr().is_ipv4();
    m.header = RouteHeader {
        address_family: addr_family(way.to.addr()),
        destination_prefix_length: way.to.prefix_len(),
        protocol: RTPROT,
        scope: if is_ipv4 && way.via.is_none() { RouteScope::Link } else { RouteScope::Universe },
        kind: RouteType::Unicast,
        // The router is on the link, whatever other tables say of it.
        flags: if is_ipv4 && way.via.is_some() { RouteFlags::Onlink } else { RouteFlags::empty() },
        ..RouteHeader::default()
    };
    m.attributes = vec![
        RouteAttribute::Destination(way.to.addr().into()),
        RouteAttribute::Oif(link),
        RouteAttribute::Table(table(link, len)),
        RouteAttribute::Priority(way.metric),
    ];
    m.attributes.extend(way.via.map(|via| RouteAttribute::Gateway(via.into())));
    m
}

/// Of the main table, and one that is followed.
fn followed(answer: Route, family: AddressFamily) -> Option<(u32, Way)> {
    let Route::NewRoute(m) = answer else { return None };
    let by = FOLLOWED.contains(&m.header.protocol);
    let lives = !m.header.flags.intersects(RouteFlags::Dead | RouteFlags::Cloned);
    let is_main = m.header.table == RouteHeader::RT_TABLE_MAIN;
    let (link, way) = way(&m, family)?;
    let is_local = matches!(way.to.addr(), IpAddr::V6(a) if a.is_unicast_link_local());
    (by && lives && is_main && !is_local).then_some((link, way))
}

fn own(answer: Route, family: AddressFamily) -> Option<(u32, u8, Way)> {
    let Route::NewRoute(m) = answer else { return None };
    let table = m.attributes.iter().find_map(|a| match a {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    })?;
    let (_, len) = of_table(table).filter(|_| m.header.protocol == RTPROT)?;
    let (link, way) = way(&m, family)?;
    (of_table(table)?.0 == link).then_some((link, len, way))
}

/// By which link, and where to; nothing of what does not depend on the destination alone.
fn way(m: &RouteMessage, family: AddressFamily) -> Option<(u32, Way)> {
    let is_plain = m.header.kind == RouteType::Unicast
        && m.header.address_family == family
        && (m.header.tos, m.header.source_prefix_length) == (0, 0);
    let mut to = match family {
        AddressFamily::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let (mut link, mut via, mut metric) = (None, None, 0);
    for attribute in &m.attributes {
        match attribute {
            RouteAttribute::Destination(addr) => to = ip(addr)?,
            RouteAttribute::Gateway(addr) => via = Some(ip(addr)?),
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Priority(is) => metric = *is,
            // A router of another family, or what is put around the packet.
            RouteAttribute::Via(_) | RouteAttribute::Encap(_) | RouteAttribute::MultiPath(_) => return None,
            _ => {}
        }
    }
    let to = IpNet::new(to, m.header.destination_prefix_length).ok().filter(|_| is_plain)?;
    Some((link?, Way { via, to, metric }))
}

fn ip(addr: &RouteAddress) -> Option<IpAddr> {
    match addr {
        RouteAddress::Inet(a) => Some((*a).into()),
        RouteAddress::Inet6(a) => Some((*a).into()),
        _ => None,
    }
}

/// Where a message has its kind, and a route's its table and who has made it.
const KIND: u32 = 4;
const TABLE: u32 = 20;
const PROTOCOL: u32 = 21;
/// As `linux/rtnetlink.h` has them.
const RTPROT_RA: u32 = 9;
const RTPROT_DHCP: u32 = 16;

/// What [`ways`](RtNetlink::ways) may tell, and what is CARP's own; all that is
/// told of other things than routes.
const TOLD: [libc::sock_filter; 17] = [
    op(LD_H, KIND),
    jump(JEQ, libc::RTM_NEWROUTE.to_be() as u32, 1, 0),
    jump(JEQ, libc::RTM_DELROUTE.to_be() as u32, 0, 12),
    op(LD_B, TABLE),
    jump(JEQ, libc::RT_TABLE_COMPAT as u32, 8, 0),
    jump(JEQ, RouteHeader::RT_TABLE_MAIN as u32, 0, 10),
    op(LD_B, PROTOCOL),
    jump(JEQ, libc::RTPROT_UNSPEC as u32, 7, 0),
    jump(JEQ, libc::RTPROT_KERNEL as u32, 6, 0),
    jump(JEQ, libc::RTPROT_BOOT as u32, 5, 0),
    jump(JEQ, libc::RTPROT_STATIC as u32, 4, 0),
    jump(JEQ, RTPROT_RA, 3, 0),
    jump(JEQ, RTPROT_DHCP, 2, 3),
    op(LD_B, PROTOCOL),
    jump(JEQ, compat::netinet::in_::IPPROTO_CARP as u32, 0, 1),
    op(RET, u32::MAX),
    op(RET, 0),
];

/// The group of IPv6's rules, which has no name of its own.
const RTMGRP_IPV6_RULE: i32 = 1 << (libc::RTNLGRP_IPV6_RULE - 1);

impl RtWatch {
    /// Of links, addresses and rules, and of the routes that are looked at here. Others
    /// wake nobody.
    pub(crate) fn of_all() -> nix::Result<RtWatch> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let routes = libc::RTMGRP_IPV4_ROUTE | libc::RTMGRP_IPV6_ROUTE;
        let watch = RtWatch::of(groups | routes | libc::RTMGRP_IPV4_RULE | RTMGRP_IPV6_RULE)?;
        sys::attach_filter(watch.fd(), &TOLD)?;
        Ok(watch)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dev::testns::{PATIENCE, in_namespace, ip};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::time::Instant;

    #[test]
    fn a_routing_daemons_routes_are_none_and_wake_nobody() {
        let name = "a_routing_daemons_routes_are_none_and_wake_nobody";
        in_namespace(module_path!(), name, || {
            ip("link add v0 type veth peer name v1");
            let (mut rt, watch) = (RtNetlink::new().unwrap(), RtWatch::of_all().unwrap());
            for v in ["v1", "v0"] {
                // An address of its own would be told of when nobody else has turned out to
                // have it, a second from now.
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{v}/disable_ipv6"), "1");
                ip(&format!("link set {v} up"));
            }
            ip("addr add 10.0.0.1/24 dev v0");
            // And so is a link of its state.
            let until = Instant::now() + PATIENCE;
            while !["v0", "v1"].iter().all(|v| rt.link_by_name(v).unwrap().passes_frames()) {
                assert!(watch.wait(until).unwrap());
            }
            let link = rt.link_by_name("v0").unwrap().index;
            let is_told = || {
                let told =
                    poll(&mut [PollFd::new(watch.fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap();
                watch.drain().unwrap();
                told > 0
            };
            // Of the beginning.
            is_told();
            for (words, told) in [
                ("route add 10.1.0.0/16 via 10.0.0.2 proto bird", false),
                ("route add 10.2.0.0/16 via 10.0.0.2 proto bgp", false),
                ("route add 10.3.0.0/16 via 10.0.0.2 table 7", false),
                ("route add 10.4.0.0/16 via 10.0.0.2 table 1000 proto static", false),
                ("route add 10.5.0.0/16 via 10.0.0.2 proto dhcp", true),
                ("route add 10.6.0.0/16 via 10.0.0.2 proto ra metric 9", true),
                ("route add 10.7.0.0/16 dev v0 table 1000 proto 112", true),
                ("rule add from 10.0.0.9 lookup 7", true),
                ("route del 10.5.0.0/16", true),
                ("route del 10.1.0.0/16", false),
            ] {
                ip(words);
                assert_eq!(is_told(), told, "{words}");
            }
            let via = |via: &str| Some(via.parse().unwrap());
            let mut ways = rt.ways().unwrap();
            ways.retain(|(by, way)| *by == link && way.to.addr().is_ipv4());
            ways.sort();
            let own = Way { via: None, to: "10.0.0.0/24".parse().unwrap(), metric: 0 };
            let ra = Way { via: via("10.0.0.2"), to: "10.6.0.0/16".parse().unwrap(), metric: 9 };
            assert_eq!(ways, [(link, own), (link, ra)]);
            rt.add_way(link, 16, ra).unwrap();
            rt.add_way(link, 24, own).unwrap();
            assert_eq!(rt.own_ways().unwrap(), [(link, 24, own), (link, 16, ra)]);
            rt.delete_way(link, 24, own).unwrap();
            rt.delete_way(link, 16, ra).unwrap();
            assert_eq!(rt.own_ways().unwrap(), []);
        });
    }
}
