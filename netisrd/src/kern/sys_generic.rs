//! `sys_generic.c`: system calls, from bytes to functions and back.

use crate::kern::sysctl;
use crate::machine::Ctx0;
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::if_clone;
use crate::net::netisr::Cred;
use crate::netinet::in_;
use compat::net::if_::{IFNAMSIZ, IfAliasReq, IfDrv, IfName, IfReq};
use compat::netinet::in_::SockAddrIn;
use compat::sys::ctlsock::{Op, Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::ioccom;
use compat::sys::sockio::*;
use libcarp::CarpSoftc;
use libcarp::carpreq::{CARPGDEVNAME, CARPGVHADDR, CarpReq, IfCarpVhaddr, SIOCGVH, SIOCSVH};
use libcarp::ioctl;
use triomphe::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The struct that goes back, and what its pointer points to.
type Answer = (Vec<u8>, Vec<u8>);

/// One system call, in netisr0.
pub fn syscall(cx: &mut Ctx0<'_>, cred: Cred, req: &Request) -> Reply {
    let done = match req.op {
        Op::Ioctl => ioctl(cx, cred, req),
        Op::Sysctl => sysctl_call(cx, cred, req),
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

/// `ifioctl`: `EINVAL` for a struct of another size, `EPERM` for a change by
/// one who may not, `ENXIO` for no such interface, `EOPNOTSUPP` for a command
/// that the machine does not have.
fn ioctl(cx: &mut Ctx0<'_>, cred: Cred, req: &Request) -> Result<Answer, Errno> {
    if req.arg.len() != ioccom::parm_len(req.cmd) {
        return Err(Errno::EINVAL);
    }
    let changes = matches!(
        req.cmd,
        SIOCIFCREATE | SIOCIFCREATE2 | SIOCIFDESTROY | SIOCSIFFLAGS | SIOCAIFADDR | SIOCDIFADDR | SIOCSVH
    );
    if changes && !cred.privileged {
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
        _ => {
            let name = IfName::read_from_prefix(&req.arg).map_err(|_| Errno::EINVAL)?.0;
            let entry = cx.m.ifunit(cx.n0, checked(name)?).ok_or(Errno::ENXIO)?;
            if_ioctl(cx, cred, req, &entry)
        }
    }
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
        SIOCGIFMTU => ifreq(req, |r| r.set_int(ifp.if_mtu as i32)),
        SIOCGIFADDR => {
            let first = in_::addresses_of(cx.m, cx.n0, ifp).into_iter().next();
            let addr = first.ok_or(Errno::EADDRNOTAVAIL)?.addr(cx.n0);
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
        SIOCSVH | SIOCGVH | SIOCGDRVSPEC => match &entry.softc {
            Softc::Carp(sc) => carp_ioctl(cx, cred, req, sc),
            Softc::Nic(_) => Err(Errno::EINVAL),
        },
        _ => Err(Errno::EOPNOTSUPP),
    }
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
            let carpr = CarpReq::read_from_bytes(&req.data).map_err(|_| Errno::EFAULT)?;
            cx.carp(|cx| ioctl::setvh(cx, sc, &carpr))?;
            Ok((req.arg.clone(), Vec::new()))
        }
        SIOCGVH => {
            let carpr = cx.carp(|cx| ioctl::getvh(cx, sc, cred.privileged));
            Ok((req.arg.clone(), carpr.as_bytes().to_vec()))
        }
        _ => {
            let mut ifd: IfDrv = arg(req)?;
            let data = match ifd.ifd_cmd {
                CARPGDEVNAME if ifd.ifd_len != IFNAMSIZ as u64 => return Err(Errno::EINVAL),
                CARPGDEVNAME => cx.carp(|cx| ioctl::getdevname(cx, sc)).to_vec(),
                CARPGVHADDR => return getvhaddr(cx, ifd, sc),
                _ => return Err(Errno::EINVAL),
            };
            ifd.ifd_len = data.len() as u64;
            Ok((ifd.as_bytes().to_vec(), data))
        }
    }
}

/// `carp_ioctl_getvhaddr`: with a length of 0, how many bytes there are; else
/// as many whole entries as fit.
fn getvhaddr(cx: &mut Ctx0<'_>, mut ifd: IfDrv, sc: &Arc<CarpSoftc>) -> Result<Answer, Errno> {
    let all = cx.carp(|cx| ioctl::getvhaddr(cx, sc));
    let room = usize::try_from(ifd.ifd_len).unwrap_or(usize::MAX) / size_of::<IfCarpVhaddr>();
    let data = match ifd.ifd_len {
        0 => Vec::new(),
        _ => all.iter().take(room).flat_map(|v| v.as_bytes().to_vec()).collect(),
    };
    ifd.ifd_len = match ifd.ifd_len {
        0 => size_of_val(all.as_slice()),
        _ => data.len(),
    } as u64;
    Ok((ifd.as_bytes().to_vec(), data))
}
