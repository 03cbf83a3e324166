//! A machine that stands still, as a value: what another process needs to go on
//! in its place, at the same moment of the same clock.
//!
//! It is built again as a command would build it, one interface after the other,
//! while CARP is mute. Then CARP is given what it had become
//! ([`libcarp::frozen`]), and nothing has happened.

use crate::dev::Device;
use crate::machine::Ctx0;
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::ifaddr::{self, addresses_of};
use crate::net::{if_clone, if_group, lent};
use compat::net::if_::{IFG_ALL, IfName, Iff, LinkState};
use compat::net::if_var::{Counter, IfStats, IfgGroup};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::socket::Af;
use core::net::{IpAddr, Ipv4Addr};
use ipnet::IpNet;
use libcarp::carpreq::{CARPR_STATE_KEEP, CarpPeers, CarpReq};
use libcarp::frozen::{self, FrozenCarp, FrozenSoftc};
use libcarp::softc::carp_group;
use libcarp::{CarpSoftc, Ifaddr, ioctl};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use triomphe::Arc;
use zeroize::Zeroize;

/// The sysctl that makes who comes up MASTER at once.
const PREEMPT: &str = "net.inet.carp.preempt";

/// A machine that stands still.
#[derive(Serialize, Deserialize)]
pub struct FrozenMachine {
    sysctls: Vec<(String, i32)>,
    cards: Vec<FrozenIf>,
    /// The oldest first.
    vhosts: Vec<FrozenVhost>,
    /// Groups that are demoted.
    groups: Vec<(String, i32)>,
    carp: FrozenCarp,
    other_vhid: u64,
    next_index: u16,
    ip6_forwarding: bool,
}

/// An interface.
#[derive(Serialize, Deserialize)]
struct FrozenIf {
    name: String,
    index: u16,
    /// What a user may set of `if_flags`.
    flags: u32,
    link_state: u8,
    groups: Vec<String>,
    /// The oldest first, with their broadcast addresses.
    addrs: Vec<(IpNet, Ipv4Addr)>,
    /// Those that somebody has typed where the host has some too.
    typed: Vec<IpNet>,
    stats: Vec<u64>,
}

/// A carp interface.
#[derive(Serialize, Deserialize)]
struct FrozenVhost {
    of: FrozenIf,
    /// 0 while it has none.
    vhid: u8,
    key: [u8; 20],
    /// The parent that was chosen by name.
    carpdev: Option<String>,
    /// The parent that it lost because that went down.
    lost_parent: Option<String>,
    /// Where it advertises.
    dst: [IpAddr; 2],
    softc: FrozenSoftc,
}

