//! Runs the programs of `tests/misuse/` and holds the compiler to its answers.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Who wrote the `.stderr` files, on a machine without the standard library's
/// source, which answers would quote.
const ANSWERED_BY: &str = "rustc 1.95.";

/// For the second run of this test: where its programs are.
const ELSEWHERE: &str = "MISUSE_ELSEWHERE";

/// The programs whose name begins with `a` must not compile, for the reasons
/// in their `.stderr`. `tmp` is for what another compiler answers, `test` the name of
/// the test that calls.
pub(crate) fn hold(tmp: &str, test: &str) {
    let here = Path::new("tests/misuse");
    if let Some(elsewhere) = env::var_os(ELSEWHERE) {
        run(Path::new(&elsewhere));
    } else if same_words() || env::var_os("TRYBUILD").is_some() {
        run(here);
    } else {
        same_codes(here, &Path::new(tmp).join("misuse"), test);
    }
}

fn run(dir: &Path) {
    // None that is to pass is among them: then all would be built, not only checked.
    trybuild::TestCases::new().compile_fail(dir.join("a*.rs"));
}

fn rustc(arg: &[&str]) -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).args(arg).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Whether this compiler uses the words of the one that answered.
fn same_words() -> bool {
    let sysroot = rustc(&["--print", "sysroot"]);
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    rustc(&["--version"]).starts_with(ANSWERED_BY) && !source.exists()
}

/// Another compiler: it answers to a copy of the programs, and has to give the
/// same codes for the same lines.
fn same_codes(here: &Path, copy: &Path, test: &str) {
    let _ = fs::remove_dir_all(copy);
    fs::create_dir_all(copy).unwrap();
    let files = || fs::read_dir(here).unwrap().map(|e| e.unwrap().path());
    for rs in files().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
        fs::copy(&rs, copy.join(rs.file_name().unwrap())).unwrap();
    }
    // Its environment cannot be changed in this process.
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", test]).env("TRYBUILD", "overwrite").env(ELSEWHERE, copy);
    assert!(again.status().unwrap().success(), "a program that must not compile does");
    for stderr in files().filter(|f| f.extension().is_some_and(|e| e == "stderr")) {
        let answer = fs::read_to_string(copy.join(stderr.file_name().unwrap())).unwrap();
        let expected = codes(&fs::read_to_string(&stderr).unwrap());
        assert_eq!(codes(&answer), expected, "{}:\n{answer}", stderr.display());
    }
}

/// Each error's code (none for some) and line, in the order of lines.
fn codes(stderr: &str) -> Vec<(u32, String)> {
    let errors = stderr.lines().zip(stderr.lines().skip(1)).filter(|(head, _)| head.starts_with("error"));
    let code = |(head, at): (&str, &str)| {
        let code = head.split(':').next().unwrap_or_default().to_owned();
        (at.rsplit(':').nth(1).and_then(|n| n.parse().ok()).unwrap_or_default(), code)
    };
    let mut codes: Vec<_> = errors.map(code).collect();
    codes.sort();
    codes
}
