//! Whether what a scenario expects was seen.

use super::client;
use super::duration::Span;
use super::record::{Event, State, What};
use super::scenario::{ExpectSpec, Loss, Scenario};
use compat::sys::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Looks at every expectation, notes what was seen and the end, and says
/// whether all hold and nothing was wrong besides.
pub fn judge(scenario: &Scenario, events: &mut Vec<Event>, end: Time) -> bool {
    judge_with(scenario, events, end, Duration::ZERO)
}

/// The same of a run in which whatever is done takes up to `slack`: a change may
/// be so much too late or too early, and two masters, and an outage, may last so
/// much longer.
pub fn judge_with(scenario: &Scenario, events: &mut Vec<Event>, end: Time, slack: Duration) -> bool {
    let mut passed = !events.iter().any(|e| matches!(e.what, What::Violation { .. }));
    let verdicts: Vec<_> = scenario.expect.iter().map(|e| verdict(e, events, end, slack)).collect();
    for (text, seen) in verdicts {
        let holds = seen.is_ok();
        passed &= holds;
        let seen = seen.unwrap_or_else(|seen| seen);
        events.push(Event { at: end.0, what: What::Expect { text, holds, seen } });
    }
    events.push(Event { at: end.0, what: What::End { passed } });
    passed
}

/// What is known of it at `now`, when `events` are all that happened until
/// then: nothing while what may still happen by `end` decides.
pub(super) fn known(
    expect: &ExpectSpec,
    events: &[Event],
    now: Time,
    end: Time,
) -> Option<Result<String, String>> {
    let (from, until) = (expect.from.map_or(Time::default(), at), expect.until.map_or(end, at));
    let so_far = ExpectSpec { until: Some(Span(until.min(now) - Time::default())), ..expect.clone() };
    let seen = verdict(&so_far, events, now, Duration::ZERO).1;
    let decided = if expect.two_masters_no_longer_than.is_some() {
        now > until || seen.is_err()
    } else if let Some((client, most)) = expect.client.as_ref().zip(expect.ping_loss_below) {
        // One that was sent in time is given up later.
        let (lost, _) = pings(events, client.as_ref(), from, until);
        now > until + client::PATIENCE || matches!(most, Loss::Count(n) if lost >= n)
    } else if let Some(by) = expect.by {
        now > at(by)
    } else if let Some((after, within)) = expect.after.zip(expect.within) {
        let history = History::expected(expect, events);
        now > at(after) + within.0 || history.first(expected(expect), at(after)).is_some()
    } else {
        now > until || (now > from && seen.is_err())
    };
    decided.then_some(seen)
}

/// What is expected, in words.
pub(super) fn text(expect: &ExpectSpec) -> String {
    verdict(expect, &[], Time::default(), Duration::ZERO).0
}

/// What is expected, and what was seen: `Ok` if it is as expected.
fn verdict(
    expect: &ExpectSpec,
    events: &[Event],
    end: Time,
    slack: Duration,
) -> (String, Result<String, String>) {
    let from = expect.from.map_or(Time::default(), at);
    let until = expect.until.map_or(end, at);
    let during = match (expect.from, expect.until) {
        (None, None) => String::new(),
        (from, None) => format!(" from {}", from.unwrap_or_default()),
        (from, Some(until)) => format!(" from {} until {until}", from.unwrap_or_default()),
    };
    if let Some(most) = expect.two_masters_no_longer_than {
        let lan = expect.lan.as_ref().map(|l| l.as_ref().as_str());
        let text = format!("no two masters longer than {most}{}{during}", of_vhid(expect.vhid));
        return (text, two_masters(events, lan, expect.vhid, from, until, most.0 + slack));
    }
    if let (Some(client), Some(most)) = (&expect.client, expect.ping_loss_below) {
        let limit = match most {
            Loss::Count(n) => n.to_string(),
            Loss::Share(share) => format!("{} per cent", share * 100.0),
        };
        let text = format!("{} loses fewer than {limit} pings{during}", client.as_ref());
        return (text, ping_loss(events, client.as_ref(), (from, until), most, slack));
    }
    let (machine, ifname) = whose(expect);
    let state = expected(expect);
    let history = History::expected(expect, events);
    let who = format!("{machine} {ifname}{} {}", of_vhid(expect.vhid), state.name());
    match (expect.by, expect.after.zip(expect.within)) {
        (Some(by), _) => (format!("{who} at {by}"), history.comes(state, at(by), slack)),
        (None, Some((after, within))) => {
            let least = expect.not_within.unwrap_or_default();
            let text = format!("{who} within {within} after {after}");
            (text, history.becomes(state, at(after), least.0.saturating_sub(slack), within.0 + slack))
        }
        (None, None) => (
            format!("{who}{during}"),
            history.stays(state, from + slack, Time::default() + (until - (Time::default() + slack))),
        ),
    }
}

