//! Documents that cannot rot: what they name exists, and what must be named
//! is. Each check is a function over strings; the last tests are about those.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every `.rs` file of the workspace, by its path in the tree.
fn sources() -> BTreeMap<String, String> {
    fn collect(dir: &Path, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                collect(&path, all);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                all.insert(name, read(&path));
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&root(), &mut all);
    all
}

/// The words between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The cells of a table's row.
fn cells(line: &str) -> Vec<&str> {
    let line = line.strip_prefix('|').unwrap_or(line);
    line.strip_suffix('|').unwrap_or(line).split(" | ").map(str::trim).collect()
}

/// The rows of every table, without heads and rules.
fn rows(doc: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = doc.lines().collect();
    let is_rule = |i: usize| lines.get(i).is_some_and(|l| l.starts_with("|--"));
    let is_row = |(i, l): &(usize, &str)| l.starts_with('|') && !is_rule(*i) && !is_rule(i + 1);
    lines.iter().copied().enumerate().filter(is_row).map(|(_, l)| cells(l)).collect()
}

/// Tables that an empty line has cut in two: what follows has no head.
fn cut_tables(doc: &str) -> Vec<String> {
    let lines: Vec<&str> = doc.lines().collect();
    let starts = |i: usize, with: &str| lines.get(i).is_some_and(|l| l.starts_with(with));
    let headless = |i: &usize| starts(*i, "|") && (*i == 0 || !starts(i - 1, "|")) && !starts(i + 1, "|--");
    (0..lines.len()).filter(headless).map(|i| format!("a table without a head: {}", lines[i])).collect()
}

/// What a Rust file defines: functions, types, constants, modules, macros,
/// fields and variants. Goes by rustfmt's layout.
fn definitions(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    // The ends of the bodies around this line that have fields or variants.
    let mut bodies: Vec<String> = Vec::new();
    for full in text.lines() {
        let line = full.trim_start();
        let indent = full.len() - line.len();
        if bodies.last().is_some_and(|end| full.starts_with(end.as_str())) {
            bodies.pop();
        }
        if line.starts_with("//") {
            continue;
        }
        let mut bare = line;
        for prefix in ["pub(crate) ", "pub(super) ", "pub "] {
            bare = bare.strip_prefix(prefix).unwrap_or(bare);
        }
        let member = bodies.last().is_some_and(|end| indent == end.len() + 3);
        let after = bare.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        if member && [":", ",", "(", " {", " ="].iter().any(|s| after.starts_with(s)) {
            found.insert(&bare[..bare.len() - after.len()]);
        }
        for prefix in ["const fn ", "unsafe fn ", "async fn "] {
            bare = bare.strip_prefix(prefix).map_or(bare, |_| &bare[prefix.len() - 3..]);
        }
        let kinds = ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "mod ", "macro_rules! "];
        let Some(rest) = kinds.iter().find_map(|k| bare.strip_prefix(k)) else {
            if line.ends_with("! {") && indent == 0 {
                bodies.push("}".to_owned());
            }
            continue;
        };
        let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        found.insert(name);
        let has_members = bare.starts_with("struct ") || bare.starts_with("enum ");
        if has_members && line.ends_with('{') {
            bodies.push(format!("{:indent$}}}", ""));
        }
    }
    found.remove("");
    found
}

/// What is wrong with a "here" cell: a file that is not, an item that its file
/// does not define, a wildcard, or neither place nor reason.
fn wrong_place(cell: &str, files: &BTreeMap<String, String>) -> Option<String> {
    if cell.contains('*') {
        return Some(format!("a wildcard: {cell}"));
    }
    if let Some(reason) = cell.strip_prefix("not here: ") {
        return (reason.len() < 10).then(|| format!("no reason: {cell}"));
    }
    for place in cell.split("; ") {
        let Some((path, items)) = place.split_once("`: ") else { return Some(format!("no place: {place}")) };
        let path = path.trim_start_matches('`');
        let Some(text) = files.get(path) else { return Some(format!("no file {path}")) };
        let defined = definitions(text);
        let mut parts = quoted(items).flat_map(|i| i.split("::")).peekable();
        if parts.peek().is_none() {
            return Some(format!("nothing in {path}"));
        }
        if let Some(item) = parts.find(|p| !defined.contains(p)) {
            return Some(format!("{path} defines no {item}"));
        }
    }
    None
}

/// What is wrong with porting.md, given the names that it must have.
fn wrong_porting(doc: &str, names: &BTreeSet<&str>, files: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = cut_tables(doc);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows(doc) {
        let [upstream, here] = row[..] else {
            wrong.push(format!("a row of {} cells: {row:?}", row.len()));
            continue;
        };
        quoted(upstream).for_each(|n| *seen.entry(n).or_default() += 1);
        wrong.extend(wrong_place(here, files).map(|w| format!("{upstream}: {w}")));
    }
    for name in names {
        match seen.remove(name) {
            Some(1) => {}
            Some(n) => wrong.push(format!("{name} has {n} rows")),
            None => wrong.push(format!("{name} has no row")),
        }
    }
    wrong.extend(seen.keys().map(|n| format!("{n} is not upstream's")));
    wrong
}

