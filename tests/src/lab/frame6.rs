//! IPv6 in frames: packets, neighbour and listener discovery.

use super::forge::{checksum, ethernet};
use super::frame::{Frame, Mac, bytes};
use std::net::Ipv6Addr;

/// An IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet6<'a> {
    /// Where it comes from.
    pub src: Ipv6Addr,
    /// Where it goes to.
    pub dst: Ipv6Addr,
    /// The next header: 58 is ICMPv6, 112 CARP.
    pub next: u8,
    /// Hop limit.
    pub hlim: u8,
    /// What follows the header, without padding of the frame.
    pub payload: &'a [u8],
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nd {
    /// 135 asks, 136 answers.
    pub kind: u8,
    /// Who sends it.
    pub src: Ipv6Addr,
    /// To whom.
    pub dst: Ipv6Addr,
    /// Whose Ethernet address is asked for, or told.
    pub target: Ipv6Addr,
    /// The option with the sender's, or the target's, Ethernet address.
    pub lladdr: Option<Mac>,
}

/// The group that is asked for an address.
pub fn solicited_node(of: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = of.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from(b) << 8 | u16::from(c))
}

/// Who has `target`? Asked by `source` at `mac`, of those who may.
pub fn solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let [.., a, b, c, d] = group.octets();
    let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(&target.octets());
    icmp.extend_from_slice(&[1, 1]);
    icmp.extend_from_slice(&mac);
    ethernet([0x33, 0x33, a, b, c, d], mac, 0x86dd, &icmp6(source, group, 255, icmp))
}

/// An echo request of a station, to an Ethernet address.
pub fn echo_request6(to: Mac, mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let icmp = vec![128, 0, 0, 0, b'n', b'l', 0, 1, b'h', b'i'];
    ethernet(to, mac, 0x86dd, &icmp6(source, target, 64, icmp))
}

/// An ICMPv6 message in its packet, with its checksum.
fn icmp6(src: Ipv6Addr, dst: Ipv6Addr, hlim: u8, mut icmp: Vec<u8>) -> Vec<u8> {
    let len = (icmp.len() as u16).to_be_bytes();
    let pseudo = [&src.octets()[..], &dst.octets(), &[0, 0], &len, &[0, 0, 0, 58], &icmp].concat();
    icmp[2..4].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    [&[0x60, 0, 0, 0], &len[..], &[58, hlim], &src.octets(), &dst.octets(), &icmp].concat()
}

impl Frame {
    /// Its IPv6 packet.
    pub fn ipv6(&self) -> Option<Packet6<'_>> {
        let b = self.bytes.get(14..).filter(|_| self.ethertype() == 0x86dd)?;
        let len = usize::from(u16::from_be_bytes(bytes(b, 4)?));
        Some(Packet6 {
            src: Ipv6Addr::from(bytes::<16>(b, 8)?),
            dst: Ipv6Addr::from(bytes::<16>(b, 24)?),
            next: *b.get(6)?,
            hlim: *b.get(7)?,
            payload: b.get(40..40 + len)?,
        })
    }

    /// Its message of neighbour discovery.
    pub fn nd(&self) -> Option<Nd> {
        let ip = self.ipv6().filter(|ip| ip.next == 58)?;
        let b = ip.payload;
        let kind = *b.first().filter(|k| matches!(k, 135 | 136))?;
        let target = Ipv6Addr::from(bytes::<16>(b, 8)?);
        let option = b.get(24..32).filter(|o| o[0] == kind - 134 && o[1] == 1);
        let lladdr = option.and_then(|o| bytes(o, 2));
        Some(Nd { kind, src: ip.src, dst: ip.dst, target, lladdr })
    }

    /// The groups that its MLDv2 report says are listened to.
    pub fn mld_joined(&self) -> Vec<Ipv6Addr> {
        let report = || {
            let ip = self.ipv6().filter(|ip| ip.next == 0)?;
            let b = ip.payload.get(8..).filter(|b| b.first() == Some(&143))?;
            let count = u16::from_be_bytes(bytes(b, 6)?);
            let (mut at, mut joined) = (8, Vec::new());
            for _ in 0..count {
                let [kind, aux] = bytes(b, at)?;
                let sources = u16::from_be_bytes(bytes(b, at + 2)?);
                // exclude mode, or a change to it: from everybody but nobody
                if matches!(kind, 2 | 4) && sources == 0 {
                    joined.push(Ipv6Addr::from(bytes::<16>(b, at + 4)?));
                }
                at += 20 + 16 * usize::from(sources) + 4 * usize::from(aux);
            }
            Some(joined)
        };
        report().unwrap_or_default()
    }
}
