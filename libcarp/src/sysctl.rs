//! `net.inet.carp`: `carp_opts` and what else of CARP has a name.

use crate::carpreq::CarpStats;
use crate::kernel::Cx;
use crate::output;
use compat::sys::ctlsock::CtlType;
use compat::sys::errno::Errno;
use compat::sys::sysctl::{Context, Oid, Read, int_in, int_out};
use core::cell::Cell;
use zerocopy::{FromBytes, IntoBytes};

/// `carp_opts`
pub struct CarpOpts {
    /// `CARPCTL_ALLOW`: accept incoming advertisements.
    pub allow: Cell<i32>,
    /// `CARPCTL_PREEMPT`: a better backup takes over from a worse master.
    pub preempt: Cell<i32>,
    /// `CARPCTL_LOG`: 1 bad packets, 2 transitions too.
    pub log: Cell<i32>,
    /// `CARPCTL_SETROUTE`: prefix routes follow the MASTER.
    pub setroute: Cell<i32>,
}

impl Default for CarpOpts {
    fn default() -> Self {
        CarpOpts { allow: Cell::new(1), preempt: Cell::new(0), log: Cell::new(1), setroute: Cell::new(1) }
    }
}

impl CarpOpts {
    /// `carp_opts[CARPCTL_PREEMPT]`
    pub fn preempt(&self) -> bool {
        self.preempt.get() != 0
    }

    /// `carp_opts[CARPCTL_SETROUTE]`
    pub fn setroute(&self) -> bool {
        self.setroute.get() != 0
    }
}

/// The context of CARP's leaves: [`Cx`].
pub struct CarpContext;

impl Context for CarpContext {
    type Cx<'a> = Cx<'a>;
}

/// A leaf that is one of `carp_opts`.
macro_rules! opt {
    ($name:literal, $field:ident, $descr:literal) => {
        Oid {
            name: $name,
            ctltype: CtlType::Int,
            descr: $descr,
            read: |cx| int_out(cx.carp.own(cx.n0).opts.$field.get()),
            write: Some(|cx, new| {
                cx.carp.own(cx.n0).opts.$field.set(int_in(new)?);
                Ok(())
            }),
        }
    };
}

/// A leaf that is only read.
const fn rd(name: &'static str, descr: &'static str, read: Read<CarpContext>) -> Oid<CarpContext> {
    Oid { name, ctltype: CtlType::Int, descr, read, write: None }
}

/// `net.inet.carp`
pub const OIDS: &[Oid<CarpContext>] = &[
    opt!("net.inet.carp.allow", allow, "Accept incoming CARP packets"),
    opt!("net.inet.carp.log", log, "Log bad carp packets (1) and transitions (2)"),
    rd("net.inet.carp.ownechoes", "Own advertisements that came back", |cx| {
        int_out(i32::try_from(cx.carp.own(cx.n0).echoes.get()).unwrap_or(i32::MAX))
    }),
    opt!("net.inet.carp.preempt", preempt, "A better backup takes over from a worse master"),
    rd("net.inet.carp.prio_ad", "Prioritize advertisement packet", |_| int_out(output::PRIO_AD)),
    opt!("net.inet.carp.setroute", setroute, "Prefix routes follow the master"),
    Oid {
        name: "net.inet.carp.stats",
        ctltype: CtlType::Opaque,
        descr: "CARP statistics (struct carpstats)",
        read: |cx| cx.carp.own(cx.n0).stats.get().as_bytes().to_vec(),
        write: Some(|cx, new| {
            // Counters are zeroed, never set.
            let new = CarpStats::read_from_bytes(new).map_err(|_| Errno::EINVAL)?;
            if new != CarpStats::default() {
                return Err(Errno::EINVAL);
            }
            cx.carp.own(cx.n0).stats.set(new);
            Ok(())
        }),
    },
    rd("net.inet.carp.suppress_preempt", "Preemption is suppressed", |cx| {
        int_out(cx.carp.own(cx.n0).suppress_preempt.get())
    }),
];
