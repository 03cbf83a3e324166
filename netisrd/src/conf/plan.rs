//! From one configuration to another, in steps.

use super::act::{Act, Words};
use super::keys::DEMOTION;
use super::wanted::{Step, Wanted};
use super::{Conf, Interface};
use compat::net::if_::IfName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What was applied last.
#[derive(Default)]
pub(super) struct Applied {
    conf: Conf,
    /// What the sysctls of the file were before it set them first.
    sysctls: BTreeMap<String, String>,
}

impl Applied {
    pub(super) fn conf(&self) -> &Conf {
        &self.conf
    }

    pub(super) fn sysctls(&self) -> &BTreeMap<String, String> {
        &self.sysctls
    }

    /// What `conf` sets counts from now on; `before` has what its new sysctls
    /// were.
    pub(super) fn then(&self, conf: Conf, before: BTreeMap<String, String>) -> Applied {
        let mut sysctls = self.sysctls.clone();
        for (name, value) in before {
            sysctls.entry(name).or_insert(value);
        }
        sysctls.retain(|name, _| conf.sysctl(name).is_some());
        Applied { conf, sysctls }
    }
}

/// The interfaces of a machine, as far as a file has to do with them.
#[derive(Default)]
pub(super) struct There {
    /// Those that it has.
    pub(super) names: BTreeSet<String>,
    /// The host's that it is to have, and that are gone or have not come yet.
    pub(super) absent: BTreeSet<IfName>,
    /// Carp interfaces that have nothing of the file: they wait for one of those. And whoever
    /// did not get all of it.
    pub(super) waiting: BTreeSet<IfName>,
}

impl There {
    fn has(&self, name: IfName) -> bool {
        self.names.contains(name.as_str())
    }

    /// Whether the parent that is chosen for it is not there. Made, it has nothing until
    /// then: what is on it would find another parent.
    fn lacks_parent(&self, interface: &Interface) -> bool {
        interface.is_clone && interface.wanted.parent().is_some_and(|parent| self.absent.contains(&parent))
    }

    /// The same where it was not there when that was chosen either.
    fn waits(&self, before: &Applied, interface: &Interface) -> bool {
        let parent = interface.wanted.parent();
        let chosen =
            || before.conf.interface(interface.name).is_some_and(|old| old.wanted.parent() == parent);
        let has_lines = self.has(interface.name) && !self.waiting.contains(&interface.name);
        self.lacks_parent(interface) && !(has_lines && chosen())
    }

    /// Those who wait once the machine is as `conf` says, and not as `before` any more.
    pub(super) fn waiting(&self, before: &Applied, conf: &Conf) -> BTreeSet<IfName> {
        conf.interfaces.iter().filter(|i| self.waits(before, i)).map(|i| i.name).collect()
    }
}

/// All lines, as they are typed, on a machine that has just booted.
pub(super) fn from_nothing(conf: &Conf, there: &There) -> Vec<Step> {
    let mut steps = sysctl_steps(&Applied::default(), conf);
    conf.interfaces.iter().for_each(|interface| as_typed(interface, there, &mut steps));
    steps
}

/// What is done when the card `name` has come, for the first time or again: all that is
/// typed on it, and on those of `waiting` whose parent it is; of others it is chosen as
/// the parent.
pub(super) fn arrival(conf: &Conf, name: IfName, waiting: &BTreeSet<IfName>) -> Vec<Step> {
    let mut steps = Vec::new();
    for interface in &conf.interfaces {
        let is_parent = interface.is_clone && interface.wanted.parent() == Some(name);
        if interface.name == name || (is_parent && waiting.contains(&interface.name)) {
            lines(interface, &mut steps);
        } else if is_parent {
            let mut words = Words::default();
            words.pair("carpdev", name);
            steps.push(Step::new(interface.at, Act::Ifconfig(interface.name, words), Vec::new()));
        }
    }
    steps
}

/// What leads from what was applied to `conf` on a machine with these interfaces.
pub(super) fn steps(before: &Applied, conf: &Conf, there: &There) -> Vec<Step> {
    let mut steps = sysctl_steps(before, conf);
    for old in before.conf.interfaces.iter().filter(|i| i.is_clone) {
        if conf.interface(old.name).is_none() && there.has(old.name) {
            steps.push(destroy(old, there));
        }
    }
    let mut of_interfaces: Vec<Vec<Step>> = Vec::new();
    let nothing = Wanted::default();
    for old in before.conf.interfaces.iter().filter(|i| !i.is_clone && there.has(i.name)) {
        if conf.interface(old.name).is_none() {
            of_interfaces.push(nothing.steps_from(&old.wanted, old.name));
        }
    }
    for new in &conf.interfaces {
        let old = before.conf.interface(new.name);
        let has_nothing = there.waiting.contains(&new.name);
        let mut mine = Vec::new();
        match (old, there.has(new.name)) {
            (_, true) if there.waits(before, new) => {
                if let Some(old) = old.filter(|_| !has_nothing) {
                    // It leaves the parent that it has for one that has not come.
                    steps.push(destroy(old, there));
                    as_typed(new, there, &mut mine);
                }
            }
            (Some(old), true) if !has_nothing => mine = new.wanted.steps_from(&old.wanted, new.name),
            (Some(_), true) => mine = new.wanted.steps_from(&Wanted::new(new.is_clone), new.name),
            (_, false) => as_typed(new, there, &mut mine),
            (None, true) => {
                mine = new.wanted.steps_from(&Wanted::new(new.is_clone), new.name);
                if new.is_clone {
                    // Somebody has made it by hand: what it had is not known.
                    mine.iter_mut().for_each(|step| step.lasting = true);
                }
            }
        }
        of_interfaces.push(mine);
    }
    let vhids = vhids_that_move(before, conf, there);
    order(&mut steps, vhids, of_interfaces);
    steps
}

