//! `vhaddr`: `ifcarp.c: getcarp_vhaddr`, except that a refusal is told, and
//! with IPv6 after it.

use super::drvspec;
use crate::failure::Failure;
use crate::kernel::Kernel;
use crate::syscalls::Syscalls;
use compat::net::if_::IfName;
use libcarp::carpreq::{CARPGVHADDR, CARPGVHADDR6, IfCarpVhaddr, IfCarpVhaddr6, Vhaf};
use std::io::Write;
use std::net::IpAddr;

/// The longest address of the family.
const WIDTH: usize = 15;
const WIDTH6: usize = 39;

/// The virtual addresses of a carp interface, each with the address that backs it.
///
/// # Errors
/// What the command would say.
pub fn backings(calls: &mut dyn Syscalls, name: IfName) -> Result<Vec<(IpAddr, Option<IpAddr>)>, String> {
    let kernel = &mut Kernel::new(calls);
    let inet: Vec<IfCarpVhaddr> =
        drvspec::table(kernel, name, CARPGVHADDR).map_err(|e: Failure| e.to_string())?;
    let inet6: Vec<IfCarpVhaddr6> =
        drvspec::table(kernel, name, CARPGVHADDR6).map_err(|e: Failure| e.to_string())?;
    let inet = inet.iter().map(|r| (IpAddr::V4(r.carpa_addr.addr()), IpAddr::V4(r.carpa_baddr.addr())));
    let inet6 = inet6.iter().map(|r| (IpAddr::V6(r.carpa_addr.addr()), IpAddr::V6(r.carpa_baddr.addr())));
    let known = |(addr, back): (IpAddr, IpAddr)| (addr, Some(back).filter(|b| !b.is_unspecified()));
    Ok(inet.chain(inet6).map(known).collect())
}

/// Prints both tables, each if there is anything in it.
pub(crate) fn vhaddr(kernel: &mut Kernel, out: &mut dyn Write, name: IfName) -> Result<(), Failure> {
    let inet: Vec<IfCarpVhaddr> = drvspec::table(kernel, name, CARPGVHADDR)?;
    let inet6: Vec<IfCarpVhaddr6> = drvspec::table(kernel, name, CARPGVHADDR6)?;
    let inet = inet.iter().map(|r| row(r.carpa_flags, r.carpa_addr.addr(), r.carpa_baddr.addr()));
    write_table(out, WIDTH, inet.collect())?;
    let inet6 = inet6.iter().map(|r| row(r.carpa_flags, r.carpa_addr.addr(), r.carpa_baddr.addr()));
    write_table(out, WIDTH6, inet6.collect())
}

/// Virtual address, backing address, flags.
type Row = [String; 3];

fn row(flags: u32, addr: impl Into<IpAddr>, backing: impl Into<IpAddr>) -> Row {
    let backing = backing.into();
    let backing = if backing.is_unspecified() { "*".to_owned() } else { backing.to_string() };
    let owner = Vhaf::from_bits_retain(flags).contains(Vhaf::OWNER);
    [addr.into().to_string(), backing, if owner { "O" } else { "*" }.to_owned()]
}

fn write_table(out: &mut dyn Write, width: usize, mut rows: Vec<Row>) -> Result<(), Failure> {
    if !rows.is_empty() {
        rows.insert(0, ["virtual addr", "backing addr", "flags"].map(str::to_owned));
    }
    for [addr, backing, flags] in rows {
        writeln!(out, "{addr:<width$} {backing:<width$} {flags}")?;
    }
    Ok(())
}
