//! Groups.

use super::Machine;
use super::describe::ifgroupreq;
use compat::net::if_::{IfGroupReq, IfName};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use zerocopy::IntoBytes;

impl Machine {
    pub(super) fn group_ioctl(&mut self, request: &Request) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let mut r = ifgroupreq(request);
        let (name, group) = (r.ifgr_name, r.group());
        let list = match request.cmd {
            SIOCAIFGROUP => {
                let groups = &mut self.iface(name)?.groups;
                if groups.contains(&group) {
                    return Err(Errno::EEXIST);
                }
                groups.push(group);
                Vec::new()
            }
            SIOCDIFGROUP => {
                let groups = &mut self.iface(name)?.groups;
                let at = groups.iter().position(|g| *g == group).ok_or(Errno::ENOENT)?;
                groups.remove(at);
                Vec::new()
            }
            SIOCGIFGROUP => self.iface(name)?.groups.clone(),
            SIOCGIFGMEMB => self.members(name)?,
            SIOCGIFGATTR => {
                self.members(name)?;
                r.set_carp_demoted(self.demoted.get(&name).copied().unwrap_or(0));
                Vec::new()
            }
            _ => {
                self.members(name)?;
                *self.demoted.entry(name).or_default() += r.carp_demoted();
                Vec::new()
            }
        };
        let data = if r.ifgr_len == 0 { Vec::new() } else { list.as_bytes().to_vec() };
        let answer = IfGroupReq { ifgr_len: list.as_bytes().len() as u32, ..r };
        Ok((answer.as_bytes().to_vec(), data))
    }

    fn members(&self, group: IfName) -> Result<Vec<IfName>, Errno> {
        let members = self.ifaces.iter().filter(|i| i.groups.contains(&group));
        let members: Vec<IfName> = members.filter_map(|i| IfName::new(&i.name)).collect();
        Some(members).filter(|m| !m.is_empty()).ok_or(Errno::ENOENT)
    }
}
