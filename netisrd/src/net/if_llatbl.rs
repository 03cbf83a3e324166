//! `net/if_llatbl.c`: who has which MAC, as ARP and neighbour discovery learn
//! it. Each netisr has its own copy, brought up to date by message from
//! netisr0.

use crate::machine::{Ctx, Ctx0};
use crate::net::if_::Softc;
use crate::net::if_ethersubr::ether_output;
use crate::net::netisr::{Netmsg, PACKETS_MAX};
use crate::netinet::if_ether;
use crate::netinet6::nd6;
use compat::net::ethernet::{ETHERTYPE_IP, ETHERTYPE_IPV6};
use compat::net::if_var::LlAddr;
use compat::sys::errno::Errno;
use compat::sys::time::Time;
use core::net::IpAddr;
use libcarp::{CarpSoftc, Ifnet, output};
use std::collections::BTreeMap;
use std::time::Duration;
use triomphe::Arc;

/// `arpt_keep`: how long an entry is good.
const KEEP: Duration = Duration::from_secs(20 * 60);
/// At least this long between two requests for one address.
const RETRY: Duration = Duration::from_secs(1);
/// Entries that one netisr keeps; the one heard longest ago makes room.
const MAX: usize = 4096;

/// One neighbour, for every netisr's copy.
#[derive(Clone, Copy, Debug)]
pub struct LlUpdate {
    /// Index of the real interface it is reached through.
    pub if_index: u16,
    /// Whose.
    pub addr: IpAddr,
    /// Its address.
    pub lladdr: LlAddr,
    /// When it was heard.
    pub heard: Time,
    /// Whether it is news for those too who have not asked.
    pub create: bool,
}

/// `struct llentry`
struct Llentry {
    lladdr: LlAddr,
    /// When it was heard; the number makes it unique.
    heard: (Time, u64),
}

/// `la_hold`, `ln_hold`: a packet that waits for its neighbour's MAC, and when
/// that was asked for.
struct Hold {
    asked: Time,
    packet: Vec<u8>,
    ifp: Arc<Ifnet>,
}

/// A neighbour: by real interface and address.
type Key = (u16, IpAddr);

/// `struct lltable`: one netisr's copy.
#[derive(Default)]
pub struct LlTable {
    known: BTreeMap<Key, Llentry>,
    /// The same, by when each was heard.
    by_age: BTreeMap<(Time, u64), Key>,
    seq: u64,
    asked: BTreeMap<Key, Hold>,
}

impl LlTable {
    fn lookup(&self, if_index: u16, addr: IpAddr, now: Time) -> Option<LlAddr> {
        let la = self.known.get(&(if_index, addr))?;
        (now - la.heard.0 < KEEP).then_some(la.lladdr)
    }

    fn concerns(&self, key: &Key) -> bool {
        self.known.contains_key(key) || self.asked.contains_key(key)
    }

