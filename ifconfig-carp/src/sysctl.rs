//! `sbin/sysctl`: shows and sets the machine's variables.

use crate::cli::Program;
use crate::failure::Failure;
use crate::kernel::{Kernel, bad_answer};
use crate::printable::Printable;
use crate::syscalls::Syscalls;
use crate::tables::Table;
use clap::Parser;
use compat::sys::ctlsock::{CtlType, Reply, SYSCTL_NAMES};
use compat::sys::errno::Errno;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const PROGRAM: Program = Program { name: "sysctl-carp", usage: USAGE };

const USAGE: &str = "\
usage: sysctl-carp [-S socket] [-eiNnoqx] variable[=value] ...
       sysctl-carp [-S socket] [-eNnox] -a
";

/// Bytes of an opaque value that `-o` shows.
const DUMP: usize = 16;

#[derive(Parser)]
#[command(disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
struct Options {
    #[arg(short = 'a')]
    all: bool,
    /// `=` in place of `: `.
    #[arg(short = 'e')]
    equals: bool,
    /// Unknown names are no error.
    #[arg(short = 'i')]
    ignore: bool,
    #[arg(short = 'N')]
    names: bool,
    #[arg(short = 'n')]
    values: bool,
    #[arg(short = 'o')]
    opaque: bool,
    /// Unknown names are a silent error.
    #[arg(short = 'q')]
    quiet: bool,
    /// Accepted, as upstream does.
    #[arg(short = 'w')]
    _write: bool,
    #[arg(short = 'x')]
    hex: bool,
    #[arg(short = 'A')]
    all_opaque: bool,
    #[arg(short = 'X')]
    all_hex: bool,
    #[arg(short = 'S')]
    socket: Option<PathBuf>,
    #[arg(short = 'h', long = "help")]
    help: bool,
    #[arg(short = 'V', long = "version")]
    version: bool,
    #[arg(trailing_var_arg = true)]
    words: Vec<OsString>,
}

pub(crate) fn table() -> Table {
    Table::new::<Options>(&PROGRAM, Vec::new())
}

/// `sysctl.c: main`. `argv` begins with the program's name; the exit status
/// comes back. Each word that fails gets its line, and the others still count.
pub fn run(argv: &[OsString], sys: &mut dyn Syscalls, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    let stdout = &mut Printable(stdout);
    let result = dispatch(argv, sys, stdout, stderr);
    PROGRAM.finish(result, stdout, stderr)
}

fn dispatch(
    argv: &[OsString],
    sys: &mut dyn Syscalls,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<(), Failure> {
    let mut options: Options = PROGRAM.options(argv)?;
    if options.help {
        return PROGRAM.help(stdout);
    }
    if options.version {
        return PROGRAM.version(stdout);
    }
    options.all |= options.all_opaque | options.all_hex;
    options.opaque |= options.all_opaque;
    options.hex |= options.all_hex;
    if options.names && options.values || !options.all && options.words.is_empty() {
        return Err(Failure::Usage);
    }
    if let Some(path) = &options.socket {
        sys.select(path);
    }
    let mut session = Session { kernel: Kernel::new(sys), out: stdout, options: &options };
    if options.words.is_empty() {
        return session.subtree(None).map(drop);
    }
    session.words(stderr)
}

struct Session<'a> {
    kernel: Kernel<'a>,
    out: &'a mut dyn Write,
    options: &'a Options,
}

