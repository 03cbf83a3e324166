//! Ethernet frames, read just far enough to say what a test wants to know.

use super::frame6::Packet6;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// `ff:ff:ff:ff:ff:ff`.
pub const BROADCAST: Mac = [0xff; 6];

/// The Ethernet address of a virtual host: `00:00:5e:00:01:vhid`.
pub fn virtual_mac(vhid: u8) -> Mac {
    [0, 0, 0x5e, 0, 1, vhid]
}

/// An Ethernet address as `ip` writes it.
pub fn show_mac(mac: Mac) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

pub(super) fn parse_mac(text: &str) -> Mac {
    let mut bytes = text.split(':').map(|b| u8::from_str_radix(b, 16).expect("an Ethernet address"));
    std::array::from_fn(|_| bytes.next().expect("six bytes"))
}

/// Who has `target`? Asked by `source` at `mac`.
pub fn arp_request(mac: Mac, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&BROADCAST[..], &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &mac].concat();
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&target.octets());
    frame
}

/// A frame as it was on the wire.
#[derive(Clone)]
pub struct Frame {
    /// When it was read, on a clock that only goes forward.
    pub at: Instant,
    /// When the kernel stamped it, since 1970.
    pub stamp: Duration,
    /// All of it, from the destination on.
    pub bytes: Vec<u8>,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub op: u16,
    /// Sender's Ethernet address.
    pub sha: Mac,
    /// Sender's IP address.
    pub spa: Ipv4Addr,
    /// Target's Ethernet address.
    pub tha: Mac,
    /// Target's IP address.
    pub tpa: Ipv4Addr,
}

/// An IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Where it comes from.
    pub src: Ipv4Addr,
    /// Where it goes to.
    pub dst: Ipv4Addr,
    /// 1 is ICMP, 112 CARP.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// What follows the header, without padding of the frame.
    pub payload: &'a [u8],
}

/// A CARP advertisement over IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The advertiser's own address.
    pub src: IpAddr,
    /// Where it is sent.
    pub dst: IpAddr,
    /// The virtual host.
    pub vhid: u8,
    /// Seconds between advertisements.
    pub advbase: u8,
    /// And 256ths of a second.
    pub advskew: u8,
    /// The counter.
    pub counter: u64,
    /// The HMAC.
    pub digest: [u8; 20],
}

impl Advert {
    /// Whether it tells that its sender is going away.
    pub fn is_bow_out(&self) -> bool {
        (self.advbase, self.advskew) == (255, 255)
    }
}

impl Frame {
    /// Destination.
    pub fn dst(&self) -> Mac {
        bytes(&self.bytes, 0).unwrap_or_default()
    }

    /// Source.
    pub fn src(&self) -> Mac {
        bytes(&self.bytes, 6).unwrap_or_default()
    }

    /// The Ethernet type.
    pub fn ethertype(&self) -> u16 {
        u16::from_be_bytes(bytes(&self.bytes, 12).unwrap_or_default())
    }

    /// Its ARP packet, if it is one for IPv4 over Ethernet.
    pub fn arp(&self) -> Option<Arp> {
        let b = self.bytes.get(14..).filter(|b| self.ethertype() == 0x0806 && b.len() >= 28)?;
        Some(Arp {
            op: u16::from_be_bytes(bytes(b, 6)?),
            sha: bytes(b, 8)?,
            spa: Ipv4Addr::from(bytes::<4>(b, 14)?),
            tha: bytes(b, 18)?,
            tpa: Ipv4Addr::from(bytes::<4>(b, 24)?),
        })
    }

    /// Its IPv4 packet.
    pub fn ipv4(&self) -> Option<Packet<'_>> {
        let b = self.bytes.get(14..).filter(|_| self.ethertype() == 0x0800)?;
        let header = usize::from(b.first()? & 15) * 4;
        let total = usize::from(u16::from_be_bytes(bytes(b, 2)?));
        Some(Packet {
            src: Ipv4Addr::from(bytes::<4>(b, 12)?),
            dst: Ipv4Addr::from(bytes::<4>(b, 16)?),
            protocol: *b.get(9)?,
            ttl: *b.get(8)?,
            payload: b.get(header..total)?,
        })
    }

    /// Its advertisement.
    pub fn advert(&self) -> Option<Advert> {
        let v4 = self.ipv4().map(|ip| (ip.protocol, IpAddr::from(ip.src), IpAddr::from(ip.dst), ip.payload));
        let v6 = || self.ipv6().map(|ip| (ip.next, ip.src.into(), ip.dst.into(), ip.payload));
        let (_, src, dst, b) = v4.or_else(v6).filter(|(protocol, ..)| *protocol == 112)?;
        Some(Advert {
            src,
            dst,
            vhid: *b.get(1)?,
            advskew: *b.get(2)?,
            advbase: *b.get(5)?,
            counter: u64::from_be_bytes(bytes(b, 8)?),
            digest: bytes(b, 16)?,
        })
    }

    /// Whether it is an advertisement of the host with that own address.
    pub fn is_advert_of(&self, src: impl Into<IpAddr>) -> bool {
        let src = src.into();
        self.advert().is_some_and(|a| a.src == src)
    }

    /// Whether it is an answer to a ping, from that address.
    pub fn is_echo_reply_of(&self, src: impl Into<IpAddr>) -> bool {
        let src = src.into();
        let v4 =
            self.ipv4().is_some_and(|ip| (ip.protocol, ip.payload.first()) == (1, Some(&0)) && ip.src == src);
        let of6 = |ip: Packet6<'_>| (ip.next, ip.payload.first()) == (58, Some(&129)) && ip.src == src;
        v4 || self.ipv6().is_some_and(of6)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} ", show_mac(self.src()), show_mac(self.dst()))?;
        if let Some(a) = self.arp() {
            write!(f, "arp {} {}@{} -> {}", a.op, a.spa, show_mac(a.sha), a.tpa)
        } else if let Some(a) = self.advert() {
            write!(f, "carp {} vhid {} {}/{} #{:x}", a.src, a.vhid, a.advbase, a.advskew, a.counter)
        } else if let Some(ip) = self.ipv4() {
            write!(f, "ip {} > {} proto {}", ip.src, ip.dst, ip.protocol)
        } else if let Some(nd) = self.nd() {
            write!(f, "{nd:?}")
        } else if let Some(ip) = self.ipv6() {
            write!(f, "ip6 {} > {} next {}", ip.src, ip.dst, ip.next)
        } else {
            write!(f, "type {:04x}, {} bytes", self.ethertype(), self.bytes.len())
        }
    }
}

pub(super) fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}
