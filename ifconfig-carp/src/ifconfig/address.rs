//! The address of a line, of whichever family: the deferred part of
//! `ifconfig.c: ifconfig`.

use super::asked::Address;
use super::inet::InetChange;
use super::inet6::Inet6Change;
use super::target::Target;
use crate::failure::Failure;
use crate::iflist::Addr;
use crate::kernel::Kernel;
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use std::ffi::OsStr;

/// `ifconfig.c: doalias`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The new one comes, the one that was the interface's first goes. Not in
    /// IPv6, nor for a virtual host: both [`Mode::Add`].
    #[default]
    Replace,
    /// The new one comes.
    Add,
    /// The one named goes, or the first.
    Delete,
}

/// The families that have addresses to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Af {
    #[default]
    Inet,
    Inet6,
}

/// What a line does to the interface's addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressChange {
    pub(crate) mode: Mode,
    /// `inet` unless a word says otherwise.
    family: Option<Af>,
    pub(crate) inet: InetChange,
    pub(crate) inet6: Inet6Change,
}

impl AddressChange {
    /// `inet` or `inet6`
    pub(crate) fn set_family(&mut self, af: Af) -> Result<(), Failure> {
        match self.family.replace(af) {
            Some(before) if before != af => Err(Failure::message("'inet' and 'inet6' do not go together")),
            _ => Ok(()),
        }
    }

    fn af(&self) -> Af {
        self.family.unwrap_or_default()
    }

    /// A word that is no keyword.
    pub(crate) fn set_addr(&mut self, word: &OsStr) -> Result<(), Failure> {
        match self.af() {
            Af::Inet => self.inet.set_addr(word),
            Af::Inet6 => self.inet6.set_addr(word),
        }
    }

    /// Once the whole line is read: words that only mean something beside
    /// others. Upstream drops them silently.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.af() {
            Af::Inet if self.inet6.has_prefixlen() => {
                Err(Failure::message("'prefixlen' goes with 'inet6'; in inet, type ADDRESS/LEN"))
            }
            Af::Inet => self.inet.check(self.mode),
            Af::Inet6 => {
                self.inet.check_absent()?;
                self.inet6.check(self.mode)
            }
        }
    }

    /// A scope must be the interface's own name.
    pub(crate) fn check_scope(&self, name: IfName) -> Result<(), Failure> {
        self.inet6.check_scope(name)
    }

    /// Of a virtual host, no address is the first, and none is there already.
    pub(crate) fn check_on(&self, target: &Target) -> Result<(), Failure> {
        let named = self.inet.has_addr() || self.inet6.has_addr();
        match (target.vhid, self.mode) {
            (None, _) => Ok(()),
            (Some(_), Mode::Delete) if !named => Err(requires_an_address("-alias")),
            (Some(_), _) if !named && self.inet.has_mask() => Err(requires_an_address("netmask")),
            _ => Ok(()),
        }
    }

    /// A family alone asks for nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == AddressChange { family: self.family, ..AddressChange::default() }
    }

    /// The address that a line names.
    pub(crate) fn wanted(&self) -> Option<Address> {
        self.inet.wanted().or_else(|| self.inet6.wanted())
    }

    pub(crate) fn deletes(&self) -> bool {
        self.mode == Mode::Delete
    }

    /// Before anything else of the line is done: whether its address part can
    /// succeed, as far as reading tells.
    pub(crate) fn foresee(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        if !self.deletes() {
            return Ok(());
        }
        let interface = target.interface(kernel)?;
        let vhid = target.vhid.map(i32::from);
        let found = interface
            .addrs
            .iter()
            .filter(|ifa| vhid.is_none_or(|vhid| vhid == ifa.vhid.into()))
            .any(|ifa| self.is_about(&ifa.addr));
        match (found, self.af()) {
            (true, _) => Ok(()),
            (_, Af::Inet) => Err(no_such_address("SIOCDIFADDR")),
            (_, Af::Inet6) => Err(no_such_address("SIOCDIFADDR_IN6")),
        }
    }

    fn is_about(&self, addr: &Addr) -> bool {
        match (addr, self.af()) {
            (Addr::Inet(inet), Af::Inet) => self.inet.is_about(inet.addr),
            (Addr::Inet6(inet6), Af::Inet6) => self.inet6.is_about(inet6.addr),
            _ => false,
        }
    }

    /// Does it.
    pub(crate) fn apply(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        match self.af() {
            Af::Inet => self.inet.apply(kernel, target, self.mode),
            Af::Inet6 => self.inet6.apply(kernel, target, self.mode),
        }
    }
}

/// What the machine would say.
fn no_such_address(call: &str) -> Failure {
    Failure::Kernel { call: call.to_owned(), errno: Errno::EADDRNOTAVAIL }
}

pub(crate) fn requires_an_address(word: &str) -> Failure {
    Failure::Message(format!("'{word}' requires an address"))
}

/// Upstream's words for what was meant as an address; for the rest, that it
/// was not understood at all.
pub(crate) fn not_an_address(word: &OsStr) -> Failure {
    let text = word.to_string_lossy();
    let numeric = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '/');
    Failure::Message(if numeric {
        format!("{text}: bad value")
    } else {
        format!("{text}: not a keyword and not an address")
    })
}

/// `keyword WORD` where the word makes no sense.
pub(crate) fn bad_value(keyword: &str, word: &OsStr) -> Failure {
    Failure::Message(format!("{keyword} {}: bad value", word.to_string_lossy()))
}
