//! What is worth a word of a configuration that a machine takes: what it would be without
//! anybody's being MASTER, or too late.

use super::place::Complaint;
use super::trial::Trial;
use super::{Conf, Lent};
use compat::net::if_::IfName;
use ifconfig_carp::ifconfig::{self, Has};
use ipnet::IpNet;
use std::net::IpAddr;

/// All of it, of a machine that has come by `conf`.
pub(super) fn all(conf: &Conf, lent: Lent<'_>, trial: &mut Trial) -> Vec<Complaint> {
    let mut told = unbacked(conf, trial);
    told.extend(without_vhid(conf));
    told.extend(of_the_host(conf, lent, trial));
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

/// Carp interfaces with addresses, and no virtual host whose these could be.
fn without_vhid(conf: &Conf) -> impl Iterator<Item = Complaint> + '_ {
    let what = |name| format!("warning: {name} has no vhid: it stays INIT");
    conf.interfaces.iter().filter_map(move |i| Some((Some(i.wanted.lacks_vhid()?), what(i.name))))
}

/// Virtual addresses that the host has itself: it would answer for them, MASTER or not.
fn of_the_host(conf: &Conf, lent: Lent<'_>, trial: &Trial) -> Vec<Complaint> {
    let mut told = Vec::new();
    for interface in &conf.interfaces {
        let parent = trial.parent(interface).filter(|parent| conf.daemon.cards.host_serves(*parent));
        let Some(parent) = parent else { continue };
        let has = lent(parent).unwrap_or_default();
        for (addr, at) in interface.wanted.virtual_addresses() {
            if has.iter().any(|net| net.addr() == addr) {
                let name = interface.name;
                let what =
                    format!("warning: {addr} is {parent}'s own address on the host: {name} stays INIT");
                told.push((Some(at), what));
            }
        }
    }
    told
}

/// Virtual addresses that have no place to live: nobody will be MASTER of them.
fn unbacked(conf: &Conf, trial: &mut Trial) -> Vec<Complaint> {
    let mut told = Vec::new();
    for interface in conf.interfaces.iter().filter(|i| i.wanted.needs_backing()) {
        let parent = trial.parent(interface);
        // One that there is not has failed before.
        for (addr, back) in ifconfig::backings(trial, interface.name).unwrap_or_default() {
            if back.is_none() {
                let what = nothing_backs(addr, interface.name, parent, conf, trial);
                told.push((interface.wanted.place_of(addr), format!("warning: {what}")));
            }
        }
    }
    told
}

/// An address backs one of the same prefix: of the same length, too, and on the parent.
fn nothing_backs(addr: IpAddr, of: IfName, parent: Option<IfName>, conf: &Conf, trial: &mut Trial) -> String {
    let all = ifconfig::addresses(trial).unwrap_or_default();
    let net = |has: &Has| IpNet::new(has.addr, has.prefixlen).ok();
    let it = all.iter().find(|has| has.ifname == of.as_str() && has.addr == addr).and_then(net);
    let it = it.unwrap_or_else(|| addr.into());
    let near = of_cards(&all, conf).filter(|(_, net)| net.contains(&addr)).collect::<Vec<_>>();
    match (near.iter().find(|(_, net)| net.trunc() == it.trunc()), parent) {
        (Some((name, has)), Some(parent)) if *name != parent.as_str() => {
            let why = "and a carp interface has one parent";
            format!("nothing backs {it} on {of}'s parent {parent}: {name} has {has}, {why}")
        }
        (Some((name, has)), _) => format!("nothing backs {it}: {name} has {has}, and is down"),
        (None, _) => {
            let near = near.first().map_or(String::new(), |(name, net)| format!(", but {name} has {net}"));
            format!("nothing backs {it}: no interface has an address of {}{near}", it.trunc())
        }
    }
}

/// The addresses that can back others.
pub(super) fn of_cards<'a>(all: &'a [Has], conf: &'a Conf) -> impl Iterator<Item = (&'a str, IpNet)> {
    let is_clone = |name: &str| conf.interfaces.iter().any(|i| i.is_clone && i.name.as_str() == name);
    let cards = all.iter().filter(move |has| has.vhid == 0 && !is_clone(&has.ifname));
    cards.filter_map(|has| Some((has.ifname.as_str(), IpNet::new(has.addr, has.prefixlen).ok()?)))
}
