//! Carries out a line: `ifconfig.c: main` and `ifconfig`, `ifclone.c`.

use super::cmds::{Line, Step};
use super::target::{Target, does_not_exist};
use super::undo::Done;
use super::vhaddr::vhaddr;
use super::{Wanted, group};
use crate::failure::Failure;
use crate::kernel::{Kernel, answer};
use compat::net::if_::{IfName, IfReq, Iff};
use compat::sys::sockio::{SIOCGIFFLAGS, SIOCIFCREATE2, SIOCIFDESTROY, SIOCSIFFLAGS};
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
    // The unit that a name without one gets is not known yet.
    if !line.create || word.to_string_lossy().ends_with(|c: char| c.is_ascii_digit()) {
        line.check_scope(asked)?;
    }
    if let Some(target) = Target::find(kernel, asked)? {
        if line.create && is_bare(line) {
            return Err(Failure::Message(format!("interface {asked} already exists")));
        }
        return match is_wanted(kernel, asked, wanted)? {
            true => configure(kernel, out, target, line),
            false => Ok(()),
        };
    }
    if !line.create {
        return Err(does_not_exist(word));
    }
    let created = create(kernel, asked)?;
    if let Err(e) = configure(kernel, out, Target::created(created), line) {
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

fn is_bare(line: &Line) -> bool {
    line.steps.is_empty() && line.address.is_empty()
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

fn configure(kernel: &mut Kernel, out: &mut dyn Write, target: Target, line: &Line) -> Result<(), Failure> {
    let name = target.name;
    if line.destroy {
        return kernel.ioctl(SIOCIFDESTROY, &IfReq::new(name)).map(drop);
    }
    line.check_scope(name)?;
    let target = line.carp.resolve(kernel, target)?;
    line.address.check_on(&target)?;
    if !line.steps.is_empty() {
        line.carp.foresee(kernel, &target)?;
        line.address.foresee(kernel, &target)?;
    }
    let mut done = Vec::new();
    let result = carry_out(kernel, out, &target, line, &mut done);
    if result.is_err() {
        for step in done.iter().rev() {
            // The failure that is told is the line's own.
            let _ = step.undo(kernel, &target);
        }
    }
    result
}

/// The address is the last: nothing has to take it back.
fn carry_out(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    target: &Target,
    line: &Line,
    done: &mut Vec<Done>,
) -> Result<(), Failure> {
    let name = target.name;
    for step in &line.steps {
        match step {
            Step::Flag { flag, on } => {
                let before = flags(kernel, name)?;
                let mut after = before;
                after.set(*flag, *on);
                set_flags(kernel, name, after)?;
                done.push(Done::Flags(before));
            }
            // The vhid tells whose address goes; it may go with it, and is not
            // made for it.
            Step::Carp if target.vhid.is_some() && line.address.deletes() && line.carp.only_names() => {}
            Step::Carp => line.carp.apply(kernel, target, done)?,
            Step::Join(group) => {
                if group::join(kernel, name, *group)? {
                    done.push(Done::Joined(*group));
                }
            }
            Step::Leave(group) => {
                if group::leave(kernel, name, *group)? {
                    done.push(Done::Left(*group));
                }
            }
            Step::Vhaddr => vhaddr(kernel, out, name)?,
        }
    }
    line.address.apply(kernel, target)
}

/// `ifconfig.c: setifflags`
pub(crate) fn set_flags(kernel: &mut Kernel, name: IfName, flags: Iff) -> Result<(), Failure> {
    let mut request = IfReq::new(name);
    request.set_flags(flags);
    kernel.ioctl(SIOCSIFFLAGS, &request).map(drop)
}

/// `ifconfig.c: getifflags`
fn flags(kernel: &mut Kernel, name: IfName) -> Result<Iff, Failure> {
    let reply = kernel.ioctl(SIOCGIFFLAGS, &IfReq::new(name))?;
    answer::<IfReq>("SIOCGIFFLAGS", &reply.arg).map(|ifr| ifr.flags())
}
