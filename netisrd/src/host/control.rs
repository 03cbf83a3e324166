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
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroize;

/// Clients at one time.
const MAX_CLIENTS: usize = 256;
/// Clients of one user who is not privileged.
const MAX_PER_USER: usize = 32;
/// When to accept again after a failure.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
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
    /// Clients that may have sent something.
    ready: BTreeSet<usize>,
    accept_again: bool,
    /// Requests so far, to tell who is idle.
    serial: u64,
    packet: Vec<u8>,
}

struct Client {
    fd: OwnedFd,
    uid: u32,
    cred: Cred,
    /// The number of its last request.
    served: u64,
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
            ready: BTreeSet::new(),
            accept_again: false,
            serial: 0,
            packet: vec![0; ctlsock::MAX_PACKET + 1],
        })
    }

    /// Has `poll` watch the listener.
    pub fn register(&self, registry: &Registry) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.listener.as_raw_fd()), LISTENER, Interest::READABLE)
    }

    /// How long a poll may wait: not at all while somebody is still to be
    /// answered, a moment when the listener had trouble.
    pub fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            Some(Duration::ZERO)
        } else if self.accept_again {
            Some(ACCEPT_AGAIN)
        } else {
            None
        }
    }

    /// Accepts whoever has come, and answers one request of everybody that
    /// has one.
    pub fn serve(&mut self, poll: &Poll, events: &Events, machine: &Runtime) {
        let mut accept = core::mem::take(&mut self.accept_again);
        for event in events {
            match event.token() {
                LISTENER => accept = true,
                Token(t) => {
                    self.ready.insert(t);
                }
            }
        }
        if accept {
            self.accept(poll.registry());
        }
        for t in core::mem::take(&mut self.ready) {
            match self.answer(t, machine) {
                Turn::More => {
                    self.ready.insert(t);
                }
                Turn::Drained => {}
                Turn::Gone => self.drop_client(t),
            }
        }
    }

    fn accept(&mut self, registry: &Registry) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(e) = self.welcome(registry, OwnedFd::from(stream)) {
                        tracing::debug!("control socket: {e}");
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // Out of descriptors or memory. What waits makes no event.
                    tracing::warn!("control socket: {e}");
                    self.accept_again = true;
                    return;
                }
            }
        }
    }

    /// Takes a client, if its user may have one more. The privileged are never
    /// turned away: the idlest of the others makes room.
    fn welcome(&mut self, registry: &Registry, fd: OwnedFd) -> io::Result<()> {
        let peer = getsockopt(&fd, PeerCredentials)?;
        let privileged = peer.uid() == 0 || peer.uid() == geteuid().as_raw();
        let of_user = self.clients.values().filter(|c| c.uid == peer.uid()).count();
        if !privileged && (of_user >= MAX_PER_USER || self.clients.len() >= MAX_CLIENTS) {
            return Err(io::Error::other(format!("uid {} has too many connections", peer.uid())));
        }
        if self.clients.len() >= MAX_CLIENTS {
            let others = self.clients.iter().filter(|(_, c)| !c.cred.privileged);
            let idlest = others.min_by_key(|(_, c)| c.served).or(self.clients.iter().next()).map(|(t, _)| *t);
            idlest.into_iter().for_each(|t| self.drop_client(t));
        }
        UnixStream::from(fd.try_clone()?).set_nonblocking(true)?;
        let t = self.next;
        self.next += 1;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), Token(t), Interest::READABLE)?;
        let cred = Cred { privileged };
        self.clients.insert(t, Client { fd, uid: peer.uid(), cred, served: self.serial });
        // What came before it was registered may make no event.
        self.ready.insert(t);
        Ok(())
    }

    /// Answers one request. Who does not read its answers is gone.
    fn answer(&mut self, t: usize, machine: &Runtime) -> Turn {
        let Some(client) = self.clients.get_mut(&t) else { return Turn::Drained };
        let n = match recv(client.fd.as_raw_fd(), &mut self.packet, MsgFlags::empty()) {
            Ok(0) => return Turn::Gone,
            Ok(n) => n,
            Err(LinuxErrno::EAGAIN) => return Turn::Drained,
            Err(LinuxErrno::EINTR) => return Turn::More,
            Err(_) => return Turn::Gone,
        };
        self.serial += 1;
        client.served = self.serial;
        let mut reply = match Request::from_bytes(&self.packet[..n]) {
            Ok(req) => machine.syscall(client.cred, req),
            Err(e) => Reply::error(e),
        };
        let mut bytes = reply.to_bytes();
        let sent = send(client.fd.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL);
        // A key may have been in any of them.
        self.packet[..n].zeroize();
        reply.data.zeroize();
        bytes.zeroize();
        if sent.is_ok() { Turn::More } else { Turn::Gone }
    }

    /// Closing takes the descriptor out of the poll too.
    fn drop_client(&mut self, t: usize) {
        self.clients.remove(&t);
        self.ready.remove(&t);
    }
}

/// What a client's turn left.
enum Turn {
    More,
    Drained,
    Gone,
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
