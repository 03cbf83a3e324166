//! Whom a softc has heard. It decides nothing: it is what an administrator
//! wants to see.

use compat::sys::time::Time;
use core::cell::{Cell, RefCell};
use core::net::IpAddr;

/// How many of its vhid are remembered: more machines share no address.
pub const PEERS_MAX: usize = 16;

/// One who has sent a good advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// From where.
    pub src: IpAddr,
    /// What it said last, seconds; 255 of a bow-out.
    pub advbase: u8,
    /// And 1/256 seconds.
    pub advskew: u8,
    /// When it was heard last.
    pub heard: Time,
}

/// Those of one softc.
#[derive(Debug, Default)]
pub struct Peers {
    /// Who was heard last: most often the only one, and nothing else is touched.
    latest: Cell<Option<Peer>>,
    /// Whoever was heard before.
    others: RefCell<Vec<Peer>>,
}

impl Peers {
    /// Remembers; whoever was silent for longest makes room.
    pub(crate) fn heard(&self, peer: Peer) {
        let before = self.latest.replace(Some(peer)).filter(|p| p.src != peer.src);
        if let Some(before) = before {
            let mut others = self.others.borrow_mut();
            others.retain(|p| p.src != peer.src);
            others.push(before);
            if others.len() >= PEERS_MAX {
                others.remove(0);
            }
        }
    }

    /// All, the one who was heard last at the end.
    pub fn all(&self) -> Vec<Peer> {
        self.others.borrow().iter().copied().chain(self.latest.get()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_silent_for_longest_makes_room() {
        let peers = Peers::default();
        let peer = |n: u8, at| Peer { src: [10, 0, 0, n].into(), advbase: 1, advskew: n, heard: Time(at) };
        (0..16).for_each(|n| peers.heard(peer(n, n.into())));
        // Heard again, it is no longer the one.
        peers.heard(peer(0, 20));
        peers.heard(peer(99, 21));
        let expected: Vec<Peer> =
            (2..16).map(|n| peer(n, n.into())).chain([peer(0, 20), peer(99, 21)]).collect();
        assert_eq!(peers.all(), expected);
    }
}
