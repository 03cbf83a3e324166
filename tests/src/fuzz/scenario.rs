//! A scenario's text: it is refused with a line that says where, or run for a
//! while, and whatever comes of it can be written.

use netisrd::lab::journal::Keep;
use netisrd::lab::run::{Options, Play};
use netisrd::lab::scenario::{Kind, Scenario};
use netisrd::lab::{pcapng, record, report, timeline};
use std::path::Path;
use std::time::Duration;

/// Virtual time that one is run for.
const TIME: Duration = Duration::from_secs(20);
/// Moments of a run.
const MOMENTS: usize = 2_000;

/// Reads it, and runs it if it is small.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("lab.toml");
    let mut scenario = match Scenario::parse(path, text) {
        Ok(scenario) => scenario,
        Err(e) => {
            let said = e.to_string();
            let line = said.strip_prefix("lab.toml:").and_then(|rest| rest.split(':').next()?.parse().ok());
            let lines = 1 + text.matches('\n').count();
            assert!(line.is_some_and(|line: usize| (1..=lines).contains(&line)), "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
            return;
        }
    };
    let written = scenario.to_toml().expect("what was read can be written");
    let again = Scenario::parse(path, &written).unwrap_or_else(|e| panic!("{e}\n{written}"));
    assert_eq!(again.to_toml().expect("and again"), written);
    if !is_small(&scenario) {
        return;
    }
    scenario.time.0 = scenario.time.0.min(TIME);
    play(&scenario);
}

fn is_small(scenario: &Scenario) -> bool {
    let machines = || scenario.machine.values();
    machines().len() <= 4
        && scenario.lan.len() <= 4
        && scenario.client.len() <= 4
        && scenario.at.len() + scenario.fault.len() + scenario.expect.len() <= 64
        && machines().map(|m| m.boot.len()).sum::<usize>() <= 40
        && machines().map(|m| m.interfaces.len()).sum::<usize>() <= 16
        && machines().all(|m| m.kind == Kind::Netisrd && m.netisrs.unwrap_or(1) <= 4)
        && opens_no_file(scenario)
}

/// Whose files those are is not known.
fn opens_no_file(scenario: &Scenario) -> bool {
    let boot = scenario.machine.values().flat_map(|m| &m.boot);
    let run = scenario.at.iter().filter_map(|d| d.run.as_ref());
    boot.chain(run).all(|line| !line.as_ref().contains("passfile"))
}

fn play(scenario: &Scenario) {
    let mut play = Play::new(scenario, Options { keep: Keep::Frames, ..Options::default() });
    let end = play.world.now() + scenario.time.0;
    for _ in 0..MOMENTS {
        if !play.next(end) {
            break;
        }
    }
    let outcome = play.finish();
    record::to_jsonl(&outcome.events).expect("events");
    pcapng::write(&outcome.lans, &outcome.frames, &outcome.events).expect("frames");
    assert!(timeline::svg(&outcome.events).starts_with("<svg"));
    report::html(&outcome.events).expect("a report");
}
