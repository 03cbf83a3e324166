//! What CARP sends: advertisements, announcements, and other packets of the
//! carp interface.

use crate::header::{CARP_DFLTTL, CarpHeader, Counter};
use crate::kernel::{Cx, Timer};
use crate::softc::{CarpSoftc, State};
use crate::types::{BOW_OUT, Interval, Vhid};
use crate::{Ifnet, ifaddr, state};
use compat::net::ethernet::ETHER_HDR_LEN;
use compat::netinet::in_::{INADDR_CARP_GROUP, IPPROTO_CARP};
use compat::netinet::ip::{IP_DF, IP_HDR_LEN, IPTOS_LOWDELAY, Ip};
use compat::qsbr::Netisr;
use compat::sys::errno::Errno;
use core::net::Ipv4Addr;
use triomphe::Arc;

/// `CARP_SENDAD_MAX_ERRORS`: failures in a row that suppress preemption.
const SENDAD_MAX_ERRORS: u32 = 3;
/// `CARP_SENDAD_MIN_SUCCESS`: successes after them that end it.
const SENDAD_MIN_SUCCESS: u32 = 3;
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
    let advskew = cx.carp.own(cx.n0).demoted_advskew(own.advskew.get());
    // Armed first: sending can suppress preemption, which makes everyone,
    // this interface too, advertise anew with the higher skew.
    let next = Interval::new(advbase.into(), advskew).duration();
    state::callout_reset(cx, sc, Timer::Ad, next);
    advertise(cx, sc, advbase, advskew);
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
    advertise(cx, sc, BOW_OUT, BOW_OUT);
}

/// Builds and sends one advertisement, and keeps count of failures.
fn advertise(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, advbase: u8, advskew: u8) {
    let own = sc.own(cx.n0);
    let src = own.ia.borrow().as_ref().map(|ia| ia.addr(cx.n0));
    let (Some(vhid), Some(src)) = (own.vhid.get(), src) else { return };
    let header = prepare_ad(cx, sc, vhid, advbase, advskew);
    let packet = ad_packet(src, cx.kern.arc4random(cx.n0) as u16, &header);

    sc.sc_if.stats.opackets.add(1);
    sc.sc_if.stats.obytes.add(packet.len() as u64);
    cx.carp.own(cx.n0).count(|s| s.carps_opackets += 1);
    match cx.kern.ip_output(cx.n0, &sc.sc_if, &packet) {
        Ok(()) => sendad_succeeded(cx, sc),
        Err(_) => sendad_failed(cx, sc),
    }
}

/// The IPv4 packet around an advertisement.
fn ad_packet(src: Ipv4Addr, id: u16, header: &CarpHeader) -> Vec<u8> {
    let ip = Ip {
        hlen: IP_HDR_LEN,
        tos: IPTOS_LOWDELAY,
        len: 0,
        id,
        off: IP_DF,
        ttl: CARP_DFLTTL,
        p: IPPROTO_CARP,
        src,
        dst: INADDR_CARP_GROUP,
    };
    ip.packet(&header.emit())
}

/// `carp_prepare_ad`: the next counter, random until somebody was heard, and
/// its digest.
#[doc(alias = "carp_prepare_ad")]
fn prepare_ad(cx: &Cx<'_>, sc: &CarpSoftc, vhid: Vhid, advbase: u8, advskew: u8) -> CarpHeader {
    let own = sc.own(cx.n0);
    let counter = if own.init_counter.get() {
        Counter(cx.kern.arc4random(cx.n0))
    } else {
        Counter(own.counter.get().0.wrapping_add(1))
    };
    own.counter.set(counter);
    let md = own.hmac.borrow().generate(counter);
    let mut lastads = own.lastads.get();
    lastads.rotate_right(1);
    lastads[0] = Some((counter, md));
    own.lastads.set(lastads);
    CarpHeader::new(vhid, advbase, advskew, counter, md)
}

fn sendad_failed(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    sc.sc_if.stats.oerrors.add(1);
    own.sendad_errors.set(own.sendad_errors.get().saturating_add(1));
    own.sendad_success.set(0);
    if own.sendad_errors.get() == SENDAD_MAX_ERRORS {
        suppress(cx);
    }
}

fn sendad_succeeded(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    if own.sendad_errors.get() < SENDAD_MAX_ERRORS {
        own.sendad_errors.set(0);
        return;
    }
    own.sendad_success.set(own.sendad_success.get() + 1);
    if own.sendad_success.get() >= SENDAD_MIN_SUCCESS {
        forgive_sendad_errors(cx, sc);
    }
}

/// One more reason not to preempt; the first makes every MASTER say so.
fn suppress(cx: &Cx<'_>) {
    let s = &cx.carp.own(cx.n0).suppress_preempt;
    s.set(s.get() + 1);
    if s.get() == 1 {
        send_ad_all(cx);
    }
}

/// Takes back what the failures of `sc` suppressed, if they did.
pub fn forgive_sendad_errors(cx: &Cx<'_>, sc: &CarpSoftc) {
    let own = sc.own(cx.n0);
    if own.sendad_errors.get() >= SENDAD_MAX_ERRORS {
        let s = &cx.carp.own(cx.n0).suppress_preempt;
        s.set(s.get() - 1);
    }
    own.sendad_errors.set(0);
    own.sendad_success.set(0);
}

/// `carp_send_ad_all`
#[doc(alias = "carp_send_ad_all")]
pub fn send_ad_all(cx: &Cx<'_>) {
    for sc in cx.carp.softcs(cx.n0) {
        if sc.carpdev(cx.n0).is_some() && sc.is_running_master() {
            send_ad(cx, &sc);
        }
    }
}

/// `carp_send_arp`: gratuitous ARP for each active virtual address.
#[doc(alias = "carp_send_arp")]
pub fn send_arp(cx: &Cx<'_>, sc: &CarpSoftc) {
    for vha in sc.own(cx.n0).vha_list().iter().filter(|v| v.is_active(cx.n0)) {
        cx.kern.arp_gratuitous(cx.n0, &sc.sc_if, &vha.vha_ia);
    }
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

/// `carp_iamatch`: whether `sc` answers for its virtual addresses.
#[doc(alias = "carp_iamatch")]
pub fn iamatch(sc: &CarpSoftc) -> bool {
    sc.is_running_master()
}

/// Bows out of every MASTER, before the machine halts.
pub fn bow_out_all(cx: &Cx<'_>) {
    for sc in cx.carp.softcs(cx.n0) {
        ifaddr::leave_mastership(cx, &sc);
    }
}
