//! Shows interfaces: `ifconfig.c: status`, `af_link.c`, `af_inet.c`,
//! `af_inet6.c`.

use super::target::{Target, does_not_exist};
use super::{Family, View, Wanted, carp_status, group};
use crate::failure::Failure;
use crate::iflist::{self, Addr, Inet, Inet6, Interface};
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
    let target = Target::find(kernel, name)?.ok_or_else(|| does_not_exist(word))?;
    let interface = target.interface(kernel)?;
    status(kernel, out, &interface, view)
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
    if view.shows(Family::Link) {
        write_link(out, interface)?;
    }
    for ifa in &interface.addrs {
        match &ifa.addr {
            Addr::Inet(inet) if view.shows(Family::Inet) => write_inet(out, interface.flags, inet)?,
            Addr::Inet6(inet6) if view.shows(Family::Inet6) => write_inet6(out, interface, inet6)?,
            _ => continue,
        }
        match ifa.vhid {
            0 => writeln!(out)?,
            vhid => writeln!(out, " vhid {vhid}")?,
        }
    }
    let (None, Some(name)) = (view.family, IfName::new(name)) else { return Ok(()) };
    let target = Target::listed(name, interface);
    match interface.if_type {
        IFT_CARP => carp_status::of_carp(kernel, out, &target, view.keys)?,
        _ => carp_status::of_vhids(kernel, out, &target, view.keys)?,
    }
    group::status(kernel, out, name)
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

/// `af_inet.c: in_status`, without the line's end.
fn write_inet(out: &mut dyn Write, flags: Iff, inet: &Inet) -> Result<(), Failure> {
    write!(out, "\tinet {}", inet.addr)?;
    if flags.contains(Iff::POINTOPOINT) {
        write!(out, " --> {}", inet.broadcast)?;
    }
    write!(out, " netmask {:#x}", u32::from(inet.netmask))?;
    if flags.contains(Iff::BROADCAST) && !inet.broadcast.is_unspecified() {
        write!(out, " broadcast {}", inet.broadcast)?;
    }
    Ok(())
}

/// `af_inet6.c: in6_status`, without the line's end.
fn write_inet6(out: &mut dyn Write, interface: &Interface, inet6: &Inet6) -> Result<(), Failure> {
    write!(out, "\tinet6 {}", inet6.addr)?;
    match inet6.scope {
        0 => {}
        // getnameinfo(3) knows only names of interfaces there are.
        scope if scope == interface.index.into() => write!(out, "%{}", interface.name)?,
        other => write!(out, "%{other}")?,
    }
    write!(out, " prefixlen {}", inet6.prefixlen)?;
    if inet6.scope != 0 {
        write!(out, " scopeid {:#x}", inet6.scope)?;
    }
    Ok(())
}
