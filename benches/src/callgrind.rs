//! Instructions per call: the same on a busy machine as on an idle one.

use crate::lab;
use std::env;
use std::process::{Command, Stdio};

/// The difference of two runs has nothing of the start in it.
const CALLS: [u32; 2] = [1_000, 11_000];

/// Whether there is valgrind; says so in `section` if there is none.
pub(crate) fn is_here(section: &str) -> bool {
    let here = lab::find_program("valgrind").is_some();
    if !here {
        println!("{section}: no instructions counted, there is no valgrind");
    }
    here
}

/// Instructions of one call, of which this program makes as many as the last
/// of its arguments says.
pub(crate) fn per_call(args: &[&str]) -> Result<f64, String> {
    let [few, many] = CALLS.map(|calls| instructions(args, calls));
    Ok((many? - few?) / f64::from(CALLS[1] - CALLS[0]))
}

fn instructions(args: &[&str], calls: u32) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(env::current_exe().map_err(|e| e.to_string())?);
    command.args(args).arg(calls.to_string());
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("valgrind: {e}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    collected(&said)
        .filter(|_| out.status.success())
        .ok_or_else(|| format!("valgrind: {}: {said}", out.status))
}

/// The number in callgrind's last words.
fn collected(said: &str) -> Option<f64> {
    said.lines().find_map(|l| l.split_once("Collected : "))?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_last_words_are_understood() {
        let said = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(said), Some(123_456.0));
        assert_eq!(collected("==7== Bad option"), None);
    }
}
