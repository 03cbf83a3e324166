//! `/metrics`: Prometheus' text format.

use super::super::hooks::HookCounts;
use super::super::json::{Wall, state_name};
use crate::kern::devctl::{Report, Vhost, Vhosted};
use crate::net::fate::Fate;
use chrono::{DateTime, Utc};
use core::fmt::{Display, Write as _};
use libcarp::softc::State;
use std::sync::atomic::{AtomicU64, Ordering};

const STATES: [State; 3] = [State::Init, State::Backup, State::Master];

/// All of it.
pub(super) fn text(report: &Report, hooks: &HookCounts, wall: &Wall) -> String {
    let mut out = Out(String::new());
    carp(&mut out, report, wall);
    packets(&mut out, report);
    out.family("netisrd_frames_total", "counter", "Frames, by what became of them.");
    for (fate, n) in report.fates {
        out.sample("netisrd_frames_total", &[("fate", fate_word(fate))], n);
    }
    let name = "netisrd_interface_input_drops_total";
    out.family(name, "counter", "Frames dropped on input, those that the host had no room for too.");
    for (interface, n) in &report.iqdrops {
        out.sample(name, &[("interface", interface.as_str())], n);
    }
    let n = |n: &AtomicU64| n.load(Ordering::Relaxed);
    out.family("netisrd_hooks_total", "counter", "Programs run on transitions, by how they ended.");
    let results =
        [("succeeded", &hooks.succeeded), ("failed", &hooks.failed), ("timed_out", &hooks.timed_out)];
    for (result, count) in results {
        out.sample("netisrd_hooks_total", &[("result", result)], n(count));
    }
    let name = "netisrd_hooks_missed_transitions_total";
    out.one(name, "counter", "Transitions on which no program was run.", n(&hooks.missed));
    out.family("netisrd_info", "gauge", "The version, in a label.");
    out.sample("netisrd_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.0
}

/// What there is of each carp interface.
fn carp(out: &mut Out, report: &Report, wall: &Wall) {
    let all = &report.vhosts;
    let name = "netisrd_carp_state";
    out.family(name, "gauge", "1 for the state that the carp interface is in, 0 for the others.");
    for v in all {
        for state in STATES {
            let labels = with(&v.of, ("state", state_name(state)));
            out.sample(name, &labels, u8::from(v.state == state));
        }
    }
    let name = "netisrd_carp_transitions_total";
    out.family(name, "counter", "How often the carp interface has come to a state.");
    for v in all {
        for (state, n) in STATES.into_iter().zip(v.entered) {
            out.sample(name, &with(&v.of, ("state", state_name(state))), n);
        }
    }
    type Value = fn(&Vhosted, &Wall) -> f64;
    let gauges: [(&str, &str, Value); 4] = [
        ("netisrd_carp_since_timestamp_seconds", "When it came to its state.", |v, w| {
            seconds(w.when(v.since))
        }),
        ("netisrd_carp_advbase", "advbase, in seconds.", |v, _| v.advbase.into()),
        ("netisrd_carp_advskew", "advskew as configured, in 1/256 seconds.", |v, _| v.advskew.into()),
        ("netisrd_carp_demoted_advskew", "advskew as advertised, with the demotion.", |v, _| {
            v.demoted_advskew.into()
        }),
    ];
    for (name, help, value) in gauges {
        out.family(name, "gauge", help);
        all.iter().for_each(|v| out.sample(name, &of(&v.of), value(v, wall)));
    }
    let name = "netisrd_carp_peer_heard_timestamp_seconds";
    out.family(name, "gauge", "When an advertisement of that address was heard last.");
    for v in all {
        for peer in &v.peers {
            let src = peer.src.to_string();
            out.sample(name, &with(&v.of, ("peer", src.as_str())), seconds(wall.when(peer.heard)));
        }
    }
    out.one("netisrd_carp_demotion", "gauge", "net.inet.carp.demotion", report.demotion);
}

/// The counters of `netstat -s -p carp`.
fn packets(out: &mut Out, report: &Report) {
    let s = &report.stats;
    for (name, help, inet, inet6) in [
        (
            "netisrd_carp_received_total",
            "Advertisements received, good or bad.",
            s.carps_ipackets,
            s.carps_ipackets6,
        ),
        ("netisrd_carp_sent_total", "Advertisements sent.", s.carps_opackets, s.carps_opackets6),
    ] {
        out.family(name, "counter", help);
        out.sample(name, &[("family", "inet")], inet);
        out.sample(name, &[("family", "inet6")], inet6);
    }
    let name = "netisrd_carp_dropped_total";
    out.family(name, "counter", "Advertisements received and dropped, by the reason.");
    for (reason, n) in [
        ("badif", s.carps_badif),
        ("badttl", s.carps_badttl),
        ("hdrops", s.carps_hdrops),
        ("badsum", s.carps_badsum),
        ("badver", s.carps_badver),
        ("badlen", s.carps_badlen),
        ("badauth", s.carps_badauth),
        ("badvhid", s.carps_badvhid),
        ("badaddrs", s.carps_badaddrs),
        ("echo", report.echoes),
    ] {
        out.sample(name, &[("reason", reason)], n);
    }
    out.one(
        "netisrd_carp_onomem_total",
        "counter",
        "Advertisements not sent for want of memory.",
        s.carps_onomem,
    );
    out.one("netisrd_carp_preemptions_total", "counter", "Preemptions of a slower master.", s.carps_preempt);
    let help = "Frames for vhids that nobody here has.";
    out.one("netisrd_carp_other_vhid_total", "counter", help, report.other_vhid);
}

fn of(v: &Vhost) -> [(&'static str, String); 3] {
    let parent = v.parent.map(|p| p.to_string()).unwrap_or_default();
    [("interface", v.ifname.to_string()), ("vhid", v.vhid.to_string()), ("parent", parent)]
}

/// Without the parent: a counter goes on when that is another one.
fn with(v: &Vhost, (name, value): (&'static str, &str)) -> [(&'static str, String); 3] {
    [("interface", v.ifname.to_string()), ("vhid", v.vhid.to_string()), (name, value.to_owned())]
}

fn seconds(t: DateTime<Utc>) -> f64 {
    // Microseconds fit, for a few centuries.
    t.timestamp_micros() as f64 / 1e6
}

fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Short => "short",
        Fate::Stopped => "stopped",
        Fate::NoInterface => "no_interface",
        Fate::Monitored => "monitored",
        Fate::NotForUs => "not_for_us",
        Fate::OtherVhid => "other_vhid",
        Fate::NoProto => "no_proto",
        Fate::QueueFull => "queue_full",
        Fate::Arp => "arp",
        Fate::Nd6 => "nd6",
        Fate::Carp => "carp",
        Fate::Ip => "ip",
        Fate::Ip6 => "ip6",
        Fate::ToHost => "to_host",
        Fate::FromHost => "from_host",
        Fate::NotMaster => "not_master",
        Fate::Refused => "refused",
    }
}

/// Writing to a `String` does not fail.
struct Out(String);

impl Out {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample<L: AsRef<str>>(&mut self, name: &str, labels: &[(&str, L)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escaped(v.as_ref()))).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    /// A family of one sample without labels.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_say_anything() {
        let mut out = Out(String::new());
        out.sample("a", &[("b", "c\\d\"e\nf"), ("g", "")], 0.5);
        assert_eq!(out.0, "a{b=\"c\\\\d\\\"e\\nf\",g=\"\"} 0.5\n");
    }
}
