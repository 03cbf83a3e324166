//! The interfaces of the host when another process goes on with the machine: they
//! stay where they are.

use super::{Link, Mirror, Shown};
use crate::host::netconf::Setting;
use crate::host::succession::Estate;
use compat::net::if_var::LlAddr;
use ipnet::IpNet;
use std::io;
use std::os::fd::AsFd;

/// What a successor finds them by.
const SUCCESSION: &str = "interfaces of the host";

impl Mirror {
    /// What another process needs to go on with them. Those of taps are its own.
    pub(super) fn bequeath(&mut self, estate: &mut Estate) -> io::Result<()> {
        let mut all = Vec::new();
        for (name, is) in &self.shown {
            let Shown { if_index, index, lower, lladdr, master, lifetime, .. } = *is;
            all.push((
                name,
                (if_index, index, lower, lladdr, master, lifetime),
                is.addrs.iter().collect::<Vec<_>>(),
            ));
            let fds = is.link.descriptors();
            let fds: Vec<&dyn AsFd> = fds.iter().map(|fd| fd as &dyn AsFd).collect();
            estate.lend(&format!("{SUCCESSION}: {name}"), &fds)?;
        }
        estate.put(SUCCESSION, &(all, self.conf.before()))
    }

    /// Goes on with another's.
    pub(super) fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        type Is = (u16, u32, u32, Option<LlAddr>, bool, u32);
        type All = Vec<(String, Is, Vec<(IpNet, bool)>)>;
        let Some((all, before)) = estate.take::<(All, Vec<Setting>)>(SUCCESSION)? else { return Ok(()) };
        let machine = self.machine.upgrade().ok_or_else(|| io::Error::other("the machine has halted"))?;
        for (name, (if_index, index, lower, lladdr, master, lifetime), addrs) in all {
            let queues = estate.all_descriptors(&format!("{SUCCESSION}: {name}"));
            let link = Link::adopt(&name, queues, master, (&machine, if_index))?;
            let (addrs, complaint) = (addrs.into_iter().collect(), None);
            let is = Shown { if_index, index, link, lower, lladdr, master, addrs, lifetime, complaint };
            self.shown.insert(name, is);
        }
        self.conf.follow(before);
        self.renew();
        Ok(())
    }
}
