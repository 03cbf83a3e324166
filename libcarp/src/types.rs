//! The numbers of the protocol, each with its range.

use crate::carpreq::CARP_KEY_LEN;
use core::fmt;
use core::num::NonZeroU8;
use std::time::Duration;
use zeroize::Zeroize;

/// A virtual host id, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vhid(NonZeroU8);

impl Vhid {
    /// `None` for 0.
    pub const fn new(v: u8) -> Option<Vhid> {
        match NonZeroU8::new(v) {
            Some(v) => Some(Vhid(v)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The virtual MAC, 00:00:5e:00:01:VHID.
    pub const fn lladdr(self) -> [u8; 6] {
        [0, 0, 0x5e, 0, 1, self.0.get()]
    }
}

impl fmt::Display for Vhid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `carp_etheraddr`: the MAC of a carp interface that has no vhid yet.
pub const CARP_ETHERADDR: [u8; 6] = [0, 0, 0x5e, 0, 1, 0];

/// How often an advertisement comes: `advbase` seconds and `advskew` 256ths.
/// Compared as upstream compares its `timeval`s, in whole microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(Duration);

impl Interval {
    /// `tv_sec = advbase; tv_usec = advskew * 1000000 / 256`
    pub const fn new(advbase: u16, advskew: u8) -> Interval {
        let skew = Duration::from_micros(advskew as u64 * 1_000_000 / 256);
        Interval(Duration::from_secs(advbase as u64).saturating_add(skew))
    }

    /// As the time of a callout: never less than one step of the skew. An
    /// owner's skew is 0, so that with advbase 0 there would be no pause.
    pub fn duration(self) -> Duration {
        self.0.max(Interval::new(0, 1).0)
    }
}

/// `sc_advskew` that a suppressed machine advertises, unless its own is higher.
pub const SUPPRESSED_ADVSKEW: u8 = 240;
/// What a bow-out has for advbase and advskew.
pub const BOW_OUT: u8 = 255;

/// `sc_key`: a password and NULs. Never printed, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Key([u8; CARP_KEY_LEN]);

impl Key {
    /// The bytes up to the first NUL; whatever follows it is cleared, so that
    /// no longer password's tail stays behind.
    pub fn new(raw: &[u8; CARP_KEY_LEN]) -> Key {
        let mut key = Key::default();
        for (k, r) in key.0.iter_mut().zip(raw.iter().take_while(|b| **b != 0)) {
            *k = *r;
        }
        key
    }

    /// The bytes, for the HMAC and for `SIOCGVH`.
    pub fn bytes(&self) -> &[u8; CARP_KEY_LEN] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_truncates_to_microseconds() {
        assert_eq!(Interval::new(1, 100).duration(), Duration::from_micros(1_390_625));
        assert_eq!(Interval::new(0, 1).duration(), Duration::from_micros(3_906));
        assert!(Interval::new(1, 254) < Interval::new(2, 0));
    }

    #[test]
    fn no_interval_is_without_a_pause() {
        assert_eq!(Interval::new(0, 0).duration(), Duration::from_micros(3_906));
        assert!(Interval::new(0, 0) < Interval::new(0, 1));
    }

    #[test]
    fn a_shorter_password_leaves_nothing_of_a_longer_one() {
        let mut raw = *b"0123456789abcdefghi\0";
        raw[3] = 0;
        assert_eq!(Key::new(&raw).bytes(), b"012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(format!("{:?}", Key::new(&raw)), "Key(..)");
    }
}
