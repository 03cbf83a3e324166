//! `netinet/if_ether.c`: ARP. netisr0 answers and learns; each netisr has its
//! own copy of what was learned.

use crate::machine::{Ctx, Ctx0, Mbuf};
use crate::net::if_::Softc;
use crate::net::if_ethersubr::ether_output;
use crate::net::netisr::{ArpUpdate, Netmsg, PACKETS_MAX};
use compat::net::ethernet::{ETHER_BROADCAST, ETHER_HDR_LEN, ETHERTYPE_ARP, ETHERTYPE_IP};
use compat::net::if_::Iff;
use compat::net::if_var::LlAddr;
use compat::sys::errno::Errno;
use compat::sys::time::Time;
use core::net::Ipv4Addr;
use libcarp::{Ifnet, output};
use std::collections::BTreeMap;
use std::time::Duration;
use triomphe::Arc;

/// Bytes of an ARP packet for IPv4 on Ethernet.
const ARP_LEN: usize = 28;
/// `ARPOP_REQUEST`
const ARPOP_REQUEST: u16 = 1;
/// `ARPOP_REPLY`
const ARPOP_REPLY: u16 = 2;
/// `arpt_keep`: how long an entry is good.
const ARPT_KEEP: Duration = Duration::from_secs(20 * 60);
/// At least this long between two requests for one address.
const ARP_RETRY: Duration = Duration::from_secs(1);
/// Entries that one netisr keeps; the one heard longest ago makes room.
const ARP_MAX: usize = 4096;

/// `struct arphdr` and its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arp {
    op: u16,
    sha: LlAddr,
    spa: Ipv4Addr,
    tpa: Ipv4Addr,
}

