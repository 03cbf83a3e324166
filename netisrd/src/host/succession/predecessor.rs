//! The one that goes.

use super::channel::{Channel, Meanwhile, Word, idle};
use super::{EPOCH, Estate, FORMAT, FREEZE, MACHINE, MEET, Step, VERSION};
use crate::host::parts::Part;
use crate::host::runtime::Runtime;
use crate::kern::devctl::Report;
use compat::sys::ctlsock::Reply;
use compat::sys::errno::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long a successor may take, all in all, to hear what it needs; and, while the
/// machine stands still, to become ready. An advertisement may be that late, of which
/// peers miss three before they act.
const STANDSTILL: Duration = Duration::from_secs(1);

/// A successor that has asked for something.
pub struct Heir {
    fd: OwnedFd,
    pid: u32,
    freeze: bool,
}

impl Heir {
    /// What a privileged client has asked for, on its connection.
    ///
    /// # Errors
    /// The answer: another format, or nothing that one can ask for.
    pub fn asks(cmd: u32, arg: &[u8], fd: OwnedFd, pid: u32) -> Result<Heir, Reply> {
        if arg != FORMAT.to_ne_bytes() {
            let arg = FORMAT.to_ne_bytes().to_vec();
            return Err(Reply { error: Some(Errno::EPROTONOSUPPORT), arg, data: Vec::new() });
        }
        match cmd {
            MEET | FREEZE => Ok(Heir { fd, pid, freeze: cmd == FREEZE }),
            _ => Err(Reply::error(Errno::EINVAL)),
        }
    }

    /// It asks for nothing after this.
    pub(in crate::host) fn is_last(&self) -> bool {
        self.freeze
    }
}

/// What came of it.
pub enum Outcome {
    /// The machine is here, and has told this meanwhile.
    Stays(Option<Report>),
    /// It is the successor's. What it had told by then.
    Gone(Report),
}

/// Answers a successor.
///
/// # Errors
/// What a part could not do, by which it is all over.
pub fn answer(parts: &mut [Box<dyn Part>], machine: &Runtime, heir: Heir) -> io::Result<Outcome> {
    let (pid, freeze) = (heir.pid, heir.freeze);
    let channel = match Channel::on(heir.fd, STANDSTILL) {
        Ok(channel) => channel,
        Err(e) => return Ok(failed(pid, &e, None)),
    };
    if freeze {
        return step_down(parts, machine, &channel, pid);
    }
    match meet(parts, machine, &channel) {
        Ok(()) => {
            tracing::info!("takeover: process {pid} prepares to go on in this one's place");
            Ok(Outcome::Stays(None))
        }
        Err(e) => Ok(failed(pid, &e, None)),
    }
}

fn failed(pid: u32, why: &io::Error, told: Option<Report>) -> Outcome {
    tracing::error!("takeover: process {pid} does not go on, this one does: {why}");
    Outcome::Stays(told)
}

fn step(
    parts: &mut [Box<dyn Part>],
    mut step: impl FnMut(&mut dyn Part) -> io::Result<()>,
) -> io::Result<()> {
    parts.iter_mut().try_for_each(|p| step(&mut **p))
}

fn meet(parts: &mut [Box<dyn Part>], machine: &Runtime, channel: &Channel) -> io::Result<()> {
    let mut estate = Estate::default();
    estate.put(EPOCH, &machine.epoch())?;
    estate.put(VERSION, &env!("CARGO_PKG_VERSION"))?;
    step(parts, |p| p.succession(Step::Met(&mut estate)))?;
    hand(channel, estate, &mut || step(parts, |p| p.succession(Step::Waits)))
}

fn hand(channel: &Channel, estate: Estate, meanwhile: Meanwhile<'_>) -> io::Result<()> {
    let reply = Reply { error: None, arg: Vec::new(), data: Vec::new() };
    channel.send_packet(&reply.to_bytes(), meanwhile)?;
    channel.send_estate(estate, meanwhile)
}

/// From its beginning to its end nobody may ask the machine anything.
fn step_down(
    parts: &mut [Box<dyn Part>],
    machine: &Runtime,
    channel: &Channel,
    pid: u32,
) -> io::Result<Outcome> {
    let frozen = machine.freeze().ok_or_else(|| io::Error::other("the machine has halted"))?;
    let heard = (|| {
        let mut estate = Estate::default();
        estate.put(MACHINE, &frozen.machine)?;
        step(parts, |p| p.succession(Step::Frozen(&mut estate)))?;
        let mut meanwhile = || step(parts, |p| p.succession(Step::Waits));
        hand(channel, estate, &mut meanwhile)?;
        if channel.receive_word(&mut meanwhile)? != Word::Ready {
            return Err(io::Error::other("it speaks out of turn"));
        }
        step(parts, |p| p.succession(Step::Ready(pid)))?;
        channel.send(&Word::Yours, &mut idle)
    })();
    match heard {
        Ok(()) => {
            tracing::info!("takeover: process {pid} goes on in this one's place");
            let told = frozen.told;
            machine.leave(&frozen.leave);
            Ok(Outcome::Gone(told))
        }
        Err(e) => {
            // Dropped, it goes on.
            drop(frozen.leave);
            step(parts, |p| p.succession(Step::Stays))?;
            Ok(failed(pid, &e, Some(frozen.told)))
        }
    }
}