fn at(span: Span) -> Time {
    Time::default() + span.0
}

/// Whose state is expected: the machine and its interface.
fn whose(expect: &ExpectSpec) -> (&str, &str) {
    let machine = expect.machine.as_ref().map_or("", |m| m.as_ref().as_str());
    (machine, expect.interface.as_deref().unwrap_or("carp0"))
}

/// Which state is expected.
fn expected(expect: &ExpectSpec) -> State {
    expect.state.unwrap_or(State::Absent)
}

fn of_vhid(vhid: Option<u8>) -> String {
    vhid.map(|v| format!(" vhid {v}")).unwrap_or_default()
}

fn held(holds: bool, seen: String) -> Result<String, String> {
    if holds { Ok(seen) } else { Err(seen) }
}

fn seconds(t: Time) -> Span {
    Span(Duration::from_nanos(t.0))
}

/// The states of one carp interface, each with its beginning.
struct History(Vec<(Time, State)>);

impl History {
    /// Of the interface of which something is expected.
    fn expected(expect: &ExpectSpec, events: &[Event]) -> History {
        let (machine, ifname) = whose(expect);
        History::of(events, machine, ifname, expect.vhid)
    }

    fn of(events: &[Event], machine: &str, ifname: &str, vhid: Option<u8>) -> History {
        let of = |e: &Event| match &e.what {
            What::State { machine: m, ifname: i, vhid: v, to, .. }
                if m == machine && i == ifname && vhid.is_none_or(|vhid| vhid == *v) =>
            {
                Some((e.time(), *to))
            }
            _ => None,
        };
        History(events.iter().filter_map(of).collect())
    }

    /// At the end of that moment.
    fn at(&self, t: Time) -> State {
        self.0.iter().take_while(|(since, _)| *since <= t).last().map_or(State::Absent, |(_, s)| *s)
    }

    /// Whether it is in that state at `by`, or comes to it up to `slack` later.
    fn comes(&self, state: State, by: Time, slack: Duration) -> Result<String, String> {
        let then = self.at(by);
        let late = || self.first(state, by).is_some_and(|t| t <= by + slack);
        let seen = if then != state && late() { state } else { then };
        held(seen == state, format!("{} at {}", seen.name(), seconds(by)))
    }

    /// When it is first in that state again, from `after` on.
    fn first(&self, state: State, after: Time) -> Option<Time> {
        self.0.iter().find(|(t, s)| *t >= after && *s == state).map(|(t, _)| *t)
    }

    fn becomes(&self, state: State, after: Time, least: Duration, most: Duration) -> Result<String, String> {
        match self.first(state, after) {
            Some(t) => {
                let took = t - after;
                held((least..=most).contains(&took), format!("{} after it", Span(took)))
            }
            None => Err(format!("{} at {}, and never again", self.at(after).name(), seconds(after))),
        }
    }

    fn stays(&self, state: State, from: Time, until: Time) -> Result<String, String> {
        let first = self.at(from);
        if first != state {
            return Err(format!("{} at {}", first.name(), seconds(from)));
        }
        match self.0.iter().find(|(t, s)| *t > from && *t <= until && *s != state) {
            Some((t, s)) => Err(format!("{} at {}", s.name(), seconds(*t))),
            None => Ok(format!("{} all the time", state.name())),
        }
    }
}

