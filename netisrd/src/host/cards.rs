//! The machine's cards as another process may use them after this one, as a part.

use super::parts::{Desk, Flow, Part, Turn};
use super::succession::Step;
use crate::dev::{DataPath, Device, Transmit};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

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
            path: match dev.path {
                DataPath::Macvlan => "macvlan".into(),
                DataPath::Tap => "tap".into(),
                DataPath::None => "none".into(),
            },
        }
    }

    /// Whether both are one and are used alike. The host's may have another address by
    /// now.
    pub(super) fn is_like(&self, dev: &Device) -> bool {
        let other = Card::of(dev);
        (&self.name, self.shared_with_host, &self.path) == (&other.name, other.shared_with_host, &other.path)
    }
}

/// All of them, with the sending side of those that are the machine's own: an
/// interface of the host is opened anew.
pub struct Cards(Vec<(Card, Option<Arc<dyn Transmit>>)>);

impl Cards {
    /// These.
    pub fn of(devices: &[Device]) -> Cards {
        let own = |dev: &Device| (!dev.shared_with_host).then(|| dev.tx.clone());
        Cards(devices.iter().map(|dev| (Card::of(dev), own(dev))).collect())
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
        let cards: Vec<&Card> = self.0.iter().map(|(card, _)| card).collect();
        estate.put(FACT, &cards)?;
        for (card, tx) in &self.0 {
            let fds: Vec<_> = tx.iter().flat_map(|tx| tx.descriptors()).collect();
            let fds: Vec<&dyn AsFd> = fds.iter().map(|fd| fd as &dyn AsFd).collect();
            estate.lend(&descriptors(&card.name), &fds)?;
        }
        Ok(())
    }
}
