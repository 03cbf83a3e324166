//! `ifcarp.c`: CARP's keywords.

use super::number::{AdvBase, AdvSkew, Vhid};
use super::password::Password;
use super::peers::PeersChange;
use super::target::Target;
use super::undo::Done;
use super::{carp_status, drvspec};
use crate::failure::Failure;
use crate::kernel::{Kernel, bad_answer};
use compat::net::if_::{IfName, IfReq};
use compat::sys::errno::Errno;
use libcarp::carpreq::{CARPR_STATE_KEEP, CARPR_VHID_CLEAR, CARPSDEVNAME, CarpReq, SIOCGVH, SIOCSVH};
use std::ffi::OsStr;
use zerocopy::{FromBytes, IntoBytes};
use zeroize::Zeroize;

/// The state that `state` asks for, FreeBSD's keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Backup = 1,
    Master = 2,
}

impl State {
    pub(crate) fn parse(word: &OsStr) -> Result<State, Failure> {
        match word.to_ascii_lowercase().to_str() {
            Some("backup") => Ok(State::Backup),
            Some("master") => Ok(State::Master),
            _ => {
                let word = word.to_string_lossy();
                Err(Failure::Message(format!("state {word}: must be master or backup")))
            }
        }
    }

    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Backup => "backup",
            State::Master => "master",
        }
    }
}

/// All of a line's CARP keywords: they take effect together or not at all.
/// Upstream gets and sets once for each, so that the third can fail when the
/// first two have already changed the machine.
#[derive(Default)]
pub(crate) struct CarpChange {
    /// The first of the words, if there is any.
    pub(crate) word: Option<&'static str>,
    pub(crate) vhid: Option<Vhid>,
    pub(crate) advbase: Option<AdvBase>,
    pub(crate) advskew: Option<AdvSkew>,
    pub(crate) password: Option<Password>,
    pub(crate) state: Option<State>,
    pub(crate) peers: PeersChange,
    /// [`IfName::EMPTY`] is `-carpdev`.
    pub(crate) carpdev: Option<IfName>,
}

impl CarpChange {
    /// `carpdev NAME`: OpenBSD's `setcarpdev`
    pub(crate) fn set_carpdev(&mut self, word: &OsStr) -> Result<(), Failure> {
        let name = word.to_str().and_then(IfName::new);
        self.carpdev = Some(name.ok_or_else(|| {
            let word = word.to_string_lossy();
            Failure::Message(format!("carpdev {word}: not a name for an interface"))
        })?);
        Ok(())
    }

    /// What no interface can have, whatever its present values are.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match (self.advbase, self.advskew) {
            (Some(base), Some(skew)) => nonzero_interval(base.into(), skew.into()),
            _ => Ok(()),
        }
    }

    /// Whether the words are about the interface, as on a carp interface, or
    /// about one of its virtual hosts, as FreeBSD has it.
    pub(crate) fn resolve(&self, kernel: &mut Kernel, target: Target) -> Result<Target, Failure> {
        let Some(word) = self.word else { return Ok(target) };
        if target.is_carp(kernel)? {
            return Ok(target);
        }
        let name = target.name;
        match (self.carpdev, self.vhid) {
            (Some(_), _) => Err(Failure::Message(format!("carpdev: {name} is not a carp interface"))),
            (None, Some(vhid)) => Ok(target.of_vhid(vhid)),
            (None, None) => {
                Err(Failure::Message(format!("'{word}' requires vhid: {name} is not a carp interface")))
            }
        }
    }

    /// Whether the parent that the line names is there, and has room for the
    /// line's vhid, as far as reading tells. A move to another parent gives
    /// mastership up, which no undoing brings back.
    pub(crate) fn foresee(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        let Some(parent) = self.carpdev.filter(|parent| *parent != IfName::EMPTY) else { return Ok(()) };
        Target::find_existing(kernel, parent)?;
        match self.vhid {
            Some(vhid) if carp_status::has_vhid(kernel, parent, vhid, target.name)? => {
                Err(Failure::Kernel { call: "SIOCSVH".into(), errno: Errno::EEXIST })
            }
            _ => Ok(()),
        }
    }

    /// Whether the line only says which virtual host it is about.
    pub(crate) fn only_names(&self) -> bool {
        !self.sets_parameters() && self.peers == PeersChange::default()
    }

    fn sets_parameters(&self) -> bool {
        self.advbase.is_some() || self.advskew.is_some() || self.password.is_some() || self.state.is_some()
    }

    /// One SIOCGVH for what the line does not mention, one SIOCSVH; a parent
    /// and peers on their own.
    pub(crate) fn apply(
        &self,
        kernel: &mut Kernel,
        target: &Target,
        done: &mut Vec<Done>,
    ) -> Result<(), Failure> {
        let before = match self.vhid.is_some() || self.sets_parameters() {
            true => Some(Before::read(kernel, target)?),
            false => None,
        };
        // What is wrong with it shows before anything is set.
        let request = before.as_ref().map(|before| self.request(before)).transpose()?;
        self.apply_carpdev(kernel, target, done)?;
        let is_new = before.as_ref().is_some_and(|before| before.is_new);
        if !is_new {
            // No advertisement is to go the old way any more.
            self.apply_peers(kernel, target, done)?;
        }
        if let (Some(before), Some(request)) = (before, request) {
            kernel.ioctl_with(SIOCSVH, &IfReq::new(target.name), request.0.as_bytes())?;
            done.push(Done::Carp(before));
        }
        if is_new {
            self.apply_peers(kernel, target, done)?;
        }
        Ok(())
    }

    fn request(&self, before: &Before) -> Result<Secret, Failure> {
        let mut request = Secret(before.carpr.0);
        let carpr = &mut request.0;
        // What was read is stale by the time it is written.
        carpr.carpr_state = self.state.map_or(CARPR_STATE_KEEP, |s| s as i32);
        if let Some(vhid) = self.vhid {
            carpr.carpr_vhid = vhid.into();
        }
        if let Some(advbase) = self.advbase {
            carpr.carpr_advbase = advbase.into();
        }
        if let Some(advskew) = self.advskew {
            carpr.carpr_advskew = advskew.into();
        }
        if self.advbase.is_some() || self.advskew.is_some() {
            nonzero_interval(carpr.carpr_advbase, carpr.carpr_advskew)?;
        }
        if let Some(password) = &self.password {
            carpr.carpr_key = *password.key();
        }
        Ok(request)
    }

    fn apply_carpdev(
        &self,
        kernel: &mut Kernel,
        target: &Target,
        done: &mut Vec<Done>,
    ) -> Result<(), Failure> {
        let Some(parent) = self.carpdev else { return Ok(()) };
        // Not CARPGDEVNAME, which also tells a parent that nobody asked for.
        let before = drvspec::get(kernel, target.name, CARPSDEVNAME, &[])?;
        set_carpdev(kernel, target.name, parent)?;
        done.push(Done::Carpdev(before));
        Ok(())
    }

    fn apply_peers(&self, kernel: &mut Kernel, target: &Target, done: &mut Vec<Done>) -> Result<(), Failure> {
        done.extend(self.peers.apply(kernel, target)?.map(Done::Peers));
        Ok(())
    }
}

