//! What is shown, and what the keys do to it.

use super::story::Story;
use crate::lab::expect;
use crate::lab::record::{Event, What};
use crate::lab::scenario::Scenario;
use crate::lab::timeline::picture::Picture;
use compat::sys::time::Time;

/// How fast it may be watched.
pub(super) const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1e6;
/// What a column shows at most, unless somebody wants to see more.
const COLUMN: u64 = 500_000_000;
/// How many columns an arrow moves.
const MOVE: u64 = 8;

/// What somebody may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Pause,
    Faster,
    Slower,
    Left,
    Right,
    Up,
    Down,
    Step,
    Nearer,
    Wider,
    Help,
}

/// Whether time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    Paused,
    /// As fast as can be, until something happens.
    Seeking,
    /// The run is over: whether it has passed.
    Over(bool),
}

/// An expectation, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) text: String,
    pub(super) seen: Option<Result<String, String>>,
}

/// Which part of the lanes is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Nanoseconds of a column, if somebody has chosen.
    column: Option<u64>,
    /// Where it begins, if somebody has moved it.
    from: Option<u64>,
    /// Rows that are above it.
    pub(super) top: usize,
}

/// The time that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) from: u64,
    /// Nanoseconds of a column.
    pub(super) column: u64,
    /// How many columns there are.
    pub(super) columns: u64,
}

/// All that a view knows.
pub(super) struct Show<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) story: Story,
    pub(super) picture: Picture,
    /// Nanoseconds since the run began.
    pub(super) now: u64,
    pub(super) end: u64,
    pub(super) speed: f64,
    pub(super) mode: Mode,
    pub(super) help: bool,
    pub(super) window: Window,
    pub(super) verdicts: Vec<Verdict>,
}

