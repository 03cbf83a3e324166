//! What a scenario's own types do not hold: names that must be there, times that
//! come, keys that go together.

mod expect;
mod fault;
mod power;

use super::place::{Complaint, Place};
use super::{Deed, Kind, MachineSpec, Name, Scenario};
use crate::lab::duration::Span;
use crate::lab::host;
use compat::net::if_::IfName;
use std::time::Duration;

/// `netisrd --hz`
const HZ_MAX: u32 = 10_000;
/// `netisrd -n`
const NETISRS_MAX: usize = 256;
/// The least time between two pings: a run of some seconds is to end.
const INTERVAL_MIN: Duration = Duration::from_micros(1);

impl Scenario {
    pub(super) fn check(&self) -> Result<(), Complaint> {
        if self.lan.is_empty() || self.machine.is_empty() {
            let what = "expected at least one [lan.NAME] and one [machine.NAME]";
            return Err((Place::under(&[]), what.into()));
        }
        self.lan.keys().try_for_each(|name| check_name(&["lan", name], name))?;
        self.check_machines()?;
        self.check_clocks()?;
        self.check_clients()?;
        for (n, deed) in self.at.iter().enumerate() {
            self.check_deed(&Place::under(&["at", &n.to_string()]), deed)?;
        }
        power::check(self)?;
        for (n, fault) in self.fault.iter().enumerate() {
            fault::check(self, &Place::under(&["fault", &n.to_string()]), fault)?;
        }
        for (n, expect) in self.expect.iter().enumerate() {
            expect::check(self, &Place::under(&["expect", &n.to_string()]), expect)?;
        }
        Ok(())
    }

    fn check_machines(&self) -> Result<(), Complaint> {
        for (name, spec) in &self.machine {
            check_name(&["machine", name], name)?;
            for (ifname, lan) in &spec.interfaces {
                check_name(&["machine", name, "interfaces", ifname], ifname)?;
                if IfName::new(ifname).is_none() {
                    let what = format!("expected an interface's name of at most 15 letters, not {ifname:?}");
                    return Err((Place::of(lan), what));
                }
                one_of("a LAN", lan, self.lan.keys())?;
            }
            spec.boot.iter().try_for_each(command)?;
            let place = Place::under(&["machine", name]);
            check_ucarp(&place, spec)?;
            // What the command line of a machine would refuse too.
            if spec.hz > HZ_MAX {
                return Err((place.and("hz"), format!("expected hz of {name} between 0 and {HZ_MAX}")));
            }
            if spec.netisrs.is_some_and(|n| !(1..=NETISRS_MAX).contains(&n)) {
                let what = format!("expected netisrs of {name} between 1 and {NETISRS_MAX}");
                return Err((place.and("netisrs"), what));
            }
        }
        Ok(())
    }

    /// At the end of its numbers a clock stands still, and what is due then is
    /// due for ever; as it is by a clock that stands still from the beginning.
    fn check_clocks(&self) -> Result<(), Complaint> {
        let (mut fastest, mut jumps) = (1_000_000, 0);
        let too_long = |fastest: u64, jumps: u128| {
            let end = (self.time.0.as_nanos() * u128::from(fastest) / 1_000_000).saturating_add(jumps);
            end > u128::from(u64::MAX / 2)
        };
        let what = "expected clocks that show less than 292 years";
        if too_long(fastest, jumps) {
            return Err((Place::under(&["time"]), what.into()));
        }
        for (n, deed) in self.at.iter().enumerate() {
            let Some(clock) = deed.clock else { continue };
            let place = Place::under(&["at", &n.to_string(), "clock"]);
            if clock.ppm == 0 {
                return Err((place.and("ppm"), "expected a clock that goes: ppm of 1 or more".into()));
            }
            fastest = fastest.max(clock.ppm);
            jumps += clock.jump.0.as_nanos();
            if too_long(fastest, jumps) {
                return Err((place, what.into()));
            }
        }
        Ok(())
    }

    fn check_clients(&self) -> Result<(), Complaint> {
        for (name, spec) in &self.client {
            check_name(&["client", name], name)?;
            let place = Place::under(&["client", name]);
            if self.machine.contains_key(name) {
                let what = format!("expected a name of its own: there is a machine {name}");
                return Err((place, what));
            }
            one_of("a LAN", &spec.lan, self.lan.keys())?;
            if spec.address.addr().is_ipv4() != spec.ping.is_ipv4() {
                return Err((Place::of(&spec.lan), "expected address and ping of one family".into()));
            }
            if spec.interval.0 < INTERVAL_MIN {
                return Err((place.and("interval"), "expected an interval of at least 1us".into()));
            }
            self.check_begins(&place.and("from"), spec.from)?;
            check_order(&place.and("until"), spec.from, spec.until)?;
        }
        Ok(())
    }

