//! The terminal that a run is watched in, and that is put back as it was.

use super::Signals;
use super::pace::{Console, Input};
use super::show::{Key, Show};
use super::view::View;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use signal_hook::consts::SIGINT;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The terminal, from when it is opened until it is dropped.
pub(super) struct Terminal<'a> {
    terminal: DefaultTerminal,
    signals: &'a Signals,
    began: Instant,
}

impl Terminal<'_> {
    /// Takes it. A panic puts it back before it says anything.
    #[allow(clippy::disallowed_methods, reason = "people watch by their own clock")]
    pub(super) fn open(signals: &Signals) -> io::Result<Terminal<'_>> {
        signals.away.store(false, Ordering::Relaxed);
        let back = |_: &io::Error| {
            ratatui::restore();
            signals.away.store(true, Ordering::Relaxed);
        };
        let terminal = ratatui::try_init().inspect_err(back)?;
        Ok(Terminal { terminal, signals, began: Instant::now() })
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            ratatui::restore();
        }
        self.signals.away.store(true, Ordering::Relaxed);
    }
}

impl Console for Terminal<'_> {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&mut self, most: Duration) -> io::Result<Option<Input>> {
        let input = if event::poll(most)? { input(&event::read()?) } else { None };
        Ok(self.signals.pending().map(Input::Signal).or(input))
    }

    fn area(&self) -> io::Result<Rect> {
        Ok(Rect::from(self.terminal.size()?))
    }

    fn draw(&mut self, show: &Show<'_>) -> io::Result<()> {
        self.terminal.draw(|frame| frame.render_widget(View(show), frame.area()))?;
        Ok(())
    }
}

/// What of what a terminal says concerns us.
pub(super) fn input(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => pressed(key),
        _ => None,
    }
}

fn pressed(key: &KeyEvent) -> Option<Input> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Input::Signal(SIGINT));
    }
    let key = match key.code {
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Char(' ') => Key::Pause,
        KeyCode::Char('+' | '=') => Key::Faster,
        KeyCode::Char('-') => Key::Slower,
        KeyCode::Char('n') => Key::Step,
        KeyCode::Char('z') => Key::Nearer,
        KeyCode::Char('Z') => Key::Wider,
        KeyCode::Char('?') => Key::Help,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        _ => return None,
    };
    Some(Input::Key(key))
}
