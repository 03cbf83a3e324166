//! `net.inet.carp`: `carp_opts` and what else of CARP has a name.

use crate::carpreq::CarpStats;
use crate::hmac::Form;
use crate::kernel::Cx;
use crate::{demote, output, vhaddr};
use compat::sys::ctlsock::CtlType;
use compat::sys::errno::Errno;
use compat::sys::sysctl::{Context, Oid, Read, int_in, int_out};
use core::cell::Cell;
use core::ops::RangeInclusive;
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
    /// `CARPCTL_ARPBALANCE`: vhids with one address share its clients.
    pub arpbalance: Cell<i32>,
    /// FreeBSD's: what three failed advertisements add to the demotion.
    pub senderr_demotion_factor: Cell<i32>,
    /// FreeBSD's: what a parent that is down adds to the demotion.
    pub ifdown_demotion_factor: Cell<i32>,
    /// What an address without a backing one adds to it.
    pub unbacked_demotion_factor: Cell<i32>,
    /// FreeBSD's: the code point of IPv4 advertisements.
    pub dscp: Cell<i32>,
    /// Whether the digest that is sent covers link-local addresses.
    pub digest_linklocal: Cell<i32>,
}

/// `IPTOS_LOWDELAY` as a code point: what upstream sends.
const DSCP_LOWDELAY: i32 = 4;
/// FreeBSD's factors, unless told otherwise: as much as demotion can do.
const DEMOTION_FACTOR: i32 = 240;

impl Default for CarpOpts {
    fn default() -> Self {
        CarpOpts {
            allow: Cell::new(1),
            preempt: Cell::new(0),
            log: Cell::new(1),
            setroute: Cell::new(1),
            arpbalance: Cell::new(0),
            senderr_demotion_factor: Cell::new(DEMOTION_FACTOR),
            ifdown_demotion_factor: Cell::new(DEMOTION_FACTOR),
            // Upstream's: it is no reason.
            unbacked_demotion_factor: Cell::new(0),
            dscp: Cell::new(DSCP_LOWDELAY),
            digest_linklocal: Cell::new(1),
        }
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

    /// `carp_opts[CARPCTL_ARPBALANCE]`
    pub fn arpbalance(&self) -> bool {
        self.arpbalance.get() != 0
    }

    /// `ip_tos` of an advertisement.
    pub fn tos(&self) -> u8 {
        // 0 to 63, as it was accepted.
        (self.dscp.get() as u8) << 2
    }

    /// Which digest is sent.
    pub fn digest_form(&self) -> Form {
        if self.digest_linklocal.get() != 0 { Form::All } else { Form::Global }
    }
}

/// The code points that there are.
const CODE_POINTS: RangeInclusive<i32> = 0..=63;
/// What can be added to the demotion.
const FACTORS: RangeInclusive<i32> = 0..=i32::MAX;

/// The lowest and the highest value of a leaf that does not take all.
pub fn range(name: &str) -> Option<(i32, i32)> {
    let range = match name.strip_prefix("net.inet.carp.")? {
        "dscp" => CODE_POINTS,
        "ifdown_demotion_factor" | "senderr_demotion_factor" | "unbacked_demotion_factor" => FACTORS,
        _ => return None,
    };
    Some(range.into_inner())
}

/// The context of CARP's leaves: [`Cx`].
pub struct CarpContext;

impl Context for CarpContext {
    type Cx<'a> = Cx<'a>;
}

/// A leaf that is one of `carp_opts`.
macro_rules! opt {
    ($name:literal, $field:ident, $descr:literal) => {
        opt!($name, $field, $descr, i32::MIN..=i32::MAX)
    };
    ($name:literal, $field:ident, $descr:literal, $range:expr) => {
        opt!($name, $field, $descr, $range, |_| {})
    };
    ($name:literal, $field:ident, $descr:literal, $range:expr, $then:expr) => {
        Oid {
            name: $name,
            ctltype: CtlType::Int,
            descr: $descr,
            read: |cx| int_out(cx.carp.own(cx.n0).opts.$field.get()),
            write: Some(|cx, new| {
                let new = Some(int_in(new)?).filter(|v| $range.contains(v)).ok_or(Errno::EINVAL)?;
                cx.carp.own(cx.n0).opts.$field.set(new);
                let then: fn(&Cx<'_>) = $then;
                then(cx);
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
    opt!("net.inet.carp.arpbalance", arpbalance, "Vhids with one address share its clients"),
    Oid {
        name: "net.inet.carp.demotion",
        ctltype: CtlType::Int,
        descr: "What is added to every advskew; a write adds",
        read: |cx| {
            let sum = cx.carp.own(cx.n0).demotion.get();
            int_out(sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
        },
        write: Some(|cx, new| {
            demote::demote_adj(cx, int_in(new)?, "sysctl");
            Ok(())
        }),
    },
    opt!("net.inet.carp.digest_linklocal", digest_linklocal, "The digest sent covers link-local addresses"),
    opt!("net.inet.carp.dscp", dscp, "Code point of IPv4 advertisements", CODE_POINTS),
    opt!(
        "net.inet.carp.ifdown_demotion_factor",
        ifdown_demotion_factor,
        "What a parent that is down adds to the demotion",
        FACTORS
    ),
    opt!("net.inet.carp.log", log, "Log bad carp packets (1) and transitions (2)"),
    rd("net.inet.carp.ownechoes", "Own advertisements that came back", |cx| {
        int_out(i32::try_from(cx.carp.own(cx.n0).echoes.get()).unwrap_or(i32::MAX))
    }),
    opt!("net.inet.carp.preempt", preempt, "A better backup takes over from a worse master"),
    rd("net.inet.carp.prio_ad", "Prioritize advertisement packet", |_| int_out(output::PRIO_AD)),
    opt!(
        "net.inet.carp.senderr_demotion_factor",
        senderr_demotion_factor,
        "What failed advertisements add to the demotion",
        FACTORS
    ),
    opt!(
        "net.inet.carp.setroute",
        setroute,
        "Prefix routes follow the master",
        i32::MIN..=i32::MAX,
        vhaddr::setroute_changed
    ),
    Oid {
        name: "net.inet.carp.stats",
        ctltype: CtlType::Opaque,
        descr: "CARP statistics (struct carpstats)",
        read: |cx| cx.carp.own(cx.n0).stats().as_bytes().to_vec(),
        write: Some(|cx, new| {
            // Counters are zeroed, never set.
            let new = CarpStats::read_from_bytes(new).map_err(|_| Errno::EINVAL)?;
            if new != CarpStats::default() {
                return Err(Errno::EINVAL);
            }
            cx.carp.own(cx.n0).count(|s| *s = new);
            Ok(())
        }),
    },
    rd("net.inet.carp.suppress_preempt", "Preemption is suppressed", |cx| {
        int_out(cx.carp.own(cx.n0).suppress_preempt.get())
    }),
    opt!(
        "net.inet.carp.unbacked_demotion_factor",
        unbacked_demotion_factor,
        "What an interface with an address that nothing backs adds to the demotion",
        FACTORS,
        demote::unbacked_factor_changed
    ),
];
