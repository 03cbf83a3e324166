//! Lines put together at random, and machines that answer at random: nothing
//! panics, and what is wrong is one line.

use crate::machine::Machine;
use crate::run_on;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{CallError, Run, Syscalls, ifconfig, netstat, sysctl};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const RUNS: [Run; 3] = [ifconfig::run, sysctl::run, netstat::run];

const WORDS: &[&str] = &[
    "-a",
    "-l",
    "-u",
    "-d",
    "-k",
    "-S",
    "-s",
    "-z",
    "-p",
    "-n",
    "-N",
    "-x",
    "-o",
    "--",
    "-",
    "",
    "carp",
    "em0",
    "carp0",
    "carp0",
    "carp0",
    "carp1",
    "create",
    "plumb",
    "destroy",
    "inet",
    "inet6",
    "link",
    "ether",
    "up",
    "down",
    "-arp",
    "alias",
    "-alias",
    "delete",
    "netmask",
    "broadcast",
    "vhid",
    "advbase",
    "advskew",
    "pass",
    "passfile",
    "state",
    "vhaddr",
    "prefixlen",
    "group",
    "-group",
    "-g",
    "-v",
    "carpdemote",
    "-carpdemote",
    "carpdev",
    "-carpdev",
    "peer",
    "-peer",
    "mcast",
    "peer6",
    "-peer6",
    "mcast6",
    "vhid",
    "master",
    "backup",
    "0",
    "1",
    "254",
    "255",
    "256",
    "-1",
    "x",
    "10.0.0.1",
    "10.0.0.1/24",
    "2001:db8::1",
    "2001:db8::1/128",
    "fe80::1%em0",
    "fe80::2%carp0/64",
    "::",
    "ff02::12",
    "%",
    "128",
    "0.0.0.0/0",
    "0xffffff00",
    "255.255.255.0",
    "/",
    "=",
    "a=b",
    "net.inet.carp",
    "net.inet.carp.preempt=1",
    "a\nb",
    "\u{1b}[31m",
    "\u{fc}\u{fc}",
    "12345678901234567890",
];

/// xorshift: the same lines in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.below(256) as u8).collect()
    }

    fn word(&mut self) -> OsString {
        match self.below(20) {
            0 => OsString::from_vec(self.bytes(30)),
            _ => WORDS[self.below(WORDS.len())].into(),
        }
    }

    fn line(&mut self) -> Vec<OsString> {
        (0..self.below(9)).map(|_| self.word()).collect()
    }
}

/// Each line has an end, and no control character in it that could repaint a
/// terminal; but for sysctl, which has one line for each word, there is one.
fn check(outcome: &crate::Outcome, run: usize, what: &dyn std::fmt::Debug) {
    let stderr = &outcome.stderr;
    let well_formed = stderr.is_empty() || stderr.ends_with('\n');
    assert!(well_formed && !stderr.contains('\u{1b}'), "{stderr:?} for {what:?}");
    assert!(outcome.status == 1 || stderr.is_empty(), "{outcome:?} for {what:?}");
    if !stderr.starts_with("usage:") && run != 1 {
        assert!(stderr.lines().count() <= 1, "{stderr:?} for {what:?}");
    }
}

#[test]
fn no_line_panics_and_a_refusal_is_one_line() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let (run, line) = (random.below(RUNS.len()), random.line());
        check(&run_on(RUNS[run], &mut Machine::new(), &line), run, &line);
    }
}

/// Answers whatever the dice say.
struct Noise(Random);

impl Syscalls for Noise {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        match self.0.below(10) {
            0 => Err(CallError::new("noise")),
            1 => Ok(Reply::error(Errno(self.0.below(100) as i32 + 1))),
            2..6 => Ok(Reply { error: None, arg: request.arg.clone(), data: self.0.bytes(300) }),
            6 => Ok(Reply { error: None, arg: 2u32.to_ne_bytes().to_vec(), data: self.0.bytes(20) }),
            _ => Ok(Reply { error: None, arg: self.0.bytes(40), data: self.0.bytes(40) }),
        }
    }
}

#[test]
fn no_answer_panics() {
    let mut random = Random(0xdead_beef_cafe_f00d);
    for _ in 0..5_000 {
        let mut noise = Noise(Random(random.0 | 1));
        let (run, line) = (random.below(RUNS.len()), random.line());
        check(&run_on(RUNS[run], &mut noise, &line), run, &line);
    }
    for line in [
        "-a",
        "-l",
        "carp0",
        "carp0 vhaddr",
        "-k carp0 vhid 1 10.0.0.1",
        "carp create up",
        "carp0 carpdev em0 peer 10.0.0.9 peer6 ff02::13",
        "carp0 group a -group a down",
        "carp0 down -alias 10.0.0.1",
        "-g carp",
        "-v -g carp",
        "-g carp carpdemote",
        "-k em0",
        "em0 inet6 vhid 1 fe80::1%em0",
    ] {
        for _ in 0..500 {
            random.below(2);
            let args: Vec<OsString> = line.split(' ').map(Into::into).collect();
            check(&run_on(RUNS[0], &mut Noise(Random(random.0)), &args), 0, &line);
        }
    }
}
