//! Who lets time pass: as fast as somebody wants to see it, by their clock.

use super::show::{Key, Mode, Show};
use super::view;
use crate::lab::run::{Outcome, Play};
use compat::sys::time::Time;
use ratatui::layout::Rect;
use std::io;
use std::time::Duration;

/// How long a picture stands while time passes.
pub(super) const FRAME: Duration = Duration::from_millis(40);
/// How long nobody looks whether a signal has come while it does not.
const IDLE: Duration = Duration::from_millis(100);

/// What comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Key(Key),
    /// There is more room, or less.
    Resized,
    Signal(i32),
}

/// Where it is shown, who presses keys, and their clock.
pub(super) trait Console {
    /// Their time.
    fn now(&self) -> Duration;

    /// What comes next, if something comes within that time.
    fn wait(&mut self, most: Duration) -> io::Result<Option<Input>>;

    /// The room that there is.
    fn area(&self) -> io::Result<Rect>;

    /// Shows it.
    fn draw(&mut self, show: &Show<'_>) -> io::Result<()>;
}

/// How watching ends.
pub(super) enum End<'s> {
    /// Somebody has left, while the run was there.
    Left(Stage<'s>),
    Signal(i32),
}

/// How far a run is.
pub(super) enum Stage<'s> {
    Playing(Box<Play<'s>>),
    Over(Box<Outcome>),
}

impl Stage<'_> {
    /// What it comes to. What is left of it is not seen, but happens.
    pub(super) fn outcome(self, end: Time) -> Outcome {
        match self {
            Stage::Over(outcome) => *outcome,
            Stage::Playing(mut play) => {
                while play.next(end) {}
                play.finish()
            }
        }
    }
}

/// Until somebody leaves.
pub(super) fn watch<'s>(
    play: Play<'s>,
    mut show: Show<'s>,
    console: &mut impl Console,
) -> io::Result<End<'s>> {
    // Somebody sees what it is while the machines boot.
    show.add(play.seen_since(0));
    show.look(Time::default(), 0);
    let mut stage = Stage::Playing(Box::new(play));
    let mut last = console.now();
    loop {
        console.draw(&show)?;
        let input = console.wait(patience(&show))?;
        let now = console.now();
        stage = pass(stage, &mut show, now.saturating_sub(last), console);
        last = now;
        match input {
            Some(Input::Signal(signal)) => return Ok(End::Signal(signal)),
            Some(Input::Key(Key::Quit)) => return Ok(End::Left(stage)),
            Some(Input::Key(key)) => {
                let room = view::room(&show, console.area()?);
                show.press(key, room.columns, room.rows, room.of);
            }
            Some(Input::Resized) | None => {}
        }
    }
}

fn patience(show: &Show<'_>) -> Duration {
    match show.mode {
        Mode::Running => FRAME,
        Mode::Seeking => Duration::ZERO,
        Mode::Paused | Mode::Over(_) => IDLE,
    }
}

/// So much of their time has passed.
fn pass<'s>(stage: Stage<'s>, show: &mut Show<'_>, elapsed: Duration, console: &impl Console) -> Stage<'s> {
    let Stage::Playing(mut play) = stage else { return stage };
    let seeking = show.mode == Mode::Seeking;
    let target = match show.mode {
        Mode::Running => {
            let passed = (elapsed.as_nanos() as f64 * show.speed) as u64;
            show.now.saturating_add(passed).min(show.end)
        }
        Mode::Seeking => show.end,
        Mode::Paused | Mode::Over(_) => return Stage::Playing(play),
    };
    let end = Time(show.end);
    let began = console.now();
    let now = loop {
        let due = play.upcoming().filter(|t| *t < end).unwrap_or(end);
        let news = show.add(play.seen_since(show.story.count));
        if seeking && news {
            show.mode = Mode::Paused;
            break play.world.now().0;
        }
        if due.0 > target {
            break target;
        }
        if !play.next(end) {
            return over(*play, show);
        }
        // What is too fast for this machine is shown as fast as it can be.
        if console.now().saturating_sub(began) > FRAME {
            break play.world.now().0;
        }
    };
    show.look(play.world.now(), now);
    Stage::Playing(play)
}

fn over<'s>(play: Play<'s>, show: &mut Show<'_>) -> Stage<'s> {
    let outcome = Box::new(play.finish());
    show.add(outcome.events.get(show.story.count..).unwrap_or_default().to_vec());
    show.over(outcome.passed);
    Stage::Over(outcome)
}
