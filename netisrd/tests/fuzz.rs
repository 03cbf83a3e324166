//! The search: random scenarios break no rule, and what breaks one is made small.
//!
//! `NETISRD_FUZZ_SEED=7 NETISRD_FUZZ_SCENARIOS=1000` runs others, and more; for
//! longer searches there is `netisrd lab fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netisrd::lab::fuzz;
use netisrd::lab::judge::Rule;
use netisrd::lab::scenario::Scenario;
use std::path::Path;

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
