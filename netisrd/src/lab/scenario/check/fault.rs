//! Of faults.

use super::{Complaint, Place, check_order, one_of};
use crate::lab::scenario::{FaultSpec, Name, Scenario};
use std::collections::BTreeSet;

const OF_A_LAN: &str = "expected one or more of loss, duplicate, corrupt, truncate, reorder, delay, jitter, \
                        echo, partition, one_way";

pub(super) fn check(scenario: &Scenario, place: &Place, fault: &FaultSpec) -> Result<(), Complaint> {
    match (&fault.lan, &fault.machine) {
        (Some(lan), None) => at_lan(scenario, place, fault, lan),
        (None, Some(machine)) => at_machine(scenario, place, fault, machine),
        _ => Err((place.clone(), "expected a fault's lan, or its machine and interface".into())),
    }?;
    scenario.check_begins(&place.and("from"), fault.from)?;
    check_order(&place.and("until"), fault.from, fault.until)
}

fn at_lan(scenario: &Scenario, place: &Place, fault: &FaultSpec, lan: &Name) -> Result<(), Complaint> {
    one_of("a LAN", lan, scenario.lan.keys())?;
    if !concerns_a_lan(fault) || fault.link_down || fault.send_errors {
        return Err((Place::of(lan), OF_A_LAN.into()));
    }
    if let Some(interface) = &fault.interface {
        return Err((Place::of(interface), "expected no interface: a LAN's fault is everybody's".into()));
    }
    if shares(fault).iter().any(|share| !(0.0..=1.0).contains(share)) {
        return Err((Place::of(lan), "expected shares between 0 and 1".into()));
    }
    let one_way = fault.one_way.iter().flat_map(|w| w.from.iter().chain(&w.to));
    let mut named = fault.partition.iter().flatten().chain(one_way);
    let stations = || scenario.machine.keys().chain(scenario.client.keys());
    named.try_for_each(|name| one_of("a station", name, stations()))?;
    if fault.partition.len() == 1 {
        let what = "expected two parts or more: who is in none hears all";
        return Err((place.and("partition"), what.into()));
    }
    let mut seen = BTreeSet::new();
    for name in fault.partition.iter().flatten() {
        if !seen.insert(name.as_ref()) {
            return Err((Place::of(name), format!("expected {} in one part, and once", name.as_ref())));
        }
    }
    Ok(())
}

fn at_machine(
    scenario: &Scenario,
    place: &Place,
    fault: &FaultSpec,
    machine: &Name,
) -> Result<(), Complaint> {
    one_of("a machine", machine, scenario.machine.keys())?;
    let Some(interface) = &fault.interface else {
        return Err((Place::of(machine), "expected an interface".into()));
    };
    let interfaces = scenario.machine.get(machine.as_ref()).map(|m| m.interfaces.keys());
    one_of("an interface", interface, interfaces.into_iter().flatten())?;
    if concerns_a_lan(fault) || fault.link_down == fault.send_errors {
        return Err((Place::of(machine), "expected link_down or send_errors".into()));
    }
    if fault.only.is_some() {
        return Err((place.and("only"), "expected only beside a lan: it is of frames on one".into()));
    }
    Ok(())
}

fn shares(fault: &FaultSpec) -> [f64; 5] {
    [fault.loss, fault.duplicate, fault.corrupt, fault.truncate, fault.reorder]
}

fn concerns_a_lan(fault: &FaultSpec) -> bool {
    shares(fault).iter().any(|share| *share != 0.0)
        || fault.echo
        || !fault.delay.0.is_zero()
        || !fault.jitter.0.is_zero()
        || !fault.partition.is_empty()
        || fault.one_way.is_some()
}
