//! The state machine as a table: every situation and every event, with
//! `preempt` on and off, suppressed and not, gives what `state_table.txt`
//! says: the state, the effects in order, the timers with their times. A pair
//! that the table lacks, or has twice, fails.
//!
//! `CARP_STATE_TABLE=write cargo test -p libcarp state_table` writes the table
//! anew. What has changed in it is then for a reader to judge.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::carpreq::{CarpPeers, CarpReq};
use crate::demote;
use crate::ifaddr::{self, IfaddrEvent};
use crate::kernel::{CarpCallout, Timer};
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect, World};
use crate::{clone, ioctl, state};
use compat::net::if_::{Iff, LinkState};
use compat::netinet::in_::SockAddrIn;
use core::fmt::Write;
use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;
use std::time::Duration;
use triomphe::Arc;

/// vhid 1, advbase 1, advskew 100, 10.0.0.1/24 on em0 with 10.0.0.2/24; a
/// quarter of a second after it got where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    /// INIT: `ifconfig carp0 down`.
    Down,
    /// INIT: up, but without a vhid.
    NoVhid,
    /// INIT: up, but the parent is down.
    NoParent,
    /// BACKUP, of a master that advertised a quarter of a second ago.
    Backup,
    /// MASTER
    Master,
    /// BACKUP with 2001:db8::1/64 too, of a master that was heard in both
    /// families.
    BackupDual,
    /// MASTER of both.
    MasterDual,
}

const FROM: [From; 7] = [
    From::Down,
    From::NoVhid,
    From::NoParent,
    From::Backup,
    From::Master,
    From::BackupDual,
    From::MasterDual,
];

const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

type World1 = (World, Arc<CarpSoftc>);

fn arrive(from: From, preempt: bool, suppressed: bool) -> World1 {
    let (mut w, sc) = World::with_carp0(100);
    if matches!(from, From::BackupDual | From::MasterDual) {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.add(&em0, "2001:db8::2/64").unwrap();
        w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
    }
    match from {
        From::Down => w.down(&sc),
        From::NoVhid => setvh(&mut w, &sc, |r| r.carpr_vhid = crate::carpreq::CARPR_VHID_CLEAR),
        From::NoParent => parent(&mut w, false),
        From::Backup | From::BackupDual => {}
        From::Master | From::MasterDual => w.pass(Duration::from_secs(4)),
    }
    w.carp.own(&w.n0).opts.preempt.set(preempt.into());
    if suppressed {
        w.cx(|cx| demote::demote_adj(cx, 240, "sysctl"));
    }
    match from {
        From::Backup => w.hear(&sc, 1, 0).unwrap(),
        From::BackupDual => {
            w.hear(&sc, 1, 0).unwrap();
            w.hear6(&sc, 1, 0).unwrap();
        }
        From::Master | From::MasterDual => w.cx(|cx| crate::output::send_ad(cx, &sc)),
        From::Down | From::NoVhid | From::NoParent => {}
    }
    w.pass(Duration::from_millis(250));
    w.effects();
    (w, sc)
}

fn setvh(w: &mut World, sc: &Arc<CarpSoftc>, change: impl FnOnce(&mut CarpReq)) {
    let mut req = CarpReq { carpr_advskew: sc.own(&w.n0).advskew.get().into(), ..w.keep("secret") };
    change(&mut req);
    w.setvh(sc, req).unwrap();
}

fn parent(w: &mut World, up: bool) {
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    if em0.flags().contains(Iff::UP) == up {
        return;
    }
    if up {
        em0.set_flags(&w.n0, Iff::UP);
    } else {
        w.cx(|cx| ifaddr::parent_going_down(cx, &em0));
        em0.clear_flags(&w.n0, Iff::UP);
    }
    let ia = w.ia([10, 0, 0, 2]);
    w.cx(|cx| {
        ifaddr::proto_ctlinput(cx, &ia, up);
        if up { ifaddr::parent_is_up(cx, &em0) } else { ifaddr::parent_is_down(cx, &em0) }
    });
}

fn link(w: &mut World, state: LinkState) {
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    em0.set_link_state(&w.n0, state);
    w.cx(|cx| ifaddr::carpdev_state(cx, &em0));
}

/// An advertisement whose interval is ours and `skew` more 256ths.
fn hear(w: &mut World, sc: &Arc<CarpSoftc>, skew: i16) {
    let ours = i16::from(w.cx(|cx| demote::advskew(cx, sc)));
    hear_exactly(w, sc, 1, (ours + skew) as u8);
}

/// The same over IPv6.
fn hear6(w: &mut World, sc: &Arc<CarpSoftc>, skew: i16) {
    let ours = i16::from(w.cx(|cx| demote::advskew(cx, sc)));
    if sc.own(&w.n0).vhid.get().is_some() {
        let _ = w.hear6(sc, 1, (ours + skew) as u8);
    }
}

