//! Whose an interface is: `netisrd PID START` beside its name, so that the next
//! netisrd knows what a dead one has left, and leaves a living one what it has.

use std::fs;
use std::io;

/// What such an alias begins with.
const ALIAS: &str = "netisrd";

/// The alias of this process.
pub(super) fn alias() -> io::Result<String> {
    let pid = std::process::id();
    let start = started(pid).ok_or_else(|| io::Error::other("/proc: no start of this process"))?;
    Ok(format!("{ALIAS} {pid} {start}"))
}

/// Whether it is that of a process that is no more.
pub(super) fn is_left(alias: &str) -> bool {
    let words: Vec<&str> = alias.split(' ').collect();
    match words[..] {
        // Of one that said no more.
        [ALIAS] => true,
        [ALIAS, pid, start] => match (pid.parse(), start.parse::<u64>()) {
            (Ok(pid), Ok(start)) => started(pid) != Some(start),
            _ => false,
        },
        _ => false,
    }
}

/// When a process was started, in ticks since the boot: its number alone may be
/// another one's by now.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may have anything in it.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_living_one_keeps_what_it_has() {
        let ours = alias().unwrap();
        assert!(!is_left(&ours), "{ours}");
        let (of, start) = ours.rsplit_once(' ').unwrap();
        let later = start.parse::<u64>().unwrap() + 1;
        for left in [format!("{of} {later}"), format!("netisrd 4294967295 {start}"), "netisrd".into()] {
            assert!(is_left(&left), "{left}");
        }
        for other in ["", "netisrd's", "uplink", "the netisrd 1 1", "netisrd lan", "netisrd 1 lan"] {
            assert!(!is_left(other), "{other}");
        }
    }
}
