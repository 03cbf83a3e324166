//! `netisrd lab fuzz`: what people type.

use super::folder::Folder;
use super::search::{Found, Search, Source};
use super::signals::Signals;
use super::{run, scenario, shrink};
use crate::lab::judge::Violation;
use crate::lab::scenario::Scenario;
use std::error::Error;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// `netisrd lab fuzz`
#[derive(clap::Args)]
pub struct Fuzz {
    /// How long to search
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,

    /// What the scenarios are made by [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Only the Nth scenario of that seed
    #[arg(long, value_name = "N", requires = "seed", conflicts_with_all = ["seconds", "jobs"])]
    scenario: Option<u64>,

    /// Do not run that scenario, but write it to standard output
    #[arg(long, requires = "scenario", conflicts_with = "out")]
    print: bool,

    /// Only this scenario
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "seed", "jobs", "scenario"])]
    file: Option<PathBuf>,

    /// Threads that search [default: one for each processor]
    #[arg(short = 'j', long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Where scenarios that break a rule are written
    #[arg(short = 'o', long = "out", value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Searches: 0 if nothing was found, 1 if something was, 2 for what cannot be
/// done, and 128 more than the signal that has stopped it.
pub fn main(args: &Fuzz) -> ExitCode {
    match fuzz(args) {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            complain(&e.to_string());
            ExitCode::from(2)
        }
    }
}

fn fuzz(args: &Fuzz) -> Result<u8, Box<dyn Error>> {
    let source = source(args)?;
    if let (true, Source::One { seed, number }) = (args.print, &source) {
        let text = scenario(*seed, *number).to_toml()?;
        return Out::default().say(&text).ended().map(|()| 0);
    }
    let folder = Folder::new(&args.out)?;
    let signals = Signals::new()?;
    let mut out = Out::default();
    let whose = match &source {
        Source::Random { seed } | Source::One { seed, .. } => format!("seed {seed}"),
        Source::File { path, .. } => path.display().to_string(),
    };
    out.say(&format!("{whose}\n"));
    // A panic is found like anything else, and said once.
    panic::set_hook(Box::new(|_| ()));
    let (summary, found) = search(args, &source, &signals);
    let Some(found) = found else {
        out.say(&format!("{whose}: {summary}\n"));
        return match signals.status() {
            Some(status) => Ok(status),
            None => out.ended().map(|()| 0),
        };
    };
    let Found { number, scenario, violation } = &found;
    let teller = Teller { source: &source, folder, number: *number };
    // Whatever comes, it is not lost.
    let kept = teller.keep(scenario, violation);
    out.say(&format!("{whose}: {summary}\n"));
    out.say(&format!("scenario {number} breaks a rule at {}: {violation}\n", violation.at));
    let small = shrink(scenario, violation, &|| signals.status().is_some());
    let now = run(&small).1.unwrap_or_else(|| violation.clone());
    let kept = teller.keep(&small, &now).or(kept);
    let how = if signals.status().is_some() { "as small as it got" } else { "as small as it gets" };
    out.say(&format!("  {how}, at {}: {now}\n", now.at));
    if let Some(file) = kept {
        out.say(&format!("  netisrd lab run {}\n", file.display()));
    }
    if let Err(e) = out.ended() {
        complain(&e.to_string());
    }
    Ok(1)
}

/// What it was, and what was found.
#[allow(clippy::disallowed_methods, reason = "people say how long to search, by their clock")]
fn search(args: &Fuzz, source: &Source, signals: &Signals) -> (String, Option<Found>) {
    let search = Search::new(source);
    let begun = Instant::now();
    let random = matches!(source, Source::Random { .. });
    // Later than clocks can show is never.
    let end = random.then(|| begun.checked_add(Duration::from_secs(args.seconds))).flatten();
    search.run(args.jobs, &|| signals.status().is_some() || end.is_some_and(|end| Instant::now() >= end));
    (search.summary(begun.elapsed().as_secs_f64()), search.into_found())
}

fn source(args: &Fuzz) -> Result<Source, Box<dyn Error>> {
    if let Some(path) = &args.file {
        let mut scenario = Scenario::read(path)?;
        // Rules alone count, and who was expected to do something may be left out.
        scenario.expect.clear();
        return Ok(Source::File { path: path.clone(), scenario: Box::new(scenario) });
    }
    let seed = args.seed.map_or_else(getrandom::u64, Ok)?;
    Ok(match args.scenario {
        Some(number) => Source::One { seed, number },
        None => Source::Random { seed },
    })
}

/// Who tells what was found.
struct Teller<'s> {
    source: &'s Source,
    folder: Folder,
    number: u64,
}

impl Teller<'_> {
    /// Writes it, to standard error if it cannot be written where it belongs; the
    /// file, if it was.
    fn keep(&self, scenario: &Scenario, violation: &Violation) -> Option<PathBuf> {
        let i = self.number;
        let (name, by) = match self.source {
            Source::Random { seed } | Source::One { seed, .. } => {
                (format!("fuzz-{seed}-{i}.toml"), format!("--seed {seed} --scenario {i}"))
            }
            Source::File { path, .. } => {
                let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
                (format!("fuzz-{stem}.toml"), format!("--file {}", path.display()))
            }
        };
        let mut scenario = scenario.clone();
        scenario.title = format!("{:?} is broken", violation.rule);
        scenario.about = format!("Found by netisrd lab fuzz {by}: {}", violation.text);
        let written = scenario.to_toml().map_err(|e| (e.to_string(), String::new()));
        let written = written.and_then(|text| self.folder.write(&name, &text).map_err(|e| (e, text)));
        match written {
            Ok(file) => Some(file),
            Err((e, text)) => {
                complain(&e);
                complain_in(&text);
                None
            }
        }
    }
}

/// What is said on standard output; one that fails does not end a search.
#[derive(Default)]
struct Out {
    failed: Option<io::Error>,
}

impl Out {
    /// Says it, and at once.
    fn say(&mut self, text: &str) -> &mut Out {
        let mut out = io::stdout().lock();
        let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.failed = self.failed.take().or(said.err());
        self
    }

    /// Whether all was said.
    fn ended(&mut self) -> Result<(), Box<dyn Error>> {
        match self.failed.take() {
            Some(e) => Err(format!("standard output: {e}").into()),
            None => Ok(()),
        }
    }
}

fn complain(why: &str) {
    complain_in(&format!("netisrd: {why}\n"));
}

/// Nobody is left to be told if this fails; the status says it still.
fn complain_in(text: &str) {
    let _: io::Result<()> = io::stderr().lock().write_all(text.as_bytes());
}
