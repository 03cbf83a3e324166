//! `net/if.c`: the machine's interfaces.

use crate::dev::{Device, Offload, Transmit};
use crate::machine::{Ctx0, Machine};
use crate::net::{if_group, if_llatbl, ifaddr as addrs, lent, route, rtsock};
use crate::netinet::carp_vhid;
use compat::net::if_::{IFG_ALL, IFT_CARP, IFT_ETHER, IfName, Iff, LinkState};
use compat::net::if_var::{IfAttach, LlAddr};
use compat::net::route::{IFAN_ARRIVAL, IFAN_DEPARTURE};
use compat::qsbr::{Netisr, Netisr0, service_sync};
use compat::sys::canary::Canary;
use compat::sys::errno::Errno;
use core::net::IpAddr;
use libcarp::{CarpSoftc, Ifnet, clone, ifaddr, ioctl, vhaddr};
use std::sync::Arc as StdArc;
use triomphe::Arc;

/// What is behind an interface.
#[derive(Clone)]
pub enum Softc {
    /// A device.
    Nic(StdArc<dyn Transmit>),
    /// `if_softc` of a carp interface.
    Carp(Arc<CarpSoftc>),
}

/// An interface and what is behind it.
#[derive(Clone)]
pub struct IfEntry {
    /// The interface.
    pub ifp: Arc<Ifnet>,
    /// What is behind it.
    pub softc: Softc,
    /// The host's side of it, of a carp interface on the tap path.
    pub host: Option<StdArc<dyn Offload>>,
}

/// `ifindex2ifnet`: interfaces by index, copied and switched like `if_carp`.
#[derive(Clone, Default)]
pub struct IfTable {
    slots: Vec<Option<IfEntry>>,
    canary: Canary,
}

impl IfTable {
    /// The interface of that index.
    #[inline]
    pub fn get(&self, index: u16) -> Option<&IfEntry> {
        self.canary.check();
        self.slots.get(usize::from(index))?.as_ref()
    }

    /// All of them, by index.
    pub fn iter(&self) -> impl Iterator<Item = &IfEntry> {
        self.canary.check();
        self.slots.iter().flatten()
    }
}

impl Machine {
    /// The interface of that index.
    #[inline]
    pub fn ifentry<'n>(&'n self, n: &'n Netisr, index: u16) -> Option<&'n IfEntry> {
        self.ifnets.load(n)?.get(index)
    }

    /// `ifunit`: the interface of that name, as users may say it: one that no
    /// list shows is none.
    pub fn ifunit(&self, n: &Netisr, name: IfName) -> Option<IfEntry> {
        self.if_byname(n, name).filter(|e| !carp_vhid::is_vhid(&e.ifp)).cloned()
    }

    /// The interface of that name, whether lists show it or not.
    pub fn if_byname<'n>(&'n self, n: &'n Netisr, name: IfName) -> Option<&'n IfEntry> {
        self.ifnets.load(n)?.iter().find(|e| e.ifp.if_xname == name)
    }

    /// All interfaces, by index.
    pub fn if_entries(&self, n: &Netisr) -> Vec<IfEntry> {
        self.ifnets.load(n).map(|t| t.iter().cloned().collect()).unwrap_or_default()
    }
}

/// Copies, changes and switches the table, and frees the old one.
fn change_table(cx: &mut Ctx0<'_>, f: impl FnOnce(&mut IfTable)) {
    let mut new = cx.m.ifnets.load(cx.n0).cloned().unwrap_or_default();
    f(&mut new);
    let old = cx.m.ifnets.swap(cx.n0, Some(Box::new(new)));
    drop(service_sync(cx.n0, old));
}

