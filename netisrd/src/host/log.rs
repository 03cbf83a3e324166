//! The daemon's log. Its lines wait in a queue, and a thread that does nothing else
//! writes them to stderr: a netisr that waited for a full disk, or for a journal
//! that has stopped, would be a MASTER that does not advertise. What cannot be
//! written is counted, and told as soon as something can.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that wait.
const QUEUE_LEN: usize = 1024;
/// How long the end waits for what is still to be written.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Where lines are put. It never waits.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    queue: SyncSender<Line>,
    /// The other end, until there is a thread that has it.
    waiting: Mutex<Option<Receiver<Line>>>,
    /// Lines for which there was no room since one was taken.
    lost: AtomicU64,
    taken: AtomicU64,
    /// How many of those taken are done with.
    done: Mutex<u64>,
    progress: Condvar,
}

struct Line {
    text: Vec<u8>,
    /// How many before it have found no room.
    lost: u64,
}

impl Default for Log {
    fn default() -> Log {
        let (queue, waiting) = sync_channel(QUEUE_LEN);
        Log(Arc::new(Shared {
            queue,
            waiting: Mutex::new(Some(waiting)),
            lost: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            done: Mutex::new(0),
            progress: Condvar::new(),
        }))
    }
}

impl Log {
    /// From now on what is put here is written. The thread has the rights that the
    /// caller has by now.
    ///
    /// # Errors
    /// No more threads.
    pub fn start(&self) -> io::Result<()> {
        let log = self.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || log.write_to(&mut io::stderr()))?;
        Ok(())
    }

    /// A line.
    pub fn put(&self, text: &str) {
        self.put_bytes(format!("{text}\n").into_bytes());
    }

    fn put_bytes(&self, text: Vec<u8>) {
        let shared = &self.0;
        let lost = shared.lost.swap(0, Ordering::Relaxed);
        match shared.queue.try_send(Line { text, lost }) {
            Ok(()) => drop(shared.taken.fetch_add(1, Ordering::Release)),
            Err(_) => drop(shared.lost.fetch_add(lost + 1, Ordering::Relaxed)),
        }
    }

    /// Waits until what was put so far is written, but not for long: whoever halts,
    /// or dies, does so whether his last words are read or not.
    pub fn flush(&self) {
        if let Some(waiting) = locked(&self.0.waiting).take() {
            // It has not come to a thread.
            let mut lost = 0;
            for line in waiting.try_iter() {
                lost = write(line, lost, &mut io::stderr());
            }
            return;
        }
        let all = self.0.taken.load(Ordering::Acquire);
        let done = locked(&self.0.done);
        let waited = self.0.progress.wait_timeout_while(done, FLUSH_TIME, |done| *done < all);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// A panic is told here too: by itself it would be written by the thread that
    /// has it, which may then wait for ever instead of ending the process.
    pub fn tell_panics(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            log.put(&panic.to_string());
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                log.put(&trace.to_string());
            }
            log.flush();
        }));
    }

    fn write_to(&self, to: &mut impl Write) {
        let Some(lines) = locked(&self.0.waiting).take() else { return };
        let mut lost = 0;
        for line in lines {
            lost = write(line, lost, to);
            *locked(&self.0.done) += 1;
            self.0.progress.notify_all();
        }
    }
}

/// How many lines are lost by now, and not told.
fn write(line: Line, lost: u64, to: &mut impl Write) -> u64 {
    let lost = lost + line.lost;
    let mut text = match lost {
        0 => Vec::new(),
        lost => format!("netisrd: here {lost} lines of this log are missing\n").into_bytes(),
    };
    text.extend(line.text);
    match to.write_all(&text) {
        Ok(()) => 0,
        Err(_) => lost + 1,
    }
}

/// Each value behind these is whole at any time, whoever panics.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put_bytes(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full every now and then.
    #[derive(Default)]
    struct Disk {
        full: bool,
        text: String,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_in_its_place() {
        let log = Log::default();
        (0..QUEUE_LEN + 7).for_each(|n| log.put(&n.to_string()));
        let taken = locked(&log.0.waiting).take();
        let mut disk = Disk::default();
        let mut lost = 0;
        taken.iter().flat_map(Receiver::try_iter).for_each(|line| lost = write(line, lost, &mut disk));
        assert!(disk.text.ends_with(&format!("\n{}\n", QUEUE_LEN - 1)) && !disk.text.contains("missing"));
        log.put("a");
        log.put("b");
        taken.iter().flat_map(Receiver::try_iter).for_each(|line| lost = write(line, lost, &mut disk));
        assert!(disk.text.ends_with("netisrd: here 7 lines of this log are missing\na\nb\n"));
        assert_eq!(lost, 0);
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_told_when_it_takes_something_again() {
        let (mut disk, mut lost) = (Disk::default(), 0);
        for (text, full) in [("a\n", false), ("b\n", true), ("c\n", true), ("d\n", false), ("e\n", false)] {
            disk.full = full;
            let before = if text == "c\n" { 4 } else { 0 };
            lost = write(Line { text: text.into(), lost: before }, lost, &mut disk);
        }
        assert_eq!(disk.text, "a\nnetisrd: here 6 lines of this log are missing\nd\ne\n");
    }
}
