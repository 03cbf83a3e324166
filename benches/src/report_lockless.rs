//! The figures of the lockless design, and its aims.

use crate::change::{self, NETISRS, SOFTCS};
use crate::figures::Figures;
use crate::forward::{self, Churn, PERCENTILES};
use crate::lockless::Part;
use crate::plot;
use crate::read::{self, Order, READERS, Way};
use crate::report::{Aims, chapter};
use crate::table::Table;

/// How many times a plain pointer's time a read may take.
const PLAIN: f64 = 1.05;
/// How many times a read's time the best of the others takes.
const RIVAL: f64 = 5.0;
/// Microseconds that a change of an idle machine may take.
const CHANGE: f64 = 100.0;
/// How many times the p99.9 may be what it is while nothing changes.
const MOVED: f64 = 1.10;

const READ_HOW: &str = "\
64 pointers, each to a value in a cache line of its own. Latency: the value says which pointer is next, so a
read waits for the one before. Throughput: one pointer after the other. A reader does what its way asks for
at each read, and ours looks after each 64 whether it is to be quiescent, which is in its figures.
Nanoseconds of the reader's own CPU time a read, by criterion, median of passes that go through all ways in
turn; a wait for a lock is not in it. `w`: a writer changes one pointer after the other as fast as its way
lets it, with an allocation for each value; ours waits for all readers at each change. A plain pointer's old
values are never freed. Instructions by callgrind.";

const CHANGE_HOW: &str = "\
A machine whose netisr0 is the measuring thread and whose others are netisrd's threads. A change: the last of
the softcs is put on a new list, `if_carp` and `sc_carpdev` are switched, every netisr is waited for, the old
list is freed (`carp_if::insert`). The bare cell: a switch and the wait. Idle: the other netisrs sleep. Load:
each has a queue that is never empty, of frames for carp1 from 64 sources. Microseconds, median of rounds of
100 (load: of as many as fit in 100 ms); the aim is held to the slowest round.";

const FORWARD_HOW: &str = "\
Two netisrs, each on a processor of its own; 16 vhids, all MASTER. An echo request to carp1 is due every
20 µs and is read by netisr1, which never sleeps; half of them belong to netisr0. Time from when a frame was
due until its answer is sent. Rounds of a second take turns: in one nothing changes, in the next the vhids of
carp2 to carp16 are changed by ioctl, one each millisecond, in the third without a pause, each change as soon
as the one before is answered. Medians of rounds; a difference is the median of those between rounds of the
same turn.";

/// Whatever of it was measured.
pub(crate) fn chapters(text: &mut String, figures: &Figures, aims: &mut Aims) {
    if figures.has(Part::Read.name()) {
        chapter(text, "Reading `if_carp`", READ_HOW, &reads(figures, aims));
    }
    if figures.has(Part::Change.name()) {
        chapter(text, "Changing `if_carp`", CHANGE_HOW, &changes(figures, aims));
    }
    if figures.has(Part::Forward.name()) {
        chapter(text, "Forwarding while the configuration changes", FORWARD_HOW, &forwarding(figures, aims));
    }
}

fn show(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.decimals$}"))
}

fn reads(figures: &Figures, aims: &mut Aims) -> String {
    let of = |key: &str| figures.value(Part::Read.name(), key);
    let mut text = format!("![Reading a pointer]({})\n", plot::READS);
    for order in Order::ALL {
        let heads = ["ns a read", "1 reader", "2", "4", "1 w", "2 w", "4 w", "instructions"];
        let mut table = Table::new(&heads);
        for way in Way::ALL {
            let time = |readers, churn| show(of(&read::key(way, order, readers, churn)), 2);
            let [a, b, c] = READERS.map(|n| time(n, false));
            let [d, e, f] = READERS.map(|n| time(n, true));
            table.row([way.title().to_owned(), a, b, c, d, e, f, show(of(&read::ir_key(way, order)), 1)]);
        }
        text.push_str(&format!("\n{}:\n\n{}", title(order), table.show()));
    }
    let mut table = Table::new(&["QsCell, the worst of 1, 2, 4 readers", "times", "aim"]);
    for (order, churn) in Order::ALL.iter().flat_map(|o| [(*o, false), (*o, true)]) {
        let what = format!("{}{}", title(order), if churn { ", with a writer" } else { "" });
        let time = |way, readers| of(&read::key(way, order, readers, churn));
        let plain = |n| Some(time(Way::Ours, n)? / time(Way::Plain, n)?);
        if let Some(worst) = READERS.iter().filter_map(|n| plain(*n)).max_by(f64::total_cmp) {
            let what = format!("{what}: over a plain pointer");
            let aim = aims.judge(&what, "≤ 1.05 times", worst <= PLAIN);
            table.row([what, format!("{worst:.2}"), aim]);
        }
        let rivals = |n| {
            let ours = time(Way::Ours, n)?;
            let times = |way| Some((time(way, n)? / ours, way.title()));
            let mut all: Vec<_> = Way::ALL.into_iter().filter(|w| w.is_rival()).filter_map(times).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            (!all.is_empty()).then_some(all)
        };
        let worst = READERS.iter().filter_map(|n| rivals(*n)).min_by(|a, b| a[0].0.total_cmp(&b[0].0));
        if let Some([(best, title), next @ ..]) = worst.as_deref() {
            let what = format!("{what}: the best of the others, {title}");
            let aim = aims.judge(&what, "≥ 5 times", *best >= RIVAL);
            let next =
                next.first().map_or_else(String::new, |(t, title)| format!("; the next, {title}: {t:.1}"));
            table.row([what, format!("{best:.1}{next}"), aim]);
        }
    }
    format!("{text}\n{}", table.show())
}

