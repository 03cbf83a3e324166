//! What a scenario's own types do not hold: names that must be there, keys that
//! go together.

use super::{Deed, ExpectSpec, FaultSpec, Kind, MachineSpec, Name, Scenario};
use crate::lab::host;
use std::ops::Range;
use toml::Spanned;

/// `netisrd --hz`
const HZ_MAX: u32 = 10_000;
/// `netisrd -n`
const NETISRS_MAX: usize = 256;

/// Where a name stands, and what is wrong with it.
pub(super) type Complaint = (Option<Range<usize>>, String);

impl Scenario {
    pub(super) fn check(&self) -> Result<(), Complaint> {
        if self.lan.is_empty() || self.machine.is_empty() {
            return Err((None, "expected at least one [lan.NAME] and one [machine.NAME]".into()));
        }
        for spec in self.machine.values() {
            spec.interfaces.values().try_for_each(|lan| one_of("LAN", lan, self.lan.keys()))?;
            spec.boot.iter().try_for_each(command)?;
            check_ucarp(spec)?;
        }
        self.check_machines()?;
        self.check_clocks()?;
        for spec in self.client.values() {
            one_of("LAN", &spec.lan, self.lan.keys())?;
            if spec.address.addr().is_ipv4() != spec.ping.is_ipv4() {
                return Err((Some(spec.lan.span()), "expected address and ping of one family".into()));
            }
        }
        self.at.iter().try_for_each(|deed| self.check_deed(deed))?;
        self.fault.iter().try_for_each(|fault| self.check_fault(fault))?;
        self.expect.iter().try_for_each(|expect| self.check_expect(expect))
    }

    /// What the command line of a machine would refuse too.
    fn check_machines(&self) -> Result<(), Complaint> {
        for (name, spec) in &self.machine {
            if spec.hz > HZ_MAX {
                return Err((None, format!("expected hz of {name} between 0 and {HZ_MAX}")));
            }
            if spec.netisrs.is_some_and(|n| !(1..=NETISRS_MAX).contains(&n)) {
                return Err((None, format!("expected netisrs of {name} between 1 and {NETISRS_MAX}")));
            }
        }
        Ok(())
    }

    /// At the end of its numbers a clock stands still, and what is due then is
    /// due for ever.
    fn check_clocks(&self) -> Result<(), Complaint> {
        let clocks = || self.at.iter().filter_map(|deed| deed.clock);
        let ppm = clocks().map(|c| c.ppm).fold(1_000_000, u64::max);
        let jumps: u128 = clocks().map(|c| c.jump.0.as_nanos()).sum();
        let end = (self.time.0.as_nanos() * u128::from(ppm) / 1_000_000).saturating_add(jumps);
        if end > u128::from(u64::MAX / 2) {
            return Err((None, "expected clocks that show less than 292 years".into()));
        }
        Ok(())
    }

    fn check_deed(&self, deed: &Deed) -> Result<(), Complaint> {
        one_of("machine", &deed.machine, self.machine.keys())?;
        let given = [deed.run.is_some(), deed.power.is_some(), deed.clock.is_some()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err((Some(deed.machine.span()), "expected one of run, power and clock".into()));
        }
        deed.run.iter().try_for_each(command)?;
        let kind = self.machine.get(deed.machine.as_ref()).map(|m| m.kind);
        match &deed.run {
            Some(line) if kind == Some(Kind::Ucarp) => {
                Err((Some(line.span()), "expected power: ucarp has no commands".into()))
            }
            _ => Ok(()),
        }
    }

