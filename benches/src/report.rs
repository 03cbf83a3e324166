//! The figures side by side, and into the document.

use crate::figures::Figures;
use crate::host;
use crate::lookup::{self, Kind, VHIDS};
use crate::section::Section;
use crate::stats::Summary;
use crate::table::Table;
use crate::{report_host, report_lockless, report_simulated};
use std::fs;
use std::io;
use std::path::Path;

/// What is measured in a laboratory and next to ucarp, what where the host serves the
/// address, what in memory, and what in virtual time: each stays in the document
/// until it is measured again.
const BLOCKS: [&str; 4] = ["figures", "host", "lockless", "simulated"];

/// Milliseconds over the formula that a takeover may take.
const TAKEOVER_SLACK: f64 = 10.0;
/// Milliseconds that a handover may take.
const HANDOVER: f64 = 5.0;
/// How many times less than ucarp's 255 processes.
const FACTOR: f64 = 50.0;
/// A step may differ by this factor between 1 vhid and 255.
const SAME: f64 = 1.05;

const TAKEOVER_HOW: &str = "\
Two nodes on a bridge; a client pings the virtual address every millisecond. The master is killed with
SIGKILL (ucarp's host also loses its link, for it would go on answering), at moments spread over its
interval. All times are the kernel's stamps on the backup's port. Its formula is 3 * advbase + advskew/256.";

const HANDOVER_HOW: &str = "\
The same pair at 1/0 and 1/100, the master being told to go. ucarp sends no bow-out: its backup waits. For
SIGUSR2 the skews are the other way round, or the one told to go would be the first to come back. A
command's time has the start of `ifconfig-carp` in it, an answer's up to a millisecond between two pings.
Lost are the client's requests that nobody answered, in each run.";

const SCALE_HOW: &str = "\
255 vhids at 1/0 on one node, all MASTER, and at 1/100 on the other, all BACKUP: netisrd is one process per
node, ucarp 255. CPU is the scheduler's account of all threads, user and kernel; memory is resident, and
proportional (what is shared is divided among those who share it).";

const LOOKUP_HOW: &str = "\
A machine in this process with one card and carp1 to carpN, all MASTER: one 70-byte frame for the last of
them goes into `ether_input` again and again, until it is known whose it is and copied into a packet.
Median of rounds; instructions by callgrind, as the difference of two lengths of run. Below, the lookup
alone: by index, and along the list as upstream's `carp_forus` goes.";

/// What was aimed at and missed.
#[derive(Default)]
pub(crate) struct Aims {
    missed: Vec<String>,
}

impl Aims {
    pub(crate) fn judge(&mut self, what: &str, aim: &str, met: bool) -> String {
        if met {
            return format!("{aim}: met");
        }
        self.missed.push(format!("- {what}: {aim}"));
        format!("{aim}: **missed**")
    }

    /// That the largest sample is at most `most`.
    pub(crate) fn at_most(&mut self, what: &str, samples: Option<Summary>, most: f64) -> String {
        let aim = format!("max ≤ {most:.0}");
        samples.map_or(aim.clone(), |s| self.judge(what, &aim, s.max <= most))
    }
}

/// A part of the document that is made by a run.
pub(crate) struct Block {
    name: &'static str,
    text: String,
}

/// All of it, in Markdown.
pub(crate) fn report(figures: &Figures, quick: bool) -> Vec<Block> {
    let chapters = [with_peers, report_host::chapters, report_lockless::chapters, report_simulated::chapters];
    BLOCKS.into_iter().zip(chapters).filter_map(|(name, fill)| block(name, figures, quick, fill)).collect()
}

/// All of it, for a terminal.
pub(crate) fn show(blocks: &[Block]) -> String {
    blocks.iter().map(|b| format!("\n{}", b.text)).collect()
}

/// Nothing, if nothing of it was measured.
fn block(name: &'static str, figures: &Figures, quick: bool, fill: Fill) -> Option<Block> {
    let (mut chapters, mut aims) = (String::new(), Aims::default());
    fill(&mut chapters, figures, &mut aims);
    if chapters.is_empty() {
        return None;
    }
    let mut text = format!("Machine: {}.\n", host::describe());
    if quick {
        text.push_str("\nA quick run: few samples, short ones.\n");
    }
    text.push_str(&chapters);
    match aims.missed.as_slice() {
        [] => text.push_str("\nEvery aim was met in this run.\n"),
        missed => text.push_str(&format!("\nMissed in this run:\n\n{}\n", missed.join("\n"))),
    }
    Some(Block { name, text })
}

type Fill = fn(&mut String, &Figures, &mut Aims);

fn with_peers(text: &mut String, figures: &Figures, aims: &mut Aims) {
    let has = |section: Section| figures.has(section.name());
    if has(Section::Takeover) || has(Section::TakeoverFast) || has(Section::TakeoverUcarp) {
        chapter(text, "The master dies", TAKEOVER_HOW, &takeover(figures, aims));
    }
    if has(Section::Handover) || has(Section::HandoverUcarp) {
        chapter(text, "The master goes in order", HANDOVER_HOW, &handover(figures, aims));
    }
    if has(Section::Scale) || has(Section::ScaleUcarp) {
        chapter(text, "255 vhids", SCALE_HOW, &scale(figures, aims));
    }
    if figures.has(lookup::NAME) {
        chapter(text, "From a frame to its softc", LOOKUP_HOW, &look(figures, aims));
    }
}

pub(crate) fn chapter(text: &mut String, title: &str, how: &str, table: &str) {
    text.push_str(&format!("\n## {title}\n\n{how}\n\n{table}"));
}

fn shown(samples: Option<Summary>) -> String {
    samples.map_or_else(|| "-".to_owned(), |s| s.show(2))
}

fn takeover(figures: &Figures, aims: &mut Aims) -> String {
    let [ours, fast, theirs] =
        [Section::Takeover, Section::TakeoverFast, Section::TakeoverUcarp].map(Section::name);
    let mut table = Table::new(&["ms, min / median / max", "netisrd", "ucarp", "aim"]);
    for (section, peer, timing) in [(ours, Some(theirs), "1/0, 1/100"), (fast, None, "0/10, 0/25")] {
        let of = |key: &str| {
            let peer = peer.and_then(|p| figures.summary(p, key));
            (figures.summary(section, key), shown(peer))
        };
        let formula = figures.value(section, "formula").or_else(|| figures.value(peer?, "formula"));
        let Some(formula) = formula else { continue };
        let runs = [Some(section), peer].into_iter().flatten().find_map(|s| figures.summary(s, "answer"));
        let runs = runs.map_or(0, |s| s.n);
        let (answer, peers) = of("answer");
        let what = format!("{timing}, formula {formula:.2}: last advertisement to first answer, {runs} runs");
        table.row([what, shown(answer), peers, String::new()]);
        let (excess, peers) = of("excess");
        let what = format!("{timing}: that, over the formula");
        let aim = aims.at_most(&what, excess, TAKEOVER_SLACK);
        table.row([what, shown(excess), peers, aim]);
        let (advert, peers) = of("advert");
        let what = format!("{timing}: successor's first advertisement, over the formula");
        table.row([what, shown(advert), peers, String::new()]);
    }
    table.show()
}

fn handover(figures: &Figures, aims: &mut Aims) -> String {
    let (ours, theirs) = (Section::Handover.name(), Section::HandoverUcarp.name());
    let mut table = Table::new(&["ms, min / median / max", "netisrd", "ucarp", "aim"]);
    let rows = [
        ("`carp0 down`: bow-out on the wire to first answer", "down.bow-out", None, true),
        ("`carp0 down`: start of the command to first answer", "down.command", Some("usr2.command"), true),
        ("`carp0 down`: requests lost", "down.lost", None, false),
        ("SIGTERM: bow-out on the wire to first answer", "term.bow-out", None, true),
        ("SIGTERM: signal to first answer", "term.command", Some("term.command"), true),
        ("SIGTERM: requests lost", "term.lost", None, false),
    ];
    for (what, key, peers, aimed) in rows {
        let own = figures.summary(ours, key);
        let peer = peers.and_then(|k| figures.summary(theirs, k));
        let usr2 = peer.is_some() && peers == Some("usr2.command");
        let peer = format!("{}{}", shown(peer), if usr2 { " (SIGUSR2)" } else { "" });
        let aim = if aimed { aims.at_most(what, own, HANDOVER) } else { String::new() };
        table.row([what.to_owned(), shown(own), peer, aim]);
    }
    table.show()
}

fn scale(figures: &Figures, aims: &mut Aims) -> String {
    let (ours, theirs) = (Section::Scale.name(), Section::ScaleUcarp.name());
    let mut table = Table::new(&["node", "netisrd", "ucarp", "ucarp / netisrd", "aim"]);
    let kinds = [
        ("cpu", "CPU seconds a minute", true),
        ("rss", "MB resident", true),
        ("pss", "MB proportional", false),
    ];
    for (kind, unit, aimed) in kinds {
        let of = |section: &str| {
            let [a, b] = ["first", "second"].map(|node| figures.value(section, &format!("{node}.{kind}")));
            [a, b, a.zip(b).map(|(a, b)| a + b)]
        };
        let values = of(ours).into_iter().zip(of(theirs));
        for (role, (own, peer)) in ["255 MASTER", "255 BACKUP", "both nodes"].iter().zip(values) {
            let what = format!("{role}: {unit}");
            let show = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
            let ratio = own.zip(peer).map(|(own, peer)| peer / own);
            let aim = match ratio.filter(|_| aimed && *role == "both nodes") {
                Some(r) => aims.judge(&what, &format!("≥ {FACTOR:.0} times"), r >= FACTOR),
                None => String::new(),
            };
            let ratio = ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.0}"));
            table.row([what, show(own), show(peer), ratio, aim]);
        }
    }
    table.show()
}

