//! How a step is taken back when a later one fails: a line takes effect whole
//! or not at all. Upstream leaves the part before the failure. What a
//! transition has said on the wire cannot be taken back; so what can be
//! foreseen is looked at first.

use super::apply::set_flags;
use super::target::Target;
use super::{carp, group, peers};
use crate::failure::Failure;
use crate::kernel::Kernel;
use compat::net::if_::{IfName, Iff};
use libcarp::carpreq::CarpPeers;

/// A step that was done, with what was there before.
pub(crate) enum Done {
    Flags(Iff),
    Carp(carp::Before),
    Peers(CarpPeers),
    Carpdev(IfName),
    Joined(IfName),
    Left(IfName),
}

impl Done {
    pub(crate) fn undo(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        let name = target.name;
        match self {
            Done::Flags(before) => set_flags(kernel, name, *before),
            Done::Carp(before) => before.restore(kernel, target),
            Done::Peers(before) => peers::write(kernel, name, before),
            Done::Carpdev(before) => carp::set_carpdev(kernel, name, *before),
            Done::Joined(group) => group::leave(kernel, name, *group).map(drop),
            Done::Left(group) => group::join(kernel, name, *group).map(drop),
        }
    }
}