/// Also puts back what was there before.
pub(crate) fn set_carpdev(kernel: &mut Kernel, name: IfName, parent: IfName) -> Result<(), Failure> {
    drvspec::set(kernel, name, CARPSDEVNAME, &parent)
}

/// What an interface or a virtual host had before a line.
pub(crate) struct Before {
    carpr: Secret,
    /// There was no such virtual host; these are the values a new one has.
    is_new: bool,
}

impl Before {
    fn read(kernel: &mut Kernel, target: &Target) -> Result<Before, Failure> {
        let carpr_vhid = target.vhid.map_or(0, i32::from);
        let question = CarpReq { carpr_vhid, ..CarpReq::default() };
        let question = if target.vhid.is_some() { question.as_bytes() } else { &[] };
        match secrets(kernel, target.name, question) {
            Ok(mut found) => {
                let carpr = found.pop().filter(|_| found.is_empty()).ok_or_else(|| bad_answer("SIOCGVH"))?;
                Ok(Before { carpr, is_new: false })
            }
            Err(e) if target.vhid.is_some() && e.errno() == Some(Errno::ENOENT) => {
                let carpr = CarpReq { carpr_vhid, carpr_advbase: 1, ..CarpReq::default() };
                Ok(Before { carpr: Secret(carpr), is_new: true })
            }
            Err(e) => Err(e),
        }
    }

    /// Puts it back; an interface that had no vhid loses the one it was given.
    pub(crate) fn restore(&self, kernel: &mut Kernel, target: &Target) -> Result<(), Failure> {
        let mut request = Secret(self.carpr.0);
        request.0.carpr_state = CARPR_STATE_KEEP;
        if target.vhid.is_some() {
            if self.is_new {
                request.0.carpr_vhid += CARPR_VHID_CLEAR;
            }
        } else if request.0.carpr_vhid <= 0 {
            request.0.carpr_vhid = CARPR_VHID_CLEAR;
        }
        kernel.ioctl_with(SIOCSVH, &IfReq::new(target.name), request.0.as_bytes()).map(drop)
    }
}

/// An interface that advertises without a pause.
fn nonzero_interval(advbase: i32, advskew: i32) -> Result<(), Failure> {
    if advbase == 0 && advskew == 0 {
        return Err(Failure::message("advbase 0 with advskew 0: the interval would be zero"));
    }
    Ok(())
}

/// A `carpreq` whose key is wiped when it goes out of scope.
pub(crate) struct Secret(pub(crate) CarpReq);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.carpr_key.zeroize();
    }
}

/// `SIOCGVH`. On an interface that is no carp interface `question` is a
/// `carpreq` with the vhid, or 0 for all there are.
pub(crate) fn secrets(kernel: &mut Kernel, name: IfName, question: &[u8]) -> Result<Vec<Secret>, Failure> {
    let mut reply = kernel.ioctl_with(SIOCGVH, &IfReq::new(name), question)?;
    let rows = reply.data.chunks(size_of::<CarpReq>());
    // All the room at once: a vector that grows leaves copies behind.
    let mut found = Vec::with_capacity(rows.len());
    found.extend(rows.map_while(|row| CarpReq::read_from_bytes(row).ok().map(Secret)));
    let whole = found.len() * size_of::<CarpReq>() == reply.data.len();
    reply.data.zeroize();
    if whole { Ok(found) } else { Err(bad_answer("SIOCGVH")) }
}
