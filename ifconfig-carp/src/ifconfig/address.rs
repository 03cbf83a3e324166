//! `af_inet.c`: the addresses of a line, as typed and as ioctls.

use super::number::digits;
use crate::failure::Failure;
use crate::iflist;
use crate::kernel::{Kernel, answer};
use compat::net::if_::{IfAliasReq, IfName, IfReq};
use compat::netinet::in_::{SockAddrIn, mask_of_len};
use compat::sys::errno::Errno;
use compat::sys::sockio::{SIOCAIFADDR, SIOCDIFADDR, SIOCGIFADDR};
use std::ffi::OsStr;
use std::net::Ipv4Addr;

/// `ifconfig.c: doalias`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The new one comes, the one that was the interface's first goes.
    #[default]
    Replace,
    /// The new one comes.
    Add,
    /// The one named goes, or the first.
    Delete,
}

/// What a line does to the interface's addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressChange {
    pub(crate) mode: Mode,
    addr: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    broadcast: Option<Ipv4Addr>,
}

impl AddressChange {
    /// A word that is no keyword: `ADDR` or `ADDR/LEN`. A second one is
    /// upstream's destination address, which CARP has no use for.
    pub(crate) fn set_addr(&mut self, word: &OsStr) -> Result<(), Failure> {
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

    /// Once the whole line is read: words that only mean something beside an
    /// address. Upstream drops them silently.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let lonely = match (self.mode, self.addr, self.broadcast) {
            (Mode::Add, None, _) => "alias",
            (Mode::Replace, None, Some(_)) => "broadcast",
            _ => return Ok(()),
        };
        Err(Failure::Message(format!("'{lonely}' requires an address")))
    }

    /// Before anything else of the line is done: whether its address part can
    /// succeed, as far as reading tells.
    pub(crate) fn foresee(&self, kernel: &mut Kernel, name: IfName) -> Result<(), Failure> {
        if self.mode != Mode::Delete {
            return Ok(());
        }
        let list = iflist::read(kernel)?;
        let mine = list.iter().filter(|i| i.name == name.as_str()).flat_map(|i| &i.inet);
        match mine.map(|inet| inet.addr).find(|a| self.addr.is_none_or(|wanted| wanted == *a)) {
            Some(_) => Ok(()),
            None => Err(Failure::Kernel { call: "SIOCDIFADDR".to_owned(), errno: Errno::EADDRNOTAVAIL }),
        }
    }

    /// The deferred part of `ifconfig.c: ifconfig`.
    pub(crate) fn apply(&self, kernel: &mut Kernel, name: IfName) -> Result<(), Failure> {
        match self.mode {
            Mode::Delete => self.delete(kernel, name, self.addr),
            Mode::Add => self.add(kernel, name),
            Mode::Replace if self.addr.is_some() => self.replace(kernel, name),
            // Another netmask for the address there is.
            Mode::Replace if self.mask.is_some() => self.add(kernel, name),
            Mode::Replace => Ok(()),
        }
    }

    /// Adds, and then deletes the address that was the first. Upstream deletes
    /// before it adds, and is left with neither if the new one is refused.
    fn replace(&self, kernel: &mut Kernel, name: IfName) -> Result<(), Failure> {
        let first = match kernel.ioctl(SIOCGIFADDR, &IfReq::new(name)) {
            Ok(reply) => Some(answer::<IfReq>("SIOCGIFADDR", &reply.arg)?.sin().addr()),
            Err(e) if e.errno() == Some(Errno::EADDRNOTAVAIL) => None,
            Err(e) => return Err(e),
        };
        self.add(kernel, name)?;
        match first {
            Some(_) if first != self.addr => self.delete(kernel, name, first),
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

    fn add(&self, kernel: &mut Kernel, name: IfName) -> Result<(), Failure> {
        let sin = |addr: Option<Ipv4Addr>| addr.map(SockAddrIn::new).unwrap_or_default();
        // A netmask has a length but no family, as upstream sends it.
        let mask = self.mask.map(|m| SockAddrIn { sin_family: 0, ..SockAddrIn::new(m) });
        let request = IfAliasReq {
            ifra_name: name,
            ifra_addr: sin(self.addr),
            ifra_broadaddr: sin(self.broadcast),
            ifra_mask: mask.unwrap_or_default(),
        };
        kernel.ioctl(SIOCAIFADDR, &request).map(drop)
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

fn dotted(word: &OsStr) -> Option<Ipv4Addr> {
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

fn bad_value(keyword: &str, word: &OsStr) -> Failure {
    Failure::Message(format!("{keyword} {}: bad value", word.to_string_lossy()))
}

/// Upstream's words for what was meant as an address; for the rest, that it
/// was not understood at all.
fn not_an_address(word: &OsStr) -> Failure {
    let text = word.to_string_lossy();
    let numeric = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '/');
    Failure::Message(if numeric {
        format!("{text}: bad value")
    } else {
        format!("{text}: not a keyword and not an address")
    })
}
