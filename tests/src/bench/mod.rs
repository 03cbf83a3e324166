//! `make bench`: the figures of `docs/benchmarks.md`, ours and ucarp's in the
//! same run.
//!
//! ```text
//! bench ── one process per section ── a laboratory (lab::run) ── netisrd, ucarp, a client
//!   ▲              │ lines "@ key value"        │
//!   └──────────────┴────────────────────────────┘       lookup: in this process
//! ```
//!
//! A section measures one thing about one program and knows nothing of aims;
//! `report` puts the figures side by side. A missed aim is a figure like any
//! other: only a measurement that failed fails the program.

mod callgrind;
mod figures;
mod handover;
mod host;
mod lookup;
mod pair;
mod report;
mod rig;
mod scale;
mod section;
mod stats;
mod table;
mod takeover;
mod usage;

use clap::{Parser, Subcommand};
use figures::Figures;
use lookup::Kind;
use section::Section;
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

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

    /// The document whose figures are replaced [default: docs/benchmarks.md]
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
}

/// The program.
pub fn main() -> ExitCode {
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
    let names: Vec<_> = Section::ALL.map(Section::name).into_iter().chain([lookup::NAME]).collect();
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
    let text = report::report(&figures, args.quick);
    println!("\n{text}");
    let default = (!args.quick && args.only.is_empty()).then(|| PathBuf::from("docs/benchmarks.md"));
    match args.out.clone().or(default) {
        Some(path) => report::write(&path, &text).map_err(|e| format!("{}: {e}", path.display())),
        None => Ok(()),
    }
}
