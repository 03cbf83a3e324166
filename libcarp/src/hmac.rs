//! The digest: `carp_hmac_prepare`, `carp_hmac_generate`, `carp_hmac_verify`.
//!
//! HMAC-SHA1 under the key, over version, type, vhid, the virtual addresses in
//! ascending order, IPv4 first, and the counter. Everything but the counter
//! changes only with the configuration, so it is hashed once for each change;
//! an advertisement costs two blocks of SHA1.
//!
//! OpenBSD leaves link-local addresses out when it sends. So there are two
//! forms; both are accepted, and a sysctl says which one is sent.

use crate::header::{CARP_ADVERTISEMENT, CARP_VERSION, Counter, Digest};
use crate::types::Key;
use core::net::IpAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// `sc_sha1` and `sc_pad`: all of the digest but the counter.
#[derive(Clone)]
pub struct CarpHmac {
    all: Hmac<Sha1>,
    /// Where there are link-local addresses: without them.
    global: Option<Hmac<Sha1>>,
}

/// Which addresses a digest covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of them.
    All,
    /// All but link-local ones.
    Global,
}

impl CarpHmac {
    /// `carp_hmac_prepare`. `addrs` are all virtual addresses, the inactive
    /// ones too, ascending.
    #[doc(alias = "carp_hmac_prepare")]
    pub fn prepare(key: &Key, vhid: u8, addrs: &[IpAddr]) -> CarpHmac {
        let over = |addrs: &mut dyn Iterator<Item = &IpAddr>| {
            let mut mac = keyed(key);
            mac.update(&[CARP_VERSION, CARP_ADVERTISEMENT, vhid]);
            for a in addrs {
                match a {
                    IpAddr::V4(a) => mac.update(&a.octets()),
                    IpAddr::V6(a) => mac.update(&a.octets()),
                }
            }
            mac
        };
        let all = over(&mut addrs.iter());
        let is_linklocal = |a: &IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
        let global =
            addrs.iter().any(is_linklocal).then(|| over(&mut addrs.iter().filter(|a| !is_linklocal(a))));
        CarpHmac { all, global }
    }

    /// `carp_hmac_generate`
    #[doc(alias = "carp_hmac_generate")]
    pub fn generate(&self, counter: Counter, form: Form) -> Digest {
        let mac = match (form, &self.global) {
            (Form::Global, Some(global)) => global,
            _ => &self.all,
        };
        digest(mac, counter)
    }

    /// `carp_hmac_verify`, in constant time; either form will do.
    #[doc(alias = "carp_hmac_verify")]
    pub fn verify(&self, counter: Counter, md: &Digest) -> bool {
        let is = |mac: &Hmac<Sha1>| bool::from(digest(mac, counter).ct_eq(md));
        is(&self.all) || self.global.as_ref().is_some_and(is)
    }
}

fn digest(mac: &Hmac<Sha1>, counter: Counter) -> Digest {
    let mut mac = mac.clone();
    mac.update(&counter.0.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// HMAC pads a key of up to 64 bytes with zeros, so that the array given to it
/// is the block that upstream builds in `sc_pad`. A key is never too long.
fn keyed(key: &Key) -> Hmac<Sha1> {
    let mut block = hmac::digest::Key::<Hmac<Sha1>>::default();
    block[..key.bytes().len()].copy_from_slice(key.bytes());
    Hmac::<Sha1>::new(&block)
}

/// Which of `count` vhids that share `target` answers `source`: the same on
/// every machine that has the key, and nobody else's to choose.
pub fn balance(key: &Key, target: IpAddr, source: IpAddr, count: usize) -> usize {
    let mut mac = keyed(key);
    mac.update(b"balance");
    for a in [target, source] {
        match a {
            IpAddr::V4(a) => mac.update(&a.to_ipv6_mapped().octets()),
            IpAddr::V6(a) => mac.update(&a.octets()),
        }
    }
    let md: Digest = mac.finalize().into_bytes().into();
    let [a, b, c, d, ..] = md;
    u32::from_be_bytes([a, b, c, d]) as usize % count.max(1)
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
            let mac = CarpHmac::prepare(&key(pass), vhid, &[addr.into()]);
            let other = CarpHmac::prepare(&key(b"other"), vhid, &[addr.into()]);
            for h in ads {
                assert_eq!(h.vhid, vhid, "{file}");
                assert!(mac.verify(h.counter, &h.md), "{file}: {h:?}");
                assert!(!mac.verify(Counter(h.counter.0 ^ 1), &h.md), "{file}");
                assert!(!other.verify(h.counter, &h.md), "{file}");
            }
        }
    }
}