fn title(order: Order) -> &'static str {
    match order {
        Order::Latency => "Latency",
        Order::Throughput => "Throughput",
    }
}

fn changes(figures: &Figures, aims: &mut Aims) -> String {
    let of = |key: &str| figures.summary(Part::Change.name(), key);
    let mut table = Table::new(&["µs", "bare cell", "1 softc", "16", "255", "aim for 255"]);
    for (load, netisrs) in [false, true].iter().flat_map(|load| NETISRS.map(|n| (*load, n))) {
        let s = if netisrs == 1 { "" } else { "s" };
        let what = format!("{}, {netisrs} netisr{s}", if load { "load" } else { "idle" });
        let value = |softcs| show(of(&change::key(netisrs, softcs, load)).map(|s| s.median), 1);
        let [a, b, c] = SOFTCS.map(|n| value(Some(n)));
        let most = of(&change::key(netisrs, Some(SOFTCS[2]), load)).filter(|_| !load);
        let aim = match most {
            Some(_) => aims.at_most(&format!("a change, {what}, 255 softcs: µs"), most, CHANGE),
            None => String::new(),
        };
        table.row([what, value(None), a, b, c, aim]);
    }
    table.show()
}

fn forwarding(figures: &Figures, aims: &mut Aims) -> String {
    let section = Part::Forward.name();
    let of = |key: &str| show(figures.value(section, key), 2);
    let [quiet, thousand, flat_out] = Churn::ALL;
    let heads =
        ["µs", "no changes", "1000 a second", "difference", "flat out", "difference", "aim, flat out"];
    let mut table = Table::new(&heads);
    for (netisr, name) in [1, 0].iter().flat_map(|n| PERCENTILES.map(|(name, _)| (*n, name))) {
        let key = |churn| forward::key(netisr, name, churn);
        let moved = |churn| figures.ratio(section, [&key(churn), &key(quiet)]);
        let percent = |churn| format!("{} %", show(moved(churn).map(|m| (m - 1.0) * 100.0), 0));
        let what = format!("answered by netisr{netisr}: {name}");
        let aim = match moved(flat_out).filter(|_| name == "p99.9") {
            Some(moved) => aims.judge(&what, "< 10 %", moved < MOVED),
            None => String::new(),
        };
        let [a, b, c] = Churn::ALL.map(|churn| of(&key(churn)));
        table.row([what, a, b, percent(thousand), c, percent(flat_out), aim]);
    }
    for netisr in [1, 0] {
        let [a, b, c] = Churn::ALL.map(|churn| of(&forward::key(netisr, "lost", churn)));
        let what = format!("answered by netisr{netisr}: lost a round");
        table.row([what, a, b, String::new(), c, String::new(), String::new()]);
    }
    let [a, b, c] = Churn::ALL.map(|churn| show(figures.value(section, &forward::rate_key(churn)), 0));
    table.row(["changes a second".to_owned(), a, b, String::new(), c, String::new(), String::new()]);
    table.show()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_held_against_a_plain_pointer_and_the_best_that_reclaims() {
        let mut f = Figures::default();
        let times = [(Way::Plain, 4.0), (Way::Ours, 4.1), (Way::EpochBatch, 4.0), (Way::Seize, 12.0)];
        for (way, ns) in times.into_iter().chain([(Way::RwLock, 40.0)]) {
            f.push("read", &read::key(way, Order::Latency, 1, false), ns);
        }
        let mut aims = Aims::default();
        let table = reads(&f, &mut aims);
        assert!(table.contains("1.02") && table.contains("≤ 1.05 times: met"));
        assert!(table.contains("`seize`") && table.contains("≥ 5 times: **missed**"));
    }
}
