//! The events of the state table.
#![allow(clippy::unwrap_used, unreachable_pub)]

use crate::carpreq::{CARPR_VHID_CLEAR, CarpPeers, CarpReq};
use crate::kernel::{CarpCallout, Timer};
use crate::softc::{CarpSoftc, State};
use crate::sysctl::OIDS;
use crate::testutil::World;
use crate::{clone, demote, ifaddr, ioctl, state};
use compat::net::if_::LinkState;
use compat::netinet::in_::SockAddrIn;
use compat::netinet::ip::Ip;
use compat::netinet6::ip6::Ip6;
use compat::sys::errno::Errno;
use compat::sys::sysctl;
use core::net::{IpAddr, Ipv6Addr};
use triomphe::Arc;

const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

pub fn setvh(w: &mut World, sc: &Arc<CarpSoftc>, change: impl FnOnce(&mut CarpReq)) {
    let mut req = CarpReq { carpr_advskew: sc.own(&w.n0).advskew.get().into(), ..w.keep("secret") };
    change(&mut req);
    w.setvh(sc, req).unwrap();
}

/// 0.0.0.0 for CARP's group.
pub fn set_peer(w: &mut World, sc: &Arc<CarpSoftc>, peer: [u8; 4]) {
    let p = CarpPeers { carpp_addr: SockAddrIn::new(peer.into()), ..Default::default() };
    w.cx(|cx| ioctl::setpeers(cx, sc, &p)).unwrap();
}

fn parent(w: &mut World, up: bool) {
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.set_up(&em0, up);
}

fn link(w: &mut World, state: LinkState) {
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    em0.set_link_state(&w.n0, state);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
}

/// Who advertises: one with a higher address than ours, or with a lower.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Higher,
    Lower,
}

/// An advertisement whose interval is ours and `skew` more 256ths.
fn hear(w: &mut World, sc: &Arc<CarpSoftc>, from: Peer, skew: i16) {
    let ours = i16::from(w.cx(|cx| demote::advskew(cx, sc)));
    hear_exactly(w, sc, from, 1, (ours + skew) as u8);
}

/// The same over IPv6.
fn hear6(w: &mut World, sc: &Arc<CarpSoftc>, from: Peer, skew: i16) {
    let ours = i16::from(w.cx(|cx| demote::advskew(cx, sc)));
    hear6_exactly(w, sc, from, 1, (ours + skew) as u8);
}

/// One without a vhid of ours has nothing to hear.
fn hear_exactly(w: &mut World, sc: &Arc<CarpSoftc>, from: Peer, advbase: u8, advskew: u8) {
    if sc.own(&w.n0).vhid.get().is_some() {
        let body = w.ad_of_peer(sc, advbase, advskew, 7777)[20..].to_vec();
        let src = if from == Peer::Lower { [10, 0, 0, 1] } else { [10, 0, 0, 3] }.into();
        let dst = if sc.is_unicast() { [10, 0, 0, 2] } else { [224, 0, 0, 18] }.into();
        let ip = Ip { hlen: 20, tos: 0x10, len: 0, id: 1, off: 0x4000, ttl: 255, p: 112, src, dst };
        let _ = w.hear_packet(sc, &ip.packet(&body));
    }
}

fn hear6_exactly(w: &mut World, sc: &Arc<CarpSoftc>, from: Peer, advbase: u8, advskew: u8) {
    if sc.own(&w.n0).vhid.get().is_some() {
        let body = w.ad_of_peer(sc, advbase, advskew, 7778)[20..].to_vec();
        let src = if from == Peer::Lower { "2001:db8::1" } else { "fe80::3" }.parse().unwrap();
        let ip6 = Ip6 { plen: 0, nxt: 112, hlim: 255, src, dst: "ff02::12".parse().unwrap() };
        let _ = w.hear_packet6(sc, &ip6.packet(&body));
    }
}