impl Drop for FrozenVhost {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// `IFNET_STAT_*`, in an order of their own.
fn counters(s: &IfStats) -> [&Counter; 10] {
    [
        &s.ipackets,
        &s.ierrors,
        &s.opackets,
        &s.oerrors,
        &s.ibytes,
        &s.obytes,
        &s.imcasts,
        &s.omcasts,
        &s.iqdrops,
        &s.noproto,
    ]
}

/// The machine as it is.
pub fn freeze(cx: &mut Ctx0<'_>) -> FrozenMachine {
    let entries = cx.m.if_entries(cx.n0);
    let cards = entries.iter().filter(|e| matches!(e.softc, Softc::Nic(_)));
    let cards = cards.map(|e| freeze_if(cx, e)).collect();
    let mut vhosts = Vec::new();
    for sc in cx.m.carp.softcs(cx.n0).iter().rev() {
        if let Some(entry) = entries.iter().find(|e| e.ifp.if_index == sc.sc_if.if_index) {
            let of = freeze_if(cx, entry);
            vhosts.push(freeze_vhost(cx, of, sc));
        }
    }
    let demoted = |g: &Arc<IfgGroup>| (g.ifg_group.to_string(), g.carp_demoted(cx.n0).get());
    let groups = cx.m.own(cx.n0).ifg_head.borrow().iter().map(demoted).filter(|(_, n)| *n != 0).collect();
    let (sysctls, carp) = cx.carp(|cx| (frozen::opts(cx), frozen::freeze(cx)));
    let (other_vhid, next_index) = (cx.m.other_vhid.value(), cx.m.own(cx.n0).next_index.get());
    let ip6_forwarding = cx.m.ip6_forwarding.load(Ordering::Relaxed);
    FrozenMachine { sysctls, cards, vhosts, groups, carp, other_vhid, next_index, ip6_forwarding }
}

fn freeze_if(cx: &Ctx0<'_>, entry: &IfEntry) -> FrozenIf {
    let ifp = &entry.ifp;
    let addrs = addresses_of(cx.m, cx.n0, ifp);
    if_::count_input_drops(entry);
    FrozenIf {
        name: ifp.if_xname.to_string(),
        index: ifp.if_index,
        flags: (ifp.flags() & if_::CHANGEABLE).bits(),
        link_state: ifp.link_state() as u8,
        groups: if_group::if_getgroup(cx, ifp).iter().map(ToString::to_string).collect(),
        addrs: addrs.iter().map(|ia| (ia.net(cx.n0), ia.broad(cx.n0))).collect(),
        typed: addrs.iter().filter_map(|ia| typed_net(cx, ia)).collect(),
        stats: counters(&ifp.stats).map(Counter::value).into(),
    }
}

/// As it was typed.
fn typed_net(cx: &Ctx0<'_>, ia: &Ifaddr) -> Option<IpNet> {
    IpNet::new(ia.ifa_addr, lent::typed_prefix(cx, ia)?).ok()
}

fn freeze_vhost(cx: &mut Ctx0<'_>, of: FrozenIf, sc: &Arc<CarpSoftc>) -> FrozenVhost {
    let m = cx.m;
    cx.carp(|cx| {
        let own = sc.own(cx.n0);
        let name = |p: &Option<Arc<libcarp::Ifnet>>| p.as_ref().map(|p| p.if_xname.to_string());
        let inflight = &m.own(cx.n0).inflight;
        FrozenVhost {
            of,
            vhid: own.vhid.get().map_or(0, |v| v.get()),
            key: *own.key.borrow().bytes(),
            carpdev: name(&own.bound.borrow()),
            lost_parent: name(&own.lost_parent.borrow()),
            dst: Af::ALL.map(|af| own.af(af).dst.get()),
            softc: frozen::freeze_softc(cx, sc, &|c| inflight.borrow().contains_key(&c)),
        }
    })
}

/// Builds the machine, which has nothing yet, on `devices`; the index of each.
/// `lent` are addresses that a host had lent, and lends by itself.
///
/// # Errors
/// A sentence: it could not go on as that one did. The machine is to be given up.
pub fn thaw(
    cx: &mut Ctx0<'_>,
    f: &FrozenMachine,
    devices: &[Device],
    lent: &[(String, IpNet)],
) -> Result<Vec<u16>, String> {
    cx.m.mute.store(true, Ordering::Relaxed);
    let thawed = build(cx, f, devices, lent);
    cx.m.mute.store(false, Ordering::Relaxed);
    ifaddr::publish(cx);
    thawed
}

fn build(
    cx: &mut Ctx0<'_>,
    f: &FrozenMachine,
    devices: &[Device],
    lent: &[(String, IpNet)],
) -> Result<Vec<u16>, String> {
    // Nobody is MASTER meanwhile: each would look for its routes at each step.
    let (preempt, others): (Vec<_>, Vec<_>) =
        f.sysctls.iter().cloned().partition(|(name, _)| name == PREEMPT);
    cx.carp(|cx| frozen::set_opts(cx, &others))?;
    let mut indexes = Vec::new();
    for dev in devices {
        let card = f.cards.iter().find(|card| card.name == dev.name.as_str());
        let card = card.ok_or_else(|| format!("{}: the machine has no such card", dev.name))?;
        indexes.push(build_card(cx, card, dev, lent)?);
    }
    let is_there = |card: &&FrozenIf| devices.iter().any(|dev| dev.name.as_str() == card.name);
    if let Some(card) = f.cards.iter().find(|card| !is_there(card)) {
        return Err(format!("{}: it has only just come", card.name));
    }
    for v in &f.vhosts {
        build_vhost(cx, v)?;
    }
    for (group, n) in &f.groups {
        let name = IfName::new(group).ok_or_else(|| format!("{group}: not a name of a group"))?;
        if_group::demote(cx, name, *n).map_err(|e| format!("group {group}: {e}"))?;
    }
    cx.carp(|cx| {
        for v in &f.vhosts {
            let softcs = cx.carp.softcs(cx.n0);
            let sc = softcs.iter().find(|sc| sc.xname() == v.of.name);
            let sc = sc.ok_or_else(|| format!("{}: is not there", v.of.name))?;
            frozen::thaw_softc(cx, sc, &v.softc)?;
        }
        frozen::set_opts(cx, &preempt)?;
        frozen::thaw(cx, &f.carp)
    })?;
    cx.m.ip6_forwarding.store(f.ip6_forwarding, Ordering::Relaxed);
    cx.m.other_vhid.add(f.other_vhid);
    cx.m.own(cx.n0).next_index.set(f.next_index);
    restore_stats(cx, f);
    Ok(indexes)
}

/// What the building has counted too is taken away again.
fn restore_stats(cx: &Ctx0<'_>, f: &FrozenMachine) {
    for was in f.cards.iter().chain(f.vhosts.iter().map(|v| &v.of)) {
        let Some(entry) = IfName::new(&was.name).and_then(|name| cx.m.if_byname(cx.n0, name)) else {
            continue;
        };
        for (counter, was) in counters(&entry.ifp.stats).into_iter().zip(&was.stats) {
            counter.add(was.wrapping_sub(counter.value()));
        }
    }
}

fn build_card(
    cx: &mut Ctx0<'_>,
    card: &FrozenIf,
    dev: &Device,
    lent: &[(String, IpNet)],
) -> Result<u16, String> {
    let failed = |e| format!("{}: {e}", card.name);
    cx.m.own(cx.n0).fixed_index.set(Some(card.index));
    let index = if_::attach_device(cx, dev).map_err(failed)?;
    let entry = cx.m.ifentry(cx.n0, index).cloned().ok_or_else(|| format!("{}: is not there", card.name))?;
    entry.ifp.set_link_state(cx.n0, LinkState::from(card.link_state));
    for (net, broad) in &card.addrs {
        let of_host = lent.iter().any(|(name, has)| *name == card.name && has == net);
        let there = addresses_of(cx.m, cx.n0, &entry.ifp).into_iter().find(|ia| ia.ifa_addr == net.addr());
        match there {
            _ if of_host => {}
            // The host has it otherwise than it was typed.
            Some(ia) => {
                ifaddr::change_address(cx, &ia, Some(net.prefix_len()), Some(*broad)).map_err(failed)?;
            }
            None => add_address(cx, &entry, *net, *broad)?,
        }
    }
    card.typed.iter().for_each(|net| lent::typed(cx, &entry.ifp, *net));
    join_groups(cx, &entry, card)?;
    if_::set_flags(cx, &entry, Iff::from_bits_retain(card.flags)).map_err(failed)?;
    Ok(index)
}

fn add_address(cx: &mut Ctx0<'_>, entry: &IfEntry, net: IpNet, broad: Ipv4Addr) -> Result<(), String> {
    let usual = Ifaddr::new(&cx.m.brand, entry.ifp.clone(), net).broad(cx.n0);
    let broad = Some(broad).filter(|b| *b != usual);
    ifaddr::add_address(cx, &entry.ifp, net, broad).map_err(|e| format!("{}: {net}: {e}", entry.ifp.if_xname))
}

/// Exactly its groups.
fn join_groups(cx: &mut Ctx0<'_>, entry: &IfEntry, was: &FrozenIf) -> Result<(), String> {
    let failed = |group: &str, e| format!("{}: group {group}: {e}", was.name);
    for group in if_group::if_getgroup(cx, &entry.ifp) {
        if group.as_str() != IFG_ALL && !was.groups.iter().any(|g| g == group.as_str()) {
            if_group::if_delgroup(cx, &entry.ifp, group).map_err(|e| failed(group.as_str(), e))?;
        }
    }
    let has = if_group::if_getgroup(cx, &entry.ifp);
    for group in was.groups.iter().filter(|g| !has.iter().any(|h| h.as_str() == g.as_str())) {
        if_group::if_addgroup(cx, &entry.ifp, group).map_err(|e| failed(group, e))?;
    }
    Ok(())
}

fn build_vhost(cx: &mut Ctx0<'_>, v: &FrozenVhost) -> Result<(), String> {
    let what = v.of.name.as_str();
    let failed = |e| format!("{what}: {e}");
    let no_card = |name: &str| format!("{what}: there is no {name}");
    let name = IfName::new(what).ok_or_else(|| format!("{what}: not a name of an interface"))?;
    cx.m.own(cx.n0).fixed_index.set(Some(v.of.index));
    let entry = if_clone::attach(cx, name).map_err(failed)?;
    let Softc::Carp(sc) = &entry.softc else { return Err(no_card(what)) };
    let find = |cx: &Ctx0<'_>, parent: &str| {
        let found = IfName::new(parent).and_then(|name| cx.m.if_byname(cx.n0, name));
        found.map(|e| e.ifp.clone()).ok_or_else(|| no_card(parent))
    };
    if let Some(parent) = &v.carpdev {
        let parent = find(cx, parent)?;
        cx.carp(|cx| libcarp::ifaddr::set_carpdev(cx, sc, Some(&parent))).map_err(failed)?;
    }
    // Whatever it advertises is told later; a vhid or an interval must be set.
    let (carpr_vhid, carpr_advbase) = (v.vhid.into(), 1);
    let carpr_state = CARPR_STATE_KEEP;
    let req = CarpReq { carpr_state, carpr_vhid, carpr_advbase, carpr_advskew: 0, carpr_key: v.key };
    cx.carp(|cx| ioctl::setvh(cx, sc, &req)).map_err(failed)?;
    set_peers(cx, sc, v.dst).map_err(failed)?;
    for (net, broad) in &v.of.addrs {
        add_address(cx, &entry, *net, *broad)?;
    }
    join_groups(cx, &entry, &v.of)?;
    if_::set_flags(cx, &entry, Iff::from_bits_retain(v.of.flags)).map_err(failed)?;
    if let Some(parent) = &v.lost_parent {
        let parent = find(cx, parent)?;
        *sc.own(cx.n0).lost_parent.borrow_mut() = Some(parent);
    }
    Ok(())
}