    /// What begins at the end or later never does.
    fn check_begins(&self, place: &Place, at: Span) -> Result<(), Complaint> {
        if at < self.time {
            return Ok(());
        }
        Err((place.clone(), format!("expected a time before the end, which is at {}, not {at}", self.time)))
    }

    /// What is to be seen later than at the end is not.
    fn check_comes(&self, place: &Place, at: Span) -> Result<(), Complaint> {
        if at <= self.time {
            return Ok(());
        }
        Err((place.clone(), format!("expected a time until the end, which is at {}, not {at}", self.time)))
    }

    fn check_deed(&self, place: &Place, deed: &Deed) -> Result<(), Complaint> {
        one_of("a machine", &deed.machine, self.machine.keys())?;
        self.check_begins(&place.and("time"), deed.time)?;
        let given = [deed.run.is_some(), deed.power.is_some(), deed.clock.is_some()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err((Place::of(&deed.machine), "expected one of run, power and clock".into()));
        }
        if deed.may_fail && (deed.fails || deed.run.is_none()) {
            let what = "expected may_fail beside a run, and without fails";
            return Err((place.and("may_fail"), what.into()));
        }
        if deed.fails && deed.run.is_none() {
            return Err((place.and("fails"), "expected fails beside a run".into()));
        }
        deed.run.iter().try_for_each(command)?;
        let kind = self.machine.get(deed.machine.as_ref()).map(|m| m.kind);
        match &deed.run {
            Some(line) if kind == Some(Kind::Ucarp) => {
                Err((Place::of(line), "expected power: ucarp has no commands".into()))
            }
            _ => Ok(()),
        }
    }
}

/// A name is shown in terminals and pictures, and is a word of a command line.
fn check_name(keys: &[&str], name: &str) -> Result<(), Complaint> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(fits) && !matches!(name, "." | "..") {
        return Ok(());
    }
    Err((Place::under(keys), format!("expected a name of letters, digits, '-', '_' and '.', not {name:?}")))
}

/// What ends before it begins would never end.
fn check_order(place: &Place, from: Span, until: Option<Span>) -> Result<(), Complaint> {
    match until {
        Some(until) if until <= from => {
            Err((place.clone(), format!("expected a time after {from}, not {until}")))
        }
        _ => Ok(()),
    }
}

/// ucarp has its keys, one interface, and no commands; others have no keys of
/// ucarp.
fn check_ucarp(place: &Place, spec: &MachineSpec) -> Result<(), Complaint> {
    let at = spec.boot.first().or(spec.interfaces.values().next()).map_or(place.clone(), Place::of);
    match (spec.kind, &spec.ucarp) {
        (Kind::Netisrd, None) => Ok(()),
        (Kind::Netisrd, Some(_)) => Err((at, "expected kind = \"ucarp\" beside ucarp = { ... }".into())),
        (Kind::Ucarp, None) => Err((at, "expected ucarp = { own, address, vhid, pass, ... }".into())),
        (Kind::Ucarp, Some(_)) if spec.interfaces.len() != 1 || !spec.boot.is_empty() => {
            Err((at, "expected one interface and no boot lines: ucarp has no more".into()))
        }
        (Kind::Ucarp, Some(_)) if spec.netisrs.is_some() || spec.hz != 0 => {
            Err((at, "expected no netisrs and no hz: ucarp has neither".into()))
        }
        (Kind::Ucarp, Some(ucarp)) if ucarp.pass.len() > 19 => {
            Err((at, "expected a password of at most 19 bytes: ucarp takes no longer one".into()))
        }
        (Kind::Ucarp, Some(_)) => Ok(()),
    }
}

/// A command line is words, of which the first is a program that there is.
fn command(line: &Name) -> Result<(), Complaint> {
    let words = shlex::split(line.as_ref());
    match words.as_deref() {
        Some([program, ..]) if host::program(program).is_some() => Ok(()),
        Some(_) => {
            let all: Vec<_> = host::PROGRAMS.iter().map(|(name, _)| *name).collect();
            Err((Place::of(line), format!("expected a command of {}", all.join(", "))))
        }
        None => Err((Place::of(line), "expected quotes that end".into())),
    }
}

fn one_of<'a>(
    what: &str,
    name: &Name,
    all: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), Complaint> {
    if all.clone().any(|one| one == name.as_ref()) {
        return Ok(());
    }
    let all: Vec<_> = all.map(String::as_str).collect();
    Err((
        Place::of(name),
        format!("expected {what} that there is ({}), not {:?}", all.join(", "), name.as_ref()),
    ))
}