/// A timer fires, if it is armed: nothing else happens before it does.
fn fire(w: &mut World, sc: &Arc<CarpSoftc>, timer: Timer) {
    let c = CarpCallout { if_index: sc.sc_if.if_index, timer };
    let due = w.kern.callouts.borrow().deadline(c);
    if let Some(t) = due {
        w.kern.now.set(t);
        w.kern.callouts.borrow_mut().stop(c);
        w.cx(|cx| state::timeout(cx, sc, timer));
    }
}

fn change_state(w: &mut World, sc: &Arc<CarpSoftc>, to: State) {
    setvh(w, sc, |r| r.carpr_state = to as i32);
}

fn setroute(w: &mut World, on: i32) {
    let new = on.to_ne_bytes();
    w.cx(|cx| sysctl::sysctl(OIDS, cx, "net.inet.carp.setroute", &new, true)).unwrap().unwrap();
}

fn delete_if_there(w: &mut World, sc: &Arc<CarpSoftc>, addr: IpAddr) {
    if sc.own(&w.n0).vha_list().iter().any(|v| v.addr() == addr) {
        w.del_addr(addr);
    }
}

fn add_and_delete(w: &mut World, sc: &Arc<CarpSoftc>) {
    w.add_addr(&sc.sc_if, [10, 0, 0, 8]).unwrap();
    w.del_addr([10, 0, 0, 8]);
}

