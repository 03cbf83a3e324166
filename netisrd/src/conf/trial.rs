//! Whether a machine takes a configuration: tried on one in virtual time that
//! has cards of the same names, before the real one is touched.

use super::act::Act;
use super::place::Complaint;
use super::plan::{self, Applied, There};
use super::turn::{Configuring, in_turn};
use super::{Conf, Lent, apply};
use crate::dev::lan::Lan;
use crate::sim::{MachineId, World};
use compat::net::if_::IfName;
use compat::sys::ctlsock::{Reply, Request};
use ifconfig_carp::ifconfig::{self, Has};
use ifconfig_carp::{CallError, Syscalls};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;

/// A machine whose whole world is one LAN for each of its cards.
struct Trial {
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
    let Ok(()) =
        in_turn::<Infallible>(plan::from_nothing(conf, &There::default()), &mut trial, |step, calls| {
            if let Err(what) = step.act.run(calls) {
                complaints.push((Some(step.at), told(&step.act, &what)));
            }
            Ok(())
        });
    let mut told = unbacked(conf, &mut trial);
    told.extend(hurried(conf));
    told
}

/// The kernel takes a dead one's addresses within two seconds, and that is more than
/// the peers wait for.
fn hurried(conf: &Conf) -> impl Iterator<Item = Complaint> + '_ {
    let what = "warning: advbase 0: a host whose netisrd is killed has the address until after its peers have \
                taken it over; on the path tap it has not";
    let interfaces = conf.interfaces.iter().filter(|_| conf.daemon.cards.has_macvlans());
    interfaces.flat_map(|i| i.wanted.hurries()).map(move |at| (Some(at), what.to_owned()))
}

/// Virtual addresses that have no place to live: nobody will be MASTER of them.
fn unbacked(conf: &Conf, trial: &mut Trial) -> Vec<Complaint> {
    let mut told = Vec::new();
    for interface in conf.interfaces.iter().filter(|i| i.wanted.needs_backing()) {
        // One that there is not has failed before.
        for (addr, back) in ifconfig::backings(trial, interface.name).unwrap_or_default() {
            if back.is_none() {
                let what = nothing_backs(addr, interface.name, conf, trial);
                told.push((interface.wanted.place_of(addr), format!("warning: {what}")));
            }
        }
    }
    told
}

/// An address backs one of the same prefix: of the same length, too.
fn nothing_backs(addr: IpAddr, of: IfName, conf: &Conf, trial: &mut Trial) -> String {
    let all = ifconfig::addresses(trial).unwrap_or_default();
    let net = |has: &Has| IpNet::new(has.addr, has.prefixlen).ok();
    let it = all.iter().find(|has| has.ifname == of.as_str() && has.addr == addr).and_then(net);
    let it = it.unwrap_or_else(|| addr.into());
    let is_clone = |name: &str| conf.interfaces.iter().any(|i| i.is_clone && i.name.as_str() == name);
    let cards = all.iter().filter(|has| !is_clone(&has.ifname));
    let near = cards.filter_map(|has| Some((&has.ifname, net(has)?))).find(|(_, net)| net.contains(&addr));
    let near = near.map_or(String::new(), |(name, net)| format!(", but {name} has {net}"));
    format!("nothing backs {it}: no interface has an address of {}{near}", it.trunc())
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
        Act::Sysctl(..) => what.to_owned(),
        _ => format!("{act}: {what}"),
    }
}
