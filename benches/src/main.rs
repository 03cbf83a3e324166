//! `make bench`: the figures of `docs/benchmarks.md`, ours and ucarp's in the
//! same run.
//!
//! ```text
//! bench ── one process per section ── a laboratory (lab::run) ── netisrd, ucarp, a client
//!   ▲              │ lines "@ key value"        │
//!   │              ├────────────────────────────┘
//!   └──────────────┴─ lockless ── machines in memory    lookup: in this process
//! ```
//!
//! A section measures one thing about one program and knows nothing of aims;
//! `report` puts the figures side by side. A missed aim is a figure like any
//! other: only a measurement that failed fails the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails ends its process"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures the real world: clocks, threads and processes are its subject"
)]

mod barrage;
mod bogus;
mod callgrind;
mod change;
mod cpus;
mod datapath;
mod drip;
mod figures;
mod flood;
mod forward;
mod handover;
mod host;
mod keepalived;
mod lockless;
mod lookup;
mod loss;
mod paced;
mod pair;
mod plot;
mod read;
mod report;
mod report_host;
mod report_lockless;
mod report_simulated;
mod rig;
mod scale;
mod section;
mod served;
mod simulated;
mod stats;
mod table;
mod takeover;
mod usage;

use clap::{Parser, Subcommand};
use figures::Figures;
use lockless::Part;
use lookup::Kind;
use read::{Order, Way};
use section::Section;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use tests::lab;

/// Measures netisrd, and ucarp beside it.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Args {
    /// Fewer runs and shorter ones; writes no document unless --out says where
    #[arg(long)]
    quick: bool,

    /// Only these sections; writes no document unless --out says where
    #[arg(long, value_name = "SECTION", value_delimiter = ',')]
    only: Vec<String>,

    /// The document in which what was measured is replaced [default: docs/benchmarks.md]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hands frames to a machine of some vhids: what callgrind looks at
    LookupOnce {
        /// How many vhids
        #[arg(long)]
        vhids: u8,
        /// How many frames
        #[arg(long)]
        frames: u32,
        /// What frames
        #[arg(long, value_enum)]
        kind: Kind,
    },
    /// Reads a pointer: what callgrind looks at
    ReadOnce {
        /// Which way
        #[arg(long, value_enum)]
        way: Way,
        /// In what order
        #[arg(long, value_enum)]
        order: Order,
        /// How many times
        #[arg(long)]
        reads: u32,
    },
    /// Measures one part of the lockless design, and prints samples
    Lockless {
        /// Which part
        #[arg(value_enum)]
        part: Part,
    },
}

fn main() -> ExitCode {
    // A laboratory runs this executable as if it were a test.
    let mut args = env::args().skip(1);
    if args.next().as_deref() == Some(section::IN_A_LABORATORY) {
        return section::child(&args.next().unwrap_or_default());
    }
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::LookupOnce { vhids, frames, kind }) => {
            lookup::once(*vhids, *frames, *kind);
            Ok(())
        }
        Some(Command::ReadOnce { way, order, reads }) => {
            read::once(*way, *order, *reads);
            Ok(())
        }
        Some(Command::Lockless { part }) => part.run(section::is_quick()),
        None => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for, and tells.
fn measure(args: &Args) -> Result<(), String> {
    let names = Section::ALL.map(Section::name).into_iter().chain([lookup::NAME, simulated::NAME]);
    let names: Vec<_> = names.chain(Part::ALL.map(Part::name)).collect();
    if let Some(unknown) = args.only.iter().find(|o| !names.contains(&o.as_str())) {
        return Err(format!("no section {unknown}; there are {}", names.join(", ")));
    }
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|o| o == name);
    let mut figures = Figures::default();
    for section in Section::ALL.into_iter().filter(|s| wanted(s.name())) {
        section.measure(args.quick, &mut figures)?;
    }
    if wanted(lookup::NAME) {
        lookup::measure(args.quick, &mut figures)?;
    }
    if wanted(simulated::NAME) {
        simulated::measure(args.quick, &mut figures)?;
    }
    for part in Part::ALL.into_iter().filter(|p| wanted(p.name())) {
        part.measure(args.quick, &mut figures)?;
    }
    let blocks = report::report(&figures, args.quick);
    print!("{}", report::show(&blocks));
    let default = (!args.quick && args.only.is_empty()).then(|| PathBuf::from("docs/benchmarks.md"));
    match args.out.clone().or(default) {
        Some(path) => {
            let failed = |e| format!("{}: {e}", path.display());
            if let Some(svg) = plot::reads(&figures) {
                std::fs::write(path.with_file_name(plot::READS), svg).map_err(failed)?;
            }
            report::write(&path, &blocks).map_err(failed)
        }
        None => Ok(()),
    }
}
