//! The rows of the timeline: a machine, a lane, a client's pings.

use super::picture::{Kind, Lane, Machine, Mark, Pings, Power, Span};
use super::text::{cut, period, px, width};
use super::words;
use crate::lab::record::State;
use maud::{Markup, html};
use std::fmt::Write;

/// A row, and where it is.
pub(super) struct Row {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) end: u64,
    pub(super) y: f64,
}

/// Lines of a tooltip.
const TIP: usize = 12;

/// The sign of a mark: its class and its path.
pub(crate) fn sign(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Boot => ("good-mark", "M-5 4L0 -5L5 4Z"),
        Kind::Resume => ("good-mark", "M-4 -5L5 0L-4 5Z"),
        Kind::Crash => (
            "bad-mark",
            "M-5 -3.2L-3.2 -5L0 -1.8L3.2 -5L5 -3.2L1.8 0L5 3.2L3.2 5L0 1.8L-3.2 5L-5 3.2L-1.8 0Z",
        ),
        Kind::Halt => ("mark", "M-4.5 -4.5H4.5V4.5H-4.5Z"),
        Kind::Pause => ("mark", "M-4 -5H-1V5H-4ZM1 -5H4V5H1Z"),
        Kind::Command => ("mark", "M0 -5L4 0L0 5L-4 0Z"),
        Kind::Error => ("bad-mark", "M0 -5L4 0L0 5L-4 0Z"),
    }
}

/// The sign of a mark, drawn.
pub(super) fn glyph(kind: Kind, x: f64, y: f64) -> Markup {
    let (class, d) = sign(kind);
    html! { path class=(class) transform={"translate(" (px(x)) " " (px(y)) ")"} d=(d) {} }
}

impl Row {
    fn x(&self, t: u64) -> f64 {
        self.left + (self.right - self.left) * (t as f64 / self.end as f64)
    }

    /// A rectangle over a span of time; one that cannot be seen is a pixel
    /// wide.
    fn bar(&self, class: &str, from: u64, to: u64, y: f64, height: f64, tip: &str) -> Markup {
        let (x, to) = (self.x(from), self.x(to));
        let (x, width) = (px(x), px((to - x).max(1.0)));
        html! {
            rect class=(class) x=(x) y=(px(y)) width=(width) height=(px(height)) {
                @if !tip.is_empty() { title { (tip) } }
            }
        }
    }

    pub(super) fn machine(&self, machine: &Machine) -> Markup {
        let middle = self.y + 10.0;
        let bar = |s: &Span<Power>| {
            let (class, name, height) = match s.is {
                Power::On => ("on", "on", 4.0),
                Power::Paused => ("paused", "paused", 8.0),
                Power::Off => ("off", "off", 2.0),
            };
            let tip = format!("{} is {name} {}", machine.name, period(s.from, s.to));
            self.bar(class, s.from, s.to, middle - height / 2.0, height, &tip)
        };
        let mut drawn = html! { @for span in &machine.power { (bar(span)) } };
        let mut rest = &machine.marks[..];
        while let Some(first) = rest.first() {
            let x = self.x(first.at);
            let near = rest.iter().take_while(|m| self.x(m.at) < x + 30.0).count();
            let alone = rest.get(1).is_none_or(|m| self.x(m.at) >= x + 13.0);
            let (group, others) = rest.split_at(if alone { 1 } else { near });
            drawn.0.push_str(&self.marks(group, middle).0);
            rest = others;
        }
        drawn
    }

