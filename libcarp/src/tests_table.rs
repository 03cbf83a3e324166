//! The state machine as a table: every situation and every event, with
//! `preempt` on and off, suppressed and not, gives what `state_table.txt`
//! says: the state, the effects in order, the timers with their times. A pair
//! that the table lacks, or has twice, fails.
//!
//! `CARP_STATE_TABLE=write cargo test -p libcarp state_table` writes the table
//! anew. What has changed in it is then for a reader to judge.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::carpreq::{CARPR_VHID_CLEAR, CarpReq};
use crate::kernel::{CarpCallout, Timer};
use crate::softc::{CarpSoftc, State};
use crate::tests_table_events::{EVENTS, set_peer, setvh};
use crate::testutil::{Effect, World};
use crate::{demote, ifaddr, output};
use compat::sys::errno::Errno;
use core::fmt::Write;
use std::collections::BTreeMap;
use std::time::Duration;
use triomphe::Arc;

/// vhid 1, advbase 1, advskew 100, 10.0.0.1/24 on em0 with 10.0.0.2/24; a
/// quarter of a second after it got where it is. A BACKUP's master advertised
/// a quarter of a second ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    /// INIT: `ifconfig carp0 down`.
    Down,
    /// INIT: up, but without a vhid.
    NoVhid,
    /// INIT: up, but the parent is down.
    NoParent,
    Backup,
    Master,
    /// With 2001:db8::1/64 too; of a master that was heard in both families.
    BackupDual,
    /// MASTER of both.
    MasterDual,
    /// With 10.0.0.9/24 too.
    BackupTwo,
    MasterTwo,
    /// em0 was chosen by name.
    BackupBound,
    MasterBound,
    /// Advertises to 10.0.0.3 alone.
    BackupPeer,
    MasterPeer,
    /// Its advertisements fail, and suppress preemption.
    BackupBroken,
    MasterBroken,
    /// carp1's parent em1 is down, and suppresses preemption.
    BackupMissed,
    MasterMissed,
}

const FROM: [From; 17] = [
    From::Down,
    From::NoVhid,
    From::NoParent,
    From::Backup,
    From::Master,
    From::BackupDual,
    From::MasterDual,
    From::BackupTwo,
    From::MasterTwo,
    From::BackupBound,
    From::MasterBound,
    From::BackupPeer,
    From::MasterPeer,
    From::BackupBroken,
    From::MasterBroken,
    From::BackupMissed,
    From::MasterMissed,
];

impl From {
    fn is_backup(self) -> bool {
        format!("{self:?}").starts_with("Backup")
    }

    fn is_master(self) -> bool {
        format!("{self:?}").starts_with("Master")
    }
}

type World1 = (World, Arc<CarpSoftc>);

fn arrive(from: From, preempt: bool, suppressed: bool) -> World1 {
    let (mut w, sc) = World::with_carp0(100);
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    match from {
        From::Down => w.down(&sc),
        From::NoVhid => setvh(&mut w, &sc, |r| r.carpr_vhid = CARPR_VHID_CLEAR),
        From::NoParent => w.set_up(&em0, false),
        From::Backup | From::Master => {}
        From::BackupDual | From::MasterDual => {
            w.add(&em0, "2001:db8::2/64").unwrap();
            w.add(&sc.sc_if, "2001:db8::1/64").unwrap();
        }
        From::BackupTwo | From::MasterTwo => w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap(),
        From::BackupBound | From::MasterBound => {
            w.cx(|cx| ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
        }
        From::BackupPeer | From::MasterPeer => set_peer(&mut w, &sc, [10, 0, 0, 3]),
        From::BackupBroken | From::MasterBroken => {
            w.kern.output_error.set(Some(Errno::ENETDOWN));
            w.pass(Duration::from_secs(10));
        }
        From::BackupMissed | From::MasterMissed => missed_em1(&mut w),
    }
    if from.is_master() {
        w.pass(Duration::from_secs(4));
    }
    w.carp.own(&w.n0).opts.preempt.set(preempt.into());
    if suppressed {
        w.cx(|cx| demote::demote_adj(cx, 240, "sysctl"));
    }
    if from.is_backup() {
        w.hear(&sc, 1, 0).unwrap();
    }
    if from == From::BackupDual {
        w.hear6(&sc, 1, 0).unwrap();
    }
    if from.is_master() {
        w.cx(|cx| output::send_ad(cx, &sc));
    }
    let expected = match (from.is_backup(), from.is_master()) {
        (true, _) => State::Backup,
        (_, true) => State::Master,
        _ => State::Init,
    };
    assert_eq!(sc.state(), expected, "{from:?}");
    w.pass(Duration::from_millis(250));
    w.effects();
    (w, sc)
}

/// carp1 with vhid 2 on em1, which went down.
fn missed_em1(w: &mut World) {
    let em1 = w.ether("em1");
    w.add_addr(&em1, [10, 0, 1, 2]).unwrap();
    let sc1 = w.carp_if("carp1");
    w.up(&sc1);
    w.setvh(&sc1, CarpReq { carpr_vhid: 2, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc1.sc_if, [10, 0, 1, 1]).unwrap();
    w.set_up(&em1, false);
    assert_eq!(w.carp.own(&w.n0).suppress_preempt.get(), 1);
}

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

/// An effect, short; another interface's with its name.
fn short(e: &Effect) -> String {
    let other = match e {
        Effect::Ad("carp1", ..)
        | Effect::IfMsg("carp1", _)
        | Effect::Join("carp1")
        | Effect::Promisc("em1", _) => "carp1 ",
        _ => "",
    };
    let what = match e {
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
        Effect::IfMsg(_, s) => format!("state {}", format!("{s:?}").to_uppercase()),
    };
    format!("{other}{what}")
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
