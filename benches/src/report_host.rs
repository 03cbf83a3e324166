//! What was measured where the host itself serves a virtual address.

use crate::bogus::{self, Who};
use crate::figures::Figures;
use crate::loss;
use crate::report::{Aims, chapter};
use crate::section::Section;
use crate::served::Way;
use crate::stats::Summary;
use crate::table::Table;

/// A macvlan's part of what the plain interface carries.
const AS_PLAIN: f64 = 0.97;
/// Gbit/s of one stream through netisrd.
const TAP: f64 = 2.0;
/// Times the plain interface's slow round trips.
const TAP_P99: f64 = 3.0;
/// Milliseconds beside what a successor waits, as a takeover may take.
const SLACK: f64 = 10.0;
/// Milliseconds that an advertisement may be late.
const LATE: f64 = 20.0;

const PATH_HOW: &str = "\
A client and hosts on a bridge, each host with an address that it serves in another way; all are there all the
time, and one is measured. Rounds go through all of them in turn, beginning with another each time. One TCP
stream to the address and one from it, counted where it is received, four times a round; then requests of 64
bytes, each sent when the one before is answered. A part of plain is the median of the parts of each time. Both
ends stay on one processor, with the kernel's work between them. By `--fanout cpu`, as on a card with a receive
queue for each netisr, the netisr is on that processor too; by `--fanout hash`, as on one with a single queue, the
scheduler puts it on the other one, which is more for a stream and has to be woken for each request and its
answer. Apart, the client's end has one and the host's the other, as on two machines.";

const LOSS_HOW: &str = "\
1000 datagrams a second from a client to the virtual address; two hosts write down which of them arrive. What
arrives at neither is lost, from before the command until the successor has had the stream for 0.3 s. Both
sides advertise each second; the successor waits for DETECTION ms (advskew 100, priority 156), and 10 more are
granted. In order: netisrd
by `ifconfig-carp -g carp carpdemote` and by `sysctl-carp net.inet.carp.demotion=240`, and back; keepalived by a
tracked file that lowers its priority, and by SIGTERM. Returns is the better one started again, which preempts.
SIGKILL, at moments spread over the interval: of the program, whose host goes on, and of the program while its
host's link goes. Twice are datagrams that arrived at both hosts.";

const BOGUS_HOW: &str = "\
RATE frames of protocol 112 a second to a MASTER: a quarter each of its vhid with a wrong digest (VRRP: a wrong
password), of another vhid, with TTL 64, and of version 7. The programs take turns, each on a cable of its own.
The time is the program's own, user and kernel, divided by the frames that were sent: who is not fast enough
and lets the kernel drop frames is cheaper by that. An advertisement is late by how much later than its
interval it came after the one before (netisrd 0/25, the others each second), on the wire.";

pub(crate) fn chapters(text: &mut String, figures: &Figures, aims: &mut Aims) {
    let has = |section: Section| figures.has(section.name());
    if has(Section::Datapath) {
        chapter(text, "Through a virtual address", PATH_HOW, &paths(figures, aims));
    }
    if has(Section::Loss) || has(Section::LossKeepalived) {
        let how = LOSS_HOW.replace("DETECTION", &format!("{:.0}", loss::detection_ms()));
        chapter(text, "What a takeover loses", &how, &losses(figures, aims));
    }
    if has(Section::Bogus) {
        let how = BOGUS_HOW.replace("RATE", &bogus::RATE.to_string());
        chapter(text, "Bogus advertisements", &how, &barrage(figures, aims));
    }
}

fn show(samples: Option<Summary>, decimals: usize) -> String {
    samples.map_or_else(|| "-".to_owned(), |s| s.show(decimals))
}

