//! The scenarios in `labs/`, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netisrd::lab::journal::Keep;
use netisrd::lab::record::{self, What};
use netisrd::lab::run::{Options, run};
use netisrd::lab::scenario::Scenario;
use std::path::{Path, PathBuf};

/// Those that virtual time can run.
fn labs() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs");
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    let is_virtual =
        |p: &PathBuf| !Scenario::parse(p, &std::fs::read_to_string(p).unwrap()).unwrap().is_only_real();
    let mut files: Vec<_> = files.filter(is_virtual).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_scenario_passes_with_any_number_of_netisrs_and_by_any_seed() {
    for file in labs() {
        let scenario = Scenario::read(&file).unwrap();
        assert!(!scenario.expect.is_empty() && !scenario.about.is_empty(), "{}", file.display());
        for (seed, netisrs) in [(None, 1), (Some(2), 4)] {
            let outcome = run(&scenario, Options { seed, netisrs, keep: Keep::Records, judged: true });
            let wrong = outcome
                .events
                .iter()
                .filter(|e| matches!(e.what, What::Expect { holds: false, .. } | What::Violation { .. }));
            let wrong: Vec<_> = wrong.collect();
            assert!(outcome.passed, "{} by seed {seed:?}: {wrong:#?}", file.display());
        }
    }
}

/// Or what it teaches is not what is tested. An echo changes nothing: its lab
/// says what shows it.
#[test]
fn no_scenario_but_the_echo_passes_without_one_of_its_faults() {
    for file in labs().iter().filter(|file| !file.ends_with("echo.toml")) {
        let scenario = Scenario::read(file).unwrap();
        for n in 0..scenario.fault.len() {
            let mut without = scenario.clone();
            let fault = without.fault.remove(n);
            let options = Options { keep: Keep::Events, judged: false, ..Options::default() };
            assert!(!run(&without, options).passed, "{} without {fault:?}", file.display());
        }
    }
}

#[test]
fn an_echo_is_seen_in_what_netstat_says_of_who_hears_nobody_else() {
    let file = labs().into_iter().find(|file| file.ends_with("echo.toml")).unwrap();
    let with = Scenario::read(&file).unwrap();
    let without = Scenario { fault: Vec::new(), ..with.clone() };
    let counts = |scenario: &Scenario| {
        let seen = run(scenario, Options::default()).events;
        let said = seen.iter().find_map(|e| match &e.what {
            What::Command { line, output, .. } if line.starts_with("netstat") => Some(output.clone()),
            _ => None,
        });
        ["packets received (IPv4)", "packets sent (IPv4)"].map(|what| {
            let line = said.as_ref().unwrap().lines().find(|l| l.contains(what)).unwrap();
            line.trim().trim_end_matches(what).trim().parse::<u64>().unwrap()
        })
    };
    assert_eq!((counts(&with), counts(&without)), ([17, 17], [0, 17]));
}

#[test]
fn a_run_is_the_same_for_a_seed() {
    for file in labs() {
        let scenario = Scenario::read(&file).unwrap();
        for netisrs in [1, 4] {
            let once = || {
                let outcome =
                    run(&scenario, Options { seed: Some(9), netisrs, keep: Keep::Frames, judged: false });
                let frames: Vec<_> = outcome.frames.iter().map(|f| (f.at, f.lan, f.data.to_vec())).collect();
                (record::to_jsonl(&outcome.events).unwrap(), frames)
            };
            let (first, second) = (once(), once());
            assert!(first == second, "{} differs with {netisrs} netisrs", file.display());
        }
    }
}

/// The program, in two processes.
#[test]
fn the_program_says_what_it_saw_and_writes_the_same_twice() {
    let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/pair.toml");
    let dir = std::env::temp_dir().join(format!("netisrd-lab-{}", std::process::id()));
    let run = |n: &str, more: &[&str]| {
        let out = dir.join(n);
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_netisrd"))
            .args(["lab", "run"])
            .arg(&labs)
            .arg("-o")
            .arg(&out)
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout).replace(&*out.to_string_lossy(), "OUT");
        let files = ["events.jsonl", "lan.pcapng", "timeline.svg", "report.html"];
        let files = files.map(|f| std::fs::read(out.join(f)).unwrap());
        assert!(files.iter().all(|f| f.len() > 1000));
        (run.status.code(), said, files)
    };
    let (first, second) = (run("a", &[]), run("b", &[]));
    assert_eq!(first.0, Some(0));
    assert!(first.1.contains("pair.toml: passed (seed 1)"), "{}", first.1);
    assert!(first.1.contains("ok  b carp0 MASTER within 3.9s after 5s: 3.390625s after it"), "{}", first.1);
    assert!(first.1.ends_with("  wrote OUT/report.html\n"), "{}", first.1);
    assert!(first == second);
    assert!(run("c", &["--seed", "2"]).2 != first.2);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Not in one process, whose addresses and tables are the same both times.
