//! The main thread: a poll, and the parts of the daemon that it serves.
//!
//! ```text
//!   poll --> what has become ready --> part 0, part 1, ...  each in its turn
//!        \-> the machine was touched --> watcher --> changes --> every part
//! ```
//!
//! A part is a value on one list. It says what it waits for, and until when; it
//! is served after each poll, with the names that it gave to what is ready and
//! with what the carp interfaces have done meanwhile. It may ask the machine,
//! and wait for nothing else.

use super::runtime::Runtime;
use super::succession::predecessor::{self, Heir, Outcome};
use super::succession::{Estate, Step};
use super::watcher::{Change, Watcher};
use compat::sys::time::Time;
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

/// Names that a part has to give, each to one descriptor: more than a busy one
/// uses up in years.
const NAMES_BITS: u32 = usize::BITS - 8;
/// Somebody has called the waker: above the names of all parts.
const WAKER: Token = Token(usize::MAX);
/// Events taken from one poll.
const EVENTS: usize = 64;

/// Something that the main thread does.
pub trait Part {
    /// Has the poll watch what it waits for. Called once, before the first
    /// turn.
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()>;

    /// How long the next turn may take to come; `None` for as long as nothing
    /// is ready.
    fn patience(&self, now: Time) -> Option<Duration> {
        let _ = now;
        None
    }

    /// Does what has become due.
    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow>;

    /// Whether it has still to do what the carp interfaces had done by its last turn. The
    /// waker is called then.
    fn is_behind(&self) -> bool {
        false
    }

    /// All parts have had their turn, and none is behind.
    fn settled(&mut self) {}

    /// A successor that has asked for something: told once.
    fn heir(&mut self) -> Option<Heir> {
        None
    }

    /// Does its part in handing over. It must not ask the machine.
    ///
    /// # Errors
    /// Nothing is handed over then.
    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let _ = step;
        Ok(())
    }

    /// Takes what the same part of another process has left to it. Before its first
    /// turn.
    ///
    /// # Errors
    /// It makes no sense.
    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        let _ = estate;
        Ok(())
    }

    /// The machine goes on in another process, and all parts are closed. Ends what is
    /// this process's own, and leaves all else as it is.
    fn left(&mut self, changes: &[Change], now: Time) {
        let _ = (changes, now);
    }

    /// The daemon is about to halt; everything is still there.
    fn halting(&mut self) {}

    /// There are no more turns. Lets nobody in, and lets go whoever waits for an
    /// answer: another part may wait for them.
    fn close(&mut self) {}

    /// The machine has taken its leave, and all parts are closed. Waits for what
    /// must not be left half done.
    fn end(&mut self) {}
}

/// Whether the daemon goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It halts.
    Halt,
}

/// Where a part says what it waits for.
pub struct Desk<'a> {
    registry: &'a Registry,
    waker: &'a Arc<Waker>,
    part: usize,
}

impl Desk<'_> {
    fn token(&self, name: usize) -> Token {
        Token(self.part << NAMES_BITS | name)
    }

    /// Waits for `fd`, under a name that is the part's own choice. Closing the
    /// descriptor ends it.
    pub fn watch(&self, fd: impl AsFd, name: usize, interest: Interest) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&fd.as_fd().as_raw_fd()), self.token(name), interest)
    }

    /// The same of a socket of mio's.
    pub fn watch_source(&self, source: &mut impl Source, name: usize, interest: Interest) -> io::Result<()> {
        self.registry.register(source, self.token(name), interest)
    }

    /// Waits for something else of it from now on.
    pub fn watch_again(&self, fd: impl AsFd, name: usize, interest: Interest) -> io::Result<()> {
        self.registry.reregister(&mut SourceFd(&fd.as_fd().as_raw_fd()), self.token(name), interest)
    }

    /// Ends the wait of the main thread, for one more turn, from any thread.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }
}

/// One turn of one part.
pub struct Turn<'a> {
    /// What of its own is ready.
    pub ready: &'a [usize],
    /// The waker was called, maybe for others.
    pub woken: bool,
    /// What the carp interfaces have done since its last turn.
    pub changes: &'a [Change],
    /// How they are.
    pub watcher: &'a Watcher,
    /// The machine.
    pub machine: &'a Runtime,
    /// For what comes up meanwhile.
    pub desk: Desk<'a>,
    /// The time of the turn.
    pub now: Time,
}

/// How it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A part has halted it, and the machine has taken its leave.
    Halted,
    /// The machine goes on in another process. What is open is to be closed and
    /// nothing to be removed.
    Left,
}

/// What is there before the machine is configured, so that its first transitions
/// are told as all others.
pub struct Lookout {
    poll: Poll,
    waker: Arc<Waker>,
    watcher: Watcher,
}

impl Lookout {
    /// From now on transitions are kept until they are told.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn open(machine: &Runtime) -> io::Result<Lookout> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let watcher = Watcher::open(machine, &waker);
        Ok(Lookout { poll, waker, watcher })
    }
}

