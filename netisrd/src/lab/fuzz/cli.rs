//! `netisrd lab fuzz`: what people type.

use super::{Ran, run, scenario, shrink};
use crate::lab::judge::Violation;
use crate::lab::scenario::Scenario;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
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

    /// Threads that search [default: one for each processor]
    #[arg(short = 'j', long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Where scenarios that break a rule are written
    #[arg(short = 'o', long = "out", value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// What the threads of a search share.
#[derive(Default)]
struct Search {
    seed: u64,
    next: AtomicU64,
    done: AtomicU64,
    nanos: AtomicU64,
    steps: AtomicU64,
    over: AtomicBool,
    found: Mutex<Option<(u64, Scenario, Violation)>>,
}

/// Searches: 0 if nothing was found, 1 if something was, 2 for what cannot be
/// done.
#[allow(clippy::disallowed_methods, reason = "people say how long to search, by their clock")]
pub fn main(args: &Fuzz) -> ExitCode {
    let seed = match args.seed.map_or_else(getrandom::u64, Ok) {
        Ok(seed) => seed,
        Err(e) => return failed(&e),
    };
    let search = Search { seed, ..Search::default() };
    // A panic is found like anything else, and said once.
    panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(args.seconds);
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| search.run(|| Instant::now() >= end));
        }
    });
    let said = search.summary(&mut io::stdout().lock(), begun.elapsed());
    let found = search.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let told = said.map_err(Into::into).and_then(|()| match &found {
        Some((i, scenario, violation)) => tell(args, seed, *i, scenario, violation),
        None => Ok(()),
    });
    match told {
        Ok(()) if found.is_none() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(1),
        Err(e) => failed(&e),
    }
}

fn failed(e: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("netisrd: {e}");
    ExitCode::from(2)
}

impl Search {
    fn run(&self, over: impl Fn() -> bool) {
        while !self.over.load(Ordering::Relaxed) && !over() {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            let scenario = scenario(self.seed, i);
            let (Ran { time, steps }, violation) = run(&scenario);
            self.done.fetch_add(1, Ordering::Relaxed);
            self.nanos.fetch_add(time, Ordering::Relaxed);
            self.steps.fetch_add(steps, Ordering::Relaxed);
            if let Some(violation) = violation {
                self.over.store(true, Ordering::Relaxed);
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.get_or_insert((i, scenario, violation));
            }
        }
    }

    fn summary(&self, out: &mut dyn Write, took: Duration) -> io::Result<()> {
        let [done, nanos, steps] = [&self.done, &self.nanos, &self.steps].map(|n| n.load(Ordering::Relaxed));
        let hours = nanos as f64 / 3.6e12;
        writeln!(
            out,
            "seed {}: {done} scenarios, {hours:.1} hours of theirs, {steps} steps, in {:.2} s: \
             {:.0} scenario-hours a minute",
            self.seed,
            took.as_secs_f64(),
            hours / took.as_secs_f64() * 60.0
        )
    }
}

/// What was found, made small, and where it stands.
fn tell(
    args: &Fuzz,
    seed: u64,
    i: u64,
    scenario: &Scenario,
    violation: &Violation,
) -> Result<(), Box<dyn std::error::Error>> {
    println!("scenario {i} breaks a rule at {}: {violation}", violation.at);
    let mut small = shrink(scenario, violation.rule);
    let now = run(&small).1.unwrap_or_else(|| violation.clone());
    small.title = format!("{:?} is broken", violation.rule);
    small.about = format!("Found by netisrd lab fuzz --seed {seed}, scenario {i}: {}", now.text);
    let file = args.out.join(format!("fuzz-{seed}-{i}.toml"));
    write(&file, &small)?;
    println!("  as small as it gets, at {}: {now}", now.at);
    println!("  netisrd lab run {}", file.display());
    Ok(())
}

fn write(file: &Path, scenario: &Scenario) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(file, scenario.to_toml()?)?;
    Ok(())
}