/// The longest that a vhid had two masters on a LAN. A machine that is paused
/// is none: it sends nothing and answers nobody.
fn two_masters(
    events: &[Event],
    lan: Option<&str>,
    vhid: Option<u8>,
    from: Time,
    until: Time,
    most: Duration,
) -> Result<String, String> {
    let mut masters: BTreeMap<(String, u8), BTreeSet<(String, String)>> = BTreeMap::new();
    let mut paused: BTreeSet<String> = BTreeSet::new();
    let mut since: BTreeMap<(String, u8), Time> = BTreeMap::new();
    let mut longest = (Duration::ZERO, Time::default());
    let end = Event { at: until.0, what: What::End { passed: true } };
    for event in events.iter().take_while(|e| e.at < until.0).chain([&end]) {
        let now = Time(event.at.max(from.0));
        match &event.what {
            What::Pause { machine } => {
                paused.insert(machine.clone());
            }
            What::Resume { machine }
            | What::Crash { machine }
            | What::Halt { machine }
            | What::Boot { machine } => {
                paused.remove(machine);
            }
            What::State { machine, ifname, lan: on, vhid: v, to, .. } => {
                let who = (machine.clone(), ifname.clone());
                masters.values_mut().for_each(|m| {
                    m.remove(&who);
                });
                let here = on.as_ref().filter(|on| lan.is_none_or(|lan| lan == on.as_str()));
                if let Some(on) = here.filter(|_| vhid.is_none_or(|vhid| vhid == *v))
                    && *to == State::Master
                {
                    masters.entry((on.clone(), *v)).or_default().insert(who);
                }
            }
            _ => {}
        }
        for (key, who) in &masters {
            let two = who.iter().filter(|(machine, _)| !paused.contains(machine)).count() > 1;
            if two && event.at < until.0 {
                since.entry(key.clone()).or_insert(now);
            } else if let Some(began) = since.remove(key)
                && now - began > longest.0
            {
                longest = (now - began, began);
            }
        }
    }
    let seen = match longest {
        (Duration::ZERO, _) => "never two".to_owned(),
        (time, began) => format!("two for {} from {}", Span(time), seconds(began)),
    };
    held(longest.0 <= most, seen)
}

/// How many were lost; those of an outage of `slack` are no loss.
fn ping_loss(
    events: &[Event],
    client: &str,
    (from, until): (Time, Time),
    most: Loss,
    slack: Duration,
) -> Result<String, String> {
    let (lost, all) = pings(events, client, from, until);
    let counts = lost.saturating_sub(spare(events, client, slack));
    let holds = match most {
        Loss::Count(n) => counts < n,
        Loss::Share(share) => (counts as f64) < share * all as f64,
    };
    held(holds && all > 0, format!("{lost} of {all} lost"))
}

/// How many of a client's pings were lost, of how many.
fn pings(events: &[Event], client: &str, from: Time, until: Time) -> (u64, u64) {
    let mine = events.iter().filter_map(|e| match &e.what {
        What::Ping { client: c, sent, rtt, .. } if c == client && (from.0..until.0).contains(sent) => {
            Some(*rtt)
        }
        _ => None,
    });
    mine.fold((0, 0), |(lost, all), rtt| (lost + u64::from(rtt.is_none()), all + 1))
}

/// How many of a client's pings an outage of `slack` loses.
fn spare(events: &[Event], client: &str, slack: Duration) -> u64 {
    let sent = events.iter().filter_map(|e| match &e.what {
        What::Ping { client: c, sent, .. } if c == client => Some(*sent),
        _ => None,
    });
    let (first, last, all) =
        sent.fold((u64::MAX, 0, 0_u128), |(first, last, all), t| (first.min(t), last.max(t), all + 1));
    let took = u128::from(last.saturating_sub(first));
    let lost = (slack.as_nanos() * all.saturating_sub(1)).checked_div(took);
    lost.and_then(|n| n.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
