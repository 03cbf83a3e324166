//! The mirror's turns on the main thread, and what netisr0 calls.

use super::held::Lower;
use super::looker::Looker;
use super::pulse::Pulse;
use super::{Mirror, failed};
use crate::dev::rtnetlink::RtWatch;
use crate::dev::{DataPath, host};
use crate::host::cards::Opened;
use crate::host::parts::{Desk, Flow, Part, Turn};
use crate::host::runtime::Upkeep;
use crate::host::succession::{Estate, Step};
use crate::host::watcher::Change;
use crate::kern::devctl::{Serve, Vhosted};
use crate::machine::Machine;
use compat::net::if_::IfName;
use compat::sys::time::Time;
use mio::Interest;
use nix::errno::Errno as Linux;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Something has changed in the host.
const HOST: usize = 0;
/// What could not be done is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// The mirror as a part. Its lock is held while the host is asked for something,
/// and for nothing else: who holds it waits for nobody.
pub struct Mirrors {
    mirror: Arc<Mutex<Mirror>>,
    watch: RtWatch,
    /// From the first turn on.
    looker: Option<Looker>,
    pulse: Pulse,
    /// The machine has been told that these carp interfaces are not served.
    unserved: BTreeSet<u16>,
}

impl Mirrors {
    /// On those of the interfaces where the host serves the virtual addresses, if
    /// there are any. What a dead netisrd has left on them is removed; what has to
    /// be set there is kept in a file in `folder`, and put back at the end, or by the
    /// next one.
    /// One that follows another process touches nothing before it goes on in its
    /// place.
    ///
    /// # Errors
    /// The kernel does not allow it.
    pub fn on(opened: &Opened, folder: &Path, follows: bool) -> io::Result<Option<Mirrors>> {
        let mut lowers = Vec::new();
        for dev in opened.devices.iter().filter(|dev| dev.path.is_served_by_host()) {
            let (name, index) = (dev.name, Some(dev.host_index));
            let called = host::called(dev.host_index).unwrap_or_else(|| name.to_string());
            lowers.push(Lower::new(name, called, index, dev.path));
        }
        for absent in opened.absent.iter().filter(|absent| absent.path.is_served_by_host()) {
            let Some(name) = IfName::new(&absent.name) else { continue };
            let called = absent.name.clone();
            lowers.push(Lower::new(name, called, None, absent.path));
        }
        if lowers.is_empty() {
            return Ok(None);
        }
        let watch = RtWatch::of_all().map_err(|e| failed("rtnetlink", e))?;
        let mirror = Arc::new(Mutex::new(Mirror::new(lowers, folder, follows)?));
        Ok(Some(Mirrors { mirror, watch, looker: None, pulse: Pulse::default(), unserved: BTreeSet::new() }))
    }

    /// Whether there are taps among them, which are opened as they are needed.
    pub fn has_taps(&self) -> bool {
        lock(&self.mirror).lowers.iter().any(|lower| lower.path == DataPath::Tap)
    }

    /// Of that machine from now on: what its netisr0 calls in a transition.
    pub fn serve(&self, machine: &Arc<Machine>) -> Serve {
        lock(&self.mirror).machine = Arc::downgrade(machine);
        let mirror = self.mirror.clone();
        Box::new(move |served, transitions| {
            let mut mirror = lock(&mirror);
            mirror.transitions = transitions;
            mirror.show(served);
        })
    }
}

fn lock(mirror: &Mutex<Mirror>) -> MutexGuard<'_, Mirror> {
    // Whoever panics ends the process.
    mirror.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Part for Mirrors {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        self.looker = Some(Looker::start(desk.waker())?);
        desk.watch(self.watch.fd(), HOST, Interest::READABLE)
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        let mirror = lock(&self.mirror);
        let renew = mirror.renew.map(|at| Duration::from_nanos(at.0.saturating_sub(now.0)));
        let retry = mirror.troubles.has_any().then_some(RETRY);
        renew.into_iter().chain(retry).min()
    }

    fn is_behind(&self) -> bool {
        lock(&self.mirror).behind
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let mut mirror = lock(&self.mirror);
        match step {
            Step::Frozen(estate) => mirror.bequeath(&self.unserved, estate),
            Step::Waits => mirror.live_on(),
            Step::Met(_) | Step::Ready(_) | Step::Stays => Ok(()),
        }
    }

    /// Its programs may go on for a while, with all that is open.
    fn left(&mut self, _: &[Change], _: Time) {
        let mut mirror = lock(&self.mirror);
        mirror.ended = true;
        if let Err(e) = mirror.conf.leave() {
            tracing::warn!("settings of interfaces: {e}");
        }
    }

    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        self.unserved = lock(&self.mirror).inherit(estate)?;
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let touched = turn.ready.contains(&HOST);
        let mut mirror = lock(&self.mirror);
        if touched {
            mirror.stale |= self.watch.heard()?;
        }
        let looked = self.looker.as_mut().map_or(Ok(false), |looker| looker.take(&mut mirror))?;
        if touched {
            match mirror.look() {
                // It goes on changing, and that will be told.
                Ok(()) | Err(Linux::EBUSY) => {}
                Err(e) => return Err(failed("rtnetlink", e)),
            }
        }
        let due = mirror.renew.is_some_and(|at| at <= turn.now);
        let renews = due && self.pulse.beats(turn.machine);
        if renews {
            mirror.renew(turn.machine.machine().clock());
        } else if due {
            mirror.put_off(turn.now);
        }
        // What a netisr0 that hangs said last is no reason to give an address back that
        // the kernel has taken.
        let news = due || touched || looked || turn.woken || mirror.troubles.has_any();
        if news && !self.pulse.is_missed() {
            mirror.sync(turn.watcher.vhosts(), turn.watcher.transitions());
        }
        self.looker.as_mut().map_or(Ok(()), |looker| looker.ask(&mut mirror))?;
        if renews || turn.woken {
            turn.machine.lease(mirror.gone_by());
        }
        let unserved = |v: &&Vhosted| mirror.troubles.has(v.name.as_str());
        let unserved = turn.watcher.vhosts().iter().filter(unserved).map(|v| v.of.if_index).collect();
        for changed in self.unserved.symmetric_difference(&unserved) {
            turn.machine.served(*changed, !unserved.contains(changed));
        }
        self.unserved = unserved;
        Ok(Flow::Continue)
    }
}

impl Mirrors {
    /// Renews what is due in the middle of a turn. netisr0 is alive: it has just answered.
    pub fn upkeep(&self) -> Upkeep {
        let mirror = self.mirror.clone();
        Box::new(move |machine| {
            let mut mirror = lock(&mirror);
            // Before the first turn nobody else says when.
            mirror.renew = mirror.renew.or_else(|| mirror.next_renewal());
            if mirror.renew.is_some_and(|at| at <= machine.now()) {
                mirror.renew(machine.machine().clock());
                machine.lease(mirror.gone_by());
            }
        })
    }
}

impl Drop for Mirrors {
    fn drop(&mut self) {
        lock(&self.mirror).end();
    }
}