    fn learn(&mut self, u: LlUpdate) -> Option<Hold> {
        let key = (u.if_index, u.addr);
        self.seq += 1;
        let heard = (u.heard, self.seq);
        if let Some(old) = self.known.insert(key, Llentry { lladdr: u.lladdr, heard }) {
            self.by_age.remove(&old.heard);
        } else if self.known.len() > MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.known.remove(&oldest);
        }
        self.by_age.insert(heard, key);
        self.asked.remove(&key)
    }

    /// Whether nobody is known.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets what is behind an interface, and what it was to send.
    fn purge(&mut self, if_index: u16) {
        self.known.retain(|(index, _), _| *index != if_index);
        self.by_age.retain(|_, (index, _)| *index != if_index);
        self.asked.retain(|(index, _), h| *index != if_index && h.ifp.if_index != if_index);
    }

    /// Keeps the newest packet for `key`; whether to ask (again).
    fn hold(&mut self, key: Key, hold: Hold) -> bool {
        let last = self.asked.get(&key).map(|h| h.asked);
        let ask = last.is_none_or(|t| hold.asked - t >= RETRY);
        let asked = if ask { hold.asked } else { last.unwrap_or(hold.asked) };
        if self.asked.len() >= MAX && last.is_none() {
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

fn ether_type(addr: IpAddr) -> u16 {
    if addr.is_ipv4() { ETHERTYPE_IP } else { ETHERTYPE_IPV6 }
}

/// `arpresolve`, `nd6_output`: a packet to the neighbour `dst` on `ifp`. What
/// cannot be sent yet is held, and the neighbour asked, in the name of `src`.
pub fn resolve_output(
    cx: Ctx<'_>,
    ifp: &Arc<Ifnet>,
    src: IpAddr,
    dst: IpAddr,
    packet: &[u8],
) -> Result<(), Errno> {
    let real = real_ifp(cx, ifp).ok_or(Errno::ENETUNREACH)?;
    let now = cx.m.clock().now();
    if let Some(lladdr) = cx.cpu.lltable.borrow().lookup(real.if_index, dst, now) {
        return ether_output(cx, ifp, lladdr, ether_type(dst), packet);
    }
    let hold = Hold { asked: now, packet: packet.to_vec(), ifp: ifp.clone() };
    if cx.cpu.lltable.borrow_mut().hold((real.if_index, dst), hold) {
        return match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => if_ether::arprequest(cx, ifp, src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => nd6::ns_output(cx, ifp, src, dst),
            _ => Err(Errno::EAFNOSUPPORT),
        };
    }
    Ok(())
}

/// Whoever speaks to us is remembered (`create`); whoever is remembered, or
/// was asked, is brought up to date. All netisrs get the news: the one that
/// asked need not be the one that hears the answer.
pub fn learn(cx: &mut Ctx0<'_>, rcvif: &Arc<Ifnet>, addr: IpAddr, lladdr: LlAddr, create: bool) {
    let Some(if_index) = real_ifp(cx.any(), rcvif).map(|ifp| ifp.if_index) else { return };
    let broadcast = addr == IpAddr::from([255; 4]);
    if addr.is_unspecified() || addr.is_multicast() || broadcast || lladdr[0] & 1 != 0 {
        return;
    }
    let update = LlUpdate { if_index, addr, lladdr, heard: cx.m.clock().now(), create };
    update_oncpu(cx.any(), update);
    for port in &cx.m.ports {
        // A netisr that is that far behind asks again when it needs to know.
        let _ = port.sendmsg_packet(PACKETS_MAX, Netmsg::Neighbour(update));
    }
}

/// Whether `ifp` may still send what it held: a carp interface that is no MASTER
/// any more would draw the virtual MAC to this machine's port of the switch.
fn may_send(cx: Ctx<'_>, ifp: &Ifnet) -> bool {
    match cx.m.ifentry(cx.n, ifp.if_index).map(|e| &e.softc) {
        Some(Softc::Carp(sc)) => sc.is_running_master(),
        _ => true,
    }
}

/// `arp_update_oncpu`: one netisr learns, and sends what was held.
pub fn update_oncpu(cx: Ctx<'_>, u: LlUpdate) {
    if !(u.create || cx.cpu.lltable.borrow().concerns(&(u.if_index, u.addr))) {
        return;
    }
    let held = cx.cpu.lltable.borrow_mut().learn(u);
    if let Some(h) = held.filter(|h| may_send(cx, &h.ifp))
        && let Err(e) = ether_output(cx, &h.ifp, u.lladdr, ether_type(u.addr), &h.packet)
    {
        tracing::debug!("{}: packet held for {}: {e}", h.ifp.if_xname, u.addr);
    }
}

/// An interface has left: every netisr forgets its neighbours, before somebody
/// else gets its index. Upstream's are routes, which `if_rtdel` takes away on
/// every CPU. Nobody finds the interface any more, so that nothing is learned
/// after this: it goes behind the neighbours that wait in a port, as a packet.
pub fn ifdetach(cx: &Ctx0<'_>, if_index: u16) {
    purge_oncpu(cx.any(), if_index);
    for port in &cx.m.ports {
        // Without a limit it is always taken.
        let _ = port.sendmsg_packet(usize::MAX, Netmsg::Purge(if_index));
    }
}

/// One netisr's part of it.
pub fn purge_oncpu(cx: Ctx<'_>, if_index: u16) {
    cx.cpu.lltable.borrow_mut().purge(if_index);
    cx.cpu.gone.borrow_mut().push(if_index);
}

/// Whom a question for an address concerns.
pub enum Concern {
    /// A virtual address of a running MASTER.
    CarpMaster(Arc<Ifnet>),
    /// A virtual address of somebody who is not, or whom balancing has not
    /// chosen: the question is not for this machine, and the parent must not
    /// speak up for it.
    CarpBackup,
    /// An address of the interface itself.
    Local(Arc<Ifnet>),
    /// None of ours.
    Nobody,
}

/// Steps (0) and (1) of upstream's `in_arpinput`, for both families: `target`
/// among the virtual addresses on this wire, then among the interface's own.
pub fn whom_it_concerns(cx: &mut Ctx0<'_>, rcvif: &Arc<Ifnet>, target: IpAddr, source: IpAddr) -> Concern {
    let Some(table) = cx.m.addrs.load(cx.n0) else { return Concern::Nobody };
    let any = cx.any();
    let wire = real_ifp(any, rcvif).cloned();
    if wire.as_ref().is_some_and(|w| w.served_by_host) {
        // It answers itself, for all.
        return Concern::Nobody;
    }
    let mut holders: Vec<Arc<CarpSoftc>> = Vec::new();
    let mut local = false;
    for e in table.lookup(target) {
        match &e.entry.softc {
            Softc::Carp(sc) => {
                let here = sc.carpdev(cx.n0).zip(wire.as_ref()).is_some_and(|(p, w)| Arc::ptr_eq(p, w));
                if here || Arc::ptr_eq(&e.entry.ifp, rcvif) {
                    holders.push(sc.clone());
                }
            }
            Softc::Nic(_) => local |= Arc::ptr_eq(&e.entry.ifp, rcvif) && !rcvif.shared_with_host,
        }
    }
    holders.sort_by_key(|sc| sc.own(cx.n0).vhid.get());
    let master = cx.carp(|cx| output::iamatch(cx, &holders, target, source).map(|sc| sc.sc_if.clone()));
    match master {
        Some(ifp) => Concern::CarpMaster(ifp),
        None if local => Concern::Local(rcvif.clone()),
        None if holders.is_empty() => Concern::Nobody,
        None => Concern::CarpBackup,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn addr(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(n))
    }

    fn update(n: u32, heard: u64) -> LlUpdate {
        LlUpdate { if_index: 1, addr: addr(n), lladdr: [2; 6], heard: Time(heard), create: true }
    }

    #[test]
    fn the_table_forgets_what_is_old_and_never_grows_beyond_its_bound() {
        let mut t = LlTable::default();
        t.learn(update(1, 0));
        assert!(t.lookup(1, addr(1), Time(0)).is_some());
        assert!(t.lookup(2, addr(1), Time(0)).is_none());
        assert!(t.lookup(1, addr(1), Time(0) + KEEP).is_none());
        for n in 2..MAX as u32 + 10 {
            t.learn(update(n, u64::from(n)));
        }
        assert_eq!((t.known.len(), t.by_age.len()), (MAX, MAX));
        assert!(!t.known.contains_key(&(1, addr(1))));
    }

    #[test]
    fn an_interface_that_leaves_takes_its_neighbours_and_what_waits_for_them_along() {
        let (brand, _) = compat::qsbr::machine(1);
        let ifp = |index| {
            let attach = compat::net::if_var::IfAttach {
                name: compat::net::if_::IfName::new(&format!("em{index}")).unwrap(),
                index,
                if_type: compat::net::if_::IFT_ETHER,
                flags: compat::net::if_::Iff::UP,
                mtu: 1500,
                lladdr: [2; 6],
                shared_with_host: false,
                served_by_host: false,
            };
            Arc::new(Ifnet::new(&brand, attach))
        };
        let (em1, carp7) = (ifp(1), ifp(7));
        let mut t = LlTable::default();
        t.learn(update(1, 0));
        t.learn(LlUpdate { if_index: 2, ..update(2, 0) });
        for (key, ifp) in [((1, addr(3)), &em1), ((1, addr(4)), &carp7), ((2, addr(5)), &em1)] {
            t.hold(key, Hold { asked: Time(0), packet: vec![0], ifp: ifp.clone() });
        }
        t.purge(7);
        assert!(Arc::is_unique(&carp7), "nothing that is held holds it");
        assert_eq!((t.known.len(), t.asked.len()), (2, 2));
        t.purge(1);
        assert!(Arc::is_unique(&em1));
        assert_eq!((t.known.len(), t.by_age.len(), t.asked.len()), (1, 1, 0));
        assert!(t.lookup(2, addr(2), Time(0)).is_some());
    }
}
