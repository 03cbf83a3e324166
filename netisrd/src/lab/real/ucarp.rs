//! ucarp, the peer that is not ours: a process that says what it becomes, and
//! two scripts that give its machine the address and take it away.

use crate::lab::record::State;
use crate::lab::scenario::UcarpSpec;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What its virtual host is called, as if it were a carp interface.
pub(super) const IFNAME: &str = "carp0";

/// How it is started on an interface; its scripts go to `dir`, by `name`.
pub(super) fn command(spec: &UcarpSpec, ifname: &str, dir: &Path, name: &str) -> Result<Command, String> {
    let script = |what: &str, verb: &str| -> Result<PathBuf, String> {
        let path = dir.join(format!("{name}-{what}"));
        let (address, len) = (spec.address, spec.own.prefix_len());
        // At its start it takes away what it does not have.
        let text = format!("#!/bin/sh\nip addr {verb} {address}/{len} dev {ifname} 2>/dev/null || :\n");
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        fs::write(&path, text).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(path)
    };
    let mut command = Command::new("ucarp");
    command.args(["-i", ifname, "-z"]);
    command.arg("-s").arg(spec.own.addr().to_string());
    command.arg("-v").arg(spec.vhid.to_string());
    command.arg("-p").arg(&spec.pass);
    command.arg("-a").arg(spec.address.to_string());
    command.arg("-b").arg(spec.advbase.to_string());
    command.arg("-k").arg(spec.advskew.to_string());
    command.arg("-u").arg(script("up", "add")?);
    command.arg("-d").arg(script("down", "del")?);
    if spec.preempt {
        command.arg("-P");
    }
    Ok(command)
}

/// What it becomes, if a line of its says so.
pub(super) fn state(line: &str) -> Option<State> {
    let (_, state) = line.split_once("Switching to state: ")?;
    [State::Init, State::Backup, State::Master].into_iter().find(|s| s.name() == state.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ucarp_says_what_it_becomes() {
        assert_eq!(state("[WARNING] Switching to state: MASTER"), Some(State::Master));
        assert_eq!(state("[WARNING] Switching to state: BACKUP\r"), Some(State::Backup));
        assert_eq!(state("[INFO] Local advertised ethernet address is [02:..]"), None);
    }
}
