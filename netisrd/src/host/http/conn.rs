//! One connection: a request, an answer, the end. Each step has its time.

use super::request::{Parsed, REQUEST_MAX, Request, Status, TIMEOUT, parse};
use super::response;
use compat::sys::time::Time;
use mio::net::TcpStream;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

/// For a request to come.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// For an answer to be taken.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// For the client to hang up, so that it reads all before it hears of the end.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// What a stream says when nothing happens, so that a dead client is found.
const KEEPALIVE_TIME: Duration = Duration::from_secs(15);
/// Bytes that wait for the reader of a stream.
const STREAM_MAX: usize = 256 * 1024;
/// Bytes of which a client that lingers is rid.
const LINGER_MAX: usize = 64 * 1024;

/// Where a connection is.
enum Step {
    /// A request is to come.
    Read(Vec<u8>),
    /// It is there, and waits for an answer.
    Asked(Request),
    /// The answer is on its way.
    Write,
    /// A stream of events, as long as the client likes.
    Stream,
    /// All is said.
    Linger(usize),
}

pub(super) struct Conn {
    pub(super) stream: TcpStream,
    step: Step,
    /// What is to be sent.
    out: Vec<u8>,
    /// When its step is over; of a stream, when something is to be said.
    until: Time,
}

/// What a turn has made of a connection.
#[derive(PartialEq, Eq)]
pub(super) enum Is {
    Open,
    /// It waits for [`Conn::answer`].
    Asking,
    Gone,
}

impl Conn {
    pub(super) fn new(stream: TcpStream, now: Time) -> Conn {
        Conn { stream, step: Step::Read(Vec::new()), out: Vec::new(), until: now + REQUEST_TIME }
    }

    /// When it is due even if nothing comes.
    pub(super) fn until(&self) -> Time {
        self.until
    }

    /// Whether it waits for its client, who may be in no hurry: the lower, the less
    /// there is to lose.
    pub(super) fn idleness(&self) -> Option<u8> {
        match self.step {
            Step::Linger(_) => Some(0),
            Step::Read(_) => Some(1),
            Step::Write => Some(2),
            Step::Asked(_) | Step::Stream => None,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.step, Step::Stream)
    }

    /// What it asks for, if it does.
    pub(super) fn asks(&self) -> Option<&Request> {
        match &self.step {
            Step::Asked(request) => Some(request),
            _ => None,
        }
    }

    /// The answer: all of it.
    pub(super) fn answer(&mut self, bytes: Vec<u8>, now: Time) {
        (self.out, self.step, self.until) = (bytes, Step::Write, now + ANSWER_TIME);
    }

    /// The beginning of an answer that has no end.
    pub(super) fn answer_stream(&mut self, bytes: Vec<u8>, now: Time) {
        (self.out, self.step, self.until) = (bytes, Step::Stream, now + KEEPALIVE_TIME);
    }

    /// More of it. One who does not read is gone: the page begins anew.
    pub(super) fn say(&mut self, bytes: &[u8], now: Time) -> Is {
        if self.out.len() + bytes.len() > STREAM_MAX {
            return Is::Gone;
        }
        self.out.extend_from_slice(bytes);
        self.until = now + KEEPALIVE_TIME;
        Is::Open
    }

