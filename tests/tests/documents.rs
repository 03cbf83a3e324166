//! Documents that cannot rot: what they name exists, and what must be named
//! is.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What every `.rs` file of the workspace says.
fn sources() -> String {
    fn collect(dir: &Path, all: &mut String) {
        for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                collect(&path, all);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all.push_str(&read(path));
            }
        }
    }
    let mut all = String::new();
    collect(&root(), &mut all);
    all
}

/// The cells of a table's rows, without heads and rules.
fn rows(doc: &str) -> Vec<Vec<String>> {
    let is_row = |l: &&str| l.starts_with("| ") && !l.starts_with("| upstream") && !l.starts_with("| error");
    let cells = |l: &str| l.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
    doc.lines().filter(is_row).map(cells).collect()
}

/// The words between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether `text` defines a function, type, constant, field or variant `item`.
fn defines(text: &str, item: &str) -> bool {
    let starts_with_word = |rest: &str| {
        let Some(after) = rest.strip_prefix(item) else { return false };
        !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let kinds = ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "mod ", "macro_rules! "];
    text.lines().any(|line| {
        let line = line.trim_start();
        let bare =
            ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|p| line.strip_prefix(p)).unwrap_or(line);
        let bare = bare.strip_prefix("const ").filter(|r| r.starts_with("fn ")).unwrap_or(bare);
        let is_kind = kinds.iter().any(|k| bare.strip_prefix(k).is_some_and(starts_with_word));
        let after = bare.strip_prefix(item).unwrap_or("");
        let is_field = after.starts_with(": ") && after.ends_with(',');
        let is_variant = [",", "(", " {", " ="].iter().any(|s| after.starts_with(s))
            && item.starts_with(char::is_uppercase);
        is_kind || is_field || is_variant
    })
}

/// What is wrong with a "here" cell: a file that is not, an item that its file
/// does not define, a wildcard, or neither place nor reason.
fn wrong_place(cell: &str, file: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if cell.contains('*') {
        return Some(format!("a wildcard: {cell}"));
    }
    if let Some(reason) = cell.strip_prefix("not here: ") {
        return (reason.len() < 10).then(|| format!("no reason: {cell}"));
    }
    for place in cell.split("; ") {
        let Some((path, items)) = place.split_once("`: ") else { return Some(format!("no place: {place}")) };
        let path = path.trim_start_matches('`');
        let Some(text) = file(path) else { return Some(format!("no file {path}")) };
        let missing = quoted(items).find(|item| !defines(&text, item));
        if let Some(item) = missing {
            return Some(format!("{path} defines no {item}"));
        }
        if quoted(items).next().is_none() {
            return Some(format!("nothing in {path}"));
        }
    }
    None
}

/// What is wrong with porting.md, given the names that it must have.
fn wrong_porting(doc: &str, names: &[&str], file: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(doc) {
        let [upstream, here] = &row[..] else {
            wrong.push(format!("a row of {} cells: {row:?}", row.len()));
            continue;
        };
        quoted(upstream).for_each(|n| *seen.entry(n.to_owned()).or_default() += 1);
        wrong.extend(wrong_place(here, file).map(|w| format!("{upstream}: {w}")));
    }
    for name in names {
        match seen.remove(*name) {
            Some(1) => {}
            Some(n) => wrong.push(format!("{name} has {n} rows")),
            None => wrong.push(format!("{name} has no row")),
        }
    }
    wrong.extend(seen.keys().map(|n| format!("{n} is not upstream's")));
    wrong
}

/// What is wrong with a table whose last column names tests.
fn wrong_tests(doc: &str, columns: usize, sources: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows(doc) {
        if row.len() != columns || row.iter().any(String::is_empty) {
            wrong.push(format!("not {columns} cells that say something: {row:?}"));
            continue;
        }
        let tests: Vec<&str> = row.last().map(|c| quoted(c).collect()).unwrap_or_default();
        if tests.is_empty() {
            wrong.push(format!("no test: {row:?}"));
        }
        wrong.extend(tests.iter().filter(|t| !is_test(sources, t)).map(|t| format!("no test is called {t}")));
    }
    wrong
}

