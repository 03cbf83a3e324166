//! Whether a machine takes a configuration: tried on one in virtual time that
//! has cards of the same names, before the real one is touched.

use super::act::Act;
use super::place::{Complaint, Place};
use super::plan::{self, Applied, There};
use super::turn::{Configuring, in_turn};
use super::wanted::Step;
use super::{Conf, Interface, Lent, apply, warn};
use crate::dev::lan::Lan;
use crate::sim::{MachineId, World};
use compat::net::if_::IfName;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{CallError, Syscalls, ifconfig};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// A machine whose whole world is one LAN for each of its cards.
pub(super) struct Trial {
    world: World,
    id: MachineId,
}

impl Trial {
    fn new(cards: &BTreeMap<IfName, bool>, lent: Lent<'_>) -> Result<Trial, String> {
        let mut world = World::new(0);
        let id = world.boot_logging(1, 0, Box::new(|_, _| ()));
        for (n, (name, is_tap)) in (1u16..).zip(cards) {
            let [hi, lo] = n.to_be_bytes();
            let mut card = Lan::new().attach(*name, [2, 0, 0, 0, hi, lo], 1);
            card.shared_with_host = !is_tap;
            card.addrs = lent(*name)?;
            world.attach(id, card).map_err(|e| format!("{name}: {e}"))?;
        }
        Ok(Trial { world, id })
    }

    /// Where the vhids of an interface live, if they do.
    pub(super) fn parent(&self, interface: &Interface) -> Option<IfName> {
        if !interface.is_clone {
            return Some(interface.name);
        }
        let (m, n0) = self.world.look(self.id)?;
        let softcs = m.carp.softcs(n0);
        let sc = softcs.iter().find(|sc| sc.sc_if.if_xname == interface.name)?;
        Some(sc.carpdev(n0)?.if_xname)
    }

    /// The card that the address of a line would live on.
    fn finds(&mut self, at: Place, interface: &Interface, conf: &Conf) -> Option<IfName> {
        let net = interface.wanted.net_at(at)?.trunc();
        let all = ifconfig::addresses(self).ok()?;
        let (card, _) = warn::of_cards(&all, conf).find(|(_, has)| has.trunc() == net)?;
        IfName::new(card)
    }
}

impl Syscalls for Trial {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        Ok(self.world.syscall(self.id, request.clone()))
    }
}

impl Configuring for Trial {
    fn configuring(&mut self, is: bool) {
        self.world.configuring(self.id, is);
    }
}

/// The cards that a machine has, and that a file configures; whether each is known
/// for a tap, on which there is no host.
fn cards(of: &[&Conf]) -> BTreeMap<IfName, bool> {
    let mut all = BTreeMap::new();
    for conf in of {
        let configured = conf.interfaces.iter().filter(|i| !i.is_clone).map(|i| i.name);
        all.extend(configured.chain(conf.daemon.cards.interface_names()).map(|name| (name, false)));
        all.extend(conf.daemon.cards.tap_names().map(|name| (name, true)));
    }
    all
}

/// From nothing to `conf`. Each line that fails is told, and the next one is
/// tried all the same. What comes back is worth a word.
pub(super) fn whole(conf: &Conf, lent: Lent<'_>, complaints: &mut Vec<Complaint>) -> Vec<Complaint> {
    let mut trial = match Trial::new(&cards(&[conf]), lent) {
        Ok(trial) => trial,
        Err(what) => {
            complaints.push((None, what));
            return Vec::new();
        }
    };
    let mut failed = Vec::new();
    let Ok(()) =
        in_turn::<Infallible>(plan::from_nothing(conf, &There::default()), &mut trial, |step, calls| {
            if let Err(what) = step.act.run(calls) {
                failed.push((step, what));
            }
            Ok(())
        });
    for (step, what) in failed {
        let taken = what.ends_with(&Errno::EEXIST.to_string()).then(|| taken(&step, conf, &mut trial));
        let what = taken.flatten().unwrap_or_else(|| told(&step.act, &what));
        complaints.push((Some(step.at), what));
    }
    warn::all(conf, lent, &mut trial)
}

/// Whoever has the vhid, if a step has failed because it is taken on its parent.
fn taken(step: &Step, conf: &Conf, trial: &mut Trial) -> Option<String> {
    let interface = conf.interface(step.act.interface()?)?;
    let vhid = interface.wanted.own_vhid()?;
    let lives = trial.parent(interface);
    let parent = interface.wanted.parent().or(lives).or_else(|| trial.finds(step.at, interface, conf))?;
    let is_there = |other: &Interface| [other.wanted.parent(), trial.parent(other)].contains(&Some(parent));
    let others = conf.interfaces.iter().filter(|other| other.name != interface.name);
    let (name, at) = others
        .filter(|other| is_there(other))
        .find_map(|other| Some((other.name, other.wanted.place_of_vhid(vhid)?)))?;
    Some(format!("expected another vhid: {name} has {vhid} on {parent}, in line {}", at.line))
}

/// From what was applied to `conf`, with the steps that the machine will take.
pub(super) fn change(before: &Applied, conf: &Conf, lent: Lent<'_>, complaints: &mut Vec<Complaint>) {
    let mut trial = match Trial::new(&cards(&[before.conf(), conf]), lent) {
        Ok(trial) => trial,
        Err(what) => return complaints.push((None, what)),
    };
    let all = plan::from_nothing(before.conf(), &There::default());
    let Ok(()) = in_turn::<Infallible>(all, &mut trial, |step, calls| {
        // All of it was taken once.
        drop(step.act.run(calls));
        Ok(())
    });
    let names = match apply::names(&mut trial) {
        Ok(names) => names,
        Err(what) => return complaints.push((None, what)),
    };
    let steps = plan::steps(before, conf, &There { names, ..There::default() });
    let done = in_turn(steps, &mut trial, |step, calls| {
        step.act.run(calls).map_err(|what| (Some(step.at), told(&step.act, &what)))
    });
    if let Err(failed) = done {
        complaints.push(failed);
        complaints.push((None, "a machine that starts takes this file, one that runs does not".into()));
    }
}

/// What a deed's failure is told as.
pub(super) fn told(act: &Act, what: &str) -> String {
    match act {
        Act::Sysctl(name, value) => {
            let refused = what.ends_with(&Errno::EINVAL.to_string());
            match libcarp::sysctl::range(name) {
                Some((low, high)) if refused || what.starts_with("invalid integer") => {
                    format!("expected a number from {low} to {high}: {name} does not take {value}")
                }
                None if refused => format!("expected another value: {name} does not take {value}"),
                _ => what.to_owned(),
            }
        }
        _ => format!("{act}: {what}"),
    }
}
