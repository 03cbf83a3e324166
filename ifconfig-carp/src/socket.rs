//! The control socket of a running `netisrd`.

use crate::syscalls::{CallError, Syscalls};
use compat::sys::ctlsock::{MAX_PACKET, Reply, Request};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where root's `netisrd` listens.
const SYSTEM_SOCKET: &str = "/run/netisrd.sock";
/// Seconds until a `netisrd` that is there but silent counts as gone: far more
/// than any system call takes, so that a script does not hang for ever.
const PATIENCE: i64 = 30;

/// Which socket a command talks to: `-S PATH` (`option`), else `NETISRD_SOCK`,
/// else `/run/netisrd.sock`. One who is not root has a socket of his own go
/// before the last: `$XDG_RUNTIME_DIR/netisrd.sock`, if there is one.
pub fn socket_path(option: Option<&Path>) -> PathBuf {
    let place = Place {
        env: std::env::var_os("NETISRD_SOCK"),
        root: nix::unistd::geteuid().is_root(),
        runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
    };
    place.path(option, is_socket)
}

/// Where the netisrd of a control socket tells its events unless told
/// otherwise: beside it, `netisrd-events.sock` for `netisrd.sock`.
pub fn events_path(control: &Path) -> PathBuf {
    let name = control.file_name().unwrap_or_default().to_string_lossy();
    let (stem, end) = name.strip_suffix(".sock").map_or((&*name, ""), |stem| (stem, ".sock"));
    control.with_file_name(format!("{stem}-events{end}"))
}

/// What the choice of a socket depends on.
struct Place {
    env: Option<OsString>,
    root: bool,
    runtime_dir: Option<OsString>,
}

