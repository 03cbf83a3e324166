//! What `simulated` has measured.

use crate::figures::Figures;
use crate::report::{Aims, chapter};
use crate::simulated::{MACHINES, NAME, SHAPES, VHIDS};
use crate::table::Table;

/// How many times faster than the real world.
const FASTER: f64 = 1000.0;
/// Scenario-hours that a search sees in a minute.
const HOURS: f64 = 2000.0;

const RUN_HOW: &str = "\
10 minutes of MACHINES machines with VHIDS vhids each, all MASTER or BACKUP by their skews, and a link that
goes for ten seconds each minute; no judge; one thread, boot included, by the time that it computes. On one LAN each of the 10
MASTERs is heard by 99 machines; in pairs each of 50 LANs has 10 MASTERs, heard by one. A step is one message
of a netisr, or one frame. There is no peer to measure: ucarp and keepalived know no other clock.";

const FUZZ_HOW: &str = "\
`netisrd lab fuzz --seed 1`: hours of random scenarios a minute, each with the reference model beside it and
every rule looked at after every step. A fifth of them advertise once in a minute or two, and have nine
tenths of the hours: steps say how much is done.";

pub(crate) fn chapters(text: &mut String, figures: &Figures, aims: &mut Aims) {
    if !figures.has(NAME) {
        return;
    }
    let mut table =
        Table::new(&["machines", "times real time, min / median / max", "million steps a second", "aim"]);
    for (shape, what) in SHAPES.iter().zip(["on one LAN", "in 50 pairs"]) {
        let of = |key: &str| figures.summary(NAME, &format!("{}.{key}", shape.name));
        let (faster, steps) = (of("faster"), of("steps"));
        let what = format!("{MACHINES} x {VHIDS} vhids {what}");
        let aim = match &faster {
            Some(s) => aims.judge(&what, &format!("≥ {FASTER:.0}"), s.min >= FASTER),
            None => String::new(),
        };
        let steps = steps.map_or_else(|| "-".to_owned(), |s| format!("{:.2}", s.median / 1e6));
        table.row([what, faster.map_or_else(|| "-".to_owned(), |s| s.show(0)), steps, aim]);
    }
    let how = RUN_HOW.replace("MACHINES", &MACHINES.to_string()).replace("VHIDS", &VHIDS.to_string());
    chapter(text, "A hundred machines in virtual time", &how, &table.show());
    let mut table = Table::new(&["search", "scenario-hours a minute", "million steps a second", "aim"]);
    for (key, what, aimed) in
        [("fuzz.one", "one thread", false), ("fuzz.all", "a thread for each processor", true)]
    {
        let Some(hours) = figures.value(NAME, key) else { continue };
        let aim = match aimed {
            true => aims.judge(what, &format!("≥ {HOURS:.0}"), hours >= HOURS),
            false => String::new(),
        };
        let steps = figures.value(NAME, &format!("{key}.steps")).unwrap_or_default() / 1e6;
        table.row([what.to_owned(), format!("{hours:.0}"), format!("{steps:.2}"), aim]);
    }
    chapter(text, "The search", FUZZ_HOW, &table.show());
}
