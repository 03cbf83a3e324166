//! `af_inet.c`: an IPv4 address of a line, as typed and as ioctls.

use super::address::{Mode, bad_value, not_an_address, requires_an_address};
use super::asked::Address;
use super::inet6::is_an_address_of_inet6;
use super::number::digits;
use super::target::Target;
use crate::failure::Failure;
use crate::kernel::{Kernel, answer};
use compat::net::if_::{IfAliasReq, IfAliasReqVhid, IfName, IfReq};
use compat::netinet::in_::{SockAddrIn, class_mask, len_of_mask, mask_of_len};
use compat::sys::errno::Errno;
use compat::sys::sockio::{SIOCAIFADDR, SIOCAIFADDR_VHID, SIOCDIFADDR, SIOCGIFADDR};
use std::ffi::OsStr;
use std::net::Ipv4Addr;

/// What a line says of IPv4.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InetChange {
    addr: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    broadcast: Option<Ipv4Addr>,
}

impl InetChange {
    /// A word that is no keyword: `ADDR` or `ADDR/LEN`. A second one is
    /// upstream's destination address, which CARP has no use for.
    pub(crate) fn set_addr(&mut self, word: &OsStr) -> Result<(), Failure> {
        if is_an_address_of_inet6(word) {
            let word = word.to_string_lossy();
            let first = self.addr.map_or("", |_| ", in another line");
            return Err(Failure::Message(format!("{word}: an IPv6 address: type 'inet6 {word}'{first}")));
        }
        let (addr, mask) = prefix(word).ok_or_else(|| not_an_address(word))?;
        if self.addr.is_some() {
            return Err(Failure::Message(format!("{addr}: a line takes one address only")));
        }
        if addr.is_unspecified() || addr.is_multicast() || addr.is_broadcast() {
            return Err(Failure::Message(format!("{addr}: not an address that a host can have")));
        }
        self.addr = Some(addr);
        self.mask = mask.or(self.mask);
        Ok(())
    }

    /// `netmask M`: dotted, or hexadecimal after `0x`.
    pub(crate) fn set_mask(&mut self, word: &OsStr) -> Result<(), Failure> {
        self.mask = Some(netmask(word).ok_or_else(|| bad_value("netmask", word))?);
        Ok(())
    }

    /// `broadcast B`
    pub(crate) fn set_broadcast(&mut self, word: &OsStr) -> Result<(), Failure> {
        self.broadcast = Some(dotted(word).ok_or_else(|| bad_value("broadcast", word))?);
        Ok(())
    }

    /// Once the whole line is read.
    pub(crate) fn check(&self, mode: Mode) -> Result<(), Failure> {
        match (mode, self.addr, self.broadcast) {
            (Mode::Add, None, _) => Err(requires_an_address("alias")),
            (Mode::Replace, None, Some(_)) => Err(requires_an_address("broadcast")),
            _ => Ok(()),
        }
    }

    pub(crate) fn has_addr(&self) -> bool {
        self.addr.is_some()
    }

    pub(crate) fn has_mask(&self) -> bool {
        self.mask.is_some()
    }

    /// What the machine makes of it.
    pub(crate) fn wanted(&self) -> Option<Address> {
        let addr = self.addr?;
        let prefixlen = len_of_mask(self.mask.unwrap_or_else(|| class_mask(addr)))?;
        Some(Address { addr: addr.into(), prefixlen, broadcast: self.broadcast })
    }

    /// On a line about the other family.
    pub(crate) fn check_absent(&self) -> Result<(), Failure> {
        match (self.addr, self.mask, self.broadcast) {
            (Some(addr), ..) => Err(Failure::Message(format!("{addr}: not an IPv6 address"))),
            (_, Some(_), _) => Err(Failure::message("'netmask' does not go with 'inet6'")),
            (.., Some(_)) => Err(Failure::message("'broadcast' does not go with 'inet6'")),
            _ => Ok(()),
        }
    }

