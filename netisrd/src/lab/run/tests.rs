#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::lab::record::State;
use crate::lab::timeline::words;
use std::path::Path;

const ALONE: &str = r#"title = "alone"
time = "20s"
[lan.net0]
[machine.a]
interfaces = { em0 = "net0" }
boot = [
    "ifconfig em0 10.0.0.2/24",
    "ifconfig carp0 create",
    "ifconfig carp0 vhid 1 10.0.0.1/24",
]
"#;

fn events(more: &str) -> Vec<Event> {
    let text = format!("{ALONE}{more}");
    let scenario = Scenario::parse(Path::new("x.toml"), &text).unwrap();
    run(&scenario, Options { keep: Keep::Events, ..Options::default() }).events
}

/// The states of carp0 from `from` seconds on, each with its second.
fn states(events: &[Event], from: u64) -> Vec<(u64, State)> {
    let state = |e: &Event| match e.what {
        What::State { to, .. } if e.at >= from * 1_000_000_000 => Some((e.at / 1_000_000_000, to)),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

fn down(from: u64, until: u64) -> String {
    let place = "machine = \"a\"\ninterface = \"em0\"\nlink_down = true";
    format!("[[fault]]\n{place}\nfrom = \"{from}s\"\nuntil = \"{until}s\"\n")
}

#[test]
fn an_interface_is_mended_when_the_last_of_its_faults_is_over_and_not_before() {
    let once = [(5, State::Init), (11, State::Backup), (14, State::Master)];
    for faults in [[(5, 8), (6, 11)], [(5, 11), (6, 8)], [(6, 8), (5, 11)]] {
        let seen = events(&faults.map(|(from, until)| down(from, until)).concat());
        assert_eq!(states(&seen, 5), once, "{faults:?}");
    }
    let twice = events(&[down(5, 7), down(8, 11)].concat());
    let flaps = [(5, State::Init), (7, State::Backup), (8, State::Init)];
    assert_eq!(states(&twice, 5), [&flaps[..], &once[1..]].concat());
}

#[test]
fn a_fault_of_another_kind_does_not_keep_a_cable_out() {
    let mute = down(6, 11).replace("link_down", "send_errors");
    let seen = states(&events(&[down(5, 8), mute].concat()), 5);
    assert_eq!(seen[..2], [(5, State::Init), (8, State::Backup)], "{seen:?}");
}

#[test]
fn a_command_is_noted_before_what_it_does() {
    let deed = "[[at]]\ntime = \"9s\"\nmachine = \"a\"\nrun = \"ifconfig carp0 down\"\n";
    let seen: Vec<String> = events(deed).iter().map(|e| words::event(&e.what)).collect();
    let want = [
        "run of alone, seed 1, virtual time",
        "a boots",
        "a: ifconfig em0 10.0.0.2/24",
        "a: ifconfig carp0 create",
        "a carp0 vhid 0: ABSENT -> INIT",
        "a: ifconfig carp0 vhid 1 10.0.0.1/24",
        "a carp0 vhid 1: INIT -> BACKUP",
        "a carp0 vhid 1: BACKUP -> MASTER",
        "a: ifconfig carp0 down",
        "a carp0 vhid 1: MASTER -> INIT",
        "passed",
    ];
    assert_eq!(seen, want);
}

#[test]
fn a_line_that_fails_is_told_with_its_place_after_what_it_printed() {
    let deed = "[[at]]\ntime = \"9s\"\nmachine = \"a\"\nrun = \"ifconfig carp7 down\"\n";
    let seen = events(deed);
    let at = seen.iter().position(|e| matches!(e.what, What::Violation { .. })).unwrap();
    let What::Violation { text } = &seen[at].what else { unreachable!() };
    let want = "Command: x.toml:14:7: a: ifconfig carp7 down: status 1: ifconfig-carp: ";
    assert!(text.starts_with(want), "{text}");
    assert!(
        matches!(&seen[at - 1].what, What::Command { status: 1, output, .. } if text.ends_with(output.trim()))
    );
    let boot = ALONE.replace("carp0 create", "carp0 up");
    let scenario = Scenario::parse(Path::new("labs/y.toml"), &boot).unwrap();
    let outcome = run(&scenario, Options::default());
    let said = format!("{:?}", outcome.events);
    assert!(said.contains("Command: labs/y.toml:8:5: a: ifconfig carp0 up: status 1"), "{said}");
    assert!(!outcome.passed);
}