fn look(figures: &Figures, aims: &mut Aims) -> String {
    let mut table = Table::new(&["frame", "1 vhid", "16", "255", "aim"]);
    let kinds = Kind::ALL.map(|kind| match kind {
        Kind::Unicast => (kind, "to a virtual MAC"),
        Kind::Advert => (kind, "advertisement"),
        Kind::Stranger => (kind, "advertisement of another vhid"),
    });
    let of = |key: &str| VHIDS.map(|n| figures.value(lookup::NAME, &format!("{key}.{n}")));
    for (kind, what) in kinds {
        let instructions = of(&format!("ir.{}", kind.name()));
        let counted = instructions.iter().all(Option::is_some);
        table.row(cells(&format!("{what}: ns"), of(kind.name()), 1, String::new()));
        if counted {
            let what = format!("{what}: instructions");
            let [few, _, many] = instructions.map(Option::unwrap_or_default);
            let aim = aims.judge(&what, "the same", many <= few * SAME);
            table.row(cells(&what, instructions, 0, aim));
        }
    }
    table.row(cells("the lookup alone, by index: ns", of("step"), 1, String::new()));
    table.row(cells("the lookup alone, along the list: ns", of("walk"), 1, String::new()));
    table.show()
}

fn cells(what: &str, values: [Option<f64>; 3], decimals: usize, aim: String) -> [String; 5] {
    let [a, b, c] = values.map(|v| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.decimals$}")));
    [what.to_owned(), a, b, c, aim]
}

