//! Neighbours of a machine with several netisrs: the one that asks is not the
//! one that hears the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VMAC, name, parse6};
use compat::net::ethernet::{ETHER_HDR_LEN, ETHERTYPE_IPV6};
use compat::netinet6::icmp6::{ND_NA_FLAG_SOLICITED, Nd};
use compat::netinet6::in6::{IPPROTO_ICMPV6, solicited_node};
use compat::netinet6::ip6::{Ip6, in6_cksum};
use libcarp::softc::State;

/// A station that the machine has never heard of pings it: the machine asks
/// who that is, is told, and answers. Whichever netisr the ping is for.
#[test]
fn an_answer_reaches_the_netisr_that_asked() {
    let mut lab = Lab::new(1);
    let id = lab.machine(2, 4, 0);
    let vip = parse6("2001:db8::1");
    lab.addr6(id, name("em2"), "2001:db8::2");
    lab.addr6(id, name("carp0"), "2001:db8::1");
    lab.world.run_for(10 * SEC);
    assert_eq!(lab.state(id), 2);
    let mut c = lab.client();
    for n in 0x100..0x120 {
        let src = parse6(&format!("2001:db8::{n:x}"));
        let mut icmp = vec![128, 0, 0, 0, 0, 7, 0, 1];
        let sum = in6_cksum(src, vip, IPPROTO_ICMPV6, &icmp).to_be_bytes();
        icmp[2..4].copy_from_slice(&sum);
        let ip6 = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: 64, src, dst: vip };
        c.all_heard();
        c.send(VMAC, ETHERTYPE_IPV6, &ip6.packet(&icmp));
        lab.world.run_for(SEC / 100);
        let asked = |f: &Vec<u8>| {
            let packet = &f[ETHER_HDR_LEN..];
            let ip6 = (f[12..14] == [0x86, 0xdd]).then(|| Ip6::parse(packet).ok()).flatten()?;
            Nd::parse(&ip6, ip6.payload(packet))
        };
        let heard: Vec<_> = c.all_heard().iter().filter_map(asked).collect();
        assert!(matches!(heard[..], [Nd::Solicit { target, .. }] if target == src), "{src}: {heard:?}");
        let me = Nd::Advert { target: src, flags: ND_NA_FLAG_SOLICITED, lladdr: Some(c.dev.lladdr) };
        c.send_nd(src, vip, &me);
        lab.world.run_for(SEC / 100);
        let replies = c.heard().iter().filter(|f| f[6..12] == VMAC && f[54] == 129).count();
        assert_eq!(replies, 1, "the ping of {src} was held, and is answered now");
    }
}

/// What waited for a neighbour's MAC goes with the mastership: sent by a BACKUP it
/// would draw the virtual MAC to the wrong port of the switch.
#[test]
fn what_a_master_held_is_not_sent_by_a_backup() {
    for yields in [false, true] {
        let mut lab = Lab::new(2);
        let id = lab.machine(2, 1, 0);
        let (vip, who) = (parse6("2001:db8::1"), parse6("2001:db8::100"));
        lab.addr6(id, name("em2"), "2001:db8::2");
        lab.addr6(id, name("carp0"), "2001:db8::1");
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.state(id), 2);
        let mut c = lab.client();
        // Who asks does not say where to answer.
        c.send_nd(who, solicited_node(vip), &Nd::Solicit { target: vip, lladdr: None });
        lab.world.run_for(SEC / 100);
        if yields {
            lab.ok(id, common::state(name("carp0"), State::Backup));
        }
        c.all_heard();
        let me = Nd::Advert { target: who, flags: ND_NA_FLAG_SOLICITED, lladdr: Some(c.dev.lladdr) };
        c.send_nd(who, vip, &me);
        lab.world.run_for(SEC / 100);
        let from_virtual =
            c.all_heard().iter().filter(|f| f[..6] == c.dev.lladdr && f[6..12] == VMAC).count();
        assert_eq!(from_virtual, usize::from(!yields));
    }
}
