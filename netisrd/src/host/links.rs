//! The links of the machine's cards, as a part: cables that come and go, interfaces
//! of the host that do, and what becomes of them.

use super::cards::Cards;
use super::configuration::Shared as SharedConf;
use super::lent::{Lending, Shared};
use super::parts::{Desk, Flow, Part, Turn};
use super::runtime::Runtime;
use crate::dev::Queues;
use crate::dev::host::{self, Existing};
use crate::dev::watch::{Change, LinkWatch, Watched};
use compat::sys::time::Time;
use mio::Interest;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

const LINK: usize = 0;
/// When one that could not be opened is tried again, if nothing changes.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the machine when one of its cards loses its link or has it again, or has
/// another MTU or MAC. An
/// interface of the host that was deleted, or was not there or down at the start, is
/// opened once it is there and up.
pub struct Links {
    watch: LinkWatch,
    lending: Lending,
    held: Cards,
    queues: Queues,
    configuration: SharedConf,
    /// Why one could not be opened, by its name, to be said once.
    said: BTreeMap<String, String>,
    /// When that is tried again.
    again: Option<Time>,
}

impl Links {
    /// Of these cards; one that is opened has those `queues`. Whoever else has to do with
    /// the host's learns of them. How they are is told at once; one that has come
    /// meanwhile is opened in the first turn, when there is a configuration.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn new(
        cards: Vec<Watched>,
        queues: Queues,
        (held, lending): (Cards, Lending),
        configuration: SharedConf,
        machine: &Runtime,
    ) -> io::Result<Links> {
        let watch = LinkWatch::new(cards)?;
        let said = BTreeMap::new();
        let mut links = Links { watch, lending, held, queues, configuration, said, again: None };
        for change in links.watch.changes()? {
            links.tell(change, machine);
        }
        Ok(links)
    }

    fn look(&mut self, machine: &Runtime) -> io::Result<()> {
        self.again = None;
        for change in self.watch.changes()? {
            match change {
                Change::Back(existing) => match self.open(&existing, machine) {
                    Ok(()) => drop(self.said.remove(&existing.name)),
                    Err(e) => {
                        self.say(&existing.name, e.to_string());
                        self.again = Some(machine.now() + AGAIN);
                    }
                },
                other => self.tell(other, machine),
            }
        }
        Ok(())
    }

    fn tell(&mut self, change: Change, machine: &Runtime) {
        match change {
            Change::Link(if_index, state) => machine.link_state(if_index, state),
            Change::Hardware(if_index, what) => machine.hardware(if_index, what),
            Change::Gone(if_index) => {
                machine.detach(if_index);
                for gone in self.lending.borrow_mut().extract_if(.., |card| card.if_index == if_index) {
                    self.held.gone(gone.name);
                }
            }
            Change::Back(_) => self.again = Some(machine.now()),
        }
    }

    /// It may be gone, or down, before it is open, or there may be no more
    /// descriptors.
    fn open(&mut self, existing: &Existing, machine: &Runtime) -> io::Result<()> {
        let dev = host::open(existing, self.queues)?;
        let (name, host_index, addrs) = (dev.name, dev.host_index, dev.addrs.clone());
        self.held.back(&dev);
        let if_index = machine.attach(dev).map_err(|e| {
            self.held.gone(name);
            io::Error::other(format!("{name}: {e}"))
        })?;
        self.watch.opened(name, host_index, if_index);
        self.lending.borrow_mut().push(Shared { name, if_index, host_index, addrs });
        tracing::info!("{name}: attached");
        for wrong in self.configuration.borrow_mut().arrived(name, machine) {
            tracing::error!("netisrd: {wrong}");
        }
        Ok(())
    }

    fn say(&mut self, name: &str, what: String) {
        if self.said.get(name) != Some(&what) {
            tracing::warn!("not attached: {what}");
            self.said.insert(name.to_owned(), what);
        }
    }
}

impl Part for Links {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        desk.watch(self.watch.poll_fd(), LINK, Interest::READABLE)
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        self.again.map(|at| at - now)
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        if turn.ready.contains(&LINK) || self.again.is_some_and(|at| at <= turn.now) {
            self.look(turn.machine)?;
        }
        Ok(Flow::Continue)
    }
}
