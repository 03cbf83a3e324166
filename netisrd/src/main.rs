//! `netisrd`: one emulated DragonFly machine as a daemon.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use compat::net::if_::IfName;
use ifconfig_carp::events_path;
use netisrd::conf::{self, Conf};
use netisrd::dev::{Device, Fanout, Queues, host};
use netisrd::host::access::Access;
use netisrd::host::cards::{Cards, Opened};
use netisrd::host::clock::MonotonicClock;
use netisrd::host::configuration::{Configuration, Reloads, Shared as SharedConf};
use netisrd::host::control::{self, ControlSocket};
use netisrd::host::events::EventSocket;
use netisrd::host::hooks::{self, Hooks};
use netisrd::host::http::{self, Http};
use netisrd::host::lent::{Lending, Lent, Shared};
use netisrd::host::links::Links;
use netisrd::host::log::Log;
use netisrd::host::mirror::{self, Mirrors};
use netisrd::host::notify::Notify;
use netisrd::host::parts::{self, End, Lookout, Part};
use netisrd::host::privilege::{self, Later};
use netisrd::host::runtime::Runtime;
use netisrd::host::signals::Signals;
use netisrd::host::succession::launch::{self, Upgrade};
use netisrd::host::succession::successor::Predecessor;
use netisrd::machine::Config;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

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

    /// A name beside the host's own by which clients may ask for that page
    #[arg(long = "http-name", value_name = "NAME", requires = "http")]
    http_names: Vec<String>,

    /// Create a tap, and put it on a Linux bridge
    #[arg(long = "tap", value_name = "NAME[@BRIDGE]")]
    taps: Vec<String>,

    /// Use an existing interface, beside the host, which serves the virtual
    /// addresses by interfaces of its own (macvlan, the default; tap: every frame
    /// goes through the machine), or not at all (none)
    #[arg(short = 'i', value_name = "IFACE[:macvlan|tap|none]", value_parser = host::Existing::checked)]
    interfaces: Vec<String>,

    /// Round timers to ticks of 1/HZ second, as a BSD kernel does
    #[arg(long = "hz", value_name = "HZ", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hz: Option<u32>,

    /// How long a thread that carries the frames of a tap path looks for the next
    /// one before it sleeps, in microseconds, while they follow each other that
    /// closely [default: 100, or 0 with one CPU]
    #[arg(long = "busy-poll", value_name = "MICROSECONDS", value_parser = clap::value_parser!(u64).range(0..=1000))]
    busy_poll: Option<u64>,

    /// How the frames of a tap path are dealt out to threads: by flow, or by the CPU
    /// that has them, to which each thread is bound then [default: cpu, if the
    /// interface has as many receive queues as there are threads, else hash]
    #[arg(long = "fanout", value_name = "HOW", hide_possible_values = true)]
    fanout: Option<Fanout>,

    /// Go on in the place of the netisrd that runs, without a transition
    #[arg(long)]
    takeover: bool,

    /// For netisrd itself: tell on standard output when it goes on
    #[arg(long = launch::TELLS, hide = true)]
    tell_ready: bool,

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
    /// Go on in the place of the running netisrd, if that is another program; else
    /// have it read its configuration again
    Upgrade(Upgrade),
    /// Simulate machines on LANs, in virtual time
    Lab(netisrd::lab::cli::Lab),
    /// For netisrd itself: be the process that runs programs on transitions
    #[command(name = hooks::runner::COMMAND, hide = true)]
    RunHooks(hooks::runner::Runner),
    /// For netisrd itself: start a successor and leave it to init
    #[command(name = launch::START, hide = true)]
    Start(launch::Start),
    /// For who builds it: write the shells' completions of all programs
    #[command(hide = true)]
    Completions {
        /// Where to
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let log = Log::default();
    let done = match &args.command {
        // Machines of a laboratory say in its records what they do.
        Some(Command::Lab(lab)) => return netisrd::lab::cli::main(lab),
        Some(Command::Completions { folder }) => {
            netisrd::completions::write(folder, &Args::command()).map_err(Into::into)
        }
        Some(Command::RunHooks(runner)) => {
            log_to(&log);
            hooks::runner::main(runner, &log).map_err(Into::into)
        }
        Some(Command::Start(start)) => start.run().map_err(Into::into),
        Some(Command::Check(check)) => return conf::cli::check(check),
        Some(Command::Reload(reload)) => return conf::cli::reload(reload),
        Some(Command::Upgrade(upgrade)) => match upgrade.is_another() {
            Ok(true) => upgrade.launch().map_err(Into::into),
            Ok(false) => {
                let name = [OsString::from("netisrd")];
                let args = Args::parse_from(name.into_iter().chain(upgrade.options().iter().cloned()));
                return conf::cli::reload(&conf::cli::Reload::of(args.socket));
            }
            Err(e) => Err(e.into()),
        },
        None => {
            log_to(&log);
            run(&args, &log)
        }
    };
    // Of a configuration, all that is wrong with it.
    let wrong = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
    wrong.lines().for_each(|line| log.put(&format!("netisrd: {line}")));
    log.flush();
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `RUST_LOG` narrows or widens; CARP's own sentences follow
/// `net.inet.carp.log`.
fn log_to(log: &Log) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    log.tell_panics();
    let log = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

fn run(args: &Args, log: &Log) -> Result<(), Box<dyn Error>> {
    if args.tell_ready {
        launch::orphaned()?;
    }
    let cards = args.cards();
    let conf = args.file.as_deref().map(|path| read(path, &cards)).transpose()?;
    let daemon = conf.as_ref().map(|conf| conf.daemon.clone()).unwrap_or_default();
    // Signals first: one that comes while devices are made must not leave them.
    let signals = Signals::new(conf.is_none())?;
    let path = args.socket.clone().or(daemon.socket).unwrap_or_else(control::default_path);
    let devices_of = if conf.is_some() { daemon.cards } else { cards.clone() };
    let reads = conf.as_ref().map(Conf::folders).unwrap_or_default();
    let configuration = Configuration::new(conf, cards, args.hz.is_some());
    let reloads = Reloads::of(&configuration)?;
    let mut old = args.takeover.then(|| Predecessor::meet(&path)).transpose()?;
    let (control, events) = sockets(args, &path, &configuration, old.as_mut())?;
    let ncpus = args.ncpus.or(daemon.netisrs).map_or_else(online_cpus, usize::from);
    let notify = match &mut old {
        None => Notify::from_env()?,
        Some(old) => Notify::of_successor(old.estate())?,
    };
    let queues = Queues { count: ncpus, fanout: args.fanout };
    let opened = Opened::all(&devices_of, queues, old.as_mut())?;
    let mirror = Mirrors::on(&opened, &control.folder(), old.is_some())?;
    let http = match &mut old {
        None => args.http.map(Http::bind),
        Some(old) => args.http.map(|addr| Http::inherit(addr, old.estate())),
    };
    let http = http.transpose()?;
    let hook_time = Duration::from_secs(args.hook_time);
    let hooks = hooks::dir(args.hooks.as_deref())?;
    let hooks = hooks.map(|dir| Hooks::start(&dir, hook_time, args.sandbox)).transpose()?;

    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    // The threads that are started now inherit it. A reload reads the file again.
    let later = Later {
        cleans: vec![control.folder(), events.folder()],
        reads,
        writes: mirror.iter().flat_map(|_| mirror::settings()).collect(),
        interfaces: opened.are_shared(),
        child: hooks.is_some(),
        taps: mirror.as_ref().is_some_and(Mirrors::has_taps),
        ..Later::default()
    };
    privilege::lower(args.sandbox, &later)?;
    log.start()?;
    let clock = Arc::new(old.as_ref().map_or_else(MonotonicClock::start, Predecessor::clock));
    let counts = hooks.as_ref().map(Hooks::counts).unwrap_or_default();
    let http = http.map(|http| http.telling(counts, &args.http_names));
    let hz = args.hz.or(daemon.hz).unwrap_or(0);
    let config = Config { ncpus, clock, seed, hz, log: netisrd::machine::trace() };
    let machine = Runtime::start_polling(config, args.busy_poll.map(Duration::from_micros))?;
    let mut parts: Vec<Box<dyn Part>> = vec![Box::new(signals)];
    parts.extend(reloads.map(|r| Box::new(r) as Box<dyn Part>));
    parts.extend([Box::new(control) as Box<dyn Part>, Box::new(events)]);
    keep_up(&machine, notify.as_ref(), mirror.as_ref())?;
    // Before the programs, which find the host as it is by then.
    parts.extend(mirror.map(|m| Box::new(m) as Box<dyn Part>));
    parts.extend(hooks.map(|h| Box::new(h) as Box<dyn Part>));
    parts.extend(http.map(|h| Box::new(h) as Box<dyn Part>));
    let ready = || if args.tell_ready { launch::tell_ready() } else { Ok(()) };
    let served = serve((opened, old), parts, (notify, &ready), &configuration, (&machine, log));
    tracing::info!("netisrd: halting");
    machine.halt();
    served
}

/// What goes on in the middle of the main thread's turns, and of netisr0's.
fn keep_up(machine: &Runtime, notify: Option<&Notify>, mirror: Option<&Mirrors>) -> io::Result<()> {
    if let Some(upkeep) = notify.map_or(Ok(None), Notify::upkeep)? {
        machine.keep_up(upkeep);
    }
    if let Some(mirror) = mirror {
        machine.devctl_serve(mirror.serve(machine.machine()));
        machine.keep_up(mirror.upkeep());
    }
    Ok(())
}

fn read(path: &Path, cards: &conf::Cards) -> Result<Conf, Box<dyn Error>> {
    // Where the daemon is when it reads the file again may be another place.
    let path = std::path::absolute(path)?;
    let conf = Conf::read(&path, cards, &conf::lent_by_host)?;
    conf.warnings().lines().for_each(|line| tracing::warn!("netisrd: {line}"));
    Ok(conf)
}

fn sockets(
    args: &Args,
    path: &Path,
    configuration: &SharedConf,
    old: Option<&mut Predecessor>,
) -> Result<(ControlSocket, EventSocket), Box<dyn Error>> {
    let events = args.events.clone().unwrap_or_else(|| events_path(path));
    let configuration = configuration.clone();
    let Some(old) = old.map(Predecessor::estate) else {
        return Ok((
            ControlSocket::bind(path, args.access, configuration)?,
            EventSocket::bind(&events, args.access)?,
        ));
    };
    let fds = old.descriptors(control::SUCCESSION)?.ok_or("takeover: there is no control socket")?;
    let control = ControlSocket::inherit(path, args.access, configuration, fds);
    Ok((control, EventSocket::inherit(&events, old)?))
}

/// Until a signal ends it. Whatever does: a MASTER bows out. Or until another process
/// goes on in this one's place.
fn serve(
    (opened, old): (Opened, Option<Predecessor>),
    mut parts: Vec<Box<dyn Part>>,
    (notify, ready): (Option<Notify>, &dyn Fn() -> io::Result<()>),
    configuration: &SharedConf,
    (machine, log): (&Runtime, &Log),
) -> Result<(), Box<dyn Error>> {
    let held = Cards::of(&opened);
    let Opened { devices, absent, queues } = opened;
    let of = |dev: &Device| {
        let lent = dev.shared_with_host.then(|| dev.addrs.clone());
        (dev.name, dev.host_index, host::Existing::of(dev), lent)
    };
    let facts: Vec<_> = devices.iter().map(of).collect();
    parts.push(Box::new(held.clone()));
    let (indexes, estate) = match old {
        None => (attach(devices, machine)?, None),
        Some(old) => match old.succeed(machine, devices, &mut parts) {
            Ok((indexes, estate)) => (indexes, Some(estate)),
            // What is open here is the other one's, and so is all that would be
            // removed.
            Err(e) => give_up(&e, log),
        },
    };
    let (mut cards, mut shared) = (Vec::new(), Vec::new());
    for ((name, host_index, existing, lent), if_index) in facts.into_iter().zip(indexes) {
        cards.push((name, Some((if_index, host_index)), existing));
        shared.extend(lent.map(|addrs| Shared { name, if_index, host_index, addrs }));
    }
    cards.extend(absent.into_iter().filter_map(|gone| Some((IfName::new(&gone.name)?, None, Some(gone)))));
    let lending = Lending::new(shared.into());
    parts.push(Box::new(Links::new(cards, queues, (held, lending.clone()), configuration.clone(), machine)?));
    configuration.borrow_mut().lent(lending.clone());
    parts.push(Box::new(Lent::new(lending)?));
    let lookout = Lookout::open(machine)?;
    match estate {
        None => configuration.borrow_mut().start(machine)?,
        Some(mut estate) => configuration.borrow_mut().follow(&mut estate)?,
    }
    notify.iter().for_each(|n| configuration.borrow_mut().telling(n.manager()));
    // Last: once it has had a turn, so have all others.
    parts.extend(notify.map(|n| Box::new(n) as Box<dyn Part>));
    if let Err(e) = ready() {
        // Whoever has started it may have gone meanwhile.
        tracing::warn!("netisrd: {e}");
    }
    match parts::run(lookout, &mut parts, machine)? {
        End::Halted => Ok(()),
        // Nothing is removed: it is in use.
        End::Left => {
            log.flush();
            std::process::exit(0)
        }
    }
}

fn give_up(why: &io::Error, log: &Log) -> ! {
    log.put(&format!("netisrd: {why}"));
    log.flush();
    std::process::exit(1)
}

fn attach(devices: Vec<Device>, machine: &Runtime) -> Result<Vec<u16>, Box<dyn Error>> {
    let one = |dev: Device| {
        let name = dev.name;
        machine.attach(dev).map_err(|e| format!("{name}: {e}").into())
    };
    devices.into_iter().map(one).collect()
}

fn online_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Args {
    /// What the command line does not say is for the file to say.
    fn cards(&self) -> conf::Cards {
        let any = |names: &Vec<String>| Some(names.clone()).filter(|names| !names.is_empty());
        conf::Cards { interfaces: any(&self.interfaces), taps: any(&self.taps) }
    }
}
