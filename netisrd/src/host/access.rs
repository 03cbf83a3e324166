//! Who may use the control socket.

use crate::dev::sys;
use nix::sys::socket::UnixCredentials;
use nix::unistd::{Gid, Group, Uid, chown, geteuid};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who may connect, by the mode of the control and the event socket; of them, root, netisrd's own user
/// and the members of the socket's group may change something.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Access {
    /// Mode of the control and the event socket, in octal digits
    #[arg(long = "socket-mode", value_name = "MODE", default_value = "0666", value_parser = mode)]
    mode: Mode,

    /// Group of both sockets, whose members may change the configuration
    #[arg(long = "socket-group", value_name = "GROUP", value_parser = group)]
    group: Option<Gid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode(u32);

fn mode(text: &str) -> Result<Mode, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    mode.map(Mode).ok_or_else(|| "expected octal digits, at most 0777".to_owned())
}

/// By name or by number.
fn group(text: &str) -> Result<Gid, String> {
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => text.parse().map(Gid::from_raw).map_err(|_| "no such group".to_owned()),
        Err(e) => Err(e.desc().to_owned()),
    }
}

impl Access {
    /// Of a socket that nobody can connect to yet.
    pub(super) fn apply(&self, socket: &Path) -> io::Result<()> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", socket.display()));
        if self.group.is_some() {
            chown(socket, None, self.group).map_err(|e| named(e.into()))?;
        }
        fs::set_permissions(socket, Permissions::from_mode(self.mode.0)).map_err(named)
    }

    /// Whether who has connected may change something.
    pub(super) fn is_privileged(&self, socket: impl AsFd, peer: &UnixCredentials) -> io::Result<bool> {
        let uid = Uid::from_raw(peer.uid());
        if uid.is_root() || uid == geteuid() {
            return Ok(true);
        }
        let Some(group) = self.group else { return Ok(false) };
        Ok(peer.gid() == group.as_raw() || sys::peer_groups(socket.as_fd())?.contains(&group.as_raw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_of_a_socket() {
        for (text, is) in [("0666", Some(0o666)), ("660", Some(0o660)), ("0", Some(0)), ("0777", Some(0o777))]
        {
            assert_eq!(mode(text).ok(), is.map(Mode), "{text}");
        }
        for text in ["", "0668", "1777", "+660", "0o660", "rw"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_group_has_a_name_or_a_number() {
        assert_eq!(group("root"), Ok(Gid::from_raw(0)));
        assert_eq!(group("4242"), Ok(Gid::from_raw(4242)));
        assert!(group("there is no such").is_err());
    }
}
