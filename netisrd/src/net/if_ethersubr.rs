//! `net/if_ethersubr.c`: frames in and out.

use crate::dev::Transmit;
use crate::machine::{Ctx, Mbuf};
use crate::net::fate::Fate;
use crate::net::if_::{IfEntry, Softc};
use compat::net::ethernet::{ETHER_HDR_LEN, ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_::Iff;
use compat::net::if_var::LlAddr;
use compat::netinet::in_::IPPROTO_CARP;
use compat::netinet6::icmp6::{ND_NEIGHBOR_ADVERT, ND_NEIGHBOR_SOLICIT};
use compat::netinet6::in6::{IPPROTO_HOPOPTS, IPPROTO_ICMPV6};
use compat::netinet6::ip6::IP6_HDR_LEN;
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
    /// Neighbour and listener discovery, in netisr0.
    Nd6,
    /// IPv4 or IPv6 of protocol 112, in netisr0.
    Carp,
    /// `NETISR_IP`, by hash.
    Ip,
    /// `NETISR_IPV6`, by hash.
    Ip6,
}

/// `ether_input_oncpu` and `ether_demux_oncpu`: whose frame it is, and for
/// which handler. `if_carp` is loaded once, into `cif`, and only that local is
/// used. A frame that goes no further has met its [`Fate`].
pub fn ether_input(cx: Ctx<'_>, if_index: u16, frame: &[u8]) -> Result<(Isr, Mbuf), Fate> {
    let ifp = &cx.m.ifentry(cx.n, if_index).ok_or(Fate::NoInterface)?.ifp;
    let eh = header(ifp, frame)?;
    received(ifp, &eh, frame);
    if ifp.flags().contains(Iff::MONITOR) {
        return Err(Fate::Monitored);
    }

    let cif = ifp.if_carp.load(cx.n);
    let claim = cif.map_or(Claim::NotCarp, |cif| input::input(cif, &eh, frame));
    let (rcvif, carp) = match claim {
        Claim::ToCarp(cifp) => (cifp, false),
        Claim::Advertisement(cifp) => (cifp, true),
        Claim::NotCarp => (ifp, false),
        Claim::OtherVhid => {
            cx.m.other_vhid.add(1);
            return Err(Fate::OtherVhid);
        }
    };
    if !Arc::ptr_eq(rcvif, ifp) {
        received(rcvif, &eh, frame);
    }
    let cast = eh.cast();
    // A peer's advertisement comes to the parent's own MAC.
    let to_us = eh.dhost == rcvif.lladdr() || (carp && eh.dhost == ifp.lladdr());
    if cast == LinkCast::Unicast && !to_us {
        // Promiscuous mode brought it here; it is somebody else's.
        rcvif.stats.iqdrops.add(1);
        return Err(Fate::NotForUs);
    }
    let proto_carp = is_proto_carp(&eh, frame);
    if !carp && cast != LinkCast::Unicast && proto_carp {
        // Nobody here has joined the group: CARP or VRRP of others.
        cx.m.other_vhid.add(1);
        return Err(Fate::OtherVhid);
    }
    let isr = match eh.ether_type {
        ETHERTYPE_ARP => Isr::Arp,
        ETHERTYPE_IP | ETHERTYPE_IPV6 if carp || proto_carp => Isr::Carp,
        ETHERTYPE_IP => Isr::Ip,
        ETHERTYPE_IPV6 if is_nd6(frame) => Isr::Nd6,
        ETHERTYPE_IPV6 => Isr::Ip6,
        _ => {
            rcvif.stats.noproto.add(1);
            return Err(Fate::NoProto);
        }
    };
    Ok((isr, Mbuf { data: frame.to_vec(), rcvif: rcvif.clone(), cast }))
}

/// What every frame of an interface must be, and the interface for it.
pub(super) fn header(ifp: &Ifnet, frame: &[u8]) -> Result<EtherHeader, Fate> {
    let Some(eh) = EtherHeader::parse(frame) else {
        ifp.stats.ierrors.add(1);
        return Err(Fate::Short);
    };
    if !ifp.is_up_and_running() {
        ifp.stats.iqdrops.add(1);
        return Err(Fate::Stopped);
    }
    Ok(eh)
}

fn is_proto_carp(eh: &EtherHeader, frame: &[u8]) -> bool {
    let at = match eh.ether_type {
        ETHERTYPE_IP => 9,
        ETHERTYPE_IPV6 => 6,
        _ => return false,
    };
    frame.get(ETHER_HDR_LEN + at) == Some(&IPPROTO_CARP)
}

/// Neighbour messages, and what has hop-by-hop options: only listener queries
/// do that we take.
fn is_nd6(frame: &[u8]) -> bool {
    let packet = frame.get(ETHER_HDR_LEN..).unwrap_or(&[]);
    match packet.get(6) {
        Some(&IPPROTO_HOPOPTS) => true,
        Some(&IPPROTO_ICMPV6) => {
            matches!(packet.get(IP6_HDR_LEN), Some(&(ND_NEIGHBOR_SOLICIT | ND_NEIGHBOR_ADVERT)))
        }
        _ => false,
    }
}

pub(super) fn received(ifp: &Ifnet, eh: &EtherHeader, frame: &[u8]) {
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
    transmit_by(cx, ifp, frame, |tx, queue| tx.transmit(queue, frame))
}

/// The same, however the device is given the frame.
pub(super) fn transmit_by(
    cx: Ctx<'_>,
    ifp: &Ifnet,
    frame: &[u8],
    send: impl FnOnce(&dyn Transmit, usize) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let sent = match cx.m.ifentry(cx.n, ifp.if_index) {
        _ if !ifp.flags().contains(Iff::UP | Iff::RUNNING) => Err(Errno::ENETDOWN),
        Some(IfEntry { softc: Softc::Nic(tx), .. }) => send(&**tx, cx.n.cpuid()),
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
