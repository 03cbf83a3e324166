//! `netinet6/icmp6.c`: echo.

use crate::machine::Ctx;
use crate::netinet6::ip6_output;
use compat::netinet6::icmp6::{ICMP6_ECHO_REQUEST, cksum_ok, echo_reply};
use compat::netinet6::ip6::Ip6;
use libcarp::Ifnet;
use triomphe::Arc;

/// `ip6_defhlim`
const IP6_DEFHLIM: u8 = 64;

/// `icmp6_input`: an echo request is answered with the data that it brought.
pub fn input(cx: Ctx<'_>, rcvif: &Arc<Ifnet>, ip6: &Ip6, packet: &[u8]) {
    let icmp6 = ip6.payload(packet);
    if !cksum_ok(ip6, icmp6) || icmp6[0] != ICMP6_ECHO_REQUEST || icmp6[1] != 0 || ip6.src.is_unspecified() {
        return;
    }
    let reply = Ip6 { hlim: IP6_DEFHLIM, src: ip6.dst, dst: ip6.src, ..*ip6 };
    if let Err(e) = ip6_output::ip6_output(cx, rcvif, &reply, &echo_reply(reply.src, reply.dst, icmp6)) {
        tracing::debug!("echo reply to {}: {e}", ip6.src);
    }
}
