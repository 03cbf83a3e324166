//! Rules and routes as they are, looked at by a thread of its own: a table with a million
//! routes takes the kernel half a second, also when it tells none of them, and so long
//! neither addresses nor netisr0 can wait.

use super::{Mirror, failed};
use crate::dev::rtnetlink::{RtNetlink, Rule, Way};
use mio::Waker;
use nix::errno::Errno as Linux;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

/// All of them.
pub(super) struct Found {
    /// The ways that the main table has, by link.
    pub(super) parents: BTreeMap<u32, Vec<Way>>,
    /// CARP's.
    pub(super) rules: Vec<Rule>,
    /// CARP's, each with its link and the length of its table.
    pub(super) routes: Vec<(u32, u8, Way)>,
}

impl Found {
    /// All of it, or nothing.
    pub(super) fn look(rt: &mut RtNetlink) -> nix::Result<Found> {
        let mut parents: BTreeMap<u32, Vec<Way>> = BTreeMap::new();
        for (link, way) in rt.ways()? {
            parents.entry(link).or_default().push(way);
        }
        Ok(Found { parents, rules: rt.rules()?, routes: rt.own_ways()? })
    }
}

/// One look, and the changes that the mirror had made before it.
type Look = (u64, nix::Result<Found>);

/// The thread, which looks when it is asked.
pub(super) struct Looker {
    ask: Sender<u64>,
    looks: Receiver<Look>,
    asked: bool,
}

impl Looker {
    /// Wakes when it has looked.
    pub(super) fn start(waker: Arc<Waker>) -> io::Result<Looker> {
        let mut rt = RtNetlink::new().map_err(|e| failed("rtnetlink", e))?;
        let ((ask, asked), (looked, looks)) = (channel(), channel());
        let work = move || {
            for changes in asked {
                let look = (changes, Found::look(&mut rt));
                // Whoever would hear it has ended, or the poll has.
                if looked.send(look).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("looker".into()).spawn(work)?;
        Ok(Looker { ask, looks, asked: false })
    }

    /// Takes what was found, unless the mirror itself has changed something meanwhile;
    /// whether it did.
    pub(super) fn take(&mut self, mirror: &mut Mirror) -> io::Result<bool> {
        let (changes, found) = match self.looks.try_recv() {
            Err(TryRecvError::Empty) => return Ok(false),
            look => look.map_err(io::Error::other)?,
        };
        self.asked = false;
        match found {
            Ok(found) if changes == mirror.rt.changes() => mirror.know(found),
            Ok(_) | Err(Linux::EBUSY) => {
                mirror.stale = true;
                return Ok(false);
            }
            Err(e) => return Err(failed("rtnetlink", e)),
        }
        Ok(true)
    }

    /// Has it looked again if something may be otherwise.
    pub(super) fn ask(&mut self, mirror: &mut Mirror) -> io::Result<()> {
        if self.asked || !core::mem::take(&mut mirror.stale) {
            return Ok(());
        }
        self.asked = true;
        self.ask.send(mirror.rt.changes()).map_err(io::Error::other)
    }
}
