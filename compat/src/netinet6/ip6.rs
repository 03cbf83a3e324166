//! `netinet/ip6.h`: the IPv6 header.

use core::net::Ipv6Addr;

/// Bytes of the header.
pub const IP6_HDR_LEN: usize = 40;

/// Why a header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIp6 {
    /// `ip6s_toosmall`: less than 40 bytes.
    TooSmall,
    /// `ip6s_badvers`
    BadVersion,
    /// `ip6s_tooshort`: the payload goes beyond the data.
    TooShort,
    /// `ip6s_badscope`: a source that no packet can have.
    BadSource,
}

/// `struct ip6_hdr`, checked. Class and flow are sent as 0 and not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip6 {
    /// `ip6_plen`: bytes after the header.
    pub plen: usize,
    /// `ip6_nxt`
    pub nxt: u8,
    /// `ip6_hlim`
    pub hlim: u8,
    /// `ip6_src`
    pub src: Ipv6Addr,
    /// `ip6_dst`
    pub dst: Ipv6Addr,
}

impl Ip6 {
    /// Reads and checks a header, in the order of upstream's `ip6_input`.
    pub fn parse(data: &[u8]) -> Result<Ip6, BadIp6> {
        let h: &[u8; IP6_HDR_LEN] = data.first_chunk().ok_or(BadIp6::TooSmall)?;
        if h[0] >> 4 != 6 {
            return Err(BadIp6::BadVersion);
        }
        let addr = |at: usize| {
            let mut a = [0; 16];
            a.copy_from_slice(&h[at..at + 16]);
            Ipv6Addr::from(a)
        };
        let (src, dst) = (addr(8), addr(24));
        if src.is_multicast() || dst.is_unspecified() || src.is_loopback() || dst.is_loopback() {
            return Err(BadIp6::BadSource);
        }
        let plen = usize::from(u16::from_be_bytes([h[4], h[5]]));
        if IP6_HDR_LEN + plen > data.len() {
            return Err(BadIp6::TooShort);
        }
        Ok(Ip6 { plen, nxt: h[6], hlim: h[7], src, dst })
    }

    /// What follows the header in `packet`, which this header was read from.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(IP6_HDR_LEN..IP6_HDR_LEN + self.plen).unwrap_or(&[])
    }

    /// A packet of this header and `payload`. `plen` is computed.
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut p = Vec::with_capacity(IP6_HDR_LEN + payload.len());
        p.extend_from_slice(&[0x60, 0, 0, 0]);
        p.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        p.extend_from_slice(&[self.nxt, self.hlim]);
        p.extend_from_slice(&self.src.octets());
        p.extend_from_slice(&self.dst.octets());
        p.extend_from_slice(payload);
        p
    }
}

/// The pseudo-header and `data`, as `in6_cksum` sums them.
pub fn in6_cksum(src: Ipv6Addr, dst: Ipv6Addr, nxt: u8, data: &[u8]) -> u16 {
    let mut all = Vec::with_capacity(IP6_HDR_LEN + data.len());
    all.extend_from_slice(&src.octets());
    all.extend_from_slice(&dst.octets());
    all.extend_from_slice(&(data.len() as u32).to_be_bytes());
    all.extend_from_slice(&[0, 0, 0, nxt]);
    all.extend_from_slice(data);
    crate::netinet::in_::in_cksum(&all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Ip6 {
        let (src, dst) = ("fe80::1".parse().unwrap(), "ff02::12".parse().unwrap());
        Ip6 { plen: 4, nxt: 112, hlim: 255, src, dst }
    }

    #[test]
    fn round_trip() {
        let p = sample().packet(b"data");
        assert_eq!(Ip6::parse(&p), Ok(sample()));
        assert_eq!(sample().payload(&p), b"data");
        let mut longer = p.clone();
        longer.extend_from_slice(b"padding");
        assert_eq!(sample().payload(&longer), b"data");
    }

    #[test]
    fn each_bad_header_has_its_reason() {
        let p = sample().packet(b"data");
        assert_eq!(Ip6::parse(&p[..39]), Err(BadIp6::TooSmall));
        assert_eq!(Ip6::parse(&p[..43]), Err(BadIp6::TooShort));
        let with = |at: usize, v: u8| {
            let mut q = p.clone();
            q[at] = v;
            Ip6::parse(&q)
        };
        assert_eq!(with(0, 0x45), Err(BadIp6::BadVersion));
        assert_eq!(with(8, 0xff), Err(BadIp6::BadSource));
        assert_eq!(Ip6 { dst: Ipv6Addr::UNSPECIFIED, ..sample() }.packet(&[]).len(), 40);
        let to_nobody = Ip6 { dst: Ipv6Addr::UNSPECIFIED, ..sample() }.packet(&[]);
        assert_eq!(Ip6::parse(&to_nobody), Err(BadIp6::BadSource));
    }
}
