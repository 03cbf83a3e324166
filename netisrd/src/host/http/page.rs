//! `/`: the page for people. It needs nothing from elsewhere, and no script.

use super::super::hooks::HookCounts;
use super::super::json::{Wall, state_name};
use super::timeline::{Timeline, name};
use crate::kern::devctl::{Report, Vhosted};
use crate::net::fate::Fate;
use chrono::SecondsFormat;
use compat::sys::time::Time;
use libcarp::types::BOW_OUT;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// All of it.
pub(super) fn html(
    title: &str,
    report: &Report,
    timeline: &mut Timeline,
    hooks: &HookCounts,
    wall: &Wall,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                link rel="icon" href="data:,";
                noscript { meta http-equiv="refresh" content="5"; }
                style { (PreEscaped(include_str!("page.css"))) }
                script src="/live.js" defer {}
            }
            body {
                main {
                    h1 { (title) }
                    p.at {
                        (time(wall, report.now))
                        @if report.demotion != 0 { ", demoted by " (report.demotion) }
                    }
                    (interfaces(report, wall))
                    (peers(report, wall))
                    h2 { "The last 24 hours (UTC)" }
                    (timeline.svg(wall, report.now))
                    (counters(report, hooks))
                }
            }
        }
    }
}

fn interfaces(report: &Report, wall: &Wall) -> Markup {
    html! {
        h2 { "Carp interfaces" }
        @if report.vhosts.is_empty() { p { "None." } } @else {
            table {
                tr {
                    th { "interface" } th { "state" } th { "for" } th { "since" } th { "because" }
                    th { "parent" } th { "advbase" } th { "advskew" } th { "addresses" }
                }
                @for v in &report.vhosts { (interface(v, report.now, wall)) }
            }
        }
    }
}

fn interface(v: &Vhosted, now: Time, wall: &Wall) -> Markup {
    html! {
        tr {
            td { (name(&v.of)) }
            td { span.state.(state_name(v.state)) { (state_name(v.state)) } }
            td { (lasting(now - v.since)) }
            td { (time(wall, v.since)) }
            td { (v.reason.word().replace('-', " ")) }
            td { @if let Some(parent) = v.of.parent { (parent) } @else { "none" } }
            td { (v.advbase) }
            td {
                (v.advskew)
                @if v.demoted_advskew != v.advskew { ", now " (v.demoted_advskew) }
            }
            td { @for a in &v.addresses { (a) br; } }
        }
    }
}

fn peers(report: &Report, wall: &Wall) -> Markup {
    let heard = report.vhosts.iter().flat_map(|v| v.peers.iter().rev().map(move |p| (v, p)));
    html! {
        h2 { "Peers as heard" }
        @if report.vhosts.iter().all(|v| v.peers.is_empty()) { p { "None." } } @else {
            table {
                tr {
                    th { "interface" } th { "from" } th { "advbase" } th { "advskew" } th { "last heard" }
                    th { "at" }
                }
                @for (v, p) in heard {
                    tr {
                        td { (name(&v.of)) }
                        td { (p.src) }
                        @if (p.advbase, p.advskew) == (BOW_OUT, BOW_OUT) {
                            td colspan="2" { "has bowed out" }
                        } @else {
                            td { (p.advbase) }
                            td { (p.advskew) }
                        }
                        td { (lasting(report.now - p.heard)) " ago" }
                        td { (time(wall, p.heard)) }
                    }
                }
            }
        }
    }
}

fn counters(report: &Report, hooks: &HookCounts) -> Markup {
    let s = &report.stats;
    let n = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let advertisements = [
        ("received over IPv4", s.carps_ipackets),
        ("received over IPv6", s.carps_ipackets6),
        ("sent over IPv4", s.carps_opackets),
        ("sent over IPv6", s.carps_opackets6),
        ("for a wrong interface", s.carps_badif),
        ("wrong TTL", s.carps_badttl),
        ("wrong checksum", s.carps_badsum),
        ("wrong version", s.carps_badver),
        ("too short", s.carps_badlen),
        ("wrong authentication", s.carps_badauth),
        ("own, come back", report.echoes),
        ("for other vhids", report.other_vhid),
    ];
    let fates = report.fates.map(|(fate, n)| (fate_words(fate), n));
    let programs = [
        ("succeeded", n(&hooks.succeeded)),
        ("failed", n(&hooks.failed)),
        ("took too long", n(&hooks.timed_out)),
        ("transitions missed", n(&hooks.missed)),
    ];
    html! {
        h2 { "Counters" }
        div.columns {
            (column("Advertisements", &advertisements))
            (column("Frames", &fates))
            (column("Hooks", &programs))
        }
    }
}

fn column(title: &str, rows: &[(&str, u64)]) -> Markup {
    html! {
        table {
            caption { (title) }
            @for (what, n) in rows { tr { td { (what) } td.number { (n) } } }
        }
    }
}

fn fate_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Short => "too short",
        Fate::Stopped => "interface not running",
        Fate::NoInterface => "interface gone",
        Fate::Monitored => "interface only looks on",
        Fate::NotForUs => "for others",
        Fate::OtherVhid => "for other vhids",
        Fate::NoProto => "of no protocol here",
        Fate::QueueFull => "queue full",
        Fate::Arp => "to ARP",
        Fate::Nd6 => "to neighbour discovery",
        Fate::Carp => "to CARP",
        Fate::Ip => "to IPv4",
        Fate::Ip6 => "to IPv6",
        Fate::ToHost => "to the host",
        Fate::FromHost => "from the host",
        Fate::NotMaster => "from the host, not MASTER",
        Fate::Refused => "refused by host or parent",
    }
}

fn time(wall: &Wall, t: Time) -> String {
    wall.when(t).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `42 s`, `3 min 5 s`, `5 h 12 min`, `2 d 3 h`
fn lasting(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_two_units() {
        let of = |s| lasting(Duration::from_secs(s));
        assert_eq!([of(0), of(59), of(60), of(3599)], ["0 s", "59 s", "1 min 0 s", "59 min 59 s"]);
        assert_eq!([of(3600), of(86399), of(90000)], ["1 h 0 min", "23 h 59 min", "1 d 1 h"]);
    }
}
