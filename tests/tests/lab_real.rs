//! `netisrd lab run --real`: the scenarios in `labs/` on real devices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use netisrd::lab::record::{self, Event, What};
use netisrd::lab::scenario::Scenario;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tests::lab::{self, Lab, Needs, Said, binary, command, find_program, skip};

/// What a scenario may be late by on a machine that runs all of them, and
/// builds, and tests: nothing here measures time.
const SLACK: &str = "1s";

fn labs() -> Vec<(PathBuf, Scenario)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs");
    let files = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    let read = |p: PathBuf| {
        let scenario = Scenario::parse(&p, &fs::read_to_string(&p).unwrap()).unwrap();
        (p, scenario)
    };
    let mut all: Vec<_> = files.map(read).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs").join(name)
}

/// `netisrd lab run` with these words, on a file.
fn run(words: &[&str], file: &Path) -> Command {
    let mut command = Command::new(binary("netisrd"));
    command.args(["lab", "run"]).args(words).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Status, and all that it said.
fn told(out: &Output) -> (Option<i32>, String) {
    (out.status.code(), String::from_utf8_lossy(&[&out.stdout[..], &out.stderr].concat()).into_owned())
}

/// A folder that goes with its test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        let dir = std::env::temp_dir().join(format!("lab-real-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All at once: each is a world of its own.
#[test]
fn every_scenario_passes_on_real_devices_and_changes_its_states_in_the_order_of_virtual_time() {
    if let Err(why) = Needs::namespaces().taps().programs(&["nft"]).check() {
        return skip(&why);
    }
    let dir = Dir::new();
    let mut running: Vec<(String, PathBuf, Child)> = Vec::new();
    for (file, scenario) in labs().into_iter().filter(|(_, s)| s.not_real.is_none()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if scenario.is_only_real() && find_program("ucarp").is_none() {
            skip(&format!("{name}: no program ucarp in PATH"));
            continue;
        }
        let out = dir.0.join(&name);
        let mut words = vec!["--real", "--slack", SLACK, "-o", out.to_str().unwrap()];
        if !scenario.is_only_real() {
            words.push("--compare");
        }
        let child = run(&words, &file).spawn().unwrap();
        running.push((name, out, child));
    }
    assert!(running.len() > 10, "{running:?}");
    let mut failed = Vec::new();
    for (name, out, child) in running {
        let (status, said) = told(&child.wait_with_output().unwrap());
        println!("{said}");
        if status != Some(0) {
            failed.push(name);
            continue;
        }
        look_at_record(&name, &out);
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// The record of a real run is that of a virtual one.
fn look_at_record(name: &str, out: &Path) {
    for file in ["events.jsonl", "lan.pcapng", "timeline.svg", "report.html"] {
        assert!(fs::metadata(out.join(file)).unwrap().len() > 1000, "{name}: {file}");
    }
    let events = record::from_jsonl(&fs::read_to_string(out.join("events.jsonl")).unwrap()).unwrap();
    let Some(What::Run { time, machines, .. }) = events.first().map(|e| &e.what) else {
        panic!("{name} does not begin: {:?}", events.first());
    };
    assert_eq!(time, "real");
    assert!(events.is_sorted_by_key(|e| e.at), "{name}");
    // Who advertised, who was MASTER, and who answered are machines, and the
    // same ones but for those that nobody pings.
    let mut seen: [BTreeSet<&String>; 3] = Default::default();
    for Event { what, .. } in &events {
        match what {
            What::Advert { machine, .. } => seen[0].insert(machine),
            What::State { machine, to: record::State::Master, .. } => seen[1].insert(machine),
            What::Ping { rtt: Some(_), machine: Some(machine), .. } => seen[2].insert(machine),
            _ => continue,
        };
    }
    let [advertised, masters, answered] = seen;
    assert!(!masters.is_empty() && masters.iter().all(|m| machines.contains(m)), "{name}: {masters:?}");
    // What goes to a peer is no advertisement for everyone.
    assert!(advertised == masters || name == "unicast", "{name}: {advertised:?}, {masters:?}");
    assert!(!answered.is_empty() && answered.is_subset(&masters), "{name}: {answered:?}, {masters:?}");
}

#[test]
fn what_cannot_be_run_is_refused_in_a_line_and_with_status_2() {
    let cases: [(&[&str], &str, &str); 4] = [
        (&["--real"], "many-vhids.toml", "many-vhids.toml:6:12: real devices cannot run it: to type"),
        (&[], "ucarp.toml", "ucarp.toml:20:22: u is ucarp, a program of Linux: it runs with --real only"),
        (&["--real", "--compare"], "ucarp.toml", "ucarp.toml: ucarp has no virtual time to compare with"),
        (&["--real"], "nowhere.toml", "nowhere.toml: No such file or directory"),
    ];
    for (words, name, why) in cases {
        let (status, said) = told(&run(words, &file(name)).output().unwrap());
        assert_eq!((status, said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.starts_with("netisrd: ") && said.contains(why), "{said}");
    }
    let mut command = run(&["--real"], &file("pair.toml"));
    let (status, said) = told(&command.env("PATH", "/nowhere").output().unwrap());
    let why = "netisrd: real devices cannot be made here: no program ip in PATH\n";
    assert_eq!((status, said.as_str()), (Some(2), why));
}

/// Processes whose command line has that word, of this pid namespace and of
/// those in it.
fn processes(word: &str) -> Vec<(Pid, Vec<String>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse() else { continue };
        // One that has just ended has none.
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split_terminator('\0').map(str::to_owned).collect();
        if words.iter().any(|w| w.contains(word)) {
            all.push((Pid::from_raw(pid), words));
        }
    }
    all
}

/// Interfaces, namespaces, mounts and files that a lab might leave.
fn surroundings(lab: &Lab) -> [String; 4] {
    let said = |words: &str| Said::by(None, command(words)).ok();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    [lab.ip("-o link show"), lab.ip("netns list"), mounts, said("find /run")]
}

#[test]
fn a_machine_whose_process_ends_by_itself_fails_the_run() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let scenario = "title = \"t\"\ntime = \"3s\"\n[lan.net0]\n\
                        [machine.a]\ninterfaces = { em0 = \"net0\" }\n\
                        [machine.b]\ninterfaces = { em0 = \"net0\" }\n\
                        boot = [\"ifconfig em0 10.0.0.2/24\", \"ifconfig carp0 create\"]\n";
        let file = lab.dir().join("x.toml");
        fs::write(&file, scenario).unwrap();
        let mut outside = run(&["--real"], &file).spawn().unwrap();
        let mut said = BufReader::new(outside.stdout.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        let is_b = |words: &[String]| words.iter().any(|w| w.ends_with("m1.sock"));
        let b = processes("/run/netisrd-lab/").into_iter().find(|(_, words)| is_b(words)).unwrap().0;
        kill(b, Signal::SIGKILL).unwrap();
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        assert_eq!(outside.wait().unwrap().code(), Some(1), "{text}");
        assert!(text.contains("NO  Command: b: its process ended: signal: 9 (SIGKILL)"), "{text}");
    });
}

/// Whom to signal, by what, and what the program's status is then.
fn end_by(name_of_victim: &'static str, signal: Signal, status: Option<i32>, word: &'static str) {
    lab::run(Needs::namespaces().taps(), move |lab| {
        let before = surroundings(lab);
        let mut outside = run(&["--real"], &file("pair.toml")).spawn().unwrap();
        let pid = Pid::from_raw(outside.id() as i32);
        let mut lines = BufReader::new(outside.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        assert!(line.ends_with("pair.toml: 20s on real devices"), "{line}");
        assert_eq!(processes("/run/netisrd-lab/").len(), 2, "{:?}", processes("netisrd"));
        let inside = processes("--inside");
        let inside = inside.iter().find(|(_, words)| words[0].ends_with("/netisrd")).unwrap().0;
        kill(if name_of_victim == "inside" { inside } else { pid }, signal).unwrap();
        let mut said = String::new();
        outside.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(outside.wait().unwrap().code(), status, "{said}");
        assert!(said.contains(word), "{said}");
        // Who has lost its parent is this process's child, since it is pid 1
        // here; when it has none, nobody is left.
        while waitpid(None, None) != Err(Errno::ECHILD) {}
        assert_eq!(processes("netisrd-lab"), []);
        assert_eq!(surroundings(lab), before);
    });
}

#[test]
fn nothing_is_left_by_a_lab_that_is_killed() {
    end_by("outside", Signal::SIGKILL, None, "");
}

#[test]
fn nothing_is_left_by_a_lab_that_is_interrupted() {
    end_by("outside", Signal::SIGINT, Some(130), "netisrd: interrupted; nothing is left");
}

#[test]
fn nothing_is_left_by_a_lab_that_crashes_inside() {
    end_by("inside", Signal::SIGKILL, Some(2), "netisrd: the lab ended early");
}
