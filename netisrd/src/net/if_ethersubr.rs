//! `net/if_ethersubr.c`: frames in and out.

use crate::machine::{Ctx, Mbuf};
use crate::net::if_::{IfEntry, Softc};
use crate::net::netisr;
use compat::net::ethernet::{ETHER_HDR_LEN, ETHERTYPE_ARP, ETHERTYPE_IP, EtherHeader};
use compat::net::if_::Iff;
use compat::net::if_var::LlAddr;
use compat::netinet::in_::IPPROTO_CARP;
use compat::sys::errno::Errno;
use compat::sys::mbuf::LinkCast;
use libcarp::input::{self, Claim};
use libcarp::{Ifnet, output};
use triomphe::Arc;

/// `NETISR_*`: which handler a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isr {
    /// `NETISR_ARP`, in netisr0.
    Arp,
    /// IPv4 of protocol 112, in netisr0.
    Carp,
    /// `NETISR_IP`, by hash.
    Ip,
}

/// `ether_input_oncpu` and `ether_demux_oncpu`: whose frame it is, and for
/// which handler. `if_carp` is loaded once, into `cif`, and only that local is
/// used.
pub fn ether_input(cx: Ctx<'_>, if_index: u16, frame: &[u8]) -> Option<(Isr, Mbuf)> {
    let ifp = &cx.m.ifentry(cx.n, if_index)?.ifp;
    let Some(eh) = EtherHeader::parse(frame) else {
        ifp.stats.ierrors.add(1);
        return None;
    };
    if !ifp.is_up_and_running() {
        ifp.stats.iqdrops.add(1);
        return None;
    }
    received(ifp, &eh, frame);
    if ifp.flags().contains(Iff::MONITOR) {
        return None;
    }

    let cif = ifp.if_carp.load(cx.n);
    let claim = cif.map_or(Claim::NotCarp, |cif| input::input(cif, &eh, frame));
    let (rcvif, carp) = match claim {
        Claim::ToCarp(cifp) => (cifp, false),
        Claim::Advertisement(cifp) => (cifp, true),
        Claim::NotCarp => (ifp, false),
        Claim::OtherVhid => {
            cx.m.other_vhid.add(1);
            return None;
        }
    };
    if !Arc::ptr_eq(rcvif, ifp) {
        received(rcvif, &eh, frame);
    }
    let cast = eh.cast();
    if cast == LinkCast::Unicast && eh.dhost != rcvif.lladdr() {
        // Promiscuous mode brought it here; it is somebody else's.
        rcvif.stats.iqdrops.add(1);
        return None;
    }
    if !carp && cast != LinkCast::Unicast && eh.ether_type == ETHERTYPE_IP && is_proto_carp(frame) {
        // Nobody here has joined the group: CARP or VRRP of others.
        cx.m.other_vhid.add(1);
        return None;
    }
    let isr = match eh.ether_type {
        ETHERTYPE_ARP => Isr::Arp,
        ETHERTYPE_IP if carp || is_proto_carp(frame) => Isr::Carp,
        ETHERTYPE_IP => Isr::Ip,
        _ => {
            rcvif.stats.noproto.add(1);
            return None;
        }
    };
    Some((isr, Mbuf { data: frame.to_vec(), rcvif: rcvif.clone(), cast }))
}

fn is_proto_carp(frame: &[u8]) -> bool {
    frame.get(ETHER_HDR_LEN + 9) == Some(&IPPROTO_CARP)
}

fn received(ifp: &Ifnet, eh: &EtherHeader, frame: &[u8]) {
    ifp.stats.ipackets.add(1);
    ifp.stats.ibytes.add(frame.len() as u64);
    if eh.cast() != LinkCast::Unicast {
        ifp.stats.imcasts.add(1);
    }
}

/// `ifp->if_output`: a frame to `dhost`, from the MAC of `ifp`; a carp
/// interface's leaves by its parent. `ENETDOWN` for an interface that is not
/// up, `ENETUNREACH` for a carp interface without a parent, else what the
/// device says.
pub fn ether_output(
    cx: Ctx<'_>,
    ifp: &Arc<Ifnet>,
    dhost: LlAddr,
    ether_type: u16,
    payload: &[u8],
) -> Result<(), Errno> {
    let eh = EtherHeader { dhost, shost: ifp.lladdr(), ether_type };
    let multicast = eh.cast() != LinkCast::Unicast;
    match cx.m.ifentry(cx.n, ifp.if_index) {
        Some(IfEntry { softc: Softc::Carp(sc), .. }) => {
            let parent = output::output(cx.n, sc, payload.len(), multicast)?;
            transmit(cx, parent, &eh.frame(payload))
        }
        Some(IfEntry { softc: Softc::Nic(_), .. }) => transmit(cx, ifp, &eh.frame(payload)),
        None => Err(Errno::ENXIO),
    }
}

/// The device's part.
fn transmit(cx: Ctx<'_>, ifp: &Ifnet, frame: &[u8]) -> Result<(), Errno> {
    let sent = match cx.m.ifentry(cx.n, ifp.if_index) {
        _ if !ifp.flags().contains(Iff::UP | Iff::RUNNING) => Err(Errno::ENETDOWN),
        Some(IfEntry { softc: Softc::Nic(tx), .. }) => tx.transmit(netisr::queue_of(cx, ifp.if_index), frame),
        _ => Err(Errno::ENXIO),
    };
    match sent {
        Ok(()) => {
            ifp.stats.opackets.add(1);
            ifp.stats.obytes.add(frame.len() as u64);
            if frame.first().is_some_and(|b| b & 1 != 0) {
                ifp.stats.omcasts.add(1);
            }
        }
        Err(_) => ifp.stats.oerrors.add(1),
    }
    sent
}
