//! The numbers of CARP as people type them. Upstream takes whatever `atoi`
//! makes of the text; here the whole text must be the number.

use crate::failure::Failure;
use std::ffi::OsStr;

/// A virtual host's identifier, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vhid(u8);

/// Whole seconds between advertisements, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdvBase(u8);

/// What comes on top of [`AdvBase`], 0 to 254 of 256 parts of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdvSkew(u8);

/// What comes on top of a group's demotion counter, 0 to 255: all that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demotion(u8);

impl Vhid {
    /// `ifcarp.c: setcarp_vhid`
    pub(crate) fn parse(text: &OsStr) -> Result<Vhid, Failure> {
        if not_above_zero(text) {
            return Err(Failure::message("vhid must be greater than 0"));
        }
        number("vhid", text, 1, 255).map(Vhid)
    }

    /// `carpr_vhid`; `None` for none.
    pub(crate) fn from_c_int(v: i32) -> Option<Vhid> {
        u8::try_from(v).ok().filter(|v| *v != 0).map(Vhid)
    }
}

impl AdvBase {
    /// `ifcarp.c: setcarp_advbase`
    pub(crate) fn parse(text: &OsStr) -> Result<AdvBase, Failure> {
        number("advbase", text, 0, 255).map(AdvBase)
    }
}

impl AdvSkew {
    /// `ifcarp.c: setcarp_advskew`. 255 is kept for the advertisement that
    /// gives a mastership up.
    pub(crate) fn parse(text: &OsStr) -> Result<AdvSkew, Failure> {
        number("advskew", text, 0, 254).map(AdvSkew)
    }
}

impl Demotion {
    /// OpenBSD's `ifconfig.c: setgroupattribs`
    pub(crate) fn parse(text: &OsStr) -> Result<Demotion, Failure> {
        number("carpdemote", text, 0, 255).map(Demotion)
    }
}

/// `af_inet6.c: in6_getprefix`, except for 0, of which upstream makes 128.
pub(crate) fn prefixlen(text: &OsStr) -> Result<u8, Failure> {
    number("prefixlen", text, 1, 128)
}

macro_rules! into_c_int {
    ($($t:ty),*) => {$(
        impl From<$t> for u8 {
            fn from(v: $t) -> u8 {
                v.0
            }
        }

        impl From<$t> for i32 {
            fn from(v: $t) -> i32 {
                v.0.into()
            }
        }
    )*};
}
impl From<Vhid> for u32 {
    fn from(v: Vhid) -> u32 {
        v.0.into()
    }
}

into_c_int!(Vhid, AdvBase, AdvSkew, Demotion);

fn number(keyword: &str, text: &OsStr, low: u8, high: u8) -> Result<u8, Failure> {
    digits(text).and_then(|d| d.parse().ok()).filter(|n| (low..=high).contains(n)).ok_or_else(|| {
        let text = text.to_string_lossy();
        Failure::Message(format!("{keyword} {text}: must be a number from {low} to {high}"))
    })
}

/// Decimal digits and nothing else; Rust's own parser takes a sign too.
pub(crate) fn digits(text: &OsStr) -> Option<&str> {
    text.to_str().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))
}

fn not_above_zero(text: &OsStr) -> bool {
    let Some(text) = text.to_str() else { return false };
    match text.strip_prefix('-') {
        Some(rest) => digits(rest.as_ref()).is_some(),
        None => digits(text.as_ref()).is_some_and(|d| d.bytes().all(|b| b == b'0')),
    }
}
