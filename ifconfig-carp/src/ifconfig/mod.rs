//! `sbin/ifconfig`: shows and configures interfaces.
//!
//! What a line asks for is settled before the first system call: a line with
//! a mistake anywhere in it changes nothing. Upstream acts on each keyword as
//! it reads it.

mod address;
mod apply;
mod carp;
mod cmds;
mod number;
mod password;
mod status;

use crate::cli::Program;
use crate::failure::Failure;
use crate::kernel::Kernel;
use crate::syscalls::Syscalls;
use clap::Parser;
use cmds::Line;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;

const PROGRAM: Program = Program { name: "ifconfig-carp", usage: USAGE };

const USAGE: &str = "\
usage: ifconfig-carp [-S socket] [-k] interface [inet] [address[/len]] [parameters]
       ifconfig-carp [-S socket] interface create [parameters]
       ifconfig-carp [-S socket] interface destroy
       ifconfig-carp [-S socket] -a [-k] [-d | -u] [address_family]
       ifconfig-carp [-S socket] -l [-d | -u] [address_family]
       ifconfig-carp [-S socket] [-k] [-d | -u]
parameters:
       [alias | -alias] [netmask mask] [broadcast address] [up | down]
       [vhid n] [advbase n] [advskew n] [pass password | passfile path]
       [state master | backup] [vhaddr]
";

/// The options in front of the interface.
#[derive(Parser)]
#[command(disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
struct Options {
    #[arg(short = 'a')]
    all: bool,
    #[arg(short = 'l')]
    names: bool,
    #[arg(short = 'd')]
    down: bool,
    #[arg(short = 'u')]
    up: bool,
    #[arg(short = 'k')]
    keys: bool,
    /// Accepted: there is nothing more to tell.
    #[arg(short = 'v')]
    _verbose: bool,
    #[arg(short = 'S')]
    socket: Option<PathBuf>,
    #[arg(short = 'h', long = "help")]
    help: bool,
    #[arg(short = 'V', long = "version")]
    version: bool,
    /// Not options any more from the first one on: `-alias` is a keyword.
    #[arg(trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// `ifconfig.c: main`. `argv` begins with the program's name; the exit status
/// comes back.
pub fn run(argv: &[OsString], sys: &mut dyn Syscalls, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
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
    let task = task(&options)?;
    if let Some(path) = &options.socket {
        sys.select(path);
    }
    let mut kernel = Kernel::new(sys);
    match task {
        Task::Names(family) => status::names(&mut kernel, stdout, options.wanted(), family),
        Task::ShowAll(family) => status::all(&mut kernel, stdout, options.view(family)),
        Task::Show(name, family) => status::one(&mut kernel, stdout, name, options.view(family)),
        Task::Configure(name, line) => apply::run(&mut kernel, stdout, name, &line, options.wanted()),
    }
}

/// What the command line asks for.
enum Task<'a> {
    Names(Option<Family>),
    ShowAll(Option<Family>),
    Show(&'a OsStr, Option<Family>),
    Configure(&'a OsStr, Line),
}

fn task(options: &Options) -> Result<Task<'_>, Failure> {
    if options.names && options.all || options.up && options.down {
        return Err(Failure::Usage);
    }
    let words = options.words.as_slice();
    if options.all || options.names || words.is_empty() {
        let family = match words {
            [] => None,
            [word] => Some(Family::named(word).ok_or(Failure::Usage)?),
            _ => return Err(Failure::Usage),
        };
        return Ok(if options.names { Task::Names(family) } else { Task::ShowAll(family) });
    }
    match words {
        [] => Err(Failure::Usage),
        [name] => Ok(Task::Show(name, None)),
        [name, word] if Family::named(word).is_some() => Ok(Task::Show(name, Family::named(word))),
        [name, rest @ ..] => Ok(Task::Configure(name, Line::parse(rest)?)),
    }
}

impl Options {
    fn wanted(&self) -> Wanted {
        match (self.up, self.down) {
            (true, _) => Wanted::Up,
            (_, true) => Wanted::Down,
            _ => Wanted::All,
        }
    }

    fn view(&self, family: Option<Family>) -> View {
        View { wanted: self.wanted(), family, keys: self.keys }
    }
}

/// `-u` and `-d`: which interfaces a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Up,
    Down,
}

impl Wanted {
    fn includes(self, up: bool) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Up => up,
            Wanted::Down => !up,
        }
    }
}

/// What of an interface to show.
#[derive(Clone, Copy, Debug)]
struct View {
    wanted: Wanted,
    /// `None` is all there is.
    family: Option<Family>,
    /// `-k`
    keys: bool,
}

/// `struct afswtch`, the part that is a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Inet,
    Link,
}

impl Family {
    /// `ifconfig.c: af_getbyname`
    fn named(word: &OsStr) -> Option<Family> {
        match word.to_str()? {
            "inet" => Some(Family::Inet),
            "link" | "ether" | "lladdr" => Some(Family::Link),
            _ => None,
        }
    }
}
