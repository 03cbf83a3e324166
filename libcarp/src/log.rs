//! `CARP_LOG` and `CARP_DEBUG`, with a bound on how much a wire can make the
//! machine write.

use crate::kernel::{Cx, Level};
use compat::sys::time::Time;
use core::cell::Cell;
use core::fmt;
use std::time::Duration;

/// Complaints about packets that are logged each second.
const PER_SECOND: u32 = 5;

/// Upstream logs every bad packet. A flood of them must not become a flood of
/// lines, so that only the first few of a second are written, and then how
/// many were not.
#[derive(Default)]
pub struct LogLimit {
    second: Cell<Option<Time>>,
    written: Cell<u32>,
    held_back: Cell<u64>,
}

impl LogLimit {
    /// Whether one more line may be written at `now`, and how many were held
    /// back since the last time.
    fn pass(&self, now: Time) -> Option<u64> {
        let fresh = self.second.get().is_none_or(|s| now - s >= Duration::from_secs(1));
        if fresh {
            self.second.set(Some(now));
            self.written.set(0);
        }
        if self.written.get() >= PER_SECOND {
            self.held_back.set(self.held_back.get() + 1);
            return None;
        }
        self.written.set(self.written.get() + 1);
        Some(self.held_back.replace(0))
    }
}

/// `CARP_LOG` for what a packet on the wire provokes: written when
/// `net.inet.carp.log` is 1 or more, at most five lines a second.
pub fn packet(cx: &Cx<'_>, line: fmt::Arguments<'_>) {
    let own = cx.carp.own(cx.n0);
    if own.opts.log.get() < 1 {
        return;
    }
    if let Some(held_back) = own.log_limit.pass(cx.kern.now()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_five_lines_a_second_and_a_count() {
        let l = LogLimit::default();
        let at = |ms: u64| Time(ms * 1_000_000);
        let written = (0..1000).filter(|i| l.pass(at(*i)).is_some()).count();
        assert_eq!(written, 5);
        assert_eq!(l.pass(at(1000)), Some(995));
        assert_eq!(l.pass(at(1001)), Some(0));
    }
}
