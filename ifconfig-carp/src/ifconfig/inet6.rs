//! `af_inet6.c`: an IPv6 address of a line, as typed and as ioctls.

use super::address::{Mode, not_an_address, requires_an_address};
use super::asked::Address;
use super::number::{digits, prefixlen};
use super::target::Target;
use crate::failure::Failure;
use crate::kernel::Kernel;
use compat::net::if_::IfName;
use compat::netinet6::in6::{SockAddrIn6, mask_of_len6};
use compat::netinet6::in6_var::{
    In6Addrlifetime, In6AliasReq, In6AliasReqVhid, In6IfReq, SIOCAIFADDR_IN6, SIOCAIFADDR_IN6_VHID,
    SIOCDIFADDR_IN6,
};
use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv6Addr;

/// `in6_postproc`: where the line gives no length.
const PREFIXLEN: u8 = 64;

/// An address as typed, maybe with its interface: `fe80::1%em0`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scoped {
    pub(crate) addr: Ipv6Addr,
    scope: Option<String>,
}

impl Scoped {
    pub(crate) fn parse(text: &str) -> Option<Scoped> {
        let (addr, scope) = match text.split_once('%') {
            None => (text, None),
            Some((addr, scope)) => (addr, Some(scope.to_owned())),
        };
        Some(Scoped { addr: addr.parse().ok()?, scope })
    }

    /// An address of another link is not for this interface, and one that is
    /// good on every link has no scope.
    pub(crate) fn check_scope(&self, name: IfName) -> Result<(), Failure> {
        let [first, second, ..] = self.addr.octets();
        let of_a_link = self.addr.is_unicast_link_local() || (first, second & 0xf) == (0xff, 2);
        match &self.scope {
            Some(_) if !of_a_link => {
                Err(Failure::Message(format!("{self}: only a link-local address has a scope")))
            }
            Some(scope) if scope != name.as_str() => {
                Err(Failure::Message(format!("{self}: the scope must be the interface itself, {name}")))
            }
            _ => Ok(()),
        }
    }

    /// Without a scope, the machine knows which interface is meant.
    pub(crate) fn sin6(&self, kernel: &mut Kernel, target: &Target) -> Result<SockAddrIn6, Failure> {
        let index = match self.scope {
            Some(_) => target.index(kernel)?,
            None => 0,
        };
        Ok(SockAddrIn6::new(self.addr, index.into()))
    }
}

impl From<Ipv6Addr> for Scoped {
    fn from(addr: Ipv6Addr) -> Scoped {
        Scoped { addr, scope: None }
    }
}

impl fmt::Display for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Some(scope) => write!(f, "{}%{scope}", self.addr),
            None => write!(f, "{}", self.addr),
        }
    }
}

/// What a line says of IPv6.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inet6Change {
    addr: Option<Scoped>,
    prefixlen: Option<u8>,
}

impl Inet6Change {
    /// A word that is no keyword: `ADDR`, `ADDR%IF`, `ADDR/LEN`.
    pub(crate) fn set_addr(&mut self, word: &OsStr) -> Result<(), Failure> {
        let (addr, len) = prefix(word).ok_or_else(|| bad_address(word))?;
        if self.addr.is_some() {
            return Err(Failure::Message(format!("{addr}: a line takes one address only")));
        }
        if addr.addr.is_unspecified() || addr.addr.is_multicast() {
            return Err(Failure::Message(format!("{addr}: not an address that a host can have")));
        }
        if let Some(len) = len {
            self.prefixlen = Some(prefixlen(len.as_ref())?);
        }
        self.addr = Some(addr);
        Ok(())
    }

    /// `prefixlen N`
    pub(crate) fn set_prefixlen(&mut self, word: &OsStr) -> Result<(), Failure> {
        self.prefixlen = Some(prefixlen(word)?);
        Ok(())
    }

    pub(crate) fn has_addr(&self) -> bool {
        self.addr.is_some()
    }

    /// What the machine makes of it.
    pub(crate) fn wanted(&self) -> Option<Address> {
        let addr = self.addr.as_ref()?.addr.into();
        Some(Address { addr, prefixlen: self.prefixlen.unwrap_or(PREFIXLEN), broadcast: None })
    }

    pub(crate) fn has_prefixlen(&self) -> bool {
        self.prefixlen.is_some()
    }

    /// Once the whole line is read. There is no first address to delete.
    pub(crate) fn check(&self, mode: Mode) -> Result<(), Failure> {
        match (&self.addr, mode, self.prefixlen) {
            (None, Mode::Add, _) => Err(requires_an_address("alias")),
            (None, Mode::Delete, _) => Err(requires_an_address("-alias")),
            (None, Mode::Replace, Some(_)) => Err(requires_an_address("prefixlen")),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_scope(&self, name: IfName) -> Result<(), Failure> {
        self.addr.as_ref().map_or(Ok(()), |addr| addr.check_scope(name))
    }

    pub(crate) fn is_about(&self, addr: Ipv6Addr) -> bool {
        self.addr.as_ref().is_some_and(|wanted| wanted.addr == addr)
    }

    /// The deferred part of `ifconfig.c: ifconfig`, in a family where a new
    /// address never takes another's place.
    pub(crate) fn apply(&self, kernel: &mut Kernel, target: &Target, mode: Mode) -> Result<(), Failure> {
        let Some(addr) = &self.addr else { return Ok(()) };
        let addr = addr.sin6(kernel, target)?;
        if mode == Mode::Delete {
            return kernel.ioctl(SIOCDIFADDR_IN6, &In6IfReq::new(target.name, addr)).map(drop);
        }
        let mask = mask_of_len6(self.prefixlen.unwrap_or(PREFIXLEN).into());
        let request = In6AliasReq {
            ifra_name: target.name,
            ifra_addr: addr,
            ifra_dstaddr: SockAddrIn6::default(),
            ifra_prefixmask: mask.map(|mask| SockAddrIn6::new(mask, 0)).unwrap_or_default(),
            ifra_flags: 0,
            ifra_lifetime: In6Addrlifetime::INFINITE,
        };
        match target.vhid {
            None => kernel.ioctl(SIOCAIFADDR_IN6, &request).map(drop),
            Some(vhid) => {
                let request = In6AliasReqVhid { ifra: request, ifra_vhid: vhid.into(), ifra_pad: 0 };
                kernel.ioctl(SIOCAIFADDR_IN6_VHID, &request).map(drop)
            }
        }
    }
}

/// A word that nothing but IPv6 can have, though it stands where IPv4 is
/// meant.
pub(crate) fn is_an_address_of_inet6(word: &OsStr) -> bool {
    prefix(word).is_some()
}

/// The address, and what stands behind the slash.
fn prefix(word: &OsStr) -> Option<(Scoped, Option<&str>)> {
    let text = word.to_str()?;
    match text.rsplit_once('/') {
        None => Some((Scoped::parse(text)?, None)),
        Some((addr, len)) => Some((Scoped::parse(addr)?, Some(digits(len.as_ref())?))),
    }
}

fn bad_address(word: &OsStr) -> Failure {
    let text = word.to_string_lossy();
    if text.split('/').next().is_some_and(|addr| addr.parse::<std::net::Ipv4Addr>().is_ok()) {
        return Failure::Message(format!("{text}: not an IPv6 address"));
    }
    match text.contains(':') {
        true => Failure::Message(format!("{text}: bad value")),
        false => not_an_address(word),
    }
}
