//! The parts of the lockless design that are measured on machines in memory:
//! each in a process of its own, so that none inherits another's threads or
//! heap.

use crate::figures::Figures;
use crate::read::{Order, Way};
use crate::{callgrind, change, forward, read, section};
use clap::ValueEnum;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A read of `if_carp`.
    Read,
    /// One change of `if_carp`.
    Change,
    /// Frames while the configuration changes.
    Forward,
}

impl Part {
    pub(crate) const ALL: [Part; 3] = [Part::Read, Part::Change, Part::Forward];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Read => "read",
            Part::Change => "change",
            Part::Forward => "forward",
        }
    }

    /// In the part's own process.
    pub(crate) fn run(self, quick: bool) -> Result<(), String> {
        match self {
            Part::Read => read::measure(quick),
            Part::Change => change::measure(quick),
            Part::Forward => forward::measure(quick),
        }
    }

    pub(crate) fn measure(self, quick: bool, figures: &mut Figures) -> Result<(), String> {
        let name = self.name();
        println!("{name}: ...");
        section::collect(name, &["lockless", name], quick, figures).map_err(|e| format!("{name}: {e}"))?;
        if self == Part::Read && callgrind::is_here(name) {
            for (way, order) in Way::ALL.iter().flat_map(|w| Order::ALL.map(|o| (*w, o))) {
                let args = ["read-once", "--way", way.name(), "--order", order.name(), "--reads"];
                figures.push(name, &read::ir_key(way, order), callgrind::per_call(&args)?);
            }
        }
        Ok(())
    }
}
