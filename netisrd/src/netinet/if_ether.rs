//! `netinet/if_ether.c`: ARP. netisr0 answers and learns.

use crate::machine::{Ctx, Ctx0, Mbuf};
use crate::net::if_ethersubr::ether_output;
use crate::net::if_llatbl::{self, Concern};
use compat::net::ethernet::{ETHER_BROADCAST, ETHER_HDR_LEN, ETHERTYPE_ARP};
use compat::net::if_::Iff;
use compat::net::if_var::LlAddr;
use compat::sys::errno::Errno;
use core::net::Ipv4Addr;
use libcarp::Ifnet;
use triomphe::Arc;

/// Bytes of an ARP packet for IPv4 on Ethernet.
const ARP_LEN: usize = 28;
/// `ARPOP_REQUEST`
const ARPOP_REQUEST: u16 = 1;
/// `ARPOP_REPLY`
const ARPOP_REPLY: u16 = 2;
/// `struct arphdr` and its addresses, but the target's MAC, which nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// `ar_op`
    pub op: u16,
    /// `ar_sha`
    pub sha: LlAddr,
    /// `ar_spa`
    pub spa: Ipv4Addr,
    /// `ar_tpa`
    pub tpa: Ipv4Addr,
}

impl Arp {
    /// Reads a packet for IPv4 on Ethernet; `None` for any other.
    pub fn parse(data: &[u8]) -> Option<Arp> {
        let p: &[u8; ARP_LEN] = data.first_chunk()?;
        if p[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        Some(Arp {
            op: u16::from_be_bytes([p[6], p[7]]),
            sha: [p[8], p[9], p[10], p[11], p[12], p[13]],
            spa: Ipv4Addr::new(p[14], p[15], p[16], p[17]),
            tpa: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }

    /// The packet, with the target's MAC.
    pub fn emit(&self, tha: LlAddr) -> [u8; ARP_LEN] {
        let mut p = [0; ARP_LEN];
        p[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        p[6..8].copy_from_slice(&self.op.to_be_bytes());
        p[8..14].copy_from_slice(&self.sha);
        p[14..18].copy_from_slice(&self.spa.octets());
        p[18..24].copy_from_slice(&tha);
        p[24..28].copy_from_slice(&self.tpa.octets());
        p
    }
}

/// `arprequest`
pub fn arprequest(cx: Ctx<'_>, ifp: &Arc<Ifnet>, spa: Ipv4Addr, tpa: Ipv4Addr) -> Result<(), Errno> {
    let arp = Arp { op: ARPOP_REQUEST, sha: ifp.lladdr(), spa, tpa };
    ether_output(cx, ifp, ETHER_BROADCAST, ETHERTYPE_ARP, &arp.emit([0; 6]))
}

/// `arp_gratuitous`: everyone who knows `addr` learns the MAC of `ifp`.
pub fn arp_gratuitous(cx: Ctx<'_>, ifp: &Arc<Ifnet>, addr: Ipv4Addr) {
    if let Err(e) = arprequest(cx, ifp, addr, addr) {
        tracing::debug!("{}: gratuitous ARP for {addr}: {e}", ifp.if_xname);
    }
}

/// `arpintr`, `in_arpinput`: one ARP packet, in netisr0.
pub fn arpintr(cx: &mut Ctx0<'_>, m: &Mbuf) {
    if m.rcvif.flags().contains(Iff::NOARP) {
        return;
    }
    let Some(arp) = m.data.get(ETHER_HDR_LEN..).and_then(Arp::parse) else {
        m.rcvif.stats.noproto.add(1);
        return;
    };
    let concern = if_llatbl::whom_it_concerns(cx, &m.rcvif, arp.tpa.into(), arp.spa.into());
    let (ours, me) = match concern {
        Concern::CarpMaster(ifp) | Concern::Local(ifp) => (true, ifp),
        Concern::Nobody => (false, m.rcvif.clone()),
        Concern::CarpBackup => return,
    };
    if arp.sha == me.lladdr() {
        return; // from me
    }
    if arp.sha[0] & 1 != 0 {
        complain(cx, format_args!("arp: link address is broadcast for IP address {}!", arp.spa));
        return;
    }
    if ours && arp.spa == arp.tpa {
        let [a, b, c, d, e, f] = arp.sha;
        let mac = format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        complain(cx, format_args!("arp: {mac} is using my IP address {}!", arp.spa));
    } else if !m.rcvif.flags().contains(Iff::STATICARP) {
        if_llatbl::learn(cx, &m.rcvif, arp.spa.into(), arp.sha, ours);
    }
    if ours && arp.op == ARPOP_REQUEST {
        let reply = Arp { op: ARPOP_REPLY, sha: me.lladdr(), spa: arp.tpa, tpa: arp.spa };
        if let Err(e) = ether_output(cx.any(), &me, arp.sha, ETHERTYPE_ARP, &reply.emit(arp.sha)) {
            tracing::debug!("{}: ARP reply to {}: {e}", me.if_xname, arp.spa);
        }
    }
}

/// Logs what a packet provokes, a few lines a second.
pub fn complain(cx: &Ctx0<'_>, line: core::fmt::Arguments<'_>) {
    match cx.m.own(cx.n0).arp_log.pass(cx.m.clock().now()) {
        None => {}
        Some(0) => tracing::error!("{line}"),
        Some(n) => tracing::error!("{line} ({n} more complaints about neighbours were not logged)"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_arp_packet_round_trips_and_others_are_refused() {
        let a = Arp { op: 1, sha: [2, 0, 0, 0, 0, 1], spa: [10, 0, 0, 1].into(), tpa: [10, 0, 0, 2].into() };
        let b = a.emit([0; 6]);
        assert_eq!(Arp::parse(&b), Some(a));
        assert_eq!(Arp::parse(&b[..27]), None);
        let mut c = b;
        c[1] = 6;
        assert_eq!(Arp::parse(&c), None);
    }
}
