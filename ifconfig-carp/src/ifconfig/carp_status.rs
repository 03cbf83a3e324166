//! `ifcarp.c: carp_status`, and FreeBSD's for interfaces that are no carp
//! interfaces.

use super::carp::{Secret, secrets};
use super::drvspec;
use super::number::Vhid;
use super::peers;
use super::target::Target;
use crate::failure::Failure;
use crate::iflist;
use crate::kernel::{Kernel, bad_answer};
use compat::net::if_::{IFT_CARP, IfName};
use libcarp::carpreq::{CARP_STATES, CARPGDEVNAME, CARPSDEVNAME, CarpReq};
use std::io::Write;
use zerocopy::IntoBytes;

/// A carp interface's lines. One that was destroyed meanwhile has none; `keys`
/// is `-k`.
pub(crate) fn of_carp(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    target: &Target,
    keys: bool,
) -> Result<(), Failure> {
    let found = match secrets(kernel, target.name, &[]) {
        Err(Failure::Kernel { .. }) => return Ok(()),
        other => other?,
    };
    let [Secret(carpr)] = found.as_slice() else { return Err(bad_answer("SIOCGVH")) };
    if carpr.carpr_vhid > 0 {
        write_carp(out, carpr)?;
        writeln!(out)?;
    }
    peers::status(kernel, out, target)?;
    if let Some(key) = Some(key(carpr)).filter(|key| keys && !key.is_empty()) {
        write!(out, "\tkey ")?;
        write_key(out, key)?;
        writeln!(out)?;
    }
    let devname = devname(kernel, target.name)?;
    if !devname.is_empty() {
        writeln!(out, "\tcarpdev: {devname}")?;
    }
    Ok(())
}

/// `carp.c: carp_status`: a line, maybe two, for each virtual host.
pub(crate) fn of_vhids(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    target: &Target,
    keys: bool,
) -> Result<(), Failure> {
    let found = match secrets(kernel, target.name, CarpReq::default().as_bytes()) {
        Err(Failure::Kernel { .. }) => return Ok(()),
        other => other?,
    };
    for Secret(carpr) in &found {
        write_carp(out, carpr)?;
        if let Some(key) = Some(key(carpr)).filter(|key| keys && !key.is_empty()) {
            write!(out, " key ")?;
            write_key(out, key)?;
        }
        writeln!(out)?;
        let vhid = Vhid::from_c_int(carpr.carpr_vhid).ok_or_else(|| bad_answer("SIOCGVH"))?;
        peers::status(kernel, out, &target.of_vhid(vhid))?;
    }
    Ok(())
}

/// Without the line's end.
fn write_carp(out: &mut dyn Write, carpr: &CarpReq) -> Result<(), Failure> {
    let state = usize::try_from(carpr.carpr_state).ok().and_then(|s| CARP_STATES.get(s));
    Ok(write!(
        out,
        "\tcarp: {} vhid {} advbase {} advskew {}",
        state.unwrap_or(&"<UNKNOWN>"),
        carpr.carpr_vhid,
        carpr.carpr_advbase,
        carpr.carpr_advskew
    )?)
}

/// The key without the NULs behind it. All zeros is no key, or one that only
/// root may see.
fn key(carpr: &CarpReq) -> &[u8] {
    let end = carpr.carpr_key.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    carpr.carpr_key.get(..end).unwrap_or_default()
}

/// The key as one would type it.
fn write_key(out: &mut dyn Write, key: &[u8]) -> Result<(), Failure> {
    write!(out, "\"")?;
    for b in key {
        match b {
            b'"' | b'\\' => write!(out, "\\{}", char::from(*b))?,
            b' '..=b'~' => write!(out, "{}", char::from(*b))?,
            other => write!(out, "\\x{other:02x}")?,
        }
    }
    Ok(write!(out, "\"")?)
}

fn devname(kernel: &mut Kernel, name: IfName) -> Result<String, Failure> {
    let parent = found(drvspec::get::<IfName>(kernel, name, CARPGDEVNAME, &[]))?;
    Ok(parent.map_or("none".to_owned(), |parent| parent.as_str().to_owned()))
}

/// Whether anybody but `but` holds that vhid on `parent`: one of its own
/// virtual hosts, or a carp interface that is on it or is to be.
pub(crate) fn has_vhid(
    kernel: &mut Kernel,
    parent: IfName,
    vhid: Vhid,
    but: IfName,
) -> Result<bool, Failure> {
    let vhid = i32::from(vhid);
    let own = found(secrets(kernel, parent, CarpReq::default().as_bytes()))?;
    if own.iter().flatten().any(|Secret(carpr)| carpr.carpr_vhid == vhid) {
        return Ok(true);
    }
    for interface in iflist::read(kernel)?.into_iter().filter(|i| i.if_type == IFT_CARP) {
        let Some(name) = IfName::new(&interface.name).filter(|name| *name != but) else { continue };
        let has = found(secrets(kernel, name, &[]))?;
        if has.iter().flatten().any(|Secret(carpr)| carpr.carpr_vhid == vhid) {
            for which in [CARPGDEVNAME, CARPSDEVNAME] {
                if found(drvspec::get::<IfName>(kernel, name, which, &[]))? == Some(parent) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Nothing, where the machine says that there is none.
fn found<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Failure::Kernel { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}
