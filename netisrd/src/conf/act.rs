//! What is done to a machine: the commands that somebody would type, and how
//! they are told without what is secret.

use compat::net::if_::{IfName, IfReq};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{Run, Syscalls, ifconfig, sysctl};
use libcarp::carpreq::{CARPR_STATE_KEEP, CARPR_VHID_CLEAR, CarpReq, SIOCGVH, SIOCSVH};
use std::ffi::OsString;
use std::fmt;
use zerocopy::{FromBytes, IntoBytes};
use zeroize::Zeroize;

/// Words of a line, one of which may be a password: wiped when dropped, and not
/// shown.
#[derive(Default)]
pub(super) struct Words(Vec<OsString>);

impl Words {
    /// Those between the blanks.
    pub(super) fn of(line: &str) -> Words {
        line.split_whitespace().collect()
    }

    pub(super) fn push(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    /// A keyword and what it is to be.
    pub(super) fn pair(&mut self, keyword: &str, value: impl fmt::Display) {
        self.push(keyword);
        self.push(value.to_string());
    }

    /// The keyword at `at` and its value are these from now on, or gone.
    pub(super) fn replace(&mut self, at: usize, by: Option<(&str, OsString)>) {
        let by = by.into_iter().flat_map(|(keyword, value)| [keyword.into(), value]);
        self.0.splice(at..at + 2, by).for_each(|word| word.into_encoded_bytes().zeroize());
    }

    /// Once more, for another deed.
    pub(super) fn again(&self) -> Words {
        Words(self.0.clone())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[OsString] {
        &self.0
    }
}

impl<W: Into<OsString>> FromIterator<W> for Words {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Words {
        Words(words.into_iter().map(Into::into).collect())
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|word| word.into_encoded_bytes().zeroize());
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut secret = false;
        for word in &self.0 {
            match secret {
                true => f.write_str(" *")?,
                false => write!(f, " {}", word.to_string_lossy())?,
            }
            secret = word == "pass";
        }
        Ok(())
    }
}

/// One deed. Its `Display` is for logs and reports.
pub(super) enum Act {
    /// `ifconfig IF ...`
    Ifconfig(IfName, Words),
    /// `sysctl NAME=VALUE`
    Sysctl(String, String),
    /// The vhid is taken away: of a carp interface its own, of another that one
    /// with its addresses. No command line says so.
    Clear(IfName, Option<u8>),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Ifconfig(name, words) => write!(f, "ifconfig {name}{words}"),
            Act::Sysctl(name, value) => write!(f, "sysctl {name}={value}"),
            Act::Clear(name, None) => write!(f, "{name} without a vhid"),
            Act::Clear(name, Some(vhid)) => write!(f, "{name} without vhid {vhid}"),
        }
    }
}

/// An address that should go has gone: what was asked for is so.
const GONE: Errno = Errno::EADDRNOTAVAIL;

impl Act {
    /// On which interface.
    pub(super) fn interface(&self) -> Option<IfName> {
        match self {
            Act::Ifconfig(name, _) | Act::Clear(name, _) => Some(*name),
            Act::Sysctl(..) => None,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// What the command would say, on one line and without its name.
    pub(super) fn run(&self, calls: &mut dyn Syscalls) -> Result<(), String> {
        match self {
            Act::Ifconfig(name, words) => {
                let mut argv = Words::of("ifconfig");
                argv.push(name.as_str());
                argv.0.extend(words.0.iter().cloned());
                let said = typed(ifconfig::run, &argv, calls).map(drop);
                match said {
                    Err(text)
                        if words.0.iter().any(|w| w == "-alias") && text.ends_with(&GONE.to_string()) =>
                    {
                        Ok(())
                    }
                    other => other,
                }
            }
            Act::Sysctl(name, value) => {
                let mut argv = Words::of("sysctl");
                argv.push(format!("{name}={value}"));
                typed(sysctl::run, &argv, calls).map(drop)
            }
            Act::Clear(name, vhid) => clear(calls, *name, *vhid),
        }
    }
}

/// The value of a sysctl.
pub(super) fn read_sysctl(calls: &mut dyn Syscalls, name: &str) -> Result<String, String> {
    let argv: Words = ["sysctl", "-n", name].into_iter().collect();
    typed(sysctl::run, &argv, calls).map(|out| out.trim_end().to_owned())
}

/// The names of all interfaces.
pub(super) fn interfaces(calls: &mut dyn Syscalls) -> Result<Vec<String>, String> {
    let out = typed(ifconfig::run, &Words::of("ifconfig -l"), calls)?;
    Ok(out.split_whitespace().map(str::to_owned).collect())
}

/// What it printed; or, if it failed, what it complained of.
fn typed(run: Run, argv: &Words, calls: &mut dyn Syscalls) -> Result<String, String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    if run(&argv.0, calls, &mut out, &mut err) == 0 {
        return Ok(String::from_utf8_lossy(&out).into_owned());
    }
    let text = String::from_utf8_lossy(&err);
    let told = text.trim_end().split_once(": ").map_or(text.trim_end(), |(_, told)| told);
    Err(told.lines().next().unwrap_or_default().to_owned())
}

fn clear(calls: &mut dyn Syscalls, name: IfName, vhid: Option<u8>) -> Result<(), String> {
    let request = IfReq::new(name);
    let mut carpr = match vhid {
        Some(vhid) => CarpReq { carpr_vhid: vhid.into(), ..CarpReq::default() },
        None => {
            let mut reply = call(calls, &Request::ioctl(SIOCGVH, &request))?;
            let found = CarpReq::read_from_bytes(&reply.data).ok();
            reply.data.zeroize();
            CarpReq { carpr_vhid: 0, ..found.ok_or("SIOCGVH: the answer makes no sense")? }
        }
    };
    carpr.carpr_state = CARPR_STATE_KEEP;
    carpr.carpr_vhid += CARPR_VHID_CLEAR;
    let mut set = Request::ioctl_with(SIOCSVH, &request, carpr.as_bytes());
    carpr.carpr_key.zeroize();
    let done = call(calls, &set).map(drop);
    set.data.zeroize();
    match done {
        // Somebody was here before.
        Err(text) if vhid.is_some() && text.ends_with(&Errno::ENOENT.to_string()) => Ok(()),
        other => other,
    }
}

fn call(calls: &mut dyn Syscalls, request: &Request) -> Result<Reply, String> {
    let reply = calls.call(request).map_err(|e| e.to_string())?;
    match reply.error {
        None => Ok(reply),
        Some(errno) if request.cmd == SIOCGVH => Err(format!("SIOCGVH: {errno}")),
        Some(errno) => Err(format!("SIOCSVH: {errno}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_password_is_shown_whatever_stands_before_it() {
        for (line, shown) in [
            ("vhid 1 pass secret 10.0.0.1", " vhid 1 pass * 10.0.0.1"),
            ("pass pass", " pass *"),
            ("group pass pass secret", " group pass * *"),
            ("up pass", " up pass"),
        ] {
            assert_eq!(Words::of(line).to_string(), shown);
        }
        let act = Act::Ifconfig(IfName::new("carp0").unwrap(), Words::of("pass secret"));
        assert_eq!(act.to_string(), "ifconfig carp0 pass *");
    }
}
