//! A little machine: interfaces, addresses, CARP's parameters, sysctls. It
//! keeps to the ABI in what it reads and answers, and logs each request as a
//! line of text.

use compat::net::if_::{
    IFT_CARP, IFT_ETHER, IfAliasReq, IfData, IfDrv, IfMsghdr, IfName, IfReq, IfaMsghdr, Iff,
};
use compat::net::if_dl::SockAddrDl;
use compat::netinet::in_::{SockAddrIn, class_mask};
use compat::sys::ctlsock::{CtlType, Op, Reply, Request, SYSCTL_IFLIST, SYSCTL_NAMES};
use compat::sys::errno::Errno;
use compat::sys::ioccom::{IOC_OUT, parm_len};
use compat::sys::sockio::*;
use ifconfig_carp::{CallError, Syscalls};
use libcarp::carpreq::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, IntoBytes};

pub(crate) struct Iface {
    pub(crate) name: String,
    pub(crate) if_type: u8,
    pub(crate) flags: Iff,
    pub(crate) lladdr: [u8; 6],
    /// Address and netmask.
    pub(crate) addrs: Vec<(Ipv4Addr, Ipv4Addr)>,
    pub(crate) carp: CarpReq,
    pub(crate) carpdev: &'static str,
    pub(crate) vhaddrs: Vec<IfCarpVhaddr>,
}

impl Iface {
    pub(crate) fn ether(name: &str) -> Iface {
        Iface {
            name: name.into(),
            if_type: IFT_ETHER,
            flags: Iff::from_bits_retain(0x8843),
            lladdr: [2, 0, 0, 0, 0, 0xa],
            addrs: Vec::new(),
            carp: CarpReq::default(),
            carpdev: "",
            vhaddrs: Vec::new(),
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
            ..Iface::ether(name)
        }
    }
}

#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) ifaces: Vec<Iface>,
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
    /// em0 with 10.0.0.2/24 and an untouched carp0.
    pub(crate) fn new() -> Machine {
        let mut em0 = Iface::ether("em0");
        em0.addrs.push((Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(255, 255, 255, 0)));
        Machine { ifaces: vec![em0, Iface::carp("carp0")], ..Machine::default() }
    }

    pub(crate) fn carp0(&mut self) -> &mut Iface {
        self.ifaces.iter_mut().find(|i| i.name == "carp0").unwrap()
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
            SIOCGDRVSPEC => self.drvspec(ifdrv(request))?,
            SIOCAIFADDR => self.add_address(IfAliasReq::read_from_bytes(&request.arg).unwrap())?,
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
            SIOCGIFINDEX => drop(self.iface(ifr.ifr_name)?),
            SIOCGIFFLAGS => ifr.set_flags(self.iface(ifr.ifr_name)?.flags),
            SIOCSIFFLAGS => self.iface(ifr.ifr_name)?.flags = ifr.flags(),
            SIOCGIFADDR => {
                let first = self.iface(ifr.ifr_name)?.addrs.first().ok_or(Errno::EADDRNOTAVAIL)?.0;
                ifr.set_sin(SockAddrIn::new(first));
            }
            SIOCDIFADDR => self.iface(ifr.ifr_name)?.delete(ifr.sin())?,
            SIOCGVH => out = self.carp(ifr.ifr_name)?.carp.as_bytes().to_vec(),
            SIOCSVH => self.carp(ifr.ifr_name)?.carp = CarpReq::read_from_bytes(data).unwrap(),
            other => panic!("ioctl {other:#x}"),
        }
        Ok((ifr.as_bytes().to_vec(), out))
    }

    fn carp(&mut self, name: IfName) -> Result<&mut Iface, Errno> {
        Some(self.iface(name)?).filter(|i| i.if_type == IFT_CARP).ok_or(Errno::EINVAL)
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

    fn add_address(&mut self, ifra: IfAliasReq) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let addr = ifra.ifra_addr.addr();
        let mask = if ifra.ifra_mask.sin_len == 0 { class_mask(addr) } else { ifra.ifra_mask.addr() };
        self.iface(ifra.ifra_name)?.addrs.push((addr, mask));
        Ok((Vec::new(), Vec::new()))
    }

    fn drvspec(&mut self, mut ifd: IfDrv) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let iface = self.carp(ifd.ifd_name)?;
        let data = match ifd.ifd_cmd {
            CARPGDEVNAME => {
                let name = IfName::new(iface.carpdev).unwrap_or(IfName::EMPTY);
                name.as_bytes().to_vec()
            }
            CARPGVHADDR if ifd.ifd_len == 0 => {
                ifd.ifd_len = iface.vhaddrs.as_bytes().len() as u64;
                Vec::new()
            }
            CARPGVHADDR => iface.vhaddrs.as_bytes().to_vec(),
            other => panic!("drvspec {other}"),
        };
        Ok((ifd.as_bytes().to_vec(), data))
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

    /// One interface a page.
    fn iflist(&self, first: u16) -> Vec<u8> {
        let mut out = Vec::new();
        for (iface, index) in self.ifaces.iter().zip(1..).filter(|(_, index)| *index >= first).take(1) {
            out.extend(iface.ifinfo(index));
            for (addr, mask) in &iface.addrs {
                out.extend(newaddr(index, *addr, *mask));
            }
        }
        out
    }
}

