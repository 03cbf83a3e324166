//! Shows interfaces: `ifconfig.c: status`, `af_link.c`, `af_inet.c`.

use super::apply::{does_not_exist, exists};
use super::{Family, View, Wanted, carp};
use crate::failure::Failure;
use crate::iflist::{self, Inet, Interface};
use crate::kernel::Kernel;
use compat::net::if_::{IFT_CARP, IFT_ETHER, IfName, Iff};
use std::ffi::OsStr;
use std::io::Write;

/// `-l`: names on one line. Upstream's only filter here is for Ethernet.
pub(crate) fn names(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    wanted: Wanted,
    family: Option<Family>,
) -> Result<(), Failure> {
    let list = iflist::read(kernel)?;
    let names: Vec<&str> = list
        .iter()
        .filter(|i| wanted.includes(i.flags.contains(Iff::UP)))
        .filter(|i| family != Some(Family::Link) || i.if_type == IFT_ETHER)
        .map(|i| i.name.as_str())
        .collect();
    Ok(writeln!(out, "{}", names.join(" "))?)
}

/// `-a`, or no arguments.
pub(crate) fn all(kernel: &mut Kernel, out: &mut dyn Write, view: View) -> Result<(), Failure> {
    for interface in iflist::read(kernel)? {
        status(kernel, out, &interface, view)?;
    }
    Ok(())
}

/// One interface, by name.
pub(crate) fn one(kernel: &mut Kernel, out: &mut dyn Write, word: &OsStr, view: View) -> Result<(), Failure> {
    let name = word.to_str().and_then(IfName::new).ok_or_else(|| does_not_exist(word))?;
    if !exists(kernel, name)? {
        return Err(does_not_exist(word));
    }
    let list = iflist::read(kernel)?;
    // It may have been destroyed in between.
    let interface = list.iter().find(|i| i.name == name.as_str()).ok_or_else(|| does_not_exist(word))?;
    status(kernel, out, interface, view)
}

fn status(
    kernel: &mut Kernel,
    out: &mut dyn Write,
    interface: &Interface,
    view: View,
) -> Result<(), Failure> {
    if !view.wanted.includes(interface.flags.contains(Iff::UP)) {
        return Ok(());
    }
    let Interface { name, metric, mtu, .. } = interface;
    writeln!(out, "{name}: flags={} metric {metric} mtu {mtu}", printb(interface.flags))?;
    if view.family != Some(Family::Inet) {
        write_link(out, interface)?;
    }
    if view.family != Some(Family::Link) {
        for inet in &interface.inet {
            write_inet(out, interface.flags, inet)?;
        }
    }
    match (view.family, interface.if_type, IfName::new(name)) {
        (None, IFT_CARP, Some(name)) => carp::status(kernel, out, name, view.keys),
        _ => Ok(()),
    }
}

/// `ifconfig.c: printb` with `IFFBITS`. The two agree on order and names, and
/// a bit without a name shows in the number only.
fn printb(flags: Iff) -> String {
    let names: Vec<&str> = flags.iter_names().map(|(name, _)| name).collect();
    format!("{:x}<{}>", flags.bits(), names.join(","))
}

/// `af_link.c: link_status`. A carp interface's address is an Ethernet one,
/// though its type is its own.
fn write_link(out: &mut dyn Write, interface: &Interface) -> Result<(), Failure> {
    let octets: Vec<String> = interface.lladdr.iter().map(|b| format!("{b:02x}")).collect();
    let word = match (octets.len(), interface.if_type) {
        (0, _) => return Ok(()),
        (6, IFT_ETHER | IFT_CARP) => "ether",
        _ => "lladdr",
    };
    Ok(writeln!(out, "\t{word} {}", octets.join(":"))?)
}

/// `af_inet.c: in_status`
fn write_inet(out: &mut dyn Write, flags: Iff, inet: &Inet) -> Result<(), Failure> {
    write!(out, "\tinet {}", inet.addr)?;
    if flags.contains(Iff::POINTOPOINT) {
        write!(out, " --> {}", inet.broadcast)?;
    }
    write!(out, " netmask {:#x}", u32::from(inet.netmask))?;
    if flags.contains(Iff::BROADCAST) && !inet.broadcast.is_unspecified() {
        write!(out, " broadcast {}", inet.broadcast)?;
    }
    Ok(writeln!(out)?)
}
