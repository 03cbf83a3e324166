#![allow(clippy::unwrap_used)]

use super::*;

fn event(at: u64, what: What) -> Event {
    Event { at: at * 1_000_000_000, what }
}

fn state(at: u64, machine: &str, to: State) -> Event {
    let (machine, ifname, lan) = (machine.into(), "carp0".into(), Some("net0".into()));
    event(at, What::State { machine, ifname, lan, vhid: 1, from: State::Absent, to })
}

/// a is MASTER from 3, b from 5, a no more from 6.
fn story() -> Vec<Event> {
    vec![
        state(0, "a", State::Backup),
        state(0, "b", State::Backup),
        state(3, "a", State::Master),
        state(5, "b", State::Master),
        state(6, "a", State::Backup),
    ]
}

fn holds(toml: &str, events: &[Event]) -> bool {
    holds_with(toml, events, Duration::ZERO)
}

fn holds_with(toml: &str, events: &[Event], slack: Duration) -> bool {
    verdict(&toml::from_str(toml).unwrap(), events, Time(20_000_000_000), slack).1.is_ok()
}

#[test]
fn states_at_a_time_after_a_time_and_all_the_time() {
    let cases = [
        ("machine = \"a\"\nstate = \"MASTER\"\nby = \"4s\"", true),
        ("machine = \"a\"\nstate = \"MASTER\"\nby = \"2.9s\"", false),
        ("machine = \"b\"\nstate = \"MASTER\"\nafter = \"3s\"\nwithin = \"2s\"", true),
        ("machine = \"b\"\nstate = \"MASTER\"\nafter = \"3s\"\nwithin = \"1.9s\"", false),
        (
            "machine = \"b\"\nstate = \"MASTER\"\nafter = \"3s\"\nwithin = \"9s\"\nnot_within = \"2.1s\"",
            false,
        ),
        ("machine = \"b\"\nstate = \"MASTER\"\nafter = \"6s\"\nwithin = \"9s\"", false),
        ("machine = \"b\"\nstate = \"MASTER\"\nfrom = \"5s\"", true),
        ("machine = \"b\"\nstate = \"MASTER\"\nfrom = \"4s\"", false),
        ("machine = \"a\"\nstate = \"MASTER\"\nfrom = \"3s\"\nuntil = \"5s\"", true),
        ("machine = \"a\"\nstate = \"MASTER\"\nfrom = \"3s\"\nuntil = \"7s\"", false),
        ("machine = \"c\"\nstate = \"ABSENT\"\nfrom = \"0s\"", true),
    ];
    for (toml, want) in cases {
        assert_eq!(holds(toml, &story()), want, "{toml}");
    }
}

#[test]
fn what_takes_time_may_be_late_by_its_slack_and_no_more() {
    let second = Duration::from_secs(1);
    let cases = [
        "machine = \"a\"\nstate = \"MASTER\"\nby = \"2s\"",
        "machine = \"b\"\nstate = \"MASTER\"\nafter = \"3s\"\nwithin = \"1s\"",
        "machine = \"b\"\nstate = \"MASTER\"\nafter = \"3s\"\nwithin = \"9s\"\nnot_within = \"3s\"",
        "machine = \"b\"\nstate = \"MASTER\"\nfrom = \"4s\"",
        "machine = \"a\"\nstate = \"MASTER\"\nfrom = \"3s\"\nuntil = \"7s\"",
        "two_masters_no_longer_than = \"0s\"",
    ];
    for toml in cases {
        assert!(!holds(toml, &story()), "{toml}");
        assert!(!holds_with(toml, &story(), second / 2), "{toml}");
        assert!(holds_with(toml, &story(), second + Duration::from_millis(1)), "{toml}");
    }
}

#[test]
fn two_masters_are_measured_and_a_paused_one_is_none() {
    assert!(holds("two_masters_no_longer_than = \"1s\"", &story()));
    assert!(!holds("two_masters_no_longer_than = \"0.9s\"", &story()));
    assert!(holds("two_masters_no_longer_than = \"0s\"\nuntil = \"5s\"", &story()));
    assert!(holds("two_masters_no_longer_than = \"0s\"\nvhid = 2", &story()));
    assert!(!holds("two_masters_no_longer_than = \"0s\"\nuntil = \"5.5s\"", &story()));
    let mut paused = story();
    paused.insert(3, event(4, What::Pause { machine: "a".into() }));
    assert!(holds("two_masters_no_longer_than = \"0s\"", &paused));
    // Two that stay so to the end are counted to the end.
    let mut for_ever = story();
    for_ever.pop();
    assert!(!holds("two_masters_no_longer_than = \"14.9s\"", &for_ever));
    assert!(holds("two_masters_no_longer_than = \"15s\"", &for_ever));
}

#[test]
fn lost_pings_are_counted_and_none_at_all_is_no_success() {
    let ping = |seq: u64, rtt| {
        let to = "10.0.0.1".parse().unwrap();
        event(seq, What::Ping { client: "c".into(), to, seq, sent: seq * 1_000_000_000, rtt, machine: None })
    };
    let pings = [ping(1, Some(5)), ping(2, None), ping(3, Some(5)), ping(4, Some(5))];
    assert!(holds("client = \"c\"\nping_loss_below = 2", &pings));
    assert!(!holds("client = \"c\"\nping_loss_below = 1", &pings));
    assert!(holds("client = \"c\"\nping_loss_below = 0.3", &pings));
    assert!(!holds("client = \"c\"\nping_loss_below = 0.25", &pings));
    assert!(holds("client = \"c\"\nping_loss_below = 1\nfrom = \"3s\"", &pings));
    assert!(!holds("client = \"d\"\nping_loss_below = 9", &pings));
    let (less, second) = (Duration::from_millis(900), Duration::from_secs(1));
    assert!(!holds_with("client = \"c\"\nping_loss_below = 1", &pings, less));
    assert!(holds_with("client = \"c\"\nping_loss_below = 1", &pings, second));
    assert!(holds_with("client = \"c\"\nping_loss_below = 1", &pings[2..3], Duration::ZERO));
    assert!(!holds_with("client = \"c\"\nping_loss_below = 1", &pings[1..2], second));
}

#[test]
fn what_was_wrong_besides_fails_the_run() {
    let scenario = Scenario::parse(
        std::path::Path::new("x"),
        "title = \"t\"\ntime = \"1s\"\n[lan.n]\n[machine.a]\ninterfaces = {}",
    )
    .unwrap();
    let mut events = Vec::new();
    assert!(judge(&scenario, &mut events, Time(1)));
    let mut events = vec![event(0, What::Violation { text: "x".into() })];
    assert!(!judge(&scenario, &mut events, Time(1)));
    assert_eq!(events.last().map(|e| &e.what), Some(&What::End { passed: false }));
}