/// Whether a function of that name is marked as a test.
fn is_test(sources: &str, name: &str) -> bool {
    let Some((before, _)) = sources.split_once(&format!("fn {name}()")) else { return false };
    before.lines().rev().take(6).any(|l| l.trim().starts_with("#[test]"))
}

#[test]
fn every_name_of_upstream_has_its_place_in_the_porting_guide() {
    let data = read("tests/data/upstream-names.txt");
    let mut names: Vec<&str> =
        data.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(' ').nth(2)).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 140, "only {} names", names.len());
    let file = |path: &str| fs::read_to_string(root().join(path)).ok();
    let wrong = wrong_porting(&read("docs/porting.md"), &names, &file);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_deviation_names_what_it_is_why_it_is_and_the_test_that_holds_it() {
    let doc = read("docs/deviations.md");
    let (differences, errors) = doc.split_once("## Errors that others have made").expect("both tables");
    let all = sources();
    let mut wrong = wrong_tests(differences, 4, &all);
    wrong.extend(wrong_tests(errors, 2, &all));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows(differences).len() > 40 && rows(errors).len() > 22);
}

#[test]
fn paths_and_targets_that_documents_name_exist() {
    let makefile = read("Makefile");
    for doc in ["README.md", "docs/architecture.md", "docs/benchmarks.md", "docs/porting.md"] {
        for word in read(doc).split('`').skip(1).step_by(2) {
            let is_path = word.contains('/')
                && !word.starts_with(['/', '-', '$', '~'])
                && !word.contains([' ', '*', '{']);
            let top = word.split('/').next().unwrap_or("");
            let ours = is_path
                && ["compat", "libcarp", "netisrd", "ifconfig-carp", "tests", "docs", "scripts"]
                    .contains(&top);
            assert!(!ours || root().join(word).exists(), "{doc}: no {word}");
            if let Some(target) = word.strip_prefix("make ") {
                let target = target.split(' ').next().unwrap_or("");
                assert!(makefile.contains(&format!("\n{target}:")), "{doc}: no target {target}");
            }
        }
    }
}

#[test]
fn the_checks_themselves_find_what_is_wrong() {
    let file = |path: &str| {
        (path == "a/b.rs").then(|| "pub fn setrun(x: u8) {}\n    Ad,\n    pub len: u8,".to_owned())
    };
    let table = |rows: &str| format!("| upstream | here |\n|---|---|\n{rows}");
    let good = table(
        "| `carp_setrun`, `carp_x` | `a/b.rs`: `setrun`, `Ad`, `len` |\n| `y` | not here: it is not needed |\n",
    );
    let names = ["carp_setrun", "carp_x", "y"];
    assert_eq!(wrong_porting(&good, &names, &file), [""; 0]);
    let bad = [
        (good.replace("`carp_x`", "`carp_z`"), 2),
        (good.replace("`setrun`", "`setrunner`"), 1),
        (good.replace("`setrun`", "`set`"), 1),
        (good.replace("a/b.rs", "a/c.rs"), 1),
        (good.replace("it is not needed", ""), 1),
        (good.replace("`carp_x`", "`carp_*`"), 2),
        (good.replace("`Ad`", "`*`"), 1),
        (good.replace("`y`", "`y`, `y`"), 1),
    ];
    for (doc, faults) in bad {
        let wrong = wrong_porting(&doc, &names, &file);
        assert_eq!(wrong.len(), faults, "{wrong:?} in {doc}");
    }
    let sources = "#[test]\nfn it_holds() {}\nfn no_test() {}\n";
    let row = |t: &str| format!("| a | b | c | {t} |\n");
    assert_eq!(wrong_tests(&row("`it_holds`"), 4, sources), [""; 0]);
    for bad in ["`it_fails`", "none", ""] {
        assert_eq!(wrong_tests(&row(bad), 4, sources).len(), 1, "{bad}");
    }
    assert_eq!(wrong_tests("| a | `it_holds` |\n", 4, sources).len(), 1);
}
