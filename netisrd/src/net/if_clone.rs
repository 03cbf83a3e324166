//! `net/if_clone.c`: carp interfaces come by `create` and go by `destroy`.

use crate::machine::Ctx0;
use crate::net::if_::{self, IfEntry, Softc};
use crate::net::{if_group, ifaddr};
use compat::net::if_::{IFT_CARP, IfName};
use compat::net::if_var::IfAttach;
use compat::sys::errno::Errno;
use libcarp::clone;
use libcarp::types::CARP_ETHERADDR;
use triomphe::Arc;

/// `IF_MAXUNIT`
const IF_MAXUNIT: u32 = 0x7fff;
const MTU: u32 = 1500;
/// The group that the cloner's interfaces are in: its name.
const GROUP: &str = "carp";

/// `if_clone_create`: `carpN`, or `carp` for the first free unit. `EINVAL` for
/// what is not a clone's name, `EEXIST` for an interface that exists.
pub fn create(cx: &mut Ctx0<'_>, name: IfName) -> Result<IfName, Errno> {
    let unit = name.as_str().strip_prefix("carp").ok_or(Errno::EINVAL)?;
    let name = match unit {
        "" => first_free(cx)?,
        _ => checked_unit(unit).and(Some(name)).ok_or(Errno::EINVAL)?,
    };
    attach(cx, name)?;
    Ok(name)
}

/// A carp interface of whatever name.
pub fn attach(cx: &mut Ctx0<'_>, name: IfName) -> Result<IfEntry, Errno> {
    let attach = |index| IfAttach {
        name,
        index,
        if_type: IFT_CARP,
        flags: clone::CARP_IF_FLAGS,
        mtu: MTU,
        lladdr: CARP_ETHERADDR,
        shared_with_host: false,
        served_by_host: false,
    };
    let softc = |cx: &mut Ctx0<'_>, ifp: &_| Softc::Carp(cx.carp(|cx| clone::create(cx, Arc::clone(ifp))));
    let entry = if_::if_attach(cx, name, attach, softc)?;
    if_group::if_addgroup(cx, &entry.ifp, GROUP)?;
    Ok(entry)
}

/// The decimal number of a unit, without leading zeros.
fn checked_unit(unit: &str) -> Option<u32> {
    let n: u32 = unit.parse().ok()?;
    (n <= IF_MAXUNIT && n.to_string() == unit).then_some(n)
}

fn first_free(cx: &Ctx0<'_>) -> Result<IfName, Errno> {
    let free = |name: &IfName| cx.m.ifunit(cx.n0, *name).is_none();
    (0..=IF_MAXUNIT).filter_map(|n| IfName::new(&format!("carp{n}"))).find(free).ok_or(Errno::ENOSPC)
}

/// `if_clone_destroy`: `ENXIO` for no such interface, `EINVAL` for one that is
/// no clone.
pub fn destroy(cx: &mut Ctx0<'_>, name: IfName) -> Result<(), Errno> {
    let entry = cx.m.ifunit(cx.n0, name).ok_or(Errno::ENXIO)?;
    destroy_entry(cx, &entry)
}

/// Destroys an interface. `EINVAL` for one that is no clone.
pub fn destroy_entry(cx: &mut Ctx0<'_>, entry: &IfEntry) -> Result<(), Errno> {
    let Softc::Carp(sc) = &entry.softc else { return Err(Errno::EINVAL) };
    cx.carp(|cx| clone::destroy(cx, sc));
    ifaddr::delete_addresses(cx, &entry.ifp);
    if_::if_detach(cx, &entry.ifp);
    cx.carp(|cx| clone::destroyed(cx, sc));
    Ok(())
}

/// The machine halts: every carp interface is gone.
pub fn destroy_all(cx: &mut Ctx0<'_>) {
    for entry in cx.m.if_entries(cx.n0) {
        // Only what is no clone refuses.
        let _ = destroy_entry(cx, &entry);
    }
}
