//! The connection between both: messages of any length in packets of a
//! `SOCK_SEQPACKET` socket, and descriptors.

use super::Estate;
use crate::dev::sys;
use nix::errno::Errno as Linux;
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg, setsockopt};
use nix::sys::time::TimeVal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// On a connection, on which no wait is longer than `patience` from now on.
    pub(super) fn on(fd: OwnedFd, patience: Duration) -> io::Result<Channel> {
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(false)?;
        let channel = Channel(OwnedFd::from(stream));
        channel.wait_at_most(patience)?;
        Ok(channel)
    }

    /// Gives it back to whoever waits for nothing.
    pub(super) fn release(self) -> io::Result<()> {
        UnixStream::from(self.0).set_nonblocking(true)
    }

    pub(super) fn wait_at_most(&self, patience: Duration) -> io::Result<()> {
        let micros = i64::try_from(patience.as_micros()).map_err(io::Error::other)?;
        let limit = TimeVal::new(micros / 1_000_000, micros % 1_000_000);
        setsockopt(&self.0, ReceiveTimeout, &limit)?;
        setsockopt(&self.0, SendTimeout, &limit)?;
        Ok(())
    }

    pub(super) fn send(&self, what: &impl Serialize) -> io::Result<()> {
        let bytes = Zeroizing::new(serde_json::to_vec(what)?);
        let count = bytes.len().div_ceil(CHUNK);
        for (n, chunk) in bytes.chunks(CHUNK).enumerate() {
            let mut packet = Zeroizing::new(Vec::with_capacity(chunk.len() + 1));
            packet.push(if n + 1 == count { LAST } else { MORE });
            packet.extend_from_slice(chunk);
            self.send_packet(&packet)?;
        }
        Ok(())
    }

    /// One packet as it is.
    pub(super) fn send_packet(&self, packet: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL).map_err(said)?;
        Ok(())
    }

    /// `WouldBlock` after the longest wait, `UnexpectedEof` when the other end is
    /// gone.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<T> {
        let mut bytes = Zeroizing::new(Vec::new());
        loop {
            let mut packet = Zeroizing::new(vec![0; CHUNK + 1]);
            let n = self.receive_packet(&mut packet)?;
            match packet.get(..n) {
                Some([more, chunk @ ..]) if bytes.len() + chunk.len() <= MESSAGE_MAX => {
                    bytes.extend_from_slice(chunk);
                    if *more == LAST {
                        return Ok(serde_json::from_slice(&bytes)?);
                    }
                }
                _ => return Err(io::Error::other("a message that makes no sense")),
            }
        }
    }

    pub(super) fn receive_packet(&self, packet: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.0.as_raw_fd(), packet, MsgFlags::empty()) {
                Ok(0) => return Err(said(Linux::EPIPE)),
                Ok(n) => return Ok(n),
                Err(Linux::EINTR) => {}
                Err(e) => return Err(said(e)),
            }
        }
    }

    pub(super) fn send_estate(&self, estate: Estate) -> io::Result<()> {
        let Estate { facts, descriptors } = estate;
        let counts = descriptors.iter().map(|(name, all)| (name.clone(), all.len()));
        let mut listed = Listed { facts, descriptors: counts.collect() };
        let sent = self.send(&listed);
        listed.facts.values_mut().for_each(wipe);
        sent?;
        for fd in descriptors.values().flatten() {
            let rights = [ControlMessage::ScmRights(&[fd.as_raw_fd()])];
            let (this, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
            sendmsg::<()>(this, &[IoSlice::new(&[LAST])], &rights, flags, None).map_err(said)?;
        }
        Ok(())
    }

    pub(super) fn receive_estate(&self) -> io::Result<Estate> {
        let Listed { facts, descriptors } = self.receive()?;
        let mut estate = Estate { facts, ..Estate::default() };
        for (name, count) in descriptors {
            let all = (0..count).map(|_| sys::receive_fd(self.0.as_fd()).map_err(said));
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
        let sender = std::thread::spawn(move || a.send_estate(estate).map(|()| a));
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
        b.send(&Word::Ready).unwrap();
        assert_eq!(a.receive::<Word>().unwrap(), Word::Ready);
        drop(b);
        assert_eq!(a.receive::<Word>().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn another_number_of_descriptors_is_an_error_and_none_is_none() {
        let mut estate = Estate::default();
        estate.lend("one", &[&std::io::stdin()]).unwrap();
        assert!(estate.descriptors::<1>("none").unwrap().is_none());
        assert!(estate.descriptors::<2>("one").is_err());
    }
}