/// Sysctls come first: elections go by them.
fn sysctl_steps(before: &Applied, conf: &Conf) -> Vec<Step> {
    let mut steps = Vec::new();
    for old in &before.conf.sysctls {
        if conf.sysctl(&old.name).is_none() {
            let act = match (old.name.as_str(), before.sysctls.get(&old.name)) {
                (DEMOTION, _) => added(&old.value, "0"),
                (_, Some(value)) => Some(Act::Sysctl(old.name.clone(), value.clone())),
                (_, None) => None,
            };
            steps.extend(act.map(|act| Step::new(old.at, act, Vec::new())));
        }
    }
    for new in &conf.sysctls {
        let old = before.conf.sysctl(&new.name).map(|s| s.value.as_str());
        let act = match (new.name.as_str(), old) {
            (_, Some(old)) if old == new.value => None,
            (DEMOTION, old) => added(old.unwrap_or("0"), &new.value),
            _ => Some(Act::Sysctl(new.name.clone(), new.value.clone())),
        };
        steps.extend(act.map(|act| Step::new(new.at, act, Vec::new())));
    }
    steps
}

/// A write adds, so it is the difference that is written.
fn added(before: &str, now: &str) -> Option<Act> {
    let number = |text: &str| text.parse::<i32>().unwrap_or(0);
    match number(now).saturating_sub(number(before)) {
        0 => None,
        more => Some(Act::Sysctl(DEMOTION.into(), more.to_string())),
    }
}

/// An interface that is not there. A card that is not gets its lines when it comes.
fn as_typed(interface: &Interface, there: &There, steps: &mut Vec<Step>) {
    let name = interface.name;
    if interface.is_clone {
        let create = Act::Ifconfig(name, Words::of("create"));
        steps.push(Step::new(interface.at, create, vec![Act::Ifconfig(name, Words::of("destroy"))]));
    }
    if !there.absent.contains(&name) && !there.lacks_parent(interface) {
        lines(interface, steps);
    }
}

/// All that is typed on one that is there.
fn lines(interface: &Interface, steps: &mut Vec<Step>) {
    for line in &interface.lines {
        // What takes the interface away takes this along.
        steps.push(Step::new(line.at, Act::Ifconfig(interface.name, line.words.again()), Vec::new()));
    }
}

fn destroy(old: &Interface, there: &There) -> Step {
    let mut back = Vec::new();
    as_typed(old, there, &mut back);
    let undo = back.into_iter().map(|step| step.act).collect();
    Step::new(old.at, Act::Ifconfig(old.name, Words::of("destroy")), undo)
}

/// A vhid that one carp interface gives up and another gets must be free by then.
fn vhids_that_move(before: &Applied, conf: &Conf, there: &There) -> Vec<Step> {
    let has_lines = |i: &Interface| there.has(i.name) && !there.waiting.contains(&i.name);
    let stays = |i: &&Interface| i.is_clone && has_lines(i) && !there.waits(before, i);
    let carps = || conf.interfaces.iter().filter(stays);
    let old_vhid = |i: &Interface| before.conf.interface(i.name).and_then(|old| old.wanted.own_vhid());
    let gets = |vhid| {
        let had = |i: &Interface| before.conf.interface(i.name).is_some_and(|old| old.wanted.has_vhid(vhid));
        conf.interfaces.iter().any(|i| i.wanted.has_vhid(vhid) && !had(i))
    };
    let moved = carps().filter_map(|i| {
        let vhid = old_vhid(i).filter(|vhid| gets(*vhid))?;
        i.wanted.own_vhid().filter(|now| *now != vhid)?;
        let mut back = Words::default();
        back.pair("vhid", vhid);
        Some(Step::new(i.at, Act::Clear(i.name, None), vec![Act::Ifconfig(i.name, back)]))
    });
    moved.collect()
}

/// What leaves one interface for another leaves first.
fn order(steps: &mut Vec<Step>, vhids: Vec<Step>, of_interfaces: Vec<Vec<Step>>) {
    steps.extend(vhids);
    let coming = |n: usize| -> BTreeSet<IpAddr> {
        let others = of_interfaces.iter().enumerate().filter(|(m, _)| *m != n);
        others.flat_map(|(_, steps)| steps).filter_map(|s| s.comes).collect()
    };
    let coming: Vec<BTreeSet<IpAddr>> = (0..of_interfaces.len()).map(coming).collect();
    let mut later = Vec::new();
    for (mine, coming) in of_interfaces.into_iter().zip(coming) {
        for step in mine {
            let vhid_goes = matches!(step.act, Act::Clear(..));
            let moves = step.goes.is_some_and(|addr| coming.contains(&addr));
            if vhid_goes || moves { steps.push(step) } else { later.push(step) }
        }
    }
    steps.append(&mut later);
}
