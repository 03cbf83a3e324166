//! The search and its judge: random scenarios break no rule, whatever goes on
//! behind the judge's back is noticed, and what breaks a rule is made small.
//!
//! `NETISRD_FUZZ_SEED=7 NETISRD_FUZZ_SCENARIOS=1000` runs others, and more; for
//! longer searches there is `netisrd lab fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use compat::sys::time::Time;
use netisrd::lab::fuzz;
use netisrd::lab::host::command;
use netisrd::lab::journal::Keep;
use netisrd::lab::judge::Rule;
use netisrd::lab::run::{Options, Play};
use netisrd::lab::scenario::Scenario;
use std::path::Path;
use std::time::Duration;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |v| v.parse().expect(name))
}

#[test]
fn random_scenarios_break_no_rule() {
    let seed = number("NETISRD_FUZZ_SEED", 1);
    for i in 0..number("NETISRD_FUZZ_SCENARIOS", 60) {
        let scenario = fuzz::scenario(seed, i);
        let (ran, violation) = fuzz::run(&scenario);
        assert!(ran.steps > 0 && ran.time > 0);
        if let Some(v) = violation {
            panic!("seed {seed}, scenario {i} at {}: {v}\n{}", v.at, scenario.to_toml().unwrap());
        }
    }
}

#[test]
fn a_seed_is_a_scenario_and_another_one_another() {
    let text = |seed, i| fuzz::scenario(seed, i).to_toml().unwrap();
    assert_eq!(text(3, 4), text(3, 4));
    assert_ne!(text(3, 4), text(3, 5));
    assert_ne!(text(3, 4), text(4, 4));
    // What is written is a file that says the same.
    for i in 0..50 {
        let written = text(5, i);
        let read = Scenario::parse(Path::new("x.toml"), &written).unwrap();
        assert_eq!(read.to_toml().unwrap(), written);
        assert_eq!(fuzz::run(&read).0, fuzz::run(&fuzz::scenario(5, i)).0);
    }
}

/// Two machines, one MASTER, on one LAN; the judge has seen all until `at`.
fn pair(at: u64, behind: impl FnOnce(&mut Play<'_>)) -> Vec<Rule> {
    let text = r#"
title = "pair"
time = "60s"
[lan.net0]
[machine.a]
interfaces = { em0 = "net0" }
boot = ["ifconfig em0 10.0.0.2/24", "ifconfig carp0 create", "ifconfig carp0 vhid 1 pass x 10.0.0.100/24"]
[machine.b]
interfaces = { em0 = "net0" }
boot = [
  "ifconfig em0 10.0.0.3/24", "ifconfig carp0 create", "ifconfig carp0 vhid 1 advskew 100 pass x 10.0.0.100/24",
]
"#;
    let scenario = Scenario::parse(Path::new("pair.toml"), text).unwrap();
    let mut play = Play::new(&scenario, Options { keep: Keep::Events, ..Options::default() });
    while play.next(Time::default() + Duration::from_secs(at)) {}
    assert_eq!(play.violations, []);
    behind(&mut play);
    while play.next(Time::default() + scenario.time.0) {}
    play.violations.iter().map(|v| v.rule).collect()
}

#[test]
fn a_judge_that_has_seen_all_has_nothing_to_say() {
    assert_eq!(pair(10, |_| ()), []);
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
    // It advertises at another time, and with another skew, than its model.
    assert_eq!(pair(10, line(0, "ifconfig carp0 advskew 10"))[..1], [Rule::Sent]);
    // A bow-out that nobody owes, and a state that it should not be in.
    assert!(pair(10, line(0, "ifconfig carp0 down")).contains(&Rule::Model));
    // A second MASTER that nobody waits for.
    assert_eq!(pair(10, line(1, "ifconfig carp0 state master"))[..1], [Rule::Sent]);
    assert!(pair(10, line(1, "sysctl -q net.inet.carp.demotion=5")).contains(&Rule::Reasons));
}

#[test]
fn two_masters_of_a_lan_of_which_nobody_says_that_it_is_parted_are_noticed() {
    let parted = |play: &mut Play<'_>| {
        let text = "title = \"x\"\ntime = \"1s\"\n[lan.net0]\n[machine.a]\ninterfaces = { em0 = \"net0\" }\n[[fault]]\nfrom = \"0s\"\nlan = \"net0\"\nloss = 1.0";
        let fault = Scenario::parse(Path::new("x.toml"), text).unwrap().fault.remove(0);
        play.segments[0].faults.begin(0, &fault);
    };
    assert_eq!(pair(10, parted), [Rule::TwoMasters]);
}

#[test]
fn what_breaks_a_rule_is_made_small_and_breaks_it_again() {
    let mut scenario = fuzz::scenario(2, 7);
    let (_, violation) = fuzz::run(&scenario);
    assert_eq!(violation, None);
    // In the middle, a command that does not do what the scenario says.
    let at = scenario.at.iter().position(|d| d.run.is_some()).expect("a command");
    let mut deed = scenario.at[at].clone();
    (deed.run, deed.may_fail) = (Some(fuzz::name("ifconfig carp9 vhid 1")), false);
    scenario.at.insert(at, deed);
    let (_, violation) = fuzz::run(&scenario);
    assert_eq!(violation.expect("it fails").rule, Rule::Command);
    let small = fuzz::shrink(&scenario, Rule::Command);
    assert_eq!((small.at.len(), small.fault.len(), small.machine.len(), small.client.len()), (1, 0, 1, 0));
    assert!(small.machine.values().all(|m| m.boot.is_empty()));
    let read = Scenario::parse(Path::new("small.toml"), &small.to_toml().unwrap()).unwrap();
    assert_eq!(fuzz::run(&read).1.expect("it fails still").rule, Rule::Command);
}
