//! What CARP sends: advertisements, announcements, and other packets of the
//! carp interface.

use crate::header::{CARP_DFLTTL, CarpHeader, Counter};
use crate::kernel::{Cx, Timer};
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State};
use crate::types::{BOW_OUT, Interval, Vhid};
use crate::vhaddr::CarpVhaddr;
use crate::{Ifnet, demote, hmac, ifaddr, state};
use compat::net::ethernet::ETHER_HDR_LEN;
use compat::netinet::in_::IPPROTO_CARP;
use compat::netinet::ip::{IP_DF, IP_HDR_LEN, Ip};
use compat::netinet6::ip6::Ip6;
use compat::qsbr::Netisr;
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use triomphe::Arc;

/// Advertisements from one announcement after a healed split to the other.
const REANNOUNCE_AFTER: u8 = 2;
/// `carp_prio_ad`: advertisements are sent from netisr0 at once, before any
/// other packet; there is no queue to go ahead in.
pub const PRIO_AD: i32 = 1;

/// `carp_send_ad`: one advertisement, and the callout of the next. An
/// interface that is not running bows out instead, and arms nothing.
#[doc(alias = "carp_send_ad")]
pub fn send_ad(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    if !sc.sc_if.is_up_and_running() {
        bow_out(cx, sc);
        return;
    }
    let own = sc.own(cx.n0);
    let advbase = own.advbase.get();
    let advskew = demote::advskew(cx, sc);
    own.advertised.set(advskew);
    advertise(cx, sc, advbase, advskew);
    state::callout_reset(cx, sc, Timer::Ad, Interval::new(advbase.into(), advskew).duration());
    if own.reannounce.get() > 0 && sc.state() == State::Master {
        own.reannounce.set(own.reannounce.get() - 1);
        if own.reannounce.get() == 0 {
            send_arp(cx, sc);
        }
    }
}

/// A MASTER announces its addresses, now and once more two advertisements
/// later; not again before that, however often it is asked. (Upstream leaves
/// the neighbours of a healed split with the loser's MAC in their switches.)
pub fn announce_again(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    let own = sc.own(cx.n0);
    if own.reannounce.get() == 0 {
        own.reannounce.set(REANNOUNCE_AFTER);
        send_arp(cx, sc);
    }
}

/// 255/255: whoever is BACKUP takes over at once. Signed with the addresses
/// and the key as they are, so it is called before they change.
pub fn bow_out(cx: &Cx<'_>, sc: &Arc<CarpSoftc>) {
    if sc.state() == State::Master {
        cx.kern.hush(cx.n0, sc);
    }
    advertise(cx, sc, BOW_OUT, BOW_OUT);
}

/// Builds and sends an advertisement in each family that is in use, and keeps
/// count of failures: one that fails in either family has failed. (Upstream
/// counts packets, so that IPv4's success hides IPv6's failure.)
fn advertise(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, advbase: u8, advskew: u8) {
    let own = sc.own(cx.n0);
    let Some(vhid) = own.vhid.get() else { return };
    let mut sent = None;
    for af in own.families() {
        let header = prepare_ad(cx, sc, vhid, advbase, advskew);
        let packet = ad_packet(cx, sc, af, &header);
        sc.sc_if.stats.opackets.add(1);
        sc.sc_if.stats.obytes.add(packet.len() as u64);
        cx.carp.own(cx.n0).count(|s| match af {
            Af::Inet => s.carps_opackets += 1,
            Af::Inet6 => s.carps_opackets6 += 1,
        });
        let one = cx.kern.ip_output(cx.n0, &sc.sc_if, af, &packet);
        if one.is_err() {
            sc.sc_if.stats.oerrors.add(1);
        }
        sent = Some(sent.unwrap_or(Ok(())).and(one));
    }
    match sent {
        // Who bows out is not there to be suppressed.
        _ if advbase == BOW_OUT && advskew == BOW_OUT => {}
        Some(Ok(())) => demote::sendad_succeeded(cx, sc),
        Some(Err(_)) => demote::sendad_failed(cx, sc),
        None => {}
    }
}

