//! The one that comes.

use super::channel::{Channel, Word, idle};
use super::{EPOCH, Estate, FORMAT, FREEZE, MACHINE, MEET, VERSION};
use crate::dev::host::Existing;
use crate::dev::{Device, host, tap};
use crate::host::cards::{self, Card, Opened};
use crate::host::clock::MonotonicClock;
use crate::host::parts::Part;
use crate::host::runtime::{Runtime, Thawing};
use crate::kern::frozen::FrozenMachine;
use compat::sys::ctlsock::{Op, Reply, Request};
use compat::sys::errno::Errno;
use ipnet::IpNet;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// How long any step of the other one may take. The other one has given up before.
const PATIENCE: Duration = Duration::from_secs(10);
/// Frames that are left to the other one, at most: under load more come all the time.
const HEARD_MAX: usize = 1 << 16;
/// More than any answer.
const ANSWER_MAX: usize = 4096;
const USED_OTHERWISE: &str = "the running netisrd uses it in another way";
const NOT_THERE: &str = "the running netisrd does not have it";

/// The running netisrd, as its successor sees it.
pub struct Predecessor {
    channel: Channel,
    estate: Estate,
    cards: Vec<Card>,
    epoch: u64,
    version: String,
}

impl Predecessor {
    /// The one that has that control socket.
    ///
    /// # Errors
    /// A sentence: there is none, it does not allow it, or it is too unlike.
    pub fn meet(path: &Path) -> io::Result<Predecessor> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("takeover: {}: {e}", path.display()));
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?).map_err(|e| named(e.into()))?;
        let channel = Channel::on(fd, PATIENCE)?;
        ask(&channel, MEET).map_err(named)?;
        let mut estate = channel.receive_estate().map_err(named)?;
        let missing = |what: &str| io::Error::other(format!("takeover: the running netisrd says no {what}"));
        let epoch = estate.take(EPOCH)?.ok_or_else(|| missing(EPOCH))?;
        let version = estate.take(VERSION)?.ok_or_else(|| missing(VERSION))?;
        let cards = estate.take(cards::FACT)?.ok_or_else(|| missing(cards::FACT))?;
        Ok(Predecessor { channel, estate, cards, epoch, version })
    }

    /// What it has given.
    pub fn estate(&mut self) -> &mut Estate {
        &mut self.estate
    }

    /// Its clock.
    pub fn clock(&self) -> MonotonicClock {
        MonotonicClock::since(self.epoch)
    }

    /// Its tap of that name, with its descriptors.
    ///
    /// # Errors
    /// It has none, or it is gone.
    pub fn tap(&mut self, name: &str) -> io::Result<Device> {
        let card = self.cards.iter().find(|card| card.name == name && !card.shared_with_host);
        let index = card.and_then(|card| Some((card.host_index?, card.lladdr)));
        let (index, lladdr) = index
            .ok_or_else(|| io::Error::other(format!("takeover: the running netisrd has no tap {name}")))?;
        tap::adopt(name, index, lladdr, self.estate.all_descriptors(&cards::descriptors(name)))
    }

    /// The interface of the host that the other one has by that name, whatever the host
    /// calls it by now, with the other one's sockets if it is on its tap path; nothing
    /// of one that is gone there.
    ///
    /// # Errors
    /// It cannot be opened, or is not on that path there.
    pub fn interface(&mut self, existing: &Existing) -> io::Result<Option<Device>> {
        let name = &existing.name;
        let Some(card) = self.cards.iter().find(|card| card.name == *name) else {
            return wrong(name, NOT_THERE);
        };
        if !card.is_on(existing.path) {
            return wrong(name, USED_OTHERWISE);
        }
        let sockets = self.estate.all_descriptors(&cards::descriptors(name));
        card.host_index.map(|index| host::adopt(existing, index, sockets)).transpose()
    }

    /// All of its cards must be among these: one that is missing would leave its
    /// MASTERs without a word.
    ///
    /// # Errors
    /// Which is not.
    pub fn check(&self, opened: &Opened) -> io::Result<()> {
        let missing = self.cards.iter().find(|card| !opened.has(&card.name));
        let what = "the running netisrd has it, and this one was not given it";
        missing.map_or(Ok(()), |card| wrong(&card.name, what))
    }

    /// Has it stand still, and builds its machine here. Once this returns it is this
    /// one's; what comes back are the interfaces' indexes. `parts` learn what theirs
    /// were.
    ///
    /// # Errors
    /// It goes on by itself, and this process must end without touching anything.
    pub fn succeed(
        self,
        machine: &Runtime,
        mut devices: Vec<Device>,
        parts: &mut [Box<dyn Part>],
    ) -> io::Result<(Vec<u16>, Estate)> {
        let named = |e: io::Error| match e.kind() {
            io::ErrorKind::TimedOut => io::Error::other("takeover: the running netisrd does not answer"),
            io::ErrorKind::UnexpectedEof => {
                io::Error::other("takeover: the running netisrd goes on by itself")
            }
            kind => io::Error::new(kind, format!("takeover: {e}")),
        };
        self.channel.wait_at_most(PATIENCE);
        ask(&self.channel, FREEZE).map_err(named)?;
        let mut estate = self.channel.receive_estate().map_err(named)?;
        let missing = || io::Error::other("takeover: the running netisrd says nothing of its machine");
        let frozen: FrozenMachine = estate.take(MACHINE)?.ok_or_else(missing)?;
        for dev in devices.iter_mut().filter(|dev| dev.shared_with_host) {
            // What has come by now the other one has heard, but for what came since it
            // stands still; what waits in its sockets it has not.
            let own = dev.rx.iter_mut().filter(|rx| !rx.is_offloaded());
            { own }.try_for_each(|rx| rx.receive(HEARD_MAX, &mut |_| ()).map(drop))?;
        }
        let lent: Vec<(String, IpNet)> = estate.take(cards::LENT)?.unwrap_or_default();
        let Thawing { indexes, go } = machine.thaw(frozen, devices, lent).map_err(named)?;
        self.channel.wait_at_most(PATIENCE);
        self.channel.send(&Word::Ready, &mut idle).map_err(named)?;
        match self.channel.receive_word(&mut idle).map_err(named)? {
            Word::Yours => {}
            Word::Ready => return Err(io::Error::other("takeover: the running netisrd speaks out of turn")),
        }
        parts.iter_mut().try_for_each(|p| p.inherit(&mut estate))?;
        go.send(()).map_err(|_| io::Error::other("takeover: netisr 0 is gone"))?;
        tracing::info!("takeover: this process goes on in the place of a netisrd {}", self.version);
        Ok((indexes, estate))
    }
}