/// `if_attach`: gives an interface its index and its place.
pub fn if_attach(
    cx: &mut Ctx0<'_>,
    name: IfName,
    attach: impl FnOnce(u16) -> IfAttach,
    softc: impl FnOnce(&mut Ctx0<'_>, &Arc<Ifnet>) -> Softc,
) -> Result<IfEntry, Errno> {
    if cx.m.if_byname(cx.n0, name).is_some() {
        return Err(Errno::EEXIST);
    }
    let index = free_index(cx)?;
    let ifp = Arc::new(Ifnet::new(&cx.m.brand, attach(index)));
    let softc = softc(cx, &ifp);
    if_group::if_addgroup(cx, &ifp, IFG_ALL)?;
    let entry = IfEntry { ifp, softc, host: None };
    change_table(cx, |t| {
        if t.slots.len() <= usize::from(index) {
            t.slots.resize(usize::from(index) + 1, None);
        }
        t.slots[usize::from(index)] = Some(entry.clone());
    });
    announce(cx.m, &entry.ifp, IFAN_ARRIVAL);
    Ok(entry)
}

/// Adds the frames that the host had no room for to `ifi_iqdrops`: nobody is asked for
/// them before somebody asks for that.
pub fn count_input_drops(entry: &IfEntry) {
    if let Softc::Nic(tx) = &entry.softc {
        entry.ifp.stats.iqdrops.add(tx.input_drops());
    }
}

/// The next index that no interface has, going round: one that was given back
/// is not given out again soon, since messages about it may still be under way.
fn free_index(cx: &Ctx0<'_>) -> Result<u16, Errno> {
    if let Some(index) = cx.m.own(cx.n0).fixed_index.take() {
        return Ok(index);
    }
    let next = &cx.m.own(cx.n0).next_index;
    let in_use = cx.m.ifnets.load(cx.n0).map_or(0, |t| t.iter().count());
    let taken = |i: &u16| *i == 0 || cx.m.ifentry(cx.n0, *i).is_some();
    let round = round_of(in_use);
    let numbers = (0..round).filter_map(|i| u16::try_from((u32::from(next.get()) + i) % round).ok());
    let index = { numbers }.find(|i| !taken(i)).ok_or(Errno::ENOSPC)?;
    next.set(index.wrapping_add(1));
    Ok(index)
}

/// How many numbers the indexes go round in: so many that at least half of
/// them rest, and so few that the table, which each change copies, stays small
/// however many interfaces have come and gone. By the time that half a round
/// has gone by, netisr0 has synchronised with everybody as many times.
fn round_of(in_use: usize) -> u32 {
    let wanted = (2 * in_use).next_power_of_two().clamp(MIN_ROUND, usize::from(u16::MAX) + 1);
    wanted as u32
}

/// The least of it.
const MIN_ROUND: usize = 256;

/// `ether_ifattach` of a device, up and running, with the addresses that the
/// host lends. Its queues stay with the caller, who gives them to netisrs.
pub fn attach_device(cx: &mut Ctx0<'_>, dev: &Device) -> Result<u16, Errno> {
    let flags = Iff::UP | Iff::RUNNING | Iff::BROADCAST | Iff::SIMPLEX | Iff::MULTICAST;
    let attach = |index| IfAttach {
        name: dev.name,
        index,
        if_type: IFT_ETHER,
        flags,
        mtu: dev.mtu,
        lladdr: dev.lladdr,
        shared_with_host: dev.shared_with_host,
        served_by_host: dev.path.is_served_by_host(),
    };
    let tx = dev.tx.clone();
    let entry = if_attach(cx, dev.name, attach, |_, _| Softc::Nic(tx))?;
    entry.ifp.set_link_state(cx.n0, LinkState::Up);
    for net in &dev.addrs {
        addrs::add_address(cx, &entry.ifp, *net, None)?;
        lent::has(cx, &entry.ifp, *net);
    }
    Ok(entry.ifp.if_index)
}

/// From now on the host hears there what that carp interface hears. False if there
/// is none.
pub fn set_host(cx: &mut Ctx0<'_>, index: u16, host: &StdArc<dyn Offload>) -> bool {
    let is_carp = |e: &IfEntry| matches!(e.softc, Softc::Carp(_));
    if !cx.m.ifentry(cx.n0, index).is_some_and(is_carp) {
        return false;
    }
    change_table(cx, |t| {
        if let Some(Some(entry)) = t.slots.get_mut(usize::from(index)) {
            entry.host = Some(host.clone());
        }
    });
    true
}

/// `if_detach`: the interface and its addresses leave.
pub fn if_detach(cx: &mut Ctx0<'_>, ifp: &Arc<Ifnet>) {
    carp_vhid::destroy_all(cx, ifp);
    cx.carp(|cx| clone::ifdetach(cx, ifp));
    // While its addresses go one by one nobody finds the next one to live on, or
    // misses it.
    ifp.clear_flags(cx.n0, Iff::UP | Iff::RUNNING | Iff::MULTICAST);
    addrs::delete_addresses(cx, ifp);
    if_group::leave_all(cx, ifp);
    let index = usize::from(ifp.if_index);
    change_table(cx, |t| {
        if let Some(slot) = t.slots.get_mut(index) {
            *slot = None;
        }
    });
    if_llatbl::ifdetach(cx, ifp.if_index);
    announce(cx.m, ifp, IFAN_DEPARTURE);
}

/// A vhid of FreeBSD's model is no interface to tell of.
fn announce(m: &Machine, ifp: &Ifnet, what: u16) {
    if !carp_vhid::is_vhid(ifp) {
        rtsock::rt_ifannouncemsg(m, ifp, what);
    }
}

/// A device died under its interface.
pub fn if_detach_index(cx: &mut Ctx0<'_>, index: u16) {
    let Some(entry) = cx.m.ifentry(cx.n0, index).cloned() else { return };
    tracing::warn!("{}: detached", entry.ifp.if_xname);
    if_detach(cx, &entry.ifp);
}

/// The flags that `SIOCSIFFLAGS` sets and clears; PROMISC follows PPROMISC.
pub const CHANGEABLE: Iff = Iff::all().difference(Iff::CANTCHANGE).difference(Iff::PROMISC);

/// `SIOCSIFFLAGS`
pub fn set_flags(cx: &mut Ctx0<'_>, entry: &IfEntry, wanted: Iff) -> Result<(), Errno> {
    let ifp = &entry.ifp;
    let up = wanted.contains(Iff::UP);
    if ifp.flags().contains(Iff::UP) && !up {
        if_down(cx, entry);
    } else if up && !ifp.flags().contains(Iff::UP) {
        if_up(cx, entry);
    }
    if wanted.contains(Iff::PPROMISC) != ifp.flags().contains(Iff::PPROMISC) {
        ifpromisc(cx.m, cx.n0, ifp, wanted.contains(Iff::PPROMISC))?;
    }
    let changeable = CHANGEABLE - Iff::UP;
    ifp.clear_flags(cx.n0, changeable & !wanted);
    ifp.set_flags(cx.n0, changeable & wanted);
    Ok(())
}

/// `if_up`: the interface's prefix routes come back, and CARP sees its
/// addresses arrive.
pub fn if_up(cx: &mut Ctx0<'_>, entry: &IfEntry) {
    let ifp = &entry.ifp;
    ifp.set_flags(cx.n0, Iff::UP);
    rtsock::rt_ifmsg(cx.m, cx.n0, ifp);
    match &entry.softc {
        Softc::Nic(_) => {
            ifp.set_flags(cx.n0, Iff::RUNNING);
            for ia in addrs::addresses_of(cx.m, cx.n0, ifp) {
                route::in_addprefix(cx.m, cx.cpu, cx.n0, &ia);
            }
            cx.carp(|cx| ifaddr::parent_is_up(cx, ifp));
        }
        Softc::Carp(sc) => {
            let sc = sc.clone();
            cx.carp(|cx| ioctl::sifflags(cx, &sc));
        }
    }
}

/// `if_down`: CARP bows out while it can, then sees the interface's addresses
/// leave.
pub fn if_down(cx: &mut Ctx0<'_>, entry: &IfEntry) {
    let ifp = &entry.ifp;
    match &entry.softc {
        Softc::Nic(_) => {
            cx.carp(|cx| ifaddr::parent_going_down(cx, ifp));
            ifp.clear_flags(cx.n0, Iff::UP);
            rtsock::rt_ifmsg(cx.m, cx.n0, ifp);
            cx.carp(|cx| ifaddr::parent_is_down(cx, ifp));
            for ia in addrs::addresses_of(cx.m, cx.n0, ifp) {
                route::in_scrubprefix(cx.m, cx.cpu, cx.n0, &ia);
            }
            // Their heirs may back a MASTER.
            cx.carp(|cx| vhaddr::claim_routes(cx));
        }
        Softc::Carp(sc) => {
            let sc = sc.clone();
            ifp.clear_flags(cx.n0, Iff::UP);
            rtsock::rt_ifmsg(cx.m, cx.n0, ifp);
            cx.carp(|cx| ioctl::sifflags(cx, &sc));
        }
    }
}

/// `ifpromisc`: counts who wants all frames; the first and the last tell the
/// device.
pub fn ifpromisc(m: &Machine, n0: &Netisr0, ifp: &Arc<Ifnet>, on: bool) -> Result<(), Errno> {
    let pcount = &ifp.own(n0).if_pcount;
    let before = pcount.get();
    let after = if on { before + 1 } else { before.saturating_sub(1) };
    if (before == 0) != (after == 0) {
        if let Some(IfEntry { softc: Softc::Nic(tx), .. }) = m.ifentry(n0, ifp.if_index) {
            tx.set_promisc(on)?;
        }
        if on {
            ifp.set_flags(n0, Iff::PROMISC);
        } else {
            ifp.clear_flags(n0, Iff::PROMISC);
        }
    }
    pcount.set(after);
    Ok(())
}

/// `in_addmulti`, `in6_addmulti`
pub fn addmulti(m: &Machine, n0: &Netisr0, ifp: &Ifnet, group: IpAddr) {
    let mut groups = ifp.own(n0).if_multiaddrs.borrow_mut();
    match groups.iter_mut().find(|(g, _)| *g == group) {
        Some((_, refs)) => *refs += 1,
        None => groups.push((group, 1)),
    }
    m.own(n0).mld.stale.set(true);
}

/// `in_delmulti`, `in6_delmulti`
pub fn delmulti(m: &Machine, n0: &Netisr0, ifp: &Ifnet, group: IpAddr) {
    let mut groups = ifp.own(n0).if_multiaddrs.borrow_mut();
    if let Some((_, refs)) = groups.iter_mut().find(|(g, _)| *g == group) {
        *refs -= 1;
    }
    groups.retain(|(_, refs)| *refs > 0);
    m.own(n0).mld.stale.set(true);
}

/// `if_link_state_change`: the device's link came or went.
pub fn set_link_state(cx: &mut Ctx0<'_>, index: u16, state: LinkState) {
    let Some(entry) = cx.m.ifentry(cx.n0, index).cloned() else { return };
    if matches!(entry.softc, Softc::Nic(_)) && entry.ifp.link_state() != state {
        entry.ifp.set_link_state(cx.n0, state);
        cx.carp(|cx| {
            cx.kern.rt_ifmsg(cx.n0, &entry.ifp);
            ifaddr::carpdev_state(cx, &entry.ifp);
        });
    }
}

/// What of a device may change while it is an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// `if_mtu`, bytes.
    Mtu(u32),
    /// `IF_LLADDR`
    LlAddr(LlAddr),
}