#[test]
fn two_processes_write_the_same_events_and_frames_with_any_number_of_netisrs() {
    let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs");
    let dir = std::env::temp_dir().join(format!("netisrd-lab-twice-{}", std::process::id()));
    let names = ["pair", "flapping-link", "two-lans", "balancing"];
    let run = |netisrs: &str, process: &str| {
        let out = dir.join(netisrs).join(process);
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_netisrd"))
            .args(["lab", "run", "-n", netisrs, "-o"])
            .arg(&out)
            .args(names.map(|name| labs.join(name).with_extension("toml")))
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        let read = |name: &str| {
            ["events.jsonl", "lan.pcapng"].map(|file| std::fs::read(out.join(name).join(file)).unwrap())
        };
        names.map(read)
    };
    for netisrs in ["1", "4"] {
        let (first, second) = (run(netisrs, "a"), run(netisrs, "b"));
        for ((name, a), b) in names.iter().zip(&first).zip(&second) {
            assert!(a.iter().all(|file| file.len() > 1000), "{name}");
            assert!(a == b, "{name} differs with {netisrs} netisrs");
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn two_files_that_would_be_written_to_one_folder_are_refused_before_either_runs() {
    let dir = std::env::temp_dir().join(format!("netisrd-lab-stem-{}", std::process::id()));
    let pair = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/pair.toml");
    std::fs::create_dir_all(&dir).unwrap();
    let other = dir.join("pair.toml");
    std::fs::copy(&pair, &other).unwrap();
    let out = dir.join("out");
    let run = |files: &[&Path]| {
        let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_netisrd"));
        run.args(["lab", "run", "-o"]).arg(&out).args(files).output().unwrap()
    };
    let refused = run(&[&pair, &other]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let folder = out.join("pair").display().to_string();
    assert_eq!(
        said,
        format!("netisrd: {folder}: expected files with names of their own, not two for this folder\n")
    );
    assert!(refused.stdout.is_empty() && !out.exists());
    let third = dir.join("third.toml");
    std::fs::rename(&other, &third).unwrap();
    assert_eq!(run(&[&pair, &third]).status.code(), Some(0));
    assert!(out.join("pair/events.jsonl").exists() && out.join("third/events.jsonl").exists());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_file_that_is_wrong_is_status_2_and_what_is_not_as_expected_1() {
    let dir = std::env::temp_dir().join(format!("netisrd-lab-bad-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let pair =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/pair.toml")).unwrap();
    let run = |text: String| {
        let file = dir.join("x.toml");
        std::fs::write(&file, text).unwrap();
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_netisrd"))
            .args(["lab", "run"])
            .arg(&file)
            .output()
            .unwrap();
        let said = [run.stdout, run.stderr].concat();
        (run.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (status, said) = run(pair.replace("within = \"3.9s\"", "within = \"3.3s\""));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("NO  b carp0 MASTER within 3.3s after 5s: 3.390625s after it"), "{said}");
    let ucarp = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/ucarp.toml"));
    let (status, said) = run(ucarp.unwrap());
    assert_eq!(status, Some(2), "{said}");
    let why = "x.toml:20:22: u is ucarp, a program of Linux: it runs with --real only";
    assert!(said.contains(why), "{said}");
    let (status, said) = run(pair.replace("power = \"crash\"", "power = \"explode\""));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("x.toml:37:9: unknown variant `explode`"), "{said}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_reader_that_has_gone_is_an_error_and_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_netisrd"))
        .args(["lab", "run"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/pair.toml"))
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&run.stderr), "netisrd: Broken pipe (os error 32)\n");
}