/// The packet around an advertisement. A parent that was chosen by name may
/// have no address to send from.
fn ad_packet(cx: &Cx<'_>, sc: &CarpSoftc, af: Af, header: &CarpHeader) -> Vec<u8> {
    let per = sc.own(cx.n0).af(af);
    let src = per.ia.borrow().as_ref().map(|ia| ia.ifa_addr);
    match (af, src, per.dst.get()) {
        (Af::Inet6, src, IpAddr::V6(dst)) => {
            let src = match src {
                Some(IpAddr::V6(src)) => src,
                _ => Ipv6Addr::UNSPECIFIED,
            };
            let ip6 = Ip6 { plen: 0, nxt: IPPROTO_CARP, hlim: CARP_DFLTTL, src, dst };
            ip6.packet(&header.emit())
        }
        (_, src, dst) => {
            let v4 = |a| match a {
                IpAddr::V4(a) => a,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            let ip = Ip {
                hlen: IP_HDR_LEN,
                tos: cx.carp.own(cx.n0).opts.tos(),
                len: 0,
                id: cx.kern.arc4random(cx.n0) as u16,
                off: IP_DF,
                ttl: CARP_DFLTTL,
                p: IPPROTO_CARP,
                src: src.map_or(Ipv4Addr::UNSPECIFIED, v4),
                dst: v4(dst),
            };
            ip.packet(&header.emit())
        }
    }
}

/// A new MASTER counts from a number that nobody else has. (Upstream goes on
/// from the counter heard last: machines that heard the same one then send the
/// same counters and digests, and nobody can tell them from echoes.)
pub fn new_counter(cx: &Cx<'_>, sc: &CarpSoftc) {
    sc.own(cx.n0).counter.set(Counter(cx.kern.arc4random(cx.n0)));
}

/// `carp_prepare_ad`: the next counter, and its digest.
#[doc(alias = "carp_prepare_ad")]
fn prepare_ad(cx: &Cx<'_>, sc: &CarpSoftc, vhid: Vhid, advbase: u8, advskew: u8) -> CarpHeader {
    let own = sc.own(cx.n0);
    let counter = Counter(own.counter.get().0.wrapping_add(1));
    own.counter.set(counter);
    let md = own.hmac.borrow().generate(counter, cx.carp.own(cx.n0).opts.digest_form());
    let mut lastads = own.lastads.borrow_mut();
    lastads.rotate_right(1);
    lastads[0] = Some((counter, md));
    CarpHeader::new(vhid, advbase, advskew, counter, md)
}

/// `carp_send_ad_all`: every MASTER that has something new to say says it: one
/// whose skew is another than it advertised last. How that fares can change the
/// skews again. (Upstream lets all of them speak, wherever they are in the middle
/// of; with 255 interfaces in trouble that would be 65,025 advertisements.)
#[doc(alias = "carp_send_ad_all")]
pub(crate) fn send_ad_all(cx: &Cx<'_>) {
    while cx.carp.own(cx.n0).unsaid.take() {
        let softcs = cx.carp.softcs(cx.n0);
        softcs.iter().for_each(|sc| demote::review_sendad(cx, sc));
        for sc in &softcs {
            let news = demote::advskew(cx, sc) != sc.own(cx.n0).advertised.get();
            if news && sc.carpdev(cx.n0).is_some() && sc.is_running_master() {
                send_ad(cx, sc);
            }
        }
    }
}

/// `carp_send_arp`, `carp_send_na`: gratuitous ARP or an unsolicited neighbour
/// advertisement for each active virtual address. Not for one that vhids share
/// by `arpbalance`: it would send all clients to this one.
#[doc(alias = "carp_send_arp")]
#[doc(alias = "carp_send_na")]
pub fn send_arp(cx: &Cx<'_>, sc: &CarpSoftc) {
    let balances = cx.carp.own(cx.n0).opts.arpbalance();
    for vha in sc.own(cx.n0).vha_list().iter().filter(|v| v.is_active(cx.n0)) {
        if !(balances && is_shared(cx, sc, vha)) {
            cx.kern.announce(cx.n0, &sc.sc_if, &vha.vha_ia);
        }
    }
}

/// Whether another vhid of the parent has the same address.
fn is_shared(cx: &Cx<'_>, sc: &CarpSoftc, vha: &CarpVhaddr) -> bool {
    let Some(cif) = sc.carpdev(cx.n0).and_then(|ifp| ifp.if_carp.load(cx.n0)) else { return false };
    let others = cif.iter().filter(|scc| scc.scc_softc.sc_if.if_index != sc.sc_if.if_index);
    others.into_iter().any(|scc| find_addr(cx, &scc.scc_softc, vha.addr()))
}

/// `carp_find_addr`: whether `addr` is one of the active virtual addresses.
#[doc(alias = "carp_find_addr")]
fn find_addr(cx: &Cx<'_>, sc: &CarpSoftc, addr: IpAddr) -> bool {
    sc.own(cx.n0).vha_list().iter().any(|v| v.is_active(cx.n0) && v.addr() == addr)
}

/// `carp_output`: whatever leaves by a carp interface leaves by its parent,
/// under the carp interface's MAC. Gives the parent to send on; `ENETUNREACH`
/// without one. On any netisr.
#[doc(alias = "carp_output")]
pub fn output<'n>(
    n: &'n Netisr,
    sc: &'n CarpSoftc,
    payload: usize,
    multicast: bool,
) -> Result<&'n Arc<Ifnet>, Errno> {
    let stats = &sc.sc_if.stats;
    let Some(carpdev) = sc.carpdev(n) else {
        stats.oerrors.add(1);
        return Err(Errno::ENETUNREACH);
    };
    if multicast {
        stats.omcasts.add(1);
    }
    stats.obytes.add((payload + ETHER_HDR_LEN) as u64);
    stats.opackets.add(1);
    Ok(carpdev)
}