/// `SIOCSIFMTU`, `if_setlladdr`: a device's frames may be longer or shorter, or its
/// address is another. Whoever listens is told, of the carp interfaces on it too.
pub fn set_hardware(cx: &mut Ctx0<'_>, index: u16, what: Hardware) {
    let Some(entry) = cx.m.ifentry(cx.n0, index).cloned() else { return };
    let (Softc::Nic(tx), ifp) = (&entry.softc, &entry.ifp) else { return };
    match what {
        Hardware::Mtu(mtu) if mtu != ifp.mtu() => {
            tracing::info!("{}: mtu {mtu}", ifp.if_xname);
            tx.set_mtu(mtu);
            ifp.set_mtu(cx.n0, mtu);
            rtsock::rt_ifmsg(cx.m, cx.n0, ifp);
            for e in cx.m.if_entries(cx.n0) {
                if let Softc::Carp(sc) = &e.softc
                    && sc.carpdev(cx.n0).is_some_and(|p| Arc::ptr_eq(p, ifp))
                    && !carp_vhid::is_vhid(&e.ifp)
                {
                    rtsock::rt_ifmsg(cx.m, cx.n0, &e.ifp);
                }
            }
        }
        Hardware::LlAddr(lladdr) if lladdr != ifp.lladdr() => {
            if let Err(e) = tx.set_lladdr(lladdr) {
                tracing::warn!("{e}");
            }
            let [a, b, c, d, e, f] = lladdr;
            tracing::info!("{}: ether {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}", ifp.if_xname);
            ifp.set_lladdr(cx.n0, lladdr);
            rtsock::rt_ifmsg(cx.m, cx.n0, ifp);
            // arp_iflladdr: a peer that knows them would go on with the old one.
            for ia in addrs::addresses_of(cx.m, cx.n0, ifp) {
                addrs::announce(cx.any(), ifp, ia.ifa_addr);
            }
        }
        _ => {}
    }
}

/// `if_mtu`: a carp interface's frames leave by its parent.
pub fn mtu_of(m: &Machine, n: &Netisr, ifp: &Ifnet) -> u32 {
    match m.ifentry(n, ifp.if_index).map(|e| &e.softc) {
        Some(Softc::Carp(sc)) => sc.carpdev(n).map_or_else(|| ifp.mtu(), |parent| parent.mtu()),
        _ => ifp.mtu(),
    }
}

/// Whether `ifp` is a carp interface.
pub fn is_carp(ifp: &Ifnet) -> bool {
    ifp.if_type == IFT_CARP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_go_round_in_few_numbers_of_which_half_rest() {
        assert_eq!([0, 1, 128, 129, 256, 40_000].map(round_of), [256, 256, 256, 512, 512, 65_536]);
    }
}
