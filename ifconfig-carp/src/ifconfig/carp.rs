//! `ifcarp.c`: CARP's keywords and status.

use super::number::{AdvBase, AdvSkew, Vhid};
use super::password::Password;
use crate::failure::Failure;
use crate::kernel::{Kernel, answer, bad_answer};
use compat::net::if_::{IfDrv, IfName, IfReq};
use compat::sys::sockio::SIOCGDRVSPEC;
use libcarp::carpreq::{
    CARP_STATES, CARPGDEVNAME, CARPGVHADDR, CARPR_STATE_KEEP, CARPR_VHID_CLEAR, CarpReq, IfCarpVhaddr,
    SIOCGVH, SIOCSVH, Vhaf,
};
use std::ffi::OsStr;
use std::io::Write;
use zerocopy::IntoBytes;
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
}

/// All of a line's CARP keywords: they take effect together or not at all.
/// Upstream gets and sets once for each, so that the third can fail when the
/// first two have already changed the machine.
#[derive(Default)]
pub(crate) struct CarpChange {
    pub(crate) vhid: Option<Vhid>,
    pub(crate) advbase: Option<AdvBase>,
    pub(crate) advskew: Option<AdvSkew>,
    pub(crate) password: Option<Password>,
    pub(crate) state: Option<State>,
}

impl CarpChange {
    /// What no interface can have, whatever its present values are.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match (self.advbase, self.advskew) {
            (Some(base), Some(skew)) => nonzero_interval(base.into(), skew.into()),
            _ => Ok(()),
        }
    }

    /// One SIOCGVH for what the line does not mention, one SIOCSVH. What was
    /// there before comes back.
    pub(crate) fn apply(&self, kernel: &mut Kernel, name: IfName) -> Result<Before, Failure> {
        let before = Secret::get(kernel, name)?;
        let mut request = Secret(before.0);
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
        kernel.ioctl_with(SIOCSVH, &IfReq::new(name), carpr.as_bytes())?;
        Ok(Before(before))
    }
}

/// What an interface had before a line.
pub(crate) struct Before(Secret);

impl Before {
    /// Puts it back; an interface that had no vhid loses the one it was given.
    pub(crate) fn restore(&self, kernel: &mut Kernel, name: IfName) -> Result<(), Failure> {
        let mut request = Secret(self.0.0);
        request.0.carpr_state = CARPR_STATE_KEEP;
        if request.0.carpr_vhid <= 0 {
            request.0.carpr_vhid = CARPR_VHID_CLEAR;
        }
        kernel.ioctl_with(SIOCSVH, &IfReq::new(name), request.0.as_bytes()).map(drop)
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
struct Secret(CarpReq);

impl Secret {
    fn get(kernel: &mut Kernel, name: IfName) -> Result<Secret, Failure> {
        let mut reply = kernel.ioctl(SIOCGVH, &IfReq::new(name))?;
        let carpr = answer("SIOCGVH", &reply.data).map(Secret);
        reply.data.zeroize();
        carpr
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.carpr_key.zeroize();
    }
}

/// `ifcarp.c: carp_status`. An interface that was destroyed meanwhile has
/// none; `keys` is `-k`.
pub(crate) fn status(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    name: IfName,
    keys: bool,
) -> Result<(), Failure> {
    let request = match Secret::get(kernel, name) {
        Err(Failure::Kernel { .. }) => return Ok(()),
        other => other?,
    };
    let carpr = &request.0;
    if carpr.carpr_vhid > 0 {
        let state = usize::try_from(carpr.carpr_state).ok().and_then(|s| CARP_STATES.get(s));
        writeln!(
            out,
            "\tcarp: {} vhid {} advbase {} advskew {}",
            state.unwrap_or(&"<UNKNOWN>"),
            carpr.carpr_vhid,
            carpr.carpr_advbase,
            carpr.carpr_advskew
        )?;
    }
    if keys {
        write_key(out, &carpr.carpr_key)?;
    }
    let devname = devname(kernel, name)?;
    if !devname.is_empty() {
        writeln!(out, "\tcarpdev: {devname}")?;
    }
    Ok(())
}

/// The key as one would type it. All zeros is no key, or one that only root
/// may see.
fn write_key(out: &mut dyn Write, key: &[u8]) -> Result<(), Failure> {
    let end = key.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Ok(());
    }
    write!(out, "\tkey \"")?;
    for b in key.iter().take(end) {
        match b {
            b'"' | b'\\' => write!(out, "\\{}", char::from(*b))?,
            b' '..=b'~' => write!(out, "{}", char::from(*b))?,
            other => write!(out, "\\x{other:02x}")?,
        }
    }
    Ok(writeln!(out, "\"")?)
}

fn devname(kernel: &mut Kernel, name: IfName) -> Result<String, Failure> {
    let request = drvspec(name, CARPGDEVNAME, size_of::<IfName>() as u64);
    match kernel.ioctl(SIOCGDRVSPEC, &request) {
        Ok(reply) => Ok(answer::<IfName>("SIOCGDRVSPEC", &reply.data)?.as_str().to_owned()),
        Err(Failure::Kernel { .. }) => Ok("none".to_owned()),
        Err(e) => Err(e),
    }
}

fn drvspec(name: IfName, cmd: u64, len: u64) -> IfDrv {
    IfDrv { ifd_name: name, ifd_cmd: cmd, ifd_len: len, ifd_data: 0 }
}

/// `vhaddr`: `ifcarp.c: getcarp_vhaddr`, except that a refusal is told.
pub(crate) fn vhaddr(kernel: &mut Kernel, out: &mut dyn Write, name: IfName) -> Result<(), Failure> {
    let reply = kernel.ioctl(SIOCGDRVSPEC, &drvspec(name, CARPGVHADDR, 0))?;
    let room = answer::<IfDrv>("SIOCGDRVSPEC", &reply.arg)?.ifd_len;
    if room == 0 {
        return Ok(());
    }
    let reply = kernel.ioctl(SIOCGDRVSPEC, &drvspec(name, CARPGVHADDR, room))?;
    let used = answer::<IfDrv>("SIOCGDRVSPEC", &reply.arg)?.ifd_len;
    let used = usize::try_from(used).ok().and_then(|used| reply.data.get(..used));
    let (rows, rest) =
        used.ok_or_else(|| bad_answer("SIOCGDRVSPEC"))?.as_chunks::<{ size_of::<IfCarpVhaddr>() }>();
    if !rest.is_empty() {
        return Err(bad_answer("SIOCGDRVSPEC"));
    }
    if !rows.is_empty() {
        write_row(out, "virtual addr", "backing addr", "flags")?;
    }
    for row in rows {
        let carpa: IfCarpVhaddr = zerocopy::transmute!(*row);
        let backing = carpa.carpa_baddr.addr();
        let backing = if backing.is_unspecified() { "*".to_owned() } else { backing.to_string() };
        let owner = Vhaf::from_bits_retain(carpa.carpa_flags).contains(Vhaf::OWNER);
        write_row(out, &carpa.carpa_addr.addr().to_string(), &backing, if owner { "O" } else { "*" })?;
    }
    Ok(())
}

fn write_row(out: &mut dyn Write, addr: &str, backing: &str, flags: &str) -> Result<(), Failure> {
    Ok(writeln!(out, "{addr:<15} {backing:<15} {flags}")?)
}
