//! The manual pages: what they say of options, keywords and variables is what
//! the programs take, no more and no less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::lab::{Said, binary, find_program, skip};

const PAGES: [&str; 8] = [
    "carp.4",
    "ifconfig-carp.8",
    "netisrd-lab.7",
    "netisrd.8",
    "netisrd.conf.5",
    "netstat-carp.1",
    "route-carp.8",
    "sysctl-carp.8",
];

/// What a keyword's argument may be.
const VALUES: [&str; 3] = ["master", "backup", "carp"];

type Words = BTreeSet<String>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../man")
}

fn page(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn words<'a>(all: impl IntoIterator<Item = &'a str>) -> Words {
    all.into_iter().map(str::to_owned).collect()
}

/// A macro of mdoc: a capital and a letter.
fn is_macro(word: &str) -> bool {
    let mut chars = word.chars();
    let [first, second, rest] = [chars.next(), chars.next(), chars.next()];
    first.is_some_and(|c| c.is_ascii_uppercase())
        && second.is_some_and(|c| c.is_ascii_lowercase())
        && rest.is_none()
}

/// The arguments of each `name` in a page's lines that begin with `.It`, or in
/// all of them.
fn arguments<'a>(text: &'a str, name: &str, heads: bool) -> Vec<&'a str> {
    let mut found = Vec::new();
    for line in text.lines().filter_map(|l| l.strip_prefix('.')).filter(|l| !heads || l.starts_with("It ")) {
        let mut inside = false;
        for word in line.split_whitespace() {
            if is_macro(word) {
                inside = word == name;
            } else if inside && !["|", ",", ".", ";", ":", "(", ")"].contains(&word) {
                found.push(word);
            }
        }
    }
    found
}

/// `Fl -tap` is `--tap`, `Fl ao` is `-a` and `-o`.
fn options(text: &str, heads: bool) -> Words {
    let mut found = Words::new();
    for word in arguments(text, "Fl", heads) {
        match word.starts_with('-') {
            true => _ = found.insert(format!("-{word}")),
            false => found.extend(word.chars().map(|c| format!("-{c}"))),
        }
    }
    found
}

/// What `netisrd WORDS --help` shows.
fn help(words: &str) -> String {
    let mut netisrd = Command::new(binary("netisrd"));
    netisrd.args(words.split_whitespace()).arg("--help");
    Said::by(None, netisrd).ok()
}

/// The options of a `--help`.
fn options_of(help: &str) -> Words {
    let heads = help.lines().map(str::trim_start).filter(|l| l.starts_with('-'));
    let word = |l: &str| l.split([' ', ',']).next().unwrap_or_default().to_owned();
    heads.flat_map(|l| l.split(", ").map_while(|part| part.starts_with('-').then(|| word(part)))).collect()
}

/// The subcommands of a `--help`.
fn commands_of(help: &str) -> Words {
    let list =
        help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names = list.lines().filter_map(|l| l.split_whitespace().next());
    words(names.filter(|name| *name != "help"))
}

fn part<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

#[test]
fn a_page_of_a_program_has_all_its_options_and_keywords_and_no_others() {
    for table in ifconfig_carp::tables::tables() {
        let name = PAGES.into_iter().find(|p| p.starts_with(table.name)).expect("a page");
        let text = page(name);
        let long = |o: &ifconfig_carp::tables::Opt| o.long.as_ref().map(|l| format!("--{l}"));
        let taken: Words =
            table.options.iter().flat_map(|o| [Some(format!("-{}", o.short)), long(o)]).flatten().collect();
        // Of a command, and no option of the program.
        let of_command: &[&str] = if table.name == "route-carp" { &["--json"] } else { &[] };
        let all = taken.iter().cloned().chain(of_command.iter().map(|o| (*o).to_owned())).collect();
        assert_eq!(options(&text, true), taken, "{name}: what has an entry, and what the program takes");
        assert!(options(&text, false).is_subset(&all), "{name}: {:?}", options(&text, false));
        let mut keywords = words(arguments(&text, "Cm", false));
        keywords.retain(|w| !VALUES.contains(&w.as_str()));
        assert_eq!(keywords, words(table.words.iter().copied()), "{name}: keywords");
    }
}

#[test]
fn the_page_of_netisrd_has_all_its_options_and_subcommands_and_no_others() {
    let text = page("netisrd.8");
    let top = help("");
    let commands = commands_of(&top);
    let mut taken = options_of(&top);
    for command in commands.iter().filter(|c| *c != "lab") {
        taken.extend(options_of(&help(command)));
    }
    assert_eq!(options(&text, true), taken, "what has an entry, and what the program takes");
    assert!(options(&text, false).is_subset(&taken));
    let mentioned = words(arguments(&text, "Cm", false));
    let missing: Vec<_> = commands.difference(&mentioned).collect();
    assert!(missing.is_empty(), "subcommands without a word: {missing:?}");
    let unknown: Vec<_> = mentioned
        .iter()
        .filter(|w| !commands.contains(*w) && !["run", "fuzz"].contains(&w.as_str()))
        .collect();
    assert!(unknown.is_empty(), "words that are no subcommands: {unknown:?}");
}

