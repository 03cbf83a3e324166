//! Pictures of made-up runs, as numbers and as XML.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::picture::{Fault, Picture, Power, Span};
use super::svg;
use crate::lab::record::{Event, Family, State, What};
use roxmltree::{Document, Node};

const S: u64 = 1_000_000_000;

pub(crate) fn at(at: u64, what: What) -> Event {
    Event { at, what }
}

pub(crate) fn run(scenario: &str, machines: &[&str]) -> Event {
    let (lans, machines) = (vec!["net0".into()], machines.iter().map(|m| (*m).into()).collect());
    let scenario = scenario.into();
    at(0, What::Run { scenario, seed: 7, time: "virtual".into(), lans, machines })
}

pub(crate) fn state(t: u64, machine: &str, vhid: u8, from: State, to: State) -> Event {
    let (ifname, lan) = ("carp0".into(), (vhid != 0).then(|| "net0".into()));
    at(t, What::State { machine: machine.into(), ifname, lan, vhid, from, to })
}

fn advert(t: u64, machine: &str, vhid: u8) -> Event {
    let (lan, machine) = ("net0".into(), machine.into());
    at(t, What::Advert { lan, machine, vhid, advbase: 1, advskew: 0, family: Family::Ip })
}

fn fault(t: u64, text: &str, over: bool) -> Event {
    at(t, What::Fault { text: text.into(), lan: Some("net0".into()), machine: None, over })
}

fn ping(sent: u64, rtt: Option<u64>) -> Event {
    let (client, to) = ("c".into(), [10, 0, 0, 1].into());
    let machine = rtt.map(|_| "a".into());
    at(sent + rtt.unwrap_or(S), What::Ping { client, to, seq: 0, sent, rtt, machine })
}

/// a dies at 4 s, b takes over at 7 s; the run ends at 10 s.
fn failover() -> Vec<Event> {
    use State::{Absent, Backup, Init, Master};
    let boot = |machine: &str| at(0, What::Boot { machine: machine.into() });
    vec![
        run("a <b> & \"c\"", &["a", "b"]),
        boot("a"),
        boot("b"),
        state(0, "a", 0, Absent, Init),
        state(0, "b", 0, Absent, Init),
        state(S, "a", 1, Init, Master),
        state(S, "b", 1, Init, Backup),
        advert(S, "a", 1),
        advert(2 * S, "a", 1),
        state(4 * S, "a", 1, Master, Absent),
        at(4 * S, What::Crash { machine: "a".into() }),
        state(7 * S, "b", 1, Backup, Master),
        at(10 * S, What::End { passed: true }),
    ]
}

fn span<T>(from: u64, to: u64, is: T) -> Span<T> {
    Span { from: from * S, to: to * S, is }
}

#[test]
fn a_lane_has_the_states_of_its_interface_from_before_it_had_a_vhid() {
    use State::{Absent, Backup, Init, Master};
    let picture = Picture::of(&failover(), 100);
    let [a, b] = &picture.lanes[..] else { panic!("{:?}", picture.lanes) };
    assert_eq!((a.name(), b.name()), ("a carp0 vhid 1".into(), "b carp0 vhid 1".into()));
    assert_eq!(a.spans, [span(0, 1, Init), span(1, 4, Master), span(4, 10, Absent)]);
    assert_eq!(b.spans, [span(0, 1, Init), span(1, 7, Backup), span(7, 10, Master)]);
    assert_eq!(a.adverts.iter().map(|a| (a.from, a.count)).collect::<Vec<_>>(), [(S, 1), (2 * S, 1)]);
    assert_eq!(b.adverts, []);
    assert_eq!(picture.machines[0].power, [span(0, 4, Power::On), span(4, 10, Power::Off)]);
}

#[test]
fn an_interface_that_takes_another_vhid_leaves_its_lane() {
    use State::{Absent, Backup, Master};
    let events = [
        state(0, "a", 1, Absent, Master),
        state(2 * S, "a", 2, Master, Backup),
        state(3 * S, "a", 2, Backup, Master),
        at(4 * S, What::End { passed: true }),
    ];
    let lanes = Picture::of(&events, 100).lanes;
    assert_eq!(lanes[0].spans, [span(0, 2, Master), span(2, 4, Absent)]);
    assert_eq!(lanes[1].spans, [span(0, 2, Absent), span(2, 3, Backup), span(3, 4, Master)]);
}

#[test]
fn whoever_only_advertises_has_a_lane_too() {
    let lanes = Picture::of(&[advert(S, "forger", 3)], 100).lanes;
    assert_eq!((lanes.len(), lanes[0].name()), (1, "forger vhid 3 (sends)".into()));
    assert_eq!(lanes[0].spans, []);
}

#[test]
fn a_fault_lasts_until_it_is_over_or_to_the_end() {
    let events = [
        fault(S, "loss", false),
        fault(2 * S, "delay", false),
        fault(3 * S, "loss", true),
        fault(4 * S, "cut", false),
        fault(5 * S, "whole", true),
        at(9 * S, What::End { passed: true }),
    ];
    let lasts = |f: &Fault| (f.text.clone(), f.from / S, f.to / S);
    let faults: Vec<_> = Picture::of(&events, 100).faults.iter().map(lasts).collect();
    assert_eq!(faults, [("loss".into(), 1, 3), ("delay".into(), 2, 9), ("cut".into(), 4, 5)]);
}

