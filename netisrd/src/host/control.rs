//! The control socket: system calls of other processes.

use super::access::Access;
use super::configuration::Shared;
use super::door::Door;
use super::lock::{Lock, folder_of, in_use, remove_stale};
use super::parts::{Desk, Flow, Part, Turn as PartTurn};
use super::runtime::Runtime;
use super::succession::predecessor::Heir;
use super::succession::{Estate, Step};
use crate::net::netisr::Cred;
use crate::net::rtsock::{Heard, Listener};
use compat::sys::ctlsock::{self, Op, Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::time::Time;
use mio::{Interest, Waker};
use nix::errno::Errno as LinuxErrno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, recv,
    send, socket, sockopt::PeerCredentials,
};
use nix::unistd::geteuid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroize;

/// Clients at one time.
const MAX_CLIENTS: usize = 256;
/// Clients of one user who is not privileged.
const MAX_PER_USER: usize = 32;
const LISTENER: usize = 0;
const FIRST_CLIENT: usize = 1;
/// What a successor finds its descriptors by.
pub const SUCCESSION: &str = "control socket";

/// `NETISRD_SOCK`'s default: `/run/netisrd.sock` for root, else under
/// `$XDG_RUNTIME_DIR`.
pub fn default_path() -> PathBuf {
    let user_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !geteuid().is_root());
    user_dir.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("netisrd.sock")
}

/// A listening socket, and whoever is connected.
pub struct ControlSocket {
    path: PathBuf,
    access: Access,
    /// For whoever wants it read again.
    configuration: Shared,
    lock: Lock,
    /// Of `SOCK_SEQPACKET`; the standard library does not mind.
    door: Door<UnixListener>,
    clients: BTreeMap<usize, Client>,
    next: usize,
    /// Clients that may have sent something.
    ready: BTreeSet<usize>,
    /// Clients that wait for their answer, and ask nothing more till then.
    waiting: BTreeSet<usize>,
    /// Answers of this turn: what they have changed no other part knows yet.
    answers: Vec<(usize, Reply)>,
    /// And those that the others know of.
    due: Vec<(usize, Reply)>,
    /// Requests so far, to tell who is idle.
    serial: u64,
    packet: Vec<u8>,
    /// What netisr0 wakes for a routing socket.
    waker: Option<Arc<Waker>>,
    /// A client that would go on in this process's place, and was not yet answered.
    heir: Option<Heir>,
}

struct Client {
    fd: OwnedFd,
    uid: u32,
    cred: Cred,
    /// The number of its last request.
    served: u64,
    /// Of a routing socket.
    route: Option<RouteSocket>,
}

/// A client that is told, and asks no more.
struct RouteSocket {
    listener: Listener,
    /// A packet that its socket had no room for.
    held: Option<Vec<u8>>,
}

impl ControlSocket {
    /// Listens. A socket that a dead netisrd left is replaced; a live one is
    /// an error.
    pub fn bind(path: &Path, access: Access, configuration: Shared) -> io::Result<ControlSocket> {
        let lock = Lock::take(path)?;
        if answers(path) {
            return Err(in_use(path));
        }
        remove_stale(path)?;
        let listener = seqpacket()?;
        let named = |e: LinuxErrno| io::Error::other(format!("{}: {}", path.display(), e.desc()));
        bind(listener.as_raw_fd(), &UnixAddr::new(path)?).map_err(named)?;
        access.apply(path)?;
        listen(&listener, Backlog::new(128)?)?;
        Ok(ControlSocket::on(path, access, configuration, listener, lock))
    }

    /// Listens on the socket of a netisrd that this one follows.
    pub fn inherit(
        path: &Path,
        access: Access,
        configuration: Shared,
        [listener, lock]: [OwnedFd; 2],
    ) -> ControlSocket {
        ControlSocket::on(path, access, configuration, listener, Lock::inherit(path, lock))
    }

    fn on(
        path: &Path,
        access: Access,
        configuration: Shared,
        listener: OwnedFd,
        lock: Lock,
    ) -> ControlSocket {
        ControlSocket {
            path: path.to_path_buf(),
            access,
            configuration,
            lock,
            door: Door::new("control socket", UnixListener::from(listener)),
            clients: BTreeMap::new(),
            next: FIRST_CLIENT,
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            answers: Vec::new(),
            due: Vec::new(),
            serial: 0,
            packet: vec![0; ctlsock::MAX_PACKET + 1],
            waker: None,
            heir: None,
        }
    }

    /// Where it is, and its lock.
    pub fn folder(&self) -> PathBuf {
        folder_of(&self.path)
    }

    fn accept(&mut self, desk: &Desk<'_>) {
        while let Some((stream, _)) = self.door.next(UnixListener::accept) {
            if let Err(e) = self.welcome(desk, stream) {
                tracing::debug!("control socket: {e}");
            }
        }
    }

