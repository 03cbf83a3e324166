//! `netisrd`: one emulated DragonFly machine as a daemon.
#![forbid(unsafe_code)]

use clap::Parser;
use ifconfig_carp::events_path;
use netisrd::dev::{Device, host, tap};
use netisrd::host::clock::MonotonicClock;
use netisrd::host::control::{self, ControlSocket};
use netisrd::host::events::EventSocket;
use netisrd::host::hooks::{self, Hooks};
use netisrd::host::http::{self, Http};
use netisrd::host::links::Links;
use netisrd::host::notify::Notify;
use netisrd::host::parts::{self, Part};
use netisrd::host::runtime::Runtime;
use netisrd::host::signals::Signals;
use netisrd::machine::Config;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// One emulated DragonFly machine: CARP over taps and existing interfaces.
#[derive(Parser)]
#[command(name = "netisrd", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Network threads [default: one per CPU]
    #[arg(short = 'n', value_name = "NETISRS", value_parser = clap::value_parser!(u16).range(1..=256))]
    ncpus: Option<u16>,

    /// Control socket [default: /run/netisrd.sock, or in $XDG_RUNTIME_DIR]
    #[arg(short = 'S', value_name = "PATH", env = "NETISRD_SOCK")]
    socket: Option<PathBuf>,

    /// Event socket [default: beside the control socket, as netisrd-events.sock]
    #[arg(long = "events", value_name = "PATH")]
    events: Option<PathBuf>,

    /// Programs to run on a transition of a carp interface; an empty name for
    /// none [default: /etc/netisrd/carp.d]
    #[arg(long = "hooks", value_name = "DIR")]
    hooks: Option<OsString>,

    /// How long each of them may take, in seconds
    #[arg(long = "hook-time", value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    hook_time: u64,

    /// Serve a status page and metrics; a port alone is one of 127.0.0.1
    #[arg(long = "http", value_name = "ADDR:PORT", value_parser = http::address)]
    http: Option<SocketAddr>,

    /// Create a tap, and put it on a Linux bridge
    #[arg(long = "tap", value_name = "NAME[@BRIDGE]")]
    taps: Vec<String>,

    /// Use an existing interface, beside the host
    #[arg(short = 'i', value_name = "IFACE")]
    interfaces: Vec<String>,

    /// Round timers to ticks of 1/HZ second, as a BSD kernel does
    #[arg(long = "hz", value_name = "HZ", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hz: u32,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Simulate machines on LANs, in virtual time
    Lab(netisrd::lab::cli::Lab),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Lab(lab)) = &args.command {
        // Machines of a laboratory say in its records what they do.
        return netisrd::lab::cli::main(lab);
    }
    log_to_stderr();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("netisrd: {e}");
            ExitCode::FAILURE
        }
    }
}

/// `RUST_LOG` narrows or widens; CARP's own sentences follow
/// `net.inet.carp.log`.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Signals first: one that comes while devices are made must not leave them.
    let signals = Signals::new()?;
    let path = args.socket.clone().unwrap_or_else(control::default_path);
    let control = ControlSocket::bind(&path)?;
    let events = EventSocket::bind(&args.events.clone().unwrap_or_else(|| events_path(&path)))?;
    let ncpus = args.ncpus.map_or_else(online_cpus, usize::from);
    let notify = Notify::from_env()?;
    let devices = open_devices(args, ncpus)?;

    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let clock = Arc::new(MonotonicClock::start());
    let hook_time = Duration::from_secs(args.hook_time);
    let hooks = hooks::dir(args.hooks.as_deref())?;
    let hooks = hooks.map(|dir| Hooks::start(&dir, hook_time, clock.clone())).transpose()?;
    let counts = hooks.as_ref().map(Hooks::counts).unwrap_or_default();
    let http = args.http.map(|addr| Http::bind(addr, counts)).transpose()?;
    let machine = Runtime::start(Config { ncpus, clock, seed, hz: args.hz, log: netisrd::machine::trace() })?;
    let mut parts: Vec<Box<dyn Part>> = vec![Box::new(signals), Box::new(control), Box::new(events)];
    parts.extend(hooks.map(|h| Box::new(h) as Box<dyn Part>));
    parts.extend(http.map(|h| Box::new(h) as Box<dyn Part>));
    let served = serve(devices, parts, notify, &machine);
    tracing::info!("netisrd: halting");
    machine.halt();
    served
}

/// Until a signal ends it. Whatever does: a MASTER bows out.
fn serve(
    devices: Vec<Device>,
    mut parts: Vec<Box<dyn Part>>,
    notify: Option<Notify>,
    machine: &Runtime,
) -> Result<(), Box<dyn Error>> {
    let mut cards = Vec::new();
    for dev in devices {
        let name = dev.name;
        cards.push((name, machine.attach(dev).map_err(|e| format!("{name}: {e}"))?));
    }
    parts.push(Box::new(Links::new(cards, machine)?));
    // Last: once it has had a turn, so have all others.
    parts.extend(notify.map(|n| Box::new(n) as Box<dyn Part>));
    tracing::info!("netisrd: ready, {} netisrs", machine.ncpus());
    Ok(parts::run(&mut parts, machine)?)
}

fn online_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn open_devices(args: &Args, ncpus: usize) -> io::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for spec in &args.taps {
        let (name, bridge) = match spec.split_once('@') {
            Some((name, bridge)) => (name, Some(bridge)),
            None => (spec.as_str(), None),
        };
        devices.push(tap::open(name, bridge, ncpus)?);
    }
    for name in &args.interfaces {
        devices.push(host::open(name)?);
    }
    Ok(devices)
}
