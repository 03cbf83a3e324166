//! `report.html`: a run as one page that needs nothing else. A script makes
//! its timeline zoom; without it there are the picture and the tables.

use super::record::{Event, What};
use super::timeline::picture::{Kind, Picture, Pings};
use super::timeline::{clean, draw, sign, words};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use std::collections::BTreeMap;

/// Advertisements, and as many pings, that are told one by one.
const FINE: usize = 40_000;
/// Other events that the page knows, and rows of a table.
const EVENTS: usize = 40_000;
const ROWS: usize = 3_000;

/// What the script works on.
#[derive(Serialize)]
struct Data<'a> {
    picture: &'a Picture,
    events: Vec<Line>,
    /// Of each kind of mark the class, the path, and what the legend calls it.
    signs: BTreeMap<String, (&'static str, &'static str, &'static str)>,
}

/// An event that is neither an advertisement nor a ping.
#[derive(Serialize)]
struct Line {
    t: u64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vhid: Option<u8>,
    /// Whether it is a change of state.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    change: bool,
}

/// The page of a run.
///
/// # Errors
/// None that writing JSON to memory has.
pub fn html(events: &[Event]) -> serde_json::Result<String> {
    let picture = Picture::of(events, FINE);
    let mut signs = BTreeMap::new();
    for (kind, name) in Kind::ALL {
        let (class, path) = sign(kind);
        signs.insert(serde_json::to_string(&kind)?.trim_matches('"').to_owned(), (class, path, name));
    }
    let data = Data { picture: &picture, events: lines(events), signs };
    // Within a script no markup may be seen, whatever a machine has printed.
    let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
    Ok(clean(page(&picture, events, &data).into_string()))
}

fn lines(events: &[Event]) -> Vec<Line> {
    let told = |e: &&Event| !matches!(e.what, What::Advert { .. } | What::Ping { .. });
    let line = |e: &Event| {
        let (machine, vhid) = who(&e.what);
        let change = matches!(e.what, What::State { .. });
        Line { t: e.at, text: words::event(&e.what), machine: machine.cloned(), vhid, change }
    };
    events.iter().filter(told).take(EVENTS).map(line).collect()
}

/// The machine and the vhid that an event is about.
fn who(what: &What) -> (Option<&String>, Option<u8>) {
    match what {
        What::Boot { machine }
        | What::Crash { machine }
        | What::Halt { machine }
        | What::Pause { machine }
        | What::Resume { machine }
        | What::Command { machine, .. }
        | What::Log { machine, .. } => (Some(machine), None),
        What::State { machine, vhid, .. } => (Some(machine), Some(*vhid)),
        What::Fault { machine, .. } => (machine.as_ref(), None),
        _ => (None, None),
    }
}

fn page(picture: &Picture, events: &[Event], data: &str) -> Markup {
    let (class, verdict) = match picture.passed {
        Some(true) => ("ok", "PASSED"),
        Some(false) => ("bad", "FAILED"),
        None => ("dim", "NOT ENDED"),
    };
    let what = format!("seed {} · {} time · {}", picture.seed, picture.clock, words::span(picture.end));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (picture.scenario) ": " (verdict) }
                style { (PreEscaped(include_str!("report.css"))) }
            }
            body {
                header {
                    div { h1 { (picture.scenario) } p.dim { (what) } }
                    strong.badge.(class) { (verdict) }
                }
                (expectations(picture))
                section {
                    h2 { "Timeline" }
                    (PreEscaped(include_str!("report.html")))
                    div #still { (PreEscaped(draw(picture))) }
                }
                (changes(events))
                (pings(&picture.pings))
                (commands(events))
                script #data type="application/json" { (PreEscaped(data)) }
                script { (PreEscaped(include_str!("report.js"))) }
            }
        }
    }
}

fn expectations(picture: &Picture) -> Markup {
    let failed = picture.verdicts.iter().filter(|v| !v.holds).count();
    html! {
        section {
            h2 { "Expectations" }
            @if picture.verdicts.is_empty() { p.dim { "This scenario expects nothing." } }
            @else {
                p.dim { (picture.verdicts.len() - failed) " hold, " (failed) " do not." }
                div.scroll { table {
                    thead { tr { th { "" } th { "at" } th { "expected" } th { "seen" } } }
                    tbody { @for v in picture.verdicts.iter().take(ROWS) {
                        tr class=[(!v.holds).then_some("failed")] {
                            @if v.holds { td.ok { "✓" } } @else { td.bad { "✗" } }
                            td.time { (time(v.at)) } td { (v.text) } td { (v.seen) }
                        }
                    } }
                } }
                (more(picture.verdicts.len()))
            }
        }
    }
}

