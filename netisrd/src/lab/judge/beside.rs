//! The reference model beside one machine.

use super::card::Act;
use super::request::{Meaning, ToInterface};
use super::{Rule, Verdict, answers, wrong};
use crate::lab::model::{Advert, Host, HostInput, Input, Vhost};
use crate::lab::record::State;
use crate::machine::Machine;
use compat::net::if_var::LlAddr;
use compat::qsbr::Netisr0;
use compat::sys::time::Time;
use ipnet::{IpNet, Ipv6Net};
use libcarp::CarpSoftc;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use triomphe::Arc;

/// A carp interface of the model.
struct Carp {
    name: String,
    /// The vhid that it had before, by which it may still bow out.
    before: u8,
    addrs: Vec<IpNet>,
}

/// A card of the machine.
struct Card {
    name: String,
    if_index: u16,
    lladdr: LlAddr,
    addrs: Vec<IpNet>,
}

/// The model of a machine, and what it has to be told by.
pub(super) struct Beside {
    /// `None` once something has happened that it does not know.
    model: Option<Host>,
    cards: Vec<Card>,
    carps: Vec<Carp>,
    /// The machine's own addresses, after the last system call.
    own: BTreeSet<IpAddr>,
}

impl Beside {
    /// Of a machine that boots with these cards; `knows`: unless it has
    /// something from the beginning that the model does not know.
    pub(super) fn new(cards: impl Iterator<Item = (String, u16, LlAddr)>, knows: bool) -> Beside {
        let card = |(name, if_index, lladdr)| Card { name, if_index, lladdr, addrs: Vec::new() };
        let cards: Vec<_> = cards.map(card).collect();
        let model = knows.then(|| Host::new(cards.len()));
        Beside { model, cards, carps: Vec::new(), own: BTreeSet::new() }
    }

    /// From now on it does not.
    pub(super) fn forget(&mut self) {
        self.model = None;
    }

