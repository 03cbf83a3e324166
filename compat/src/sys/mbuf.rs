//! `sys/mbuf.h`: a packet and what is known of it.

use triomphe::Arc;

/// How the link layer addressed a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCast {
    /// To one station.
    Unicast,
    /// `M_MCAST`
    Multicast,
    /// `M_BCAST`
    Broadcast,
}

/// A packet. `I` is the machine's interface type.
pub struct Mbuf<I> {
    /// From the Ethernet header on.
    pub data: Vec<u8>,
    /// `m_pkthdr.rcvif`: where it came in; for a frame that a carp interface
    /// claimed, that one.
    pub rcvif: Arc<I>,
    /// `m_flags & (M_BCAST | M_MCAST)`
    pub cast: LinkCast,
}
