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
fn a_state_that_comes_late_may_be_over_before_its_slack_is() {
    let a = |by: &str, slack| {
        let toml = format!("machine = \"a\"\nstate = \"MASTER\"\nby = \"{by}\"");
        holds_with(&toml, &story(), Duration::from_secs(slack))
    };
    assert!(a("2s", 1) && a("2s", 9));
    assert!(!a("1s", 1) && !a("7s", 9), "not yet, and not again");
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
    for on_again in [
        vec![What::Resume { machine: "a".into() }],
        vec![What::Halt { machine: "a".into() }, What::Boot { machine: "a".into() }],
        vec![What::Crash { machine: "a".into() }, What::Boot { machine: "a".into() }],
        vec![What::Boot { machine: "a".into() }],
    ] {
        let mut seen = paused.clone();
        seen.splice(4..4, on_again.into_iter().map(|what| event(4, what)));
        assert!(!holds("two_masters_no_longer_than = \"0.9s\"", &seen), "{seen:?}");
        assert!(holds("two_masters_no_longer_than = \"1s\"", &seen), "{seen:?}");
    }
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

#[test]
fn a_verdict_is_known_as_soon_as_nothing_can_change_it() {
    let ping = |at: u64, sent: u64, rtt| {
        let (client, to) = ("c".into(), [10, 0, 0, 1].into());
        event(at, What::Ping { client, to, seq: sent, sent: sent * 1_000_000_000, rtt, machine: None })
    };
    let mut all = story();
    all.extend([ping(7, 7, Some(1)), ping(9, 8, None), ping(9, 9, Some(1)), ping(11, 10, None)]);
    let known = |toml: &str, ms: u64| {
        let now = Time(ms * 1_000_000);
        let until_now: Vec<Event> = all.iter().filter(|e| e.time() <= now).cloned().collect();
        let expect = toml::from_str(toml).unwrap();
        known(&expect, &until_now, now, Time(20_000_000_000)).map(|seen| seen.is_ok())
    };
    let state = |machine: &str, rest: &str| format!("machine = \"{machine}\"\nstate = \"MASTER\"\n{rest}");
    let two = |rest: &str| format!("two_masters_no_longer_than = {rest}");
    let lost = |rest: &str| format!("client = \"c\"\nping_loss_below = {rest}");
    // When it is not known yet, when it is, and what it is.
    let cases = [
        (state("a", "by = \"4s\""), 4_000, 4_001, true),
        (state("a", "by = \"2.9s\""), 2_900, 2_901, false),
        (state("b", "after = \"3s\"\nwithin = \"2s\""), 4_999, 5_000, true),
        (state("b", "after = \"3s\"\nwithin = \"9s\"\nnot_within = \"2.1s\""), 4_999, 5_000, false),
        (state("b", "after = \"3s\"\nwithin = \"1.9s\""), 4_900, 4_901, false),
        (state("a", "from = \"3s\"\nuntil = \"5.5s\""), 5_500, 5_501, true),
        (state("a", "from = \"3s\""), 5_999, 6_000, false),
        (state("a", "from = \"2s\""), 2_000, 2_001, false),
        (two("\"1s\""), 20_000, 20_001, true),
        (two("\"0.9s\""), 5_900, 5_901, false),
        (two("\"0.5s\"\nuntil = \"5.4s\""), 5_400, 5_401, true),
        (two("\"0.5s\"\nfrom = \"7s\""), 20_000, 20_001, true),
        (lost("2"), 10_999, 11_000, false),
        (lost("3\nuntil = \"12s\""), 13_000, 13_001, true),
        (lost("0.5"), 21_000, 21_001, false),
        (lost("0.4\nuntil = \"9.5s\""), 10_500, 10_501, true),
    ];
    for (toml, before, after, holds) in cases {
        assert_eq!(known(&toml, before), None, "{toml} at {before}");
        assert_eq!(known(&toml, after), Some(holds), "{toml} at {after}");
    }
}
