//! What processes use, as the kernel counts it.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::time::Duration;

/// What some processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Seconds on a CPU, by the scheduler's account.
    pub(crate) cpu: f64,
    /// Megabytes (10^6) resident: what is shared counts for each.
    pub(crate) rss: f64,
    /// Megabytes resident, what is shared divided among those who share it.
    pub(crate) pss: f64,
}

impl Usage {
    /// Of all of them.
    pub(crate) fn of(pids: &[i32]) -> io::Result<Usage> {
        let mut sum = Usage::default();
        for pid in pids {
            let maps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            sum.cpu += cpu_seconds(*pid)?;
            sum.rss += megabytes(&maps, "Rss:").ok_or(io::ErrorKind::InvalidData)?;
            sum.pss += megabytes(&maps, "Pss:").ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(sum)
    }
}

/// Of all threads that a process has or had: its threads one by one would be a race
/// against those that end, and would leave them out.
fn cpu_seconds(pid: i32) -> io::Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid))?;
    Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
}

fn megabytes(maps: &str, field: &str) -> Option<f64> {
    let line = maps.lines().find_map(|l| l.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::time::ClockId;

    #[test]
    fn the_kernels_tables_are_read() {
        let maps = "5555-7fff ---p 00000000 00:00 0    [rollup]\nRss:      1000 kB\nPss:       250 kB\n";
        assert_eq!((megabytes(maps, "Rss:"), megabytes(maps, "Pss:")), (Some(1.024), Some(0.256)));
        assert_eq!(megabytes(maps, "Swap:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(&[std::process::id() as i32]).unwrap();
        assert!(usage.rss >= usage.pss && usage.pss > 0.1 && usage.cpu > 0.0, "{usage:?}");
    }

    #[test]
    fn a_thread_that_has_ended_is_counted_on() {
        let me = std::process::id() as i32;
        let before = cpu_seconds(me).unwrap();
        let thread = std::thread::spawn(|| {
            let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
            while clock.now().unwrap().tv_nsec() < 20_000_000 {}
        });
        thread.join().unwrap();
        let used = cpu_seconds(me).unwrap() - before;
        assert!(used >= 0.02, "{used}");
    }
}
