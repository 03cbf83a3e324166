//! Whatever parses, written again and parsed again, is the same; and both of our
//! readers of an advertisement, the machine's and the reference model's, take the
//! same.

use super::Bytes;
use compat::net::ethernet::EtherHeader;
use compat::net::if_dl::SockAddrDl;
use compat::netinet::ip::{IP_HDR_LEN, Ip};
use compat::netinet6::icmp6::{self, Nd};
use compat::netinet6::ip6::Ip6;
use compat::sys::ctlsock::{Reply, Request};
use libcarp::header::{CARP_DFLTTL, CARP_VERSION, CarpHeader};
use netisrd::lab::model::Advert;
use netisrd::netinet::if_ether::Arp;
use zerocopy::FromBytes;

/// The first byte chooses the parser.
pub fn run(data: &[u8]) {
    let mut data = Bytes::new(data);
    let which = data.byte() % 8;
    let data = data.rest();
    match which {
        0 => ethernet(data),
        1 => ip(data),
        2 => ip6(data),
        3 => carp(data),
        4 => arp(data),
        5 => advert(data),
        6 => control(data),
        _ => link_address(data),
    }
}

fn ethernet(frame: &[u8]) {
    if let Some(eh) = EtherHeader::parse(frame) {
        assert_eq!(eh.frame(&frame[14..]), frame);
    }
}

fn ip(packet: &[u8]) {
    let Ok(ip) = Ip::parse(packet) else { return };
    let payload = &packet[ip.hlen..ip.len];
    let again = ip.packet(payload);
    // Options are not written.
    let same = Ip { hlen: IP_HDR_LEN, len: ip.len - ip.hlen + IP_HDR_LEN, ..ip };
    assert_eq!(Ip::parse(&again), Ok(same));
    assert_eq!(&again[IP_HDR_LEN..], payload);
}

fn ip6(packet: &[u8]) {
    let Ok(ip6) = Ip6::parse(packet) else { return };
    let payload = ip6.payload(packet);
    assert_eq!(payload.len(), ip6.plen);
    assert_eq!(Ip6::parse(&ip6.packet(payload)), Ok(ip6));
    neighbour(&ip6, payload);
    if icmp6::cksum_ok(&ip6, payload) {
        let reply = icmp6::echo_reply(ip6.dst, ip6.src, payload);
        assert!(icmp6::cksum_ok(&Ip6 { src: ip6.dst, dst: ip6.src, ..ip6 }, &reply));
        assert_eq!(reply[4..], payload[4..]);
    }
}

fn neighbour(ip6: &Ip6, message: &[u8]) {
    let Some(nd) = Nd::parse(ip6, message) else { return };
    let again = nd.emit(ip6.src, ip6.dst);
    assert!(icmp6::cksum_ok(ip6, &again));
    assert_eq!(Nd::parse(ip6, &again), Some(nd));
}

fn carp(data: &[u8]) {
    let Ok(ch) = CarpHeader::parse(data) else { return };
    assert_eq!(CarpHeader::parse(&ch.emit()), Ok(ch));
}

fn arp(data: &[u8]) {
    let Some(arp) = Arp::parse(data) else { return };
    let again = arp.emit(data[18..24].try_into().expect("six bytes"));
    assert_eq!(again, data[..28]);
}

/// The machine takes what the reference model takes, and nothing else.
fn advert(frame: &[u8]) {
    let body = frame.get(14..).and_then(|packet| match frame[12..14] {
        [0x08, 0x00] => {
            let ip = Ip::parse(packet).ok().filter(|ip| !ip.is_fragment() && ip.dst.is_multicast())?;
            (ip.p == 112 && ip.ttl == CARP_DFLTTL).then(|| &packet[ip.hlen..ip.len])
        }
        [0x86, 0xdd] => {
            let ip6 = Ip6::parse(packet).ok().filter(|ip6| ip6.dst.is_multicast())?;
            (ip6.nxt == 112 && ip6.hlim == CARP_DFLTTL).then(|| ip6.payload(packet))
        }
        _ => None,
    });
    let header = body.and_then(|b| CarpHeader::parse(b).ok()).filter(|ch| ch.version == CARP_VERSION);
    let ours = header.map(|ch| (ch.vhid, ch.advbase, ch.advskew, ch.counter.0, ch.md));
    let model = Advert::parse(frame).map(|ad| (ad.vhid, ad.advbase, ad.advskew, ad.counter, ad.digest));
    assert_eq!(ours, model);
}

/// Both directions of the control socket.
fn control(packet: &[u8]) {
    if let Ok(request) = Request::from_bytes(packet) {
        assert_eq!(request.to_bytes(), packet);
    }
    if let Ok(reply) = Reply::from_bytes(packet) {
        assert_eq!(Reply::from_bytes(&reply.to_bytes()), Ok(reply));
    }
}

fn link_address(data: &[u8]) {
    if let Ok((sdl, _)) = SockAddrDl::read_from_prefix(data) {
        assert!(sdl.name().len() <= sdl.sdl_data.len());
        assert!(sdl.lladdr().is_none() || sdl.sdl_alen == 6);
    }
}
