//! Of expectations.

use super::{Complaint, Place, check_order, one_of};
use crate::lab::scenario::{ExpectSpec, Kind, Name, Scenario};

/// The one interface that there is unless an expectation says which.
const CARP0: &str = "carp0";

pub(super) fn check(scenario: &Scenario, place: &Place, expect: &ExpectSpec) -> Result<(), Complaint> {
    match (&expect.machine, expect.two_masters_no_longer_than, &expect.client) {
        (Some(machine), None, None) => of_a_state(scenario, place, expect, machine)?,
        (None, Some(_), None) => {
            let keys = &["two_masters_no_longer_than", "lan", "vhid", "from", "until"];
            takes(place, expect, keys)?;
            expect.lan.iter().try_for_each(|lan| one_of("a LAN", lan, scenario.lan.keys()))?;
        }
        (None, None, Some(client)) => {
            one_of("a client", client, scenario.client.keys())?;
            if expect.ping_loss_below.is_none() {
                return Err((Place::of(client), "expected ping_loss_below".into()));
            }
            takes(place, expect, &["client", "ping_loss_below", "from", "until"])?;
        }
        _ => {
            let what = "expected one of: machine and state; two_masters_no_longer_than; \
                        client and ping_loss_below";
            return Err((place.clone(), what.into()));
        }
    }
    if expect.vhid == Some(0) {
        return Err((place.and("vhid"), "expected a vhid between 1 and 255".into()));
    }
    times(scenario, place, expect)
}

/// Times that come, and one after the other.
fn times(scenario: &Scenario, place: &Place, expect: &ExpectSpec) -> Result<(), Complaint> {
    for (key, begins) in [("from", expect.from), ("after", expect.after)] {
        begins.map_or(Ok(()), |at| scenario.check_begins(&place.and(key), at))?;
    }
    for (key, comes) in [("by", expect.by), ("until", expect.until)] {
        comes.map_or(Ok(()), |at| scenario.check_comes(&place.and(key), at))?;
    }
    check_order(&place.and("until"), expect.from.unwrap_or_default(), expect.until)
}

fn of_a_state(
    scenario: &Scenario,
    place: &Place,
    expect: &ExpectSpec,
    machine: &Name,
) -> Result<(), Complaint> {
    one_of("a machine", machine, scenario.machine.keys())?;
    let times: &[&str] = match (expect.by, expect.after.zip(expect.within), expect.from) {
        (Some(_), None, None) => &["by"],
        (None, Some(_), None) => &["after", "within", "not_within"],
        (None, None, Some(_)) => &["from", "until"],
        _ => &[],
    };
    if expect.state.is_none() || times.is_empty() {
        let what = "expected a state, and one of: by; after and within; from";
        return Err((Place::of(machine), what.into()));
    }
    takes(place, expect, &[&["machine", "interface", "vhid", "state"], times].concat())?;
    let ifname = expect.interface.as_deref().unwrap_or(CARP0);
    if !has(scenario, machine, ifname) {
        let what = format!(
            "expected an interface that a line of {} makes or a cable has, not {ifname:?}",
            machine.as_ref()
        );
        let key = if expect.interface.is_some() { "interface" } else { "machine" };
        return Err((place.and(key), what));
    }
    Ok(())
}

/// Whether a machine may have an interface of that name: as a card, or by one of
/// its lines.
fn has(scenario: &Scenario, machine: &Name, ifname: &str) -> bool {
    let Some(spec) = scenario.machine.get(machine.as_ref()) else { return false };
    let typed = scenario.at.iter().filter(|deed| deed.machine.as_ref() == machine.as_ref());
    let mut lines = spec.boot.iter().chain(typed.filter_map(|deed| deed.run.as_ref()));
    spec.interfaces.contains_key(ifname)
        || (spec.kind == Kind::Ucarp && ifname == CARP0)
        || lines.any(|line| {
            let words = shlex::split(line.as_ref()).unwrap_or_default();
            let mut words = words.iter().map(String::as_str);
            words.next() == Some("ifconfig") && words.next().is_some_and(|word| is_named(word, ifname))
        })
}

/// By its name, or by that of all of its kind, of which `create` makes the next.
fn is_named(word: &str, ifname: &str) -> bool {
    word == ifname || (word == "carp" && ifname.starts_with("carp"))
}

/// Whether it has no other keys: those would be overlooked.
fn takes(place: &Place, expect: &ExpectSpec, keys: &[&str]) -> Result<(), Complaint> {
    let given = [
        ("machine", expect.machine.is_some()),
        ("interface", expect.interface.is_some()),
        ("vhid", expect.vhid.is_some()),
        ("state", expect.state.is_some()),
        ("by", expect.by.is_some()),
        ("after", expect.after.is_some()),
        ("within", expect.within.is_some()),
        ("not_within", expect.not_within.is_some()),
        ("from", expect.from.is_some()),
        ("until", expect.until.is_some()),
        ("lan", expect.lan.is_some()),
        ("two_masters_no_longer_than", expect.two_masters_no_longer_than.is_some()),
        ("client", expect.client.is_some()),
        ("ping_loss_below", expect.ping_loss_below.is_some()),
    ];
    match given.iter().find(|(key, is)| *is && !keys.contains(key)) {
        Some((key, _)) => {
            Err((place.and(key), format!("expected no {key} beside these: only {}", keys.join(", "))))
        }
        None => Ok(()),
    }
}
