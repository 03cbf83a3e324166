//! `sbin/route`: the machine's routing table, and what changes in it.

mod message;

use crate::cli::Program;
use crate::failure::Failure;
use crate::kernel::{Kernel, bad_answer};
use crate::printable::Printable;
use crate::syscalls::Syscalls;
use clap::Parser;
use compat::sys::ctlsock::{Request, SYSCTL_RTTABLE};
use message::{Message, Route};
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

const PROGRAM: Program = Program { name: "route-carp", usage: USAGE };

const USAGE: &str = "\
usage: route-carp [-S socket] [-n] show [-inet | -inet6]
       route-carp [-S socket] [-n] monitor [--json [event-socket]]
";

#[derive(Parser)]
#[command(disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
struct Options {
    /// Names are never looked up; accepted as BSD's.
    #[arg(short = 'n')]
    _numeric: bool,
    #[arg(short = 'S')]
    socket: Option<PathBuf>,
    #[arg(short = 'h', long = "help")]
    help: bool,
    #[arg(short = 'V', long = "version")]
    version: bool,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// `route.c: main`. `argv` begins with the program's name; the exit status
/// comes back. `monitor` ends when the machine does, or when nobody reads it.
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
    if let Some(path) = &options.socket {
        sys.select(path);
    }
    let words: Vec<&str> = options.words.iter().map(|w| w.to_str().unwrap_or("")).collect();
    match words[..] {
        ["show"] => show(sys, stdout, true, true),
        ["show", "-inet"] => show(sys, stdout, true, false),
        ["show", "-inet6"] => show(sys, stdout, false, true),
        ["monitor"] => monitor(sys, stdout),
        ["monitor", "--json"] => events(sys, stdout, None),
        ["monitor", "--json", path] => events(sys, stdout, Some(Path::new(path))),
        _ => Err(Failure::Usage),
    }
}

/// `show.c: routepr`
fn show(sys: &mut dyn Syscalls, out: &mut dyn Write, inet: bool, inet6: bool) -> Result<(), Failure> {
    let all = read(&mut Kernel::new(sys))?;
    writeln!(out, "Routing tables")?;
    for (wanted, title, is_v4) in [(inet, "Internet", true), (inet6, "Internet6", false)] {
        let some: Vec<&Route> = all.iter().filter(|r| r.net.addr().is_ipv4() == is_v4).collect();
        if !wanted || some.is_empty() {
            continue;
        }
        let width = if is_v4 { 18 } else { 33 };
        let row = |out: &mut dyn Write, d: &str, g: &str, f: &str, n: &str| {
            writeln!(out, "{d:<width$} {g:<18} {f:<8} {n}")
        };
        writeln!(out, "\n{title}:")?;
        row(out, "Destination", "Gateway", "Flags", "Netif")?;
        for r in some {
            row(out, &r.destination(), &format!("link#{}", r.index), &r.letters(), &r.netif)?;
        }
    }
    Ok(())
}

fn read(kernel: &mut Kernel) -> Result<Vec<Route>, Failure> {
    let mut all = Vec::new();
    loop {
        let reply = kernel.sysctl(&format!("{SYSCTL_RTTABLE}.{}", all.len()), &[])?;
        if reply.data.is_empty() {
            return Ok(all);
        }
        let page = message::routes(&reply.data).filter(|page| !page.is_empty());
        all.extend(page.ok_or_else(|| bad_answer(SYSCTL_RTTABLE))?);
    }
}

/// `route.c: monitor`
fn monitor(sys: &mut dyn Syscalls, out: &mut dyn Write) -> Result<(), Failure> {
    let reply = sys.call(&Request::route())?;
    if let Some(e) = reply.error {
        return Err(Failure::Message(format!("routing socket: {e}")));
    }
    loop {
        let heard = sys.hear()?;
        let now = chrono::Local::now().format("%a %b %e %H:%M:%S %Y");
        if let Ok(lost) = <[u8; 4]>::try_from(&heard.arg[..]) {
            writeln!(out, "\nlost {} messages before {now}", u32::from_ne_bytes(lost))?;
        } else {
            writeln!(out, "\ngot message of size {} on {now}", heard.data.len())?;
            match Message::parse(&heard.data) {
                Some(m) => writeln!(out, "{m}")?,
                None => writeln!(out, "not a routing message")?,
            }
        }
        out.flush()?;
    }
}

/// What the carp interfaces do, as the event socket says it.
fn events(sys: &mut dyn Syscalls, out: &mut dyn Write, path: Option<&Path>) -> Result<(), Failure> {
    let lines = sys.events(path)?;
    for line in lines.lines() {
        let line = line.map_err(|e| Failure::message(format!("event socket: {e}")))?;
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Err(Failure::message("event socket: netisrd hung up"))
}
