//! What people type wrong: each time one line that says so, exit 1, and a
//! machine that is as it was. Leaves `target/transcripts/bad-input.txt`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::lab::{self, Lab, N1, Needs, Netisrd, Said, Tools, VIP, binary, on_tap, virtual_host};

/// What each tries, and the command.
const CASES: &[(&str, &str, &[&str])] = &[
    ("an interface that does not exist", "ifconfig-carp", &["em7"]),
    ("a carp interface that does not exist", "ifconfig-carp", &["carp7", "vhid", "7"]),
    ("an interface of no known kind", "ifconfig-carp", &["frob0", "create"]),
    ("an interface that exists already", "ifconfig-carp", &["carp0", "create"]),
    ("vhid 0", "ifconfig-carp", &["carp1", "vhid", "0"]),
    ("vhid 256", "ifconfig-carp", &["carp1", "vhid", "256"]),
    ("vhid -1", "ifconfig-carp", &["carp1", "vhid", "-1"]),
    ("vhid abc", "ifconfig-carp", &["carp1", "vhid", "abc"]),
    ("vhid 7x", "ifconfig-carp", &["carp1", "vhid", "7x"]),
    ("vhid without a number", "ifconfig-carp", &["carp1", "vhid"]),
    ("a vhid that its parent has already", "ifconfig-carp", &["carp1", "vhid", "1"]),
    ("advskew 255", "ifconfig-carp", &["carp1", "advskew", "255"]),
    ("advskew -1", "ifconfig-carp", &["carp1", "advskew", "-1"]),
    ("advskew abc", "ifconfig-carp", &["carp1", "advskew", "abc"]),
    ("advbase 256", "ifconfig-carp", &["carp1", "advbase", "256"]),
    ("advbase -1", "ifconfig-carp", &["carp1", "advbase", "-1"]),
    ("a password of 20 bytes", "ifconfig-carp", &["carp1", "pass", "0123456789abcdefghij"]),
    ("a password of 25 bytes", "ifconfig-carp", &["carp1", "pass", "0123456789abcdefghijklmno"]),
    ("an unknown keyword", "ifconfig-carp", &["carp1", "frobnicate"]),
    ("an unknown keyword with a value", "ifconfig-carp", &["carp1", "frobnicate", "1"]),
    ("an address that is none", "ifconfig-carp", &["carp1", "10.77.0.300/24"]),
    ("a prefix that is too long", "ifconfig-carp", &["carp1", "10.77.0.102/33"]),
    ("removing an address that is not there", "ifconfig-carp", &["carp1", "-alias", "10.77.0.200"]),
    ("destroying what is not there", "ifconfig-carp", &["carp7", "destroy"]),
    ("destroying what cannot be destroyed", "ifconfig-carp", &["em0", "destroy"]),
    ("advskew on an interface that is no carp", "ifconfig-carp", &["em0", "advskew", "3"]),
    ("a vhid of the interface that carp0 has already", "ifconfig-carp", &["em0", "vhid", "1"]),
    ("an address of a vhid that fails", "ifconfig-carp", &["em0", "vhid", "9", "10.77.0.1000/24"]),
    (
        "taking away what the vhid does not have",
        "ifconfig-carp",
        &["em0", "vhid", "9", "10.77.0.9", "-alias"],
    ),
    ("an IPv6 address without its family", "ifconfig-carp", &["carp1", "2001:db8::1/64"]),
    ("an IPv6 address that is none", "ifconfig-carp", &["carp1", "inet6", "2001:db8::g/64"]),
    ("an IPv6 prefix that is too long", "ifconfig-carp", &["carp1", "inet6", "2001:db8::1/129"]),
    ("a group of IPv6 as an address", "ifconfig-carp", &["carp1", "inet6", "ff02::12/64"]),
    ("a carpdev that is not there", "ifconfig-carp", &["carp1", "carpdev", "em7"]),
    ("a carpdev whose vhid is taken", "ifconfig-carp", &["carp1", "vhid", "1", "carpdev", "em0"]),
    ("a carpdev that cannot be one", "ifconfig-carp", &["carp1", "carpdev", "carp0"]),
    ("a peer that is none", "ifconfig-carp", &["carp1", "peer", "10.77.0"]),
    ("a peer of the other family", "ifconfig-carp", &["carp1", "peer", "2001:db8::1"]),
    ("a group's name that ends in a digit", "ifconfig-carp", &["carp1", "group", "dmz1"]),
    ("the members of no group", "ifconfig-carp", &["-g", "nobody"]),
    ("demoting no group", "ifconfig-carp", &["-g", "nobody", "carpdemote", "1"]),
    ("promoting beyond nothing", "ifconfig-carp", &["-g", "carp", "-carpdemote", "1"]),
    ("a factor below 0", "sysctl-carp", &["net.inet.carp.senderr_demotion_factor=-1"]),
    ("a code point that is none", "sysctl-carp", &["net.inet.carp.dscp=64"]),
    ("a sysctl that does not exist", "sysctl-carp", &["net.inet.carp.frobnicate"]),
    ("a sysctl with a value that is none", "sysctl-carp", &["net.inet.carp.preempt=abc"]),
    ("a sysctl that cannot be written", "sysctl-carp", &["net.inet.carp.suppress_preempt=1"]),
];

/// Commands and what they said, for people to read.
struct Transcript(String);

impl Transcript {
    /// Asserts that a command failed with one line of its own.
    fn failed(&mut self, what: &str, program: &str, said: &Said) {
        write!(self.0, "# {what}\n$ {}\n{}", said.command, said.stderr).unwrap();
        writeln!(self.0, "[{}]\n", said.status).unwrap();
        assert_eq!(said.status.code(), Some(1), "{what}: {said:?}");
        assert_eq!(said.stderr.lines().count(), 1, "{what}: one line: {said:?}");
        assert!(said.stderr.ends_with('\n'), "{what}: a whole line: {said:?}");
        let text = said.stderr.strip_prefix(&format!("{program}: "));
        assert!(text.is_some_and(|t| t.trim().len() > 3), "{what}: says who and what: {said:?}");
        assert_eq!(said.stdout, "", "{what}: {said:?}");
    }

