//! What is done in a random scenario, and what goes wrong.

use super::generate::{Plan, Power, name, parent_addr, password};
use crate::lab::duration::Span;
use crate::lab::scenario::{self, ClockSpec, FaultSpec, OneWay, Only};
use std::time::Duration;

/// Something happens to somebody.
pub(super) fn act(plan: &mut Plan) {
    let m = plan.dice.index(plan.machines.len());
    if plan.scenario.machine[&plan.machines[m].name].on.is_some_and(|on| plan.now < on.0) {
        return;
    }
    match plan.machines[m].power {
        Power::Off => return power(plan, m, scenario::Power::Boot),
        Power::Paused => return power(plan, m, scenario::Power::Resume),
        Power::On => {}
    }
    let (what, on) = (plan.dice.below(27), plan.dice.one_in(2));
    let carps = plan.machines[m].carps.len();
    match what {
        0..=7 | 10 | 11 | 21 if carps > 0 => {
            let n = plan.dice.index(carps);
            carp(plan, m, n, what, on);
        }
        8 | 9 | 12..=20 | 22 => machine(plan, m, what, on),
        24 => twin(plan, m),
        23 if plan.exotic => exotic(plan, m),
        _ => weather(plan),
    }
}

fn carp(plan: &mut Plan, m: usize, n: usize, what: u64, on: bool) {
    let vhid = plan.groups[plan.machines[m].carps[n]].vhid;
    let tempo = plan.tempo;
    let args = match what {
        0 | 1 => format!("advskew {}", plan.dice.of(&[0, 0, 50, 100, 200, 254])),
        2 => match plan.dice.of(&[0, 1, tempo, tempo, tempo.saturating_mul(2)]) {
            // Not for long.
            0 | 1 if tempo > 3 => format!("advbase {tempo}"),
            0 => "advbase 0 advskew 100".to_owned(),
            advbase => format!("advbase {advbase}"),
        },
        3 => format!("pass {}", password(plan.dice.below(3) / 2)),
        4 => format!("vhid {}", vhid + (plan.dice.below(3) / 2) as u8),
        5 => format!("state {}", if on { "master" } else { "backup" }),
        6 | 7 => (if on { "up" } else { "down" }).to_owned(),
        10 | 11 => {
            let kinds = if plan.machines[m].lans.len() > 1 {
                &[0, 1, 2, 3, 5, 6, 7][..]
            } else {
                &[0, 1, 2, 3, 4, 5, 6]
            };
            let which = plan.dice.of(kinds);
            let addr = plan.vaddr(m, n, which);
            if on { addr } else { format!("{addr} -alias") }
        }
        _ => {
            plan.run(m, format!("ifconfig carp{n} destroy"));
            // It comes back at once, or a little later.
            if on {
                plan.now += Duration::from_millis(plan.dice.below(8000));
            }
            for line in plan.carp_lines(m, n) {
                plan.run(m, line);
            }
            return;
        }
    };
    plan.run(m, format!("ifconfig carp{n} {args}"));
}

fn machine(plan: &mut Plan, m: usize, what: u64, on: bool) {
    let em = plan.dice.index(plan.machines[m].lans.len());
    let lan = plan.machines[m].lans[em];
    match what {
        8 => plan.run(m, format!("ifconfig em{em} {}", if on { "up" } else { "down" })),
        9 => fault_at(plan, m, em, FaultSpec { link_down: true, ..FaultSpec::default() }),
        12 => {
            let inet6 = plan.dice.one_in(2);
            let addr = parent_addr(lan, m, inet6);
            let family = if inet6 { "inet6 " } else { "" };
            plan.run(m, format!("ifconfig em{em} {family}{addr}{}", if on { "" } else { " -alias" }));
        }
        13 | 14 => plan.run(m, format!("sysctl net.inet.carp.preempt={}", u8::from(on))),
        15 => {
            let by = plan.dice.of(&[-500, -10, 10, 100, 240, 500]);
            plan.run(m, format!("sysctl net.inet.carp.demotion={by}"));
        }
        16 => plan.run(m, format!("ifconfig -g carp {}", if on { "carpdemote" } else { "-carpdemote" })),
        17 | 18 => fault_at(plan, m, em, FaultSpec { send_errors: true, ..FaultSpec::default() }),
        19 => power(plan, m, scenario::Power::Pause),
        20 => power(plan, m, if on { scenario::Power::Halt } else { scenario::Power::Crash }),
        _ => {
            let ppm = plan.dice.of(&[500_000, 1_000_000, 1_000_000, 2_000_000]);
            let most = plan.dice.of(&[500, 500, 20_000]);
            let jump = Span(Duration::from_millis(plan.dice.below(most)));
            plan.deed(m).clock = Some(ClockSpec { ppm, jump });
            plan.machines[m].wrong = ppm != 1_000_000;
        }
    }
}

