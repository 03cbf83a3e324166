//! `struct carp_header`: the 36 bytes of an advertisement.

use crate::types::Vhid;
use compat::netinet::in_::in_cksum;

/// Bytes of an advertisement.
pub const CARP_HEADER_LEN: usize = 36;
/// `CARP_DFLTTL`: what an advertisement's TTL must be.
pub const CARP_DFLTTL: u8 = 255;
/// `CARP_VERSION`
pub const CARP_VERSION: u8 = 2;
/// `CARP_ADVERTISEMENT`
pub const CARP_ADVERTISEMENT: u8 = 1;
/// `carp_authlen`: 32-bit words of counter and digest.
const AUTHLEN: u8 = 7;

const VERSION_TYPE: usize = 0;
/// Where the vhid is: `carp_input` looks at it before anything is checked.
pub const VHID: usize = 1;
const ADVSKEW: usize = 2;
const AUTH: usize = 3;
const ADVBASE: usize = 5;
const CKSUM: core::ops::Range<usize> = 6..8;
const COUNTER: core::ops::Range<usize> = 8..16;
const MD: core::ops::Range<usize> = 16..36;

/// `carp_counter`: part of the digest, and so of the proof that whoever sent
/// it knows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(pub u64);

/// `carp_md`
pub type Digest = [u8; 20];

/// Why 36 bytes are not an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// Fewer than 36 bytes.
    Short,
    /// The checksum is wrong.
    Cksum,
}

/// An advertisement. Type, authlen, the pad byte (OpenBSD puts its demotion
/// there) and whatever follows the 36 bytes are not looked at, as upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarpHeader {
    /// `carp_version`
    pub version: u8,
    /// `carp_vhid`; 0 is possible on the wire and matches nobody.
    pub vhid: u8,
    /// `carp_advskew`
    pub advskew: u8,
    /// `carp_advbase`
    pub advbase: u8,
    /// `carp_counter`
    pub counter: Counter,
    /// `carp_md`
    pub md: Digest,
}

impl CarpHeader {
    /// The header that `vhid` sends.
    pub fn new(vhid: Vhid, advbase: u8, advskew: u8, counter: Counter, md: Digest) -> CarpHeader {
        CarpHeader { version: CARP_VERSION, vhid: vhid.get(), advskew, advbase, counter, md }
    }

    /// Reads the header and checks its sum, which covers the 36 bytes only.
    pub fn parse(data: &[u8]) -> Result<CarpHeader, BadHeader> {
        let h: &[u8; CARP_HEADER_LEN] = data.first_chunk().ok_or(BadHeader::Short)?;
        if in_cksum(h) != 0 {
            return Err(BadHeader::Cksum);
        }
        let mut counter = [0; 8];
        counter.copy_from_slice(&h[COUNTER]);
        let mut md = [0; 20];
        md.copy_from_slice(&h[MD]);
        Ok(CarpHeader {
            version: h[VERSION_TYPE] >> 4,
            vhid: h[VHID],
            advskew: h[ADVSKEW],
            advbase: h[ADVBASE],
            counter: Counter(u64::from_be_bytes(counter)),
            md,
        })
    }

    /// The bytes, checksum included.
    pub fn emit(&self) -> [u8; CARP_HEADER_LEN] {
        let mut h = [0; CARP_HEADER_LEN];
        h[VERSION_TYPE] = self.version << 4 | CARP_ADVERTISEMENT;
        h[VHID] = self.vhid;
        h[ADVSKEW] = self.advskew;
        h[AUTH] = AUTHLEN;
        h[ADVBASE] = self.advbase;
        h[COUNTER].copy_from_slice(&self.counter.0.to_be_bytes());
        h[MD].copy_from_slice(&self.md);
        let sum = in_cksum(&h).to_be_bytes();
        h[CKSUM].copy_from_slice(&sum);
        h
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let vhid = Vhid::new(7).unwrap();
        let h = CarpHeader::new(vhid, 2, 200, Counter(0x0102_0304_0506_0708), [0xaa; 20]);
        let b = h.emit();
        assert_eq!(&b[..6], &[0x21, 7, 200, 7, 0, 2]);
        assert_eq!(&b[8..16], &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(&b[16..], &[0xaa; 20]);
        assert_eq!(in_cksum(&b), 0);
        assert_eq!(CarpHeader::parse(&b), Ok(h));
    }

    #[test]
    fn short_and_damaged_headers_are_told_apart() {
        let b = CarpHeader::new(Vhid::new(1).unwrap(), 1, 0, Counter(1), [0; 20]).emit();
        assert_eq!(CarpHeader::parse(&b[..35]), Err(BadHeader::Short));
        for i in 0..CARP_HEADER_LEN {
            let mut c = b;
            c[i] ^= 0x40;
            assert_eq!(CarpHeader::parse(&c), Err(BadHeader::Cksum), "byte {i}");
        }
        let mut long = b.to_vec();
        long.push(0xff);
        assert!(CarpHeader::parse(&long).is_ok());
    }

    #[test]
    fn a_pad_byte_that_is_not_zero_is_accepted() {
        let mut b = CarpHeader::new(Vhid::new(1).unwrap(), 1, 0, Counter(1), [0; 20]).emit();
        b[4] = 3;
        b[6..8].fill(0);
        let sum = in_cksum(&b).to_be_bytes();
        b[6..8].copy_from_slice(&sum);
        assert!(CarpHeader::parse(&b).is_ok());
    }
}
