//! The machine that it was measured on.

use std::fs;
use std::process::Command;

/// CPU, cores, memory, kernel, compiler: one line.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = field(&cpuinfo, "model name").unwrap_or("an unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal").and_then(gibibytes).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    // a build's own suffix says nothing to anybody else
    let kernel = release.trim().split('-').next().unwrap_or_default();
    let rustc = said("rustc", &["--version"]).unwrap_or_else(|| "an unknown rustc".to_owned());
    let rustc = rustc.split(" (").next().unwrap_or_default().to_owned();
    let ucarp = said("dpkg-query", &["-W", "-f=${Version}", "ucarp"]);
    let keepalived = said("dpkg-query", &["-W", "-f=${Version}", "keepalived"]);
    let peers = [("ucarp", ucarp), ("keepalived", keepalived)];
    let peers = peers.map(|(name, v)| v.map_or_else(String::new, |v| format!(", {name} {v}"))).concat();
    format!("{cpu}, {cores} cores, {memory} GiB, Linux {kernel}, {rustc}{peers}")
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned()).filter(|s| !s.is_empty())
}

/// The value of a `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

fn gibibytes(kib: &str) -> Option<String> {
    let kib: f64 = kib.strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{:.0}", kib / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let text = "processor\t: 0\nmodel name\t: A CPU\nmodel name\t: A CPU\n";
        assert_eq!((field(text, "model name"), field(text, "bogomips")), (Some("A CPU"), None));
        assert_eq!(gibibytes("8388608 kB").as_deref(), Some("8"));
    }
}