    fn check_fault(&self, fault: &FaultSpec) -> Result<(), Complaint> {
        let stations = || self.machine.keys().chain(self.client.keys());
        let at_lan = fault.loss
            + fault.duplicate
            + fault.corrupt
            + fault.truncate
            + fault.reorder
            + if fault.echo { 1.0 } else { 0.0 }
            > 0.0
            || !fault.delay.0.is_zero()
            || !fault.jitter.0.is_zero()
            || !fault.partition.is_empty()
            || fault.one_way.is_some();
        match (&fault.lan, &fault.machine) {
            (Some(lan), None) => {
                one_of("LAN", lan, self.lan.keys())?;
                if !at_lan || fault.link_down || fault.send_errors {
                    let what = "expected one or more of loss, duplicate, corrupt, truncate, reorder, \
                                delay, jitter, echo, partition, one_way";
                    return Err((Some(lan.span()), what.into()));
                }
            }
            (None, Some(machine)) => {
                one_of("machine", machine, self.machine.keys())?;
                let Some(interface) = &fault.interface else {
                    return Err((Some(machine.span()), "expected an interface".into()));
                };
                let interfaces = self.machine.get(machine.as_ref()).map(|m| m.interfaces.keys());
                one_of("interface", interface, interfaces.into_iter().flatten())?;
                if at_lan || fault.link_down == fault.send_errors {
                    return Err((Some(machine.span()), "expected link_down or send_errors".into()));
                }
            }
            _ => return Err((None, "expected a fault's lan, or its machine and interface".into())),
        }
        let shares = [fault.loss, fault.duplicate, fault.corrupt, fault.truncate, fault.reorder];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            let span = fault.lan.as_ref().map(Spanned::span);
            return Err((span, "expected shares between 0 and 1".into()));
        }
        let one_way = fault.one_way.iter().flat_map(|w| w.from.iter().chain(&w.to));
        let mut named = fault.partition.iter().flatten().chain(one_way);
        named.try_for_each(|name| one_of("station", name, stations()))
    }

    fn check_expect(&self, expect: &ExpectSpec) -> Result<(), Complaint> {
        expect.lan.iter().try_for_each(|lan| one_of("LAN", lan, self.lan.keys()))?;
        match (&expect.machine, expect.two_masters_no_longer_than, &expect.client) {
            (Some(machine), None, None) => {
                one_of("machine", machine, self.machine.keys())?;
                let given = [
                    expect.by.is_some(),
                    expect.after.is_some() && expect.within.is_some(),
                    expect.from.is_some(),
                ];
                if expect.state.is_none() || given.iter().filter(|g| **g).count() != 1 {
                    let what = "expected a state, and one of: by; after and within; from";
                    return Err((Some(machine.span()), what.into()));
                }
                Ok(())
            }
            (None, Some(_), None) => Ok(()),
            (None, None, Some(client)) => {
                one_of("client", client, self.client.keys())?;
                if expect.ping_loss_below.is_none() {
                    return Err((Some(client.span()), "expected ping_loss_below".into()));
                }
                Ok(())
            }
            _ => Err((
                expect.machine.as_ref().or(expect.client.as_ref()).map(Spanned::span),
                "expected one of: machine and state; two_masters_no_longer_than; client and ping_loss_below"
                    .into(),
            )),
        }
    }
}

/// ucarp has its keys, one interface, and no commands; others have no keys of
/// ucarp.
fn check_ucarp(spec: &MachineSpec) -> Result<(), Complaint> {
    let at = spec.boot.first().or(spec.interfaces.values().next()).map(Spanned::span);
    match (spec.kind, &spec.ucarp) {
        (Kind::Netisrd, None) => Ok(()),
        (Kind::Netisrd, Some(_)) => Err((at, "expected kind = \"ucarp\" beside ucarp = { ... }".into())),
        (Kind::Ucarp, None) => Err((at, "expected ucarp = { own, address, vhid, pass, ... }".into())),
        (Kind::Ucarp, Some(_)) if spec.interfaces.len() != 1 || !spec.boot.is_empty() => {
            Err((at, "expected one interface and no boot lines: ucarp has no more".into()))
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
            Err((Some(line.span()), format!("expected a command of {}", all.join(", "))))
        }
        None => Err((Some(line.span()), "expected quotes that end".into())),
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
        Some(name.span()),
        format!("expected a {what} that there is ({}), not {:?}", all.join(", "), name.as_ref()),
    ))
}