    /// Does what it can.
    pub(super) fn turn(&mut self, now: Time) -> Is {
        if self.expire(now) == Is::Gone {
            return Is::Gone;
        }
        loop {
            let before = core::mem::discriminant(&self.step);
            match self.step(now) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Is::Gone,
            }
            if core::mem::discriminant(&self.step) == before {
                break;
            }
        }
        match self.step {
            Step::Asked(_) => Is::Asking,
            _ => Is::Open,
        }
    }

    fn refuse(&mut self, status: Status, now: Time) {
        self.answer(response::status(status, false), now);
    }

    /// Its time may be over.
    fn expire(&mut self, now: Time) -> Is {
        if self.until > now {
            return Is::Open;
        }
        match self.step {
            Step::Read(_) => {
                self.refuse(TIMEOUT, now);
                Is::Open
            }
            Step::Stream => self.say(b":\n\n", now),
            Step::Asked(_) | Step::Write | Step::Linger(_) => Is::Gone,
        }
    }

    /// One step further, or not; `false` at the end.
    fn step(&mut self, now: Time) -> io::Result<bool> {
        match &mut self.step {
            Step::Read(bytes) => {
                let end = !read(&mut self.stream, REQUEST_MAX, bytes)?;
                match parse(bytes) {
                    Parsed::Partial => return Ok(!end),
                    Parsed::Request(request) => {
                        (self.step, self.until) = (Step::Asked(request), now + ANSWER_TIME);
                    }
                    Parsed::Bad(status) => self.refuse(status, now),
                }
            }
            Step::Asked(_) => {}
            Step::Write => {
                if write(&mut self.stream, &mut self.out)? {
                    self.stream.shutdown(Shutdown::Write)?;
                    (self.step, self.until) = (Step::Linger(0), now + LINGER_TIME);
                }
            }
            Step::Stream => {
                // Whatever it says is no request.
                let alive = read(&mut self.stream, LINGER_MAX, &mut Vec::new())?;
                write(&mut self.stream, &mut self.out)?;
                return Ok(alive);
            }
            Step::Linger(rid) => {
                let mut bytes = Vec::new();
                let alive = read(&mut self.stream, LINGER_MAX, &mut bytes)?;
                *rid += bytes.len();
                return Ok(alive && *rid < LINGER_MAX);
            }
        }
        Ok(true)
    }
}

/// What has come, up to `max` bytes in all; `false` at the end.
fn read(stream: &mut TcpStream, max: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    while bytes.len() < max {
        let room = buffer.len().min(max - bytes.len());
        match stream.read(&mut buffer[..room]) {
            Ok(0) => return Ok(false),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// As much as there is room for; whether that was all.
fn write(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    bytes.drain(..sent);
    Ok(bytes.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A connection, and its client.
    fn pair() -> (Conn, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (Conn::new(TcpStream::from_std(server), Time(0)), client)
    }

    #[test]
    fn each_step_has_its_time() {
        let (mut conn, mut client) = pair();
        assert!(conn.turn(Time(0)) == Is::Open && conn.idleness() == Some(1));
        let late = Time(0) + REQUEST_TIME;
        assert!(conn.turn(late) == Is::Open && conn.idleness() == Some(0));
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
        assert_eq!(conn.until(), late + LINGER_TIME);
        assert!(conn.turn(late + LINGER_TIME) == Is::Gone);

        // Who does not take an answer in its time is gone.
        let (mut conn, _client) = pair();
        conn.answer(vec![0; 64 << 20], Time(0));
        assert!(conn.turn(Time(1)) == Is::Open && !conn.out.is_empty());
        assert!(conn.turn(Time(0) + ANSWER_TIME) == Is::Gone);
    }

    #[test]
    fn a_stream_lives_while_it_is_read_and_says_something_now_and_then() {
        let (mut conn, mut client) = pair();
        conn.answer_stream(b"begin".to_vec(), Time(0));
        assert!(conn.turn(Time(0)) == Is::Open && conn.is_stream());
        let later = Time(0) + KEEPALIVE_TIME;
        assert!(conn.turn(later) == Is::Open);
        let mut heard = [0; 8];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"begin:\n\n");
        assert_eq!(conn.until(), later + KEEPALIVE_TIME);
        // More than waits for anybody.
        assert!(conn.say(&[0; STREAM_MAX], later) == Is::Open);
        assert!(conn.say(b"x", later) == Is::Gone);
        let (mut conn, client) = pair();
        conn.answer_stream(b"begin".to_vec(), Time(0));
        drop(client);
        while conn.turn(Time(1)) != Is::Gone {}
    }
}