impl Session<'_> {
    fn words(&mut self, stderr: &mut dyn Write) -> Result<(), Failure> {
        let mut result = Ok(());
        for word in &self.options.words {
            match self.word(word.as_bytes()) {
                // Nothing that follows can do better.
                Err(e @ (Failure::Call(_) | Failure::Output(_))) => return Err(e),
                Err(e) => {
                    self.out.flush()?;
                    PROGRAM.complain(&e, stderr);
                    result = Err(Failure::Reported);
                }
                Ok(()) => {}
            }
        }
        result
    }

    /// `sysctl.c: parse`
    fn word(&mut self, word: &[u8]) -> Result<(), Failure> {
        let mut parts = word.splitn(2, |b| *b == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let new = parts.next();
        let known = match self.read(&name)? {
            None => self.node_or_unknown(&name, new.is_some())?,
            Some(value) => match new {
                Some(new) => self.set(&name, value.ty, new.trim_ascii_start())?,
                None => self.show(&name, &value)?,
            },
        };
        match known {
            Known::Yes => Ok(()),
            Known::No if self.options.ignore => Ok(()),
            Known::No if self.options.quiet => Err(Failure::Reported),
            Known::No => Err(Failure::Message(format!("unknown oid '{name}'"))),
        }
    }

    /// A name without a value of its own: a subtree, or nothing.
    fn node_or_unknown(&mut self, name: &str, set: bool) -> Result<Known, Failure> {
        if !set {
            return self.subtree(Some(name));
        }
        match self.names_under(Some(name))?.is_empty() {
            true => Ok(Known::No),
            false => Err(Failure::Message(format!("oid '{name}' isn't a leaf node"))),
        }
    }

    /// `sysctl.c: sysctl_all`; `None` is the root.
    fn subtree(&mut self, prefix: Option<&str>) -> Result<Known, Failure> {
        let names = self.names_under(prefix)?;
        for name in &names {
            // What has gone since, or is not for all to read, is not shown.
            match self.read(name) {
                Ok(Some(value)) => self.show(name, &value).map(drop)?,
                Ok(None) | Err(Failure::Kernel { .. } | Failure::Message(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(if names.is_empty() { Known::No } else { Known::Yes })
    }

    fn names_under(&mut self, prefix: Option<&str>) -> Result<Vec<String>, Failure> {
        let reply = self.kernel.sysctl(SYSCTL_NAMES, &[])?;
        Ok(reply
            .data
            .split(|b| *b == 0)
            .filter_map(|name| std::str::from_utf8(name).ok())
            .filter(|name| !name.is_empty())
            .filter(|name| prefix.is_none_or(|p| name.strip_prefix(p).is_some_and(|r| r.starts_with('.'))))
            .map(str::to_owned)
            .collect())
    }

    /// `None` where no value has that name.
    fn read(&mut self, name: &str) -> Result<Option<Value>, Failure> {
        // A request without a name is none.
        if name.is_empty() {
            return Ok(None);
        }
        match self.kernel.sysctl(name, &[]) {
            Ok(reply) => Value::new(name, reply).map(Some),
            Err(e) if matches!(e.errno(), Some(Errno::ENOENT | Errno::EISDIR)) => Ok(None),
            Err(e) => Err(refused(name, e)),
        }
    }

    /// `sysctl.c: show_var` and a newline.
    fn show(&mut self, name: &str, value: &Value) -> Result<Known, Failure> {
        if self.options.names {
            writeln!(self.out, "{name}")?;
            return Ok(Known::Yes);
        }
        if let Some(text) = value.text(self.options) {
            self.head(name)?;
            self.out.write_all(&text)?;
            writeln!(self.out)?;
        }
        Ok(Known::Yes)
    }

    fn head(&mut self, name: &str) -> Result<(), Failure> {
        match (self.options.values, self.options.equals) {
            (true, _) => Ok(()),
            (_, true) => Ok(write!(self.out, "{name}=")?),
            _ => Ok(write!(self.out, "{name}: ")?),
        }
    }

    /// `NAME=VALUE`: what it was and what it is now. The machine may make
    /// something else of a value than was asked for, so it is read again.
    fn set(&mut self, name: &str, ty: CtlType, text: &[u8]) -> Result<Known, Failure> {
        let new = encode(name, ty, text)?;
        let reply = self.kernel.sysctl(name, &new).map_err(|e| refused(name, e))?;
        let old = Value::new(name, reply)?;
        let now = self.read(name)?;
        if self.options.names {
            writeln!(self.out, "{name}")?;
        } else if let (Some(old), Some(now)) =
            (old.text(self.options), now.and_then(|v| v.text(self.options)))
        {
            self.head(name)?;
            self.out.write_all(&[&old[..], b" -> ", &now[..], b"\n"].concat())?;
        }
        Ok(Known::Yes)
    }
}

/// Whether there is anything of that name.
enum Known {
    Yes,
    No,
}

/// `strerror`'s words, where ifconfig has its own for some.
fn refused(name: &str, failure: Failure) -> Failure {
    match failure.errno() {
        Some(errno) => Failure::Message(format!("{name}: {errno}")),
        None => failure,
    }
}

struct Value {
    ty: CtlType,
    data: Vec<u8>,
}

impl Value {
    fn new(name: &str, reply: Reply) -> Result<Value, Failure> {
        let ty = <[u8; 4]>::try_from(reply.arg.as_slice()).ok().map(u32::from_ne_bytes);
        let ty = ty.and_then(CtlType::from_u32).ok_or_else(|| bad_answer(name))?;
        Ok(Value { ty, data: reply.data })
    }

    /// `None` for what is not shown without `-o` or `-x`, and for nothing.
    fn text(&self, options: &Options) -> Option<Vec<u8>> {
        if self.data.is_empty() {
            return None;
        }
        match self.ty {
            CtlType::Int => Some(ints(&self.data)),
            CtlType::String => self.data.split(|b| *b == 0).next().map(<[u8]>::to_vec),
            CtlType::Opaque => (options.opaque || options.hex).then(|| dump(&self.data, options.hex)),
        }
    }
}

fn ints(data: &[u8]) -> Vec<u8> {
    let (words, _) = data.as_chunks::<4>();
    let numbers: Vec<String> = words.iter().map(|w| i32::from_ne_bytes(*w).to_string()).collect();
    numbers.join(" ").into_bytes()
}

fn dump(data: &[u8], whole: bool) -> Vec<u8> {
    let shown = if whole { data.len() } else { DUMP };
    let hex: String = data.iter().take(shown).map(|b| format!("{b:02x}")).collect();
    let more = if data.len() > shown { "..." } else { "" };
    format!("Format:S Length:{} Dump:0x{hex}{more}", data.len()).into_bytes()
}

fn encode(name: &str, ty: CtlType, text: &[u8]) -> Result<Vec<u8>, Failure> {
    match ty {
        CtlType::Int => {
            let text = String::from_utf8_lossy(text);
            let value = int(&text).ok_or_else(|| Failure::Message(format!("invalid integer '{text}'")))?;
            Ok(value.to_ne_bytes().to_vec())
        }
        // A request without a new value only reads.
        CtlType::String if text.is_empty() => Err(Failure::Message(format!("{name}: empty value"))),
        CtlType::String => Ok(text.to_vec()),
        CtlType::Opaque => {
            Err(Failure::Message(format!("oid '{name}' is type {}, cannot set that", ty as u32)))
        }
    }
}

/// Decimal, or hexadecimal after `0x`; the whole text, within 32 bits.
fn int(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None => (10, digits),
    };
    // from_str_radix() takes a sign, which is done with here.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i64::from_str_radix(digits, radix).ok()?;
    i32::try_from(if negative { -magnitude } else { magnitude }).ok()
}
