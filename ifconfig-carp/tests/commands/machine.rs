//! A little machine: interfaces, addresses, CARP's parameters, sysctls. It
//! keeps to the ABI in what it reads and answers, and logs each request as a
//! line of text.

mod carp;
mod describe;
mod group;
mod lists;

use compat::net::if_::{IFT_CARP, IFT_ETHER, IfAliasReq, IfAliasReqVhid, IfName, IfReq, Iff};
use compat::netinet::in_::{SockAddrIn, class_mask};
use compat::netinet6::in6::{SockAddrIn6, len_of_mask6};
use compat::netinet6::in6_var::*;
use compat::sys::ctlsock::{CtlType, Op, Reply, Request, SYSCTL_IFLIST, SYSCTL_NAMES};
use compat::sys::errno::Errno;
use compat::sys::ioccom::{IOC_OUT, parm_len};
use compat::sys::sockio::*;
use describe::{describe, ifreq};
use ifconfig_carp::{CallError, Syscalls};
use libcarp::carpreq::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, IntoBytes};

pub(crate) struct Iface {
    pub(crate) name: String,
    pub(crate) if_type: u8,
    pub(crate) flags: Iff,
    pub(crate) lladdr: [u8; 6],
    /// Address and netmask.
    pub(crate) addrs: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Address and length of its prefix.
    pub(crate) addrs6: Vec<(Ipv6Addr, u8)>,
    /// Which virtual host's an address is, if not the interface's.
    pub(crate) owners: BTreeMap<IpAddr, u8>,
    pub(crate) carp: CarpReq,
    pub(crate) carpdev: &'static str,
    /// What `carpdev` set.
    pub(crate) wanted_carpdev: IfName,
    pub(crate) vhaddrs: Vec<IfCarpVhaddr>,
    pub(crate) vhaddrs6: Vec<IfCarpVhaddr6>,
    /// The virtual hosts of an interface that is no carp interface.
    pub(crate) vhosts: BTreeMap<i32, CarpReq>,
    /// By vhid, 0 on a carp interface; where there is none, CARP's groups.
    pub(crate) peers: BTreeMap<u32, CarpPeers>,
    pub(crate) groups: Vec<IfName>,
}

impl Iface {
    pub(crate) fn ether(name: &str) -> Iface {
        Iface {
            name: name.into(),
            if_type: IFT_ETHER,
            flags: Iff::from_bits_retain(0x8843),
            lladdr: [2, 0, 0, 0, 0, 0xa],
            addrs: Vec::new(),
            addrs6: Vec::new(),
            owners: BTreeMap::new(),
            carp: CarpReq::default(),
            carpdev: "",
            wanted_carpdev: IfName::EMPTY,
            vhaddrs: Vec::new(),
            vhaddrs6: Vec::new(),
            vhosts: BTreeMap::new(),
            peers: BTreeMap::new(),
            groups: vec![IfName::new("all").unwrap()],
        }
    }

    /// As `create` makes it.
    pub(crate) fn carp(name: &str) -> Iface {
        let carp = CarpReq { carpr_vhid: -1, carpr_advbase: 1, ..CarpReq::default() };
        Iface {
            if_type: IFT_CARP,
            flags: Iff::from_bits_retain(0x8802),
            lladdr: [0; 6],
            carp,
            groups: ["all", "carp"].map(|g| IfName::new(g).unwrap()).to_vec(),
            ..Iface::ether(name)
        }
    }
}

