//! ucarp, the peer that is not ours.

use super::proc::Proc;
use super::{Host, Lab, PATIENCE};
use nix::sys::signal::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const SWITCHING: &str = "Switching to state: ";

/// How to start ucarp.
#[derive(Clone, Debug)]
pub struct UcarpSetup {
    /// `-v`.
    pub vhid: u8,
    /// `-p`.
    pub pass: &'static str,
    /// `-a`.
    pub addr: Ipv4Addr,
    /// `-b`.
    pub advbase: u8,
    /// `-k`.
    pub advskew: u8,
    /// `-P`.
    pub preempt: bool,
    /// Whether a master's host has the address: without it ucarp only
    /// advertises, and any answer for the address is someone else's.
    pub holds_address: bool,
}

impl UcarpSetup {
    /// vhid 1, password `secret`, advbase 1.
    pub fn new(addr: Ipv4Addr, advskew: u8) -> UcarpSetup {
        let pass = "secret";
        UcarpSetup { vhid: 1, pass, addr, advbase: 1, advskew, preempt: false, holds_address: true }
    }

    /// With `-P`.
    pub fn preempt(mut self) -> UcarpSetup {
        self.preempt = true;
        self
    }

    /// With another password.
    pub fn pass(mut self, pass: &'static str) -> UcarpSetup {
        self.pass = pass;
        self
    }

    /// Without the address on the host.
    pub fn advertise_only(mut self) -> UcarpSetup {
        self.holds_address = false;
        self
    }
}

/// A running ucarp.
#[derive(Debug)]
pub struct Ucarp {
    /// The process and its log.
    pub proc: Proc,
}

impl Ucarp {
    /// Starts ucarp on a host's `v0`.
    pub fn start(lab: &Lab, host: &Host, setup: &UcarpSetup) -> Ucarp {
        let name = format!("ucarp-{}", host.ns);
        let script = |what: &str, verb: &str| -> PathBuf {
            let path = lab.dir().join(format!("{name}-{what}"));
            let act = format!("ip addr {verb} {}/24 dev v0 2>/dev/null", setup.addr);
            let act = if setup.holds_address { act.as_str() } else { ":" };
            fs::write(&path, format!("#!/bin/sh\n{act}\necho script: {what} >&2\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let (up, down) = (script("up", "add"), script("down", "del"));
        let mut command = Command::new("ucarp");
        command.args(["-i", "v0", "-z"]);
        command.arg("-s").arg(host.ip.to_string());
        command.arg("-v").arg(setup.vhid.to_string());
        command.arg("-p").arg(setup.pass);
        command.arg("-a").arg(setup.addr.to_string());
        command.arg("-b").arg(setup.advbase.to_string());
        command.arg("-k").arg(setup.advskew.to_string());
        command.arg(format!("--upscript={}", up.display()));
        command.arg(format!("--downscript={}", down.display()));
        if setup.preempt {
            command.arg("-P");
        }
        Ucarp { proc: Proc::spawn(&name, Some(&host.ns), command) }
    }

    /// The state it last said to have switched to; empty before the first.
    pub fn state(&self) -> String {
        let lines = self.proc.log.lines();
        let last = lines.iter().rev().find_map(|l| l.split_once(SWITCHING));
        last.map_or_else(String::new, |(_, state)| state.trim().to_owned())
    }

    /// Waits until it is in a state (`MASTER`, `BACKUP`) and has run the
    /// script of that.
    pub fn wait_state(&self, state: &str) {
        let script = if state == "MASTER" { "script: up" } else { "script: down" };
        let log = &self.proc.log;
        let mut mark = 0;
        loop {
            let at = log.wait_line(mark, &format!("{SWITCHING}{state}"), PATIENCE, |l| {
                l.split_once(SWITCHING).is_some_and(|(_, s)| s.trim() == state)
            });
            mark = log.wait_line(at, script, PATIENCE, |l| l == script) + 1;
            if self.state() == state {
                return;
            }
        }
    }

    /// Whether it ever said that a digest is wrong.
    pub fn saw_bad_digest(&self) -> bool {
        self.proc.log.lines().iter().any(|l| l.contains("Bad digest"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.proc.signal(signal);
    }
}
