//! What processes use, as the kernel counts it.

use std::fs;
use std::io;

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

/// Of all threads that a process has now.
fn cpu_seconds(pid: i32) -> io::Result<f64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += on_cpu(&text).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(nanos as f64 / 1e9)
}

/// The first number of a `schedstat`: nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn megabytes(maps: &str, field: &str) -> Option<f64> {
    let line = maps.lines().find_map(|l| l.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(on_cpu("1234567890 42 7\n"), Some(1_234_567_890));
        assert_eq!(on_cpu(""), None);
        let maps = "5555-7fff ---p 00000000 00:00 0    [rollup]\nRss:      1000 kB\nPss:       250 kB\n";
        assert_eq!((megabytes(maps, "Rss:"), megabytes(maps, "Pss:")), (Some(1.024), Some(0.256)));
        assert_eq!(megabytes(maps, "Swap:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(&[std::process::id() as i32]).unwrap();
        assert!(usage.rss >= usage.pss && usage.pss > 0.1, "{usage:?}");
    }
}
