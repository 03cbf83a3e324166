//! `netisrd lab`: what people type.

use super::journal::Keep;
use super::record::{self, Event, What};
use super::run::{self, Options, Outcome};
use super::scenario::Scenario;
use super::watch::Watcher;
use super::{fuzz, pcapng, report, timeline, watch};
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Simulate machines on LANs, in virtual time.
#[derive(clap::Args)]
pub struct Lab {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run scenarios, and say whether what they expect happens
    Run(Run),
    /// Run random scenarios, and look for one that breaks a rule
    Fuzz(fuzz::cli::Fuzz),
}

#[derive(clap::Args)]
struct Run {
    /// Scenarios
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// What every choice is made by [default: the scenario's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Netisrs of machines of which the scenario does not say
    #[arg(short = 'n', value_name = "NETISRS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    netisrs: u16,

    /// Write events.jsonl, lan.pcapng, timeline.svg and report.html there
    #[arg(short = 'o', long = "out", value_name = "DIR")]
    out: Option<PathBuf>,

    /// Watch each run in the terminal as it happens
    #[arg(long)]
    watch: bool,

    /// Seconds of a run that take one of yours
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "watch", value_parser = watch::speed)]
    speed: f64,
}

/// Does it: 0 if all went as expected, 1 if not, 2 if it could not be run.
pub fn main(lab: &Lab) -> ExitCode {
    match &lab.command {
        Command::Run(args) => run_all(args),
        Command::Fuzz(args) => fuzz::cli::main(args),
    }
}

fn run_all(args: &Run) -> ExitCode {
    let watcher = match args.watch.then(|| Watcher::new(args.speed)).transpose() {
        Ok(watcher) => watcher,
        Err(e) => {
            eprintln!("netisrd: {e}");
            return ExitCode::from(2);
        }
    };
    let mut status = 0;
    for file in &args.files {
        match run_file(args, watcher.as_ref(), file) {
            Ok(true) => {}
            Ok(false) => status = 1.max(status),
            Err(e) => {
                eprintln!("netisrd: {e}");
                status = 2;
            }
        }
    }
    ExitCode::from(status)
}

fn run_file(args: &Run, watcher: Option<&Watcher>, file: &Path) -> Result<bool, Box<dyn Error>> {
    let scenario = Scenario::read(file)?;
    let keep = if args.out.is_some() { Keep::Frames } else { Keep::Records };
    let options = Options { seed: args.seed, netisrs: args.netisrs.into(), keep, judged: true };
    let outcome = match watcher {
        Some(watcher) => watcher.run(&scenario, options)?,
        None => run::run(&scenario, options),
    };
    verdict(&mut io::stdout().lock(), file, &outcome)?;
    if let Some(dir) = &args.out {
        // Several scenarios have a folder each.
        let dir = match args.files.len() {
            1 => dir.clone(),
            _ => dir.join(file.file_stem().unwrap_or(file.as_os_str())),
        };
        write(&dir, &outcome).map_err(|e| format!("{}: {e}", dir.display()))?;
        println!("  wrote {}", dir.join("report.html").display());
    }
    Ok(outcome.passed)
}

/// What is said of a run.
fn verdict(out: &mut dyn Write, file: &Path, outcome: &Outcome) -> io::Result<()> {
    let word = if outcome.passed { "passed" } else { "FAILED" };
    let seed = outcome.events.first().map(|e| match e.what {
        What::Run { seed, .. } => seed,
        _ => 0,
    });
    writeln!(out, "{}: {word} (seed {})", file.display(), seed.unwrap_or_default())?;
    for Event { what, .. } in &outcome.events {
        match what {
            What::Expect { text, holds, seen } => {
                let word = if *holds { "ok" } else { "NO" };
                writeln!(out, "  {word}  {text}: {seen}")?;
            }
            What::Violation { text } => writeln!(out, "  NO  {text}")?,
            _ => {}
        }
    }
    Ok(())
}

fn write(dir: &Path, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    let Outcome { events, frames, lans, .. } = outcome;
    fs::write(dir.join("events.jsonl"), record::to_jsonl(events)?)?;
    fs::write(dir.join("lan.pcapng"), pcapng::write(lans, frames, events)?)?;
    fs::write(dir.join("timeline.svg"), timeline::svg(events))?;
    fs::write(dir.join("report.html"), report::html(events)?)?;
    Ok(())
}
