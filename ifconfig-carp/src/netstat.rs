//! `usr.bin/netstat`: the counters of CARP.

use crate::cli::Program;
use crate::failure::Failure;
use crate::kernel::{Kernel, answer};
use crate::printable::Printable;
use crate::syscalls::Syscalls;
use crate::tables::Table;
use clap::{ArgAction, Parser};
use libcarp::carpreq::CarpStats;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use zerocopy::IntoBytes;

const PROGRAM: Program = Program { name: "netstat-carp", usage: USAGE };

const USAGE: &str = "\
usage: netstat-carp [-S socket] -s [-s] [-z] [-p carp]
";

/// The sysctl whose value is a [`CarpStats`].
const STATS: &str = "net.inet.carp.stats";

#[derive(Parser)]
#[command(disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
struct Options {
    #[arg(short = 's', action = ArgAction::Count)]
    stats: u8,
    #[arg(short = 'z')]
    zero: bool,
    #[arg(short = 'p')]
    protocol: Option<OsString>,
    #[arg(short = 'S')]
    socket: Option<PathBuf>,
    #[arg(short = 'h', long = "help")]
    help: bool,
    #[arg(short = 'V', long = "version")]
    version: bool,
}

pub(crate) fn table() -> Table {
    Table::new::<Options>(&PROGRAM, Vec::new())
}

/// `main.c: main`. `argv` begins with the program's name; the exit status
/// comes back.
pub fn run(argv: &[OsString], sys: &mut dyn Syscalls, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    let stdout = &mut Printable(stdout);
    let result = dispatch(argv, sys, stdout);
    PROGRAM.finish(result, stdout, stderr)
}

fn dispatch(argv: &[OsString], sys: &mut dyn Syscalls, stdout: &mut dyn Write) -> Result<(), Failure> {
    let options: Options = PROGRAM.options(argv)?;
    if options.help {
        return PROGRAM.help(stdout);
    }
    if options.version {
        return PROGRAM.version(stdout);
    }
    if let Some(other) = options.protocol.as_ref().filter(|p| *p != "carp") {
        let other = other.to_string_lossy();
        return Err(Failure::Message(format!("{other}: unknown or uninstrumented protocol")));
    }
    match (options.stats, &options.protocol) {
        (0, None) => return Err(Failure::Usage),
        // main.c: printproto
        (0, Some(_)) => return Ok(writeln!(stdout, "carp: no PCB routine")?),
        _ => {}
    }
    if let Some(path) = &options.socket {
        sys.select(path);
    }
    let stats = read(&mut Kernel::new(sys), options.zero)?;
    write_stats(stdout, &stats, options.stats > 1)
}

fn read(kernel: &mut Kernel, zero: bool) -> Result<CarpStats, Failure> {
    let zeros = CarpStats::default();
    let new = if zero { zeros.as_bytes() } else { &[] };
    let reply = kernel.sysctl(STATS, new).map_err(|failure| match failure.errno() {
        Some(errno) => Failure::Message(format!("sysctl: {STATS}: {errno}")),
        None => failure,
    })?;
    answer(STATS, &reply.data)
}

/// A counter, and what to say of it; `{s}` is the plural's.
type Line = (fn(&CarpStats) -> u64, &'static str, &'static str);

/// The lines of `inet.c: carp_stats`.
const LINES: &[Line] = &[
    (|c| c.carps_ipackets, "\t", " packet{s} received (IPv4)"),
    (|c| c.carps_ipackets6, "\t", " packet{s} received (IPv6)"),
    (|c| c.carps_badttl, "\t\t", " packet{s} discarded for wrong TTL"),
    (|c| c.carps_hdrops, "\t\t", " packet{s} shorter than header"),
    (|c| c.carps_badsum, "\t\t", " discarded for bad checksum{s}"),
    (|c| c.carps_badver, "\t\t", " discarded packet{s} with a bad version"),
    (|c| c.carps_badlen, "\t\t", " discarded because packet too short"),
    (|c| c.carps_badauth, "\t\t", " discarded for bad authentication"),
    (|c| c.carps_badvhid, "\t\t", " discarded for bad vhid"),
    (|c| c.carps_badaddrs, "\t\t", " discarded because of a bad address list"),
    (|c| c.carps_opackets, "\t", " packet{s} sent (IPv4)"),
    (|c| c.carps_opackets6, "\t", " packet{s} sent (IPv6)"),
    (|c| c.carps_onomem, "\t\t", " send failed due to mbuf memory error"),
];

/// `inet.c: carp_stats`; a second `-s` leaves out what is zero.
fn write_stats(out: &mut dyn Write, stats: &CarpStats, only_nonzero: bool) -> Result<(), Failure> {
    writeln!(out, "carp:")?;
    for (counter, indent, text) in LINES {
        let n = counter(stats);
        if n != 0 || !only_nonzero {
            let text = text.replace("{s}", if n == 1 { "" } else { "s" });
            writeln!(out, "{indent}{n}{text}")?;
        }
    }
    Ok(())
}
