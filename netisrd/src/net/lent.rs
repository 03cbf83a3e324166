//! Whose the addresses of an interface are that the host has too: the host's,
//! those of whoever has typed them, or both's. One goes when it is nobody's any
//! more. No BSD has that: there a card's addresses are the machine's alone.

use crate::machine::Ctx0;
use crate::net::ifaddr::{add_address, addresses_of, change_address, delete_address};
use compat::sys::errno::Errno;
use core::cell::RefCell;
use core::net::IpAddr;
use ipnet::IpNet;
use libcarp::{Ifaddr, Ifnet};
use std::collections::BTreeMap;
use triomphe::Arc;

/// Of all addresses of such interfaces, by the interface's index.
#[derive(Default)]
pub struct Owners(RefCell<BTreeMap<(u16, IpAddr), Owner>>);

/// Who has it, and with which prefix length.
#[derive(Clone, Copy, Default)]
struct Owner {
    host: Option<u8>,
    typed: Option<u8>,
}

fn key(ia: &Ifaddr) -> (u16, IpAddr) {
    (ia.ifa_ifp.if_index, ia.ifa_addr)
}

fn of(cx: &Ctx0<'_>, ia: &Ifaddr) -> Owner {
    cx.m.own(cx.n0).owners.0.borrow().get(&key(ia)).copied().unwrap_or_default()
}

fn change(cx: &Ctx0<'_>, ifp: &Ifnet, addr: IpAddr, f: impl FnOnce(&mut Owner)) {
    if ifp.shared_with_host {
        f(cx.m.own(cx.n0).owners.0.borrow_mut().entry((ifp.if_index, addr)).or_default());
    }
}

/// Somebody has typed an address that is there now.
pub fn typed(cx: &Ctx0<'_>, ifp: &Ifnet, net: IpNet) {
    change(cx, ifp, net.addr(), |owner| owner.typed = Some(net.prefix_len()));
}

/// The host has one that is there now.
pub fn has(cx: &Ctx0<'_>, ifp: &Ifnet, net: IpNet) {
    change(cx, ifp, net.addr(), |owner| owner.host = Some(net.prefix_len()));
}

/// It has left the machine.
pub fn forget(cx: &Ctx0<'_>, ia: &Ifaddr) {
    cx.m.own(cx.n0).owners.0.borrow_mut().remove(&key(ia));
}

/// Whether somebody has typed it, as far as that matters, with which prefix length.
pub fn typed_prefix(cx: &Ctx0<'_>, ia: &Ifaddr) -> Option<u8> {
    of(cx, ia).typed
}

/// Whether nobody but the host has it.
pub fn is_hosts_alone(cx: &Ctx0<'_>, ia: &Ifaddr) -> bool {
    matches!(of(cx, ia), Owner { host: Some(_), typed: None })
}

/// Somebody has typed that it goes. What is the host's too is as the host has it
/// from then on. `EADDRNOTAVAIL` for one that is the host's alone.
pub fn delete_typed(cx: &mut Ctx0<'_>, ia: &Arc<Ifaddr>) -> Result<(), Errno> {
    match of(cx, ia) {
        Owner { host: Some(_), typed: None } => Err(Errno::EADDRNOTAVAIL),
        Owner { host: Some(len), typed: Some(_) } => {
            change_address(cx, ia, Some(len), None)?;
            change(cx, &ia.ifa_ifp, ia.ifa_addr, |owner| owner.typed = None);
            Ok(())
        }
        Owner { host: None, .. } => {
            delete_address(cx, ia);
            Ok(())
        }
    }
}

/// The host has that address on an interface that it shares, or has it no more.
pub fn lend(cx: &mut Ctx0<'_>, index: u16, net: IpNet, there: bool) {
    let Some(entry) = cx.m.ifentry(cx.n0, index).filter(|e| e.ifp.shared_with_host).cloned() else { return };
    let ifp = &entry.ifp;
    let known = addresses_of(cx.m, cx.n0, ifp).into_iter().find(|ia| ia.ifa_addr == net.addr());
    let done = match (there, known) {
        (true, None) => add_address(cx, ifp, net, None),
        (true, Some(ia)) => change_address(cx, &ia, Some(net.prefix_len()), None),
        (false, Some(ia)) => lose(cx, &ia, net.prefix_len()),
        (false, None) => Ok(()),
    };
    if there && done.is_ok() {
        has(cx, ifp, net);
    }
    match done {
        Ok(()) => tracing::info!("{}: the host {} {net}", ifp.if_xname, if there { "has" } else { "lost" }),
        Err(e) => tracing::warn!("{}: the host's {net}: {e}", ifp.if_xname),
    }
}

