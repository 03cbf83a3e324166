//! The event socket: whoever connects reads what the carp interfaces do, a line
//! of JSON each. It begins with how they are. Nobody can say anything here.
//!
//! Lines wait for a slow reader up to a bound. What comes then is counted, and
//! told as soon as the rest is read, with how things are by then.

use super::access::Access;
use super::door::Door;
use super::json::{self, Wall};
use super::lock::{Lock, folder_of, remove_stale};
use super::parts::{Desk, Flow, Part, Turn};
use super::succession::{Estate, Step};
use compat::sys::time::Time;
use mio::Interest;
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket,
};
use nix::unistd::geteuid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Readers at one time.
const MAX_CLIENTS: usize = 128;
/// Readers of one user who is not privileged.
const MAX_PER_USER: usize = 16;
/// Bytes that wait for one reader, beside what the kernel keeps for it.
const MAX_WAITING: usize = 256 * 1024;
const LISTENER: usize = 0;
/// What a successor finds its descriptors by.
const SUCCESSION: &str = "event socket";

/// A listening socket, and whoever reads.
pub struct EventSocket {
    path: PathBuf,
    lock: Lock,
    door: Door<UnixListener>,
    clients: BTreeMap<usize, Client>,
    next: usize,
}

struct Client {
    stream: UnixStream,
    uid: u32,
    privileged: bool,
    /// It has read nothing yet.
    new: bool,
    waiting: Waiting,
}

/// What one reader has still to read.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that it was not given, until it is told how things are. Once there
    /// are any, none is.
    missed: Option<u64>,
}

impl Waiting {
    fn push(&mut self, line: &[u8]) {
        if self.missed.is_some() || self.bytes.len() + line.len() > MAX_WAITING {
            *self.missed.get_or_insert(0) += 1;
        } else {
            self.bytes.extend_from_slice(line);
        }
    }

    /// As much as `to` takes.
    fn flush(&mut self, to: &mut impl Write) -> io::Result<()> {
        let mut sent = 0;
        let done = loop {
            match self.bytes.get(sent..).filter(|rest| !rest.is_empty()).map(|rest| to.write(rest)) {
                None => break Ok(()),
                Some(Ok(0)) => break Err(io::ErrorKind::WriteZero.into()),
                Some(Ok(n)) => sent += n,
                Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(e)) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Some(Err(e)) => break Err(e),
            }
        };
        self.bytes.drain(..sent);
        done
    }
}

impl EventSocket {
    /// Listens, for whoever may connect to the control socket. A socket that a dead
    /// netisrd left is replaced.
    pub fn bind(path: &Path, access: Access) -> io::Result<EventSocket> {
        let lock = Lock::take(path)?;
        remove_stale(path)?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        let named = |e: Errno| io::Error::other(format!("{}: {}", path.display(), e.desc()));
        bind(listener.as_raw_fd(), &UnixAddr::new(path)?).map_err(named)?;
        access.apply(path)?;
        listen(&listener, Backlog::MAXCONN)?;
        Ok(EventSocket::on(path, UnixListener::from(listener), lock))
    }

    /// Listens on the socket of a netisrd that this one follows.
    ///
    /// # Errors
    /// It is another socket.
    pub fn inherit(path: &Path, estate: &mut Estate) -> io::Result<EventSocket> {
        let was: Option<PathBuf> = estate.take(SUCCESSION)?;
        let Some([listener, lock]) = estate.descriptors(SUCCESSION)?.filter(|_| was.as_deref() == Some(path))
        else {
            let was = was.unwrap_or_default();
            let what = format!("takeover: the event socket was {}: it stays where it is", was.display());
            return Err(io::Error::other(what));
        };
        Ok(EventSocket::on(path, UnixListener::from(listener), Lock::inherit(path, lock)))
    }

    fn on(path: &Path, listener: UnixListener, lock: Lock) -> EventSocket {
        EventSocket {
            path: path.to_path_buf(),
            lock,
            door: Door::new("event socket", listener),
            clients: BTreeMap::new(),
            next: LISTENER + 1,
        }
    }

    /// Where it is, and its lock.
    pub fn folder(&self) -> PathBuf {
        folder_of(&self.path)
    }

    fn accept(&mut self, desk: &Desk<'_>) {
        while let Some((stream, _)) = self.door.next(UnixListener::accept) {
            if let Err(e) = self.welcome(desk, stream) {
                tracing::debug!("event socket: {e}");
            }
        }
    }