fn paths(figures: &Figures, aims: &mut Aims) -> String {
    let name = Section::Datapath.name();
    let heads = ["min / median / max", "plain", "macvlan", "tap, cpu", "tap, hash", "keepalived", "aim"];
    let mut table = Table::new(&heads);
    let rows = [
        ("to", "Gbit/s to it", 2),
        ("from", "Gbit/s from it", 2),
        ("p50", "round trip, µs: p50", 1),
        ("p99", "round trip, µs: p99", 1),
        ("apart.p50", "apart: round trip, µs: p50", 1),
        ("apart.p99", "apart: round trip, µs: p99", 1),
    ];
    for (key, what, decimals) in rows {
        let of = |way: Way| show(figures.summary(name, &format!("{}.{key}", way.name())), decimals);
        let [plain, macvlan, cpu, hash, keepalived] = Way::ALL.map(of);
        let aim = tap_aim(figures, aims, key, what);
        table.row([what.to_owned(), plain, macvlan, cpu, hash, keepalived, aim]);
    }
    for (key, what, _) in rows {
        let part = |way: Way| {
            let [of, over] = [way, Way::Plain].map(|w| format!("{}.{key}", w.name()));
            figures.ratio(name, [&of, &over])
        };
        let [_, macvlan, cpu, hash, keepalived] = Way::ALL.map(part);
        let shown =
            [macvlan, cpu, hash, keepalived].map(|p| p.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}")));
        let what = format!("{what}: part of plain");
        let aim = match (key, macvlan) {
            ("to" | "from", Some(part)) => {
                aims.judge(&format!("macvlan: {what}"), &format!("macvlan ≥ {AS_PLAIN}"), part >= AS_PLAIN)
            }
            ("p99" | "apart.p99", _) => judge_taps([cpu, hash], |name, part| {
                aims.judge(&format!("tap, {name}: {what}"), &format!("{name} < {TAP_P99:.0}"), part < TAP_P99)
            }),
            _ => String::new(),
        };
        let [macvlan, cpu, hash, keepalived] = shown;
        table.row([what, "1".to_owned(), macvlan, cpu, hash, keepalived, aim]);
    }
    table.show()
}

/// Of the median: a stream that is slower once was beside something else.
fn tap_aim(figures: &Figures, aims: &mut Aims, key: &str, what: &str) -> String {
    if !["to", "from"].contains(&key) {
        return String::new();
    }
    let of = |way: Way| figures.value(Section::Datapath.name(), &format!("{}.{key}", way.name()));
    judge_taps([Way::TapByCpu, Way::TapByFlow].map(of), |name, value| {
        aims.judge(&format!("tap, {name}: {what}"), &format!("{name} > {TAP:.0}"), value > TAP)
    })
}

/// By CPU and by hash.
fn judge_taps(of: [Option<f64>; 2], mut judge: impl FnMut(&str, f64) -> String) -> String {
    let both = ["cpu", "hash"].into_iter().zip(of);
    both.filter_map(|(name, value)| Some(judge(name, value?))).collect::<Vec<_>>().join("; ")
}

fn losses(figures: &Figures, aims: &mut Aims) -> String {
    let (ours, theirs) = (Section::Loss.name(), Section::LossKeepalived.name());
    let mut table = Table::new(&["lost, min / median / max", "macvlan", "tap", "keepalived", "aim"]);
    let detection = loss::detection_ms() + SLACK;
    let rows = [
        ("handed over: group's carpdemote; priority", "group", Some("priority"), Some(0.0)),
        ("handed over: sysctl; SIGTERM", "sysctl", Some("stop"), Some(0.0)),
        ("and back; priority", "back", Some("back"), Some(0.0)),
        ("returns", "return", Some("return"), None),
        ("SIGKILL", "kill", Some("kill"), Some(detection)),
        ("SIGKILL, and the host's link", "crash", Some("crash"), Some(detection)),
    ];
    for (what, key, peers, most) in rows {
        let of = |way: Way, what: &str| figures.summary(ours, &format!("{}.{key}.{what}", way.name()));
        let [macvlan, tap] = loss::PATHS.map(|way| of(way, "lost"));
        let peer = peers.and_then(|key| figures.summary(theirs, &format!("{key}.lost")));
        let worst = [macvlan, tap].into_iter().flatten().map(|s| s.max).reduce(f64::max);
        let aim = match (most, worst) {
            (Some(most), Some(worst)) => aims.judge(what, &format!("max ≤ {most:.0}"), worst <= most),
            _ => String::new(),
        };
        table.row([what.to_owned(), show(macvlan, 0), show(tap, 0), show(peer, 0), aim]);
        let [macvlan, tap] = loss::PATHS.map(|way| of(way, "twice"));
        let peer = peers.and_then(|key| figures.summary(theirs, &format!("{key}.twice")));
        if [macvlan, tap, peer].into_iter().flatten().any(|s| s.max > 0.0) {
            let what = format!("{what}: twice");
            table.row([what, show(macvlan, 0), show(tap, 0), show(peer, 0), String::new()]);
        }
    }
    let left = |section: &str, key: &str| {
        let left = figures.summary(section, key).map(|s| if s.max > 0.0 { "yes" } else { "no" });
        left.unwrap_or("-").to_owned()
    };
    let [macvlan, tap] = loss::PATHS.map(|way| left(ours, &format!("{}.kill.left", way.name())));
    let what = "SIGKILL: its host still has the address when the successor serves it".to_owned();
    table.row([what, macvlan, tap, left(theirs, "kill.left"), String::new()]);
    table.show()
}

