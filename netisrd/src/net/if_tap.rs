//! The tap path: frames between a card and the host's side of a carp interface,
//! on the netisr that has read them.
//!
//! ```text
//!   card --> ether_input --> if_carp: whose virtual MAC --> carrier --> the host
//!   card <-- carp_output <-- sc_carpdev <-- MASTER <------------------- the host
//! ```
//!
//! The host's side has a carrier while its addresses are those of a MASTER: netisr0
//! gives and takes it in the transition. What has come before that is still given
//! to the host, and nothing of the host's goes out after it.
//!
//! No frame is copied or kept here: it goes from one queue's buffer into a system
//! call. It is behind its `virtio_net_hdr`, and may be 64 kilobytes of one segment
//! after the other.

use crate::dev::VNET_HDR_LEN;
use crate::machine::Ctx;
use crate::net::fate::Fate;
use crate::net::if_::{IfEntry, Softc};
use crate::net::if_ethersubr::{header, received, transmit_by};
use crate::net::netisr;
use compat::net::ethernet::{ETHER_HDR_LEN, EtherHeader};
use compat::net::if_::Iff;
use compat::sys::errno::Errno;
use compat::sys::mbuf::LinkCast;
use libcarp::input;
use libcarp::{CarpSoftc, Ifnet, output};

/// A frame that came to that interface: to a card from the wire, to a carp
/// interface from the host.
pub fn input(cx: Ctx<'_>, if_index: u16, offloaded: &[u8]) -> Fate {
    let frame = offloaded.get(VNET_HDR_LEN..).unwrap_or_default();
    let done = match cx.m.ifentry(cx.n, if_index) {
        None => Err(Fate::NoInterface),
        Some(IfEntry { ifp, softc: Softc::Nic(_), .. }) => from_wire(cx, ifp, frame, offloaded),
        Some(IfEntry { softc: Softc::Carp(sc), host, .. }) => {
            let is_heard = host.as_ref().is_none_or(|host| !host.is_hushed());
            from_host(cx, sc, is_heard, frame, offloaded)
        }
    };
    done.unwrap_or_else(|fate| fate)
}

/// `carp_input`, with the host behind the carp interfaces. What is sent to a group
/// goes to each that is MASTER; the card has counted it with what CARP's protocols
/// hear of it.
fn from_wire(cx: Ctx<'_>, ifp: &Ifnet, frame: &[u8], offloaded: &[u8]) -> Result<Fate, Fate> {
    let eh = header(ifp, frame)?;
    if ifp.flags().contains(Iff::MONITOR) {
        return Err(Fate::Monitored);
    }
    let cif = ifp.if_carp.load(cx.n).ok_or(Fate::NotForUs)?;
    if eh.cast() != LinkCast::Unicast {
        let fates = cif.iter().map(|scc| to_host(cx, &scc.scc_softc.sc_if, &eh, frame, offloaded));
        // Whoever took it decides, if anybody did, then whoever should have.
        let rank = |fate: &Result<Fate, Fate>| match fate {
            Ok(_) => 2,
            Err(Fate::NotForUs) => 0,
            Err(_) => 1,
        };
        return fates.max_by_key(rank).unwrap_or(Err(Fate::NotForUs));
    }
    received(ifp, &eh, frame);
    let done = match input::owner(cif, &eh) {
        Some(sc) => to_host(cx, &sc.sc_if, &eh, frame, offloaded),
        None => Err(Fate::NotForUs),
    };
    if done == Err(Fate::NotForUs) {
        ifp.stats.iqdrops.add(1);
    }
    done
}

/// `ether_reinput_oncpu`
fn to_host(
    cx: Ctx<'_>,
    cifp: &Ifnet,
    eh: &EtherHeader,
    frame: &[u8],
    offloaded: &[u8],
) -> Result<Fate, Fate> {
    let host = cx.m.ifentry(cx.n, cifp.if_index).and_then(|e| e.host.as_ref());
    let Some(host) = host.filter(|host| host.has_carrier()) else { return Err(Fate::NotForUs) };
    received(cifp, eh, frame);
    match host.transmit_offloaded(cx.n.cpuid(), offloaded) {
        Ok(()) => Ok(Fate::ToHost),
        Err(_) => {
            cifp.stats.iqdrops.add(1);
            Err(Fate::Refused)
        }
    }
}

/// Before a MASTER's host loses its carrier: what waits for any netisr is given to
/// it, as if it were still MASTER, and who is in the middle of a frame ends it.
pub fn last_frames(cx: Ctx<'_>, sc: &CarpSoftc) {
    let Some(parent) = sc.carpdev(cx.n) else { return };
    let Some(IfEntry { softc: Softc::Nic(tx), .. }) = cx.m.ifentry(cx.n, parent.if_index) else { return };
    if let Some(offload) = tx.offload() {
        offload.drain(&mut |frame| netisr::input_offloaded(cx, parent.if_index, frame));
    }
}

/// Before a MASTER bows out: what its host has said is sent by then, and nothing more
/// will be. A frame behind the bow-out could come after the first one of whoever takes
/// over.
pub fn hush(cx: Ctx<'_>, sc: &CarpSoftc) {
    if let Some(host) = cx.m.ifentry(cx.n, sc.sc_if.if_index).and_then(|e| e.host.as_ref()) {
        host.hush();
    }
}

/// `carp_output`. Whoever is not MASTER says nothing: the switches would send the
/// MASTER's frames here.
fn from_host(
    cx: Ctx<'_>,
    sc: &CarpSoftc,
    is_heard: bool,
    frame: &[u8],
    offloaded: &[u8],
) -> Result<Fate, Fate> {
    if !is_heard || !sc.is_running_master() {
        sc.sc_if.stats.oerrors.add(1);
        return Err(Fate::NotMaster);
    }
    let multicast = frame.first().is_some_and(|b| b & 1 != 0);
    let payload = frame.len().saturating_sub(ETHER_HDR_LEN);
    let sent = output::output(cx.n, sc, payload, multicast).and_then(|parent| {
        transmit_by(cx, parent, frame, |tx, queue| {
            tx.offload().ok_or(Errno::EOPNOTSUPP)?.transmit_offloaded(queue, offloaded)
        })
    });
    sent.map(|()| Fate::FromHost).map_err(|_| Fate::Refused)
}

#[cfg(test)]
#[path = "if_tap_tests.rs"]
mod tests;
