#![allow(clippy::unwrap_used)]

use super::*;
use crate::lab::host::command;
use crate::lab::journal::Keep;
use crate::lab::run::{Options, Play};
use crate::lab::scenario::Scenario;
use crate::net::netisr::Netmsg0;
use std::path::Path;

const PAIR: &str = r#"
title = "pair"
time = "60s"
[lan.net0]
[lan.net1]
[machine.a]
interfaces = { em0 = "net0" }
boot = ["ifconfig em0 10.0.0.2/24", "ifconfig carp0 create", "ifconfig carp0 vhid 1 pass x 10.0.0.100/24"]
[machine.b]
interfaces = { em0 = "net0" }
boot = [
  "ifconfig em0 10.0.0.3/24", "ifconfig carp0 create", "ifconfig carp0 vhid 1 advskew 100 pass x 10.0.0.100/24",
]
[machine.c]
interfaces = { em0 = "net1" }
boot = ["ifconfig em0 10.0.1.2/24"]
"#;

fn scenario() -> Scenario {
    Scenario::parse(Path::new("pair.toml"), PAIR).unwrap()
}

/// Ten seconds of it.
fn play(scenario: &Scenario) -> Play<'_> {
    let mut play = Play::new(scenario, Options { keep: Keep::Events, ..Options::default() });
    while play.next(Time::default() + Duration::from_secs(10)) {}
    assert_eq!(play.violations, []);
    play
}

fn rule(verdict: Verdict) -> Option<Rule> {
    verdict.err().map(|(rule, _)| rule)
}

#[test]
fn frames_reasons_and_messages_that_do_not_add_up_are_noticed() {
    let scenario = scenario();
    let play = play(&scenario);
    let (m, n0) = play.world.look(play.hosts[0].id.unwrap()).unwrap();
    let taken: u64 = crate::net::fate::Fate::ALL.into_iter().map(|fate| m.fates.value(fate)).sum();
    assert_eq!(causes::check(m, n0, taken, 0), Ok(()));
    assert_eq!(rule(causes::check(m, n0, taken + 1, 0)), Some(Rule::Frames));
    assert_eq!(rule(causes::check(m, n0, taken, 1)), Some(Rule::Reasons));
    m.port0.sendmsg(Netmsg0::LinkState(9, compat::net::if_::LinkState::Up));
    assert_eq!(rule(causes::check(m, n0, taken, 0)), Some(Rule::Bounds));
}

#[test]
fn another_configuration_at_the_second_boot_is_noticed() {
    let scenario = scenario();
    let host = Host::new("a", 0, scenario.machine.get("a").unwrap());
    let mut judge = Judge { booted: vec![None], ..Judge::default() };
    judge.booted(Time(1), &host, "x".into());
    judge.booted(Time(2), &host, "x".into());
    assert_eq!(judge.take_violations(), []);
    judge.booted(Time(3), &host, "y".into());
    assert_eq!(judge.take_violations().iter().map(|v| v.rule).collect::<Vec<_>>(), [Rule::Config]);
}

/// What the judge says of the LANs if the machines were in other states than they
/// are, so long after the last disturbance.
fn lans(after: Duration, change: impl Fn(&mut lans::Lans)) -> Option<Rule> {
    let scenario = scenario();
    let play = play(&scenario);
    let mut lans = lans::Lans::default();
    for host in &play.hosts {
        lans.look(host.number, play.world.look(host.id.unwrap()), "", |_| Some(0));
        let masters = host.carps.iter().filter(|(_, view)| view.state == State::Master);
        lans.news(Time(0), host.number, masters.map(|(index, _)| *index));
    }
    change(&mut lans);
    rule(lans.check(Time(0) + after, |_| Some(Time(0)), Duration::ZERO))
}

#[test]
fn no_master_and_two_masters_are_noticed_once_they_have_lasted() {
    let (short, long) = (Duration::from_millis(500), Duration::from_secs(10));
    assert_eq!(lans(long, |_| ()), None);
    let none = |lans: &mut lans::Lans| lans.set_states(|_| libcarp::softc::State::Backup);
    assert_eq!([lans(short, none), lans(long, none)], [None, Some(Rule::OneMaster)]);
    let two = |lans: &mut lans::Lans| lans.set_states(|_| libcarp::softc::State::Master);
    assert_eq!([lans(short, two), lans(long, two)], [None, Some(Rule::TwoMasters)]);
}

