//! Whose an interface is: `netisrd ID` beside its name, so that the next netisrd knows
//! what a dead one has left, and leaves a living one what it has.
//!
//! The living one holds the abstract socket of that name, which is the network
//! namespace's own as the interface is, whatever else both do not share: processes in
//! two namespaces of PIDs cannot see each other. The kernel lets go of it when the
//! process ends, however it does.
//!
//! It gives no link its alias as it is made. Until then one is told by its group and its
//! Ethernet address, which it is made with.

use crate::dev::rtnetlink::{HostLink, Making};
use crate::dev::unix_diag;
use nix::errno::Errno as Linux;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::unistd::geteuid;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What such an alias begins with.
const ALIAS: &str = "netisrd";
/// The group of what is not finished: "carp". None of those that people number.
const GROUP: u32 = 0x6361_7270;
/// The first bytes of its address, which the ID follows: of nobody's card.
const LLADDR: [u8; 2] = [0x02, 0xca];

/// What this process is known by for as long as it lives.
pub(super) struct Owner {
    id: u32,
    _proof: OwnedFd,
}

impl Owner {
    pub(super) fn new() -> io::Result<Owner> {
        loop {
            let id = getrandom::u32().map_err(io::Error::other)?;
            match hold(id) {
                Ok(proof) => return Ok(Owner { id, _proof: proof }),
                Err(Linux::EADDRINUSE) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Of what is finished.
    pub(super) fn alias(&self) -> String {
        name(self.id)
    }

    /// The group of what is being removed: of this process alone, and none that people
    /// number.
    pub(super) fn going(&self) -> u32 {
        self.id | 1 << 31
    }

    /// Of what is being made.
    pub(super) fn making(&self) -> Making {
        let [a, b, c, d] = self.id.to_be_bytes();
        Making { group: GROUP, lladdr: [LLADDR[0], LLADDR[1], a, b, c, d] }
    }
}

/// Whether a process that is no more has made it, finished or not.
pub(super) fn is_left(link: &HostLink) -> bool {
    // Whoever cannot tell leaves it.
    link.is_macvlan() && maker(link).is_some_and(|id| !lives(id))
}

fn maker(link: &HostLink) -> Option<u32> {
    if let Some(id) = link.alias.strip_prefix(ALIAS).and_then(|rest| rest.strip_prefix(' ')) {
        return u32::from_str_radix(id, 16).ok().filter(|id| link.alias == name(*id));
    }
    match link.lladdr {
        Some([x, y, id @ ..]) if link.alias.is_empty() && link.group == GROUP && [x, y] == LLADDR => {
            Some(u32::from_be_bytes(id))
        }
        _ => None,
    }
}

/// Whether somebody proves it who may: any user can take a dead one's name.
fn lives(id: u32) -> bool {
    match hold(id) {
        Ok(_) => false,
        Err(Linux::EADDRINUSE) => match unix_diag::holder(name(id).as_bytes()) {
            Ok(Some(uid)) => uid == 0 || uid == geteuid().as_raw(),
            Ok(None) | Err(_) => true,
        },
        Err(_) => true,
    }
}

fn name(id: u32) -> String {
    format!("{ALIAS} {id:08x}")
}

/// The proof that the process of an ID lives, for whoever is the first to hold it.
fn hold(id: u32) -> nix::Result<OwnedFd> {
    let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name(id).as_bytes())?)?;
    Ok(fd)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dev::rtnetlink::RtNetlink;
    use crate::dev::testns::{in_namespace, ip};

    fn left(rt: &mut RtNetlink) -> Vec<String> {
        let left = rt.links().unwrap().into_iter().filter(is_left);
        let mut names: Vec<String> = left.map(|l| l.name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_living_one_keeps_what_it_has_and_what_it_makes() {
        let name = "a_living_one_keeps_what_it_has_and_what_it_makes";
        in_namespace(module_path!(), name, || {
            ip("link add v0 type veth peer name v1");
            ip("link add link v0 name uplink type macvlan");
            ip("link add link v0 name other address 02:ca:00:00:00:01 type macvlan");
            let mut rt = RtNetlink::new().unwrap();
            let lower = rt.link_by_name("v0").unwrap().index;
            let owner = Owner::new().unwrap();
            rt.add_macvlan("carp0", lower, owner.making()).unwrap();
            rt.add_macvlan("carp1", lower, owner.making()).unwrap();
            let carp1 = rt.link_by_name("carp1").unwrap().index;
            rt.finish(carp1, &owner.alias()).unwrap();
            assert_eq!(left(&mut rt), [""; 0]);
            let id = owner.id;
            drop(owner);
            assert_eq!(left(&mut rt), ["carp0", "carp1"]);
            // Another one of the same user would do.
            let held = hold(id).unwrap();
            assert_eq!(left(&mut rt), [""; 0]);
            let holder = |id| unix_diag::holder(super::name(id).as_bytes());
            assert_eq!((holder(id), holder(!id)), (Ok(Some(0)), Ok(None)));
            drop(held);
            for alias in ["netisrd's", "the netisrd 1", "netisrd lan", "netisrd 1", "netisrd +0000001"] {
                rt.set_alias(carp1, alias).unwrap();
                assert_eq!(left(&mut rt), ["carp0"], "{alias}");
            }
        });
    }
}
