//! The interfaces of the host when another process goes on with the machine: they
//! stay where they are.

use super::Mirror;
use super::link::Link;
use super::looker::Found;
use super::shown::Shown;
use crate::host::succession::Estate;
use compat::net::if_var::LlAddr;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

/// What a successor finds them by.
const SUCCESSION: &str = "interfaces of the host";

impl Mirror {
    /// What another process needs to go on with them. Those of taps are its own.
    pub(super) fn bequeath(&mut self, unserved: &BTreeSet<u16>, estate: &mut Estate) -> io::Result<()> {
        let mut all = Vec::new();
        for (name, is) in &self.shown {
            let Shown { if_index, index, lower, lladdr, master, lifetime, .. } = *is;
            all.push((name, (if_index, index, lower, lladdr, master, lifetime), &is.addrs));
            let fds = is.link.descriptors();
            let fds: Vec<&dyn AsFd> = fds.iter().map(|fd| fd as &dyn AsFd).collect();
            estate.lend(&format!("{SUCCESSION}: {name}"), &fds)?;
        }
        estate.put(SUCCESSION, &(all, unserved))
    }

    /// The addresses live on while nobody may ask whether netisr0 does: it stands still.
    pub(super) fn live_on(&mut self) -> io::Result<()> {
        let machine = self.machine.upgrade().ok_or_else(|| io::Error::other("the machine has halted"))?;
        self.renew(machine.clock());
        Ok(())
    }

    /// They are this process's from now on, for whoever comes later.
    pub(super) fn own_up(&mut self) {
        if core::mem::take(&mut self.adopted) {
            let alias = self.owner.alias();
            for (name, is) in &self.shown {
                if let Err(e) = self.rt.set_alias(is.index, &alias) {
                    tracing::warn!("{name}: alias: {}", e.desc());
                }
            }
        }
    }

    /// Goes on with another's; the carp interfaces that were not served.
    pub(super) fn inherit(&mut self, estate: &mut Estate) -> io::Result<BTreeSet<u16>> {
        type Is = (u16, u32, u32, Option<LlAddr>, bool, u32);
        type All = Vec<(String, Is, BTreeSet<IpNet>)>;
        let left = estate.take::<(All, BTreeSet<u16>)>(SUCCESSION)?;
        let Some((all, unserved)) = left else { return Ok(BTreeSet::new()) };
        let machine = self.machine.upgrade().ok_or_else(|| io::Error::other("the machine has halted"))?;
        for (name, (if_index, index, lower, lladdr, master, lifetime), addrs) in all {
            let queues = estate.all_descriptors(&format!("{SUCCESSION}: {name}"));
            let link = Link::adopt(&name, queues, master, (&machine, if_index))?;
            let new = Shown::new((if_index, index, lower), link);
            let is = Shown { lladdr, master, addrs, lifetime, inet6: true, ..new };
            self.shown.insert(name, is);
        }
        // The other one is gone: what fails now is tried again.
        match Found::look(&mut self.rt) {
            Ok(found) => self.know(found),
            Err(e) => {
                tracing::warn!("rtnetlink: {}", e.desc());
                self.stale = true;
            }
        }
        self.conf.follow();
        self.adopted = true;
        self.live_on()?;
        Ok(unserved)
    }
}