fn set_peers(
    cx: &mut Ctx0<'_>,
    sc: &Arc<CarpSoftc>,
    dst: [IpAddr; 2],
) -> Result<(), compat::sys::errno::Errno> {
    let mut peers = CarpPeers::default();
    for dst in dst {
        match dst {
            dst if dst == carp_group(Af::of(dst)) => {}
            IpAddr::V4(dst) => peers.carpp_addr = SockAddrIn::new(dst),
            IpAddr::V6(dst) => peers.carpp_addr6 = SockAddrIn6::new(dst, 0),
        }
    }
    if peers.carpp_addr.sin_len == 0 && peers.carpp_addr6.sin6_len == 0 {
        return Ok(());
    }
    cx.carp(|cx| ioctl::setpeers(cx, sc, &peers))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dev::lan::Lan;
    use crate::machine::{Config, Machine, PerCpu};
    use compat::sys::time::VirtualClock;
    use std::sync::Arc as StdArc;

    fn boot<T>(body: impl FnOnce(&mut Ctx0<'_>) -> T) -> T {
        let (clock, log) = (StdArc::new(VirtualClock::default()), crate::machine::trace());
        let mut booted = Machine::boot(Config { ncpus: 1, clock, seed: [0; 32], hz: 0, log });
        let mut n0 = booted.seeds.remove(0).claim0(Box::new(|| {}));
        let cpu = PerCpu::default();
        body(&mut Ctx0 { m: &booted.machine, n0: &mut n0, cpu: &cpu })
    }

    #[test]
    fn a_machine_is_built_with_exactly_its_cards() {
        let card = |n: u8| Lan::new().attach(IfName::new(&format!("em{n}")).unwrap(), [2, 0, 0, 0, 0, n], 1);
        let frozen = boot(|cx| {
            for n in [0, 9] {
                if_::attach_device(cx, &card(n)).unwrap();
            }
            freeze(cx)
        });
        for (cards, built) in [
            (&[0, 9][..], Ok(2)),
            (&[0], Err("em9: it has only just come".to_owned())),
            (&[0, 9, 8], Err("em8: the machine has no such card".to_owned())),
        ] {
            let devices: Vec<Device> = cards.iter().map(|n| card(*n)).collect();
            let thawed = boot(|cx| thaw(cx, &frozen, &devices, &[]));
            assert_eq!(thawed.map(|indexes| indexes.len()), built);
        }
    }
}
