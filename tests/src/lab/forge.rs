//! Frames that a peer, or nobody in their right mind, would send.

use super::frame::{Mac, virtual_mac};
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use std::net::Ipv4Addr;

/// Where an advertisement starts in its frame.
const CARP: usize = 34;

/// An advertisement to forge; [`Forge::frame`] makes it.
#[derive(Clone, Debug)]
pub struct Forge {
    /// The virtual host.
    pub vhid: u8,
    /// Seconds between advertisements.
    pub advbase: u8,
    /// And 256ths of a second.
    pub advskew: u8,
    /// The password.
    pub pass: &'static str,
    /// The virtual addresses, in any order.
    pub addrs: Vec<Ipv4Addr>,
    /// The counter.
    pub counter: u64,
    /// Who claims to send it.
    pub src: Ipv4Addr,
    /// The Ethernet destination.
    pub to: Mac,
}

impl Forge {
    /// A correct advertisement of vhid 1, 1/254: worse than everybody's.
    pub fn worse(src: Ipv4Addr, pass: &'static str, addr: Ipv4Addr) -> Forge {
        Forge {
            vhid: 1,
            advbase: 1,
            advskew: 254,
            pass,
            addrs: vec![addr],
            counter: 0x1234_5678_9abc_def0,
            src,
            to: [1, 0, 0x5e, 0, 0, 0x12],
        }
    }

    /// The frame, 70 bytes.
    pub fn frame(&self) -> Vec<u8> {
        let mut carp = vec![0x21, self.vhid, self.advskew, 7, 0, self.advbase, 0, 0];
        carp.extend_from_slice(&self.counter.to_be_bytes());
        carp.extend_from_slice(&digest(self.pass, self.vhid, &self.addrs, self.counter));
        let ip = ipv4(self.src, Ipv4Addr::new(224, 0, 0, 18), 112, 255, &carp);
        let mut frame = ethernet(self.to, virtual_mac(self.vhid), 0x0800, &ip);
        seal(&mut frame);
        frame
    }
}

/// The HMAC of an advertisement of IPv4 addresses.
pub fn digest(pass: &str, vhid: u8, addrs: &[Ipv4Addr], counter: u64) -> [u8; 20] {
    let mut key = [0; 20];
    key[..pass.len()].copy_from_slice(pass.as_bytes());
    let mut addrs = addrs.to_vec();
    addrs.sort_unstable();
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("any key length is good");
    mac.update(&[2, 1, vhid]);
    addrs.iter().for_each(|a| mac.update(&a.octets()));
    mac.update(&counter.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// A frame, padded to nothing.
pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with `DF` and a correct header checksum.
pub fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut ip = [&[0x45, 0x10], &total.to_be_bytes()[..], &[0, 0, 0x40, 0, ttl, protocol, 0, 0]].concat();
    ip.extend_from_slice(&src.octets());
    ip.extend_from_slice(&dst.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend_from_slice(payload);
    ip
}

/// An echo request of a station, to an Ethernet address.
pub fn echo_request(to: Mac, mac: Mac, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut icmp = [8, 0, 0, 0, b'n', b'l', 0, 1, b'h', b'i'];
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    ethernet(to, mac, 0x0800, &ipv4(source, target, 1, 64, &icmp))
}

/// Makes the advertisement's own checksum right again.
pub fn seal(frame: &mut [u8]) {
    frame[CARP + 6..CARP + 8].fill(0);
    let sum = checksum(&frame[CARP..]);
    frame[CARP + 6..CARP + 8].copy_from_slice(&sum.to_be_bytes());
}

/// The Internet checksum; 0 over what carries its own correctly.
pub fn checksum(bytes: &[u8]) -> u16 {
    let word = |c: &[u8]| u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first advertisement of `captures/ucarp-v1-secret.pcap`.
    #[test]
    fn a_digest_is_the_one_that_ucarp_computes() {
        let addr = Ipv4Addr::new(10, 77, 0, 100);
        let ours = digest("secret", 1, &[addr], 7_247_970_506_658_761_952);
        let theirs = [
            0x79, 0xe6, 0x1c, 0xa3, 0x45, 0x13, 0x5a, 0x69, 0x77, 0xeb, 0x06, 0xbc, 0x52, 0x96, 0xd3, 0x7c,
            0xf5, 0xe2, 0x02, 0x62,
        ];
        assert_eq!(ours, theirs);
    }

    #[test]
    fn what_is_sealed_sums_up_to_nothing() {
        let addr = Ipv4Addr::new(10, 77, 0, 100);
        let frame = Forge::worse(Ipv4Addr::new(10, 77, 0, 3), "secret", addr).frame();
        assert_eq!(frame.len(), 70);
        assert_eq!((checksum(&frame[14..34]), checksum(&frame[34..])), (0, 0));
    }
}
