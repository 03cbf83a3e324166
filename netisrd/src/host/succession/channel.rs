//! The connection between both: messages of any length in packets of a
//! `SOCK_SEQPACKET` socket, and descriptors. Neither end can be kept waiting for
//! longer than it likes, all in all, by whatever the other one sends or does not read.

use super::Estate;
use crate::dev::sys;
use crate::host::clock::MonotonicClock;
use compat::sys::time::{Clock, Time};
use nix::errno::Errno as Linux;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a packet.
const CHUNK: usize = 32 * 1024;
/// Bytes of a message: a machine of 255 virtual hosts with a hundred addresses each.
const MESSAGE_MAX: usize = 64 << 20;
/// A packet that is not the last one of its message.
const MORE: u8 = 0;
const LAST: u8 = 1;
/// Bytes of a [`Word`].
const WORD_MAX: usize = 64;
/// How often whoever waits may do something else.
const PACE: Duration = Duration::from_millis(50);

/// What is done meanwhile, whose failure ends the wait.
pub(super) type Meanwhile<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Nothing is.
pub(super) fn idle() -> io::Result<()> {
    Ok(())
}

/// What both say beside estates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// The successor: it could go on.
    Ready,
    /// The predecessor: it is to.
    Yours,
}

/// An estate without its descriptors: how many there are of each name.
#[derive(Serialize, Deserialize)]
struct Listed {
    facts: BTreeMap<String, Value>,
    descriptors: Vec<(String, usize)>,
}

/// One end.
pub(super) struct Channel {
    fd: OwnedFd,
    clock: MonotonicClock,
    until: Cell<Time>,
}

impl Channel {
    /// On a connection, for the other end of which it waits so long.
    pub(super) fn on(fd: OwnedFd, patience: Duration) -> io::Result<Channel> {
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(true)?;
        let channel = Channel {
            fd: OwnedFd::from(stream),
            clock: MonotonicClock::start(),
            until: Cell::new(Time::default()),
        };
        channel.wait_at_most(patience);
        Ok(channel)
    }

    /// From now on, all in all.
    pub(super) fn wait_at_most(&self, patience: Duration) {
        self.until.set(self.clock.now() + patience);
    }

    fn left(&self) -> io::Result<Duration> {
        match self.until.get() - self.clock.now() {
            Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long")),
            left => Ok(left),
        }
    }

