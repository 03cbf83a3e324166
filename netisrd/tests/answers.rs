//! What a command returns to is done, by every part of the daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use clap::Parser;
use compat::net::if_::{IfName, IfReq};
use compat::sys::ctlsock::{Op, Reply, Request};
use compat::sys::sockio::SIOCIFCREATE2;
use netisrd::conf::Cards;
use netisrd::host::access::Access;
use netisrd::host::clock::MonotonicClock;
use netisrd::host::configuration::Configuration;
use netisrd::host::control::ControlSocket;
use netisrd::host::parts::{self, Desk, End, Flow, Lookout, Part, Turn};
use netisrd::host::runtime::Runtime;
use netisrd::machine::{Config, trace};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use zerocopy::IntoBytes;

/// Does outside what it has seen of the machine in the turn after that, as one who
/// was not told all at once.
struct Slow {
    client: OwnedFd,
    /// Turns in which carp0 was there.
    seen: usize,
}

impl Slow {
    fn answer(&self) -> Option<Reply> {
        let mut packet = [0; 4096];
        match recv(self.client.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
            Ok(n) => Some(Reply::from_bytes(&packet[..n]).unwrap()),
            Err(e) => {
                assert_eq!(e, Errno::EAGAIN);
                None
            }
        }
    }
}

impl Part for Slow {
    fn register(&mut self, _: &Desk<'_>) -> io::Result<()> {
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        if let Some(reply) = self.answer() {
            assert_eq!((reply.error, self.seen), (None, 2), "the answer came before it was done");
            return Ok(Flow::Halt);
        }
        if turn.woken && turn.watcher.vhosts().iter().any(|v| v.name.as_str() == "carp0") {
            self.seen += 1;
            turn.desk.waker().wake()?;
        }
        Ok(Flow::Continue)
    }

    fn is_behind(&self) -> bool {
        self.seen == 1
    }
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    access: Access,
}

#[test]
fn a_command_is_answered_when_all_parts_have_done_what_it_has_changed() {
    let dir = std::env::temp_dir().join(format!("netisrd-answers-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let path = dir.join("netisrd.sock");
    let configuration = Configuration::new(None, Cards::default(), false);
    let control = ControlSocket::bind(&path, Words::parse_from(["netisrd"]).access, configuration).unwrap();
    let config =
        Config { ncpus: 2, clock: Arc::new(MonotonicClock::start()), seed: [0; 32], hz: 0, log: trace() };
    let machine = Runtime::start(config).unwrap();
    let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    let arg = IfReq::new(IfName::new("carp0").unwrap()).as_bytes().to_vec();
    let create = Request { op: Op::Ioctl, cmd: SIOCIFCREATE2, arg, data: Vec::new() }.to_bytes();
    send(client.as_raw_fd(), &create, MsgFlags::empty()).unwrap();
    // Each in its turn: first who answers, then who is slow.
    let mut parts: Vec<Box<dyn Part>> = vec![Box::new(control), Box::new(Slow { client, seen: 0 })];
    let lookout = Lookout::open(&machine).unwrap();
    assert_eq!(parts::run(lookout, &mut parts, &machine).unwrap(), End::Halted);
    drop(parts);
    machine.halt();
    fs::remove_dir_all(&dir).unwrap();
}