/// `carp_iamatch`, `carp_iamatch6`: who of `holders` answers `source` that asks
/// for `target`. They are the carp interfaces of one parent that have that
/// address, ascending by vhid. Only a running MASTER answers, and only if the
/// address is active: one without a backing address on the parent may be active on
/// another machine, which cannot be heard in that family. (Upstream asks for the
/// state alone.)
#[doc(alias = "carp_iamatch")]
#[doc(alias = "carp_iamatch6")]
pub fn iamatch<'a>(
    cx: &Cx<'_>,
    holders: &'a [Arc<CarpSoftc>],
    target: IpAddr,
    source: IpAddr,
) -> Option<&'a Arc<CarpSoftc>> {
    if cx.carp.own(cx.n0).opts.arpbalance() && holders.len() > 1 {
        return iamatch_balance(cx, holders, target, source);
    }
    holders.iter().find(|sc| answers(cx, sc, target))
}

fn answers(cx: &Cx<'_>, sc: &CarpSoftc, target: IpAddr) -> bool {
    sc.is_running_master() && find_addr(cx, sc, target)
}

/// `carp_iamatch_balance`: a keyed hash of the source picks the vhid. All that
/// have the address are counted, running or not, so that all machines count
/// alike. (Upstream's, never compiled, takes the source modulo the number of
/// those that run here.)
#[doc(alias = "carp_iamatch_balance")]
fn iamatch_balance<'a>(
    cx: &Cx<'_>,
    holders: &'a [Arc<CarpSoftc>],
    target: IpAddr,
    source: IpAddr,
) -> Option<&'a Arc<CarpSoftc>> {
    let key = &holders.first()?.own(cx.n0).key;
    let index = hmac::balance(&key.borrow(), target, source, holders.len());
    holders.get(index).filter(|sc| answers(cx, sc, target))
}

/// Bows out of every MASTER, before the machine halts.
pub fn bow_out_all(cx: &Cx<'_>) {
    for sc in cx.carp.softcs(cx.n0) {
        ifaddr::leave_mastership(cx, &sc, Reason::Halted);
    }
}