impl Syscalls for Machine {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let answer = match request.op {
            Op::Ioctl => self.ioctl(request),
            Op::Sysctl => self.sysctl(request),
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
        self.addrs.remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
        Ok(())
    }

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

fn newaddr(index: u16, addr: Ipv4Addr, mask: Ipv4Addr) -> Vec<u8> {
    let head = IfaMsghdr {
        ifam_msglen: 24 + 3 * 16,
        ifam_version: 7,
        ifam_type: 0xc,
        ifam_index: index,
        ifam_vhid: 0,
        ifam_pad0: 0,
        ifam_flags: 0,
        ifam_addrs: 0x4 | 0x20 | 0x80,
        ifam_addrflags: 0,
        ifam_metric: 0,
    };
    let broadcast = SockAddrIn::new(addr | !mask);
    let (addr, mask) = (SockAddrIn::new(addr), SockAddrIn::new(mask));
    [head.as_bytes(), mask.as_bytes(), addr.as_bytes(), broadcast.as_bytes()].concat()
}

fn ifreq(request: &Request) -> IfReq {
    IfReq::read_from_bytes(&request.arg).unwrap()
}

fn ifdrv(request: &Request) -> IfDrv {
    IfDrv::read_from_bytes(&request.arg).unwrap()
}

/// The ioctl's name, and a line with all that the request says.
fn describe(request: &Request) -> (&'static str, String) {
    let named = |name| (name, format!("{name} {}", ifreq(request).ifr_name));
    let flagged = |name| (name, format!("{name} {} {:#x}", ifreq(request).ifr_name, ifreq(request).flags()));
    let named = match request.cmd {
        SIOCGIFINDEX => named("SIOCGIFINDEX"),
        SIOCIFCREATE2 => named("SIOCIFCREATE2"),
        SIOCIFDESTROY => named("SIOCIFDESTROY"),
        SIOCGIFADDR => named("SIOCGIFADDR"),
        SIOCGIFFLAGS => named("SIOCGIFFLAGS"),
        SIOCSIFFLAGS => flagged("SIOCSIFFLAGS"),
        SIOCGVH => named("SIOCGVH"),
        SIOCSVH => ("SIOCSVH", format!("SIOCSVH {} {}", ifreq(request).ifr_name, carpreq(&request.data))),
        SIOCDIFADDR => {
            let ifr = ifreq(request);
            ("SIOCDIFADDR", format!("SIOCDIFADDR {} {}", ifr.ifr_name, sin(ifr.sin())))
        }
        SIOCAIFADDR => {
            let r = IfAliasReq::read_from_bytes(&request.arg).unwrap();
            let (addr, mask, brd) = (sin(r.ifra_addr), sin(r.ifra_mask), sin(r.ifra_broadaddr));
            ("SIOCAIFADDR", format!("SIOCAIFADDR {} {addr} mask {mask} brd {brd}", r.ifra_name))
        }
        SIOCGDRVSPEC => {
            let r = ifdrv(request);
            ("SIOCGDRVSPEC", format!("SIOCGDRVSPEC {} {} len {}", r.ifd_name, r.ifd_cmd, r.ifd_len))
        }
        other => panic!("ioctl {other:#x}"),
    };
    assert!(request.data.is_empty() || request.cmd == SIOCSVH, "{}", named.0);
    named
}

fn sin(sin: SockAddrIn) -> String {
    match (sin.sin_len, sin.sin_family) {
        (0, 0) => "-".to_owned(),
        (16, 2) => sin.addr().to_string(),
        (16, 0) => format!("{} (no family)", sin.addr()),
        other => format!("{other:?}"),
    }
}

fn carpreq(data: &[u8]) -> String {
    let r = CarpReq::read_from_bytes(data).unwrap();
    let key = r.carpr_key.escape_ascii().to_string().replace("\\x00", ".");
    let CarpReq { carpr_state: state, carpr_vhid: vhid, carpr_advskew: skew, carpr_advbase: base, .. } = r;
    format!("state {state} vhid {vhid} advbase {base} advskew {skew} key {key}")
}
