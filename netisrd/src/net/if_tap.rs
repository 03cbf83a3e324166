//! The tap path: frames between a card and the host's side of a carp interface,
//! on the netisr that has read them.
//!
//! ```text
//!   card --> ether_input --> if_carp: whose virtual MAC --> MASTER --> the host
//!   card <-- carp_output <-- sc_carpdev <-- MASTER <-- the host
//! ```
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
use libcarp::input::{self, Claim};
use libcarp::{CarpSoftc, Ifnet, output};

/// A frame that came to that interface: to a card from the wire, to a carp
/// interface from the host.
pub fn input(cx: Ctx<'_>, if_index: u16, offloaded: &[u8]) -> Fate {
    let frame = offloaded.get(VNET_HDR_LEN..).unwrap_or_default();
    let done = match cx.m.ifentry(cx.n, if_index) {
        None => Err(Fate::NoInterface),
        Some(IfEntry { ifp, softc: Softc::Nic(_), .. }) => from_wire(cx, ifp, frame, offloaded),
        Some(IfEntry { softc: Softc::Carp(sc), .. }) => from_host(cx, sc, frame, offloaded),
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
        let masters = cif.iter().map(|scc| &scc.scc_softc).filter(|sc| sc.is_running_master());
        let fates = masters.map(|sc| to_host(cx, &sc.sc_if, &eh, frame, offloaded));
        // Whoever took it decides, if anybody did.
        let taken = fates.reduce(|all, one| if all == Ok(Fate::ToHost) { all } else { one });
        return taken.unwrap_or(Err(Fate::NotForUs));
    }
    received(ifp, &eh, frame);
    match input::input(cif, &eh, frame) {
        Claim::ToCarp(cifp) => to_host(cx, cifp, &eh, frame, offloaded),
        _ => {
            ifp.stats.iqdrops.add(1);
            Err(Fate::NotForUs)
        }
    }
}

/// `ether_reinput_oncpu`
fn to_host(
    cx: Ctx<'_>,
    cifp: &Ifnet,
    eh: &EtherHeader,
    frame: &[u8],
    offloaded: &[u8],
) -> Result<Fate, Fate> {
    received(cifp, eh, frame);
    let host = cx.m.ifentry(cx.n, cifp.if_index).and_then(|e| e.host.as_ref());
    let queue = netisr::queue_of(cx, cifp.if_index);
    match host.ok_or(Errno::ENXIO).and_then(|host| host.transmit_offloaded(queue, offloaded)) {
        Ok(()) => Ok(Fate::ToHost),
        Err(_) => {
            cifp.stats.iqdrops.add(1);
            Err(Fate::Refused)
        }
    }
}

/// `carp_output`. Whoever is not MASTER says nothing: the switches would send the
/// MASTER's frames here.
fn from_host(cx: Ctx<'_>, sc: &CarpSoftc, frame: &[u8], offloaded: &[u8]) -> Result<Fate, Fate> {
    if !sc.is_running_master() {
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