#[test]
fn a_master_that_goes_for_nobody_is_noticed() {
    let scenario = scenario();
    let mut play = play(&scenario);
    let id = play.hosts[1].id.unwrap();
    assert_eq!(command(&mut play.world, id, "ifconfig carp0 state master").0, 0);
    let mut lans = lans::Lans::default();
    for host in &play.hosts {
        lans.look(host.number, play.world.look(host.id.unwrap()), "", |_| Some(0));
    }
    let (a, b) = (play.hosts[0].carps.keys().next().unwrap(), play.hosts[1].carps.keys().next().unwrap());
    // a is better than b, and MASTER: b has lost it to a, but a would not to b.
    assert_eq!(lans.justified(1, *b), Ok(()));
    lans.set_states(|host| match host {
        0 => libcarp::softc::State::Backup,
        _ => libcarp::softc::State::Master,
    });
    assert_eq!(rule(lans.justified(0, *a)), Some(Rule::LostMaster));
}

/// What is found when something is done behind the judge's back.
fn behind(what: impl FnOnce(&mut Play<'_>)) -> Vec<Rule> {
    let scenario = scenario();
    let mut play = play(&scenario);
    what(&mut play);
    while play.next(Time::default() + scenario.time.0) {}
    play.violations.iter().map(|v| v.rule).collect()
}

/// A command of which the judge is not told.
fn line(machine: usize, line: &'static str) -> impl FnOnce(&mut Play<'_>) {
    move |play| {
        let id = play.hosts[machine].id.unwrap();
        assert_eq!(command(&mut play.world, id, line).0, 0);
    }
}

#[test]
fn what_goes_on_behind_the_judges_back_is_noticed() {
    assert_eq!(behind(|_| ()), []);
    // It advertises at another time, and with another skew, than its model.
    assert_eq!(behind(line(0, "ifconfig carp0 advskew 10"))[..1], [Rule::Sent]);
    // A bow-out that nobody owes, and a state that it should not be in.
    assert!(behind(line(0, "ifconfig carp0 down")).contains(&Rule::Model));
    // A second MASTER that nobody waits for.
    assert_eq!(behind(line(1, "ifconfig carp0 state master"))[..1], [Rule::Sent]);
    assert!(behind(line(1, "sysctl -q net.inet.carp.demotion=5")).contains(&Rule::Reasons));
}

/// Nothing arrives on a LAN any more.
fn loss(play: &mut Play<'_>, lan: usize) {
    let fault = "title = \"x\"\ntime = \"1s\"\n[lan.net0]\n[machine.a]\ninterfaces = { em0 = \"net0\" }\n\
                 [[fault]]\nfrom = \"0s\"\nlan = \"net0\"\nloss = 1.0";
    let fault = Scenario::parse(Path::new("x.toml"), fault).unwrap().fault.remove(0);
    play.segments[lan].faults.begin(0, &fault);
}

#[test]
fn what_goes_wrong_on_one_lan_does_not_excuse_another() {
    assert_eq!(behind(|play| loss(play, 0)), [Rule::TwoMasters]);
    let elsewhere = |play: &mut Play<'_>| {
        loss(play, 0);
        // The judge is told of a fault, a wrong clock and a command of the other LAN.
        let judge = play.judge.as_mut().unwrap();
        judge.fault(Time(0), 1, false, Duration::ZERO);
        judge.set_exact(Time(0), &play.hosts[2], false);
        play.run_line(2, "ifconfig em0 mtu 1400", None);
    };
    assert_eq!(behind(elsewhere), [Rule::TwoMasters]);
    let here = |play: &mut Play<'_>| {
        loss(play, 0);
        play.judge.as_mut().unwrap().fault(Time(0), 0, false, Duration::ZERO);
    };
    assert_eq!(behind(here), []);
}

#[test]
fn settings_are_part_of_what_a_boot_configures() {
    let scenario = scenario();
    let mut play = play(&scenario);
    let id = play.hosts[0].id.unwrap();
    let (status, said) = command(&mut play.world, id, crate::lab::run::deeds::SETTINGS);
    assert_eq!((status, said.lines().count()), (0, 7), "{said}");
}
