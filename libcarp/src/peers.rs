//! Whom a softc has heard. It decides nothing: it is what an administrator
//! wants to see.

use compat::sys::time::Time;
use core::cell::RefCell;
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
pub struct Peers(RefCell<Vec<Peer>>);

impl Peers {
    /// Remembers; whoever was silent for longest makes room.
    pub(crate) fn heard(&self, peer: Peer) {
        let mut all = self.0.borrow_mut();
        all.retain(|p| p.src != peer.src);
        if all.len() >= PEERS_MAX {
            all.remove(0);
        }
        all.push(peer);
    }

    /// All, the one who was heard last at the end.
    pub fn all(&self) -> Vec<Peer> {
        self.0.borrow().clone()
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