fn barrage(figures: &Figures, aims: &mut Aims) -> String {
    let name = Section::Bogus.name();
    let mut table = Table::new(&["", "netisrd", "ucarp", "keepalived", "aim"]);
    let of = |key: &str| Who::ALL.map(|who| figures.summary(name, &format!("{}.{key}", who.name())));
    let mut row = |what: &str, key: &str, decimals, aim: String| {
        let [a, b, c] = of(key).map(|s| show(s, decimals));
        table.row([what.to_owned(), a, b, c, aim]);
    };
    row("frames a second", "rate", 0, String::new());
    let what = "CPU time a frame, ns";
    let [own, ucarp, keepalived] = of("ns").map(|s| s.map(|s| s.median));
    let least = [ucarp, keepalived].into_iter().flatten().reduce(f64::min);
    let aim = own
        .zip(least)
        .map_or_else(String::new, |(own, least)| aims.judge(what, "median below both", own < least));
    row(what, "ns", 0, aim);
    row("part of its vhid's frames that it has judged", "taken", 2, String::new());
    let stays = figures.summary(name, "netisrd.master").is_some_and(|s| s.min >= 1.0);
    let stays = aims.judge("MASTER under fire", "stays MASTER", stays);
    row("advertisements, part of those that were due", "adverts", 2, stays);
    row("advertisement late, ms: p99", "late.p99", 2, String::new());
    let what = "advertisement late, ms: max";
    let late = figures.summary(name, "netisrd.late.max");
    let aim = aims.at_most(what, late, LATE);
    row(what, "late.max", 2, aim);
    row("and not under fire", "quiet", 2, String::new());
    table.show()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(figures: &Figures) -> (String, Aims) {
        let (mut text, mut aims) = (String::new(), Aims::default());
        chapters(&mut text, figures, &mut aims);
        (text, aims)
    }

    #[test]
    fn a_path_is_held_against_the_plain_one_of_the_same_round() {
        let mut f = Figures::default();
        // A machine that gets slower hits both alike.
        for (plain, macvlan) in [(10.0, 9.8), (5.0, 4.9), (2.0, 1.96)] {
            f.push("data-path", "plain.to", plain);
            f.push("data-path", "macvlan.to", macvlan);
        }
        let (text, _) = told(&f);
        assert!(text.contains("macvlan ≥ 0.97: met"), "{text}");
        assert!(!text.contains("> 2"), "{text}");
        f.push("data-path", "tap-cpu.to", 1.9);
        f.push("data-path", "tap-hash.to", 2.1);
        f.push("data-path", "plain.p99", 20.0);
        f.push("data-path", "tap-cpu.p99", 50.0);
        f.push("data-path", "tap-hash.p99", 70.0);
        let (text, _) = told(&f);
        assert!(text.contains("cpu > 2: **missed**; hash > 2: met"), "{text}");
        assert!(text.contains("cpu < 3: met; hash < 3: **missed**"), "{text}");
    }

    #[test]
    fn one_datagram_lost_misses_and_a_death_may_cost_what_is_waited_for() {
        let mut f = Figures::default();
        for (key, lost) in [("group", 0.0), ("group", 1.0), ("sysctl", 0.0), ("kill", 3390.0)] {
            f.push("loss", &format!("macvlan.{key}.lost"), lost);
        }
        let (text, _) = told(&f);
        assert_eq!(text.matches("max ≤ 0: **missed**").count(), 1, "{text}");
        assert_eq!(text.matches("max ≤ 0: met").count(), 1, "{text}");
        assert!(text.contains("max ≤ 3401: met"), "{text}");
    }

    #[test]
    fn a_bogus_frame_must_cost_less_than_at_the_cheaper_peer() {
        let mut f = Figures::default();
        for (who, ns) in [("netisrd", 900.0), ("ucarp", 1000.0), ("keepalived", 800.0)] {
            f.push("bogus", &format!("{who}.ns"), ns);
        }
        f.push("bogus", "netisrd.master", 1.0);
        f.push("bogus", "netisrd.late.max", 20.5);
        let (text, _) = told(&f);
        assert!(text.contains("median below both: **missed**"), "{text}");
        assert!(text.contains("stays MASTER: met") && text.contains("max ≤ 20: **missed**"), "{text}");
    }
}
