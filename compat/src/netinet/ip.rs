//! `netinet/ip.h`: the IPv4 header.

use super::in_::in_cksum;
use core::net::Ipv4Addr;

/// Bytes of a header without options.
pub const IP_HDR_LEN: usize = 20;
/// `IPTOS_LOWDELAY`
pub const IPTOS_LOWDELAY: u8 = 0x10;

/// Why a header is not one: what `ip_input` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIp {
    /// `ips_toosmall`: less than 20 bytes.
    TooSmall,
    /// `ips_badvers`
    BadVersion,
    /// `ips_badhlen`: header length below 20 or beyond the data.
    BadHeaderLen,
    /// `ips_badsum`
    BadSum,
    /// `ips_badlen`: total length less than the header.
    BadLen,
    /// `ips_tooshort`: total length beyond the data.
    TooShort,
}

/// `struct ip`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// `ip_hl`, in bytes.
    pub hlen: usize,
    /// `ip_tos`
    pub tos: u8,
    /// `ip_len`: bytes of header and data.
    pub len: usize,
    /// `ip_id`
    pub id: u16,
    /// `ip_off`, flags included.
    pub off: u16,
    /// `ip_ttl`
    pub ttl: u8,
    /// `ip_p`
    pub p: u8,
    /// `ip_src`
    pub src: Ipv4Addr,
    /// `ip_dst`
    pub dst: Ipv4Addr,
}

/// `IP_DF`
pub const IP_DF: u16 = 0x4000;
/// `IP_MF`
pub const IP_MF: u16 = 0x2000;
/// `IP_OFFMASK`
pub const IP_OFFMASK: u16 = 0x1fff;

impl Ip {
    /// Reads and checks a header, in the order of upstream's `ip_input`.
    pub fn parse(data: &[u8]) -> Result<Ip, BadIp> {
        let h: &[u8; IP_HDR_LEN] = data.first_chunk().ok_or(BadIp::TooSmall)?;
        if h[0] >> 4 != 4 {
            return Err(BadIp::BadVersion);
        }
        let hlen = usize::from(h[0] & 0xf) * 4;
        let header = data.get(..hlen).filter(|_| hlen >= IP_HDR_LEN).ok_or(BadIp::BadHeaderLen)?;
        if in_cksum(header) != 0 {
            return Err(BadIp::BadSum);
        }
        let len = usize::from(u16::from_be_bytes([h[2], h[3]]));
        if len < hlen {
            return Err(BadIp::BadLen);
        }
        if len > data.len() {
            return Err(BadIp::TooShort);
        }
        Ok(Ip {
            hlen,
            tos: h[1],
            len,
            id: u16::from_be_bytes([h[4], h[5]]),
            off: u16::from_be_bytes([h[6], h[7]]),
            ttl: h[8],
            p: h[9],
            src: Ipv4Addr::new(h[12], h[13], h[14], h[15]),
            dst: Ipv4Addr::new(h[16], h[17], h[18], h[19]),
        })
    }

    /// Whether it is a piece of a larger packet.
    pub fn is_fragment(&self) -> bool {
        self.off & (IP_MF | IP_OFFMASK) != 0
    }

    /// A packet of this header, without options, and `payload`. `hlen` and
    /// `len` are computed.
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let len = IP_HDR_LEN + payload.len();
        let mut p = Vec::with_capacity(len);
        p.extend_from_slice(&[0x45, self.tos]);
        p.extend_from_slice(&(len as u16).to_be_bytes());
        p.extend_from_slice(&self.id.to_be_bytes());
        p.extend_from_slice(&self.off.to_be_bytes());
        p.extend_from_slice(&[self.ttl, self.p, 0, 0]);
        p.extend_from_slice(&self.src.octets());
        p.extend_from_slice(&self.dst.octets());
        let sum = in_cksum(&p).to_be_bytes();
        p[10..12].copy_from_slice(&sum);
        p.extend_from_slice(payload);
        p
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let ip = Ip {
            hlen: 20,
            tos: 0,
            len: 0,
            id: 7,
            off: IP_DF,
            ttl: 64,
            p: 1,
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
        };
        ip.packet(b"data")
    }

    #[test]
    fn round_trip() {
        let p = sample();
        let ip = Ip::parse(&p).unwrap();
        assert_eq!((ip.len, ip.hlen, ip.id, ip.ttl, ip.is_fragment()), (24, 20, 7, 64, false));
        assert_eq!(ip.packet(b"data"), p);
    }

    #[test]
    fn each_bad_header_has_its_reason() {
        let p = sample();
        let with = |f: &dyn Fn(&mut Vec<u8>)| {
            let mut q = p.clone();
            f(&mut q);
            q[10..12].fill(0);
            let hl = (usize::from(q[0] & 15) * 4).min(q.len());
            let s = in_cksum(&q[..hl]).to_be_bytes();
            q[10..12].copy_from_slice(&s);
            Ip::parse(&q)
        };
        assert_eq!(Ip::parse(&p[..19]), Err(BadIp::TooSmall));
        assert_eq!(with(&|q| q[0] = 0x65), Err(BadIp::BadVersion));
        assert_eq!(with(&|q| q[0] = 0x44), Err(BadIp::BadHeaderLen));
        assert_eq!(with(&|q| q[0] = 0x4f), Err(BadIp::BadHeaderLen));
        assert_eq!(with(&|q| q[3] = 19), Err(BadIp::BadLen));
        assert_eq!(with(&|q| q[3] = 25), Err(BadIp::TooShort));
        let mut q = p.clone();
        q[8] = 1;
        assert_eq!(Ip::parse(&q), Err(BadIp::BadSum));
    }
}
