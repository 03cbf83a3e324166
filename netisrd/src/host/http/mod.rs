//! `--http`: figures for Prometheus, and a page for people. It reads, and can
//! change nothing.
//!
//! It is served by the main thread, which waits for nobody: who is slow, says
//! too much, or comes with too many is let go.

mod conn;
mod metrics;
mod page;
mod request;
mod response;
mod timeline;

use super::door::Door;
use super::hooks::HookCounts;
use super::json::{self, Wall};
use super::parts::{Desk, Flow, Part, Turn};
use super::succession::{Estate, Step};
use compat::sys::time::Time;
use conn::{Conn, Is};
use mio::Interest;
use mio::net::{TcpListener, TcpStream};
use request::{MISDIRECTED, NOT_FOUND, Request, UNAVAILABLE};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use timeline::Timeline;

/// Connections at one time.
const MAX_CONNS: usize = 64;
/// Of these, streams of events.
const MAX_STREAMS: usize = 32;
const LISTENER: usize = 0;
/// What a successor finds its socket by, and its memory.
const SUCCESSION: &str = "http";

/// Serves a status page and metrics.
pub struct Http {
    door: Door<TcpListener>,
    conns: BTreeMap<usize, Conn>,
    next: usize,
    hooks: Arc<HookCounts>,
    timeline: Timeline,
    /// Of the page: whose it is.
    title: String,
    /// What clients may call this server, beside addresses.
    names: Vec<String>,
}

/// `ADDR:PORT`, or a port of the loopback interface.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| "not ADDR:PORT and not a port".into())
}

impl Http {
    /// Listens. An address that others can reach is the administrator's choice,
    /// and is warned of.
    pub fn bind(addr: SocketAddr) -> io::Result<Http> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("http {addr}: {e}"));
        let listener = TcpListener::bind(addr).map_err(named)?;
        let addr = listener.local_addr()?;
        if !addr.ip().is_loopback() {
            tracing::warn!("http: {addr} may be reached by others, and asks nobody who he is");
        }
        tracing::info!("http: listening on {addr}");
        Ok(Http::on(listener))
    }

    /// Listens on the socket of a netisrd that this one follows, if that is the
    /// same.
    ///
    /// # Errors
    /// As of [`bind`](Http::bind).
    pub fn inherit(addr: SocketAddr, estate: &mut Estate) -> io::Result<Http> {
        let was = estate.descriptors(SUCCESSION)?.map(|[listener]| std::net::TcpListener::from(listener));
        let is_it = |has: SocketAddr| has == addr || (addr.port() == 0 && has.ip() == addr.ip());
        match was.filter(|listener| listener.local_addr().is_ok_and(is_it)) {
            Some(listener) => Ok(Http::on(TcpListener::from_std(listener))),
            None => Http::bind(addr),
        }
    }

    fn on(listener: TcpListener) -> Http {
        let host = nix::unistd::gethostname().ok().and_then(|h| h.into_string().ok());
        Http {
            door: Door::new("http", listener),
            conns: BTreeMap::new(),
            next: LISTENER + 1,
            hooks: Arc::default(),
            timeline: Timeline::default(),
            title: host.as_ref().map_or_else(|| "netisrd".to_owned(), |host| format!("netisrd on {host}")),
            names: host.into_iter().collect(),
        }
    }

    /// What the programs of the administrator have done is told too, and clients may
    /// use these names beside the host's own.
    pub fn telling(self, hooks: Arc<HookCounts>, names: &[String]) -> Http {
        let names = [&self.names[..], names].concat();
        Http { hooks, names, ..self }
    }

    fn accept(&mut self, desk: &Desk<'_>, now: Time) {
        // Others have a turn too, however many there are.
        for _ in 0..MAX_CONNS {
            // While all have asked they are answered next.
            let full = self.conns.len() >= MAX_CONNS;
            if full && self.idlest().is_none() {
                break;
            }
            let Some((stream, _)) = self.door.next(TcpListener::accept) else { return };
            if let Err(e) = self.welcome(desk, stream, now) {
                tracing::debug!("http: {e}");
            }
        }
        self.door.leave_ajar();
    }

    /// The oldest of those who have heard all, else of those who have asked nothing, else
    /// of those who do not read.
    fn idlest(&self) -> Option<usize> {
        let idle = self.conns.iter().filter_map(|(t, c)| Some((c.idleness()?, *t)));
        idle.min().map(|(_, t)| t)
    }

    /// Where all places are taken, the idlest makes room. What has come with it is read
    /// at once, so that it is not idle itself.
    fn welcome(&mut self, desk: &Desk<'_>, mut stream: TcpStream, now: Time) -> io::Result<()> {
        if self.conns.len() >= MAX_CONNS {
            self.idlest().into_iter().for_each(|t| drop(self.conns.remove(&t)));
        }
        let t = self.next;
        self.next += 1;
        desk.watch_source(&mut stream, t, Interest::READABLE | Interest::WRITABLE)?;
        self.conns.insert(t, Conn::new(stream, now));
        self.turn(t, desk, now)
    }

    /// What was asked for is answered with how things are: somebody has looked.
    fn answer(&mut self, t: usize, turn: &Turn<'_>, wall: &Wall) -> io::Result<()> {
        let streams = self.conns.values().filter(|c| c.is_stream()).count();
        let Some(conn) = self.conns.get_mut(&t) else { return Ok(()) };
        let Some(request) = conn.asks().cloned() else { return Ok(()) };
        if !request.is_for(&self.names) {
            conn.answer(response::status(MISDIRECTED, request.head), turn.now);
            return Ok(());
        }
        let Request { head, path, .. } = request;
        let Some(report) = turn.watcher.report() else { return Ok(()) };
        let bytes = match path.as_str() {
            "/" => {
                let page =
                    page::html(&self.title, report, &mut self.timeline, &self.hooks, wall).into_string();
                response::ok("text/html; charset=utf-8", &page, head)
            }
            "/metrics" => {
                let text = metrics::text(report, &self.hooks, wall);
                response::ok("text/plain; version=0.0.4; charset=utf-8", &text, head)
            }
            "/live.js" => response::ok("text/javascript; charset=utf-8", include_str!("live.js"), head),
            "/events" if head => response::events(),
            "/events" if streams >= MAX_STREAMS => response::status(UNAVAILABLE, head),
            "/events" => {
                let mut bytes = response::events();
                bytes.extend(data(&json::snapshot(turn.watcher, wall)?));
                conn.answer_stream(bytes, turn.now);
                return Ok(());
            }
            _ => response::status(NOT_FOUND, head),
        };
        conn.answer(bytes, turn.now);
        Ok(())
    }

    /// Does what one connection can do now.
    fn turn(&mut self, t: usize, desk: &Desk<'_>, now: Time) -> io::Result<()> {
        let Some(conn) = self.conns.get_mut(&t) else { return Ok(()) };
        match conn.turn(now) {
            Is::Open => {}
            Is::Asking => desk.waker().wake()?,
            Is::Gone => drop(self.conns.remove(&t)),
        }
        Ok(())
    }
}

