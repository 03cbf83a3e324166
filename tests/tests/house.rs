//! The house's rules: which crate may know which, where `unsafe` may be, and
//! that the documents name what exists.

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
    let own = ["compat", "libcarp", "netisrd", "ifconfig-carp", "tests"];
    let section = manifest.split("\n[").find(|s| s.starts_with("dependencies]")).expect("[dependencies]");
    let name = |line: &str| line.split(['.', '=', ' ']).next().map(str::to_owned);
    section.lines().filter_map(name).filter(|n| own.contains(&n.as_str())).collect()
}

#[test]
fn arrows_go_one_way() {
    assert_eq!(own_dependencies("compat"), [""; 0]);
    assert_eq!(own_dependencies("libcarp"), ["compat"]);
    assert_eq!(own_dependencies("netisrd"), ["compat", "libcarp"]);
    assert_eq!(own_dependencies("ifconfig-carp"), ["compat", "libcarp"]);
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
            let test = file.ends_with("hmac.rs") && word == "std::fs";
            assert!(test || !text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn unsafe_is_in_two_places() {
    let allowed = ["compat/src/qsbr.rs", "netisrd/src/dev/sys.rs"].map(|p| root().join(p));
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
        if file.starts_with(root().join("tests")) || file.ends_with("tests.rs") {
            continue;
        }
        for line in read(&file).lines() {
            let code = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let global = code.starts_with("static ") || code.starts_with("thread_local!");
            assert!(!global, "{}: {line}", file.display());
        }
    }
}

#[test]
fn documents_name_tests_and_files_that_exist() {
    let all: String = sources(&root()).iter().map(|f| read(f)).collect();
    let deviations = read(&root().join("docs/deviations.md"));
    let mut rows = 0;
    for row in deviations.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| upstream")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().expect("a last column");
        for name in tests.split('`').skip(1).step_by(2) {
            assert!(all.contains(&format!("fn {name}()")), "no test is called {name}");
        }
        rows += 1;
    }
    assert!(rows > 10, "only {rows} rows");
    for doc in ["docs/porting.md", "docs/architecture.md"] {
        for word in read(&root().join(doc)).split('`').skip(1).step_by(2) {
            let is_path = word.ends_with(".rs") && word.contains("src/");
            assert!(!is_path || root().join(word).exists(), "{doc}: no file {word}");
        }
    }
}
