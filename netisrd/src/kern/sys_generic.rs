//! `sys_generic.c`: system calls, from bytes to functions and back.

use crate::kern::sysctl;
use crate::machine::Ctx0;
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::netisr::Cred;
use crate::net::{if_clone, if_group};
use crate::netinet::{carp_vhid, in_};
use crate::netinet6::in6;
use compat::net::if_::{IFNAMSIZ, IfAliasReq, IfAliasReqVhid, IfDrv, IfGroupReq, IfName, IfReq};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6_var::{
    In6AliasReq, In6AliasReqVhid, In6IfReq, SIOCAIFADDR_IN6, SIOCAIFADDR_IN6_VHID, SIOCDIFADDR_IN6,
};
use compat::sys::ctlsock::{Op, Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::ioccom;
use compat::sys::sockio::*;
use libcarp::CarpSoftc;
use libcarp::carpreq::{
    CARPGDEVNAME, CARPGVHADDR, CARPGVHADDR6, CARPPEERS, CARPSDEVNAME, CarpPeers, CarpReq, SIOCGVH, SIOCSVH,
};
use libcarp::{ifaddr, ioctl};
use triomphe::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The struct that goes back, and what its pointer points to.
type Answer = (Vec<u8>, Vec<u8>);

/// One system call, in netisr0.
pub fn syscall(cx: &mut Ctx0<'_>, cred: Cred, req: &Request) -> Reply {
    let done = match req.op {
        Op::Ioctl => ioctl(cx, cred, req),
        Op::Sysctl => sysctl_call(cx, cred, req),
        // Whoever holds the connection makes the listener, and has the file.
        Op::Route | Op::Reload | Op::Takeover => Err(Errno::EOPNOTSUPP),
    };
    match done {
        Ok((arg, data)) => Reply { error: None, arg, data },
        Err(e) => Reply::error(e),
    }
}

fn sysctl_call(cx: &mut Ctx0<'_>, cred: Cred, req: &Request) -> Result<Answer, Errno> {
    let name = core::str::from_utf8(&req.arg).map_err(|_| Errno::EINVAL)?;
    let (ctltype, value) = sysctl::sysctl(cx, name, &req.data, cred.privileged)?;
    Ok(((ctltype as u32).to_ne_bytes().to_vec(), value))
}

/// Whether a call may change the machine, if it is allowed to.
pub(crate) fn changes(req: &Request) -> bool {
    match req.op {
        Op::Ioctl => matches!(
            req.cmd,
            SIOCIFCREATE
                | SIOCIFCREATE2
                | SIOCIFDESTROY
                | SIOCSIFFLAGS
                | SIOCAIFADDR
                | SIOCDIFADDR
                | SIOCAIFADDR_VHID
                | SIOCAIFADDR_IN6
                | SIOCDIFADDR_IN6
                | SIOCAIFADDR_IN6_VHID
                | SIOCAIFGROUP
                | SIOCDIFGROUP
                | SIOCSIFGATTR
                | SIOCSDRVSPEC
                | SIOCSVH
        ),
        Op::Sysctl => !req.data.is_empty(),
        Op::Route | Op::Reload | Op::Takeover => false,
    }
}

/// `ifioctl`: `EINVAL` for a struct of another size, `EPERM` for a change by
/// one who may not, `ENXIO` for no such interface, `EOPNOTSUPP` for a command
/// that the machine does not have.
fn ioctl(cx: &mut Ctx0<'_>, cred: Cred, req: &Request) -> Result<Answer, Errno> {
    if req.arg.len() != ioccom::parm_len(req.cmd) {
        return Err(Errno::EINVAL);
    }
    if changes(req) && !cred.privileged {
        return Err(Errno::EPERM);
    }
    match req.cmd {
        SIOCIFCREATE | SIOCIFCREATE2 => {
            let mut r: IfReq = arg(req)?;
            r.ifr_name = if_clone::create(cx, checked(r.ifr_name)?)?;
            Ok((r.as_bytes().to_vec(), Vec::new()))
        }
        SIOCIFDESTROY => {
            let r: IfReq = arg(req)?;
            if_clone::destroy(cx, checked(r.ifr_name)?)?;
            nothing()
        }
        SIOCGIFGMEMB | SIOCGIFGATTR | SIOCSIFGATTR => group_ioctl(cx, req),
        _ => {
            let name = IfName::read_from_prefix(&req.arg).map_err(|_| Errno::EINVAL)?.0;
            let entry = cx.m.ifunit(cx.n0, checked(name)?).ok_or(Errno::ENXIO)?;
            if_ioctl(cx, cred, req, &entry)
        }
    }
}

/// The ioctls about a group: its name is where an interface's is in others.
fn group_ioctl(cx: &mut Ctx0<'_>, req: &Request) -> Result<Answer, Errno> {
    let mut r: IfGroupReq = arg(req)?;
    match req.cmd {
        SIOCGIFGMEMB => names(r, &if_group::if_getgroupmembers(cx, r.ifgr_name)?),
        SIOCGIFGATTR => {
            r.set_carp_demoted(if_group::carp_demoted(cx, r.ifgr_name)?);
            Ok((r.as_bytes().to_vec(), Vec::new()))
        }
        _ => if_group::demote(cx, r.ifgr_name, r.carp_demoted()).and_then(|()| nothing()),
    }
}

/// A list of names: with a length of 0, how many bytes there are; `EINVAL` for
/// less room than that, as upstream.
fn names(mut r: IfGroupReq, all: &[IfName]) -> Result<Answer, Errno> {
    let len = size_of_val(all) as u32;
    let data = match r.ifgr_len {
        0 => Vec::new(),
        room if room < len => return Err(Errno::EINVAL),
        _ => all.as_bytes().to_vec(),
    };
    r.ifgr_len = len;
    Ok((r.as_bytes().to_vec(), data))
}

fn nothing() -> Result<Answer, Errno> {
    Ok((Vec::new(), Vec::new()))
}

fn arg<T: FromBytes + KnownLayout + Immutable>(req: &Request) -> Result<T, Errno> {
    T::read_from_bytes(&req.arg).map_err(|_| Errno::EINVAL)
}

/// A name as a program should send it: printable, NUL inside the 16 bytes.
fn checked(name: IfName) -> Result<IfName, Errno> {
    IfName::new(name.as_str()).ok_or(Errno::ENXIO)
}

fn if_ioctl(cx: &mut Ctx0<'_>, cred: Cred, req: &Request, entry: &IfEntry) -> Result<Answer, Errno> {
    let ifp = &entry.ifp;
    match req.cmd {
        SIOCGIFFLAGS => ifreq(req, |r| r.set_flags(ifp.flags())),
        SIOCGIFINDEX => ifreq(req, |r| r.ifr_ifru[..2].copy_from_slice(&ifp.if_index.to_ne_bytes())),
        SIOCGIFMETRIC => ifreq(req, |r| r.set_int(0)),
        SIOCGIFMTU => ifreq(req, |r| r.set_int(if_::mtu_of(cx.m, cx.n0, ifp) as i32)),
        SIOCGIFADDR => {
            let addr = in_::first_address(cx, entry)?;
            ifreq(req, |r| r.set_sin(SockAddrIn::new(addr)))
        }
        SIOCSIFFLAGS => {
            let r: IfReq = arg(req)?;
            if_::set_flags(cx, entry, r.flags()).and_then(|()| nothing())
        }
        SIOCAIFADDR => {
            let r: IfAliasReq = arg(req)?;
            in_::aifaddr(cx, entry, &r).and_then(|()| nothing())
        }
        SIOCDIFADDR => {
            let r: IfReq = arg(req)?;
            in_::difaddr(cx, entry, &r).and_then(|()| nothing())
        }
        SIOCAIFADDR_VHID => {
            let r: IfAliasReqVhid = arg(req)?;
            in_::aifaddr_vhid(cx, entry, &r).and_then(|()| nothing())
        }
        SIOCAIFADDR_IN6 => {
            let r: In6AliasReq = arg(req)?;
            in6::aifaddr(cx, entry, &r).and_then(|()| nothing())
        }
        SIOCAIFADDR_IN6_VHID => {
            let r: In6AliasReqVhid = arg(req)?;
            in6::aifaddr_vhid(cx, entry, &r).and_then(|()| nothing())
        }
        SIOCDIFADDR_IN6 => {
            let r: In6IfReq = arg(req)?;
            in6::difaddr(cx, entry, &r).and_then(|()| nothing())
        }
        SIOCAIFGROUP => {
            let r: IfGroupReq = arg(req)?;
            if_group::if_addgroup(cx, ifp, r.group().as_str()).and_then(|()| nothing())
        }
        SIOCDIFGROUP => {
            let r: IfGroupReq = arg(req)?;
            if_group::if_delgroup(cx, ifp, r.group()).and_then(|()| nothing())
        }
        SIOCGIFGROUP => names(arg(req)?, &if_group::if_getgroup(cx, ifp)),
        SIOCSVH | SIOCGVH | SIOCGDRVSPEC | SIOCSDRVSPEC => match &entry.softc {
            Softc::Carp(sc) => carp_ioctl(cx, cred, req, sc),
            Softc::Nic(_) => vhid_ioctl(cx, cred, req, entry),
        },
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// The same of FreeBSD's model: about a vhid of an interface.
fn vhid_ioctl(cx: &mut Ctx0<'_>, cred: Cred, req: &Request, entry: &IfEntry) -> Result<Answer, Errno> {
    match req.cmd {
        SIOCSVH => {
            let carpr = data(req)?;
            carp_vhid::setvh(cx, entry, &carpr)?;
            Ok((req.arg.clone(), Vec::new()))
        }
        SIOCGVH => {
            // Without one, all are asked for.
            let vhid = CarpReq::read_from_bytes(&req.data).map_or(0, |carpr| carpr.carpr_vhid);
            let all = carp_vhid::getvh(cx, entry, vhid, cred.privileged)?;
            Ok((req.arg.clone(), all.as_bytes().to_vec()))
        }
        _ => {
            let ifd: IfDrv = arg(req)?;
            if ifd.ifd_cmd != CARPPEERS {
                return Err(Errno::EINVAL);
            }
            let peers: CarpPeers = data(req)?;
            let vhid = i32::try_from(peers.carpp_vhid).map_err(|_| Errno::EINVAL)?;
            let (_, sc) = carp_vhid::find(cx, entry, vhid)?;
            carp_ioctl(cx, cred, req, &sc)
        }
    }
}

/// What an ioctl's pointer points to.
fn data<T: FromBytes + KnownLayout + Immutable>(req: &Request) -> Result<T, Errno> {
    T::read_from_bytes(&req.data).map_err(|_| Errno::EFAULT)
}

/// An `ifreq` that goes back with something filled in.
fn ifreq(req: &Request, fill: impl FnOnce(&mut IfReq)) -> Result<Answer, Errno> {
    let mut r: IfReq = arg(req)?;
    fill(&mut r);
    Ok((r.as_bytes().to_vec(), Vec::new()))
}

/// `carp_ioctl`
fn carp_ioctl(cx: &mut Ctx0<'_>, cred: Cred, req: &Request, sc: &Arc<CarpSoftc>) -> Result<Answer, Errno> {
    match req.cmd {
        SIOCSVH => {
            let carpr = data(req)?;
            cx.carp(|cx| ioctl::setvh(cx, sc, &carpr))?;
            Ok((req.arg.clone(), Vec::new()))
        }
        SIOCGVH => {
            let carpr = cx.carp(|cx| ioctl::getvh(cx, sc, cred.privileged));
            Ok((req.arg.clone(), carpr.as_bytes().to_vec()))
        }
        SIOCSDRVSPEC => {
            let ifd: IfDrv = arg(req)?;
            match ifd.ifd_cmd {
                CARPSDEVNAME => {
                    let name: IfName = data(req)?;
                    let parent = match name {
                        IfName::EMPTY => None,
                        name => Some(cx.m.ifunit(cx.n0, checked(name)?).ok_or(Errno::ENXIO)?.ifp),
                    };
                    cx.carp(|cx| ifaddr::set_carpdev(cx, sc, parent.as_ref()))?;
                }
                CARPPEERS => {
                    let peers = data(req)?;
                    cx.carp(|cx| ioctl::setpeers(cx, sc, &peers))?;
                }
                _ => return Err(Errno::EINVAL),
            }
            nothing()
        }
        _ => {
            let mut ifd: IfDrv = arg(req)?;
            let data = match ifd.ifd_cmd {
                CARPGDEVNAME if ifd.ifd_len != IFNAMSIZ as u64 => return Err(Errno::EINVAL),
                CARPGDEVNAME => cx.carp(|cx| ioctl::getdevname(cx, sc)).to_vec(),
                CARPSDEVNAME => cx.carp(|cx| ioctl::getbound(cx, sc)).to_vec(),
                CARPPEERS => cx.carp(|cx| ioctl::getpeers(cx, sc)).as_bytes().to_vec(),
                CARPGVHADDR => return Ok(vhaddrs(ifd, &cx.carp(|cx| ioctl::getvhaddr(cx, sc)))),
                CARPGVHADDR6 => return Ok(vhaddrs(ifd, &cx.carp(|cx| ioctl::getvhaddr6(cx, sc)))),
                _ => return Err(Errno::EINVAL),
            };
            ifd.ifd_len = data.len() as u64;
            Ok((ifd.as_bytes().to_vec(), data))
        }
    }
}

/// `carp_ioctl_getvhaddr`: with a length of 0, how many bytes there are; else
/// as many whole entries as fit.
fn vhaddrs<T: IntoBytes + Immutable>(mut ifd: IfDrv, all: &[T]) -> Answer {
    let room = usize::try_from(ifd.ifd_len).unwrap_or(usize::MAX) / size_of::<T>();
    let data = match ifd.ifd_len {
        0 => Vec::new(),
        _ => all.iter().take(room).flat_map(|v| v.as_bytes().to_vec()).collect(),
    };
    ifd.ifd_len = match ifd.ifd_len {
        0 => size_of_val(all),
        _ => data.len(),
    } as u64;
    (ifd.as_bytes().to_vec(), data)
}
