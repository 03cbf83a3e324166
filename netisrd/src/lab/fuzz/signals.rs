//! INT and TERM stop a search, which then says what it was; a second one ends the
//! program at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What comes so soon after the first one is no other: `timeout` signals its child
/// and, with it, their process group.
const SAME: Duration = Duration::from_millis(500);

/// What has come.
pub(super) struct Signals(Arc<AtomicU8>);

impl Signals {
    /// From now on none ends the program by itself.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new() -> io::Result<Signals> {
        let first = Arc::new(AtomicU8::new(0));
        let (signals, arrived) = (iterator::Signals::new([SIGINT, SIGTERM])?, first.clone());
        thread::Builder::new().name("signals".into()).spawn(move || wait(signals, &arrived))?;
        Ok(Signals(first))
    }

    /// The status of a program that was stopped by the one that came first.
    pub(super) fn status(&self) -> Option<u8> {
        let status = self.0.load(Ordering::Relaxed);
        (status != 0).then_some(status)
    }
}

#[allow(clippy::disallowed_methods, reason = "who has waited long enough signals again, by their clock")]
fn wait(mut signals: iterator::Signals, arrived: &AtomicU8) {
    let mut first: Option<Instant> = None;
    for signal in signals.forever() {
        let status = if signal == SIGINT { 130 } else { 143 };
        match first {
            None => {
                first = Some(Instant::now());
                arrived.store(status, Ordering::Relaxed);
            }
            Some(first) if first.elapsed() >= SAME => std::process::exit(status.into()),
            Some(_) => {}
        }
    }
}
