//! What the machines' logs say, when they said it, and waiting for it.

use super::story::{Change, State, Who};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds.
const DAY: f64 = 86_400.0;
/// A log line that seems older than this was stamped by another clock.
const OLDEST: Duration = Duration::from_millis(500);

/// Log lines of both machines on one clock. Each is shown as it comes.
pub struct Journal {
    start: Instant,
    record: Mutex<Record>,
    changed: Condvar,
}

#[derive(Default)]
struct Record {
    changes: Vec<Change>,
    /// Why a machine ended that nobody killed.
    ended: Option<String>,
}

impl Record {
    fn state(&self, who: Who) -> State {
        self.changes.iter().rev().find(|c| c.who == who).map_or(State::Off, |c| c.to)
    }
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { start: Instant::now(), record: Mutex::default(), changed: Condvar::new() }
    }
}

impl Journal {
    /// When the clock was 0.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// All transitions so far, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.lock().changes.clone();
        changes.sort_by_key(|c| c.at);
        changes
    }

    /// A machine runs.
    pub fn booted(&self, who: Who) {
        self.note(who, Instant::now(), State::Init, "started");
    }

    /// A machine was killed, at that time.
    pub fn killed(&self, who: Who, at: Instant) {
        self.note(who, at, State::Off, "killed");
    }

    /// A machine ended by itself.
    pub fn ended(&self, who: Who, last_line: &str) {
        let mut record = self.lock();
        record.ended.get_or_insert_with(|| format!("netisrd of {} ended: {last_line}", who.name()));
        drop(record);
        self.changed.notify_all();
    }

    /// A line of a machine's log, written at that time.
    pub fn line(&self, who: Who, at: Instant, line: &str) {
        println!("{:9.3} s  {}: {line}", at.saturating_duration_since(self.start).as_secs_f64(), who.name());
        if let Some((to, why)) = transition(line) {
            self.note(who, at, to, why);
        }
    }

    /// Waits until a machine is in a state.
    ///
    /// # Errors
    /// After `within`, or if a machine ended.
    pub fn wait_state(&self, who: Who, state: State, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        let mut record = self.lock();
        loop {
            if record.state(who) == state {
                return Ok(());
            }
            if let Some(why) = &record.ended {
                return Err(why.clone());
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                let now = record.state(who).name();
                return Err(format!("{} is {now}, not {}, after {within:?}", who.name(), state.name()));
            };
            record = self.changed.wait_timeout(record, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, who: Who, at: Instant, to: State, why: &str) {
        let mut record = self.lock();
        // what a dead machine's log still had in its pipe is not a transition
        if to == State::Init || record.state(who) != State::Off {
            let at = at.saturating_duration_since(self.start);
            record.changes.push(Change { at, who, to, why: why.to_owned() });
        }
        drop(record);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `carp0: BACKUP -> MASTER (master timed out)`
fn transition(line: &str) -> Option<(State, &str)> {
    let (_, rest) = line.strip_prefix("carp0: ")?.split_once(" -> ")?;
    let (to, why) = rest.split_once(' ').unwrap_or((rest, ""));
    let to = State::named(to)?;
    Some((to, why.trim_matches(['(', ')'])))
}

/// A line of netisrd's stderr without its time and level, and how long ago it
/// was written.
///
/// The line's own time orders what two machines say better than its way
/// through two pipes does. It is the wall clock's, but only its age counts, so
/// a clock that jumps can move a line by no more than half a second.
pub fn without_stamp(line: &str, now: SystemTime) -> (&str, Duration) {
    let levels = [" INFO ", " WARN ", "ERROR ", "DEBUG "];
    let Some((stamp, text)) = levels.into_iter().find_map(|l| line.split_once(l)) else {
        return (line.trim(), Duration::ZERO);
    };
    let today = now.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()) % DAY;
    let age = time_of_day(stamp.trim()).map_or(0.0, |then| (today - then).rem_euclid(DAY));
    let age = Duration::try_from_secs_f64(age).unwrap_or_default();
    (text.trim(), if age < OLDEST { age } else { Duration::ZERO })
}

/// Seconds since midnight of `2026-11-24T04:24:46.162678Z`.
fn time_of_day(stamp: &str) -> Option<f64> {
    let (_, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_is_read_from_its_line() {
        let line = "2026-11-24T04:24:46.162678Z  INFO carp0: BACKUP -> MASTER (master timed out)";
        let now = UNIX_EPOCH + Duration::from_secs_f64(4.0 * 3600.0 + 24.0 * 60.0 + 46.165);
        let (line, age) = without_stamp(line, now);
        assert_eq!((line, age.as_millis()), ("carp0: BACKUP -> MASTER (master timed out)", 2));
        assert_eq!(transition(line), Some((State::Master, "master timed out")));
        assert_eq!(transition("carp0: INIT -> BACKUP"), Some((State::Backup, "")));
        assert_eq!(transition("carp0: 3 -> 4"), None);
        assert_eq!(transition("netisrd: ready, 2 netisrs"), None);
    }

    #[test]
    fn a_line_of_another_clock_is_as_old_as_its_reading() {
        let line = "2026-11-24T23:59:59.900000Z  WARN em0: detached";
        let at = |s| without_stamp(line, UNIX_EPOCH + Duration::from_millis(s)).1.as_millis();
        // past midnight, a second later, an hour before
        assert_eq!([at(86_400_100), at(86_401_000), at(82_800_000)], [200, 0, 0]);
        assert_eq!(without_stamp("netisrd: no", UNIX_EPOCH), ("netisrd: no", Duration::ZERO));
    }

    #[test]
    fn what_a_dead_machine_still_says_is_no_transition() {
        let journal = Journal::default();
        journal.booted(Who::A);
        journal.line(Who::A, Instant::now(), "carp0: INIT -> BACKUP");
        journal.killed(Who::A, Instant::now());
        journal.line(Who::A, Instant::now(), "carp0: BACKUP -> MASTER (master timed out)");
        let states: Vec<_> = journal.changes().iter().map(|c| c.to).collect();
        assert_eq!(states, [State::Init, State::Backup, State::Off]);
    }

    #[test]
    fn a_wait_ends_when_a_machine_does() {
        let journal = Journal::default();
        journal.booted(Who::A);
        journal.ended(Who::A, "no such bridge");
        let waited = journal.wait_state(Who::A, State::Master, Duration::from_secs(60));
        assert_eq!(waited, Err("netisrd of a ended: no such bridge".to_owned()));
    }
}
