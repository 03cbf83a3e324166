//! Carries out a line: `ifconfig.c: main` and `ifconfig`, `ifclone.c`.

use super::Wanted;
use super::carp;
use super::cmds::{Line, Step};
use crate::failure::Failure;
use crate::kernel::{Kernel, answer};
use compat::net::if_::{IfName, IfReq, Iff};
use compat::sys::errno::Errno;
use compat::sys::sockio::{SIOCGIFFLAGS, SIOCGIFINDEX, SIOCIFCREATE2, SIOCIFDESTROY, SIOCSIFFLAGS};
use std::ffi::OsStr;
use std::io::Write;

pub(crate) fn run(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    word: &OsStr,
    line: &Line,
    wanted: Wanted,
) -> Result<(), Failure> {
    let asked = interface_name(word, line.create)?;
    if exists(kernel, asked)? {
        if line.create && is_bare(line) {
            return Err(Failure::Message(format!("interface {asked} already exists")));
        }
        return match is_wanted(kernel, asked, wanted)? {
            true => configure(kernel, out, asked, line),
            false => Ok(()),
        };
    }
    if !line.create {
        return Err(does_not_exist(word));
    }
    let created = create(kernel, asked)?;
    if let Err(e) = configure(kernel, out, created, line) {
        // The failure that is told is the line's own.
        let _ = kernel.ioctl(SIOCIFDESTROY, &IfReq::new(created));
        return Err(e);
    }
    if created != asked {
        writeln!(out, "{created}")?;
    }
    Ok(())
}

fn interface_name(word: &OsStr, create: bool) -> Result<IfName, Failure> {
    word.to_str().and_then(IfName::new).ok_or_else(|| match create {
        true => Failure::Message(format!("{}: not a name for an interface", word.to_string_lossy())),
        false => does_not_exist(word),
    })
}

/// A name that no interface has.
pub(crate) fn does_not_exist(word: &OsStr) -> Failure {
    Failure::Message(format!("interface {} does not exist", word.to_string_lossy()))
}

/// `if_nametoindex(3)`
pub(crate) fn exists(kernel: &mut Kernel, name: IfName) -> Result<bool, Failure> {
    match kernel.ioctl(SIOCGIFINDEX, &IfReq::new(name)) {
        Ok(_) => Ok(true),
        Err(e) if e.errno() == Some(Errno::ENXIO) => Ok(false),
        Err(e) => Err(e),
    }
}

fn is_bare(line: &Line) -> bool {
    line.steps.is_empty() && line.address == Default::default()
}

fn is_wanted(kernel: &mut Kernel, name: IfName, wanted: Wanted) -> Result<bool, Failure> {
    match wanted {
        Wanted::All => Ok(true),
        _ => Ok(wanted.includes(flags(kernel, name)?.contains(Iff::UP))),
    }
}

/// `ifclone.c: ifclonecreate`. A name without a unit comes back with one.
fn create(kernel: &mut Kernel, name: IfName) -> Result<IfName, Failure> {
    let reply = kernel.ioctl(SIOCIFCREATE2, &IfReq::new(name))?;
    answer::<IfReq>("SIOCIFCREATE2", &reply.arg).map(|ifr| ifr.ifr_name)
}

fn configure(kernel: &mut Kernel, out: &mut dyn Write, name: IfName, line: &Line) -> Result<(), Failure> {
    if line.destroy {
        return kernel.ioctl(SIOCIFDESTROY, &IfReq::new(name)).map(drop);
    }
    let mut done = Vec::new();
    let result = carry_out(kernel, out, name, line, &mut done);
    if result.is_err() {
        for step in done.iter().rev() {
            // The failure that is told is the line's own.
            let _ = step.undo(kernel, name);
        }
    }
    result
}

/// How a step is taken back when a later one fails: a line takes effect whole
/// or not at all. Upstream leaves the part before the failure. What a
/// transition has said on the wire cannot be taken back; so what can be
/// foreseen is looked at first.
enum Done {
    Flags(Iff),
    Carp(carp::Before),
}

impl Done {
    fn undo(&self, kernel: &mut Kernel, name: IfName) -> Result<(), Failure> {
        match self {
            Done::Flags(before) => set_flags(kernel, name, *before),
            Done::Carp(before) => before.restore(kernel, name),
        }
    }
}

/// The address is the last: nothing has to take it back.
fn carry_out(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    name: IfName,
    line: &Line,
    done: &mut Vec<Done>,
) -> Result<(), Failure> {
    if !line.steps.is_empty() {
        line.address.foresee(kernel, name)?;
    }
    for step in &line.steps {
        match step {
            Step::Flag { flag, on } => {
                let before = flags(kernel, name)?;
                let mut after = before;
                after.set(*flag, *on);
                set_flags(kernel, name, after)?;
                done.push(Done::Flags(before));
            }
            Step::Carp => done.push(Done::Carp(line.carp.apply(kernel, name)?)),
            Step::Vhaddr => carp::vhaddr(kernel, out, name)?,
        }
    }
    line.address.apply(kernel, name)
}

/// `ifconfig.c: setifflags`
fn set_flags(kernel: &mut Kernel, name: IfName, flags: Iff) -> Result<(), Failure> {
    let mut request = IfReq::new(name);
    request.set_flags(flags);
    kernel.ioctl(SIOCSIFFLAGS, &request).map(drop)
}

/// `ifconfig.c: getifflags`
fn flags(kernel: &mut Kernel, name: IfName) -> Result<Iff, Failure> {
    let reply = kernel.ioctl(SIOCGIFFLAGS, &IfReq::new(name))?;
    answer::<IfReq>("SIOCGIFFLAGS", &reply.arg).map(|ifr| ifr.flags())
}