/// A moment that the script makes a button of.
fn time(t: u64) -> Markup {
    html! { span.at data-t=(t) { (words::moment(t)) } }
}

/// What a table has no row for.
fn more(rows: usize) -> Markup {
    let more = rows.saturating_sub(ROWS);
    html! { @if more > 0 { p.dim { "… and " (more) " more in events.jsonl." } } }
}

/// Each change of state: how long the state before has lasted, and what was
/// done or went wrong last.
fn changes(events: &[Event]) -> Markup {
    let mut since: BTreeMap<(&str, &str, u8), u64> = BTreeMap::new();
    let mut cause: Option<&Event> = None;
    let mut rows = html! {};
    let mut count = 0;
    for event in events {
        let What::State { machine, ifname, lan, vhid, from, to } = &event.what else {
            if is_cause(&event.what) {
                cause = Some(event);
            }
            continue;
        };
        let before = since.insert((machine, ifname, *vhid), event.at);
        count += 1;
        if count > ROWS {
            continue;
        }
        let lasted = before.map(|b| words::span(event.at - b)).unwrap_or_default();
        let after = cause.map(|c| (words::span(event.at - c.at), words::event(&c.what)));
        let row = html! {
            tr data-machine=(machine) data-vhid=(vhid) {
                td.time { (time(event.at)) }
                td { (machine) } td { (ifname) } td.number { (vhid) } td { (lan.as_deref().unwrap_or("")) }
                td { span.state.(from.name()) { (from.name()) } " → " span.state.(to.name()) { (to.name()) } }
                td.number { (lasted) }
                td { @if let Some((after, what)) = after { (after) " after: " (what) } }
            }
        };
        rows.0.push_str(&row.0);
    }
    html! {
        section {
            h2 { "Changes of state" }
            @if count == 0 { p.dim { "There was none." } }
            @else {
                div.scroll { table #changes {
                    thead { tr {
                        th { "at" } th { "machine" } th { "interface" } th.number { "vhid" } th { "LAN" }
                        th { "change" } th.number { "lasted before" } th { "since the last event" }
                    } }
                    tbody { (rows) }
                } }
                (more(count))
            }
        }
    }
}

/// Whether a change of state may come of it.
fn is_cause(what: &What) -> bool {
    let (machine, vhid) = who(what);
    let done = machine.is_some() && vhid.is_none() && !matches!(what, What::Log { .. });
    done || matches!(what, What::Fault { .. })
}

fn pings(all: &[Pings]) -> Markup {
    let percent = |p: &Pings| format!("{:.1} %", 100.0 * p.lost as f64 / p.sent.max(1) as f64);
    let gap = |p: &Pings| p.gap.map(|(from, to)| (words::span(to.saturating_sub(from)), from));
    html! {
        @if !all.is_empty() { section {
            h2 { "Pings" }
            div.scroll { table {
                thead { tr {
                    th { "client" } th { "to" } th.number { "sent" } th.number { "lost" } th.number { "loss" }
                    th.number { "round trip, least" } th.number { "mean" } th.number { "greatest" } th { "longest loss" }
                } }
                tbody { @for p in all {
                    tr {
                        td { (p.client) } td { (p.to) } td.number { (p.sent) } td.number { (p.lost) }
                        td.number { (percent(p)) }
                        @let rtt = p.rtt.map(|(low, mean, high)| [low, mean, high]);
                        @for i in 0..3 { td.number { @if let Some(rtt) = rtt { (words::span(rtt[i])) } } }
                        td { @if let Some((lasted, from)) = gap(p) { (lasted) " from " (time(from)) } }
                    }
                } }
            } }
        } }
    }
}

fn commands(events: &[Event]) -> Markup {
    let is_one = |e: &&Event| matches!(e.what, What::Command { .. });
    let all: Vec<&Event> = events.iter().filter(is_one).collect();
    html! {
        @if !all.is_empty() { section {
            h2 { "Commands" }
            div #commands { @for event in all.iter().take(ROWS) { (command(event)) } }
            (more(all.len()))
        } }
    }
}

fn command(event: &Event) -> Markup {
    let What::Command { machine, line, status, output } = &event.what else { return html! {} };
    let said = html! {
        span.time { (time(event.at)) } " " b { (machine) } " " code { (line) }
        @if *status != 0 { " " span.bad { "exit status " (status) } }
    };
    html! {
        @if output.is_empty() { p.command data-machine=(machine) { (said) } }
        @else {
            details.command data-machine=(machine) open[*status != 0] {
                summary { (said) }
                pre { (output) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
