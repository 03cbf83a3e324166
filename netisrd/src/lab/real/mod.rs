//! The same scenarios on real devices: a Linux bridge for each LAN, a network
//! namespace with a `netisrd` or a ucarp for each machine.
//!
//! ```text
//!   netisrd lab run --real            enter: a pipe, whose end ends pid 1
//!     `- unshare: net, mount, pid
//!          `- netisrd, pid 1          play: the agenda, in real time
//!               |                     recorder: each port, clients: taps of ours
//!               |                     faults: nft, hairpin, carrier
//!      l0 ------+------ l1            a bridge for each LAN
//!    c0   m0i0   m1i0     m0i1        a tap for each client, a veth for each card
//!    -----------------------------------------------------------------------
//!      netns m0: w0 - s0 - em0        a veth's end, a bridge, netisrd's tap
//!      netns m1: em0                  ucarp's
//! ```
//!
//! Everything is in namespaces that end with pid 1, and pid 1 ends with whoever
//! started it: a crash, a Ctrl-C and a SIGKILL leave nothing.
//!
//! What is seen goes into the same [`Journal`](super::journal::Journal):
//! changes of state as the machines tell them on their routing sockets, frames
//! as they come out of each card.

use super::journal::Keep;
use std::time::Duration;

mod clients;
pub mod compare;
pub mod enter;
mod faults;
mod follow;
mod hands;
mod machine;
mod net;
mod play;
mod recorder;
mod states;
mod ucarp;

pub use play::run;

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Netisrs of the machines of which the scenario does not say.
    pub netisrs: usize,
    /// How much of it is kept.
    pub keep: Keep,
    /// How much later or longer than expected things may be: machines need
    /// time, and whoever looks at them too.
    pub slack: Duration,
}

/// A bound for what only takes long when something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