#[test]
fn pings_are_counted_and_the_longest_loss_is_found() {
    let rtts = [Some(5), None, Some(7), None, None, Some(9)];
    let events: Vec<Event> = rtts.iter().zip(1..).map(|(rtt, n)| ping(n * S, *rtt)).collect();
    let pings = &Picture::of(&events, 100).pings[0];
    assert_eq!((pings.sent, pings.lost, pings.rtt), (6, 3, Some((5, 7, 9))));
    assert_eq!(pings.gap, Some((4 * S, 6 * S)));
    assert_eq!(pings.runs.len(), 6);
    // Told together where they are too many, and none is forgotten.
    let pings = &Picture::of(&events, 2).pings[0];
    assert!(pings.runs.len() <= 3, "{:?}", pings.runs);
    let told: (u32, u32) = pings.runs.iter().fold((0, 0), |n, r| (n.0 + r.count, n.1 + r.lost));
    assert_eq!(told, (6, 3));
}

fn with_class<'a>(parent: Node<'a, 'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let has = |n: &Node<'_, '_>| n.attribute("class").is_some_and(|c| c.split(' ').any(|c| c == class));
    parent.descendants().filter(has).collect()
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

#[test]
fn the_svg_has_a_lane_each_and_a_rectangle_spans_its_state_exactly() {
    let text = svg(&failover());
    let document = Document::parse(&text).unwrap();
    let lanes = with_class(document.root(), "lane");
    assert_eq!(lanes.len(), 2);
    // b is on from the beginning to the end.
    let on = with_class(document.root(), "on");
    let (left, width) = (number(on[1], "x"), number(on[1], "width"));
    for (lane, from, to) in [(lanes[0], 1.0, 4.0), (lanes[1], 7.0, 10.0)] {
        let [master] = with_class(lane, "MASTER")[..] else { panic!("{text}") };
        assert!((number(master, "x") - (left + width * from / 10.0)).abs() < 0.02, "{text}");
        assert!((number(master, "width") - width * (to - from) / 10.0).abs() < 0.02, "{text}");
    }
    let title = with_class(lanes[1], "MASTER")[0].descendants().find(|n| n.has_tag_name("title")).unwrap();
    assert_eq!(title.text(), Some("b carp0 vhid 1: MASTER from 7 s to 10 s, 3 s"));
    assert_eq!(with_class(lanes[0], "advert")[0].attribute("d").unwrap().matches('M').count(), 2);
}

#[test]
fn markup_and_control_characters_come_through_as_text() {
    let mut events = failover();
    let (machine, line) = ("</svg>".to_owned(), "echo \u{1b}[1m ]]> <script>".to_owned());
    events.push(at(S, What::Command { machine, line, status: 1, output: String::new() }));
    events.push(at(S, What::Violation { text: "1 < 2 & \"3\"".into() }));
    let text = svg(&events);
    let document = Document::parse(&text).unwrap();
    assert_eq!(with_class(document.root(), "title")[0].text(), Some("a <b> & \"c\""));
    assert!(document.descendants().all(|n| !n.has_tag_name("script")));
    assert!(text.contains("\u{fffd}[1m ]]&gt; &lt;script&gt;"), "{text}");
    assert_eq!(with_class(document.root(), "violation").len(), 1);
}

#[test]
fn a_run_without_anything_is_a_picture() {
    for events in [vec![], vec![run("nothing", &[])], vec![fault(0, "", true), fault(0, "x", false)]] {
        let text = svg(&events);
        Document::parse(&text).unwrap();
    }
}

/// Each second for a week, and a state that never rests: as large as an hour's.
#[test]
fn the_size_does_not_grow_with_the_length_of_the_run() {
    let of = |seconds: u64| {
        let mut events = vec![run("long", &["a"])];
        for n in 0..seconds {
            let (from, to) =
                if n % 2 == 0 { (State::Backup, State::Master) } else { (State::Master, State::Backup) };
            events.extend([
                state(n * S, "a", 1, from, to),
                advert(n * S, "a", 1),
                ping(n * S, Some(n % 9 + 1)),
            ]);
        }
        svg(&events).len()
    };
    let (hour, week) = (of(3_600), of(604_800));
    assert!(week < 2 * hour && week < 500_000, "{hour} and {week} bytes");
}

#[test]
fn a_name_that_fits_nowhere_is_cut_within_the_page() {
    let names = "wide ".repeat(100);
    let events = [fault(50 * S, &names, false), fault(99 * S, "short", false), fault(100 * S, "short", true)];
    let text = svg(&events);
    let document = Document::parse(&text).unwrap();
    let find = |word: &str| {
        let has = |n: &Node<'_, '_>| n.has_tag_name("text") && n.text().is_some_and(|t| t.starts_with(word));
        document.descendants().find(has).unwrap()
    };
    let wide = find("wide");
    assert!(wide.text().unwrap().ends_with('…') && wide.attribute("text-anchor") == Some("start"));
    assert!(number(wide, "x") + 6.0 * wide.text().unwrap().len() as f64 <= 1200.0, "{text}");
    assert_eq!(find("short").attribute("text-anchor"), Some("end"));
}

#[test]
fn faults_that_overlap_have_their_names_on_different_rows() {
    let names = ["a rather long name of a fault", "another that begins soon after", "and one more"];
    let mut events: Vec<Event> = names.iter().zip(0..).map(|(n, t)| fault(t * S, n, false)).collect();
    events.push(at(100 * S, What::End { passed: true }));
    let text = svg(&events);
    let document = Document::parse(&text).unwrap();
    let of_name =
        |n: &Node<'_, '_>| names.iter().any(|name| n.has_tag_name("text") && n.text() == Some(name));
    let mut rows: Vec<&str> =
        document.descendants().filter(of_name).map(|n| n.attribute("y").unwrap()).collect();
    assert_eq!(rows.len(), 3);
    rows.dedup();
    assert_eq!(rows.len(), 3, "{rows:?}");
}
