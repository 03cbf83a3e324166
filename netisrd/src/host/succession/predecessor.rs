//! The one that goes.

use super::channel::{Channel, Word};
use super::{EPOCH, Estate, FORMAT, FREEZE, MACHINE, MEET, Step, VERSION};
use crate::host::parts::Part;
use crate::host::runtime::Runtime;
use crate::kern::devctl::Report;
use compat::sys::ctlsock::Reply;
use compat::sys::errno::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long the machine stands still for a successor that is not ready. An
/// advertisement may be that late, of which peers miss three before they act.
const STANDSTILL: Duration = Duration::from_secs(1);
/// How often the parts hear of it meanwhile.
const PACE: Duration = Duration::from_millis(50);

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
    let met = meet(parts, machine, &channel);
    // The control socket goes on with it.
    match channel.release().and(met) {
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
    channel.send_packet(&Reply { error: None, arg: Vec::new(), data: Vec::new() }.to_bytes())?;
    channel.send_estate(estate)
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
        channel.send_packet(&Reply { error: None, arg: Vec::new(), data: Vec::new() }.to_bytes())?;
        channel.send_estate(estate)?;
        wait(parts, channel)?;
        step(parts, |p| p.succession(Step::Ready(pid)))?;
        channel.wait_at_most(STANDSTILL)?;
        channel.send(&Word::Yours)
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

/// Until the successor is ready.
fn wait(parts: &mut [Box<dyn Part>], channel: &Channel) -> io::Result<()> {
    channel.wait_at_most(PACE)?;
    let mut waited = Duration::ZERO;
    loop {
        match channel.receive::<Word>() {
            Ok(Word::Ready) => return Ok(()),
            Ok(Word::Yours) => return Err(io::Error::other("it speaks out of turn")),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && waited < STANDSTILL => {
                waited += PACE;
                step(parts, |p| p.succession(Step::Waits))?;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::other("it takes too long"));
            }
            Err(e) => return Err(e),
        }
    }
}