/// A carp interface that wants a vhid which its parent has already.
fn twin(plan: &mut Plan, m: usize) {
    let carps = &plan.machines[m].carps;
    let group = plan.dice.index(carps.len().max(1));
    let Some(group) = carps.get(group).map(|g| &plan.groups[*g]) else { return };
    let (vhid, lan) = (group.vhid, group.lan);
    for args in ["create", &format!("vhid {vhid}"), &format!("10.0.{lan}.99/24"), "destroy"] {
        plan.run(m, format!("ifconfig carp9 {args}"));
    }
}

fn power(plan: &mut Plan, m: usize, what: scenario::Power) {
    plan.deed(m).power = Some(what);
    plan.machines[m].power = match what {
        scenario::Power::Boot | scenario::Power::Resume => Power::On,
        scenario::Power::Pause => Power::Paused,
        scenario::Power::Crash | scenario::Power::Halt => Power::Off,
    };
}

/// As long as a fault lasts.
fn lasts(plan: &mut Plan) -> Duration {
    Duration::from_millis(1 + plan.dice.below(12_000) * u64::from(plan.tempo))
}

fn fault_at(plan: &mut Plan, m: usize, em: usize, fault: FaultSpec) {
    let until = plan.now + lasts(plan);
    let machine = Some(name(&*plan.machines[m].name));
    let interface = Some(name(format!("em{em}")));
    let (from, until) = (Span(plan.now), Some(Span(until)));
    plan.scenario.fault.push(FaultSpec { from, until, machine, interface, ..fault });
}

/// Something goes wrong on a LAN.
fn weather(plan: &mut Plan) {
    let lan = plan.dice.index(plan.scenario.lan.len());
    let dice = &mut plan.dice;
    let mut fault = FaultSpec { lan: Some(name(format!("net{lan}"))), ..FaultSpec::default() };
    let share = dice.below(60) as f64 / 100.0 + 0.01;
    match dice.below(10) {
        0 => fault.loss = share,
        1 => fault.duplicate = share,
        2 => fault.corrupt = share,
        3 => fault.truncate = share,
        4 => fault.reorder = share,
        5 => {
            fault.delay = Span(Duration::from_micros(dice.below(1_000_000)));
            fault.jitter = Span(Duration::from_micros(dice.below(2_000_000)));
        }
        6 => fault.echo = true,
        7 => {
            fault.loss = 1.0;
            fault.only = Some(dice.of(&[Only::Carp, Only::Ip, Only::Ip6, Only::Arp]));
        }
        kind => {
            let names: Vec<_> = plan.machines.iter().map(|m| name(&*m.name)).collect();
            let (a, b): (Vec<_>, Vec<_>) = names.into_iter().partition(|_| dice.one_in(2));
            match kind {
                8 => fault.partition = vec![a, b],
                _ => fault.one_way = Some(OneWay { from: a, to: b }),
            }
        }
    }
    fault.from = Span(plan.now);
    fault.until = Some(Span(plan.now + lasts(plan)));
    plan.scenario.fault.push(fault);
}

/// Something that the reference model does not know; the rules hold all the
/// same.
fn exotic(plan: &mut Plan, m: usize) {
    let em = plan.dice.index(plan.machines[m].lans.len());
    let carps = plan.machines[m].carps.len();
    let n = plan.dice.index(carps);
    let peer = plan.dice.below(5) + 2;
    let line = match plan.dice.below(10) {
        0 => format!("ifconfig carp{n} carpdev em{em}"),
        1 => format!("ifconfig carp{n} -carpdev"),
        2 => format!("ifconfig carp{n} peer 10.0.{}.{peer}", plan.machines[m].lans[em]),
        3 => format!("ifconfig carp{n} mcast"),
        4 => format!("sysctl net.inet.carp.arpbalance={}", plan.dice.below(2)),
        5 => format!("sysctl net.inet.carp.ifdown_demotion_factor={}", plan.dice.of(&[-10, 0, 10, 240])),
        6 => format!("sysctl net.inet.carp.senderr_demotion_factor={}", plan.dice.of(&[0, 10, 240])),
        7 => format!("sysctl net.inet.carp.allow={}", plan.dice.below(2)),
        8 => format!("sysctl net.inet.carp.unbacked_demotion_factor={}", plan.dice.of(&[-10, 0, 10, 240])),
        _ => {
            let lan = plan.machines[m].lans[em];
            format!(
                "ifconfig em{em} vhid {} advskew 50 pass secret 10.0.{lan}.{}/24 alias",
                200 + em,
                200 + m
            )
        }
    };
    plan.run(m, line);
}

/// Whatever was done to a machine is undone, as far as others have to know.
pub(super) fn mend(plan: &mut Plan, m: usize) {
    match plan.machines[m].power {
        Power::Off => power(plan, m, scenario::Power::Boot),
        Power::Paused => power(plan, m, scenario::Power::Resume),
        Power::On => {}
    }
    if std::mem::take(&mut plan.machines[m].wrong) {
        let (ppm, jump) = (1_000_000, Span::default());
        plan.deed(m).clock = Some(ClockSpec { ppm, jump });
    }
}
