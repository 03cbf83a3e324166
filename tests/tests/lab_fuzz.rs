//! `netisrd lab fuzz` as a program: what it finds is not lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use netisrd::lab::fuzz;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tests::lab::binary;

/// Its command fails, and it says more than that needs.
const FAILS: &str = r#"title = "fails"
time = "60s"
[lan.net0]
[lan.net1]
[machine.a]
interfaces = { em0 = "net0", em1 = "net1" }
boot = ["ifconfig em0 10.0.0.2/24"]
[machine.b]
interfaces = { em0 = "net0" }
boot = ["ifconfig carp0 create"]
[[at]]
time = "2s"
machine = "a"
run = "ifconfig carp9 vhid 1 advbase 3"
[[expect]]
machine = "b"
state = "MASTER"
by = "10s"
"#;
/// What is left of its command.
const SMALL: &str = "run = \"ifconfig carp9\"";

/// A folder that goes with its test, and the scenario in it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("lab-fuzz-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("fails.toml"), FAILS).unwrap();
        Dir(dir)
    }

    /// The search in that scenario, which writes to that folder.
    fn search(&self, out: &str) -> Command {
        let mut command = fuzz(&["--file", "fails.toml", "-o", out]);
        command.current_dir(&self.0);
        command
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(dir)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fuzz(words: &[&str]) -> Command {
    let mut command = Command::new(binary("netisrd"));
    command.args(["lab", "fuzz"]).args(words).stdin(Stdio::null());
    command
}

/// Status, standard output and standard error.
fn told(out: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

/// A standard output that fails.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn what_is_found_is_made_small_written_and_breaks_the_rule_again() {
    let dir = Dir::new("found");
    let (status, said, complaint) = told(&dir.search("a/b").output().unwrap());
    assert_eq!((status, complaint.as_str()), (Some(1), ""), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "fails.toml"), "{said}");
    let found = "scenario 0 breaks a rule at 2.000000s: Command: fails.toml:14:7: a: ifconfig carp9 vhid 1 ";
    assert!(lines[2].starts_with(found), "{said}");
    let small = "  as small as it gets, at 2.000000s: Command: fails.toml:14:7: a: ifconfig carp9: status 1:";
    assert!(lines[3].starts_with(small), "{said}");
    assert_eq!(lines[4], "  netisrd lab run a/b/fuzz-fails.toml");
    assert_eq!(dir.names("a/b"), ["fuzz-fails.toml"]);
    let text = fs::read_to_string(dir.0.join("a/b/fuzz-fails.toml")).unwrap();
    assert!(text.contains(SMALL), "{text}");
    assert!(!["net1", "em1", "machine.b", "expect"].iter().any(|word| text.contains(word)), "{text}");
    let mut again = Command::new(binary("netisrd"));
    again.args(["lab", "run", "a/b/fuzz-fails.toml"]).current_dir(&dir.0);
    let (status, said, _) = told(&again.output().unwrap());
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(": a: ifconfig carp9: status 1:"), "{said}");
}

#[test]
fn what_is_found_is_written_though_nobody_can_be_told() {
    let dir = Dir::new("full");
    let (status, _, complaint) = told(&dir.search("out").stdout(full()).output().unwrap());
    let why = "netisrd: standard output: No space left on device (os error 28)\n";
    assert_eq!((status, complaint.as_str()), (Some(1), why));
    let text = fs::read_to_string(dir.0.join("out/fuzz-fails.toml")).unwrap();
    assert!(text.contains(SMALL), "{text}");
    // And a search that finds nothing says that it could not say so.
    let (status, _, complaint) = told(&fuzz(&["--seconds", "0"]).stdout(full()).output().unwrap());
    assert_eq!((status, complaint.as_str()), (Some(2), why));
}

#[test]
fn what_is_found_is_told_though_it_cannot_be_written() {
    let dir = Dir::new("unwritten");
    fs::create_dir_all(dir.0.join("out/fuzz-fails.toml")).unwrap();
    let (status, said, complaint) = told(&dir.search("out").output().unwrap());
    assert_eq!(status, Some(1), "{said}");
    assert!(!said.contains("netisrd lab run"), "{said}");
    assert!(complaint.starts_with("netisrd: out/fuzz-fails.toml: Is a directory"), "{complaint}");
    assert!(complaint.contains(SMALL), "{complaint}");
    assert_eq!(dir.names("out"), ["fuzz-fails.toml"]);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused_before_the_search() {
    let file = Dir::new("refused");
    for out in ["/proc/nope", "/proc", "fails.toml"] {
        let (status, said, complaint) = told(&file.search(out).output().unwrap());
        assert_eq!((status, said.as_str()), (Some(2), ""), "{complaint}");
        assert!(complaint.starts_with(&format!("netisrd: {out}: ")), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    assert_eq!(file.names("."), ["fails.toml"]);
}

#[test]
fn a_search_that_is_interrupted_has_said_its_seed_and_says_what_it_was() {
    let dir = Dir::new("interrupted");
    for (signal, expected) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut command = fuzz(&["--seconds", "1000000", "--seed", "7", "-j", "1"]);
        let mut child = command.current_dir(&dir.0).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        assert_eq!(first, "seed 7\n");
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(expected), "{said}");
        assert!(said.starts_with("seed 7: ") && said.contains(" scenarios, "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn one_scenario_of_a_seed_is_run_or_printed() {
    let dir = Dir::new("one");
    let mut command = fuzz(&["--seed", "3", "--scenario", "4"]);
    let (status, said, complaint) = told(&command.current_dir(&dir.0).output().unwrap());
    assert_eq!((status, complaint.as_str()), (Some(0), ""), "{said}");
    let (ran, _) = fuzz::run(&fuzz::scenario(3, 4));
    assert!(said.starts_with("seed 3\nseed 3: 1 scenarios, "), "{said}");
    assert!(said.contains(&format!(" {} steps, ", ran.steps)), "{said}");
    let mut command = fuzz(&["--seed", "3", "--scenario", "4", "--print"]);
    let (status, said, _) = told(&command.output().unwrap());
    assert_eq!((status, said), (Some(0), fuzz::scenario(3, 4).to_toml().unwrap()));
    let (status, _, complaint) = told(&command.stdout(full()).output().unwrap());
    assert_eq!(status, Some(2));
    assert!(complaint.starts_with("netisrd: standard output: "), "{complaint}");
    assert_eq!(dir.names("."), ["fails.toml"]);
}

#[test]
fn what_contradicts_itself_or_is_no_scenario_is_refused() {
    let cases: [&[&str]; 4] = [
        &["--scenario", "4"],
        &["--seed", "3", "--print"],
        &["--seed", "3", "--scenario", "4", "--seconds", "5"],
        &["--file", "/nowhere.toml"],
    ];
    for words in cases {
        let (status, said, complaint) = told(&fuzz(words).output().unwrap());
        assert_eq!((status, said.as_str()), (Some(2), ""), "{words:?}: {complaint}");
        assert!(!complaint.is_empty(), "{words:?}");
    }
    assert!(!Path::new("/nowhere.toml").exists());
}
