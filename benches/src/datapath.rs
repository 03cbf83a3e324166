//! What goes through a virtual address, and how long an answer takes, beside the
//! plain interface.
//!
//! ```text
//!   client c ── br0 ──┬── h1  plain
//!                     ├── h2  netisrd, macvlan
//!                     ├── h3  netisrd, tap
//!                     └── h4  keepalived, use_vmac
//! ```
//!
//! All are there all the time, and idle but for the one that is measured. Rounds
//! go through all of them in turn, beginning with another each time, so that
//! whatever else the machine does hits all alike.

use crate::cpus;
use crate::figures::emit;
use crate::lab::{Host, Lab, within};
use crate::section::progress;
use crate::served::{Served, Way};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PORT: u16 = 7;
/// One write, and room for one read.
const CHUNK: usize = 256 << 10;
/// A request, and its answer.
const REQUEST: usize = 64;
/// Until TCP's window is open.
const WARM: Duration = Duration::from_millis(50);
/// One measurement: short, so that those of a round have the same machine.
const TIME: Duration = Duration::from_millis(200);
/// Streams each way of a round: what one carries spreads more than what the aims are
/// apart.
const STREAMS: usize = 4;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    To,
    From,
}

pub(crate) fn measure(lab: &Lab, quick: bool) {
    let rounds = if quick { 3 } else { 25 };
    lab.bridge("br0");
    let client = lab.host("c", "br0", "10.77.0.9/24");
    let there = Way::ALL.into_iter().filter(|way| way.is_there());
    let served: Vec<_> = there.map(|way| Served::start(lab, "br0", way)).collect();
    for round in 0..rounds {
        let turn = |first| served.iter().cycle().skip(first % served.len()).take(served.len());
        for n in 0..STREAMS {
            for (what, direction) in [("to", Direction::To), ("from", Direction::From)] {
                for s in turn(round + n) {
                    emit(&format!("{}.{what}", s.way.name()), stream(&client, s, direction));
                }
            }
        }
        for s in turn(round) {
            for (place, host) in [("", 0), ("apart.", 1)] {
                let (name, [p50, p99]) = (s.way.name(), round_trips(&client, s, host));
                emit(&format!("{name}.{place}p50"), p50);
                emit(&format!("{name}.{place}p99"), p99);
            }
        }
        progress(&format!("{}/{rounds}", round + 1));
    }
}

/// Gbit/s of one TCP stream, as its receiver sees it.
fn stream(client: &Host, to: &Served, direction: Direction) -> f64 {
    let (here, there) = connected(client, to);
    let (from, into) = if direction == Direction::To { (here, there) } else { (there, here) };
    // Where the scheduler puts them would be most of the figure: on one processor a
    // stream is three times as fast as on two.
    thread::scope(|s| {
        s.spawn(|| {
            cpus::stay_on(0);
            send(from);
        });
        let receiver = s.spawn(|| {
            cpus::stay_on(0);
            receive(into)
        });
        receiver.join().expect("who receives does not panic")
    })
}

/// Until the receiver has enough.
fn send(mut to: TcpStream) {
    let chunk = vec![0x5a; CHUNK];
    while to.write_all(&chunk).is_ok() {}
}

fn receive(mut from: TcpStream) -> f64 {
    let mut room = vec![0; CHUNK];
    let mut read = |until: Instant| {
        let mut bytes = 0;
        loop {
            let now = Instant::now();
            if now >= until {
                return (bytes, now);
            }
            bytes += from.read(&mut room).expect("a stream that goes on");
        }
    };
    let (_, begun) = read(Instant::now() + WARM);
    let (bytes, ended) = read(begun + TIME);
    bytes as f64 * 8.0 / ended.duration_since(begun).as_secs_f64() / 1e9
}

/// The middle one and the 99th per cent of round trips, in microseconds. The host's
/// end stays on that processor, the client's on the first.
fn round_trips(client: &Host, to: &Served, on: usize) -> [f64; 2] {
    let (mut here, mut there) = connected(client, to);
    let echo = move || {
        cpus::stay_on(on);
        let mut request = [0; REQUEST];
        while there.read_exact(&mut request).is_ok() && there.write_all(&request).is_ok() {}
    };
    let echo = thread::spawn(echo);
    let ask = move || {
        cpus::stay_on(0);
        let (mut request, mut took) = ([0x5a; REQUEST], Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < WARM + TIME {
            let sent = Instant::now();
            here.write_all(&request).expect("a stream that goes on");
            here.read_exact(&mut request).expect("a stream that goes on");
            if begun.elapsed() > WARM {
                took.push(sent.elapsed().as_secs_f64() * 1e6);
            }
        }
        took
    };
    let mut took = thread::spawn(ask).join().expect("who asks does not panic");
    echo.join().expect("who answers does not panic");
    took.sort_by(f64::total_cmp);
    [50, 99].map(|p| took[(took.len() * p / 100).min(took.len() - 1)])
}

/// Both ends of a connection: the client's, the host's.
fn connected(client: &Host, to: &Served) -> (TcpStream, TcpStream) {
    let addr = SocketAddrV4::new(to.addr, PORT);
    let listen = || TcpListener::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)).expect("a free port");
    let listener = within(Some(&to.host.ns), listen);
    let here = within(Some(&client.ns), || TcpStream::connect(addr).expect("a connection"));
    let (there, _) = listener.accept().expect("a connection");
    for end in [&here, &there] {
        end.set_nodelay(true).expect("an option of TCP");
    }
    (here, there)
}
