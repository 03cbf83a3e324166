//! What is seen.

use super::*;
use crate::lab::record::{Event, Family, State, What};
use ratatui::style::Color;

/// The pair at 8.8 s: a has crashed, b has just taken over.
const PAIR_SEEN: &str = r"
A pair seed 1
       8.8 s of 20 s   speed 10   running
no faults
                |0 s      |5 s      |10 s     |15 s     |20 s
machines
a               ▲──────────✗
b               ▲─────────────────
net0
a carp0 vhid 1  BBBBBBMMMMM·······
                      ╵ ╵ ╵
b carp0 vhid 1  BBBBBBBBBBBBBBBBMM
                                ╵
pings
c → 10.0.0.1            ---xxxxx--
231 of 422 lost
── expectations: 2 ok, 0 not, 3 open ───────────────────────────────────────────
..  a carp0 BACKUP at 19s
..  no two masters longer than 0s
..  c loses fewer than 400 pings
── events ──────────────────────────────────────────────────────────────────────
         6.5 s  c pings 10.0.0.1: 190 lost
    8.390625 s  b carp0 vhid 1: BACKUP -> MASTER
         8.4 s  c pings 10.0.0.1: 41 lost
q quit  space pause  n next  + - speed  arrows move  z Z zoom  ? help
";

/// The split brain at 12.8 s, when besides a cable is out.
const SPLIT_SEEN: &str = r"
Split brain, and heal seed 1
      12.8 s of 30 s   speed 10   running
FAULTS net0: partition a | b,c · b em0: link down
                |0 s      |5 s      |10 s     |15 s     |20 s     |25 s     |30 s
machines
a               ▲─────────────────────────
b               ▲───────────────────────~~
net0                             partition a | b,c
a carp0 vhid 1  BBBBBBMMMMMMMMMMMMMMMMMMMM
                      ╵ ╵ ╵ ╵ ╵ ╵ ╵ ╵ ╵ ╵
b carp0 vhid 1  BBBBBBBBBBBBBBBBBBBBBBMMII
                                      ╵
pings
c → 10.0.0.1              -------xxxxxx-
290 of 700 lost
── events ───────────────────────────────────────────────── ── expectations: 2 ok, 1 not, 3 open ───────────────────────
         9.5 s  c pings 10.0.0.1: 190 lost                  NO  a carp0 BACKUP at 5s: MASTER at 5s
   11.390625 s  b carp0 vhid 1: BACKUP -> MASTER            ok  b carp0 MASTER within 3.4s after 8.5s: 2.890625s after …
        11.4 s  c pings 10.0.0.1: 61 lost                   ..  b carp0 BACKUP within 1.4s after 18.5s
          12 s  b em0: link down                            ok  no two masters longer than 0s from 0s until 8.5s: never…
          12 s  b logs: carp: demoted by 240 to 240 (inter… ..  no two masters longer than 1.4s from 18.5s
          12 s  b carp0 vhid 1: MASTER -> INIT              ..  c loses fewer than 1 pings from 20.5s
       12.01 s  c pings 10.0.0.1: 39 lost
q quit  space pause  n next  + - speed  arrows move  z Z zoom  ? help
";

const TWO: &str = "title = \"two\"\ntime = \"100s\"\n[lan.net0]\n[machine.a]\ninterfaces = { em0 = \"net0\" }\n\
                   [machine.b]\ninterfaces = { em0 = \"net0\" }";

fn event(at: u64, what: What) -> Event {
    Event { at: at * 100_000_000, what }
}

fn state(at: u64, machine: &str, from: State, to: State) -> Event {
    let (machine, ifname, lan) = (machine.into(), "carp0".into(), Some("net0".into()));
    event(at, What::State { machine, ifname, lan, vhid: 1, from, to })
}

/// What those events look like, and the line that begins so.
fn line_of(events: Vec<Event>, now: u64, begins: &str) -> String {
    let scenario = scenario(TWO);
    let mut show = Show::new(&scenario, 1.0);
    show.add(events);
    show.look(Time(now * 100_000_000), now * 100_000_000);
    let seen = text(&seen(&show, 80, 24));
    seen.lines().find(|l| l.starts_with(begins)).unwrap_or_else(|| panic!("no {begins} in {seen}")).to_owned()
}

#[test]
fn lanes_grow_to_the_right() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::pressing(&[(1_000, Key::Quit)]);
    watched(&scenario, Options::default(), 10.0, &mut fake);
    assert_eq!(format!("\n{}", fake.at(900).text), PAIR_SEEN);
}

#[test]
fn what_goes_wrong_on_a_lan_and_at_a_machine_is_told_as_long_as_it_lasts() {
    let text = include_str!("../../../../../labs/split-brain.toml").replace(
        "[[expect]]\nmachine = \"a\"\nstate = \"MASTER\"\nfrom = \"4s\"",
        "[[fault]]\nmachine = \"b\"\ninterface = \"em0\"\nfrom = \"12s\"\nuntil = \"14s\"\nlink_down = true\n\
         [[expect]]\nmachine = \"a\"\nstate = \"BACKUP\"\nby = \"5s\"",
    );
    let scenario = scenario(&text);
    let mut fake = Fake::new(120, 24, &[(2_000, Input::Key(Key::Quit))]);
    watched(&scenario, Options::default(), 10.0, &mut fake);
    assert_eq!(format!("\n{}", fake.at(1_300).text), SPLIT_SEEN);
    assert!(fake.at(1_500).text.contains("FAULTS net0: partition a | b,c\n"), "{}", fake.at(1_500).text);
    assert!(fake.at(1_900).text.contains("no faults"), "{}", fake.at(1_900).text);
}

