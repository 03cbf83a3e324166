//! The four commands against a little machine that writes down what it is
//! asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_lines;
mod configure;
mod group;
mod inet6;
mod machine;
mod netstat;
mod peers;
mod route;
mod show;
mod socket;
mod sysctl;
mod vhid;

use ifconfig_carp::{Run, Syscalls};
use machine::Machine;
use std::ffi::OsString;

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: u8,
    stdout: String,
    stderr: String,
}

fn run_on(run: Run, sys: &mut dyn Syscalls, args: &[OsString]) -> Outcome {
    let mut argv = vec![OsString::from("program")];
    argv.extend_from_slice(args);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = run(&argv, sys, &mut stdout, &mut stderr);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { status, stdout: text(stdout), stderr: text(stderr) }
}

/// Runs a line whose words have no spaces in them.
fn run(run: Run, machine: &mut Machine, line: &str) -> Outcome {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    run_on(run, machine, &args)
}

fn ifconfig(machine: &mut Machine, line: &str) -> Outcome {
    run(ifconfig_carp::ifconfig::run, machine, line)
}

/// Runs a line that must succeed silently; its requests, in order.
fn requests_of(machine: &mut Machine, line: &str) -> Vec<String> {
    assert_eq!(ifconfig(machine, line), success(""), "{line}");
    std::mem::take(&mut machine.log)
}

/// Runs a line that must fail with that text and leave the machine as it was.
fn fails_and_changes_nothing(machine: &mut Machine, line: &str, text: &str) {
    let before = machine.snapshot();
    assert_eq!(ifconfig(machine, line), failure(&format!("ifconfig-carp: {text}")), "{line}");
    assert_eq!(machine.snapshot(), before, "{line}");
}

fn success(stdout: &str) -> Outcome {
    Outcome { status: 0, stdout: stdout.into(), stderr: String::new() }
}

fn failure(stderr: &str) -> Outcome {
    Outcome { status: 1, stdout: String::new(), stderr: format!("{stderr}\n") }
}