    /// Takes a reader, if its user may have one more. The privileged are never
    /// turned away: the oldest of the others makes room.
    fn welcome(&mut self, desk: &Desk<'_>, stream: UnixStream) -> io::Result<()> {
        let uid = getsockopt(&stream, PeerCredentials)?.uid();
        let privileged = uid == 0 || uid == geteuid().as_raw();
        let of_user = self.clients.values().filter(|c| c.uid == uid).count();
        if !privileged && (of_user >= MAX_PER_USER || self.clients.len() >= MAX_CLIENTS) {
            return Err(io::Error::other(format!("uid {uid} has too many connections")));
        }
        if self.clients.len() >= MAX_CLIENTS {
            let oldest = self.clients.iter().min_by_key(|(t, c)| (c.privileged, **t)).map(|(t, _)| *t);
            oldest.into_iter().for_each(|t| drop(self.clients.remove(&t)));
        }
        stream.set_nonblocking(true)?;
        let t = self.next;
        self.next += 1;
        desk.watch(&stream, t, Interest::READABLE | Interest::WRITABLE)?;
        let waiting = Waiting { bytes: Vec::new(), missed: Some(0) };
        self.clients.insert(t, Client { stream, uid, privileged, new: true, waiting });
        Ok(())
    }
}

impl Client {
    /// Sends what there is and what its socket has room for. Whoever has read
    /// all that waited, and has missed something, learns how things are: as soon
    /// as somebody has looked.
    fn tell(&mut self, turn: &Turn<'_>, wall: &Wall) -> io::Result<()> {
        self.waiting.flush(&mut self.stream)?;
        if !self.waiting.bytes.is_empty() {
            return Ok(());
        }
        if let Some(missed) = self.waiting.missed.take_if(|_| turn.woken) {
            if !core::mem::take(&mut self.new) {
                self.waiting.bytes = json::missed(missed, wall)?;
            }
            self.waiting.bytes.extend(json::snapshot(turn.watcher, wall)?);
            self.waiting.flush(&mut self.stream)?;
        }
        if self.waiting.missed.is_some() {
            turn.desk.waker().wake()?;
        }
        Ok(())
    }

    /// It has said something, or has hung up.
    fn is_done(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 1]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return !matches!(other, Err(e) if e.kind() == io::ErrorKind::WouldBlock),
            }
        }
    }
}

impl Part for EventSocket {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        self.door.listener().map_or(Ok(()), |l| desk.watch(l, LISTENER, Interest::READABLE))
    }

    fn patience(&self, _: Time) -> Option<Duration> {
        self.door.patience()
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let mut due: BTreeSet<usize> = turn.ready.iter().copied().collect();
        if turn.woken {
            due.extend(self.clients.iter().filter(|(_, c)| c.waiting.missed.is_some()).map(|(t, _)| *t));
        }
        let wall = Wall::at(turn.now);
        if !self.clients.is_empty() && !turn.changes.is_empty() {
            let lines = json::changes(turn, &wall)?;
            for (t, c) in &mut self.clients {
                lines.iter().for_each(|line| c.waiting.push(line));
                due.insert(*t);
            }
        }
        if self.door.take_again() || due.contains(&LISTENER) {
            let first = self.next;
            self.accept(&turn.desk);
            due.extend(self.clients.range(first..).map(|(t, _)| *t));
        }
        for t in due {
            let Some(c) = self.clients.get_mut(&t) else { continue };
            if c.is_done() || c.tell(turn, &wall).is_err() {
                self.clients.remove(&t);
            }
        }
        Ok(Flow::Continue)
    }

    fn close(&mut self) {
        self.door.close();
        self.clients.clear();
    }

    fn inherit(&mut self, _: &mut Estate) -> io::Result<()> {
        self.lock.own();
        Ok(())
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        let (Step::Met(estate), Some(listener)) = (step, self.door.listener()) else { return Ok(()) };
        estate.put(SUCCESSION, &self.path)?;
        estate.lend(SUCCESSION, &[listener, &self.lock])
    }
}

impl Drop for EventSocket {
    fn drop(&mut self) {
        // It does not hinder the next start if it stays.
        if self.lock.is_own() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A socket that takes so many bytes and no more.
    struct Narrow(usize, Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            match buf.len().min(self.0) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                n => {
                    self.0 -= n;
                    self.1.extend_from_slice(&buf[..n]);
                    Ok(n)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_the_rest_stays_in_order() {
        let mut waiting = Waiting::default();
        let line = vec![b'x'; MAX_WAITING / 4];
        (0..7).for_each(|_| waiting.push(&line));
        assert_eq!((waiting.bytes.len(), waiting.missed), (4 * line.len(), Some(3)));
        let mut narrow = Narrow(line.len() + 5, Vec::new());
        waiting.flush(&mut narrow).unwrap();
        assert_eq!((waiting.bytes.len(), narrow.1.len()), (3 * line.len() - 5, line.len() + 5));
        // There is room again, but what was missed comes first.
        waiting.push(b"y");
        assert_eq!(waiting.missed, Some(4));
        narrow.0 = usize::MAX;
        waiting.flush(&mut narrow).unwrap();
        assert_eq!((waiting.bytes.len(), narrow.1.len()), (0, 4 * line.len()));
    }
}