    /// Does it as soon as the socket lets it, in the time that is left.
    fn when_ready<T>(
        &self,
        for_what: PollFlags,
        meanwhile: Meanwhile<'_>,
        mut done: impl FnMut() -> nix::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = self.left()?.min(PACE);
            match done() {
                Err(Linux::EAGAIN) => {}
                Err(Linux::EINTR) => continue,
                other => return other.map_err(said),
            }
            // A part of a millisecond is waited for, not spun through.
            let left = PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.fd.as_fd(), for_what)], left) {
                Ok(0) => meanwhile()?,
                Ok(_) | Err(Linux::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    pub(super) fn send(&self, what: &impl Serialize, meanwhile: Meanwhile<'_>) -> io::Result<()> {
        let bytes = Zeroizing::new(serde_json::to_vec(what)?);
        let count = bytes.len().div_ceil(CHUNK);
        for (n, chunk) in bytes.chunks(CHUNK).enumerate() {
            let mut packet = Zeroizing::new(Vec::with_capacity(chunk.len() + 1));
            packet.push(if n + 1 == count { LAST } else { MORE });
            packet.extend_from_slice(chunk);
            self.send_packet(&packet, meanwhile)?;
        }
        Ok(())
    }

    /// One packet as it is.
    pub(super) fn send_packet(&self, packet: &[u8], meanwhile: Meanwhile<'_>) -> io::Result<()> {
        let send = || send(self.fd.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL);
        self.when_ready(PollFlags::POLLOUT, meanwhile, send).map(drop)
    }

    /// `TimedOut` when the time is over, `UnexpectedEof` when the other end is gone.
    pub(super) fn receive_word(&self, meanwhile: Meanwhile<'_>) -> io::Result<Word> {
        self.receive(WORD_MAX, meanwhile)
    }

    fn receive<T: DeserializeOwned>(&self, max: usize, meanwhile: Meanwhile<'_>) -> io::Result<T> {
        let mut bytes = Zeroizing::new(Vec::new());
        loop {
            let mut packet = Zeroizing::new(vec![0; CHUNK + 1]);
            let n = self.receive_packet(&mut packet, meanwhile)?;
            match packet.get(..n) {
                Some([more, chunk @ ..]) if !chunk.is_empty() && bytes.len() + chunk.len() <= max => {
                    bytes.extend_from_slice(chunk);
                    if *more == LAST {
                        return Ok(serde_json::from_slice(&bytes)?);
                    }
                }
                _ => return Err(io::Error::other("a message that makes no sense")),
            }
        }
    }

    pub(super) fn receive_packet(&self, packet: &mut [u8], meanwhile: Meanwhile<'_>) -> io::Result<usize> {
        let recv = || recv(self.fd.as_raw_fd(), packet, MsgFlags::empty());
        match self.when_ready(PollFlags::POLLIN, meanwhile, recv)? {
            0 => Err(said(Linux::EPIPE)),
            n => Ok(n),
        }
    }

    pub(super) fn send_estate(&self, estate: Estate, meanwhile: Meanwhile<'_>) -> io::Result<()> {
        let Estate { facts, descriptors } = estate;
        let counts = descriptors.iter().map(|(name, all)| (name.clone(), all.len()));
        let mut listed = Listed { facts, descriptors: counts.collect() };
        let sent = self.send(&listed, meanwhile);
        listed.facts.values_mut().for_each(wipe);
        sent?;
        for fd in descriptors.values().flatten() {
            let rights = [ControlMessage::ScmRights(&[fd.as_raw_fd()])];
            let (this, flags) = (self.fd.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
            let send = || sendmsg::<()>(this, &[IoSlice::new(&[LAST])], &rights, flags, None);
            self.when_ready(PollFlags::POLLOUT, meanwhile, send)?;
        }
        Ok(())
    }

    pub(super) fn receive_estate(&self) -> io::Result<Estate> {
        let Listed { facts, descriptors } = self.receive(MESSAGE_MAX, &mut idle)?;
        let mut estate = Estate { facts, ..Estate::default() };
        for (name, count) in descriptors {
            let receive = || sys::receive_fd(self.fd.as_fd());
            let all = (0..count).map(|_| self.when_ready(PollFlags::POLLIN, &mut idle, receive));
            estate.descriptors.insert(name, all.collect::<io::Result<_>>()?);
        }
        Ok(estate)
    }
}

/// However it is noticed that the other end is gone.
fn said(e: Linux) -> io::Error {
    match e {
        Linux::EPIPE | Linux::ECONNRESET => io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"),
        e => e.into(),
    }
}

/// A key may be in it.
fn wipe(fact: &mut Value) {
    match fact {
        Value::String(text) => text.zeroize(),
        Value::Array(all) => all.iter_mut().for_each(wipe),
        Value::Object(all) => all.values_mut().for_each(wipe),
        Value::Number(n) => *n = 0.into(),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::fs::File;
    use std::io::{Read, Write};

    fn pair() -> (Channel, Channel) {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let patience = Duration::from_secs(60);
        (Channel::on(a, patience).unwrap(), Channel::on(b, patience).unwrap())
    }

    #[test]
    fn an_estate_of_any_size_arrives_with_its_descriptors_in_order() {
        let (a, b) = pair();
        let long = "x".repeat(5 * CHUNK + 3);
        let mut estate = Estate::default();
        estate.put("long", &long).unwrap();
        estate.put("key", &[7u8; 20]).unwrap();
        let (mut read, write) = std::io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        estate.lend("pipe", &[&write, &null]).unwrap();
        drop(write);
        let sender = std::thread::spawn(move || a.send_estate(estate, &mut idle).map(|()| a));
        let mut got = b.receive_estate().unwrap();
        let a = sender.join().unwrap().unwrap();
        assert_eq!(got.take::<String>("long").unwrap(), Some(long));
        assert_eq!(got.take::<[u8; 20]>("key").unwrap(), Some([7; 20]));
        assert_eq!(got.take::<u8>("key").unwrap(), None);
        let [write, _null] = got.descriptors("pipe").unwrap().unwrap();
        File::from(write).write_all(b"hi").unwrap();
        let mut heard = String::new();
        read.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hi");
        b.send(&Word::Ready, &mut idle).unwrap();
        assert_eq!(a.receive_word(&mut idle).unwrap(), Word::Ready);
        drop(b);
        assert_eq!(a.receive_word(&mut idle).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn whoever_says_more_than_a_word_or_goes_on_and_on_is_not_heard_out() {
        let no_sense = "a message that makes no sense";
        for packet in [&[MORE][..], &[MORE, b' '], &[LAST; WORD_MAX + 2]] {
            let (a, b) = pair();
            (0..WORD_MAX + 2).for_each(|_| a.send_packet(packet, &mut idle).unwrap());
            assert_eq!(b.receive_word(&mut idle).unwrap_err().to_string(), no_sense);
        }
        let (a, b) = pair();
        // Of time there is no more than there is, however much there is to be heard.
        b.wait_at_most(Duration::ZERO);
        a.send(&Word::Ready, &mut idle).unwrap();
        assert_eq!(b.receive_word(&mut idle).unwrap_err().kind(), io::ErrorKind::TimedOut);
        // And of room: nobody reads. What is to be done meanwhile is.
        b.wait_at_most(4 * PACE);
        let (mut times, full) = (0, vec![0; CHUNK]);
        let mut meanwhile = || {
            times += 1;
            Ok(())
        };
        let stopped = (0..).find_map(|_| b.send_packet(&full, &mut meanwhile).err());
        assert_eq!(stopped.map(|e| e.kind()), Some(io::ErrorKind::TimedOut));
        assert!(times > 0);
    }

    #[test]
    fn another_number_of_descriptors_is_an_error_and_none_is_none() {
        let mut estate = Estate::default();
        estate.lend("one", &[&std::io::stdin()]).unwrap();
        assert!(estate.descriptors::<1>("none").unwrap().is_none());
        assert!(estate.descriptors::<2>("one").is_err());
    }
}
