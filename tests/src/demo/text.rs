//! The timeline for a terminal.

use super::ADVBASE;
use super::story::{State, Story, Who, master_down_interval};
use crate::lab::show_mac;
use std::fmt::Write;
use std::time::Duration;

/// Columns of a line, and of its name at the left.
const WIDTH: usize = 72;
const NAME: usize = 8;
const CELLS: usize = WIDTH - NAME;

impl State {
    fn letter(self) -> char {
        match self {
            State::Off => '.',
            State::Init => 'i',
            State::Backup => 'b',
            State::Master => 'M',
        }
    }
}

/// A lane for each machine and one for the pings, 72 columns wide.
pub fn timeline(story: &Story) -> String {
    let mut out = String::new();
    for who in Who::ALL {
        lane(&mut out, who.name(), (0..CELLS).map(|i| longest_state(story, who, i).letter()));
    }
    lane(&mut out, "pings", (0..CELLS).map(|i| pings(story, i)));
    lane(&mut out, "seconds", axis(story.end).into_iter());
    let legend = "M MASTER  b BACKUP  i INIT  . not running   - answered  x lost";
    let _ = writeln!(out, "{:NAME$}{legend}", "");
    out
}

fn lane(out: &mut String, name: &str, cells: impl Iterator<Item = char>) {
    let line = format!("{name:NAME$}{}", cells.collect::<String>());
    let _ = writeln!(out, "{}", line.trim_end());
}

/// From when to when a cell is.
fn cell(story: &Story, i: usize) -> (Duration, Duration) {
    let bound = |i: usize| story.end.mul_f64(i as f64 / CELLS as f64);
    (bound(i), bound(i + 1))
}

/// The state that a machine was in for most of a cell.
fn longest_state(story: &Story, who: Who, i: usize) -> State {
    let (from, to) = cell(story, i);
    let spans = story.spans(who);
    let overlap = |s: &State| -> Duration {
        let of_it = spans.iter().filter(|span| span.state == *s);
        of_it.map(|span| span.to.min(to).saturating_sub(span.from.max(from))).sum()
    };
    State::ALL.into_iter().max_by_key(overlap).unwrap_or(State::Off)
}

fn pings(story: &Story, i: usize) -> char {
    let (from, to) = cell(story, i);
    let sent = story.pings.iter().filter(|p| (from..to).contains(&p.sent));
    sent.fold(' ', |cell, p| if p.answered.is_none() || cell == 'x' { 'x' } else { '-' })
}

/// The numbers of seconds, each where its second begins, as many as have room.
fn axis(end: Duration) -> Vec<char> {
    let mut cells = vec![' '; CELLS];
    let per_second = CELLS as f64 / end.as_secs_f64().max(0.001);
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500];
    let step = steps.into_iter().find(|s| f64::from(*s) * per_second >= 4.0).unwrap_or(1000);
    for second in (0..).step_by(step as usize) {
        let at = (f64::from(second) * per_second).round() as usize;
        let digits = second.to_string();
        if at + digits.len() > CELLS {
            break;
        }
        cells.splice(at..at + digits.len(), digits.chars());
    }
    cells
}

/// The transitions with their times, and the numbers.
pub fn summary(story: &Story) -> String {
    let mut out = String::new();
    let mut states = [State::Off; 2];
    for c in &story.changes {
        let from = std::mem::replace(&mut states[c.who.index()], c.to);
        let why = if c.why.is_empty() { String::new() } else { format!("  ({})", c.why) };
        let (at, who, from, to) = (c.at.as_secs_f64(), c.who.name(), from.name(), c.to.name());
        let _ = writeln!(out, "{at:9.3} s  {who}  {from:6} -> {to}{why}");
    }
    let _ = writeln!(out, "\npings     {} sent, {} lost", story.pings.len(), story.lost());
    let [a, b] = Who::ALL.map(|w| story.answers_of(w));
    let mut macs: Vec<_> = story.answers.iter().map(|x| show_mac(x.mac)).collect();
    macs.sort_unstable();
    macs.dedup();
    let from = if macs.is_empty() { "nowhere".to_owned() } else { macs.join(" and ") };
    let _ = writeln!(out, "answers   {a} by a, {b} by b, all from {from}");
    if let Some(gap) = story.gap() {
        let (from, to) = (gap.from.as_secs_f64(), gap.to.as_secs_f64());
        let length = millis(gap.length());
        let _ = writeln!(out, "gap       {length} ms without an answer, from {from:.3} s to {to:.3} s");
    }
    if let Some(takeover) = story.takeover() {
        let what = "from a's last advertisement to b's first";
        let _ = writeln!(out, "takeover  {} ms {what}", millis(takeover));
    }
    let _ = writeln!(out, "formula   {}", formula());
    out
}

/// What b's advbase and advskew foretell.
pub fn formula() -> String {
    let advskew = Who::B.advskew();
    let interval = millis(master_down_interval(ADVBASE, advskew));
    format!("{interval} ms = 3 * advbase + advskew / 256 = 3 * {ADVBASE} s + {advskew} / 256 s")
}

/// Milliseconds with one decimal.
pub fn millis(d: Duration) -> String {
    format!("{:.1}", d.as_secs_f64() * 1000.0)
}