#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) ifaces: Vec<Iface>,
    /// `ifg_carp_demoted`
    pub(crate) demoted: BTreeMap<IfName, i32>,
    pub(crate) sysctls: BTreeMap<&'static str, (CtlType, Vec<u8>)>,
    /// All requests, in order.
    pub(crate) log: Vec<String>,
    /// Those requests that could change something.
    pub(crate) changes: Vec<Request>,
    /// The errno for the ioctl or sysctl of that name, in place of an answer.
    pub(crate) refuse: Option<(&'static str, Errno)>,
    /// The same, but only for requests that would set something.
    pub(crate) refuse_set: Option<(&'static str, Errno)>,
    pub(crate) selected: Option<PathBuf>,
}

impl Machine {
    /// All that a line can change, as text.
    pub(crate) fn snapshot(&self) -> String {
        let iface = |i: &Iface| {
            let vhosts: Vec<_> = i.vhosts.values().map(|v| v.as_bytes().to_vec()).collect();
            let peers: Vec<_> =
                i.peers.values().filter(|p| **p != carp::default_peers(p.carpp_vhid)).collect();
            let mut groups = i.groups.clone();
            groups.sort();
            let carp = i.carp.as_bytes();
            let own = (&i.name, i.flags, &i.addrs, &i.addrs6, &i.owners);
            format!("{own:?} {carp:?} {vhosts:?} {peers:?} {groups:?} {:?}\n", i.wanted_carpdev)
        };
        self.ifaces.iter().map(iface).collect::<String>() + &format!("{:?}", self.demoted)
    }

    /// em0 with 10.0.0.2/24 and an untouched carp0.
    pub(crate) fn new() -> Machine {
        let mut em0 = Iface::ether("em0");
        em0.addrs.push((Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(255, 255, 255, 0)));
        Machine { ifaces: vec![em0, Iface::carp("carp0")], ..Machine::default() }
    }

    pub(crate) fn carp0(&mut self) -> &mut Iface {
        self.ifaces.iter_mut().find(|i| i.name == "carp0").unwrap()
    }

    pub(crate) fn em0(&mut self) -> &mut Iface {
        self.ifaces.iter_mut().find(|i| i.name == "em0").unwrap()
    }

    fn iface(&mut self, name: IfName) -> Result<&mut Iface, Errno> {
        self.ifaces.iter_mut().find(|i| i.name == name.as_str()).ok_or(Errno::ENXIO)
    }

    fn ioctl(&mut self, request: &Request) -> Result<Reply, Errno> {
        assert_eq!(request.arg.len(), parm_len(request.cmd), "the struct's size is in the number");
        let (what, line) = describe(request);
        self.log.push(line);
        if !what.starts_with("SIOCG") {
            self.changes.push(request.clone());
        }
        if let Some((_, errno)) = self.refuse.filter(|(name, _)| *name == what) {
            return Err(errno);
        }
        let (arg, data) = match request.cmd {
            SIOCGDRVSPEC => self.get_drvspec(request)?,
            SIOCSDRVSPEC => self.set_drvspec(request)?,
            SIOCAIFADDR | SIOCAIFADDR_VHID => self.add_address(request)?,
            SIOCAIFADDR_IN6 | SIOCAIFADDR_IN6_VHID => self.add_address6(request)?,
            SIOCDIFADDR_IN6 => self.delete_address6(In6IfReq::read_from_bytes(&request.arg).unwrap())?,
            SIOCAIFGROUP | SIOCDIFGROUP | SIOCGIFGROUP | SIOCGIFGMEMB | SIOCSIFGATTR | SIOCGIFGATTR => {
                self.group_ioctl(request)?
            }
            _ => self.interface_ioctl(request.cmd, ifreq(request), &request.data)?,
        };
        let arg = if request.cmd & IOC_OUT != 0 { arg } else { Vec::new() };
        Ok(Reply { error: None, arg, data })
    }

    fn interface_ioctl(
        &mut self,
        cmd: u32,
        mut ifr: IfReq,
        data: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let mut out = Vec::new();
        match cmd {
            SIOCIFCREATE2 => ifr.ifr_name = self.create(ifr.ifr_name)?,
            SIOCIFDESTROY => {
                self.iface(ifr.ifr_name)?;
                self.ifaces.retain(|i| i.name != ifr.ifr_name.as_str());
            }
            SIOCGIFINDEX => {
                self.iface(ifr.ifr_name)?;
                let at = self.ifaces.iter().position(|i| i.name == ifr.ifr_name.as_str()).unwrap();
                ifr.ifr_ifru[..2].copy_from_slice(&(at as u16 + 1).to_ne_bytes());
            }
            SIOCGIFFLAGS => ifr.set_flags(self.iface(ifr.ifr_name)?.flags),
            SIOCSIFFLAGS => self.iface(ifr.ifr_name)?.flags = ifr.flags(),
            SIOCGIFADDR => {
                let first = self.iface(ifr.ifr_name)?.addrs.first().ok_or(Errno::EADDRNOTAVAIL)?.0;
                ifr.set_sin(SockAddrIn::new(first));
            }
            SIOCDIFADDR => self.iface(ifr.ifr_name)?.delete(ifr.sin())?,
            SIOCGVH => out = self.iface(ifr.ifr_name)?.getvh(data)?,
            SIOCSVH => self.iface(ifr.ifr_name)?.setvh(CarpReq::read_from_bytes(data).unwrap())?,
            other => panic!("ioctl {other:#x}"),
        }
        Ok((ifr.as_bytes().to_vec(), out))
    }

    fn create(&mut self, name: IfName) -> Result<IfName, Errno> {
        let mut name = name.as_str().to_owned();
        if !name.ends_with(|c: char| c.is_ascii_digit()) {
            let free = (0..).find(|n| self.ifaces.iter().all(|i| i.name != format!("{name}{n}")));
            name += &free.unwrap().to_string();
        }
        self.ifaces.push(Iface::carp(&name));
        IfName::new(&name).ok_or(Errno::EINVAL)
    }

    fn add_address(&mut self, request: &Request) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let (ifra, vhid) = match IfAliasReqVhid::read_from_bytes(&request.arg) {
            Ok(r) => (r.ifra, r.ifra_vhid),
            Err(_) => (IfAliasReq::read_from_bytes(&request.arg).unwrap(), 0),
        };
        let addr = ifra.ifra_addr.addr();
        let mask = if ifra.ifra_mask.sin_len == 0 { class_mask(addr) } else { ifra.ifra_mask.addr() };
        let iface = self.iface(ifra.ifra_name)?;
        iface.own(addr.into(), vhid)?;
        iface.addrs.push((addr, mask));
        Ok((Vec::new(), Vec::new()))
    }

    fn add_address6(&mut self, request: &Request) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let (ifra, vhid) = match In6AliasReqVhid::read_from_bytes(&request.arg) {
            Ok(r) => (r.ifra, r.ifra_vhid),
            Err(_) => (In6AliasReq::read_from_bytes(&request.arg).unwrap(), 0),
        };
        let addr = self.scoped(ifra.ifra_name, ifra.ifra_addr)?;
        let iface = self.iface(ifra.ifra_name)?;
        iface.own(addr.into(), vhid)?;
        iface.addrs6.push((addr, len_of_mask6(ifra.ifra_prefixmask.addr()).unwrap()));
        Ok((Vec::new(), Vec::new()))
    }

    fn delete_address6(&mut self, r: In6IfReq) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let addr = self.scoped(r.ifr_name, r.ifr_addr)?;
        let iface = self.iface(r.ifr_name)?;
        let at = iface.addrs6.iter().position(|(a, _)| *a == addr).ok_or(Errno::EADDRNOTAVAIL)?;
        iface.addrs6.remove(at);
        iface.owners.remove(&addr.into());
        Ok((Vec::new(), Vec::new()))
    }

    /// A scope that is given must be the interface's index.
    fn scoped(&mut self, name: IfName, sin6: SockAddrIn6) -> Result<Ipv6Addr, Errno> {
        let at = self.ifaces.iter().position(|i| i.name == name.as_str()).ok_or(Errno::ENXIO)?;
        match sin6.sin6_scope_id {
            0 => Ok(sin6.addr()),
            scope if scope == at as u32 + 1 => Ok(sin6.addr()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn sysctl(&mut self, request: &Request) -> Result<Reply, Errno> {
        let name = str::from_utf8(&request.arg).unwrap();
        self.log.push(format!("sysctl {name} {:?}", request.data));
        if !request.data.is_empty() {
            self.changes.push(request.clone());
            if let Some((_, errno)) = self.refuse_set.filter(|(refused, _)| *refused == name) {
                return Err(errno);
            }
        }
        if let Some((_, errno)) = self.refuse.filter(|(refused, _)| *refused == name) {
            return Err(errno);
        }
        if let Some(first) = name.strip_prefix(SYSCTL_IFLIST).and_then(|rest| rest.strip_prefix('.')) {
            let data = self.iflist(first.parse().unwrap());
            return Ok(Reply { error: None, arg: (CtlType::Opaque as u32).to_ne_bytes().to_vec(), data });
        }
        let (ty, value) = match name {
            SYSCTL_NAMES => {
                let names = self.sysctls.keys().map(|n| format!("{n}\0"));
                (CtlType::Opaque, names.collect::<String>().into_bytes())
            }
            name => {
                let (ty, value) = self.sysctls.get_mut(name).ok_or(Errno::ENOENT)?;
                let old = value.clone();
                if !request.data.is_empty() {
                    value.clone_from(&request.data);
                }
                (*ty, old)
            }
        };
        Ok(Reply { error: None, arg: (ty as u32).to_ne_bytes().to_vec(), data: value })
    }
}

impl Syscalls for Machine {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let answer = match request.op {
            Op::Ioctl => self.ioctl(request),
            Op::Sysctl => self.sysctl(request),
            Op::Route | Op::Reload | Op::Takeover => Err(Errno::EOPNOTSUPP),
        };
        Ok(answer.unwrap_or_else(Reply::error))
    }

    fn select(&mut self, path: &Path) {
        self.selected = Some(path.to_owned());
    }
}

impl Iface {
    fn delete(&mut self, sin: SockAddrIn) -> Result<(), Errno> {
        let wanted = sin.addr();
        let at = self.addrs.iter().position(|(addr, _)| sin.sin_len == 0 || *addr == wanted);
        let (addr, _) = self.addrs.remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
        self.owners.remove(&addr.into());
        Ok(())
    }

    /// An address of a virtual host that there is.
    fn own(&mut self, addr: IpAddr, vhid: i32) -> Result<(), Errno> {
        if vhid != 0 {
            self.vhosts.get(&vhid).ok_or(Errno::ENOENT)?;
            self.owners.insert(addr, vhid as u8);
        }
        Ok(())
    }
}
