//! What must be true inside of one machine whenever nobody has anything to do:
//! whatever is counted, joined, armed or listed is what its causes add up to.

use super::{Rule, Verdict, wrong};
use crate::machine::Machine;
use crate::net::fate::Fate;
use crate::net::if_::Softc;
use crate::netinet6::in6::is_real;
use compat::net::if_::{Iff, LinkState};
use compat::netinet::in_::INADDR_ALLHOSTS_GROUP;
use compat::netinet6::in6::{IN6ADDR_LINKLOCAL_ALLNODES, solicited_node};
use compat::qsbr::Netisr0;
use compat::sys::socket::Af;
use libcarp::kernel::{CarpCallout, Timer};
use libcarp::softc::{SoftcOwn, State};
use libcarp::{CarpSoftc, Ifnet};
use std::collections::BTreeMap;
use std::net::IpAddr;
use triomphe::Arc;

/// Callouts that a machine may have besides those of its carp interfaces.
const OTHER_CALLOUTS: usize = 8;

/// All of it. `taken` is how many frames its cards have handed over, `written`
/// what was written to `net.inet.carp.demotion`.
pub(super) fn check(m: &Machine, n0: &Netisr0, taken: u64, written: i64) -> Verdict {
    let softcs = m.carp.own(n0).carpif_list.borrow();
    for sc in softcs.iter() {
        softc(m, n0, sc)?;
    }
    for entry in m.ifnets.load(n0).into_iter().flat_map(|t| t.iter()) {
        groups(m, n0, &entry.ifp, softcs.iter().find(|sc| Arc::ptr_eq(&sc.sc_if, &entry.ifp)))?;
        if matches!(entry.softc, Softc::Nic(_)) {
            list(n0, &entry.ifp, &softcs)?;
        }
    }
    demotion(m, n0, &softcs, written)?;
    let ended: u64 = Fate::ALL.into_iter().map(|fate| m.fates.value(fate)).sum();
    if ended != taken {
        return wrong(Rule::Frames, format!("{taken} frames were taken, {ended} have a fate"));
    }
    bounds(m, n0, softcs.len())
}

/// `if_carp`: ascending, no vhid twice, and who is in it has it as its parent.
fn list(n0: &Netisr0, ifp: &Arc<Ifnet>, softcs: &[Arc<CarpSoftc>]) -> Verdict {
    let name = ifp.if_xname;
    let bad = |what: String| wrong(Rule::IfCarp, format!("{name}: {what}"));
    let list: Vec<_> = ifp.if_carp.load(n0).into_iter().flat_map(|cif| cif.iter()).collect();
    for pair in list.windows(2) {
        let [a, b] = [pair[0].scc_vhid, pair[1].scc_vhid];
        if a > b || (a.is_some() && a == b) {
            return bad(format!("vhid {b:?} stands behind {a:?}"));
        }
    }
    for scc in &list {
        let sc = &scc.scc_softc;
        if scc.scc_vhid != sc.own(n0).vhid.get() {
            return bad(format!("{} stands there with vhid {:?}", sc.xname(), scc.scc_vhid));
        }
        if !sc.carpdev(n0).is_some_and(|p| Arc::ptr_eq(p, ifp)) {
            return bad(format!("{} stands there and has another parent", sc.xname()));
        }
    }
    let here = softcs.iter().filter(|sc| sc.carpdev(n0).is_some_and(|p| Arc::ptr_eq(p, ifp)));
    if here.count() != list.len() {
        return bad("not everyone whose parent it is stands there".into());
    }
    let causes = u32::from(!list.is_empty()) + u32::from(ifp.flags().contains(Iff::PPROMISC));
    let counted = ifp.own(n0).if_pcount.get();
    if counted as u64 != u64::from(causes) {
        return wrong(Rule::Promisc, format!("{name}: if_pcount is {counted}, there are {causes} causes"));
    }
    Ok(())
}

/// The groups that an interface is in are those of its addresses, and that of
/// the advertisements.
fn groups(m: &Machine, n0: &Netisr0, ifp: &Arc<Ifnet>, sc: Option<&Arc<CarpSoftc>>) -> Verdict {
    let mut causes: BTreeMap<IpAddr, u64> = BTreeMap::new();
    let mut cause = |group: IpAddr| *causes.entry(group).or_default() += 1;
    let ifaddrs = m.own(n0).ifaddrs.borrow();
    let mut inet6 = false;
    for ia in ifaddrs.iter().filter(|ia| Arc::ptr_eq(&ia.ifa_ifp, ifp)) {
        inet6 |= ia.ifa_addr.is_ipv6();
        cause(match ia.ifa_addr {
            IpAddr::V4(_) => INADDR_ALLHOSTS_GROUP.into(),
            IpAddr::V6(a) => solicited_node(a).into(),
        });
    }
    if inet6 && is_real(ifp) {
        cause(IN6ADDR_LINKLOCAL_ALLNODES.into());
    }
    for per in sc.into_iter().flat_map(|sc| Af::ALL.map(|af| sc.own(n0).af(af))) {
        let group = per.dst.get();
        if per.naddrs.get() > 0 && group.is_multicast() {
            cause(group);
        }
    }
    let joined = ifp.own(n0).if_multiaddrs.borrow();
    let joined: BTreeMap<IpAddr, u64> = joined.iter().map(|(group, n)| (*group, *n as u64)).collect();
    if joined != causes {
        return wrong(
            Rule::Groups,
            format!("{} is in {joined:?}, and should be in {causes:?}", ifp.if_xname),
        );
    }
    Ok(())
}

