//! Settings of the interfaces that carry mirrors, as serving needs them.

use super::Mirror;
use crate::dev::DataPath;
use crate::host::netconf::NetConf;
use compat::net::if_::IfName;
use std::io;

/// An interface that carries mirrors.
pub(super) struct Lower {
    /// Its name in the machine.
    pub(super) name: IfName,
    /// What the host calls it by now.
    pub(super) called: String,
    /// Its index in the host; none while the host has none.
    pub(super) index: Option<u32>,
    /// Which kind of mirrors.
    pub(super) path: DataPath,
    /// Why nobody can be served there.
    pub(super) trouble: Option<String>,
}

impl Lower {
    /// The host would answer for a virtual address here too, with the card's own
    /// MAC, and ask in its name.
    pub(super) fn hold(&self, conf: &mut NetConf) -> io::Result<()> {
        let (Some(index), name) = (self.index, self.called.as_str()) else { return Ok(()) };
        conf.uses(index)?;
        // Others do answer for addresses that another interface has.
        conf.hold(index, name, "ipv4/conf/{}/arp_ignore", &[1, 2, 8])?;
        conf.hold(index, name, "ipv4/conf/{}/arp_announce", &[2])
    }
}

impl Mirror {
    /// The kernel tells nobody of them: they are looked at whenever an address is given
    /// or renewed. Where they cannot be held nobody is served.
    pub(super) fn hold(&mut self) {
        for lower in self.lowers.iter_mut().filter(|_| !self.ended) {
            lower.trouble = match lower.hold(&mut self.conf) {
                // It is gone, or called otherwise, and that will be told.
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                held => held.err().map(|e| e.to_string()),
            };
        }
    }
}
