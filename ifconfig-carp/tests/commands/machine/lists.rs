//! Interfaces and addresses as routing messages.

use super::{Iface, Machine};
use compat::net::if_::{IfData, IfMsghdr, IfaMsghdr};
use compat::net::if_dl::SockAddrDl;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::{SockAddrIn6, mask_of_len6};
use zerocopy::IntoBytes;

impl Machine {
    /// One interface a page.
    pub(super) fn iflist(&self, first: u16) -> Vec<u8> {
        let mut out = Vec::new();
        for (iface, index) in self.ifaces.iter().zip(1..).filter(|(_, index)| *index >= first).take(1) {
            out.extend(iface.ifinfo(index));
            for (addr, mask) in &iface.addrs {
                let sins = [*mask, *addr, *addr | !*mask].map(SockAddrIn::new);
                let owner = iface.owners.get(&(*addr).into());
                out.extend(newaddr(index, owner, 0x4 | 0x20 | 0x80, sins.as_bytes()));
            }
            for (addr, len) in &iface.addrs6 {
                let mask = SockAddrIn6::new(mask_of_len6((*len).into()).unwrap(), 0);
                let addr6 = SockAddrIn6::new(*addr, index.into());
                let sins = [mask.as_bytes(), &[0; 4], addr6.as_bytes(), &[0; 4]].concat();
                let owner = iface.owners.get(&(*addr).into());
                out.extend(newaddr(index, owner, 0x4 | 0x20, &sins));
            }
        }
        out
    }
}

fn newaddr(index: u16, owner: Option<&u8>, addrs: i32, sockaddrs: &[u8]) -> Vec<u8> {
    let head = IfaMsghdr {
        ifam_msglen: 24 + sockaddrs.len() as u16,
        ifam_version: 7,
        ifam_type: 0xc,
        ifam_index: index,
        ifam_vhid: owner.copied().unwrap_or(0),
        ifam_pad0: 0,
        ifam_flags: 0,
        ifam_addrs: addrs,
        ifam_addrflags: 0,
        ifam_metric: 0,
    };
    [head.as_bytes(), sockaddrs].concat()
}

impl Iface {
    fn ifinfo(&self, index: u16) -> Vec<u8> {
        let data = IfData { ifi_type: self.if_type, ifi_mtu: 1500, ..IfData::default() };
        let head = IfMsghdr {
            ifm_msglen: 176 + 56,
            ifm_version: 7,
            ifm_type: 0xe,
            ifm_index: index,
            ifm_pad0: [0; 2],
            ifm_flags: self.flags.bits() as i32,
            ifm_addrs: 0x10,
            ifm_data: data,
        };
        let sdl = SockAddrDl::new(index, self.if_type, &self.name, self.lladdr);
        [head.as_bytes(), sdl.as_bytes(), &[0; 2]].concat()
    }
}
