//! `ifgroup.c`: interface groups, and OpenBSD's demotion of one.

use super::drvspec::rows;
use super::number::Demotion;
use crate::failure::Failure;
use crate::kernel::{Kernel, answer, bad_answer};
use compat::net::if_::{IFG_ALL, IfGroupReq, IfName, IfgReq};
use compat::sys::errno::Errno;
use compat::sys::sockio::{
    SIOCAIFGROUP, SIOCDIFGROUP, SIOCGIFGATTR, SIOCGIFGMEMB, SIOCGIFGROUP, SIOCSIFGATTR,
};
use std::ffi::{OsStr, OsString};
use std::io::Write;

/// The name behind `group` or `-group`. One that ends in a digit could be an
/// interface's.
pub(crate) fn name(keyword: &str, word: &OsStr) -> Result<IfName, Failure> {
    let name = word.to_str().and_then(IfName::new);
    let word = word.to_string_lossy();
    match name {
        Some(_) if word.ends_with(|c: char| c.is_ascii_digit()) => {
            Err(Failure::Message(format!("{keyword} {word}: a group's name cannot end in a digit")))
        }
        Some(name) => Ok(name),
        None => Err(Failure::Message(format!("{keyword} {word}: not a name for a group"))),
    }
}

/// `setifgroup`. Whether it is a member only now comes back.
pub(crate) fn join(kernel: &mut Kernel, name: IfName, group: IfName) -> Result<bool, Failure> {
    membership(kernel, SIOCAIFGROUP, name, group, Errno::EEXIST)
}

/// `unsetifgroup`. Whether it was a member until now comes back.
pub(crate) fn leave(kernel: &mut Kernel, name: IfName, group: IfName) -> Result<bool, Failure> {
    membership(kernel, SIOCDIFGROUP, name, group, Errno::ENOENT)
}

fn membership(
    kernel: &mut Kernel,
    cmd: u32,
    name: IfName,
    group: IfName,
    already: Errno,
) -> Result<bool, Failure> {
    match kernel.ioctl(cmd, &IfGroupReq { ifgr_ifgru: group.0, ..IfGroupReq::new(name) }) {
        Ok(_) => Ok(true),
        Err(e) if e.errno() == Some(already) => Ok(false),
        Err(e) => Err(e),
    }
}

/// `getifgroups`: the line that an interface's groups make. An interface that
/// was destroyed meanwhile has none.
pub(crate) fn status(kernel: &mut Kernel, out: &mut dyn Write, name: IfName) -> Result<(), Failure> {
    let groups = match list(kernel, SIOCGIFGROUP, "SIOCGIFGROUP", name) {
        Err(Failure::Kernel { .. }) => return Ok(()),
        other => other?,
    };
    let shown: Vec<&str> = groups.iter().map(IfName::as_str).filter(|g| *g != IFG_ALL).collect();
    match shown.is_empty() {
        true => Ok(()),
        false => Ok(writeln!(out, "\tgroups: {}", shown.join(" "))?),
    }
}

fn list(kernel: &mut Kernel, cmd: u32, call: &str, name: IfName) -> Result<Vec<IfgReq>, Failure> {
    let mut request = IfGroupReq::new(name);
    let reply = kernel.ioctl(cmd, &request)?;
    request.ifgr_len = answer::<IfGroupReq>(call, &reply.arg)?.ifgr_len;
    if request.ifgr_len == 0 {
        return Ok(Vec::new());
    }
    let reply = kernel.ioctl(cmd, &request)?;
    let used = answer::<IfGroupReq>(call, &reply.arg)?.ifgr_len;
    let used = usize::try_from(used).ok().and_then(|used| reply.data.get(..used));
    rows(used).ok_or_else(|| bad_answer(call))
}

/// What `-g` does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GroupTask {
    /// `printgroup`: members, one a line.
    Members,
    /// OpenBSD's `setgroupattribs`.
    Demote(i32),
}

impl GroupTask {
    /// The words behind `-g GROUP`.
    pub(crate) fn parse(words: &[OsString]) -> Result<GroupTask, Failure> {
        let (word, by) = match words {
            [] => return Ok(GroupTask::Members),
            [word] => (word, None),
            [word, by] => (word, Some(by)),
            _ => return Err(Failure::Usage),
        };
        let sign = match word.to_str() {
            Some("carpdemote") => 1,
            Some("-carpdemote") => -1,
            _ => return Err(Failure::Usage),
        };
        let by = by.map_or(Ok(1), |by| Demotion::parse(by).map(i32::from))?;
        Ok(GroupTask::Demote(sign * by))
    }

    /// `attributes` is `-v`: OpenBSD shows them alone.
    pub(crate) fn run(
        &self,
        kernel: &mut Kernel,
        out: &mut dyn Write,
        word: &OsStr,
        attributes: bool,
    ) -> Result<(), Failure> {
        let group = word.to_str().and_then(IfName::new).ok_or_else(|| no_such_group(word))?;
        self.run_on(kernel, out, group, attributes).map_err(|e| match e.errno() {
            Some(Errno::ENOENT) => no_such_group(word),
            _ => e,
        })
    }

    fn run_on(
        &self,
        kernel: &mut Kernel,
        out: &mut dyn Write,
        group: IfName,
        attributes: bool,
    ) -> Result<(), Failure> {
        let mut request = IfGroupReq::new(group);
        if let GroupTask::Demote(by) = self {
            request.set_carp_demoted(*by);
            return kernel.ioctl(SIOCSIFGATTR, &request).map(drop);
        }
        let members = list(kernel, SIOCGIFGMEMB, "SIOCGIFGMEMB", group)?;
        if attributes {
            let reply = kernel.ioctl(SIOCGIFGATTR, &request)?;
            let count = answer::<IfGroupReq>("SIOCGIFGATTR", &reply.arg)?.carp_demoted();
            writeln!(out, "{group}: carp demote count {count}")?;
        }
        for member in members {
            writeln!(out, "{member}")?;
        }
        Ok(())
    }
}

/// Upstream says nothing and succeeds.
fn no_such_group(word: &OsStr) -> Failure {
    Failure::Message(format!("group {} does not exist", word.to_string_lossy()))
}
