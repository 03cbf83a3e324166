//! The house's rules: which crate may know which, where `unsafe` may be.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every `.rs` file below `dir`, but what a build made.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The workspace's own crates that a manifest's `[dependencies]` name.
fn own_dependencies(krate: &str) -> Vec<String> {
    let manifest = read(&root().join(krate).join("Cargo.toml"));
    let own = ["compat", "libcarp", "netisrd", "ifconfig-carp", "tests", "benches"];
    let section = manifest.split("\n[").find(|s| s.starts_with("dependencies]")).expect("[dependencies]");
    let name = |line: &str| line.split(['.', '=', ' ']).next().map(str::to_owned);
    section.lines().filter_map(name).filter(|n| own.contains(&n.as_str())).collect()
}

#[test]
fn arrows_go_one_way() {
    assert_eq!(own_dependencies("compat"), [""; 0]);
    assert_eq!(own_dependencies("libcarp"), ["compat"]);
    // The lab gives its machines what people type, by the code that reads it.
    assert_eq!(own_dependencies("netisrd"), ["compat", "ifconfig-carp", "libcarp"]);
    assert_eq!(own_dependencies("ifconfig-carp"), ["compat", "libcarp"]);
    assert!(!own_dependencies("tests").contains(&"benches".to_owned()));
    assert_eq!(own_dependencies("fuzz"), ["tests"]);
}

#[test]
fn programs_know_only_the_headers_of_libcarp() {
    for file in sources(&root().join("ifconfig-carp/src")) {
        for line in read(&file).lines().filter(|l| l.contains("libcarp::")) {
            assert!(line.contains("libcarp::carpreq"), "{}: {line}", file.display());
        }
    }
}

#[test]
fn libcarp_has_no_clock_no_socket_no_thread() {
    for file in sources(&root().join("libcarp/src")) {
        let text = read(&file);
        for word in ["std::thread", "std::net::", "std::io", "std::fs", "Instant", "SystemTime", "nix::"] {
            let test = ["hmac.rs", "tests_table.rs"].iter().any(|f| file.ends_with(f)) && word == "std::fs";
            assert!(test || !text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn unsafe_is_in_two_places_and_a_bench() {
    // The bench holds others' raw pointers against ours.
    let allowed = [
        "compat/src/qsbr.rs",
        "compat/src/qsbr/model.rs",
        "netisrd/src/dev/sys.rs",
        "benches/src/read/raw.rs",
    ];
    let allowed = allowed.map(|p| root().join(p));
    let needle = ["unsafe ", "unsafe{"];
    for file in sources(&root()) {
        let has = read(&file).lines().any(|l| {
            let code = l.split("//").next().unwrap_or("");
            !code.contains('"') && needle.iter().any(|n| code.contains(n))
        });
        assert!(!has || allowed.contains(&file), "unsafe in {}", file.display());
    }
    for file in &allowed {
        assert!(read(file).contains("// SAFETY:"), "{}: without a reason", file.display());
    }
}

#[test]
fn nothing_is_global() {
    for file in sources(&root()) {
        if file.components().any(|c| c.as_os_str() == "tests") || file.ends_with("tests.rs") {
            continue;
        }
        for line in read(&file).lines() {
            let code = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let global = code.starts_with("static ") || code.starts_with("thread_local!");
            assert!(!global, "{}: {line}", file.display());
        }
    }
}

/// Error that others made: a wall clock that jumps.
#[test]
fn no_wall_clock_is_read() {
    for krate in ["compat", "libcarp", "netisrd"] {
        for file in sources(&root().join(krate)) {
            for word in ["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", "gettimeofday"] {
                assert!(!read(&file).contains(word), "{}: {word}", file.display());
            }
        }
    }
}