/// Its counts, its timers, and its reasons not to preempt.
fn softc(m: &Machine, n0: &Netisr0, sc: &CarpSoftc) -> Verdict {
    let own = sc.own(n0);
    let bad = |what: String| wrong(Rule::Softc, format!("{} in {:?}: {what}", sc.xname(), sc.state()));
    let vhas = own.vha_list();
    for af in Af::ALL {
        let active = vhas.iter().filter(|v| v.vha_ia.af() == af && v.is_active(n0)).count();
        if own.af(af).naddrs.get() != active {
            return bad(format!("{} addresses are counted, {active} are active", own.af(af).naddrs.get()));
        }
    }
    let attached = vhas.iter().any(|v| v.is_active(n0));
    if attached != sc.carpdev(n0).is_some() {
        return bad(format!("active addresses: {attached}, a parent: {}", !attached));
    }
    if !vhas.windows(2).all(|pair| pair[0].vha_ia.ifa_addr < pair[1].vha_ia.ifa_addr) {
        return bad("its addresses are not ascending".into());
    }
    let callouts = m.own(n0).callouts.borrow();
    let armed = |timer| callouts.deadline(CarpCallout { if_index: sc.sc_if.if_index, timer }).is_some();
    let (ad, down) = (armed(Timer::Ad), armed(Timer::Md) || armed(Timer::Md6));
    let wanted = match sc.state() {
        State::Init => (false, false),
        State::Backup => (false, true),
        State::Master => (true, false),
    };
    // A second timer of a BACKUP waits for the family that is not heard.
    if (ad, down) != wanted {
        return bad(format!("its advertisement is due: {ad}; it waits for a master: {down}"));
    }
    let up = sc.sc_if.flags().contains(Iff::UP);
    let runs = up && own.vhid.get().is_some() && !vhas.is_empty();
    if let Some(parent) = sc.carpdev(n0) {
        let cut = runs && parent.link_state() == LinkState::Down;
        if own.suppress.get().is_some() != cut {
            return bad(format!("it suppresses {:?}, and its link is down: {cut}", own.suppress.get()));
        }
        let can_run = runs && !cut && parent.flags().contains(Iff::UP);
        if can_run == (sc.state() == State::Init) {
            return bad(format!("it can run: {can_run}"));
        }
        let partly = runs && !cut && vhas.iter().any(|v| !v.is_active(n0));
        if own.unbacked.get().is_some() != partly {
            return bad(format!("it is unbacked {:?}, and in part: {partly}", own.unbacked.get()));
        }
    } else if own.unbacked.get().is_some() != (runs && own.suppress.get().is_none()) {
        return bad(format!("it has no parent, and is unbacked {:?}", own.unbacked.get()));
    } else if sc.state() != State::Init {
        return bad("it has no parent".into());
    }
    Ok(())
}

/// Reasons and demotion are what each softc adds to them, and what was written.
fn demotion(m: &Machine, n0: &Netisr0, softcs: &[Arc<CarpSoftc>], written: i64) -> Verdict {
    let of = |own: &SoftcOwn| [&own.suppress, &own.unbacked, &own.sendad_demotes].map(|reason| reason.get());
    let each = softcs.iter().flat_map(|sc| of(sc.own(n0)));
    let factors: Vec<i64> = each.flatten().filter(|f| *f != 0).map(i64::from).collect();
    let own = m.carp.own(n0);
    let (counted, sum) = (own.suppress_preempt.get(), own.demotion.get());
    let wanted = factors.iter().sum::<i64>() + written;
    if usize::try_from(counted) != Ok(factors.len()) || sum != wanted {
        let text =
            format!("{counted} reasons and a demotion of {sum} instead of {} and {wanted}", factors.len());
        return wrong(Rule::Reasons, text);
    }
    Ok(())
}

/// Nothing piles up.
fn bounds(m: &Machine, n0: &Netisr0, softcs: usize) -> Verdict {
    let bad = |what: String| wrong(Rule::Bounds, what);
    if !m.port0.is_empty() || m.ports.iter().any(|port| !port.is_empty()) {
        return bad("a message is left in a port".into());
    }
    let callouts = m.own(n0).callouts.borrow().len();
    if callouts > 4 * softcs + OTHER_CALLOUTS {
        return bad(format!("{callouts} callouts of {softcs} carp interfaces"));
    }
    let inflight = m.own(n0).inflight.borrow().len();
    if inflight > 0 {
        return bad(format!("{inflight} callouts are under way"));
    }
    Ok(())
}
