//! Real threads, as many netisrs as CPUs and then four times as many, devices in
//! memory that produce frames at full rate, and a configuration that changes as
//! fast as it can. What must hold:
//!
//! - each frame that a device produced has met its fate, and what was delivered
//!   is what the protocols counted;
//! - nothing that was freed is read (debug builds: a canary in each list);
//! - after the halt nothing is left of the machine, and no byte more than before;
//! - the memory of a running machine does not grow;
//! - every change returns: a watchdog ends a run that hangs.

mod account;
mod config;
mod wire;

use config::Config;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::runtime::Runtime;
use netisrd::machine;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wire::Cable;

/// With fewer lives nothing can be said of memory.
const LIVES: usize = 20;
/// A change that takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(60);

#[derive(clap::Parser)]
struct Args {
    /// Seconds, shared by the two machines.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Bytes that are left are not counted: a sanitizer's allocator does that.
    #[arg(long)]
    no_leftovers: bool,
    /// What frames and changes are chosen by.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs; `allocated` says how many bytes the process has.
pub fn main(allocated: fn() -> usize) -> ExitCode {
    let args = <Args as clap::Parser>::parse();
    let cpus = std::thread::available_parallelism().map_or(2, usize::from);
    let beat = Arc::new(AtomicU64::new(0));
    watch(beat.clone());
    let mut faults = Vec::new();
    // What is allocated once and for all, by whoever is first to need it.
    run(1, Duration::ZERO, args.seed, allocated, &beat);
    let allocated = if args.no_leftovers { || 0 } else { allocated };
    for ncpus in [cpus, 4 * cpus] {
        let time = Duration::from_secs(args.seconds) / 2;
        faults.extend(run(ncpus, time, args.seed, allocated, &beat));
    }
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    println!(
        "{}",
        if faults.is_empty() { "torture: nothing was lost, nothing is left" } else { "torture: FAILED" }
    );
    ExitCode::from(u8::from(!faults.is_empty()))
}

/// Ends the process when `beat` stands still.
fn watch(beat: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        loop {
            let before = beat.load(Ordering::Relaxed);
            std::thread::park_timeout(WATCHDOG);
            if beat.load(Ordering::Relaxed) == before {
                eprintln!("FAULT: no change has returned for {WATCHDOG:?}: a netisr is stuck");
                std::process::abort();
            }
        }
    });
}

/// One machine's life; what was wrong with it.
fn run(ncpus: usize, time: Duration, seed: u64, allocated: fn() -> usize, beat: &AtomicU64) -> Vec<String> {
    let before = allocated();
    let mut faults = Vec::new();
    let left = {
        let clock = Arc::new(MonotonicClock::start());
        let log: machine::Log = Box::new(|_, line| drop(line.to_string()));
        let config = machine::Config { ncpus, clock, seed: [7; 32], hz: 0, log };
        let runtime = Runtime::start(config).expect("threads for the netisrs");
        let mut cable = Cable::new(seed);
        let mut config = Config::new(seed);
        config.begin(&runtime, &mut cable);
        let samples = churn(&runtime, &mut config, &mut cable, time, allocated, beat);
        faults.extend(grows(&samples));
        cable.stop();
        account::wait_until_quiet(&runtime, &cable, beat);
        println!("{ncpus} netisrs, {time:?}: {}", config.summary());
        faults.extend(account::balance(&runtime, &cable));
        let machine = Arc::downgrade(runtime.machine());
        runtime.halt();
        machine.strong_count()
    };
    if left != 0 {
        faults.push(format!("{left} still hold the machine of {ncpus} netisrs"));
    }
    let after = allocated();
    if after > before && !time.is_zero() {
        faults.push(format!("{} bytes are left of the machine of {ncpus} netisrs", after - before));
    }
    faults
}

/// Changes until the time is over; the bytes at the end of each life of all
/// carp interfaces, when the configuration is always the same.
fn churn(
    runtime: &Runtime,
    config: &mut Config,
    cable: &mut Cable,
    time: Duration,
    allocated: fn() -> usize,
    beat: &AtomicU64,
) -> Vec<usize> {
    let began = Instant::now();
    let mut said = began;
    let mut samples = Vec::new();
    while began.elapsed() < time || (samples.len() < LIVES && !time.is_zero()) {
        config.one_life(runtime, cable, beat);
        samples.push(allocated());
        if said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            println!(
                "  {:>3} s: {} frames, {} changes",
                began.elapsed().as_secs(),
                cable.produced(),
                config.changes()
            );
            let _ = std::io::stdout().flush();
        }
    }
    samples
}

/// Memory is flat if the last quarter's least is not above the second's most: a
/// port that has found the room for its longest burst keeps it.
fn grows(samples: &[usize]) -> Option<String> {
    if samples.len() < LIVES {
        return (!samples.is_empty())
            .then(|| format!("{} lives are too few to see memory grow", samples.len()));
    }
    let quarter = samples.len() / 4;
    let most = samples.get(quarter..2 * quarter)?.iter().max()?;
    let least = samples.get(3 * quarter..)?.iter().min()?;
    (least > most).then(|| format!("memory grows: {most} bytes, later {least}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_noticed_and_memory_that_swings_is_not() {
        let grown: Vec<usize> = (0..40).collect();
        assert!(grows(&grown).is_some());
        let swings: Vec<usize> = (0..40).map(|i| i % 7).collect();
        assert_eq!(grows(&swings), None);
        assert!(grows(&[1, 2]).is_some(), "too few");
        assert_eq!(grows(&[]), None, "no life at all");
    }
}
