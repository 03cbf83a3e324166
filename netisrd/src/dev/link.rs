//! A link of the host, asked for by who has no socket for it: each question has one of
//! its own.

use super::rtnetlink::{HostLink, RtNetlink};

#[cfg(test)]
pub(super) use super::rtnetlink::RtWatch as Watch;

/// The link called `name`; `ENODEV` when there is none.
pub(super) fn by_name(name: &str) -> nix::Result<HostLink> {
    RtNetlink::new()?.link_by_name(name)
}

/// The link with this index; `ENODEV` when it is gone. The answer waits for a
/// removal that is under way.
pub(super) fn by_index(index: u32) -> nix::Result<HostLink> {
    RtNetlink::new()?.link_by_index(index)
}