    /// Marks that are too near to each other for a sign each.
    fn marks(&self, marks: &[Mark], y: f64) -> Markup {
        let Some(greatest) = marks.iter().max_by_key(|m| m.kind) else { return Markup::default() };
        let x = self.x(marks[0].at);
        let mut tip = String::new();
        for mark in marks.iter().take(TIP) {
            let _ = writeln!(tip, "{} {}", words::moment(mark.at), mark.text);
        }
        if let more @ 1.. = marks.len().saturating_sub(TIP) {
            let _ = writeln!(tip, "and {more} more");
        }
        let others = match marks.len() - 1 {
            0 => String::new(),
            n @ ..=99 => format!("+{n}"),
            _ => "+…".to_owned(),
        };
        let halo = 14.0 + if others.is_empty() { 0.0 } else { width(&others, 9.0) };
        html! {
            g {
                title { (tip.trim_end()) }
                rect.halo x=(px(x - 7.0)) y=(px(y - 7.0)) width=(px(halo)) height="14" rx="3" {}
                (glyph(greatest.kind, x, y))
                text.tiny x=(px(x + 6.0)) y=(px(y + 3.5)) { (others) }
            }
        }
    }

    /// The states, and below them the advertisements.
    pub(super) fn lane(&self, lane: &Lane, height: f64) -> Markup {
        let mut drawn = html! {};
        let mut rest = &lane.spans[..];
        while let Some(first) = rest.first() {
            // What is narrower than a pixel is drawn with what follows in it.
            let edge = self.x(first.from) + 1.0;
            let within = rest.iter().take_while(|s| self.x(s.to) < edge).count();
            let (group, others) = rest.split_at(within.max(1));
            let one = match group {
                [span] => self.span(lane, span, height),
                _ => self.changes(lane, group, height),
            };
            drawn.0.push_str(&one.0);
            rest = others;
        }
        let runs = lane.adverts.iter().map(|a| (self.x(a.from), self.x(a.to)));
        let ticks = ticks(runs, self.y + height + 1.5, height * 0.32);
        html! {
            g.lane data-machine=(lane.machine) data-vhid=(lane.vhid) { (drawn) (ticks) }
        }
    }

    fn span(&self, lane: &Lane, span: &Span<State>, height: f64) -> Markup {
        let name = span.is.name();
        let tip = format!("{}: {name} {}", lane.name(), period(span.from, span.to));
        let room = self.x(span.to) - self.x(span.from) - 8.0;
        let since = format!("{name} from {}", words::moment(span.from));
        let said = [since.as_str(), name, &name[..1]];
        let said = said.into_iter().find(|s| width(s, 11.0) <= room && height > 10.0);
        html! {
            (self.bar(&format!("state {name}"), span.from, span.to, self.y, height, &tip))
            @if let Some(said) = said && (span.is != State::Absent || said == name) {
                text class={"in in-" (name)} x=(px(self.x(span.from) + 5.0)) y=(px(self.y + height / 2.0 + 4.0))
                    pointer-events="none" { (said) }
            }
        }
    }