/// One with another prefix has come in its place already.
fn lose(cx: &mut Ctx0<'_>, ia: &Arc<Ifaddr>, prefixlen: u8) -> Result<(), Errno> {
    match of(cx, ia) {
        Owner { host: Some(len), .. } if len != prefixlen => Ok(()),
        Owner { typed: Some(len), .. } => {
            change(cx, &ia.ifa_ifp, ia.ifa_addr, |owner| owner.host = None);
            change_address(cx, ia, Some(len), None)
        }
        Owner { typed: None, .. } => {
            delete_address(cx, ia);
            Ok(())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dev::lan::Lan;
    use crate::machine::{Config, Machine, PerCpu};
    use crate::net::if_::{self, IfEntry};
    use crate::netinet::in_;
    use compat::net::if_::{IfAliasReq, IfName, IfReq};
    use compat::netinet::in_::{SockAddrIn, mask_of_len};
    use compat::sys::time::VirtualClock;
    use core::net::Ipv4Addr;
    use std::sync::Arc as StdArc;

    /// A machine with em0, to which the host lends 10.0.0.2/24.
    fn with_em0(test: impl FnOnce(&mut Ctx0<'_>, &IfEntry)) {
        let clock = StdArc::new(VirtualClock::default());
        let log = crate::machine::trace();
        let mut booted = Machine::boot(Config { ncpus: 1, clock, seed: [0; 32], hz: 0, log });
        let mut n0 = booted.seeds.remove(0).claim0(Box::new(|| {}));
        let cpu = PerCpu::default();
        let mut cx = Ctx0 { m: &booted.machine, n0: &mut n0, cpu: &cpu };
        let em0 = IfName::new("em0").unwrap();
        let mut dev = Lan::new().attach(em0, [2, 0, 0, 0, 0, 2], 1);
        (dev.shared_with_host, dev.addrs) = (true, vec![net(2, 24)]);
        if_::attach_device(&mut cx, &dev).unwrap();
        let entry = cx.m.ifunit(cx.n0, em0).unwrap();
        test(&mut cx, &entry);
    }

    fn net(n: u8, len: u8) -> IpNet {
        IpNet::new(Ipv4Addr::new(10, 0, 0, n).into(), len).unwrap()
    }

    fn typed(cx: &mut Ctx0<'_>, em0: &IfEntry, n: u8, len: u8) -> Result<(), Errno> {
        let req = IfAliasReq {
            ifra_addr: SockAddrIn::new([10, 0, 0, n].into()),
            ifra_mask: SockAddrIn::new(mask_of_len(len.into()).unwrap()),
            ifra_name: em0.ifp.if_xname,
            ifra_broadaddr: SockAddrIn::default(),
        };
        in_::aifaddr(cx, em0, &req)
    }

    fn deleted(cx: &mut Ctx0<'_>, em0: &IfEntry, n: Option<u8>) -> Result<(), Errno> {
        let mut req = IfReq::new(em0.ifp.if_xname);
        if let Some(n) = n {
            req.set_sin(SockAddrIn::new([10, 0, 0, n].into()));
        }
        in_::difaddr(cx, em0, &req)
    }

    fn has(cx: &Ctx0<'_>, em0: &IfEntry) -> Vec<IpNet> {
        addresses_of(cx.m, cx.n0, &em0.ifp).iter().map(|ia| ia.net(cx.n0)).collect()
    }

    #[test]
    fn an_address_goes_with_the_last_who_has_it() {
        with_em0(|cx, em0| {
            let index = em0.ifp.if_index;
            assert_eq!(deleted(cx, em0, Some(2)), Err(Errno::EADDRNOTAVAIL));
            assert_eq!(deleted(cx, em0, None), Err(Errno::EADDRNOTAVAIL));
            // It is as whoever came last has it, and then as who is left.
            typed(cx, em0, 2, 25).unwrap();
            assert_eq!(has(cx, em0), [net(2, 25)]);
            deleted(cx, em0, Some(2)).unwrap();
            assert_eq!(has(cx, em0), [net(2, 24)]);
            typed(cx, em0, 2, 25).unwrap();
            lend(cx, index, net(2, 24), true);
            assert_eq!(has(cx, em0), [net(2, 24)]);
            lend(cx, index, net(2, 24), false);
            assert_eq!(has(cx, em0), [net(2, 25)]);
            deleted(cx, em0, Some(2)).unwrap();
            assert_eq!(has(cx, em0), []);

            // One that is typed alone goes first where none is named.
            lend(cx, index, net(3, 24), true);
            typed(cx, em0, 4, 24).unwrap();
            deleted(cx, em0, None).unwrap();
            assert_eq!(has(cx, em0), [net(3, 24)]);
            // Another prefix is told before the old one goes.
            lend(cx, index, net(3, 16), true);
            lend(cx, index, net(3, 24), false);
            assert_eq!(has(cx, em0), [net(3, 16)]);
            lend(cx, index, net(3, 16), false);
            assert_eq!(has(cx, em0), []);
            // Nothing is remembered of what has gone.
            typed(cx, em0, 3, 24).unwrap();
            deleted(cx, em0, Some(3)).unwrap();
            assert!(has(cx, em0).is_empty() && cx.m.own(cx.n0).owners.0.borrow().is_empty());
        });
    }
}