    fn write(&self, file: &str) {
        let dir = lab::target_dir().join("transcripts");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), &self.0).unwrap();
        println!("{}", self.0);
    }
}

/// Everything that `ifconfig-carp` shows, secrets excepted.
fn everything(machine: &Netisrd) -> String {
    let all = machine.ifconfig("-a").ok();
    let vhaddr = |c: &str| machine.ifconfig(&format!("{c} vhaddr")).ok();
    let sysctl = machine.sysctl("net.inet.carp.preempt") + &machine.sysctl("net.inet.carp.suppress_preempt");
    [all, vhaddr("carp0"), vhaddr("carp1"), sysctl].concat()
}

/// Two masters on one tap: nothing changes any more by itself.
fn machine(lab: &Lab) -> Netisrd {
    let m = on_tap(lab, "m1", "em0", N1);
    m.sysctl("net.inet.carp.preempt=1");
    m.carp("carp0", &virtual_host(0));
    m.carp("carp1", "vhid 2 advskew 10 pass other 10.77.0.101/24");
    m.wait_master("carp0");
    m.wait_master("carp1");
    m
}

#[test]
fn bad_input_is_refused_with_one_line_and_changes_nothing() {
    lab::run(Needs::namespaces().taps().programs(&["setpriv"]), |lab| {
        let mut transcript = Transcript(String::new());
        let nobody = Tools::at(&lab.dir().join("nobody-listens.sock"));
        for program in ["ifconfig-carp", "sysctl-carp", "netstat-carp"] {
            let args: &[&str] = match program {
                "ifconfig-carp" => &["carp0"],
                "sysctl-carp" => &["net.inet.carp.preempt"],
                _ => &["-s", "-p", "carp"],
            };
            transcript.failed("no netisrd listens", program, &nobody.tool(program, args));
        }
        let machine = machine(lab);
        let wire = lab.wire_in("em0");
        let before = everything(&machine);
        assert!(before.contains("vhid 1 ") && before.contains("vhid 2 "), "{before}");
        for (what, program, args) in CASES {
            transcript.failed(what, program, &machine.tools.tool(program, args));
            assert_eq!(everything(&machine), before, "{what} changed the machine");
        }
        not_permitted(lab, &machine, &mut transcript, &before);
        transcript.write("bad-input.txt");
        // the key too is what it was, which only the wire shows
        let mark = wire.mark();
        for (vhid, pass, addr) in [(1, "secret", VIP), (2, "other", "10.77.0.101".parse().unwrap())] {
            let of_vhid = |f: &lab::Frame| f.advert().is_some_and(|a| a.vhid == vhid);
            let a = wire.next(mark, "an advertisement", of_vhid).advert().unwrap();
            assert_eq!(a.digest, lab::digest(pass, vhid, &[addr], a.counter), "vhid {vhid}");
        }
    });
}

/// Another user may look, but not change.
fn not_permitted(lab: &Lab, machine: &Netisrd, transcript: &mut Transcript, before: &str) {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let uids: u64 = map.lines().filter_map(|l| l.split_whitespace().last()?.parse::<u64>().ok()).sum();
    if uids < 65_535 {
        return lab::skip(&format!("this user namespace has {uids} uid, so there is nobody without rights"));
    }
    // where anybody may execute it
    let program = lab.dir().join("ifconfig-carp");
    fs::copy(binary("ifconfig-carp"), &program).unwrap();
    let as_nobody = |words: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
        command.args(words.split_whitespace()).env("NETISRD_SOCK", machine.tools.sock());
        Said::by(None, command)
    };
    for words in ["carp1 vhid 9", "carp1 10.77.0.103/24", "carp1 down", "carp1 destroy", "carp2 create"] {
        transcript.failed("no permission", "ifconfig-carp", &as_nobody(words));
        assert_eq!(everything(machine), before, "{words} by another user changed the machine");
    }
    let seen = as_nobody("carp0");
    if seen.status.success() {
        assert!(seen.stdout.contains("vhid 1 "), "{seen:?}");
        assert!(!seen.stdout.contains("secret"), "the key is shown: {seen:?}");
    }
}

/// Not an error on BSD: the address waits for a parent.
#[test]
fn an_address_without_a_backing_address_is_kept_inactive() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = machine(lab);
        machine.ifconfig("carp2 create").ok();
        let said = machine.ifconfig("carp2 vhid 3 pass x 192.0.2.7/24");
        assert!(said.stderr.lines().count() <= 1, "{said:?}");
        let row = |c: &str, addr: &str| {
            let text = machine.ifconfig(&format!("{c} vhaddr")).ok();
            let row = text.lines().find(|l| l.split_whitespace().next() == Some(addr));
            let row = row.unwrap_or_else(|| panic!("no {addr}: {text}"));
            row.split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(row("carp2", "192.0.2.7"), "*");
        assert_eq!(row("carp0", &VIP.to_string()), N1.to_string());
        assert_eq!(machine.state("carp2"), "INIT");
        assert_eq!((machine.state("carp0"), machine.state("carp1")), ("MASTER".into(), "MASTER".into()));
        // its parent arrives
        machine.ifconfig("em0 alias 192.0.2.1/24").ok();
        machine.wait_master("carp2");
        assert_eq!(row("carp2", "192.0.2.7"), "192.0.2.1");
        assert!(Path::new(machine.tools.sock()).exists());
    });
}