/// Serves the parts until one of them halts the daemon. Then, as on an error,
/// every MASTER bows out, and each part hears of that before it ends. Or until
/// another process goes on in this one's place.
pub fn run(lookout: Lookout, parts: &mut [Box<dyn Part>], machine: &Runtime) -> io::Result<End> {
    let Lookout { mut poll, waker, mut watcher } = lookout;
    for (part, p) in parts.iter_mut().enumerate() {
        p.register(&Desk { registry: poll.registry(), waker: &waker, part })?;
    }
    // Nothing that it needs is missing any more.
    tracing::info!("netisrd: ready, {} netisrs", machine.ncpus());
    let mut events = Events::with_capacity(EVENTS);
    let mut ready = Ready { woken: true, names: Vec::new() };
    let served = loop {
        let changes = if ready.woken { watcher.changes(machine) } else { Vec::new() };
        match turns(parts, &ready, &changes, &watcher, machine, (&poll, &waker)) {
            Ok(Flow::Continue) => {}
            ended => break ended,
        }
        if !parts.iter().any(|p| p.is_behind()) {
            parts.iter_mut().for_each(|p| p.settled());
        }
        match heirs(parts, &mut watcher, machine, (&poll, &waker)) {
            Ok(None) => {}
            Ok(Some(End::Left)) => return Ok(End::Left),
            Ok(Some(End::Halted)) => break Ok(Flow::Halt),
            Err(e) => break Err(e),
        }
        let now = machine.now();
        let patience = parts.iter().filter_map(|p| p.patience(now)).min();
        match poll.poll(&mut events, patience) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => events.clear(),
            Err(e) => break Err(e),
            Ok(()) => {}
        }
        ready = Ready::of(&events);
        // Not all events may have come of one poll.
        ready.woken |= watcher.is_touched();
    };
    parts.iter_mut().for_each(|p| p.halting());
    machine.destroy_all();
    let changes = watcher.changes(machine);
    let last = turns(parts, &Ready::default(), &changes, &watcher, machine, (&poll, &waker));
    parts.iter_mut().for_each(|p| p.close());
    parts.iter_mut().for_each(|p| p.end());
    served.and(last).map(|_| End::Halted)
}

/// Answers those who would go on in this process's place. What has happened while
/// the machine stood still is told as ever.
fn heirs(
    parts: &mut [Box<dyn Part>],
    watcher: &mut Watcher,
    machine: &Runtime,
    poll: (&Poll, &Arc<Waker>),
) -> io::Result<Option<End>> {
    let heirs: Vec<Heir> = parts.iter_mut().filter_map(|p| p.heir()).collect();
    for heir in heirs {
        match predecessor::answer(parts, machine, heir)? {
            Outcome::Stays(None) => {}
            Outcome::Stays(Some(told)) => {
                let changes = watcher.see(told);
                if turns(parts, &Ready::default(), &changes, watcher, machine, poll)? == Flow::Halt {
                    return Ok(Some(End::Halted));
                }
            }
            Outcome::Gone(told) => {
                let changes = watcher.see(told);
                parts.iter_mut().for_each(|p| p.close());
                parts.iter_mut().for_each(|p| p.left(&changes, machine.now()));
                return Ok(Some(End::Left));
            }
        }
    }
    Ok(None)
}

/// What one poll has found.
#[derive(Default)]
struct Ready {
    woken: bool,
    /// Part and name.
    names: Vec<(usize, usize)>,
}

impl Ready {
    fn of(events: &Events) -> Ready {
        let mut ready = Ready::default();
        for event in events {
            match event.token() {
                WAKER => ready.woken = true,
                Token(t) => ready.names.push((t >> NAMES_BITS, t & ((1 << NAMES_BITS) - 1))),
            }
        }
        ready
    }

    fn of_part(&self, part: usize) -> Vec<usize> {
        self.names.iter().filter(|(p, _)| *p == part).map(|(_, name)| *name).collect()
    }
}

/// A turn for each part. One that fails ends the daemon, after the others.
fn turns(
    parts: &mut [Box<dyn Part>],
    ready: &Ready,
    changes: &[Change],
    watcher: &Watcher,
    machine: &Runtime,
    (poll, waker): (&Poll, &Arc<Waker>),
) -> io::Result<Flow> {
    let mut flow = Ok(Flow::Continue);
    for (part, p) in parts.iter_mut().enumerate() {
        let turn = Turn {
            ready: &ready.of_part(part),
            woken: ready.woken,
            changes,
            watcher,
            machine,
            desk: Desk { registry: poll.registry(), waker, part },
            now: machine.now(),
        };
        match p.serve(&turn) {
            Ok(Flow::Continue) => {}
            ended => flow = flow.and(ended),
        }
    }
    flow
}
