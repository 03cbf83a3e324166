//! `sbin/ifconfig`: shows and configures interfaces.
//!
//! What a line asks for is settled before the first system call: a line with
//! a mistake anywhere in it changes nothing. Upstream acts on each keyword as
//! it reads it.

mod address;
mod apply;
mod asked;
mod carp;
mod carp_status;
mod cmds;
mod drvspec;
mod group;
mod inet;
mod inet6;
mod number;
mod password;
mod peers;
mod status;
mod target;
mod undo;
mod vhaddr;

pub use asked::{Address, Asked, Has, Mistake, addresses, flag_word, read, subject};
pub use password::Password;
pub use vhaddr::backings;

use crate::cli::Program;
use crate::failure::Failure;
use crate::kernel::Kernel;
use crate::printable::Printable;
use crate::syscalls::Syscalls;
use crate::tables::Table;
use clap::Parser;
use cmds::Line;
use group::GroupTask;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;

const PROGRAM: Program = Program { name: "ifconfig-carp", usage: USAGE };

const USAGE: &str = "\
usage: ifconfig-carp [-S socket] [-k] interface [inet] [address[/len]] [parameters]
       ifconfig-carp [-S socket] [-k] interface inet6 [address[/len]] [parameters]
       ifconfig-carp [-S socket] interface create [parameters]
       ifconfig-carp [-S socket] interface destroy
       ifconfig-carp [-S socket] -a [-k] [-d | -u] [address_family]
       ifconfig-carp [-S socket] -l [-d | -u] [address_family]
       ifconfig-carp [-S socket] [-k] [-d | -u]
       ifconfig-carp [-S socket] [-v] -g group
       ifconfig-carp [-S socket] -g group carpdemote | -carpdemote [n]
parameters:
       [alias | -alias] [netmask mask] [broadcast address] [prefixlen n]
       [up | down] [group name | -group name]
       [vhid n] [advbase n] [advskew n] [pass password | passfile path]
       [state master | backup] [peer address | mcast] [peer6 address | mcast6]
on a carp interface also:
       [carpdev interface | -carpdev] [vhaddr]
on any other, vhid n comes with the parameters of CARP, and with an address
that is that virtual host's.
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
    /// Of a group, its demotion counter too; of the rest there is no more to
    /// tell.
    #[arg(short = 'v')]
    verbose: bool,
    #[arg(short = 'g')]
    group: Option<OsString>,
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

pub(crate) fn table() -> Table {
    let words = cmds::words().chain(["inet", "inet6", "link", "ether", "lladdr"]);
    Table::new::<Options>(&PROGRAM, words.chain(["carpdemote", "-carpdemote"]).collect())
}

/// `ifconfig.c: main`. `argv` begins with the program's name; the exit status
/// comes back.
pub fn run(argv: &[OsString], sys: &mut dyn Syscalls, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    let stdout = &mut Printable(stdout);
    let result = dispatch(argv, sys, stdout);
    PROGRAM.finish(result, stdout, stderr)
}

fn dispatch(argv: &[OsString], sys: &mut dyn Syscalls, stdout: &mut dyn Write) -> Result<(), Failure> {
    let options = options(argv)?;
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
        Task::Group(name, task) => task.run(&mut kernel, stdout, name, options.verbose),
        Task::Configure(name, line) => apply::run(&mut kernel, stdout, name, &line, options.wanted()),
    }
}

/// `-carpdemote` is a word, though it stands where options end.
fn options(argv: &[OsString]) -> Result<Options, Failure> {
    if let Some(at) = argv.iter().position(|word| word == "-carpdemote") {
        let (front, words) = argv.split_at(at);
        match PROGRAM.options::<Options>(front) {
            Ok(options) if options.group.is_some() && options.words.is_empty() => {
                return Ok(Options { words: words.to_vec(), ..options });
            }
            _ => {}
        }
    }
    PROGRAM.options(argv)
}

/// What the command line asks for.
enum Task<'a> {
    Names(Option<Family>),
    ShowAll(Option<Family>),
    Show(&'a OsStr, Option<Family>),
    Group(&'a OsStr, GroupTask),
    Configure(&'a OsStr, Box<Line>),
}

fn task(options: &Options) -> Result<Task<'_>, Failure> {
    if options.names && options.all || options.up && options.down {
        return Err(Failure::Usage);
    }
    let words = options.words.as_slice();
    if let Some(group) = &options.group {
        let alone = !(options.names || options.all || options.up || options.down || options.keys);
        return match alone {
            true => Ok(Task::Group(group, GroupTask::parse(words)?)),
            false => Err(Failure::Usage),
        };
    }
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
        [name, rest @ ..] => Ok(Task::Configure(name, Box::new(Line::parse(rest)?))),
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

impl View {
    fn shows(&self, family: Family) -> bool {
        self.family.is_none_or(|only| only == family)
    }
}

/// `struct afswtch`, the part that is a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Inet,
    Inet6,
    Link,
}

impl Family {
    /// `ifconfig.c: af_getbyname`
    fn named(word: &OsStr) -> Option<Family> {
        match word.to_str()? {
            "inet" => Some(Family::Inet),
            "inet6" => Some(Family::Inet6),
            "link" | "ether" | "lladdr" => Some(Family::Link),
            _ => None,
        }
    }
}
