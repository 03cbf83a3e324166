//! The control socket: system calls of other processes.

use super::runtime::Runtime;
use crate::net::netisr::Cred;
use compat::sys::ctlsock::{self, Reply, Request};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use nix::errno::Errno as LinuxErrno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, recv,
    send, socket, sockopt::PeerCredentials,
};
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Clients at one time; one more is turned away.
const MAX_CLIENTS: usize = 256;
const LISTENER: Token = Token(0);
/// The first token that a caller of [`ControlSocket::serve`] may not use.
const FIRST_CLIENT: usize = 16;

/// `NETISRD_SOCK`'s default: `/run/netisrd.sock` for root, else under
/// `$XDG_RUNTIME_DIR`.
pub fn default_path() -> PathBuf {
    let user_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !geteuid().is_root());
    user_dir.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("netisrd.sock")
}

/// A listening socket, and whoever is connected.
pub struct ControlSocket {
    path: PathBuf,
    _lock: Lock,
    /// Of `SOCK_SEQPACKET`; the standard library does not mind.
    listener: UnixListener,
    clients: BTreeMap<usize, Client>,
    next: usize,
}

struct Client {
    fd: OwnedFd,
    cred: Cred,
}

impl ControlSocket {
    /// Listens. A socket that a dead netisrd left is replaced; a live one is
    /// an error.
    pub fn bind(path: &Path) -> io::Result<ControlSocket> {
        let lock = Lock::take(path)?;
        if answers(path) {
            return Err(in_use(path));
        }
        remove_stale(path)?;
        let listener = seqpacket()?;
        let named = |e: LinuxErrno| io::Error::other(format!("{}: {}", path.display(), e.desc()));
        bind(listener.as_raw_fd(), &UnixAddr::new(path)?).map_err(named)?;
        // Reading is for all; what may be changed is decided by uid.
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        listen(&listener, Backlog::new(128)?)?;
        let path = path.to_path_buf();
        Ok(ControlSocket {
            path,
            _lock: lock,
            listener: UnixListener::from(listener),
            clients: BTreeMap::new(),
            next: FIRST_CLIENT,
        })
    }

    /// Has `poll` watch the listener.
    pub fn register(&self, registry: &Registry) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.listener.as_raw_fd()), LISTENER, Interest::READABLE)
    }

    /// Answers whoever the events say is waiting.
    pub fn serve(&mut self, poll: &Poll, events: &Events, machine: &Runtime) -> io::Result<()> {
        for event in events {
            match event.token() {
                LISTENER => self.accept(poll)?,
                Token(t) => self.answer(poll, t, machine)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self, poll: &Poll) -> io::Result<()> {
        loop {
            let fd = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    // Too many open files, or a client that has gone again.
                    tracing::warn!("control socket: {e}");
                    return Ok(());
                }
            };
            fd.set_nonblocking(true)?;
            let fd = OwnedFd::from(fd);
            if self.clients.len() >= MAX_CLIENTS {
                tracing::warn!("control socket: more than {MAX_CLIENTS} clients");
                continue;
            }
            let peer = getsockopt(&fd, PeerCredentials)?;
            let privileged = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
            let t = self.next;
            self.next += 1;
            poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(t), Interest::READABLE)?;
            self.clients.insert(t, Client { fd, cred: Cred { privileged } });
        }
    }

    /// Answers all that a client has asked. One that is gone, or does not read
    /// its answers, is dropped.
    fn answer(&mut self, poll: &Poll, t: usize, machine: &Runtime) -> io::Result<()> {
        let Some(client) = self.clients.get(&t) else { return Ok(()) };
        let gone = loop {
            let mut packet = vec![0; ctlsock::MAX_PACKET + 1];
            let n = match recv(client.fd.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(0) => break true,
                Ok(n) => n,
                Err(LinuxErrno::EAGAIN) => break false,
                Err(LinuxErrno::EINTR) => continue,
                Err(_) => break true,
            };
            let reply = match Request::from_bytes(&packet[..n]) {
                Ok(req) => machine.syscall(client.cred, req),
                Err(e) => Reply::error(e),
            };
            let flags = MsgFlags::MSG_NOSIGNAL;
            if send(client.fd.as_raw_fd(), &reply.to_bytes(), flags).is_err() {
                break true;
            }
        };
        if gone && let Some(client) = self.clients.remove(&t) {
            poll.registry().deregister(&mut SourceFd(&client.fd.as_raw_fd()))?;
        }
        Ok(())
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // It does not hinder the next start if it stays.
        let _ = fs::remove_file(&self.path);
    }
}

/// An exclusive lock beside the socket, so that two that start together cannot
/// both take the socket for a dead one's.
struct Lock {
    path: PathBuf,
    _held: Flock<File>,
}

impl Lock {
    fn take(socket: &Path) -> io::Result<Lock> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(named)?;
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
            LinuxErrno::EAGAIN => in_use(socket),
            e => e.into(),
        })?;
        Ok(Lock { path, _held: held })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the socket that a dead netisrd left; anything else is not ours.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => {
            let what = format!("{}: exists and is not a socket", path.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn in_use(path: &Path) -> io::Error {
    let what = format!("{}: another netisrd is listening", path.display());
    io::Error::new(io::ErrorKind::AddrInUse, what)
}

/// Whether somebody listens there, with or without our lock.
fn answers(path: &Path) -> bool {
    let Ok(addr) = UnixAddr::new(path) else { return false };
    seqpacket().is_ok_and(|fd| connect(fd.as_raw_fd(), &addr).is_ok())
}

fn seqpacket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}