impl Arp {
    fn parse(data: &[u8]) -> Option<Arp> {
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

    fn emit(&self, tha: LlAddr) -> [u8; ARP_LEN] {
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

struct Llinfo {
    lladdr: LlAddr,
    /// When it was heard; the number makes it unique.
    heard: (Time, u64),
}

/// `la_hold`: a packet that waits for its neighbour's address, and when that
/// was asked for.
struct Hold {
    asked: Time,
    packet: Vec<u8>,
    ifp: Arc<Ifnet>,
}

/// One netisr's ARP table, by real interface and address.
#[derive(Default)]
pub struct ArpTable {
    known: BTreeMap<(u16, Ipv4Addr), Llinfo>,
    /// The same, by when each was heard.
    by_age: BTreeMap<(Time, u64), (u16, Ipv4Addr)>,
    seq: u64,
    asked: BTreeMap<(u16, Ipv4Addr), Hold>,
}

impl ArpTable {
    fn lookup(&self, if_index: u16, addr: Ipv4Addr, now: Time) -> Option<LlAddr> {
        let la = self.known.get(&(if_index, addr))?;
        (now - la.heard.0 < ARPT_KEEP).then_some(la.lladdr)
    }

    fn learn(&mut self, u: ArpUpdate) -> Option<Hold> {
        let key = (u.if_index, u.addr);
        self.seq += 1;
        let heard = (u.heard, self.seq);
        if let Some(old) = self.known.insert(key, Llinfo { lladdr: u.lladdr, heard }) {
            self.by_age.remove(&old.heard);
        } else if self.known.len() > ARP_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.known.remove(&oldest);
        }
        self.by_age.insert(heard, key);
        self.asked.remove(&key)
    }

    /// Keeps the newest packet for `key`; whether to ask (again).
    fn hold(&mut self, key: (u16, Ipv4Addr), hold: Hold) -> bool {
        let last = self.asked.get(&key).map(|h| h.asked);
        let ask = last.is_none_or(|t| hold.asked - t >= ARP_RETRY);
        let asked = if ask { hold.asked } else { last.unwrap_or(hold.asked) };
        if self.asked.len() >= ARP_MAX && last.is_none() {
            self.asked.pop_first();
        }
        self.asked.insert(key, Hold { asked, ..hold });
        ask
    }
}

/// The real interface that packets of `ifp` leave by.
pub fn real_ifp<'n>(cx: Ctx<'n>, ifp: &'n Arc<Ifnet>) -> Option<&'n Arc<Ifnet>> {
    match &cx.m.ifentry(cx.n, ifp.if_index)?.softc {
        Softc::Nic(_) => Some(ifp),
        Softc::Carp(sc) => sc.carpdev(cx.n),
    }
}

/// `arpresolve` and the output after it: an IPv4 packet to the neighbour
/// `dst` on `ifp`. What cannot be sent yet is held, and the neighbour asked,
/// in the name of `src`.
pub fn arp_output(
    cx: Ctx<'_>,
    ifp: &Arc<Ifnet>,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    packet: &[u8],
) -> Result<(), Errno> {
    let real = real_ifp(cx, ifp).ok_or(Errno::ENETUNREACH)?;
    let now = cx.m.clock().now();
    if let Some(lladdr) = cx.cpu.arp.borrow().lookup(real.if_index, dst, now) {
        return ether_output(cx, ifp, lladdr, ETHERTYPE_IP, packet);
    }
    let hold = Hold { asked: now, packet: packet.to_vec(), ifp: ifp.clone() };
    if cx.cpu.arp.borrow_mut().hold((real.if_index, dst), hold) {
        arprequest(cx, ifp, src, dst)?;
    }
    Ok(())
}

/// `arprequest`
fn arprequest(cx: Ctx<'_>, ifp: &Arc<Ifnet>, spa: Ipv4Addr, tpa: Ipv4Addr) -> Result<(), Errno> {
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
    let (ours, me) = match whom_it_concerns(cx.any(), &m.rcvif, &arp) {
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
        learn(cx, &m.rcvif, &arp, ours);
    }
    if ours && arp.op == ARPOP_REQUEST {
        let reply = Arp { op: ARPOP_REPLY, sha: me.lladdr(), spa: arp.tpa, tpa: arp.spa };
        if let Err(e) = ether_output(cx.any(), &me, arp.sha, ETHERTYPE_ARP, &reply.emit(arp.sha)) {
            tracing::debug!("{}: ARP reply to {}: {e}", me.if_xname, arp.spa);
        }
    }
}

/// Logs what a packet provokes, a few lines a second.
fn complain(cx: &Ctx0<'_>, line: core::fmt::Arguments<'_>) {
    match cx.m.own(cx.n0).arp_log.pass(cx.m.clock().now()) {
        None => {}
        Some(0) => tracing::error!("{line}"),
        Some(n) => tracing::error!("{line} ({n} more complaints about ARP were not logged)"),
    }
}

enum Concern {
    /// A virtual address of a running MASTER.
    CarpMaster(Arc<Ifnet>),
    /// A virtual address of somebody who is not: the packet is not for this
    /// machine, and the parent must not speak up for it.
    CarpBackup,
    /// An address of the interface itself.
    Local(Arc<Ifnet>),
    /// None of ours.
    Nobody,
}

/// Steps (0) and (1) of upstream's `in_arpinput`: the target among virtual
/// addresses on this wire, then among the interface's own.
fn whom_it_concerns(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, arp: &Arp) -> Concern {
    let Some(table) = cx.m.addrs.load(cx.n) else { return Concern::Nobody };
    let mut backup = false;
    for e in table.lookup(arp.tpa) {
        let Softc::Carp(sc) = &e.entry.softc else { continue };
        let here = sc.carpdev(cx.n).is_some_and(|p| Arc::ptr_eq(p, rcvif));
        if here || Arc::ptr_eq(&e.entry.ifp, rcvif) {
            if output::iamatch(sc) {
                return Concern::CarpMaster(e.entry.ifp.clone());
            }
            backup = true;
        }
    }
    for e in table.lookup(arp.tpa) {
        let local = matches!(e.entry.softc, Softc::Nic(_)) && Arc::ptr_eq(&e.entry.ifp, rcvif);
        if local && !rcvif.shared_with_host {
            return Concern::Local(rcvif.clone());
        }
    }
    if backup { Concern::CarpBackup } else { Concern::Nobody }
}

/// `arp_update`: whoever speaks to us is remembered; whoever is remembered is
/// brought up to date. All netisrs get the news.
fn learn(cx: &mut Ctx0<'_>, rcvif: &Arc<Ifnet>, arp: &Arp, create: bool) {
    let Some(if_index) = real_ifp(cx.any(), rcvif).map(|ifp| ifp.if_index) else { return };
    if arp.spa.is_unspecified() || arp.spa.is_multicast() || arp.spa.is_broadcast() {
        return;
    }
    let key = (if_index, arp.spa);
    let known = {
        let table = cx.cpu.arp.borrow();
        table.known.contains_key(&key) || table.asked.contains_key(&key)
    };
    if !(create || known) {
        return;
    }
    let update = ArpUpdate { if_index, addr: arp.spa, lladdr: arp.sha, heard: cx.m.clock().now() };
    arp_update_oncpu(cx.any(), update);
    for port in &cx.m.ports {
        // A netisr that is that far behind asks again when it needs to know.
        let _ = port.sendmsg_bounded(PACKETS_MAX, Netmsg::Arp(update));
    }
}

/// `arp_update_oncpu`: one netisr learns, and sends what was held.
pub fn arp_update_oncpu(cx: Ctx<'_>, u: ArpUpdate) {
    let held = cx.cpu.arp.borrow_mut().learn(u);
    if let Some(h) = held
        && let Err(e) = ether_output(cx, &h.ifp, u.lladdr, ETHERTYPE_IP, &h.packet)
    {
        tracing::debug!("{}: packet held for {}: {e}", h.ifp.if_xname, u.addr);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn update(n: u32, heard: u64) -> ArpUpdate {
        ArpUpdate { if_index: 1, addr: n.into(), lladdr: [2; 6], heard: Time(heard) }
    }

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

    #[test]
    fn the_table_forgets_what_is_old_and_never_grows_beyond_its_bound() {
        let mut t = ArpTable::default();
        t.learn(update(1, 0));
        assert!(t.lookup(1, 1.into(), Time(0)).is_some());
        assert!(t.lookup(2, 1.into(), Time(0)).is_none());
        assert!(t.lookup(1, 1.into(), Time(0) + ARPT_KEEP).is_none());
        for n in 2..ARP_MAX as u32 + 10 {
            t.learn(update(n, u64::from(n)));
        }
        assert_eq!((t.known.len(), t.by_age.len()), (ARP_MAX, ARP_MAX));
        assert!(!t.known.contains_key(&(1, 1.into())));
    }
}
