//! The digest: `carp_hmac_prepare`, `carp_hmac_generate`, `carp_hmac_verify`.
//!
//! HMAC-SHA1 under the key, over version, type, vhid, the virtual addresses in
//! ascending order, and the counter. Everything but the counter changes only
//! with the configuration, so it is hashed once for each change; an
//! advertisement costs two blocks of SHA1.

use crate::header::{CARP_ADVERTISEMENT, CARP_VERSION, Counter, Digest};
use crate::types::Key;
use core::net::Ipv4Addr;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// `sc_sha1` and `sc_pad`: all of the digest but the counter.
#[derive(Clone)]
pub struct CarpHmac(Hmac<Sha1>);

impl CarpHmac {
    /// `carp_hmac_prepare`. `addrs` are all virtual addresses, the inactive
    /// ones too, ascending.
    #[doc(alias = "carp_hmac_prepare")]
    pub fn prepare(key: &Key, vhid: u8, addrs: impl Iterator<Item = Ipv4Addr>) -> CarpHmac {
        // HMAC pads a key of up to 64 bytes with zeros, so that this array is
        // the block that upstream builds in sc_pad. It is never too long.
        let mut block = hmac::digest::Key::<Hmac<Sha1>>::default();
        block[..key.bytes().len()].copy_from_slice(key.bytes());
        let mut mac = Hmac::<Sha1>::new(&block);
        mac.update(&[CARP_VERSION, CARP_ADVERTISEMENT, vhid]);
        for a in addrs {
            mac.update(&a.octets());
        }
        CarpHmac(mac)
    }

    /// `carp_hmac_generate`
    #[doc(alias = "carp_hmac_generate")]
    pub fn generate(&self, counter: Counter) -> Digest {
        let mut mac = self.0.clone();
        mac.update(&counter.0.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// `carp_hmac_verify`, in constant time.
    #[doc(alias = "carp_hmac_verify")]
    pub fn verify(&self, counter: Counter, md: &Digest) -> bool {
        self.generate(counter).ct_eq(md).into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::header::CarpHeader;
    use compat::netinet::ip::Ip;

    fn key(s: &[u8]) -> Key {
        let mut raw = [0; 20];
        raw[..s.len()].copy_from_slice(s);
        Key::new(&raw)
    }

    /// Each advertisement of a capture, with its IP header's sender.
    fn advertisements(file: &str) -> Vec<CarpHeader> {
        let path = format!("{}/../tests/captures/{file}", env!("CARGO_MANIFEST_DIR"));
        let f = std::fs::File::open(&path).expect(&path);
        let mut r = pcap_file::pcap::PcapReader::new(f).unwrap();
        let mut out = Vec::new();
        while let Some(p) = r.next_packet() {
            let p = p.unwrap();
            if p.data.len() < 34 || p.data[12..14] != [8, 0] {
                continue;
            }
            let ip = Ip::parse(&p.data[14..]).unwrap();
            if ip.p == 112 {
                out.push(CarpHeader::parse(&p.data[14 + ip.hlen..14 + ip.len]).unwrap());
            }
        }
        out
    }

    #[test]
    fn every_captured_digest_verifies_and_no_altered_one() {
        let cases: [(&str, u8, &[u8], [u8; 4]); 5] = [
            ("ucarp-v1-secret.pcap", 1, b"secret", [10, 77, 0, 100]),
            ("ucarp-takeover.pcap", 1, b"secret", [10, 77, 0, 100]),
            ("ucarp-v255-19chr.pcap", 255, b"0123456789abcdefghi", [10, 77, 0, 254]),
            ("ucarp-v7-b2k200.pcap", 7, "p w!é".as_bytes(), [192, 0, 2, 7]),
            ("ucarp-v9-nomcast.pcap", 9, b"x", [10, 77, 0, 109]),
        ];
        for (file, vhid, pass, addr) in cases {
            let ads = advertisements(file);
            assert!(ads.len() >= 2, "{file}: {} advertisements", ads.len());
            let mac = CarpHmac::prepare(&key(pass), vhid, [addr.into()].into_iter());
            let other = CarpHmac::prepare(&key(b"other"), vhid, [addr.into()].into_iter());
            for h in ads {
                assert_eq!(h.vhid, vhid, "{file}");
                assert!(mac.verify(h.counter, &h.md), "{file}: {h:?}");
                assert!(!mac.verify(Counter(h.counter.0 ^ 1), &h.md), "{file}");
                assert!(!other.verify(h.counter, &h.md), "{file}");
            }
        }
    }
}
