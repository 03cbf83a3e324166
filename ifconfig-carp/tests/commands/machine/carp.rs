//! What only CARP answers.

use super::describe::ifdrv;
use super::{Iface, Machine};
use compat::net::if_::{IFT_CARP, IfName};
use compat::netinet::in_::{INADDR_CARP_GROUP, SockAddrIn};
use compat::netinet6::in6::{IN6ADDR_CARP_GROUP, SockAddrIn6};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use libcarp::carpreq::*;
use zerocopy::{FromBytes, IntoBytes};

impl Machine {
    pub(super) fn get_drvspec(&mut self, request: &Request) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let mut ifd = ifdrv(request);
        let iface = self.iface(ifd.ifd_name)?;
        if iface.if_type != IFT_CARP && ifd.ifd_cmd != CARPPEERS {
            return Err(Errno::EINVAL);
        }
        let data = match ifd.ifd_cmd {
            CARPGDEVNAME => IfName::new(iface.carpdev).unwrap_or(IfName::EMPTY).as_bytes().to_vec(),
            CARPSDEVNAME => iface.wanted_carpdev.as_bytes().to_vec(),
            CARPPEERS => {
                let asked = CarpPeers::read_from_bytes(&request.data).unwrap();
                iface.peers(asked.carpp_vhid)?.as_bytes().to_vec()
            }
            CARPGVHADDR => iface.vhaddrs.as_bytes().to_vec(),
            CARPGVHADDR6 => iface.vhaddrs6.as_bytes().to_vec(),
            other => panic!("drvspec {other}"),
        };
        match ifd.ifd_len {
            0 => {
                ifd.ifd_len = data.len() as u64;
                Ok((ifd.as_bytes().to_vec(), Vec::new()))
            }
            _ => Ok((ifd.as_bytes().to_vec(), data)),
        }
    }

    pub(super) fn set_drvspec(&mut self, request: &Request) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let ifd = ifdrv(request);
        let iface = self.iface(ifd.ifd_name)?;
        match ifd.ifd_cmd {
            CARPSDEVNAME if iface.if_type == IFT_CARP => {
                iface.wanted_carpdev = IfName::read_from_bytes(&request.data).unwrap();
            }
            CARPPEERS => {
                let new = CarpPeers::read_from_bytes(&request.data).unwrap();
                let old = iface.peers(new.carpp_vhid)?;
                let addr = if new.carpp_addr.sin_len == 0 { old.carpp_addr } else { new.carpp_addr };
                let addr6 = if new.carpp_addr6.sin6_len == 0 { old.carpp_addr6 } else { new.carpp_addr6 };
                iface.peers.insert(new.carpp_vhid, CarpPeers { carpp_addr: addr, carpp_addr6: addr6, ..new });
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok((Vec::new(), Vec::new()))
    }
}

pub(super) fn default_peers(vhid: u32) -> CarpPeers {
    CarpPeers {
        carpp_vhid: vhid,
        carpp_addr: SockAddrIn::new(INADDR_CARP_GROUP),
        carpp_addr6: SockAddrIn6::new(IN6ADDR_CARP_GROUP, 0),
    }
}

impl Iface {
    fn peers(&self, vhid: u32) -> Result<CarpPeers, Errno> {
        match (self.if_type, vhid) {
            (IFT_CARP, 0) => {}
            (IFT_CARP, _) => return Err(Errno::EINVAL),
            _ => drop(self.vhosts.get(&(vhid as i32)).ok_or(Errno::ENOENT)?),
        }
        Ok(self.peers.get(&vhid).copied().unwrap_or(default_peers(vhid)))
    }

    pub(super) fn getvh(&mut self, question: &[u8]) -> Result<Vec<u8>, Errno> {
        if self.if_type == IFT_CARP {
            return Ok(self.carp.as_bytes().to_vec());
        }
        match CarpReq::read_from_bytes(question).map_err(|_| Errno::EINVAL)?.carpr_vhid {
            0 => Ok(self.vhosts.values().flat_map(|v| v.as_bytes().to_vec()).collect()),
            vhid => Ok(self.vhosts.get(&vhid).ok_or(Errno::ENOENT)?.as_bytes().to_vec()),
        }
    }

    pub(super) fn setvh(&mut self, carpr: CarpReq) -> Result<(), Errno> {
        if self.if_type == IFT_CARP {
            // As the machine does: a state that is kept, a vhid that goes.
            let state =
                if carpr.carpr_state == CARPR_STATE_KEEP { self.carp.carpr_state } else { carpr.carpr_state };
            let vhid = if carpr.carpr_vhid == CARPR_VHID_CLEAR { -1 } else { carpr.carpr_vhid };
            self.carp = CarpReq { carpr_state: state, carpr_vhid: vhid, ..carpr };
            return Ok(());
        }
        match carpr.carpr_vhid {
            vhid @ 1..=255 => {
                let old = self.vhosts.get(&vhid).map_or(0, |old| old.carpr_state);
                let state = if carpr.carpr_state == CARPR_STATE_KEEP { old } else { carpr.carpr_state };
                self.vhosts.insert(vhid, CarpReq { carpr_state: state, ..carpr });
            }
            clear if clear < 0 => {
                let vhid = clear.wrapping_sub(CARPR_VHID_CLEAR);
                self.vhosts.remove(&vhid).ok_or(Errno::ENOENT)?;
                self.peers.remove(&(vhid as u32));
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}
