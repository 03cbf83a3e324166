//! Instructions per frame: the same on a busy machine as on an idle one.

use super::figures::Figures;
use super::lookup::{Kind, NAME, VHIDS};
use crate::lab;
use std::env;
use std::process::{Command, Stdio};

/// The difference of two runs has nothing of the start in it.
const FRAMES: [u32; 2] = [1_000, 11_000];

/// Counts for all kinds and numbers, if there is valgrind.
pub(super) fn measure(figures: &mut Figures) -> Result<(), String> {
    if lab::find_program("valgrind").is_none() {
        println!("{NAME}: no instructions counted, there is no valgrind");
        return Ok(());
    }
    for vhids in VHIDS {
        for kind in Kind::ALL {
            let [few, many] = FRAMES.map(|frames| instructions(vhids, frames, kind));
            let frames = f64::from(FRAMES[1] - FRAMES[0]);
            figures.push(NAME, &format!("ir.{}.{vhids}", kind.name()), (many? - few?) / frames);
        }
    }
    Ok(())
}

fn instructions(vhids: u8, frames: u32, kind: Kind) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(env::current_exe().map_err(|e| e.to_string())?);
    command.args(["lookup-once", "--kind", kind.name()]);
    command.args(["--vhids", &vhids.to_string(), "--frames", &frames.to_string()]);
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
