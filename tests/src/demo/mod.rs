//! `make demo`: two machines share an address, the one that has it is killed,
//! the other one answers.
//!
//! ```text
//!   main ── enter ──> unshare ──> the same program, pid 1 of its own namespaces
//!     │                              │
//!     │ forbidden                    │ real: a Linux bridge, netisrd on taps
//!     └────> memory: a LAN, netisrd's machines, a client, all in one process
//!
//!   script (what is done) ── World ──> journal, frames, pings (what happened)
//!                                        └─> story ──> text, svg, pcapng, verdict
//! ```
//!
//! The [`script`] is the same in both worlds. Nothing that it shows is taken
//! on trust: the [`story`] is put together from log lines, frames and pings,
//! and its verdict is the exit status.

pub mod client;
pub mod enter;
pub mod journal;
pub mod lanfile;
pub mod memory;
pub mod real;
pub mod script;
pub mod story;
pub mod svg;
pub mod text;

#[cfg(test)]
mod tests;

use clap::Parser;
use journal::Journal;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use story::{Answer, Story, Who};

use crate::lab::{Frame, Probe};

/// The virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// Seconds between advertisements: the default.
pub const ADVBASE: u8 = 1;
/// Between two echo requests.
pub const PING_INTERVAL: Duration = Duration::from_millis(10);

/// Two machines share an address; one dies; the other answers.
#[derive(Clone, Debug, Parser)]
#[command(name = "demo", version)]
pub struct Args {
    /// Where timeline.svg and lan.pcapng go
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    pub out: PathBuf,

    /// Run on the in-memory LAN even where namespaces are allowed
    #[arg(long)]
    pub memory: bool,
}

/// What the machines and the client live in. An error is a line for a person.
pub trait World {
    /// What happened so far.
    fn journal(&self) -> &Arc<Journal>;

    /// Starts a machine.
    ///
    /// # Errors
    /// If it does not get ready.
    fn boot(&mut self, who: Who) -> Result<(), String>;

    /// Runs `ifconfig-carp` or `sysctl-carp` on a machine; what it prints.
    ///
    /// # Errors
    /// What it complains of.
    fn tool(&mut self, who: Who, program: &str, args: &[&str]) -> Result<String, String>;

    /// Ends a machine from one moment to the next.
    ///
    /// # Errors
    /// If it is not running.
    fn kill(&mut self, who: Who) -> Result<(), String>;

    /// The client starts to ping [`VIP`].
    ///
    /// # Errors
    /// If it cannot.
    fn start_client(&mut self) -> Result<(), String>;

    /// Waits until `n` pings more have been answered.
    ///
    /// # Errors
    /// If they are not.
    fn wait_answers(&mut self, n: usize) -> Result<(), String>;

    /// Shows what Ethernet address the client knows for [`VIP`].
    fn show_neighbour(&mut self);

    /// All frames, pings and answers so far.
    fn record(&self) -> Record;
}

/// What was seen on the LAN.
#[derive(Default)]
pub struct Record {
    /// Every frame, in the LAN's order.
    pub frames: Vec<Frame>,
    /// Every ping of the client.
    pub probes: Vec<Probe>,
    /// Every answer, by who sent it.
    pub answers: Vec<(Instant, Who, crate::lab::Mac)>,
}

/// Runs the demo; 0 only if what it shows really happened.
pub fn main(args: &Args) -> ExitCode {
    enter::report_panics_in_a_line();
    match enter::stage() {
        Some(enter::Stage::Probe) => return enter::probe(),
        Some(enter::Stage::Inside) => return enter::inside(args),
        None => {}
    }
    if let Err(e) = fs::create_dir_all(&args.out) {
        return complain(&format!("{}: {e}", args.out.display()));
    }
    let why = if args.memory {
        "as asked for".to_owned()
    } else {
        match enter::flags() {
            Ok(flags) => return enter::outside(args, &flags),
            Err(reason) => reason,
        }
    };
    println!("demo: running on the in-memory LAN: {why}");
    enter::exit_on_signals();
    let played = memory::Memory::new().and_then(|mut world| play(&mut world, &args.out));
    played.map_or_else(|e| complain(&e), |()| ExitCode::SUCCESS)
}

fn complain(line: &str) -> ExitCode {
    eprintln!("demo: {line}");
    ExitCode::FAILURE
}

/// Plays the script and shows what came of it, even if it broke off.
///
/// # Errors
/// What did not happen.
pub fn play(world: &mut dyn World, out: &Path) -> Result<(), String> {
    let played = script::play(world);
    let journal = Arc::clone(world.journal());
    let end = Instant::now();
    let record = world.record();
    let story = tell(&journal, &record, end);
    script::heading("What happened");
    print!("{}", text::timeline(&story));
    println!();
    print!("{}", text::summary(&story));
    println!();
    write(&out.join("timeline.svg"), svg::timeline(&story).as_bytes())?;
    let lan = lanfile::encode(&record.frames, &lanfile::comments(&story, &record.frames, journal.start()));
    let path = out.join("lan.pcapng");
    write(&path, &lan.map_err(|e| format!("{}: {e}", path.display()))?)?;
    println!("to read it: tshark -r {} -d ip.proto==112,carp", path.display());
    played?;
    story.verdict()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Puts everything on one clock.
fn tell(journal: &Journal, record: &Record, end: Instant) -> Story {
    let at = |i: Instant| i.saturating_duration_since(journal.start());
    let adverts = record.frames.iter().filter_map(|f| {
        let src = f.advert()?.src;
        Who::ALL.into_iter().find(|w| w.ip() == src).map(|who| story::Advert { at: at(f.at), who })
    });
    let pings = record.probes.iter().map(|p| story::Ping { sent: at(p.sent), answered: p.answered.map(at) });
    let mut pings: Vec<_> = pings.collect();
    // what was sent just now may still be answered: it is not lost
    let under_way = |p: &story::Ping| p.answered.is_none() && at(end) - p.sent < 5 * PING_INTERVAL;
    while pings.last().is_some_and(under_way) {
        pings.pop();
    }
    let mut answers: Vec<_> =
        record.answers.iter().map(|&(i, who, mac)| Answer { at: at(i), who, mac }).collect();
    answers.sort_by_key(|a| a.at);
    Story { changes: journal.changes(), adverts: adverts.collect(), pings, answers, end: at(end) }
}