impl<'s> Show<'s> {
    pub(super) fn new(scenario: &'s Scenario, speed: f64) -> Show<'s> {
        let expected = scenario.expect.iter().map(|e| Verdict { text: expect::text(e), seen: None });
        Show {
            scenario,
            story: Story::default(),
            picture: Picture::default(),
            now: 0,
            end: (Time::default() + scenario.time.0).0,
            speed,
            mode: Mode::Running,
            help: false,
            window: Window::default(),
            verdicts: expected.collect(),
        }
    }

    /// That has happened; whether something of it is worth a line.
    pub(super) fn add(&mut self, events: Vec<Event>) -> bool {
        let mut any = false;
        for event in events {
            any |= self.story.add(event);
        }
        any
    }

    /// All that has happened until `settled` is known, and nothing happens
    /// until `now`.
    pub(super) fn look(&mut self, settled: Time, now: u64) {
        self.now = now;
        self.picture = self.story.picture(now);
        for (verdict, expect) in self.verdicts.iter_mut().zip(&self.scenario.expect) {
            if verdict.seen.is_some() {
                continue;
            }
            let end = Time(self.end);
            // Who waits for an answer gives up when something happens, and so
            // of pings no more is known than until then.
            verdict.seen = match expect.client.as_ref().map(|client| client.as_ref()) {
                None => expect::known(expect, &self.story.changes, Time(now), end),
                Some(client) => {
                    let pings = self.story.pings.get(client).map_or(&[][..], Vec::as_slice);
                    expect::known(expect, pings, settled, end)
                }
            };
        }
    }

    /// The run is over, and what was expected has been looked at.
    pub(super) fn over(&mut self, passed: bool) {
        self.mode = Mode::Over(passed);
        self.now = self.end;
        self.picture = self.story.picture(self.end);
        let judged = self.story.changes.iter().filter_map(|e| match &e.what {
            What::Expect { holds, seen, .. } => {
                Some(if *holds { Ok(seen.clone()) } else { Err(seen.clone()) })
            }
            _ => None,
        });
        for (verdict, seen) in self.verdicts.iter_mut().zip(judged) {
            verdict.seen = Some(seen);
        }
    }

    /// What is shown in so many columns: all of a run that is short enough, and
    /// of others the last of it.
    pub(super) fn shown(&self, columns: u16) -> Shown {
        let columns = u64::from(columns.max(1));
        let column = self.window.column.unwrap_or_else(|| nice(self.end.div_ceil(columns)).min(COLUMN));
        let width = column.saturating_mul(columns);
        // A little room to the right, so that not every frame moves it.
        let last = (self.now / column + 1 + columns / 8).min(self.end.div_ceil(column)) * column;
        let from = self.window.from.unwrap_or_else(|| last.saturating_sub(width));
        Shown { from: from - from % column, column, columns }
    }

    /// A key is pressed while so many columns and rows are shown, of so many
    /// rows.
    pub(super) fn press(&mut self, key: Key, columns: u16, rows: usize, of: usize) {
        let over = matches!(self.mode, Mode::Over(_));
        match key {
            Key::Help => self.help = !self.help,
            Key::Pause if over => {}
            Key::Pause => {
                self.mode = if self.mode == Mode::Paused { Mode::Running } else { Mode::Paused };
                self.window.from = None;
            }
            Key::Step if !over => (self.mode, self.window.from) = (Mode::Seeking, None),
            Key::Faster => self.speed = faster(self.speed).min(*SPEEDS.end()),
            Key::Slower => self.speed = slower(self.speed).max(*SPEEDS.start()),
            Key::Left | Key::Right if over || self.mode == Mode::Paused => self.shift(key, columns),
            Key::Nearer | Key::Wider => self.zoom(key, columns),
            Key::Up => self.window.top = self.window.top.saturating_sub(1),
            Key::Down => self.window.top = (self.window.top + 1).min(of.saturating_sub(rows)),
            Key::Quit | Key::Step | Key::Left | Key::Right => {}
        }
    }

    fn shift(&mut self, key: Key, columns: u16) {
        let shown = self.shown(columns);
        let by = shown.column * MOVE;
        let from = match key {
            Key::Left => shown.from.saturating_sub(by),
            _ => shown.from.saturating_add(by),
        };
        self.look_from(from, shown);
    }

    /// What is in the middle stays there if somebody has moved it.
    fn zoom(&mut self, key: Key, columns: u16) {
        let Shown { from, column, columns } = self.shown(columns);
        let most = nice(self.end.div_ceil(columns)).max(COLUMN);
        let new = if key == Key::Nearer { below(column) } else { nice(column + 1) }.min(most);
        self.window.column = Some(new);
        if self.window.from.is_some() {
            let middle = from + column * columns / 2;
            let shown = Shown { from, column: new, columns };
            self.look_from(middle.saturating_sub(new * columns / 2), shown);
        }
    }

    /// Moves the window there, but not beyond the end.
    fn look_from(&mut self, from: u64, Shown { column, columns, .. }: Shown) {
        let last = self.end.saturating_sub(column * columns).next_multiple_of(column);
        self.window.from = Some((from - from % column).min(last));
    }
}

/// 1, 2, 5, 10, ...
fn ladder() -> impl DoubleEndedIterator<Item = u64> {
    (0..19).flat_map(|n| [1, 2, 5].map(|m| m * 10_u64.pow(n)))
}

/// The least of the ladder that is not below `least`.
fn nice(least: u64) -> u64 {
    ladder().find(|n| *n >= least).unwrap_or(least)
}

/// The next of the ladder below.
fn below(n: u64) -> u64 {
    ladder().rev().find(|m| *m < n).unwrap_or(1)
}

/// Speeds are on the ladder too, in thousandths.
fn faster(speed: f64) -> f64 {
    nice((speed * 1000.0) as u64 + 1) as f64 / 1000.0
}

fn slower(speed: f64) -> f64 {
    below((speed * 1000.0).ceil() as u64) as f64 / 1000.0
}