/// One without a vhid of ours has nothing to hear.
fn hear_exactly(w: &mut World, sc: &Arc<CarpSoftc>, advbase: u8, advskew: u8) {
    if sc.own(&w.n0).vhid.get().is_some() {
        let _ = w.hear(sc, advbase, advskew);
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

fn delete(w: &mut World, addr: IpAddr) {
    let ia = w.ia(addr);
    ia.set_route(&w.n0, false);
    w.cx(|cx| ifaddr::ifaddr(cx, &ia, IfaddrEvent::Delete)).unwrap();
    w.kern.ifaddrs.borrow_mut().retain(|i| !Arc::ptr_eq(i, &ia));
}

fn change_state(w: &mut World, sc: &Arc<CarpSoftc>, to: State) {
    let skew = sc.own(&w.n0).advskew.get().into();
    let req = CarpReq { carpr_state: to as i32, carpr_advskew: skew, ..w.keep("secret") };
    w.setvh(sc, req).unwrap();
}

type Event = (&'static str, fn(&mut World, &Arc<CarpSoftc>));

const EVENTS: &[Event] = &[
    ("ad better", |w, sc| hear(w, sc, -10)),
    ("ad equal", |w, sc| hear(w, sc, 0)),
    ("ad worse", |w, sc| hear(w, sc, 10)),
    ("ad slow", |w, sc| hear_exactly(w, sc, 4, 0)),
    ("ad bow-out", |w, sc| hear_exactly(w, sc, 255, 255)),
    ("ad6 better", |w, sc| hear6(w, sc, -10)),
    ("ad6 worse", |w, sc| hear6(w, sc, 10)),
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
    ("up", |w, sc| w.up(sc)),
    ("down", |w, sc| w.down(sc)),
    ("parent down", |w, _| parent(w, false)),
    ("parent up", |w, _| parent(w, true)),
    ("link down", |w, _| link(w, LinkState::Down)),
    ("link down, up", |w, _| {
        link(w, LinkState::Down);
        link(w, LinkState::Up);
    }),
    ("address add", |w, sc| w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap()),
    ("address add, delete", |w, sc| {
        w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap();
        delete(w, [10, 0, 0, 9].into());
    }),
    ("address delete", |w, _| delete(w, [10, 0, 0, 1].into())),
    ("address6 delete", |w, sc| {
        if sc.own(&w.n0).vha_list().iter().any(|v| v.addr() == IpAddr::V6(VIP6)) {
            delete(w, VIP6.into());
        }
    }),
    ("address change", |w, sc| {
        let ia = w.ia([10, 0, 0, 1]);
        ia.set_prefixlen(&w.n0, 25);
        w.cx(|cx| ifaddr::ifaddr(cx, &ia, IfaddrEvent::Change)).unwrap();
        let _ = sc;
    }),
    ("backing add", |w, _| {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.add_addr(&em0, [10, 0, 0, 3]).unwrap();
    }),
    ("backing delete", |w, _| delete(w, [10, 0, 0, 2].into())),
    ("parent detach", |w, _| {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.cx(|cx| clone::ifdetach(cx, &em0));
    }),
    ("vhid 2", |w, sc| setvh(w, sc, |r| r.carpr_vhid = 2)),
    ("vhid none", |w, sc| setvh(w, sc, |r| r.carpr_vhid = crate::carpreq::CARPR_VHID_CLEAR)),
    ("advskew 50", |w, sc| setvh(w, sc, |r| r.carpr_advskew = 50)),
    ("advbase 2", |w, sc| setvh(w, sc, |r| r.carpr_advbase = 2)),
    ("key", |w, sc| setvh(w, sc, |r| r.carpr_key[0] = b'x')),
    ("nothing new", |w, sc| setvh(w, sc, |_| {})),
    ("state backup", |w, sc| change_state(w, sc, State::Backup)),
    ("state master", |w, sc| change_state(w, sc, State::Master)),
    ("state init", |w, sc| change_state(w, sc, State::Init)),
    ("preempt on", |w, _| w.carp.own(&w.n0).opts.preempt.set(1)),
    ("preempt off", |w, _| w.carp.own(&w.n0).opts.preempt.set(0)),
    ("demotion +20", |w, _| w.cx(|cx| demote::demote_adj(cx, 20, "sysctl"))),
    ("demotion -240", |w, _| w.cx(|cx| demote::demote_adj(cx, -240, "sysctl"))),
    ("peer", |w, sc| {
        let p = CarpPeers { carpp_addr: SockAddrIn::new([10, 0, 0, 3].into()), ..Default::default() };
        w.cx(|cx| ioctl::setpeers(cx, sc, &p)).unwrap();
    }),
    ("carpdev em0", |w, sc| {
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.cx(|cx| ifaddr::set_carpdev(cx, sc, Some(&em0))).unwrap();
    }),
    ("destroy", |w, sc| w.cx(|cx| clone::destroy(cx, sc))),
];

/// What became of it, in one line.
fn outcome(w: &World, sc: &CarpSoftc) -> String {
    let mut out = format!("{:?}", sc.state()).to_uppercase();
    let effects: Vec<String> = w.effects().iter().map(short).collect();
    write!(out, " | {} |", if effects.is_empty() { "-".into() } else { effects.join(", ") }).unwrap();
    for timer in Timer::ALL {
        let c = CarpCallout { if_index: sc.sc_if.if_index, timer };
        if let Some(t) = w.kern.callouts.borrow().deadline(c) {
            let left = t - w.kern.now.get();
            write!(out, " {}={}", format!("{timer:?}").to_lowercase(), left.as_secs_f64()).unwrap();
        }
    }
    if out.ends_with('|') {
        out.push_str(" -");
    }
    out
}

fn short(e: &Effect) -> String {
    match e {
        Effect::Ad(_, vhid, 255, 255) => format!("bow-out vhid {vhid}"),
        Effect::Ad(_, vhid, base, skew) => format!("ad vhid {vhid} {base}/{skew}"),
        Effect::Ad6(_, vhid, 255, 255) => format!("bow-out6 vhid {vhid}"),
        Effect::Ad6(_, vhid, base, skew) => format!("ad6 vhid {vhid} {base}/{skew}"),
        Effect::Arp(_, a) => format!("arp {a}"),
        Effect::Na(_, a) => format!("na {a}"),
        Effect::Promisc(_, on) => format!("promisc {}", if *on { "on" } else { "off" }),
        Effect::Join(_) => "join".into(),
        Effect::Leave(_) => "leave".into(),
        Effect::JoinGroup(_, g) => format!("join {g}"),
        Effect::LeaveGroup(_, g) => format!("leave {g}"),
        Effect::Route(_, _, to) => format!("route to {to}"),
        Effect::Route6(_, _, to) => format!("route6 to {to}"),
        Effect::Unroute(_) => "no route".into(),
        Effect::Unroute6(_) => "no route6".into(),
        Effect::IfMsg(_, s) => format!("state {s:?}").to_uppercase().replace("STATE", "state"),
    }
}

/// Situation, event, preempt, suppressed.
type Case = (From, usize, bool, bool);

fn all_cases() -> BTreeMap<Case, String> {
    let mut all = BTreeMap::new();
    for from in FROM {
        for (i, (_, event)) in EVENTS.iter().enumerate() {
            for (preempt, suppressed) in [(false, false), (false, true), (true, false), (true, true)] {
                let (mut w, sc) = arrive(from, preempt, suppressed);
                event(&mut w, &sc);
                all.insert((from, i, preempt, suppressed), outcome(&w, &sc));
            }
        }
    }
    all
}

/// One line for the cases that do not differ.
fn written(all: &BTreeMap<Case, String>) -> String {
    let mut out = String::from(
        "# situation | event | preempt | suppressed | state | effects | timers (seconds from then)\n",
    );
    for from in FROM {
        for (i, (event, _)) in EVENTS.iter().enumerate() {
            let of = |p: bool, s: bool| all[&(from, i, p, s)].clone();
            let by_preempt = [false, true].iter().all(|p| of(*p, false) == of(*p, true));
            let by_suppressed = [false, true].iter().all(|s| of(false, *s) == of(true, *s));
            let rows: Vec<(&str, &str, String)> = match (by_preempt, by_suppressed) {
                (true, true) => vec![("*", "*", of(false, false))],
                (true, false) => vec![("0", "*", of(false, false)), ("1", "*", of(true, false))],
                (false, true) => vec![("*", "0", of(false, false)), ("*", "1", of(false, true))],
                (false, false) => vec![
                    ("0", "0", of(false, false)),
                    ("0", "1", of(false, true)),
                    ("1", "0", of(true, false)),
                    ("1", "1", of(true, true)),
                ],
            };
            for (p, s, outcome) in rows {
                writeln!(out, "{from:?} | {event} | {p} | {s} | {outcome}").unwrap();
            }
        }
    }
    out
}

/// Whether a row's `0`, `1` or `*` means `value`.
fn means(column: &str, value: bool) -> bool {
    column == "*" || column == if value { "1" } else { "0" }
}

#[test]
fn every_pair_of_the_state_table() {
    let all = all_cases();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/state_table.txt");
    #[allow(clippy::disallowed_methods, reason = "the table is data for people too")]
    if std::env::var_os("CARP_STATE_TABLE").is_some() {
        std::fs::write(path, written(&all)).unwrap();
    }
    let table = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|l| !l.starts_with('#')).map(|l| l.splitn(5, " | ").collect()).collect();
    let mut used = vec![false; rows.len()];
    for ((from, event, preempt, suppressed), outcome) in &all {
        let what = format!("{from:?}, {}, preempt {preempt}, suppressed {suppressed}", EVENTS[*event].0);
        let is_for = |row: &Vec<&str>| {
            row[0] == format!("{from:?}")
                && row[1] == EVENTS[*event].0
                && means(row[2], *preempt)
                && means(row[3], *suppressed)
        };
        let found: Vec<usize> = (0..rows.len()).filter(|i| is_for(&rows[*i])).collect();
        let [row] = found[..] else { panic!("{} rows for {what}", found.len()) };
        assert_eq!(rows[row][4], outcome, "{what}");
        used[row] = true;
    }
    let left = used.iter().position(|u| !u);
    assert_eq!(left.map(|i| rows[i].join(" | ")), None, "a row for what cannot happen");
}
