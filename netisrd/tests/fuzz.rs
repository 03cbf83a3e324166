//! The search: random scenarios break no rule, and what breaks one is made small.
//!
//! `NETISRD_FUZZ_SEED=7 NETISRD_FUZZ_SCENARIOS=1000` runs others, and more; for
//! longer searches there is `netisrd lab fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use compat::sys::time::Time;
use netisrd::lab::fuzz;
use netisrd::lab::judge::Rule;
use netisrd::lab::record::{Event, What};
use netisrd::lab::run::{Options, Play};
use netisrd::lab::scenario::Scenario;
use std::path::Path;
use std::sync::{Arc, Mutex};
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

/// Two machines, one MASTER, on one LAN.
const PAIR: &str = r#"
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
    let violation = violation.expect("it fails");
    assert_eq!(violation.rule, Rule::Command);
    let small = fuzz::shrink(&scenario, &violation, &|| false);
    assert_eq!((small.at.len(), small.fault.len(), small.machine.len(), small.client.len()), (1, 0, 1, 0));
    assert!(small.machine.values().all(|m| m.boot.is_empty() && m.interfaces.len() == 1));
    assert_eq!(small.lan.len(), 1);
    let read = Scenario::parse(Path::new("small.toml"), &small.to_toml().unwrap()).unwrap();
    assert_eq!(fuzz::run(&read).1.expect("it fails still").rule, Rule::Command);
}

/// Two machines on two LANs, `a` with a second interface, and these boot lines of
/// `a`.
fn two_lans(boot: &[&str]) -> Scenario {
    let text = r#"
title = "two LANs"
time = "60s"
[lan.net0]
[lan.net1]
[machine.a]
interfaces = { em0 = "net0", em1 = "net1" }
boot = []
[machine.b]
interfaces = { em0 = "net0" }
[[fault]]
from = "1s"
machine = "a"
interface = "em1"
link_down = true
[[fault]]
from = "1s"
lan = "net1"
loss = 0.5
"#;
    let mut scenario = Scenario::parse(Path::new("two.toml"), text).unwrap();
    scenario.machine.get_mut("a").unwrap().boot = boot.iter().map(|line| fuzz::name(*line)).collect();
    scenario
}

/// Made small, and read again.
fn small(scenario: &Scenario) -> Scenario {
    let (_, violation) = fuzz::run(scenario);
    let small = fuzz::shrink(scenario, &violation.expect("a rule is broken"), &|| false);
    let small = Scenario::parse(Path::new("small.toml"), &small.to_toml().unwrap()).unwrap();
    assert!(fuzz::run(&small).1.is_some());
    small
}

#[test]
fn interfaces_and_words_that_are_not_needed_are_left_out() {
    let small = small(&two_lans(&[
        "ifconfig em0 10.0.0.2/24",
        "ifconfig em1 10.0.1.2/24",
        "ifconfig carp0 create",
        "ifconfig carp0 vhid 1 advbase 1 advskew 7 pass x 10.0.0.100/24",
        "ifconfig carp1 create",
        "ifconfig carp1 vhid 1 advbase 2 advskew 9 pass x 10.0.0.101/24",
    ]));
    // Two of one vhid on one parent: passwords and skews have no part in it.
    let a = &small.machine["a"];
    let boot: Vec<_> = a.boot.iter().map(|line| line.as_ref().as_str()).collect();
    let expected = [
        "ifconfig em0 10.0.0.2/24",
        "ifconfig carp0 create",
        "ifconfig carp0 vhid 1 10.0.0.100/24",
        "ifconfig carp1 create",
        "ifconfig carp1 vhid 1 10.0.0.101/24",
    ];
    assert_eq!(boot, expected);
    assert_eq!(a.interfaces.keys().collect::<Vec<_>>(), ["em0"]);
    assert_eq!((small.machine.len(), small.lan.len(), small.fault.len()), (1, 1, 0));
}

#[test]
fn what_is_made_small_does_not_become_another_error_of_another_interface() {
    // A line without its last word fails as well, and so does the one after it.
    let mut scenario = two_lans(&["ifconfig em0 10.0.0.2/24"]);
    let deed = |time: u64, line: &str| {
        let text = format!(
            "title = \"x\"\ntime = \"60s\"\n[lan.net0]\n[machine.a]\ninterfaces = {{ em0 = \"net0\" }}\n\
             [[at]]\ntime = \"{time}s\"\nmachine = \"a\"\nrun = \"{line}\""
        );
        Scenario::parse(Path::new("x.toml"), &text).unwrap().at.remove(0)
    };
    scenario.at = vec![
        deed(1, "ifconfig carp3 create"),
        deed(2, "ifconfig carp3 vhid 1 advbase 300 advskew 3"),
        deed(3, "ifconfig carp8 vhid 1"),
    ];
    let small = small(&scenario);
    let (_, violation) = fuzz::run(&small);
    let lines: Vec<_> = small.at.iter().filter_map(|d| d.run.as_ref()).map(|l| l.as_ref().as_str()).collect();
    assert_eq!(lines, ["ifconfig carp3 advbase 300"], "{violation:?}");
}

#[test]
fn a_shrinker_that_is_told_to_stop_gives_what_it_has() {
    let mut scenario = two_lans(&["ifconfig carp9 vhid 1"]);
    scenario.title = "as it was".into();
    let (_, violation) = fuzz::run(&scenario);
    let same = fuzz::shrink(&scenario, &violation.unwrap(), &|| true);
    assert_eq!(same.to_toml().unwrap(), scenario.to_toml().unwrap());
}

/// A station that asks again whenever it hears anything: who has 10.0.0.2?
fn restless(play: &Play<'_>) {
    let lladdr = [2, 0, 0, 9, 9, 9];
    let mut dev = play.segments[0].station("restless", lladdr);
    let mut frame = [[0xff; 6], lladdr].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([&lladdr[..], &[10, 0, 0, 9], &[0; 6], &[10, 0, 0, 2]].concat());
    let heard = Arc::new(Mutex::new(dev.rx.remove(0)));
    let (again, ask) = (heard.clone(), frame.clone());
    let tx = dev.tx.clone();
    heard.lock().unwrap().set_waker(Arc::new(move || {
        again.lock().unwrap().receive(usize::MAX, &mut |_| ()).unwrap();
        tx.transmit(0, &ask).unwrap();
    }));
    dev.tx.transmit(0, &frame).unwrap();
}

#[test]
fn what_has_no_end_at_one_moment_ends_the_run_and_is_a_violation() {
    let scenario = Scenario::parse(Path::new("pair.toml"), PAIR).unwrap();
    let mut play = Play::new(&scenario, Options::default());
    let end = Time::default() + scenario.time.0;
    while play.next(Time::default() + Duration::from_secs(10)) {}
    assert_eq!(play.violations, []);
    restless(&play);
    while play.next(end) {}
    assert_eq!(play.violations.iter().map(|v| v.rule).collect::<Vec<_>>(), [Rule::Livelock]);
    let stopped = play.world.now();
    assert!(stopped < end && play.violations[0].at == stopped, "{stopped}");
    // It stands still, whoever asks.
    assert_eq!((play.upcoming(), play.next(end), play.world.now()), (Some(stopped), false, stopped));
    let outcome = play.finish();
    assert!(!outcome.passed);
    let said = |e: &Event| matches!(&e.what, What::Violation { text } if text.starts_with("Livelock: "));
    assert_eq!(outcome.events.iter().filter(|e| said(e)).count(), 1);
}
