#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::pace::{Console, End, FRAME, Input, watch};
use super::show::{Key, Mode, Show};
use super::view::{LEAST, View};
use crate::lab::record::to_jsonl;
use crate::lab::run::{self, Options, Outcome, Play};
use crate::lab::scenario::Scenario;
use compat::sys::time::Time;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

mod keys;
mod pictures;

const PAIR: &str = include_str!("../../../../labs/pair.toml");

fn scenario(text: &str) -> Scenario {
    Scenario::parse(Path::new("x.toml"), text).unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What was drawn, and when.
struct Frame {
    at: Duration,
    now: u64,
    mode: Mode,
    text: String,
    /// Which expectations hold, as far as it is known.
    holds: Vec<Option<bool>>,
}

/// Somebody whose time passes when they wait, and who presses keys when it has
/// come.
struct Fake {
    now: Cell<Duration>,
    /// What every look at the clock takes.
    look: Duration,
    script: VecDeque<(Duration, Input)>,
    terminal: Terminal<TestBackend>,
    frames: Vec<Frame>,
}

impl Fake {
    fn new(width: u16, height: u16, script: &[(u64, Input)]) -> Fake {
        Fake {
            now: Cell::default(),
            look: Duration::ZERO,
            script: script.iter().map(|(at, input)| (ms(*at), *input)).collect(),
            terminal: Terminal::new(TestBackend::new(width, height)).unwrap(),
            frames: Vec::new(),
        }
    }

    /// Somebody who presses those keys, at those milliseconds.
    fn pressing(keys: &[(u64, Key)]) -> Fake {
        Fake::new(80, 24, &keys.iter().map(|(at, key)| (*at, Input::Key(*key))).collect::<Vec<_>>())
    }

    /// The last that they saw before that millisecond was over.
    fn at(&self, at: u64) -> &Frame {
        self.frames.iter().rfind(|f| f.at <= ms(at)).unwrap()
    }
}

impl Console for Fake {
    fn now(&self) -> Duration {
        self.now.set(self.now.get() + self.look);
        self.now.get()
    }

    fn wait(&mut self, most: Duration) -> io::Result<Option<Input>> {
        let now = self.now.get();
        if let Some((at, input)) = self.script.pop_front_if(|(at, _)| *at <= now + most) {
            self.now.set(at.max(now));
            return Ok(Some(input));
        }
        assert!(!self.script.is_empty(), "nobody ever leaves");
        self.now.set(now + most.max(ms(1)));
        Ok(None)
    }

    fn area(&self) -> io::Result<Rect> {
        Ok(Rect::from(self.terminal.size().unwrap()))
    }

    fn draw(&mut self, show: &Show<'_>) -> io::Result<()> {
        self.terminal.draw(|frame| frame.render_widget(View(show), frame.area())).unwrap();
        let text = text(self.terminal.backend().buffer());
        let holds = show.verdicts.iter().map(|v| v.seen.as_ref().map(Result::is_ok)).collect();
        self.frames.push(Frame { at: self.now.get(), now: show.now, mode: show.mode, text, holds });
        Ok(())
    }
}

/// The letters of a buffer, without the room at the end of lines.
fn text(buffer: &Buffer) -> String {
    let row = |y| {
        let cells = (buffer.area.left()..buffer.area.right()).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (buffer.area.top()..buffer.area.bottom()).map(row).collect()
}

fn watched<'s>(scenario: &'s Scenario, options: Options, speed: f64, fake: &mut Fake) -> End<'s> {
    watch(Play::new(scenario, options), Show::new(scenario, speed), fake).unwrap()
}

fn outcome(end: End<'_>, scenario: &Scenario) -> Outcome {
    match end {
        End::Left(stage) => stage.outcome(Time::default() + scenario.time.0),
        End::Signal(signal) => panic!("signal {signal}"),
    }
}

/// All that is known when it is over, seen in so much room.
fn seen(show: &Show<'_>, width: u16, height: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    View(show).render(buffer.area, &mut buffer);
    buffer
}

/// A show of a run that is over.
fn shown(scenario: &Scenario) -> Show<'_> {
    let outcome = run::run(scenario, Options::default());
    let mut show = Show::new(scenario, 1.0);
    show.add(outcome.events);
    show.over(outcome.passed);
    show
}