pub type Event = (&'static str, fn(&mut World, &Arc<CarpSoftc>));

pub const EVENTS: &[Event] = &[
    ("ad better", |w, sc| hear(w, sc, Peer::Higher, -10)),
    ("ad equal", |w, sc| hear(w, sc, Peer::Higher, 0)),
    ("ad equal, lower", |w, sc| hear(w, sc, Peer::Lower, 0)),
    ("ad worse", |w, sc| hear(w, sc, Peer::Higher, 10)),
    ("ad slow", |w, sc| hear_exactly(w, sc, Peer::Higher, 4, 0)),
    ("ad bow-out", |w, sc| hear_exactly(w, sc, Peer::Higher, 255, 255)),
    ("ad6 better", |w, sc| hear6(w, sc, Peer::Higher, -10)),
    ("ad6 equal", |w, sc| hear6(w, sc, Peer::Higher, 0)),
    ("ad6 equal, lower", |w, sc| hear6(w, sc, Peer::Lower, 0)),
    ("ad equal, ad6 equal, lower", |w, sc| {
        hear(w, sc, Peer::Higher, 0);
        hear6(w, sc, Peer::Lower, 0);
    }),
    ("ad6 worse", |w, sc| hear6(w, sc, Peer::Higher, 10)),
    ("ad6 slow", |w, sc| hear6_exactly(w, sc, Peer::Higher, 4, 0)),
    ("ad6 bow-out", |w, sc| hear6_exactly(w, sc, Peer::Higher, 255, 255)),
    ("ad forged", |w, sc| {
        if sc.own(&w.n0).vhid.get().is_some() {
            let mut p = w.ad_of_peer(sc, 1, 0, 7);
            p[55] ^= 1;
            p[26..28].fill(0);
            let sum = compat::netinet::in_::in_cksum(&p[20..]).to_be_bytes();
            p[26..28].copy_from_slice(&sum);
            let _ = w.hear_packet(sc, &p);
        }
    }),
    ("timer ad", |w, sc| fire(w, sc, Timer::Ad)),
    ("timer md", |w, sc| fire(w, sc, Timer::Md)),
    ("timer md6", |w, sc| fire(w, sc, Timer::Md6)),
    ("timer md, md6", |w, sc| {
        fire(w, sc, Timer::Md);
        fire(w, sc, Timer::Md6);
    }),
    ("third send fails", |w, sc| {
        w.kern.output_error.set(Some(Errno::ENETDOWN));
        if sc.own(&w.n0).sendad_errors.get() == 0 {
            sc.own(&w.n0).sendad_errors.set(2);
        }
        fire(w, sc, Timer::Ad);
    }),
    ("three sends good", |w, sc| {
        w.kern.output_error.set(None);
        (0..3).for_each(|_| fire(w, sc, Timer::Ad));
    }),
    ("up", |w, sc| w.up(sc)),
    ("down", |w, sc| w.down(sc)),
    ("parent down", |w, _| parent(w, false)),
    ("parent up", |w, _| parent(w, true)),
    ("parent down, up", |w, _| {
        parent(w, false);
        parent(w, true);
    }),
    ("em1 up", |w, _| {
        let em1 = w.kern.ifaddrs.borrow().iter().find(|ia| ia.ifa_ifp.if_xname.as_str() == "em1").cloned();
        if let Some(ia) = em1 {
            w.set_up(&ia.ifa_ifp, true);
        }
    }),
    ("link down", |w, _| link(w, LinkState::Down)),
    ("link down, up", |w, _| {
        link(w, LinkState::Down);
        link(w, LinkState::Up);
    }),
    ("address add", |w, sc| w.add_addr(&sc.sc_if, [10, 0, 0, 8]).unwrap()),
    ("address add, delete", add_and_delete),
    ("address delete", |w, _| w.del_addr([10, 0, 0, 1])),
    ("address6 delete", |w, sc| delete_if_there(w, sc, VIP6.into())),
    ("address change", |w, _| {
        let ia = w.ia([10, 0, 0, 1]);
        w.change(&ia, 25).unwrap();
    }),
    ("backing add", |w, _| {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.add_addr(&em0, [10, 0, 0, 3]).unwrap();
    }),
    ("backing change", |w, _| {
        let ia = w.ia([10, 0, 0, 2]);
        w.change(&ia, 25).unwrap();
    }),
    ("backing delete", |w, _| w.del_addr([10, 0, 0, 2])),
    ("parent detach", |w, _| {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.cx(|cx| clone::ifdetach(cx, &em0));
    }),
    ("vhid 3", |w, sc| setvh(w, sc, |r| r.carpr_vhid = 3)),
    ("vhid none", |w, sc| setvh(w, sc, |r| r.carpr_vhid = CARPR_VHID_CLEAR)),
    ("advskew 50", |w, sc| setvh(w, sc, |r| r.carpr_advskew = 50)),
    ("advbase 2", |w, sc| setvh(w, sc, |r| r.carpr_advbase = 2)),
    ("key", |w, sc| setvh(w, sc, |r| r.carpr_key[0] = b'x')),
    ("nothing new", |w, sc| setvh(w, sc, |_| {})),
    ("state backup", |w, sc| change_state(w, sc, State::Backup)),
    ("state master", |w, sc| change_state(w, sc, State::Master)),
    ("state init", |w, sc| change_state(w, sc, State::Init)),
    ("preempt on", |w, _| w.carp.own(&w.n0).opts.preempt.set(1)),
    ("preempt off", |w, _| w.carp.own(&w.n0).opts.preempt.set(0)),
    ("setroute off", |w, _| setroute(w, 0)),
    ("setroute off, on", |w, _| {
        setroute(w, 0);
        setroute(w, 1);
    }),
    ("demotion +20", |w, _| w.cx(|cx| demote::demote_adj(cx, 20, "sysctl"))),
    ("demotion -240", |w, _| w.cx(|cx| demote::demote_adj(cx, -240, "sysctl"))),
    ("peer 10.0.0.3", |w, sc| set_peer(w, sc, [10, 0, 0, 3])),
    ("peer none", |w, sc| set_peer(w, sc, [0; 4])),
    ("carpdev em0", |w, sc| {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.cx(|cx| ifaddr::set_carpdev(cx, sc, Some(&em0))).unwrap();
    }),
    ("carpdev none", |w, sc| w.cx(|cx| ifaddr::set_carpdev(cx, sc, None)).unwrap()),
    ("destroy", |w, sc| w.cx(|cx| clone::destroy(cx, sc))),
];
