//! `netisrd lab run --watch`: a run in the terminal, as it happens.
//!
//! ```text
//!   keys, wall clock --> pace --> run::Play, in its own time
//!                         |          | events
//!                        show <---- story
//!                         |
//!                        view --> a buffer --> terminal
//! ```
//!
//! The wall clock decides when the next thing is let happen, never what it is:
//! a run that is watched is the run that nobody sees.

mod lanes;
mod pace;
mod rows;
mod show;
mod story;
mod terminal;
mod view;

#[cfg(test)]
mod tests;

use super::run::{Options, Outcome, Play};
use super::scenario::Scenario;
use compat::sys::time::Time;
use show::Show;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::error::Error;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use terminal::Terminal;

/// Whoever watches runs.
pub struct Watcher {
    speed: f64,
    signals: Signals,
}

/// What ends the program, but not before the terminal is as it was.
struct Signals {
    arrived: Vec<(i32, Arc<AtomicBool>)>,
    /// Nobody is watching: they do what they always do.
    away: Arc<AtomicBool>,
}

impl Watcher {
    /// One who sees `speed` seconds in one of their own.
    ///
    /// # Errors
    /// If there is no terminal to watch in.
    pub fn new(speed: f64) -> Result<Watcher, Box<dyn Error>> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err("--watch needs a terminal".into());
        }
        Ok(Watcher { speed, signals: Signals::new()? })
    }

    /// Runs it, and shows how. Who leaves before the end gets the outcome all
    /// the same; a signal ends the program.
    ///
    /// # Errors
    /// What the terminal says.
    pub fn run(&self, scenario: &Scenario, options: Options) -> io::Result<Outcome> {
        let play = Play::new(scenario, options);
        let show = Show::new(scenario, self.speed);
        let end = Time(show.end);
        let mut terminal = Terminal::open(&self.signals)?;
        let watched = pace::watch(play, show, &mut terminal);
        drop(terminal);
        // One may have come when nobody looked any more.
        let signal = match (watched?, self.signals.pending()) {
            (pace::End::Left(stage), None) => return Ok(stage.outcome(end)),
            (pace::End::Signal(signal), _) | (_, Some(signal)) => signal,
        };
        signal_hook::low_level::emulate_default_handler(signal)?;
        Err(io::ErrorKind::Interrupted.into())
    }
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let away = Arc::new(AtomicBool::new(true));
        let mut arrived = Vec::new();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_default(signal, away.clone())?;
            signal_hook::flag::register(signal, flag.clone())?;
            arrived.push((signal, flag));
        }
        Ok(Signals { arrived, away })
    }

    fn pending(&self) -> Option<i32> {
        self.arrived.iter().find(|(_, flag)| flag.load(Ordering::Relaxed)).map(|(signal, _)| *signal)
    }
}

/// A speed that somebody asks for.
///
/// # Errors
/// If it is none, in words.
pub fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| show::SPEEDS.contains(speed));
    speed.ok_or_else(|| format!("expected a number from {} to {}", show::SPEEDS.start(), show::SPEEDS.end()))
}