/// `#[doc(alias)]`es of upstream's names whose file their row does not have.
fn wrong_aliases(doc: &str, files: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = rows(doc);
    for (path, text) in files {
        for alias in text.lines().filter_map(|l| l.trim_start().strip_prefix("#[doc(alias = \"")) {
            let name = alias.split('"').next().unwrap_or("");
            let row = rows.iter().find(|r| r.first().is_some_and(|c| quoted(c).any(|n| n == name)));
            if row.is_some_and(|r| !r.iter().skip(1).any(|c| quoted(c).any(|p| p == path))) {
                wrong.push(format!("{path} has the alias {name}, the row of {name} has another place"));
            }
        }
    }
    wrong
}

/// What is wrong with tables whose last column names tests.
fn wrong_tests(doc: &str, columns: usize, files: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = cut_tables(doc);
    for row in rows(doc) {
        if row.len() != columns || row.iter().any(|c| c.is_empty()) {
            wrong.push(format!("not {columns} cells that say something: {row:?}"));
            continue;
        }
        let tests: Vec<&str> = row.last().map(|c| quoted(c).collect()).unwrap_or_default();
        if tests.is_empty() {
            wrong.push(format!("no test: {row:?}"));
        }
        let missing = tests.iter().filter(|t| !files.values().any(|text| is_test(text, t)));
        wrong.extend(missing.map(|t| format!("no test is called {t}")));
    }
    wrong
}

/// Whether a function of that name has `#[test]` among its attributes, and
/// nothing that keeps it from running.
fn is_test(text: &str, name: &str) -> bool {
    let needle = format!("fn {name}()");
    let above = |at: usize| text.get(..at).unwrap_or("").lines().rev();
    text.match_indices(&needle).any(|(at, _)| {
        let attributes = above(at).map(str::trim).skip_while(|l| l.is_empty());
        let attributes: Vec<_> =
            attributes.take_while(|l| l.starts_with("#[") || l.starts_with("//")).collect();
        let idle = |l: &&str| l.starts_with("#[ignore") || (l.starts_with("#[cfg") && *l != "#[cfg(test)]");
        attributes.contains(&"#[test]") && !attributes.iter().any(idle)
    })
}

/// What a document names that is not there: paths, links, targets.
fn wrong_names(doc: &str, tree: &BTreeSet<String>, makefile: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let folders: BTreeSet<&str> = tree.iter().filter_map(|p| p.split_once('/')).map(|(top, _)| top).collect();
    let ends_like = |word: &str| tree.iter().any(|p| p == word || p.ends_with(&format!("/{word}")));
    let is_there = |word: &str| tree.iter().any(|p| p == word || p.starts_with(&format!("{word}/")));
    for line in quoted(doc).flat_map(str::lines).map(str::trim) {
        for word in line.split(' ') {
            let path = word.trim_end_matches('/');
            let ours = path.split_once('/').is_some_and(|(top, _)| folders.contains(top));
            let source = path.ends_with(".rs") || path.ends_with(".md");
            if (ours && !is_there(path)) || (source && !ends_like(path)) {
                wrong.push(format!("no file {path}"));
            }
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["make", target, ..] = words[..]
            && !makefile.contains(&format!("\n{target}:"))
        {
            wrong.push(format!("no target {target}"));
        }
        for pair in words.windows(2).filter(|p| p[0] == "--test" || p[0] == "--bench") {
            let file = format!("{}s/{}", &pair[0][2..], pair[1]);
            if !ends_like(&format!("{file}.rs")) && !ends_like(&format!("{file}/main.rs")) {
                wrong.push(format!("no {}", pair.join(" ")));
            }
        }
    }
    let links = doc.split("](").skip(1).filter_map(|l| l.split([')', '#']).next());
    for link in links.filter(|l| !l.is_empty() && !l.contains("://")) {
        if !ends_like(link.trim_start_matches("../")) {
            wrong.push(format!("no link target {link}"));
        }
    }
    wrong
}

fn upstream_names(data: &str) -> BTreeSet<&str> {
    data.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(' ').nth(2)).collect()
}

#[test]
fn every_name_of_upstream_has_its_place_in_the_porting_guide() {
    let data = read("tests/data/upstream-names.txt");
    let names = upstream_names(&data);
    assert!(names.len() > 300, "only {} names", names.len());
    let (doc, files) = (read("docs/porting.md"), sources());
    let mut wrong = wrong_porting(&doc, &names, &files);
    wrong.extend(wrong_aliases(&doc, &files));
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
    assert!(rows(differences).len() > 50 && rows(errors).len() > 22);
}

