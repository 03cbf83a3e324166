//! The cables of a machine's cards: whether they are in.

use super::link::{self, Watch};
use super::sys;
use compat::net::if_::{IfName, LinkState};
use nix::errno::Errno as Linux;
use std::io;
use std::os::fd::BorrowedFd;

/// Hears when one of a machine's cards loses its carrier, is set down, or the
/// other way round.
pub struct LinkWatch {
    watch: Watch,
    cards: Vec<Card>,
}

struct Card {
    name: IfName,
    /// The host's: it keeps it, whatever it is called.
    host_index: u32,
    if_index: u16,
    state: LinkState,
}

impl LinkWatch {
    /// Of these cards, the machine's index of each beside it. They count as up
    /// until [`changes`](LinkWatch::changes) tells otherwise.
    ///
    /// # Errors
    /// The kernel gives no netlink socket, or one of them is gone.
    pub fn new(cards: impl IntoIterator<Item = (IfName, u16)>) -> io::Result<LinkWatch> {
        let watch = Watch::new().map_err(|e| sys::failed("netlink", e))?;
        let card = |(name, if_index): (IfName, u16)| {
            let link = link::by_name(name.as_str()).map_err(|e| sys::failed(name, e))?;
            Ok(Card { name, host_index: link.index, if_index, state: LinkState::Up })
        };
        let cards = cards.into_iter().map(card).collect::<io::Result<_>>()?;
        Ok(LinkWatch { watch, cards })
    }

    /// What to poll for readability.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.watch.fd()
    }

    /// The cards that are in another state than when last asked. One whose
    /// interface is gone keeps its state: its queue tells of its end.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn changes(&mut self) -> io::Result<Vec<(u16, LinkState)>> {
        // Before the look: what changes after it is readable again.
        self.watch.drain()?;
        let mut changed = Vec::new();
        for card in &mut self.cards {
            let state = match link::by_index(card.host_index) {
                Ok(link) if link.has_carrier() => LinkState::Up,
                Ok(_) => LinkState::Down,
                Err(Linux::ENODEV) => continue,
                Err(e) => return Err(sys::failed(card.name, e)),
            };
            if card.state != state {
                card.state = state;
                changed.push((card.if_index, state));
            }
        }
        Ok(changed)
    }
}
