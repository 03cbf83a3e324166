//! `netinet/ip_icmp.c`: echo.

use crate::machine::Ctx;
use crate::netinet::ip_output;
use compat::netinet::in_::in_cksum;
use compat::netinet::ip::{IP_HDR_LEN, Ip};
use libcarp::Ifnet;
use triomphe::Arc;

const ICMP_ECHOREPLY: u8 = 0;
const ICMP_ECHO: u8 = 8;
const ICMP_MINLEN: usize = 8;
/// `ip_defttl`
const IPDEFTTL: u8 = 64;

/// `icmp_input`: an echo request is answered with the data that it brought.
pub fn icmp_input(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, ip: &Ip, packet: &[u8]) {
    let icmp = packet.get(ip.hlen..ip.len).unwrap_or(&[]);
    if icmp.len() < ICMP_MINLEN || icmp[0] != ICMP_ECHO || icmp[1] != 0 || in_cksum(icmp) != 0 {
        return;
    }
    if ip.src.is_unspecified() || ip.src.is_multicast() || ip.src.is_broadcast() {
        return;
    }
    let mut reply = icmp.to_vec();
    reply[0] = ICMP_ECHOREPLY;
    reply[2..4].fill(0);
    let sum = in_cksum(&reply).to_be_bytes();
    reply[2..4].copy_from_slice(&sum);
    let header = Ip { hlen: IP_HDR_LEN, ttl: IPDEFTTL, off: 0, src: ip.dst, dst: ip.src, ..*ip };
    if let Err(e) = ip_output::ip_output(cx, rcvif, &header, &header.packet(&reply)) {
        tracing::debug!("echo reply to {}: {e}", ip.src);
    }
}
