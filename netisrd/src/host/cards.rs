//! The machine's cards: what it starts with, and, as a part, as another process may use
//! them after this one.

use super::parts::{Desk, Flow, Part, Turn};
use super::succession::Step;
use super::succession::successor::Predecessor;
use crate::conf;
use crate::dev::host::{self, Existing};
use crate::dev::{DataPath, Device, Queues, Transmit, tap};
use compat::net::if_::IfName;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// What of them is told.
pub(super) const FACT: &str = "cards";
/// The addresses that the host lends, by card.
pub(super) const LENT: &str = "lent";

/// Whose descriptors are under which name.
pub(super) fn descriptors(card: &str) -> String {
    format!("card {card}")
}

/// What the machine starts with.
pub struct Opened {
    /// The cards that are there.
    pub devices: Vec<Device>,
    /// Interfaces of the host that are not there yet, or down: as if they had gone.
    pub absent: Vec<Existing>,
    /// Those of each.
    pub queues: Queues,
}

impl Opened {
    /// All that are named, or those of the netisrd in whose place this one goes on. A
    /// warning says which interface is not there.
    ///
    /// # Errors
    /// A sentence: one that is there cannot be opened, or the other one has others.
    pub fn all(cards: &conf::Cards, queues: Queues, mut old: Option<&mut Predecessor>) -> io::Result<Opened> {
        let mut all = Opened { devices: Vec::new(), absent: Vec::new(), queues };
        for spec in cards.taps.iter().flatten() {
            let (name, bridge) = match spec.split_once('@') {
                Some((name, bridge)) => (name, Some(bridge)),
                None => (spec.as_str(), None),
            };
            all.devices.push(match &mut old {
                None => tap::open(name, bridge, queues.count)?,
                Some(old) => old.tap(name)?,
            });
        }
        for spec in cards.interfaces.iter().flatten() {
            let existing = Existing::parse(spec).map_err(io::Error::other)?;
            if all.has(&existing.name) {
                return Err(io::Error::other(format!("{}: named twice", existing.name)));
            }
            let opened = match &mut old {
                None => match host::open(&existing, queues) {
                    Err(e) if host::may_come(&e) => Err(e.to_string()),
                    other => Ok(other?),
                },
                Some(old) => old.interface(&existing)?.ok_or_else(|| format!("{}: not there", existing.name)),
            };
            match opened {
                Ok(dev) => all.devices.push(dev),
                Err(why) => {
                    tracing::warn!("netisrd: {why}: it is used once it is there and up");
                    all.absent.push(existing);
                }
            }
        }
        old.map_or(Ok(()), |old| old.check(&all))?;
        Ok(all)
    }

    /// Whether there is one of that name, there or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.devices.iter().any(|dev| dev.name.as_str() == name)
            || self.absent.iter().any(|existing| existing.name == name)
    }

    /// Whether any is the host's too.
    pub fn are_shared(&self) -> bool {
        !self.absent.is_empty() || self.devices.iter().any(|dev| dev.shared_with_host)
    }
}

/// A card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Card {
    pub(super) name: String,
    /// The host's index of it, which stays whatever it is called; none while it is gone.
    pub(super) host_index: Option<u32>,
    pub(super) lladdr: [u8; 6],
    pub(super) shared_with_host: bool,
    /// Who serves its virtual addresses: `macvlan`, `tap` or `none`.
    path: String,
}

impl Card {
    fn of(dev: &Device) -> Card {
        Card {
            name: dev.name.to_string(),
            host_index: Some(dev.host_index),
            lladdr: dev.lladdr,
            shared_with_host: dev.shared_with_host,
            path: word(dev.path).to_owned(),
        }
    }

    fn absent(existing: &Existing) -> Card {
        let (name, path) = (existing.name.clone(), word(existing.path).to_owned());
        Card { name, host_index: None, lladdr: [0; 6], shared_with_host: true, path }
    }

    /// Whether it is the host's and has that path.
    pub(super) fn is_on(&self, path: DataPath) -> bool {
        self.shared_with_host && self.path == word(path)
    }
}

fn word(path: DataPath) -> &'static str {
    match path {
        DataPath::Macvlan => "macvlan",
        DataPath::Tap => "tap",
        DataPath::None => "none",
    }
}

/// All of them, each with its sending side while the machine has it: it can be opened
/// anew ([`Links`](super::links::Links)).
#[derive(Clone)]
pub struct Cards(Rc<RefCell<Vec<Held>>>);

struct Held {
    card: Card,
    tx: Option<Weak<dyn Transmit>>,
}

impl Held {
    fn of(dev: &Device) -> Held {
        Held { card: Card::of(dev), tx: Some(Arc::downgrade(&dev.tx)) }
    }
}

impl Cards {
    /// These.
    pub fn of(opened: &Opened) -> Cards {
        let absent = opened.absent.iter().map(|existing| Held { card: Card::absent(existing), tx: None });
        Cards(Rc::new(RefCell::new(opened.devices.iter().map(Held::of).chain(absent).collect())))
    }

    /// One that was gone is there.
    pub(super) fn back(&self, dev: &Device) {
        self.each(dev.name, |held| *held = Held::of(dev));
    }

    /// One is gone.
    pub(super) fn gone(&self, name: IfName) {
        self.each(name, |held| (held.card.host_index, held.tx) = (None, None));
    }

    fn each(&self, name: IfName, change: impl FnMut(&mut Held)) {
        self.0.borrow_mut().iter_mut().filter(|held| held.card.name == name.as_str()).for_each(change);
    }
}

impl Part for Cards {
    fn register(&mut self, _: &Desk<'_>) -> io::Result<()> {
        Ok(())
    }

    fn serve(&mut self, _: &Turn<'_>) -> io::Result<Flow> {
        Ok(Flow::Continue)
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let Step::Met(estate) = step else { return Ok(()) };
        let all = self.0.borrow();
        estate.put(FACT, &all.iter().map(|held| &held.card).collect::<Vec<_>>())?;
        for Held { card, tx } in all.iter() {
            let tx = tx.as_ref().and_then(Weak::upgrade);
            let fds: Vec<_> = tx.iter().flat_map(|tx| tx.descriptors()).collect();
            let fds: Vec<&dyn AsFd> = fds.iter().map(|fd| fd as &dyn AsFd).collect();
            estate.lend(&descriptors(&card.name), &fds)?;
        }
        Ok(())
    }
}