#[test]
fn paths_links_and_targets_that_documents_name_exist() {
    fn collect(dir: &Path, all: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                collect(&path, all);
            } else if path.is_file() {
                let name = path.strip_prefix(root()).expect("below the root");
                all.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    let mut tree = BTreeSet::new();
    collect(&root(), &mut tree);
    let makefile = read("Makefile");
    let mut wrong = Vec::new();
    for doc in tree.iter().filter(|p| p.ends_with(".md")) {
        wrong.extend(wrong_names(&read(doc), &tree, &makefile).into_iter().map(|w| format!("{doc}: {w}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn of(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect()
}

#[test]
fn the_porting_check_finds_what_is_wrong() {
    let text = "pub const fn setrun(x: u8) {\n    let y = Call { len: 1 };\n    other(\n        stop,\n    );\n}\n\
                pub enum Timer {\n    // Not: Old,\n    Ad,\n    Md(u8),\n}\n\
                mod m {\n    pub struct Head {\n        pub len: u8,\n    }\n}\n\
                errnos! {\n    EIO = 5,\n}\n";
    let files = of(&[("a/b.rs", text)]);
    let good = "| upstream | here |\n|---|---|\n\
                | `carp_setrun`, `carp_x` | `a/b.rs`: `setrun`, `Timer::Md`, `len`, `EIO`, `m` |\n\
                | `y` | not here: it is not needed |\n";
    let names = BTreeSet::from(["carp_setrun", "carp_x", "y"]);
    assert_eq!(wrong_porting(good, &names, &files), [""; 0]);
    let bad = [
        ("`carp_x`", "`carp_z`", 2),
        (", `carp_x`", "", 1),
        ("`carp_x`", "`carp_*`", 2),
        ("`y`", "`y`, `y`", 1),
        ("`setrun`", "`setrunner`", 1),
        ("`setrun`", "`set`", 1),
        ("`setrun`", "`*`", 1),
        ("`setrun`", "setrun", 0),
        ("`setrun`", "`Call`", 1),
        ("`setrun`", "`stop`", 1),
        ("`setrun`", "`Old`", 1),
        ("`Timer::Md`", "`Timer::Other`", 1),
        ("`setrun`, `Timer::Md`, `len`, `EIO`, `m`", "all of it", 1),
        ("`a/b.rs`: ", "", 1),
        ("a/b.rs", "a/c.rs", 1),
        ("it is not needed", "", 1),
        ("| `y`", "\n| `y`", 1),
        ("| `y` |", "| `y` | `y` |", 2),
    ];
    for (from, to, faults) in bad {
        let doc = good.replacen(from, to, 1);
        let wrong = wrong_porting(&doc, &names, &files);
        assert_eq!(wrong.len(), faults, "{wrong:?} in {doc}");
    }
    let alias = |name: &str| of(&[("a/c.rs", &format!("#[doc(alias = \"{name}\")]\n"))]);
    assert_eq!(wrong_aliases(good, &alias("freebsds")), [""; 0]);
    assert_eq!(wrong_aliases(good, &alias("carp_x")).len(), 1);
    assert_eq!(wrong_aliases(good, &alias("y")).len(), 1);
}

#[test]
fn the_deviations_check_finds_what_is_wrong() {
    let text = "#[test]\nfn it_holds() {}\nfn no_test() {}\n#[test]\n// Ever.\n#[should_panic]\nfn twice() {}\n\
                #[test]\n#[ignore]\nfn idle() {}\n#[ignore = \"slow\"]\n#[test]\nfn idle_too() {}\n\
                #[test]\n#[cfg_attr(unix, ignore)]\nfn idle_here() {}\n#[cfg(unix)]\n#[test]\nfn there() {}\n";
    let files = of(&[("a.rs", text)]);
    let table = |row: &str| format!("| upstream | here | why | test |\n|---|---|---|---|\n{row}\n");
    assert_eq!(wrong_tests(&table("| a | b | c | `it_holds`, `twice` |"), 4, &files), [""; 0]);
    let bad = [
        "| a | b | c | `it_fails` |",
        "| a | b | c | `no_test` |",
        "| a | b | c | `idle` |",
        "| a | b | c | `idle_too` |",
        "| a | b | c | `idle_here` |",
        "| a | b | c | `there` |",
        "| a | b | c | it holds |",
        "| a | b | c |  |",
        "| a | b |  | `it_holds` |",
        "| a | `it_holds` |",
        "\n| a | b | c | `it_holds` |",
    ];
    for row in bad {
        assert_eq!(wrong_tests(&table(row), 4, &files).len(), 1, "{row}");
    }
}

#[test]
fn the_check_of_names_finds_what_is_wrong() {
    let tree = ["a/src/b.rs", "a/tests/c.rs", "docs/d.md"].map(str::to_owned).into();
    let wrong = |doc: &str| wrong_names(doc, &tree, "\ntest:\n").len();
    let good = "`a/src/b.rs` `src/b.rs` `a/src` `x/y` `/a/b` `make test` [d](docs/d.md#x) [u](http://u)\n\
                ```\nmake test\ncargo test -p a --test c\n```\n";
    assert_eq!(wrong(good), 0);
    for bad in
        ["`a/src/x.rs`", "`x.rs`", "`a/x`", "`make demo`", "```\nmake x\n```", "`--test d`", "[d](e.md)"]
    {
        assert_eq!(wrong(bad), 1, "{bad}");
    }
}
