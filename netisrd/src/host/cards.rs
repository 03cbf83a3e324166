//! The machine's cards as another process may use them after this one, as a part.

use super::parts::{Desk, Flow, Part, Turn};
use super::succession::Step;
use crate::dev::{DataPath, Device, Transmit};
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

/// A card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Card {
    pub(super) name: String,
    pub(super) lladdr: [u8; 6],
    shared_with_host: bool,
    /// Who serves its virtual addresses: `macvlan`, `tap` or `none`.
    path: String,
}

impl Card {
    fn of(dev: &Device) -> Card {
        Card {
            name: dev.name.to_string(),
            lladdr: dev.lladdr,
            shared_with_host: dev.shared_with_host,
            path: word(dev.path).to_owned(),
        }
    }

    /// Whether it has that path.
    pub(super) fn is_on(&self, path: DataPath) -> bool {
        self.path == word(path)
    }

    /// Whether both are one and are used alike.
    pub(super) fn is_like(&self, dev: &Device) -> bool {
        let other = Card::of(dev);
        (&self.name, self.lladdr, self.shared_with_host, &self.path)
            == (&other.name, other.lladdr, other.shared_with_host, &other.path)
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
    tx: Weak<dyn Transmit>,
}

impl Held {
    fn of(dev: &Device) -> Held {
        Held { card: Card::of(dev), tx: Arc::downgrade(&dev.tx) }
    }
}

impl Cards {
    /// These.
    pub fn of(devices: &[Device]) -> Cards {
        Cards(Rc::new(RefCell::new(devices.iter().map(Held::of).collect())))
    }

    /// One that was gone is there again.
    pub(super) fn back(&self, dev: &Device) {
        let mut all = self.0.borrow_mut();
        let same = all.iter_mut().filter(|held| held.card.name == dev.name.as_str());
        same.for_each(|held| *held = Held::of(dev));
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
            let tx = tx.upgrade();
            let fds: Vec<_> = tx.iter().flat_map(|tx| tx.descriptors()).collect();
            let fds: Vec<&dyn AsFd> = fds.iter().map(|fd| fd as &dyn AsFd).collect();
            estate.lend(&descriptors(&card.name), &fds)?;
        }
        Ok(())
    }
}
