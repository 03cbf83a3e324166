//! The two kinds of link that a carp interface is in the host: how it is made, and
//! what its carrier is. All else is the same of both.

use crate::dev::carptap::CarpTap;
use crate::dev::rtnetlink::{HostLink, Making, RtNetlink};
use crate::dev::{DataPath, HostSide};
use crate::machine::Machine;
use crate::net::netisr::Netmsg0;
use nix::errno::Errno as Linux;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What was just made takes nothing; its index.
fn begin(rt: &mut RtNetlink, name: &str, link: &Link) -> nix::Result<u32> {
    let index = rt.link_by_name(name)?.index;
    link.set_carrier(rt, index, false)?;
    Ok(index)
}

/// What there is to do about a macvlan that was not made.
fn refused(rt: &mut RtNetlink, name: &str, lower: u32, e: Linux) -> String {
    let known = match e {
        Linux::EEXIST => taken(rt, name),
        Linux::EBUSY => rt.link_by_index(lower).ok().and_then(|lower| rt.taken_by(&lower)),
        _ => None,
    };
    known.unwrap_or_else(|| e.desc().to_owned())
}

/// Whether somebody else has a link of that name.
fn taken(rt: &mut RtNetlink, name: &str) -> Option<String> {
    let is = rt.link_by_name(name).is_ok();
    is.then(|| format!("the host has an interface {name} that is not this netisrd's"))
}

/// A link of ours.
pub(super) enum Link {
    /// The kernel brings it the frames.
    Macvlan,
    /// The machine does.
    Tap(Arc<CarpTap>),
}

impl Link {
    /// Makes it, down and without a carrier. The machine has the other side of a
    /// tap from then on.
    pub(super) fn make(
        rt: &mut RtNetlink,
        name: &str,
        (lower, path, making): (u32, DataPath, Making),
        (machine, if_index): (&Machine, u16),
    ) -> Result<(u32, Link), String> {
        let failed = |what: String| format!("cannot be made: {what}");
        let mut side = None;
        let link = match path {
            DataPath::Tap => {
                let opened = CarpTap::open(name, machine.ncpus());
                let (tap, rx) =
                    opened.map_err(|e| failed(taken(rt, name).unwrap_or_else(|| e.to_string())))?;
                let tap = Arc::new(tap);
                side = Some(HostSide { if_index, rx, tx: tap.clone() });
                Link::Tap(tap)
            }
            _ => {
                let added = rt.add_macvlan(name, lower, making);
                added.map_err(|e| failed(refused(rt, name, lower, e)))?;
                Link::Macvlan
            }
        };
        let index = match begin(rt, name, &link) {
            Ok(index) => index,
            Err(e) => {
                // Or the next try would find its name taken. A tap goes by itself.
                let gone = rt.delete_link_named(name);
                let stays = gone.err().map_or(String::new(), |e| format!(", and stays: {}", e.desc()));
                return Err(failed(e.desc().to_owned()) + &stays);
            }
        };
        if let Some(side) = side {
            machine.port0.sendmsg(Netmsg0::HostSide(Box::new(side)));
        }
        Ok((index, link))
    }

    /// That of another process, with the descriptors of a tap. The machine has the
    /// other side of it.
    pub(super) fn adopt(
        name: &str,
        queues: Vec<OwnedFd>,
        carrier: bool,
        (machine, if_index): (&Machine, u16),
    ) -> io::Result<Link> {
        if queues.is_empty() {
            return Ok(Link::Macvlan);
        }
        let (tap, rx) = CarpTap::adopt(name, queues, carrier)?;
        let tap = Arc::new(tap);
        let side = HostSide { if_index, rx, tx: tap.clone() };
        machine.port0.sendmsg(Netmsg0::HostSide(Box::new(side)));
        Ok(Link::Tap(tap))
    }

    /// Without them it would be gone.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Link::Macvlan => Vec::new(),
            Link::Tap(tap) => tap.descriptors().collect(),
        }
    }

    /// Whether it takes frames, and has a carrier. A macvlan is down without one: up, it
    /// would take what the MASTER's host says to all for its own, whose MAC that is.
    pub(super) fn set_carrier(&self, rt: &mut RtNetlink, index: u32, on: bool) -> nix::Result<()> {
        match self {
            Link::Macvlan => rt.set_up(index, on),
            Link::Tap(tap) => tap.set_carrier(on),
        }
    }

    /// Whether the kernel takes its routes when it has none any more.
    pub(super) fn loses_routes(&self) -> bool {
        matches!(self, Link::Macvlan)
    }

    /// Whether it has one.
    pub(super) fn has_carrier(&self, link: &HostLink) -> bool {
        match self {
            Link::Macvlan => link.up,
            Link::Tap(_) => link.carrier,
        }
    }

    /// A tap is up with its vhid; without a carrier it is still silent.
    pub(super) fn set_running(&self, rt: &mut RtNetlink, index: u32, on: bool) -> nix::Result<()> {
        match self {
            Link::Macvlan => Ok(()),
            Link::Tap(_) => rt.set_up(index, on),
        }
    }

    /// It should be up with its vhid, and is not.
    pub(super) fn is_stopped(&self, link: &HostLink) -> bool {
        matches!(self, Link::Tap(_)) && link.lladdr.is_some() && !link.up
    }
}