#[test]
fn more_changes_than_a_column_shows_are_said_to_be_many() {
    use State::{Absent, Backup, Init, Master};
    let begin = || vec![state(0, "a", Absent, Init), state(2, "a", Init, Backup)];
    let mut events = begin();
    assert_eq!(line_of(events.clone(), 3, "a carp0"), "a carp0 vhid 1 B");
    events.extend([state(11, "a", Backup, Master), state(12, "a", Master, Backup)]);
    events.push(state(20, "a", Backup, Absent));
    assert_eq!(line_of(events.clone(), 30, "a carp0"), "a carp0 vhid 1 BB*B···");
    let advert = |at| {
        let (lan, machine) = ("net0".into(), "a".into());
        event(at, What::Advert { lan, machine, vhid: 1, advbase: 1, advskew: 0, family: Family::Ip })
    };
    events.extend([10, 21, 22].map(advert));
    assert_eq!(line_of(events, 30, "                 ╵"), "                 ╵ ╨");
}

#[test]
fn what_is_done_to_a_machine_has_a_sign() {
    let machine = || "a".to_owned();
    let events = vec![
        event(0, What::Boot { machine: machine() }),
        event(10, What::Pause { machine: machine() }),
        event(20, What::Resume { machine: machine() }),
        event(30, What::Command { machine: machine(), line: "x".into(), status: 1, output: String::new() }),
        event(40, What::Halt { machine: machine() }),
    ];
    assert_eq!(line_of(events, 50, "a "), "a        ▲─==▶─◇─■");
}

#[test]
fn lost_pings_in_a_row_are_one_line() {
    let ping = |seq: u64, rtt| {
        let (client, to) = ("c".into(), [10, 0, 0, 1].into());
        event(seq + 10, What::Ping { client, to, seq, sent: seq * 100_000_000, rtt, machine: None })
    };
    let mut events: Vec<Event> = (0..5).map(|n| ping(n, None)).collect();
    events.push(ping(5, Some(1)));
    assert_eq!(line_of(events.clone(), 20, "           1 s"), "           1 s  c pings 10.0.0.1: 5 lost");
    events.push(event(16, What::Boot { machine: "a".into() }));
    events.push(ping(7, None));
    assert_eq!(line_of(events.clone(), 20, "         1.7 s"), "         1.7 s  c pings 10.0.0.1: lost");
    assert_eq!(line_of(events, 20, "6 of 7"), "6 of 7 lost");
}

#[test]
fn what_was_wrong_besides_stands_with_the_expectations() {
    let violation = event(3, What::Violation { text: "two answer".into() });
    assert_eq!(line_of(vec![violation], 4, "NO"), "NO  violated: two answer");
}

#[test]
fn states_have_colours_of_their_own() {
    let scenario = scenario(PAIR);
    let show = shown(&scenario);
    let buffer = seen(&show, 80, 24);
    let lane = text(&buffer).lines().position(|l| l.starts_with("a carp0")).unwrap();
    let cells = (0..80).map(|x| &buffer[(x, lane as u16)]);
    let colour = |letter| {
        let mut all: Vec<Color> =
            cells.clone().skip(16).filter(|c| c.symbol() == letter).map(|c| c.bg).collect();
        all.dedup();
        assert_eq!(all.len(), 1, "{letter}: {all:?}");
        all[0]
    };
    let all = ["B", "M", "·"].map(colour);
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{all:?}");
    assert_eq!(all[2], Color::Reset);
}

#[test]
fn there_is_a_picture_in_any_room_or_it_says_that_there_is_too_little() {
    let scenario = scenario(PAIR);
    let mut show = shown(&scenario);
    for help in [false, true] {
        show.help = help;
        for (width, height) in (1..130).flat_map(|w| [1, 2, 7, 15, 16, 17, 30, 90].map(|h| (w, h))) {
            let text = text(&seen(&show, width, height));
            let room = width >= LEAST.0 && height >= LEAST.1;
            assert_eq!(text.contains("A pair"), room, "{width} x {height}: {text}");
            assert_eq!(
                text.contains("too small: 4"),
                !room && (40..50).contains(&width),
                "{width} x {height}"
            );
        }
    }
}

#[test]
fn rows_that_have_no_room_are_reached_with_the_arrows() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::new(60, 16, &[(100, Input::Key(Key::Down)), (200, Input::Key(Key::Quit))]);
    watched(&scenario, Options::default(), 100.0, &mut fake);
    let (before, after) = (&fake.at(99).text, &fake.at(199).text);
    assert!(before.contains("1-6 of 8") && before.contains("\nmachines\na  "), "{before}");
    assert!(after.contains("2-7 of 8") && !after.contains("machines") && after.contains("pings"), "{after}");
}

#[test]
fn help_says_what_the_keys_do_and_goes_again() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::pressing(&[(100, Key::Help), (200, Key::Help), (300, Key::Quit)]);
    watched(&scenario, Options::default(), 1.0, &mut fake);
    let said = ["space   pause", "n       on to the next event", "B BACKUP  M MASTER", "✗ crash"];
    assert!(said.iter().all(|s| fake.at(199).text.contains(s)), "{}", fake.at(199).text);
    assert!(said.iter().all(|s| !fake.at(299).text.contains(s)), "{}", fake.at(299).text);
}

#[test]
fn what_a_terminal_would_obey_is_not_written_to_it() {
    let scenario = scenario(&PAIR.replace("title = \"A pair\"", "title = \"A\\u001b[2Jpair\\u0007\""));
    let show = shown(&scenario);
    let seen = text(&seen(&show, 80, 24));
    assert!(seen.starts_with("A[2Jpair seed 1\n"), "{seen}");
    assert!(!seen.chars().any(|c| c.is_control() && c != '\n'), "{seen:?}");
}