impl Place {
    fn path(self, option: Option<&Path>, is_socket: impl Fn(&Path) -> bool) -> PathBuf {
        if let Some(path) = option {
            return path.to_owned();
        }
        if let Some(path) = self.env.filter(|p| !p.is_empty()) {
            return path.into();
        }
        self.runtime_dir
            .filter(|dir| !self.root && !dir.is_empty())
            .map(|dir| Path::new(&dir).join("netisrd.sock"))
            .filter(|path| is_socket(path))
            .unwrap_or_else(|| SYSTEM_SOCKET.into())
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// The machine behind a control socket: what the programs pass to an entry
/// point. It connects at the first call, so that a line with a mistake in it
/// is told of the mistake whether or not a `netisrd` runs.
#[derive(Debug, Default)]
pub struct UnixSocket {
    selected: Option<PathBuf>,
    connected: Option<(OwnedFd, PathBuf)>,
}

impl UnixSocket {
    /// Not connected; [`socket_path`] decides unless [`Syscalls::select`] is
    /// called.
    pub fn new() -> UnixSocket {
        UnixSocket::default()
    }

    fn connection(&mut self) -> Result<&(OwnedFd, PathBuf), CallError> {
        let connection = match self.connected.take() {
            Some(c) => c,
            None => {
                let path = socket_path(self.selected.as_deref());
                let fd = open(&path).map_err(|e| not_listening(&path, e))?;
                (fd, path)
            }
        };
        Ok(self.connected.insert(connection))
    }
}

impl Syscalls for UnixSocket {
    fn select(&mut self, path: &Path) {
        self.selected = Some(path.to_owned());
        self.connected = None;
    }

    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let (fd, path) = self.connection()?;
        let reply = exchange(fd, request).map_err(|e| lost(path, e))?;
        decode(path, &reply)
    }

    fn hear(&mut self) -> Result<Reply, CallError> {
        let (fd, path) = self.connection()?;
        // Nothing may happen for as long as it likes.
        setsockopt(fd, ReceiveTimeout, &TimeVal::new(0, 0)).map_err(|e| lost(path, e))?;
        let packet = receive(fd).map_err(|e| lost(path, e))?;
        decode(path, &packet)
    }

    fn events(&mut self, path: Option<&Path>) -> Result<Box<dyn BufRead>, CallError> {
        let beside = || events_path(&socket_path(self.selected.as_deref()));
        let path = path.map_or_else(beside, Path::to_owned);
        let stream = UnixStream::connect(&path)
            .map_err(|e| CallError::new(format!("no netisrd tells events on {} ({e})", path.display())))?;
        Ok(Box::new(BufReader::new(stream)))
    }
}

fn decode(path: &Path, packet: &[u8]) -> Result<Reply, CallError> {
    if packet.is_empty() {
        return Err(CallError::new(format!("netisrd on {} hung up", path.display())));
    }
    Reply::from_bytes(packet).map_err(|e| {
        CallError::new(format!("what listens on {} speaks another protocol ({e})", path.display()))
    })
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::new(PATIENCE, 0);
    setsockopt(&fd, ReceiveTimeout, &patience)?;
    setsockopt(&fd, SendTimeout, &patience)?;
    retry(|| connect(fd.as_raw_fd(), &address))?;
    Ok(fd)
}

/// One packet there, one back; an empty one is the end of the connection.
/// Keys may be in both, so both are wiped.
fn exchange(fd: &OwnedFd, request: &Request) -> Result<Zeroizing<Vec<u8>>, Errno> {
    let packet = Zeroizing::new(request.to_bytes());
    retry(|| send(fd.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL))?;
    receive(fd)
}

/// One packet.
fn receive(fd: &OwnedFd) -> Result<Zeroizing<Vec<u8>>, Errno> {
    let mut reply = Zeroizing::new(vec![0; MAX_PACKET]);
    let got = retry(|| recv(fd.as_raw_fd(), &mut reply, MsgFlags::MSG_TRUNC))?;
    if got > MAX_PACKET {
        return Err(Errno::EMSGSIZE);
    }
    reply.truncate(got);
    Ok(reply)
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

fn not_listening(path: &Path, e: Errno) -> CallError {
    let text = format!("no netisrd is listening on {}", path.display());
    CallError::new(match e {
        Errno::ENOENT | Errno::ECONNREFUSED => text,
        other => format!("{text} ({})", other.desc()),
    })
}

fn lost(path: &Path, e: Errno) -> CallError {
    CallError::new(match e {
        Errno::EAGAIN => format!("netisrd on {} does not answer", path.display()),
        other => format!("netisrd on {}: {}", path.display(), other.desc()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(env: Option<&str>, root: bool, runtime_dir: Option<&str>) -> Place {
        Place { env: env.map(Into::into), root, runtime_dir: runtime_dir.map(Into::into) }
    }

    #[test]
    fn the_option_goes_before_the_environment_and_that_before_the_default() {
        let all = || place(Some("/env"), false, Some("/dir"));
        assert_eq!(all().path(Some(Path::new("/opt")), |_| true), Path::new("/opt"));
        assert_eq!(all().path(None, |_| true), Path::new("/env"));
        assert_eq!(place(Some(""), true, None).path(None, |_| true), Path::new(SYSTEM_SOCKET));
    }

    #[test]
    fn the_event_socket_is_beside_the_control_socket() {
        assert_eq!(events_path(Path::new(SYSTEM_SOCKET)), Path::new("/run/netisrd-events.sock"));
        assert_eq!(events_path(Path::new("ctl")), Path::new("ctl-events"));
    }

    #[test]
    fn only_who_is_not_root_has_a_socket_of_his_own_and_only_if_it_is_one() {
        let at = |root, dir, exists: bool| place(None, root, dir).path(None, |_| exists);
        assert_eq!(at(false, Some("/u"), true), Path::new("/u/netisrd.sock"));
        assert_eq!(at(false, Some("/u"), false), Path::new(SYSTEM_SOCKET));
        assert_eq!(at(false, Some(""), true), Path::new(SYSTEM_SOCKET));
        assert_eq!(at(false, None, true), Path::new(SYSTEM_SOCKET));
        assert_eq!(at(true, Some("/u"), true), Path::new(SYSTEM_SOCKET));
    }
}
