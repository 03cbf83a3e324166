//! An advertisement and its digest, by the protocol's description.

use super::Config;
use crate::lab::record::Family;
use sha1::{Digest as _, Sha1};
use std::fmt;
use std::net::IpAddr;

/// An advertisement, as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Over which family.
    pub family: Family,
    /// The source address.
    pub from: IpAddr,
    /// Whose.
    pub vhid: u8,
    /// Seconds.
    pub advbase: u8,
    /// 256ths of a second.
    pub advskew: u8,
    /// Makes each digest another one.
    pub counter: u64,
    /// HMAC-SHA1 of vhid, addresses and counter.
    pub digest: [u8; 20],
}

impl Advert {
    /// The advertisement in an Ethernet frame; nothing if there is none, or one
    /// that nobody may take: cut short, a fragment, to no group, or with another
    /// TTL, version or checksum.
    pub fn parse(frame: &[u8]) -> Option<Advert> {
        let packet = frame.get(14..)?;
        let (family, ch) = match frame.get(12..14)? {
            [0x08, 0x00] => (Family::Ip, inet(packet)?),
            [0x86, 0xdd] => (Family::Ip6, inet6(packet)?),
            _ => return None,
        };
        let from = match family {
            Family::Ip => IpAddr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?),
            Family::Ip6 => IpAddr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?),
        };
        let ch = ch.get(..36)?;
        if ch[0] >> 4 != 2 || !sums_up(ch) {
            return None;
        }
        let counter = u64::from_be_bytes(ch[8..16].try_into().ok()?);
        let digest = ch[16..36].try_into().ok()?;
        Some(Advert { family, from, vhid: ch[1], advskew: ch[2], advbase: ch[5], counter, digest })
    }

    /// Whether it says good-bye.
    pub fn is_bow_out(&self) -> bool {
        (self.advbase, self.advskew) == (255, 255)
    }
}

impl fmt::Display for Advert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Advert { from, vhid, advbase, advskew, counter, .. } = self;
        write!(f, "vhid {vhid} {advbase}/{advskew} of {from}, {counter:016x}")
    }
}

/// An advertisement that must be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// By the parent of that number.
    pub parent: usize,
    /// In that family.
    pub family: Family,
    /// Seconds.
    pub advbase: u8,
    /// 256ths of a second.
    pub advskew: u8,
}

impl Owed {
    /// Whether it is that advertisement, sent there.
    pub fn is(&self, parent: usize, ad: &Advert) -> bool {
        let Owed { family, advbase, advskew, .. } = *self;
        (self.parent, family, advbase, advskew) == (parent, ad.family, ad.advbase, ad.advskew)
    }
}

/// What an IPv4 packet of protocol 112 carries.
fn inet(packet: &[u8]) -> Option<&[u8]> {
    let hlen = usize::from(packet.first()? & 0xf) * 4;
    let header = packet.get(..hlen).filter(|_| hlen >= 20)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let fragment = word(6) & 0x3fff != 0;
    let is_ours = header[0] >> 4 == 4 && header[8..10] == [255, 112] && header[16] >> 4 == 0xe;
    let whole = packet.get(hlen..usize::from(word(2)))?;
    (is_ours && !fragment && sums_up(header)).then_some(whole)
}

/// What an IPv6 packet of protocol 112 carries.
fn inet6(packet: &[u8]) -> Option<&[u8]> {
    let header = packet.get(..40)?;
    let plen = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // Nobody sends from a group, nor from itself to others.
    let from_one = header[8] != 0xff && u128::from_be_bytes(header[8..24].try_into().ok()?) != 1;
    let is_ours = header[0] >> 4 == 6 && header[6..8] == [112, 255] && header[24] == 0xff && from_one;
    packet.get(40..40 + plen).filter(|_| is_ours)
}

/// Whether the Internet checksum over it is right.
fn sums_up(bytes: &[u8]) -> bool {
    let sum: u32 = bytes.chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    (sum & 0xffff) + (sum >> 16) == 0xffff
}

/// HMAC-SHA1 over version, type, vhid, addresses and counter.
pub(super) fn digest(config: &Config, addrs: &[IpAddr], counter: u64) -> [u8; 20] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(config.key).for_each(|(b, k)| *b ^= k);
        Sha1::new().chain_update(block)
    };
    let mut inner = pad(0x36).chain_update([2, 1, config.vhid]);
    for addr in addrs {
        match addr {
            IpAddr::V4(a) => inner.update(a.octets()),
            IpAddr::V6(a) => inner.update(a.octets()),
        }
    }
    let inner = inner.chain_update(counter.to_be_bytes()).finalize();
    pad(0x5c).chain_update(inner).finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_from_a_group_or_from_oneself_is_none() {
        let of = |src: &str| {
            let src: std::net::Ipv6Addr = src.parse().unwrap();
            let mut frame =
                [&[0; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 112, 255], &src.octets()].concat();
            frame.extend(
                [&[0xff, 2][..], &[0; 13], &[0x12], &[0x21, 1, 0, 7, 0, 1, 0xde, 0xf6], &[0; 28]].concat(),
            );
            Advert::parse(&frame).is_some()
        };
        assert_eq!(["fe80::1", "::", "ff80::1", "::1"].map(of), [true, true, false, false]);
    }
}
