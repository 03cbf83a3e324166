//! `netisrd lab`: what people type.

use super::duration::Span;
use super::journal::Keep;
use super::record::{self, Event, What};
use super::run::{self, Options, Outcome};
use super::scenario::{Devices, Scenario, printable};
use super::watch::Watcher;
use super::{fuzz, pcapng, real, report, timeline, watch};
use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsStr;
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

    #[command(flatten)]
    real: Real,

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

/// Of real devices only.
#[derive(clap::Args)]
struct Real {
    /// In real time, on bridges and taps in namespaces of their own
    #[arg(long, conflicts_with_all = ["seed", "watch"])]
    real: bool,

    /// Then run it in virtual time too: the states must change in the same order
    #[arg(long, requires = "real")]
    compare: bool,

    /// How much later, or longer, than expected real devices may be
    #[arg(long, value_name = "TIME", requires = "real", default_value = "50ms")]
    slack: Span,

    /// For this program alone: it is in these namespaces
    #[arg(long, requires = "real", hide = true)]
    inside: bool,
}

/// Does it: 0 if all went as expected, 1 if not, 2 if it could not be run.
pub fn main(lab: &Lab) -> ExitCode {
    match &lab.command {
        Command::Run(args) => run_all(args),
        Command::Fuzz(args) => fuzz::cli::main(args),
    }
}

fn run_all(args: &Run) -> ExitCode {
    if let Some(dir) = written_twice(args) {
        eprintln!(
            "netisrd: {}: expected files with names of their own, not two for this folder",
            dir.display()
        );
        return ExitCode::from(2);
    }
    let watcher = match args.watch.then(|| Watcher::new(args.speed)).transpose() {
        Ok(watcher) => watcher,
        Err(e) => {
            eprintln!("netisrd: {e}");
            return ExitCode::from(2);
        }
    };
    let mut status = 0;
    for file in &args.files {
        let ran = match &args.real {
            Real { real: false, .. } => run_file(args, watcher.as_ref(), file),
            Real { inside: false, .. } => enter(args, file),
            Real { inside: true, .. } => run_real(args, file),
        };
        match ran {
            Ok(real::enter::INTERRUPTED) => return ExitCode::from(real::enter::INTERRUPTED),
            Ok(ran) => status = status.max(ran),
            Err(e) => {
                eprintln!("netisrd: {e}");
                status = 2;
            }
        }
    }
    ExitCode::from(status)
}

/// 0 if all went as expected, 1 if not.
fn run_file(args: &Run, watcher: Option<&Watcher>, file: &Path) -> Result<u8, Box<dyn Error>> {
    let scenario = Scenario::read(file)?;
    let keep = if args.out.is_some() { Keep::Frames } else { Keep::Records };
    let options = Options { seed: args.seed, netisrs: args.netisrs.into(), keep, judged: true };
    let outcome = match watcher {
        Some(watcher) => watcher.run(&scenario, options)?,
        None => run::run(&scenario, options),
    };
    let out = &mut io::stdout().lock();
    verdict(out, file, &outcome)?;
    if let Some(dir) = out_of(args, file) {
        write(&dir, &outcome).map_err(|e| format!("{}: {e}", dir.display()))?;
        writeln!(out, "  wrote {}", dir.join("report.html").display())?;
    }
    Ok((!outcome.passed).into())
}

/// Where a scenario's files go. Several scenarios have a folder each.
fn out_of(args: &Run, file: &Path) -> Option<PathBuf> {
    args.out.as_ref().map(|dir| match args.files.len() {
        1 => dir.clone(),
        _ => dir.join(file.file_stem().unwrap_or(file.as_os_str())),
    })
}

/// The folder that two scenarios would be written to, if there is one.
fn written_twice(args: &Run) -> Option<PathBuf> {
    let mut seen = BTreeSet::new();
    args.files.iter().filter_map(|file| out_of(args, file)).find(|dir| !seen.insert(dir.clone()))
}

/// Runs a file on real devices, by this program in namespaces of its own.
fn enter(args: &Run, file: &Path) -> Result<u8, Box<dyn Error>> {
    let scenario = Scenario::read_for(Devices::Real, file)?;
    if args.real.compare && scenario.is_only_real() {
        return Err(format!("{}: ucarp has no virtual time to compare with", file.display()).into());
    }
    let [netisrs, slack] = [args.netisrs.to_string(), args.real.slack.to_string()];
    let dir = out_of(args, file);
    let mut words: Vec<&OsStr> =
        ["lab", "run", "--real", "--inside", "-n", &netisrs, "--slack", &slack].map(OsStr::new).to_vec();
    if args.real.compare {
        words.push(OsStr::new("--compare"));
    }
    if let Some(dir) = &dir {
        words.extend([OsStr::new("-o"), dir.as_os_str()]);
    }
    words.extend([OsStr::new("--"), file.as_os_str()]);
    Ok(real::enter::outside(&scenario, &words)?)
}

/// Inside them: 0, or the status there of what was not as expected.
fn run_real(args: &Run, file: &Path) -> Result<u8, Box<dyn Error>> {
    let scenario = Scenario::read_for(Devices::Real, file)?;
    if let Some(dir) = &args.out {
        // It may be below what is hidden from now on.
        let failed = |e| format!("{}: {e}", dir.display());
        fs::create_dir_all(dir).and_then(|()| std::env::set_current_dir(dir)).map_err(failed)?;
    }
    real::enter::inside()?;
    let keep = if args.out.is_some() { Keep::Frames } else { Keep::Records };
    let options = real::Options { netisrs: args.netisrs.into(), keep, slack: args.real.slack.0 };
    let out = &mut io::stdout().lock();
    let begun = || {
        writeln!(out, "{}: {} on real devices", file.display(), scenario.time)?;
        out.flush()
    };
    let (outcome, late) = real::run(&scenario, options, begun)?;
    verdict(out, file, &outcome)?;
    if late > real::compare::CLOSE {
        writeln!(out, "  the kernel was up to {} ms late, and so may be all else", late.as_millis())?;
    }
    let mut passed = outcome.passed;
    if args.real.compare {
        let options = Options { seed: None, netisrs: args.netisrs.into(), keep: Keep::Events, judged: false };
        let there = run::run(&scenario, options);
        let found = real::compare::compare(&outcome.events, &there.events);
        write!(out, "{found}")?;
        passed &= found.agrees();
    }
    if let Some(dir) = &args.out {
        write(Path::new("."), &outcome).map_err(|e| format!("{}: {e}", dir.display()))?;
        writeln!(out, "  wrote {}", dir.join("report.html").display())?;
    }
    Ok(if passed { 0 } else { real::enter::NOT_AS_EXPECTED })
}

/// What is said of a run.
fn verdict(out: &mut dyn Write, file: &Path, outcome: &Outcome) -> io::Result<()> {
    let word = if outcome.passed { "passed" } else { "FAILED" };
    let by = match outcome.events.first().map(|e| &e.what) {
        Some(What::Run { time, .. }) if time == "real" => "on real devices".to_owned(),
        Some(What::Run { seed, .. }) => format!("seed {seed}"),
        _ => String::new(),
    };
    writeln!(out, "{}: {word} ({by})", file.display())?;
    for Event { what, .. } in &outcome.events {
        match what {
            What::Expect { text, holds, seen } => {
                let word = if *holds { "ok" } else { "NO" };
                writeln!(out, "  {word}  {}: {}", printable(text), printable(seen))?;
            }
            What::Violation { text } => writeln!(out, "  NO  {}", printable(text))?,
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
