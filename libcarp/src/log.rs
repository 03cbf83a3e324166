//! `CARP_LOG` and `CARP_DEBUG`, with a bound on how much a wire can make the
//! machine write.

use crate::kernel::{Cx, Level};
use compat::sys::ratecheck::RateCheck;
use core::fmt;

/// Complaints about packets that are logged each second. Upstream logs all.
const PER_SECOND: u32 = 5;

/// How many complaints are still written.
pub struct LogLimit(RateCheck);

impl Default for LogLimit {
    fn default() -> Self {
        LogLimit(RateCheck::new(PER_SECOND))
    }
}

/// `CARP_LOG` for what a packet on the wire provokes: written when
/// `net.inet.carp.log` is 1 or more, at most five lines a second.
pub fn packet(cx: &Cx<'_>, line: fmt::Arguments<'_>) {
    let own = cx.carp.own(cx.n0);
    if own.opts.log.get() < 1 {
        return;
    }
    if let Some(held_back) = own.log_limit.0.pass(cx.kern.now()) {
        if held_back > 0 {
            cx.kern.log(Level::Info, format_args!("carp: {held_back} more bad packets were not logged"));
        }
        cx.kern.log(Level::Info, line);
    }
}

/// `CARP_LOG` for what the machine itself does.
pub fn info(cx: &Cx<'_>, line: fmt::Arguments<'_>) {
    if cx.carp.own(cx.n0).opts.log.get() > 0 {
        cx.kern.log(Level::Info, line);
    }
}

/// `CARP_DEBUG`: written when `net.inet.carp.log` is 2 or more.
pub fn debug(cx: &Cx<'_>, line: fmt::Arguments<'_>) {
    if cx.carp.own(cx.n0).opts.log.get() > 1 {
        cx.kern.log(Level::Debug, line);
    }
}
