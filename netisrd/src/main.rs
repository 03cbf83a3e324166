//! `netisrd`: one emulated DragonFly machine as a daemon.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use netisrd::conf::{self, Cards, Conf, Errors, Report, Service};
use netisrd::dev::watch::LinkWatch;
use netisrd::dev::{Device, host, tap};
use netisrd::host::access::Access;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::control::{self, ControlSocket};
use netisrd::host::privilege::{self, Later};
use netisrd::host::runtime::Runtime;
use netisrd::machine::Config;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::error::Error;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// One emulated DragonFly machine: CARP over taps and existing interfaces.
#[derive(Parser)]
#[command(name = "netisrd", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Configuration: what it says and no option does counts too
    #[arg(short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,

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
    #[arg(long = "hz", value_name = "HZ", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hz: Option<u32>,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    sandbox: privilege::Options,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say what is wrong with a configuration
    Check(conf::cli::Check),
    /// Have the running netisrd read its configuration again
    Reload(conf::cli::Reload),
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
/// The configuration is to be read again.
const HANGUP: Token = Token(4);

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        // Machines of a laboratory say in its records what they do.
        Some(Command::Lab(lab)) => return netisrd::lab::cli::main(lab),
        Some(Command::Completions { folder }) => {
            netisrd::completions::write(folder, &Args::command()).map_err(Into::into)
        }
        Some(Command::Check(check)) => return conf::cli::check(check),
        Some(Command::Reload(reload)) => return conf::cli::reload(reload),
        None => {
            log_to_stderr();
            run(&args)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Of a configuration, all that is wrong with it.
            e.to_string().lines().for_each(|line| eprintln!("netisrd: {line}"));
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
    let cards = args.cards();
    let conf = args.file.as_deref().map(|path| read(path, &cards)).transpose()?;
    let daemon = conf.as_ref().map(|conf| conf.daemon.clone()).unwrap_or_default();
    // Signals first: one that comes while devices are made must not leave them.
    let mut signals = SignalPipe::new(&[SIGTERM, SIGINT])?;
    // Who has no configuration to read again ends with his terminal.
    let hangup = SignalPipe::new(if conf.is_some() { &[SIGHUP] } else { &[] })?;
    let socket = args.socket.clone().or(daemon.socket).unwrap_or_else(control::default_path);
    let mut control = ControlSocket::bind(&socket, args.access)?;
    let ncpus = args.ncpus.or(daemon.netisrs).map_or_else(online_cpus, usize::from);
    let devices = open_devices(if conf.is_some() { &daemon.cards } else { &cards }, ncpus)?;

    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    // The threads that are started now inherit it. A reload reads the file again.
    let reads = conf.as_ref().map(Conf::folders).unwrap_or_default();
    privilege::lower(args.sandbox, &Later { cleans: vec![control.folder()], reads, ..Later::default() })?;
    let clock = Arc::new(MonotonicClock::start());
    let hz = args.hz.or(daemon.hz).unwrap_or(0);
    let machine = Runtime::start(Config { ncpus, clock, seed, hz, log: netisrd::machine::trace() })?;
    let mut configuration = Configuration { conf, cards, hangup, service: None };
    let served = serve(devices, &mut control, &mut signals, &mut configuration, &machine);
    tracing::info!("netisrd: halting");
    // Whatever ended it: a MASTER bows out.
    machine.halt();
    served
}

fn read(path: &Path, cards: &Cards) -> Result<Conf, Box<dyn Error>> {
    // Where the daemon is when it reads the file again may be another place.
    let path = std::path::absolute(path)?;
    let conf = Conf::read(&path, cards, &conf::lent_by_host)?;
    conf.warnings().lines().for_each(|line| tracing::warn!("netisrd: {line}"));
    Ok(conf)
}

/// What the machine is to be, as a file says.
struct Configuration {
    /// Until it is applied.
    conf: Option<Conf>,
    /// Those of the command line.
    cards: Cards,
    hangup: SignalPipe,
    service: Option<Service>,
}

impl Configuration {
    fn start(&mut self, machine: &Runtime) -> Result<(), Errors> {
        if let Some(conf) = self.conf.take() {
            self.service = Some(Service::start(conf, self.cards.clone(), &mut machine.calls())?);
        }
        Ok(())
    }

    fn reload(&mut self, machine: &Runtime) -> Report {
        let Some(service) = &mut self.service else {
            return Report::refused(["netisrd was started without a configuration (-f)".into()]);
        };
        let report = service.reload(&mut machine.calls());
        let path = service.path().display().to_string();
        for line in &report.lines {
            match report.ok {
                true => tracing::info!("netisrd: {path}: {line}"),
                false => tracing::error!("netisrd: {line}"),
            }
        }
        if !report.ok {
            tracing::error!("netisrd: {path} is not applied");
        }
        report
    }
}

/// Until a signal ends it.
fn serve(
    devices: Vec<Device>,
    control: &mut ControlSocket,
    signals: &mut SignalPipe,
    configuration: &mut Configuration,
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
    poll.registry().register(&mut configuration.hangup.read, HANGUP, Interest::READABLE)?;
    tell_links(&mut links, machine)?;
    configuration.start(machine)?;
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
        if events.iter().any(|e| e.token() == HANGUP) && configuration.hangup.arrived()? {
            configuration.reload(machine);
        }
        control.serve(&poll, &events, machine, &mut || configuration.reload(machine).to_reply());
    }
}

fn tell_links(links: &mut LinkWatch, machine: &Runtime) -> io::Result<()> {
    links.changes()?.into_iter().for_each(|(if_index, state)| machine.link_state(if_index, state));
    Ok(())
}

fn online_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Args {
    /// What the command line does not say is for the file to say.
    fn cards(&self) -> Cards {
        let any = |names: &Vec<String>| Some(names.clone()).filter(|names| !names.is_empty());
        Cards { interfaces: any(&self.interfaces), taps: any(&self.taps) }
    }
}

fn open_devices(cards: &Cards, ncpus: usize) -> io::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for spec in cards.taps.iter().flatten() {
        let (name, bridge) = match spec.split_once('@') {
            Some((name, bridge)) => (name, Some(bridge)),
            None => (spec.as_str(), None),
        };
        devices.push(tap::open(name, bridge, ncpus)?);
    }
    for name in cards.interfaces.iter().flatten() {
        devices.push(host::open(name)?);
    }
    Ok(devices)
}

/// Signals as bytes in a pipe.
struct SignalPipe {
    read: mio::net::UnixStream,
}

impl SignalPipe {
    fn new(of: &[i32]) -> io::Result<SignalPipe> {
        let (read, write) = UnixStream::pair()?;
        for signal in of {
            signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
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
