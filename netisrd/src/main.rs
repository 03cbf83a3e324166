//! `netisrd`: one emulated DragonFly machine as a daemon.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use netisrd::dev::watch::LinkWatch;
use netisrd::dev::{Device, host, tap};
use netisrd::host::access::Access;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::control::{self, ControlSocket};
use netisrd::host::privilege::{self, Later};
use netisrd::host::runtime::Runtime;
use netisrd::machine::Config;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::error::Error;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

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

    /// Create a tap, and put it on a Linux bridge
    #[arg(long = "tap", value_name = "NAME[@BRIDGE]")]
    taps: Vec<String>,

    /// Use an existing interface, beside the host
    #[arg(short = 'i', value_name = "IFACE")]
    interfaces: Vec<String>,

    /// Round timers to ticks of 1/HZ second, as a BSD kernel does
    #[arg(long = "hz", value_name = "HZ", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hz: u32,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    sandbox: privilege::Options,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Simulate machines on LANs, in virtual time
    Lab(netisrd::lab::cli::Lab),
    /// For who builds it: write the shells' completions of all programs
    #[command(hide = true)]
    Completions {
        /// Where to
        folder: PathBuf,
    },
}

const SIGNAL: Token = Token(1);
/// Some card's link may have changed.
const LINK: Token = Token(3);

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        // Machines of a laboratory say in its records what they do.
        Some(Command::Lab(lab)) => return netisrd::lab::cli::main(lab),
        Some(Command::Completions { folder }) => {
            netisrd::completions::write(folder, &Args::command()).map_err(Into::into)
        }
        None => {
            log_to_stderr();
            run(&args)
        }
    };
    match done {
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
    let mut signals = SignalPipe::new()?;
    let mut control =
        ControlSocket::bind(&args.socket.clone().unwrap_or_else(control::default_path), args.access)?;
    let ncpus = args.ncpus.map_or_else(online_cpus, usize::from);
    let devices = open_devices(args, ncpus)?;

    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    // Nothing is opened any more; the threads that are started now inherit it.
    privilege::lower(args.sandbox, &Later { cleans: vec![control.folder()], ..Later::default() })?;
    let clock = Arc::new(MonotonicClock::start());
    let machine = Runtime::start(Config { ncpus, clock, seed, hz: args.hz, log: netisrd::machine::trace() })?;
    let served = serve(devices, &mut control, &mut signals, &machine);
    tracing::info!("netisrd: halting");
    // Whatever ended it: a MASTER bows out.
    machine.halt();
    served
}

/// Until a signal ends it.
fn serve(
    devices: Vec<Device>,
    control: &mut ControlSocket,
    signals: &mut SignalPipe,
    machine: &Runtime,
) -> Result<(), Box<dyn Error>> {
    let mut cards = Vec::new();
    for dev in devices {
        let name = dev.name;
        cards.push((name, machine.attach(dev).map_err(|e| format!("{name}: {e}"))?));
    }
    let mut links = LinkWatch::new(cards)?;
    let mut poll = Poll::new()?;
    control.register(poll.registry())?;
    poll.registry().register(&mut signals.read, SIGNAL, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&links.poll_fd().as_raw_fd()), LINK, Interest::READABLE)?;
    tell_links(&mut links, machine)?;
    tracing::info!("netisrd: ready, {} netisrs", machine.ncpus());
    let mut events = Events::with_capacity(64);
    loop {
        match poll.poll(&mut events, control.patience()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        if events.iter().any(|e| e.token() == SIGNAL) && signals.arrived()? {
            return Ok(());
        }
        if events.iter().any(|e| e.token() == LINK) {
            tell_links(&mut links, machine)?;
        }
        control.serve(&poll, &events, machine);
    }
}

fn tell_links(links: &mut LinkWatch, machine: &Runtime) -> io::Result<()> {
    links.changes()?.into_iter().for_each(|(if_index, state)| machine.link_state(if_index, state));
    Ok(())
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

/// TERM and INT as bytes in a pipe.
struct SignalPipe {
    read: mio::net::UnixStream,
}

impl SignalPipe {
    fn new() -> io::Result<SignalPipe> {
        let (read, write) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        read.set_nonblocking(true)?;
        Ok(SignalPipe { read: mio::net::UnixStream::from_std(read) })
    }

    fn arrived(&mut self) -> io::Result<bool> {
        match self.read.read(&mut [0; 16]) {
            Ok(n) => Ok(n > 0),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}