    /// Takes a client, if its user may have one more. The privileged are never
    /// turned away: the idlest of the others makes room.
    fn welcome(&mut self, desk: &Desk<'_>, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let fd = OwnedFd::from(stream);
        let peer = getsockopt(&fd, PeerCredentials)?;
        let privileged = self.access.is_privileged(&fd, &peer)?;
        let of_user = self.clients.values().filter(|c| c.uid == peer.uid()).count();
        if !privileged && (of_user >= MAX_PER_USER || self.clients.len() >= MAX_CLIENTS) {
            return Err(io::Error::other(format!("uid {} has too many connections", peer.uid())));
        }
        if self.clients.len() >= MAX_CLIENTS {
            // One who listens is not idle.
            let worth = |c: &Client| (c.cred.privileged, c.route.is_some(), c.served);
            let idlest = self.clients.iter().min_by_key(|(_, c)| worth(c)).map(|(t, _)| *t);
            idlest.into_iter().for_each(|t| self.drop_client(t));
        }
        let t = self.next;
        self.next += 1;
        desk.watch(&fd, t, Interest::READABLE)?;
        let cred = Cred { privileged };
        self.clients.insert(t, Client { fd, uid: peer.uid(), cred, served: self.serial, route: None });
        // What came before it was registered may make no event.
        self.ready.insert(t);
        Ok(())
    }

    /// Answers one request, or tells one routing socket what there is to tell.
    fn turn(&mut self, t: usize, desk: &Desk<'_>, machine: &Runtime) -> Turn {
        match self.clients.get_mut(&t) {
            None => Turn::Drained,
            Some(_) if self.waiting.contains(&t) => Turn::Drained,
            Some(Client { fd, route: Some(route), .. }) => {
                // It asks no more. What it sends, and its end, end it.
                match recv(fd.as_raw_fd(), &mut self.packet, MsgFlags::empty()) {
                    Err(LinuxErrno::EAGAIN | LinuxErrno::EINTR) => route.tell(fd),
                    _ => Turn::Gone,
                }
            }
            Some(_) => self.answer(t, desk, machine),
        }
    }

    /// The client listens from now on.
    fn listen(&mut self, t: usize, desk: &Desk<'_>, machine: &Runtime) -> Reply {
        let (Some(client), Some(waker)) = (self.clients.get_mut(&t), &self.waker) else {
            return Reply::error(Errno::ENXIO);
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        if desk.watch_again(&client.fd, t, both).is_err() {
            return Reply::error(Errno::ENOBUFS);
        }
        let waker = waker.clone();
        // A poll that cannot be woken has ended, and with it the machine.
        let listener = machine.listen(Box::new(move || drop(waker.wake())));
        client.route = Some(RouteSocket { listener, held: None });
        Reply { error: None, arg: Vec::new(), data: Vec::new() }
    }

    /// Answers one request. Who does not read its answers is gone.
    fn answer(&mut self, t: usize, desk: &Desk<'_>, machine: &Runtime) -> Turn {
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
        let cred = client.cred;
        let reply = match Request::from_bytes(&self.packet[..n]) {
            Ok(Request { op: Op::Takeover, cmd, arg, .. }) if cred.privileged => {
                match self.would_take_over(t, cmd, &arg) {
                    // Others have a say in it.
                    Ok(left) => return left,
                    Err(refusal) => refusal,
                }
            }
            Ok(Request { op: Op::Takeover, .. }) => Reply::error(Errno::EPERM),
            Ok(Request { op: Op::Route, .. }) => self.listen(t, desk, machine),
            Ok(Request { op: Op::Reload, .. }) if cred.privileged => match self.would_reload(t, desk) {
                None => return Turn::Drained,
                Some(refusal) => refusal,
            },
            Ok(Request { op: Op::Reload, .. }) => Reply::error(Errno::EPERM),
            Ok(req) => machine.syscall(cred, req),
            Err(e) => Reply::error(e),
        };
        // A key may have been in it, or be in the answer.
        self.packet[..n].zeroize();
        self.waiting.insert(t);
        self.answers.push((t, reply));
        Turn::Drained
    }

    /// Sends an answer, and then there may be another question. Who has left meanwhile
    /// gets none.
    fn tell(&mut self, t: usize, mut reply: Reply) {
        self.waiting.remove(&t);
        let Some(client) = self.clients.get(&t) else { return };
        let mut bytes = reply.to_bytes();
        let sent = send(client.fd.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL);
        bytes.zeroize();
        reply.data.zeroize();
        match sent {
            Ok(_) => drop(self.ready.insert(t)),
            Err(_) => self.drop_client(t),
        }
    }

    /// The client waits from now on, unless it is refused.
    fn would_reload(&mut self, t: usize, desk: &Desk<'_>) -> Option<Reply> {
        if let Err(refusal) = self.configuration.borrow_mut().ask(Some(t)) {
            return Some(refusal.to_reply());
        }
        self.waiting.insert(t);
        // Who begins it had its turn before this one.
        match desk.waker().wake() {
            Ok(()) => None,
            Err(_) => Some(Reply::error(Errno::ENXIO)),
        }
    }

    /// Tells what has come of it.
    fn answer_reloads(&mut self) {
        let answers = self.configuration.borrow_mut().answers();
        self.answers.extend(answers.into_iter().map(|(t, report)| (t, report.to_reply())));
    }

    /// One at a time. Who has asked for the last step asks nothing more here.
    fn would_take_over(&mut self, t: usize, cmd: u32, arg: &[u8]) -> Result<Turn, Reply> {
        let Some(client) = self.clients.get(&t).filter(|_| self.heir.is_none()) else {
            return Err(Reply::error(Errno::EBUSY));
        };
        // It gets all keys, and is the service manager's main process from then on: that
        // is more than to change the configuration.
        let peer = getsockopt(&client.fd, PeerCredentials).map_err(|_| Reply::error(Errno::EPERM))?;
        if peer.uid() != 0 && peer.uid() != nix::unistd::geteuid().as_raw() {
            return Err(Reply::error(Errno::EPERM));
        }
        let pid = peer.pid().unsigned_abs();
        let fd = client.fd.try_clone().map_err(|_| Reply::error(Errno::ENOBUFS))?;
        let heir = Heir::asks(cmd, arg, fd, pid)?;
        let left = if heir.is_last() { Turn::Gone } else { Turn::Drained };
        self.heir = Some(heir);
        Ok(left)
    }

    /// Closing takes the descriptor out of the poll too.
    fn drop_client(&mut self, t: usize) {
        self.clients.remove(&t);
        self.ready.remove(&t);
        self.waiting.remove(&t);
    }
}

impl Part for ControlSocket {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        self.waker = Some(desk.waker());
        self.door.listener().map_or(Ok(()), |l| desk.watch(l, LISTENER, Interest::READABLE))
    }

