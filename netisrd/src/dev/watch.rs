//! The links of a machine's cards: whether their cables are in, what their frames may
//! be, and whether they are there at all.

use super::host::Existing;
use super::rtnetlink::{HostLink, RtNetlink, RtWatch};
use super::sys;
use crate::net::if_::Hardware;
use compat::net::if_::{IfName, LinkState};
use nix::errno::Errno as Linux;
use std::io;
use std::os::fd::BorrowedFd;

/// Hears when one of a machine's cards loses its carrier, is set down, leaves, or
/// the other way round.
pub struct LinkWatch {
    watch: RtWatch,
    /// Kept: by the time that it is needed there may be no more descriptors.
    rt: RtNetlink,
    cards: Vec<Card>,
}

struct Card {
    name: IfName,
    /// How it is opened, if it is one of the host's and not the machine's own.
    existing: Option<Existing>,
    is: Is,
}

/// A card, with the machine's index of it and the host's while it is there, and what one
/// of the host's is opened by.
pub type Watched = (IfName, Option<(u16, u32)>, Option<Existing>);

/// What a card is.
#[derive(Clone, Copy)]
enum Is {
    /// Beside the machine's index, the host's: it keeps it, whatever it is called.
    There { host_index: u32, if_index: u16, state: LinkState, has: Has },
    /// Its interface is none any more, or has not been one yet.
    Gone,
}

/// What the machine was told of a card's hardware.
#[derive(Clone, Copy, Default)]
struct Has {
    mtu: Option<u32>,
    /// Of one of the host's: a tap's is not the machine's own.
    lladdr: Option<[u8; 6]>,
}

/// What has become of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The cable of the one with that index.
    Link(u16, LinkState),
    /// Something else of it. Told first of each, whatever the machine has of it.
    Hardware(u16, Hardware),
    /// The one with that index is gone.
    Gone(u16),
    /// There is an interface of that name again, and it is up. It is told as long as
    /// nobody has [`opened`](LinkWatch::opened) it, with each change in the host.
    Back(Existing),
}

impl LinkWatch {
    /// Of these cards, each with its indexes, unless it is gone. How they are is told by
    /// the first [`changes`](LinkWatch::changes).
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn new(cards: impl IntoIterator<Item = Watched>) -> io::Result<LinkWatch> {
        let watch = RtWatch::of_links().map_err(|e| sys::failed("netlink", e))?;
        let rt = RtNetlink::new().map_err(|e| sys::failed("netlink", e))?;
        let card = |(name, indexes, existing): Watched| {
            let (state, has) = (LinkState::Unknown, Has::default());
            let there = |(if_index, host_index)| Is::There { host_index, if_index, state, has };
            Card { name, existing, is: indexes.map_or(Is::Gone, there) }
        };
        Ok(LinkWatch { watch, rt, cards: cards.into_iter().map(card).collect() })
    }

    /// What to poll for readability.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.watch.fd()
    }

    /// The cards that are otherwise than when last asked.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        // Before the look: what changes after it is readable again.
        self.watch.drain().map_err(|e| sys::failed("netlink", e))?;
        let links = match self.rt.links() {
            // It goes on changing, and that will be told.
            Err(Linux::EBUSY) => return Ok(Vec::new()),
            other => other.map_err(|e| sys::failed("rtnetlink", e))?,
        };
        let mut changes = Vec::new();
        for card in &mut self.cards {
            card.look(&links, &mut changes);
        }
        Ok(changes)
    }

    /// The card that was back is a card of the machine again.
    pub fn opened(&mut self, name: IfName, host_index: u32, if_index: u16) {
        for card in self.cards.iter_mut().filter(|card| card.name == name) {
            card.is = Is::There { host_index, if_index, state: LinkState::Up, has: Has::default() };
        }
    }
}

impl Card {
    fn look(&mut self, links: &[HostLink], changes: &mut Vec<Change>) {
        if let Is::There { host_index, if_index, state, has } = &mut self.is {
            match links.iter().find(|l| l.index == *host_index) {
                Some(link) => {
                    let now = if link.has_carrier { LinkState::Up } else { LinkState::Down };
                    if *state != now {
                        *state = now;
                        changes.push(Change::Link(*if_index, now));
                    }
                    if has.mtu.replace(link.mtu) != Some(link.mtu) {
                        changes.push(Change::Hardware(*if_index, Hardware::Mtu(link.mtu)));
                    }
                    if let (Some(_), Some(lladdr)) = (&self.existing, link.lladdr)
                        && has.lladdr.replace(lladdr) != Some(lladdr)
                    {
                        changes.push(Change::Hardware(*if_index, Hardware::LlAddr(lladdr)));
                    }
                }
                None => {
                    changes.push(Change::Gone(*if_index));
                    self.is = Is::Gone;
                }
            }
        }
        if let (Is::Gone, Some(existing)) = (self.is, &self.existing)
            && links.iter().any(|l| l.name == existing.name && l.up)
        {
            changes.push(Change::Back(existing.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::DataPath;

    fn link(index: u32, name: &str, up: bool) -> HostLink {
        HostLink { index, name: name.into(), up, has_carrier: up, ..HostLink::default() }
    }

    #[test]
    fn a_card_that_is_gone_is_back_with_its_name_once_that_is_up() {
        let existing = Existing { name: "v0".into(), path: DataPath::Macvlan };
        let is = Is::There {
            host_index: 5,
            if_index: 1,
            state: LinkState::Up,
            has: Has { mtu: Some(0), lladdr: None },
        };
        let mut card = Card { name: IfName([0; 16]), existing: Some(existing.clone()), is };
        let mut look = |links: &[HostLink]| {
            let mut changes = Vec::new();
            card.look(links, &mut changes);
            changes
        };
        assert_eq!(look(&[link(5, "v0", true)]), []);
        // Whatever it is called, it is the one, and no other is.
        assert_eq!(look(&[link(5, "lan0", false), link(6, "v0", true)]), [Change::Link(1, LinkState::Down)]);
        assert_eq!(look(&[link(7, "v0", false)]), [Change::Gone(1)]);
        assert_eq!(look(&[link(7, "v0", false)]), []);
        for _ in 0..2 {
            assert_eq!(look(&[link(7, "v0", true)]), [Change::Back(existing.clone())]);
        }
        card.existing = None;
        card.is = Is::Gone;
        let mut changes = Vec::new();
        card.look(&[link(7, "v0", true)], &mut changes);
        assert_eq!(changes, [], "a tap is its process's own");
    }
}