fn wrong<T>(card: &str, what: &str) -> io::Result<T> {
    Err(io::Error::other(format!("takeover: {card}: {what}")))
}

/// One request on the control socket, and its answer.
fn ask(channel: &Channel, cmd: u32) -> io::Result<()> {
    let request = Request { op: Op::Takeover, cmd, arg: FORMAT.to_ne_bytes().to_vec(), data: Vec::new() };
    channel.send_packet(&request.to_bytes(), &mut idle)?;
    let mut packet = vec![0; ANSWER_MAX];
    let n = channel.receive_packet(&mut packet, &mut idle)?;
    let Reply { error, arg, .. } = Reply::from_bytes(packet.get(..n).unwrap_or_default())
        .map_err(|e| io::Error::other(e.to_string()))?;
    Err(io::Error::other(match error {
        None => return Ok(()),
        Some(Errno::EPERM) => "only who may change its configuration may take over".to_owned(),
        Some(Errno::EINVAL) => "the running netisrd cannot hand over: it is too old".to_owned(),
        Some(Errno::EPROTONOSUPPORT) => {
            let theirs =
                arg.try_into().map_or_else(|_| "another".to_owned(), |v| u32::from_ne_bytes(v).to_string());
            format!(
                "the running netisrd hands over in format {theirs}, and this one takes over in format {FORMAT}: it needs a restart"
            )
        }
        Some(e) => e.to_string(),
    }))
}