/// A line as a server-sent event.
fn data(line: &[u8]) -> Vec<u8> {
    [b"data: ", line, b"\n"].concat()
}

impl Part for Http {
    fn register(&mut self, desk: &Desk<'_>) -> io::Result<()> {
        self.door.listener_mut().map_or(Ok(()), |l| desk.watch_source(l, LISTENER, Interest::READABLE))
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        let due = self.conns.values().map(|c| c.until() - now);
        due.chain(self.door.patience()).min()
    }

    fn succession(&mut self, step: Step<'_>) -> io::Result<()> {
        match step {
            Step::Met(estate) => match self.door.listener() {
                Some(listener) => estate.lend(SUCCESSION, &[listener]),
                None => Ok(()),
            },
            Step::Frozen(estate) => estate.put(SUCCESSION, &self.timeline.memory()),
            _ => Ok(()),
        }
    }

    fn close(&mut self) {
        self.door.close();
        self.conns.clear();
    }

    fn inherit(&mut self, estate: &mut Estate) -> io::Result<()> {
        if let Some(memory) = estate.take(SUCCESSION)? {
            self.timeline = Timeline::of(memory);
        }
        Ok(())
    }

    fn serve(&mut self, turn: &Turn<'_>) -> io::Result<Flow> {
        let wall = Wall::at(turn.now);
        self.timeline.see(turn);
        let mut due: BTreeSet<usize> = turn.ready.iter().copied().collect();
        let accept = self.door.take_again() || due.remove(&LISTENER);
        due.extend(self.conns.iter().filter(|(_, c)| c.until() <= turn.now).map(|(t, _)| *t));
        if !turn.changes.is_empty() && self.conns.values().any(Conn::is_stream) {
            let lines = json::changes(turn, &wall)?;
            let said: Vec<u8> = lines.iter().flat_map(|line| data(line)).collect();
            self.conns.retain(|t, c| {
                due.insert(*t);
                !c.is_stream() || c.say(&said, turn.now) != Is::Gone
            });
        }
        if turn.woken {
            let asking: Vec<usize> =
                self.conns.iter().filter(|(_, c)| c.asks().is_some()).map(|(t, _)| *t).collect();
            for t in asking {
                self.answer(t, turn, &wall)?;
                due.insert(t);
            }
        }
        due.into_iter().try_for_each(|t| self.turn(t, &turn.desk, turn.now))?;
        // Last: whoever is answered now may make room.
        if accept {
            self.accept(&turn.desk, turn.now);
        }
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_the_loopback_interface() {
        assert_eq!(address("9112"), Ok(([127, 0, 0, 1], 9112).into()));
        assert_eq!(address("0.0.0.0:80"), Ok(([0, 0, 0, 0], 80).into()));
        assert_eq!(address("[::1]:80").map(|a| a.is_ipv6()), Ok(true));
        for bad in ["", "99999", "localhost:80", "1.2.3.4"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
