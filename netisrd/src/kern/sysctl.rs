//! `kern_sysctl.c`: the machine's own leaves, beside CARP's.

use crate::machine::{Ctx, Ctx0, Machine};
use crate::net::rt_sysctl;
use compat::net::if_var::Counter;
use compat::sys::ctlsock::{CtlType, SYSCTL_IFLIST, SYSCTL_NAMES, SYSCTL_RTTABLE};
use compat::sys::errno::Errno;
use compat::sys::sysctl::{self, Context, Oid, Read, Value, int_in, int_out};
use core::sync::atomic::Ordering;

/// The context of the machine's leaves.
struct MachineContext;

impl Context for MachineContext {
    type Cx<'a> = Ctx<'a>;
}

const fn rd(name: &'static str, descr: &'static str, read: Read<MachineContext>) -> Oid<MachineContext> {
    Oid { name, ctltype: CtlType::Int, descr, read, write: None }
}

const fn text(name: &'static str, descr: &'static str, read: Read<MachineContext>) -> Oid<MachineContext> {
    Oid { name, ctltype: CtlType::String, descr, read, write: None }
}

fn count(f: impl Fn(&Machine) -> &Counter, m: &Machine) -> Vec<u8> {
    int_out(i32::try_from(f(m).value()).unwrap_or(i32::MAX))
}

const OIDS: &[Oid<MachineContext>] = &[
    rd("kern.hz", "Ticks a second of callouts; 0 for exact ones", |cx| int_out(cx.m.hz() as i32)),
    text("kern.ostype", "Operating system type", |_| b"netisrd".to_vec()),
    text("kern.osrelease", "Operating system release", |_| env!("CARGO_PKG_VERSION").into()),
    rd("kern.uptime", "Seconds since boot", |cx| int_out((cx.m.clock().now().0 / 1_000_000_000) as i32)),
    rd("net.inet.carp.othervhid", "Advertisements for a vhid that nobody here has", |cx| {
        count(|m| &m.other_vhid, cx.m)
    }),
    rd("net.inet.ip.stats.total", "IPv4 packets received", |cx| count(|m| &m.ipstat.total, cx.m)),
    rd("net.inet.ip.stats.badlen", "Lengths that do not add up", |cx| count(|m| &m.ipstat.badlen, cx.m)),
    rd("net.inet.ip.stats.badvers", "Not version 4", |cx| count(|m| &m.ipstat.badvers, cx.m)),
    rd("net.inet.ip.stats.badhlen", "Bad header length", |cx| count(|m| &m.ipstat.badhlen, cx.m)),
    rd("net.inet.ip.stats.badsum", "Bad header checksum", |cx| count(|m| &m.ipstat.badsum, cx.m)),
    rd("net.inet.ip.stats.fragments", "Fragments dropped", |cx| count(|m| &m.ipstat.fragments, cx.m)),
    rd("net.inet.ip.stats.cantforward", "Not ours", |cx| count(|m| &m.ipstat.cantforward, cx.m)),
    rd("net.inet.ip.stats.noproto", "Unknown protocol", |cx| count(|m| &m.ipstat.noproto, cx.m)),
    rd("net.inet.ip.stats.delivered", "Delivered", |cx| count(|m| &m.ipstat.delivered, cx.m)),
    rd("net.inet.ip.stats.noroute", "No route to send by", |cx| count(|m| &m.ipstat.noroute, cx.m)),
    rd("net.inet6.ip6.stats.total", "IPv6 packets received", |cx| count(|m| &m.ip6stat.total, cx.m)),
    rd("net.inet6.ip6.stats.badlen", "Lengths that do not add up", |cx| count(|m| &m.ip6stat.badlen, cx.m)),
    rd("net.inet6.ip6.stats.badvers", "Not version 6", |cx| count(|m| &m.ip6stat.badvers, cx.m)),
    rd("net.inet6.ip6.stats.badscope", "Addresses out of scope", |cx| count(|m| &m.ip6stat.badscope, cx.m)),
    rd("net.inet6.ip6.stats.cantforward", "Not ours", |cx| count(|m| &m.ip6stat.cantforward, cx.m)),
    rd("net.inet6.ip6.stats.noproto", "Unknown protocol", |cx| count(|m| &m.ip6stat.noproto, cx.m)),
    rd("net.inet6.ip6.stats.delivered", "Delivered", |cx| count(|m| &m.ip6stat.delivered, cx.m)),
    rd("net.inet6.ip6.stats.noroute", "No route to send by", |cx| count(|m| &m.ip6stat.noroute, cx.m)),
    Oid {
        name: "net.inet6.ip6.forwarding",
        ctltype: CtlType::Int,
        descr: "Neighbours are told that this is a router",
        read: |cx| int_out(cx.m.ip6_forwarding.load(Ordering::Relaxed).into()),
        write: Some(|cx, new| {
            let on = Some(int_in(new)?).filter(|v| (0..=1).contains(v)).ok_or(Errno::EINVAL)? != 0;
            cx.m.ip6_forwarding.store(on, Ordering::Relaxed);
            Ok(())
        }),
    },
    rd("net.netisr.ncpus", "# of CPUs to handle network messages", |cx| int_out(cx.m.ncpus() as i32)),
];

/// `sysctlbyname`. `ENOENT` for no such name.
pub fn sysctl(cx: &mut Ctx0<'_>, name: &str, new: &[u8], privileged: bool) -> Result<Value, Errno> {
    let read_only = if new.is_empty() { Ok(()) } else { Err(Errno::EPERM) };
    if name == SYSCTL_NAMES {
        return read_only.map(|()| (CtlType::String, names()));
    }
    if let Some(first) = name.strip_prefix(SYSCTL_IFLIST).and_then(|rest| rest.strip_prefix('.')) {
        read_only?;
        let first: u32 = first.parse().map_err(|_| Errno::ENOENT)?;
        // Beyond the last index there is none.
        let list = u16::try_from(first).map_or(Ok(Vec::new()), |first| rt_sysctl::iflist(cx, first));
        return list.map(|list| (CtlType::Opaque, list));
    }
    if let Some(first) = name.strip_prefix(SYSCTL_RTTABLE).and_then(|rest| rest.strip_prefix('.')) {
        read_only?;
        let first: u32 = first.parse().map_err(|_| Errno::ENOENT)?;
        return Ok((CtlType::Opaque, rt_sysctl::table(cx, first)));
    }
    if let Some(r) = cx.carp(|cx| sysctl::sysctl(libcarp::sysctl::OIDS, cx, name, new, privileged)) {
        return r;
    }
    sysctl::sysctl(OIDS, &cx.any(), name, new, privileged).unwrap_or(Err(Errno::ENOENT))
}

/// The names of all leaves, in order.
pub fn oids() -> Vec<&'static str> {
    let mut all: Vec<&str> = OIDS.iter().map(|o| o.name).collect();
    all.extend(libcarp::sysctl::OIDS.iter().map(|o| o.name));
    all.sort_unstable();
    all
}

fn names() -> Vec<u8> {
    oids().iter().flat_map(|n| n.bytes().chain([0])).collect()
}
