//! Who says where an address is, and whether it may: only a MASTER, and only under
//! its virtual MAC. Whoever becomes MASTER says it of each of its addresses.

use super::{Rule, Verdict, wrong};
use crate::machine::Machine;
use crate::netinet::if_ether::Arp;
use compat::net::ethernet::{ETHER_HDR_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_::IFT_CARP;
use compat::net::if_var::LlAddr;
use compat::netinet6::icmp6::Nd;
use compat::netinet6::in6::IPPROTO_ICMPV6;
use compat::netinet6::ip6::Ip6;
use compat::qsbr::Netisr0;
use compat::sys::mbuf::LinkCast;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// That an address is at a MAC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Says {
    pub(super) addr: IpAddr,
    mac: LlAddr,
    /// Whom the frame is from.
    shost: LlAddr,
    /// It is said to everybody.
    pub(super) announces: bool,
}

impl Says {
    /// An ARP reply, a gratuitous ARP, or a neighbour advertisement.
    pub(super) fn parse(frame: &[u8]) -> Option<Says> {
        let eh = EtherHeader::parse(frame)?;
        let packet = frame.get(ETHER_HDR_LEN..)?;
        match eh.ether_type {
            ETHERTYPE_ARP => {
                let arp = Arp::parse(packet)?;
                let announces = arp.spa == arp.tpa;
                let (addr, mac, shost) = (arp.spa.into(), arp.sha, eh.shost);
                (announces || arp.op == 2).then_some(Says { addr, mac, shost, announces })
            }
            ETHERTYPE_IPV6 => {
                let ip6 = Ip6::parse(packet).ok().filter(|ip6| ip6.nxt == IPPROTO_ICMPV6)?;
                let Nd::Advert { target, lladdr, .. } = Nd::parse(&ip6, ip6.payload(packet))? else {
                    return None;
                };
                let announces = eh.cast() != LinkCast::Unicast;
                let (addr, mac, shost) = (target.into(), lladdr?, eh.shost);
                Some(Says { addr, mac, shost, announces })
            }
            _ => None,
        }
    }
}

/// The machine's own addresses.
pub(super) fn own(m: &Machine, n0: &Netisr0) -> BTreeSet<IpAddr> {
    let all = m.own(n0).ifaddrs.borrow();
    all.iter().filter(|ia| ia.ifa_ifp.if_type != IFT_CARP).map(|ia| ia.ifa_addr).collect()
}

/// Whether the machine may say that by the card of that name. The vhids in `left`
/// have taken their leave as MASTER in the same step, before which it had the
/// addresses `had`.
pub(super) fn check(
    m: &Machine,
    n0: &Netisr0,
    card: &str,
    says: &Says,
    (left, had): (&[u8], &BTreeSet<IpAddr>),
) -> Verdict {
    if had.contains(&says.addr) || own(m, n0).contains(&says.addr) {
        return Ok(());
    }
    let softcs = m.carp.own(n0).carpif_list.borrow();
    let may = softcs.iter().any(|sc| {
        let has = sc.own(n0).vha_list().iter().any(|v| v.addr() == says.addr && v.is_active(n0));
        let vhid = sc.own(n0).vhid.get().map_or(0, |vhid| vhid.get());
        let is_virtual = says.mac == [0, 0, 0x5e, 0, 1, vhid] && says.shost == says.mac;
        // That one takes its leave of a peer is no advertisement to everybody.
        let left = left.contains(&vhid) || sc.is_unicast();
        let is_or_was = sc.is_running_master() || (says.announces && left);
        let here = sc.carpdev(n0).is_some_and(|p| p.if_xname.as_str() == card);
        has && here && is_virtual && is_or_was
    });
    match may {
        true => Ok(()),
        false => wrong(Rule::Answers, format!("{card} says {says:?}")),
    }
}

/// Whether all that have just become MASTER, by index, have announced all their
/// addresses.
pub(super) fn announced(
    m: &Machine,
    n0: &Netisr0,
    is_new: impl Fn(u16) -> bool,
    said: impl Fn(IpAddr) -> bool,
) -> Verdict {
    if m.carp.own(n0).opts.arpbalance() {
        return Ok(());
    }
    let softcs = m.carp.own(n0).carpif_list.borrow();
    for sc in softcs.iter().filter(|sc| sc.is_running_master() && is_new(sc.sc_if.if_index)) {
        let list = sc.own(n0).vha_list();
        if let Some(silent) = list.iter().find(|v| v.is_active(n0) && !said(v.addr())) {
            let text = format!("{} is MASTER now, and does not say where {} is", sc.xname(), silent.addr());
            return wrong(Rule::Answers, text);
        }
    }
    Ok(())
}
