//! The corpora of `fuzz/`, through the functions that libFuzzer runs: what was
//! found once is never found again.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use tests::fuzz::TARGETS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Every input of that target; all that fail are told.
fn replay(name: &str) {
    let (_, run) = *TARGETS.iter().find(|(n, _)| *n == name).expect("a target of that name");
    let files = files(&root().join("fuzz/corpus").join(name));
    assert!(files.len() > 10, "{name} has a corpus of {}", files.len());
    let fails = |file: &&PathBuf| {
        let data = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        catch_unwind(|| run(&data)).is_err()
    };
    let failed: Vec<_> = files.iter().filter(fails).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn no_frame_of_the_corpus_breaks_a_rule() {
    replay("frame");
}

#[test]
fn no_system_call_of_the_corpus_breaks_a_rule() {
    replay("control");
}

#[test]
fn no_command_line_and_no_answer_of_the_corpus_breaks_a_rule() {
    replay("ifconfig");
}

#[test]
fn no_scenario_of_the_corpus_breaks_a_rule() {
    replay("scenario");
}

#[test]
fn no_bytes_of_the_corpus_are_read_in_two_ways() {
    replay("parsers");
}

#[test]
fn no_configuration_of_the_corpus_breaks_a_rule() {
    replay("conf");
}

#[test]
fn every_target_has_its_program_and_its_corpus_and_all_are_small() {
    let names = |dir: &str| -> Vec<String> {
        let stem = |p: &PathBuf| p.file_stem().map(|s| s.to_string_lossy().into_owned());
        files(&root().join(dir)).iter().filter_map(stem).collect()
    };
    let mut targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort();
    assert_eq!(names("fuzz/corpus"), targets);
    assert_eq!(names("fuzz/fuzz_targets"), targets);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("its manifest");
    let bins: Vec<_> = targets.iter().filter(|t| manifest.contains(&format!("name = \"{t}\""))).collect();
    assert_eq!(bins.len(), targets.len(), "{bins:?} of {targets:?} are built");
    let dirs = TARGETS.map(|(name, _)| root().join("fuzz/corpus").join(name));
    let inputs: Vec<PathBuf> = dirs.iter().flat_map(|dir| files(dir)).collect();
    let bytes: u64 = inputs.iter().map(|p| p.metadata().expect("a file").len()).sum();
    assert!(bytes < 500_000, "the corpora have {bytes} bytes");
}
