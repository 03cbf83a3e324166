//! Values of a scenario that say what was expected where another stands.

use super::Loss;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Addresses, with an example of each.
pub(super) trait Example: std::str::FromStr {
    const EXPECTED: &str;
}

impl Example for IpAddr {
    const EXPECTED: &str = "an address such as \"10.0.0.1\" or \"2001:db8::1\"";
}

impl Example for Ipv4Addr {
    const EXPECTED: &str = "an address such as \"10.0.0.1\"";
}

impl Example for ipnet::IpNet {
    const EXPECTED: &str = "an address with its prefix such as \"10.0.0.9/24\" or \"2001:db8::9/64\"";
}

impl Example for ipnet::Ipv4Net {
    const EXPECTED: &str = "an address with its prefix such as \"10.0.0.3/24\"";
}

/// An address.
pub(super) fn address<'de, T: Example, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    let text = String::deserialize(d)?;
    text.parse().map_err(|_| D::Error::custom(format!("expected {}, not {text:?}", T::EXPECTED)))
}

impl<'de> Deserialize<'de> for Loss {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Loss, D::Error> {
        d.deserialize_any(LossVisitor)
    }
}

struct LossVisitor;

impl Visitor<'_> for LossVisitor {
    type Value = Loss;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of pings such as 10, or a share of them from 0.0 to 1.0")
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Loss, E> {
        let count = u64::try_from(n).map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))?;
        Ok(Loss::Count(count))
    }

    fn visit_f64<E: Error>(self, share: f64) -> Result<Loss, E> {
        if !(0.0..=1.0).contains(&share) {
            return Err(E::invalid_value(Unexpected::Float(share), &self));
        }
        Ok(Loss::Share(share))
    }
}
