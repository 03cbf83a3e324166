//! Command lines, to a machine that is true and to one that lies.
//!
//! ```text
//!   choice | which program | how many words, each a byte of the table or a
//!   chunk of its own ... | what the machine answers
//! ```

use super::Bytes;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{CallError, Run, Syscalls};
use netisrd::lab::host::PROGRAMS;
use netisrd::lab::journal::Keep;
use netisrd::lab::run::{Options, Play};
use netisrd::lab::scenario::Scenario;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A machine that has something to show.
const MACHINE: &str = include_str!("full.toml");
/// Words of a line.
const WORDS: usize = 12;

/// Runs the line that the input says.
pub fn run(data: &[u8]) {
    let mut data = Bytes::new(data);
    let choice = data.byte();
    let (_, program) = *data.pick(&PROGRAMS);
    let words = words(&mut data);
    let scenario = Scenario::parse(Path::new("machine.toml"), MACHINE).expect("a scenario");
    let mut play = (choice & 1 == 0).then(|| machine(&scenario));
    let mut daemon = Daemon { machine: play.as_mut(), lies: data };
    if choice & 2 == 0 && daemon.machine.is_some() {
        daemon.lies = Bytes::new(&[]);
        undone(&mut daemon, program, &words);
    } else {
        said(&mut daemon, program, &words);
    }
}

fn machine(scenario: &Scenario) -> Play<'_> {
    let mut play = Play::new(scenario, Options { keep: Keep::Events, judged: false, ..Options::default() });
    play.next(play.world.now() + std::time::Duration::from_secs(1));
    play
}

/// The words of a line. Whose files there are is not known: none is read.
fn words(data: &mut Bytes<'_>) -> Vec<OsString> {
    let count = usize::from(data.byte()) % WORDS;
    let mut words: Vec<OsString> = vec!["program".into()];
    for _ in 0..count {
        let word = match data.byte() {
            n @ 0..0xf0 => OsString::from(TABLE[usize::from(n) % TABLE.len()]),
            _ => std::ffi::OsStr::from_bytes(data.chunk()).to_owned(),
        };
        let of_file =
            words.last().is_some_and(|w| w.as_bytes().contains(&b'f') && w.as_bytes().starts_with(b"pass"));
        words.push(if of_file { "/nonexistent".into() } else { word });
    }
    words
}

/// A line that failed has changed nothing.
fn undone(daemon: &mut Daemon<'_, '_, '_>, program: Run, words: &[OsString]) {
    let show = ["ifconfig", "-a"].map(OsString::from);
    let before = said(daemon, netisrd::lab::host::program("ifconfig").expect("ifconfig"), &show);
    let after = said(daemon, program, words);
    let shown = said(daemon, netisrd::lab::host::program("ifconfig").expect("ifconfig"), &show);
    if after.0 != 0 {
        assert_eq!(settings(&before.1), settings(&shown.1), "{words:?} failed: {}", after.2);
    }
}

/// What of `ifconfig -a` a line sets: states come and go by themselves.
fn settings(text: &str) -> Vec<String> {
    let state = |w: &&str| !["INIT", "BACKUP", "MASTER"].contains(w) && !w.starts_with("flags=");
    text.lines().map(|l| l.split(' ').filter(state).collect::<Vec<_>>().join(" ")).collect()
}

/// What a program says: whatever is wrong is a line, or several of sysctl's,
/// without anything that repaints a terminal.
fn said(daemon: &mut Daemon<'_, '_, '_>, program: Run, words: &[OsString]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = program(words, daemon, &mut out, &mut err);
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    let (out, err) = (text(out), text(err));
    assert!(status <= 1, "status {status}");
    assert!(status == 1 || err.is_empty(), "{err:?} and success for {words:?}");
    assert!(err.is_empty() || err.ends_with('\n'), "{err:?} for {words:?}");
    let control = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!err.contains(control), "{err:?} for {words:?}");
    assert!(!out.contains(control), "{out:?} for {words:?}");
    (status, out, err)
}

/// A machine, if there is one, and what it says in its place.
struct Daemon<'p, 's, 'd> {
    machine: Option<&'p mut Play<'s>>,
    lies: Bytes<'d>,
}

impl Daemon<'_, '_, '_> {
    /// Some bytes of an answer are others, or it ends before its end.
    fn bent(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.lies.byte() % 8 {
            let (at, value) = (self.lies.word(), self.lies.byte());
            match bytes.get_mut(usize::from(at)) {
                Some(byte) => *byte = value,
                None => bytes.truncate(value.into()),
            }
        }
        bytes
    }

    fn lie(&mut self, request: &Request) -> Result<Reply, CallError> {
        let answer = |arg, data| Ok(Reply { error: None, arg, data });
        match self.lies.byte() % 6 {
            0 => Err(CallError::new("no answer")),
            1 => Ok(Reply::error(Errno(self.lies.byte().into()))),
            2 => answer(request.arg.clone(), self.lies.chunk().to_vec()),
            3 => answer(2u32.to_ne_bytes().to_vec(), self.lies.chunk().to_vec()),
            4 => answer(self.lies.chunk().to_vec(), self.lies.chunk().to_vec()),
            _ => {
                let len = self.lies.word();
                Reply::from_bytes(self.lies.take(len.into())).map_err(|e| CallError::new(e.to_string()))
            }
        }
    }
}

impl Syscalls for Daemon<'_, '_, '_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let Some(play) = &mut self.machine else { return self.lie(request) };
        let Some(reply) = play.call(0, request) else { return Err(CallError::new("it is off")) };
        let arg = self.bent(reply.arg);
        let data = self.bent(reply.data);
        Ok(Reply { error: reply.error, arg, data })
    }

    fn hear(&mut self) -> Result<Reply, CallError> {
        if self.lies.is_empty() {
            return Err(CallError::new("that was all"));
        }
        self.lie(&Request::route())
    }
}

/// Words that the programs know, and some that are near them.
const TABLE: &[&str] = &[
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
    "em1",
    "carp2",
    "carp3",
    "10.0.0.3",
    "10.77.0.100/32",
    "10.0.0.9",
    "secret",
    "show",
    "monitor",
    "-inet",
    "net.inet.carp.demotion=1",
    "net.inet.carp.stats",
    "fe80::4%carp3",
];