    /// Not at all while somebody is still to be answered, a moment when the
    /// listener had trouble.
    fn patience(&self, _: Time) -> Option<Duration> {
        if !self.ready.is_empty() || !self.answers.is_empty() {
            Some(Duration::ZERO)
        } else {
            self.door.patience()
        }
    }

    /// Accepts whoever has come, and answers one request of everybody that
    /// has one.
    fn serve(&mut self, turn: &PartTurn<'_>) -> io::Result<Flow> {
        self.due.append(&mut self.answers);
        let accept = self.door.take_again() || turn.ready.contains(&LISTENER);
        self.ready.extend(turn.ready.iter().filter(|t| **t != LISTENER));
        if turn.woken {
            let told = self.clients.iter().filter(|(_, c)| c.route.is_some());
            self.ready.extend(told.map(|(t, _)| *t));
        }
        if accept {
            self.accept(&turn.desk);
        }
        self.answer_reloads();
        for t in core::mem::take(&mut self.ready) {
            match self.turn(t, &turn.desk, turn.machine) {
                Turn::More => {
                    self.ready.insert(t);
                }
                Turn::Drained => {}
                Turn::Gone => self.drop_client(t),
            }
        }
        Ok(Flow::Continue)
    }

    fn settled(&mut self) {
        for (t, reply) in core::mem::take(&mut self.due) {
            self.tell(t, reply);
        }
    }

    fn heir(&mut self) -> Option<Heir> {
        self.heir.take()
    }

    fn close(&mut self) {
        self.due.append(&mut self.answers);
        self.settled();
        self.door.close();
        self.heir = None;
        self.clients.clear();
    }

    fn inherit(&mut self, _: &mut Estate) -> io::Result<()> {
        self.lock.own();
        Ok(())
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        match step {
            Step::Met(estate) => match self.door.listener() {
                Some(listener) => estate.lend(SUCCESSION, &[listener, &self.lock]),
                None => Ok(()),
            },
            Step::Frozen(estate) => self.configuration.borrow().bequeath(estate),
            _ => Ok(()),
        }
    }
}

impl RouteSocket {
    /// Sends what there is and what the socket has room for. When it has none
    /// the poll tells when it has again.
    fn tell(&mut self, fd: &OwnedFd) -> Turn {
        loop {
            let Some(packet) = self.held.take().or_else(|| self.listener.next().map(packet_of)) else {
                return Turn::Drained;
            };
            match send(fd.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => {}
                Err(LinuxErrno::EINTR) => self.held = Some(packet),
                Err(LinuxErrno::EAGAIN) => {
                    self.held = Some(packet);
                    return Turn::Drained;
                }
                Err(_) => return Turn::Gone,
            }
        }
    }
}

fn packet_of(heard: Heard) -> Vec<u8> {
    let reply = match heard {
        Heard::Message(m) => Reply { error: None, arg: Vec::new(), data: m.to_vec() },
        Heard::Lost(n) => Reply { error: None, arg: n.to_ne_bytes().to_vec(), data: Vec::new() },
    };
    reply.to_bytes()
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
        if self.lock.is_own() {
            let _ = fs::remove_file(&self.path);
        }
    }
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
