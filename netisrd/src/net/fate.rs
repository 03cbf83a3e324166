//! What became of each frame that a netisr took from a queue: exactly one
//! [`Fate`], so that what came in can be held against what happened to it.
//! Upstream frees an mbuf wherever it has no more use for it, and counts it there
//! or not.

use compat::net::if_var::Counter;

/// The end of a frame's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Shorter than its header: `ifi_ierrors`.
    Short,
    /// Its interface is not up and running: `ifi_iqdrops`.
    Stopped,
    /// Its interface has left the machine.
    NoInterface,
    /// Its interface only looks on (`IFF_MONITOR`).
    Monitored,
    /// For a MAC that is not ours: `ifi_iqdrops`.
    NotForUs,
    /// For a vhid, or from CARP, that nobody here has to do with.
    OtherVhid,
    /// Of a type that the machine does not speak: `ifi_noproto`.
    NoProto,
    /// The port that it was for was full: `ifi_iqdrops`.
    QueueFull,
    /// Delivered to ARP.
    Arp,
    /// Delivered to neighbour or listener discovery.
    Nd6,
    /// Delivered to CARP, IPv4 or IPv6.
    Carp,
    /// Delivered to IPv4.
    Ip,
    /// Delivered to IPv6.
    Ip6,
    /// Of a carp interface that the host serves: given to the host.
    ToHost,
    /// From the host, by such an interface: sent.
    FromHost,
    /// From the host, by one that is not a running MASTER: `ifi_oerrors`.
    NotMaster,
    /// Whoever had to take it there did not, the host or the parent: `ifi_iqdrops`,
    /// `ifi_oerrors`.
    Refused,
}

impl Fate {
    /// All of them.
    pub const ALL: [Fate; 17] = [
        Fate::Short,
        Fate::Stopped,
        Fate::NoInterface,
        Fate::Monitored,
        Fate::NotForUs,
        Fate::OtherVhid,
        Fate::NoProto,
        Fate::QueueFull,
        Fate::Arp,
        Fate::Nd6,
        Fate::Carp,
        Fate::Ip,
        Fate::Ip6,
        Fate::ToHost,
        Fate::FromHost,
        Fate::NotMaster,
        Fate::Refused,
    ];
}

/// One netisr's counters, in cache lines of their own: it alone writes them.
#[derive(Default)]
#[repr(align(128))]
struct Row([Counter; Fate::ALL.len()]);

/// A machine's counters.
pub struct Fates(Box<[Row]>);

impl Fates {
    /// For a machine of `ncpus` netisrs.
    pub fn new(ncpus: usize) -> Fates {
        Fates((0..ncpus).map(|_| Row::default()).collect())
    }

    /// Counts a frame on that netisr.
    pub fn count(&self, cpuid: usize, fate: Fate) {
        if let Some(row) = self.0.get(cpuid) {
            row.0[fate as usize].add(1);
        }
    }

    /// How many of those that a netisr took were of CARP's protocol, or are lost in
    /// a full port, as only those can be that come too fast.
    pub fn advertisements(&self, cpuid: usize) -> u64 {
        let fates = [Fate::Carp, Fate::OtherVhid, Fate::QueueFull];
        self.0.get(cpuid).map_or(0, |row| fates.iter().map(|fate| row.0[*fate as usize].value()).sum())
    }

    /// How many frames ended so.
    pub fn value(&self, fate: Fate) -> u64 {
        self.0.iter().map(|row| row.0[fate as usize].value()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_has_its_counter_on_every_netisr() {
        let fates = Fates::new(2);
        for (i, fate) in Fate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, i);
            (0..i).for_each(|_| fates.count(0, fate));
            fates.count(1, fate);
            fates.count(2, fate);
            assert_eq!(fates.value(fate), i as u64 + 1);
        }
    }
}
