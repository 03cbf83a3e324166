//! `netinet6/mld6.c`: listener discovery, MLDv2 (RFC 3810). A switch that
//! snoops sends ff02::12 and the solicited-node groups only to ports that have
//! reported them.

use crate::machine::{Ctx, Ctx0};
use crate::net::if_::{IfEntry, Softc};
use crate::net::ifaddr;
use crate::netinet6::ip6_output;
use compat::net::if_::Iff;
use compat::netinet6::icmp6::{
    CHANGE_TO_EXCLUDE_MODE, CHANGE_TO_INCLUDE_MODE, ICMP6_MINLEN, MLD_LISTENER_QUERY, MODE_IS_EXCLUDE,
    mld_report,
};
use compat::netinet6::in6::{
    IN6ADDR_LINKLOCAL_ALLNODES, IN6ADDR_LINKLOCAL_ALLV2ROUTERS, IPPROTO_HOPOPTS, IPPROTO_ICMPV6,
};
use compat::netinet6::ip6::{Ip6, in6_cksum};
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, Ipv6Addr};
use libcarp::Ifnet;
use std::collections::{BTreeMap, BTreeSet};
use triomphe::Arc;

/// What listener reports said last.
#[derive(Default)]
pub struct Reported {
    /// Something was joined or left, or a carp interface has moved, since.
    pub stale: Cell<bool>,
    /// The groups of each real interface, by its index.
    groups: RefCell<BTreeMap<u16, BTreeSet<Ipv6Addr>>>,
}

/// A router alert (RFC 2711) for listener discovery, and padding.
const ROUTER_ALERT: [u8; 8] = [IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0];

/// Reports what has been joined and left since the last time.
pub fn report_changes(cx: &Ctx0<'_>) {
    let mld = &cx.m.own(cx.n0).mld;
    if !mld.stale.take() {
        return;
    }
    for e in cx.m.if_entries(cx.n0).iter().filter(|e| is_reporting(e)) {
        let now = groups_on(cx, &e.ifp);
        let before = mld.groups.borrow_mut().insert(e.ifp.if_index, now.clone()).unwrap_or_default();
        let joined = now.difference(&before).map(|g| (CHANGE_TO_EXCLUDE_MODE, *g));
        let left = before.difference(&now).map(|g| (CHANGE_TO_INCLUDE_MODE, *g));
        report(cx, &e.ifp, &joined.chain(left).collect::<Vec<_>>());
    }
    let here: BTreeSet<u16> = cx.m.if_entries(cx.n0).iter().map(|e| e.ifp.if_index).collect();
    mld.groups.borrow_mut().retain(|index, _| here.contains(index));
}

fn is_reporting(e: &IfEntry) -> bool {
    matches!(e.softc, Softc::Nic(_)) && e.ifp.flags().contains(Iff::UP | Iff::RUNNING)
}

/// The groups of `ifp` and of the carp interfaces on it. All nodes are in
/// theirs without a word.
fn groups_on(cx: &Ctx0<'_>, ifp: &Arc<Ifnet>) -> BTreeSet<Ipv6Addr> {
    let mut all = BTreeSet::new();
    let mut take = |ifp: &Ifnet| {
        for (group, _) in ifp.own(cx.n0).if_multiaddrs.borrow().iter() {
            if let IpAddr::V6(g) = group
                && *g != IN6ADDR_LINKLOCAL_ALLNODES
            {
                all.insert(*g);
            }
        }
    };
    take(ifp);
    if let Some(cif) = ifp.if_carp.load(cx.n0) {
        cif.iter().for_each(|scc| take(&scc.scc_softc.sc_if));
    }
    all
}

/// A general query, or one for a group of ours, is answered with what is
/// joined. At once: there are few of us on a link.
pub fn input(cx: &Ctx0<'_>, rcvif: &Arc<Ifnet>, ip6: &Ip6, packet: &[u8]) {
    let payload = ip6.payload(packet);
    let Some((&[nxt, len], _)) = payload.split_first_chunk() else { return };
    let icmp6 = payload.get(8 * (usize::from(len) + 1)..).unwrap_or(&[]);
    let sum_ok = icmp6.len() >= ICMP6_MINLEN + 16 && in6_cksum(ip6.src, ip6.dst, IPPROTO_ICMPV6, icmp6) == 0;
    let local = ip6.hlim == 1 && ip6.src.is_unicast_link_local();
    if nxt != IPPROTO_ICMPV6 || !sum_ok || !local || icmp6[0] != MLD_LISTENER_QUERY {
        return cx.m.ip6stat.noproto.add(1);
    }
    cx.m.ip6stat.delivered.add(1);
    let mut group = [0; 16];
    group.copy_from_slice(&icmp6[8..24]);
    let asked = Ipv6Addr::from(group);
    let mine = groups_on(cx, rcvif).into_iter().filter(|g| asked.is_unspecified() || *g == asked);
    report(cx, rcvif, &mine.map(|g| (MODE_IS_EXCLUDE, g)).collect::<Vec<_>>());
}

/// Groups in one report: as many as fit in a frame.
const RECORDS: usize = 60;

fn report(cx: &Ctx0<'_>, ifp: &Arc<Ifnet>, groups: &[(u8, Ipv6Addr)]) {
    let src = ifaddr::linklocal_of(cx.m, cx.n0, ifp).unwrap_or(Ipv6Addr::UNSPECIFIED);
    let dst = IN6ADDR_LINKLOCAL_ALLV2ROUTERS;
    for some in groups.chunks(RECORDS) {
        let mut payload = ROUTER_ALERT.to_vec();
        payload.extend_from_slice(&mld_report(src, dst, some));
        let ip6 = Ip6 { plen: 0, nxt: IPPROTO_HOPOPTS, hlim: 1, src, dst };
        let any: Ctx<'_> = cx.any();
        if let Err(e) = ip6_output::ip6_multicast(any, ifp, &ip6, &payload) {
            tracing::debug!("{}: listener report: {e}", ifp.if_xname);
        }
    }
}