    /// Whether deleting would take `addr`, or any.
    pub(crate) fn is_about(&self, addr: Ipv4Addr) -> bool {
        self.addr.is_none_or(|wanted| wanted == addr)
    }

    /// The deferred part of `ifconfig.c: ifconfig`.
    pub(crate) fn apply(&self, kernel: &mut Kernel, target: &Target, mode: Mode) -> Result<(), Failure> {
        let name = target.name;
        match mode {
            Mode::Delete => self.delete(kernel, name, self.addr),
            Mode::Add => self.add(kernel, target),
            // The interface's own first address is not a virtual host's.
            Mode::Replace if self.addr.is_some() && target.vhid.is_some() => self.add(kernel, target),
            Mode::Replace if self.addr.is_some() => self.replace(kernel, target),
            // Another netmask for the address there is.
            Mode::Replace if self.mask.is_some() => self.add(kernel, target),
            Mode::Replace => Ok(()),
        }
    }

    /// Adds, and then deletes the address that was the first. Upstream deletes
    /// before it adds, and is left with neither if the new one is refused.
    fn replace(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        let name = target.name;
        let first = match kernel.ioctl(SIOCGIFADDR, &IfReq::new(name)) {
            Ok(reply) => Some(answer::<IfReq>("SIOCGIFADDR", &reply.arg)?.sin().addr()),
            Err(e) if e.errno() == Some(Errno::EADDRNOTAVAIL) => None,
            Err(e) => return Err(e),
        };
        self.add(kernel, target)?;
        match first {
            // netisrd's host may have it, who keeps it.
            Some(_) if first != self.addr => match self.delete(kernel, name, first) {
                Err(e) if e.errno() == Some(Errno::EADDRNOTAVAIL) => Ok(()),
                other => other,
            },
            _ => Ok(()),
        }
    }

    fn delete(&self, kernel: &mut Kernel, name: IfName, addr: Option<Ipv4Addr>) -> Result<(), Failure> {
        let mut request = IfReq::new(name);
        if let Some(addr) = addr {
            request.set_sin(SockAddrIn::new(addr));
        }
        kernel.ioctl(SIOCDIFADDR, &request).map(drop)
    }

    fn add(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        let sin = |addr: Option<Ipv4Addr>| addr.map(SockAddrIn::new).unwrap_or_default();
        // A netmask has a length but no family, as upstream sends it.
        let mask = self.mask.map(|m| SockAddrIn { sin_family: 0, ..SockAddrIn::new(m) });
        let request = IfAliasReq {
            ifra_name: target.name,
            ifra_addr: sin(self.addr),
            ifra_broadaddr: sin(self.broadcast),
            ifra_mask: mask.unwrap_or_default(),
        };
        match target.vhid {
            None => kernel.ioctl(SIOCAIFADDR, &request).map(drop),
            Some(vhid) => {
                let request = IfAliasReqVhid { ifra: request, ifra_vhid: vhid.into() };
                kernel.ioctl(SIOCAIFADDR_VHID, &request).map(drop)
            }
        }
    }
}

fn prefix(word: &OsStr) -> Option<(Ipv4Addr, Option<Ipv4Addr>)> {
    let text = word.to_str()?;
    match text.rsplit_once('/') {
        None => Some((text.parse().ok()?, None)),
        Some((addr, len)) => {
            let len = digits(len.as_ref())?.parse().ok()?;
            Some((addr.parse().ok()?, Some(mask_of_len(len)?)))
        }
    }
}

pub(crate) fn dotted(word: &OsStr) -> Option<Ipv4Addr> {
    word.to_str()?.parse().ok()
}

/// A mask of ones and then zeros: the others mean nothing.
fn netmask(word: &OsStr) -> Option<Ipv4Addr> {
    let text = word.to_str()?;
    let mask = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // Rust's parser takes a sign as well.
        Some(hex) if hex.starts_with('+') => return None,
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => text.parse::<Ipv4Addr>().ok()?.into(),
    };
    (mask.leading_ones() + mask.trailing_zeros() >= u32::BITS).then(|| mask.into())
}