    /// More changes than there are pixels for.
    fn changes(&self, lane: &Lane, spans: &[Span<State>], height: f64) -> Markup {
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Markup::default() };
        let tip = format!("{}: {} states {}", lane.name(), spans.len(), period(first.from, last.to));
        self.bar("state many", first.from, last.to, self.y, height, &tip)
    }

    /// Lost pings as bars of the full height; of the others the time that they
    /// took; below, who answered.
    pub(super) fn pings(&self, pings: &Pings) -> Markup {
        let height = 34.0;
        let most = pings.rtt.map_or(0, |r| r.2).max(1) as f64;
        let scale = |rtt: u64| self.y + height - 2.0 - (height - 6.0) * (rtt as f64 / most);
        let lost = pings.runs.iter().filter(|r| r.lost > 0).map(|r| (self.x(r.from), self.x(r.to)));
        let mut columns: Vec<(i64, f64, f64)> = Vec::new();
        for run in pings.runs.iter().filter(|r| r.high > 0) {
            let (x, top, bottom) = (self.x(run.from) as i64, scale(run.high), scale(run.low));
            match columns.last_mut() {
                Some(last) if last.0 == x => (last.1, last.2) = (last.1.min(top), last.2.max(bottom)),
                _ => columns.push((x, top, bottom)),
            }
        }
        let mut answered = String::new();
        for (x, top, bottom) in columns {
            let (top, height) = (px(top - 1.0), px(bottom - top + 2.0));
            let _ = write!(answered, "M{x} {top}h2v{height}h-2z");
        }
        let far = pings.rtt.map(|r| format!("up to {}", words::span(r.2))).unwrap_or_default();
        let (x, y, wide) = (px(self.left), px(self.y), px(self.right - self.left));
        html! {
            g.pings {
                title { (summary(pings)) }
                rect.frame x=(x) y=(y) width=(wide) height=(height) {}
                path.lost d=(bars(lost, self.y, height)) {}
                path.answered d=(answered) {}
            }
            rect.halo x=(px(self.left + 2.0)) y=(px(self.y + 2.0)) width=(px(width(&far, 9.0) + 4.0)) height="12" {}
            text.tiny.dim x=(px(self.left + 4.0)) y=(px(self.y + 11.0)) { (far) }
            (self.answerers(pings, self.y + height + 5.0))
        }
    }

    /// A line for each machine's turn at answering.
    fn answerers(&self, pings: &Pings, y: f64) -> Markup {
        let answered: Vec<_> = pings.runs.iter().filter(|r| r.machine.is_some()).collect();
        let mut drawn = html! {};
        let mut free = 0.0;
        for turn in answered.chunk_by(|a, b| a.machine == b.machine) {
            let (first, last) = (turn[0], turn[turn.len() - 1]);
            let (from, to) = (self.x(first.from), self.x(last.to) + 2.0);
            if to < free {
                continue;
            }
            let said = format!("{} answers", first.machine.as_deref().unwrap_or_default());
            let tip = format!("{said} {}", period(first.from, last.to));
            let short = cut(&said, 10.0, to - from);
            let named = width(&said, 10.0) <= to - from;
            drawn.0.push_str(
                &html! {
                    path.who d={"M" (px(from.max(free))) " " (px(y)) "H" (px(to))} { title { (tip) } }
                    @if named { text.tiny.dim x=(px(from)) y=(px(y + 11.0)) { (short) } }
                }
                .0,
            );
            free = to + 1.0;
        }
        drawn
    }
}

/// What a client's pings come to.
fn summary(pings: &Pings) -> String {
    let Pings { client, to, sent, lost, .. } = pings;
    let mut text = format!("{client} pings {to}: {sent} sent, {lost} lost");
    if let Some((low, mean, high)) = pings.rtt {
        let [low, mean, high] = [low, mean, high].map(words::span);
        let _ = write!(text, "\nround trip {low} at least, {mean} on average, {high} at most");
    }
    if let Some((from, to)) = pings.gap {
        let _ = write!(text, "\nlongest loss {}", period(from, to));
    }
    text
}

/// Runs that touch, or all but touch, as one. They are in order.
fn merged(runs: impl Iterator<Item = (f64, f64)>, gap: f64) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = Vec::new();
    for (from, to) in runs {
        match all.last_mut() {
            Some(last) if from - last.1 < gap => last.1 = last.1.max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

/// A tick for each, and a bar where they stand too close for ticks.
fn ticks(runs: impl Iterator<Item = (f64, f64)>, y: f64, height: f64) -> Markup {
    let (mut single, mut close) = (String::new(), String::new());
    let (top, high) = (px(y), px(height));
    for (from, to) in merged(runs, 2.0) {
        if to - from < 1.0 {
            let _ = write!(single, "M{} {top}v{high}", px(from));
        } else {
            let _ = write!(close, "M{} {top}h{}v{high}H{0}z", px(from), px(to - from));
        }
    }
    html! {
        @if !single.is_empty() { path.advert d=(single) {} }
        @if !close.is_empty() { path.band d=(close) {} }
    }
}

fn bars(runs: impl Iterator<Item = (f64, f64)>, y: f64, height: f64) -> String {
    let mut d = String::new();
    for (from, to) in merged(runs, 1.0) {
        let _ = write!(d, "M{} {}h{}v{}H{0}z", px(from), px(y), px((to - from).max(2.0)), px(height));
    }
    d
}