/// Puts each block between its markers in a document; what is around them
/// stays. A document that is not there yet has nothing around them.
pub(crate) fn write(path: &Path, blocks: &[Block]) -> io::Result<()> {
    let mut document = match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let empty = BLOCKS.map(markers).map(|[begin, end]| format!("\n{begin}\n{end}\n"));
            format!("# Benchmarks\n{}", empty.concat())
        }
        old => old?,
    };
    for Block { name, text } in blocks {
        let missing =
            || io::Error::new(io::ErrorKind::InvalidData, format!("no {}", markers(name).join(" and ")));
        document = replaced(&document, markers(name), text).ok_or_else(missing)?;
    }
    fs::write(path, document)
}

fn markers(name: &str) -> [String; 2] {
    ["begin", "end"].map(|which| format!("<!-- {name}: {which} -->"))
}

fn replaced(old: &str, [begin, end]: [String; 2], text: &str) -> Option<String> {
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{text}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_the_figures_stays() {
        let [begin, end] = markers("x");
        let once = replaced(&format!("a\n{begin}\nold\n{end}\nb\n"), markers("x"), "new\n").unwrap();
        assert_eq!(once, format!("a\n{begin}\n\nnew\n\n{end}\nb\n"));
        assert_eq!(replaced(&once, markers("x"), "new\n"), Some(once.clone()));
        assert_eq!(replaced(&once, markers("y"), "new\n"), None);
    }

    #[test]
    fn an_aim_is_held_to_the_worst_sample() {
        let mut aims = Aims::default();
        let of = |samples: &[f64]| Summary::of(samples);
        assert_eq!(aims.at_most("x", of(&[1.0, 10.0]), 10.0), "max ≤ 10: met");
        assert_eq!(aims.at_most("y", of(&[1.0, 1.0, 10.1]), 10.0), "max ≤ 10: **missed**");
        assert_eq!(aims.at_most("z", None, 10.0), "max ≤ 10");
        assert_eq!(aims.missed, ["- y: max ≤ 10"]);
    }

    #[test]
    fn only_what_was_measured_is_reported() {
        let mut f = Figures::default();
        for node in ["first", "second"] {
            for (section, cpu, rss) in [("scale", 0.1, 10.0), ("scale-ucarp", 8.0, 100.0)] {
                f.push(section, &format!("{node}.cpu"), cpu);
                f.push(section, &format!("{node}.rss"), rss);
            }
        }
        let text = match report(&f, false).as_slice() {
            [Block { name: "figures", text }] => text.clone(),
            other => panic!("{} blocks", other.len()),
        };
        assert!(text.contains("## 255 vhids") && !text.contains("## The master dies"));
        assert!(text.contains("≥ 50 times: met"));
        assert!(text.ends_with("- both nodes: MB resident: ≥ 50 times\n"));
    }
}