    /// When one of its timers is due, by the machine's clock.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.model.as_ref()?.next_deadline()
    }

    /// A system call has succeeded.
    pub(super) fn told(&mut self, now: Time, meaning: &Meaning) {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Beyond => self.forget(),
            Meaning::Machine(input) => self.host_input(now, input.clone()),
            Meaning::Interface(name, what) => {
                if self.interface(now, name, what).is_none() {
                    self.forget();
                }
            }
        }
    }

    /// What a system call has sent was looked at.
    pub(super) fn answered(&mut self, m: &Machine, n0: &Netisr0) {
        self.own = answers::own(m, n0);
    }

    /// Something happened to the machine.
    pub(super) fn host_input(&mut self, now: Time, input: HostInput) {
        if let Some(model) = &mut self.model {
            model.host_input(now, input);
        }
    }

    /// `None` for what the model does not know.
    fn interface(&mut self, now: Time, name: &str, what: &ToInterface) -> Option<()> {
        match self.cards.iter().position(|c| c.name == name) {
            Some(p) => self.card(now, p, what),
            None => self.carp(now, name, what),
        }
    }

    fn card(&mut self, now: Time, p: usize, what: &ToInterface) -> Option<()> {
        let card = &mut self.cards[p];
        let model = self.model.as_mut()?;
        match what {
            ToInterface::Addr(net) if card.addrs.iter().any(|a| a.addr() == net.addr() && a != net) => {
                return None;
            }
            ToInterface::Up(up) => model.host_input(now, HostInput::ParentUp(p, *up)),
            ToInterface::Addr(net) => {
                let first6 = matches!(net, IpNet::V6(_)) && !card.addrs.iter().any(|a| a.addr().is_ipv6());
                let linklocal = linklocal(card.lladdr).filter(|_| first6).map(IpNet::V6);
                for net in linklocal.into_iter().chain([*net]) {
                    if !card.addrs.contains(&net) {
                        card.addrs.push(net);
                    }
                    model.host_input(now, HostInput::ParentAddr(p, net));
                }
                model.host_input(now, HostInput::ParentUp(p, true));
                let own = self.cards.iter().flat_map(|c| &c.addrs).filter(|a| !is_linklocal(&a.addr()));
                // Of several that back an address the model takes any.
                if own.filter(|a| *a != net && (a.contains(net) || net.contains(*a))).count() > 0 {
                    return None;
                }
            }
            ToInterface::Unaddr(addr) if !is_linklocal(addr) => {
                card.addrs.retain(|a| a.addr() != *addr);
                model.host_input(now, HostInput::ParentUnaddr(p, *addr));
            }
            _ => return None,
        }
        Some(())
    }

    fn carp(&mut self, now: Time, name: &str, what: &ToInterface) -> Option<()> {
        let n = match (self.carps.iter().position(|c| c.name == name), what) {
            (Some(n), _) => n,
            (None, ToInterface::Create) => {
                self.carps.push(Carp { name: name.to_owned(), before: 0, addrs: Vec::new() });
                self.carps.len() - 1
            }
            (None, _) => return None,
        };
        let old = self.model.as_ref()?.vhost(n).map(|v| v.config().clone()).unwrap_or_default();
        let carp = &mut self.carps[n];
        let input = match what {
            ToInterface::Create => Input::Create,
            ToInterface::Destroy => Input::Destroy,
            ToInterface::Up(up) => Input::Up(*up),
            ToInterface::Setvh(vh) => vh.input(&old),
            ToInterface::Addr(net) => {
                let other_mask = carp.addrs.iter().any(|a| a.addr() == net.addr() && a != net);
                if other_mask || (is_linklocal(&net.addr()) && self.cards.len() > 1) {
                    return None;
                }
                carp.addrs.push(*net);
                Input::Addr(*net)
            }
            ToInterface::Unaddr(addr) => {
                carp.addrs.retain(|a| a.addr() != *addr);
                Input::Unaddr(*addr)
            }
        };
        if matches!(what, ToInterface::Setvh(_) | ToInterface::Destroy) && old.vhid != 0 {
            carp.before = old.vhid;
        }
        if matches!(what, ToInterface::Destroy) {
            carp.addrs.clear();
        }
        self.model.as_mut()?.input(now, n, input);
        Some(())
    }

    /// What the machine has done in a step.
    pub(super) fn stepped(&mut self, m: &Machine, n0: &Netisr0, now: Time, acts: Vec<Act>) -> Verdict {
        let mut heard = false;
        let left = |act: &Act| match act {
            Act::Sent(_, ad, _) if ad.is_bow_out() => Some(ad.vhid),
            _ => None,
        };
        let left: Vec<u8> = acts.iter().filter_map(left).collect();
        for act in acts {
            match act {
                Act::Took => {}
                Act::Says(card, says) => {
                    answers::check(m, n0, &self.cards[card].name, &says, (&left, &self.own))?;
                }
                Act::Heard(on, ad) => {
                    heard = true;
                    self.heard(now, on.as_str(), ad);
                }
                Act::Link(if_index, up) => {
                    if let Some(p) = self.cards.iter().position(|c| c.if_index == if_index) {
                        self.host_input(now, HostInput::Link(p, up));
                    }
                }
                Act::Sent(card, ad, ok) => self.sent(now, card, ad, ok)?,
            }
        }
        if heard && m.port0.is_empty() { self.compare(m, n0) } else { Ok(()) }
    }

    fn heard(&mut self, now: Time, on: &str, ad: Advert) {
        let Some(model) = &mut self.model else { return };
        model.tick(now);
        // A frame that a carp interface has claimed came in by its parent.
        let claimed = || model.vhost(self.carps.iter().position(|c| c.name == on)?).map(|v| v.parent());
        let card = self.cards.iter().position(|c| c.name == on).or_else(claimed);
        let is_its = |v: &Vhost| Some(v.parent()) == card && v.config().vhid == ad.vhid;
        if let Some(n) = model.vhosts().iter().position(is_its) {
            model.input(now, n, Input::Heard(ad));
        }
    }

    fn sent(&mut self, now: Time, card: usize, ad: Advert, ok: bool) -> Verdict {
        let Some(model) = &mut self.model else { return Ok(()) };
        let of = |n: &usize| {
            // One that has just got another vhid, or was destroyed, bows out as
            // what it was.
            let vhost = model.vhost(*n)?;
            let is = vhost.config().vhid == ad.vhid || self.carps[*n].before == ad.vhid;
            let owes = vhost.due_to_advertise().iter().any(|owed| owed.is(card, &ad));
            (is && (owes || vhost.parent() == card)).then_some((owes, vhost.config().vhid == ad.vhid))
        };
        let n = (0..self.carps.len()).filter(|n| of(n).is_some()).max_by_key(of);
        match n {
            Some(n) => model.input(now, n, Input::Sent(card, ad, ok)),
            None => return wrong(Rule::Sent, format!("{} sent {ad}", self.cards[card].name)),
        }
        Ok(())
    }

    /// Nobody has anything to do any more: what is due has been done.
    pub(super) fn idle(&mut self, m: &Machine, n0: &Netisr0, now: Time) -> Verdict {
        let Some(model) = &mut self.model else { return Ok(()) };
        model.tick(now);
        self.compare(m, n0)?;
        let Some(model) = &self.model else { return Ok(()) };
        for (vhost, carp) in model.vhosts().iter().zip(&self.carps) {
            if let Some(ad) = vhost.surprise() {
                return wrong(Rule::Sent, format!("{} sent {ad}", carp.name));
            }
            if !vhost.due_to_advertise().is_empty() {
                let owed = vhost.due_to_advertise();
                return wrong(Rule::Owed, format!("{} did not send {owed:?}", carp.name));
            }
        }
        let (real, reasons) =
            (m.carp.own(n0).suppress_preempt.get(), model.vhosts().iter().map(|v| v.reasons()).sum::<u32>());
        if i64::from(real) != i64::from(reasons) {
            let text = format!("{real} reasons not to preempt are counted, there are {reasons}");
            return wrong(Rule::Reasons, text);
        }
        Ok(())
    }

    /// Whether both are in the same states.
    fn compare(&self, m: &Machine, n0: &Netisr0) -> Verdict {
        let Some(model) = &self.model else { return Ok(()) };
        let softcs = m.carp.own(n0).carpif_list.borrow();
        for (n, (vhost, carp)) in model.vhosts().iter().zip(&self.carps).enumerate() {
            let is_it = |sc: &&Arc<CarpSoftc>| sc.xname() == carp.name;
            // The newest comes first.
            let there = softcs.len().checked_sub(n + 1).and_then(|at| softcs.get(at)).filter(is_it);
            let sc = there.or_else(|| softcs.iter().find(is_it));
            let real = sc.map_or(State::Absent, |sc| sc.state().into());
            if real != vhost.state() {
                let (real, model) = (real.name(), vhost.state().name());
                return wrong(Rule::Model, format!("{} is {real}, and should be {model}", carp.name));
            }
        }
        Ok(())
    }
}

fn is_linklocal(addr: &IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// RFC 4291: the address that an interface gives itself.
fn linklocal(lladdr: LlAddr) -> Option<Ipv6Net> {
    let [a, b, c, d, e, f] = lladdr;
    let id = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    Ipv6Net::new(Ipv6Addr::from(id), 64).ok()
}