#[test]
fn the_page_of_the_lab_has_all_options_of_both_commands_and_no_others() {
    let text = page("netisrd-lab.7");
    assert_eq!(commands_of(&help("lab")), words(["run", "fuzz"]));
    let [run, fuzz] = [options_of(&help("lab run")), options_of(&help("lab fuzz"))];
    assert_eq!(options(part(&text, ".Ss lab run", ".Ss"), true), run);
    assert_eq!(options(part(&text, ".Ss lab fuzz", ".Ss"), true), fuzz);
    assert!(options(&text, false).is_subset(&run.union(&fuzz).cloned().collect()));
}

#[test]
fn each_variable_of_a_machine_has_an_entry_and_each_entry_a_variable() {
    let [carp, sysctl] = ["carp.4", "sysctl-carp.8"].map(page);
    let entries = |text: &str| words(arguments(text, "Va", true));
    let [carp, sysctl] = [entries(&carp), entries(&sysctl)];
    assert!(carp.is_disjoint(&sysctl));
    let found: Words = carp.union(&sysctl).cloned().collect();
    assert_eq!(found, words(netisrd::kern::sysctl::oids()));
    // What is only mentioned is there too.
    for text in PAGES.map(page) {
        let dotted = arguments(&text, "Va", false).into_iter().filter(|w| w.starts_with("net."));
        assert!(words(dotted).is_subset(&found));
    }
}

#[test]
fn pages_refer_to_pages_that_there_are() {
    let there: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, words(PAGES));
    for name in PAGES {
        let text = page(name);
        for line in text.lines().filter_map(|l| l.strip_prefix(".Xr ")) {
            let mut parts = line.split_whitespace();
            let [other, section] = [parts.next().unwrap(), parts.next().unwrap()];
            let of_the_system =
                ["ifconfig", "sysctl", "route", "rc.conf", "sysctl.conf", "nft"].contains(&other);
            assert!(of_the_system || there.contains(&format!("{other}.{section}")), "{name}: {line}");
        }
    }
}

#[test]
fn the_scenario_in_the_page_runs_as_it_expects() {
    let text = page("netisrd-lab.7");
    let scenario = part(part(&text, ".Sh EXAMPLES", ".Sh"), "-offset indent\n", ".Ed");
    let mut run = Command::new(binary("netisrd"));
    run.args(["lab", "run", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = run.spawn().unwrap();
    run.stdin.take().unwrap().write_all(scenario.as_bytes()).unwrap();
    let said = run.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// `netisrd check` of a file with that text.
fn check(name: &str, text: &str) -> Said {
    let file = std::env::temp_dir().join(format!("man-{name}-{}.conf", std::process::id()));
    fs::write(&file, text).unwrap();
    let mut check = Command::new(binary("netisrd"));
    check.arg("check").arg(&file);
    let said = Said::by(None, check);
    fs::remove_file(&file).unwrap();
    said
}

#[test]
fn the_page_of_the_configuration_has_all_its_keys_and_its_examples_make_sense() {
    let text = page("netisrd.conf.5");
    let heads = text.lines().filter_map(|l| l.strip_prefix(".It Va "));
    let of_page: Words = heads.map(|l| l.replace(" Ns ", "").replace("Ar ", "")).collect();
    let said = check("unknown", "there_is_no_such_key=1\n");
    let list = part(&said.stderr, "a key that there is: ", ", or the name of a sysctl");
    assert_eq!(of_page, words(list.split(", ")));
    let examples = text.split_once(".Sh EXAMPLES").unwrap().1;
    let examples: Vec<&str> = examples.split(".Bd -literal -offset indent\n").skip(1).collect();
    assert_eq!(examples.len(), 2);
    for (n, example) in examples.iter().enumerate() {
        check(&n.to_string(), example.split(".Ed").next().unwrap()).ok();
    }
}

/// Pages that a page refers to, its neighbours and BSD's, need not be installed where it
/// is checked.
const NOT_HERE: &str = ": STYLE: referenced manual not found: Xr ";

#[test]
fn mandoc_finds_nothing_to_complain_of() {
    let Some(mandoc) = find_program("mandoc") else {
        return skip("no program mandoc in PATH: nobody has read the pages");
    };
    let paths = PAGES.map(|p| folder().join(p));
    let said = Command::new(mandoc).args(["-Tlint", "-Wstyle"]).args(paths).output().unwrap();
    // 1 is what style is worth; what it could not read is worth more.
    assert!(matches!(said.status.code(), Some(0 | 1)), "{said:?}");
    let said = String::from_utf8(said.stdout).unwrap();
    let complaints: Vec<&str> = said.lines().filter(|l| !l.contains(NOT_HERE)).collect();
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn macros_are_read_as_mdoc_has_them() {
    let text = ".Nm\n.Op Fl ao | Fl -tap Ar x\nFl no\n.It Fl S Ar path , Fl -path\n.Cm -alias , add";
    assert_eq!(options(text, false), words(["-a", "-o", "--tap", "-S", "--path"]));
    assert_eq!(options(text, true), words(["-S", "--path"]));
    assert_eq!(arguments(text, "Cm", false), ["-alias", "add"]);
    let help = "Usage: x\n\nCommands:\n  lab   Simulate\n  help  Print\n\nOptions:\n  -n <N>       So\n  \
                -o, --out <DIR>  Write -x there\n      --real   Do";
    assert_eq!(options_of(help), words(["-n", "-o", "--out", "--real"]));
    assert_eq!(commands_of(help), words(["lab"]));
}
