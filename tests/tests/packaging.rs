//! What is installed, where, and that nothing of it stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::lab::{Said, binary, find_program, profile_dir, skip};

/// The worst figure of `systemd-analyze security` that will do, times ten.
const EXPOSURE: &str = "30";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder that goes with its test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("packaging-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    /// Its files, with their modes.
    fn files(&self) -> BTreeMap<String, u32> {
        fn collect(top: &Path, dir: &Path, all: &mut BTreeMap<String, u32>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(top, &path, all);
                } else {
                    let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                    all.insert(name, fs::metadata(&path).unwrap().permissions().mode() & 0o7777);
                }
            }
        }
        let mut all = BTreeMap::new();
        collect(&self.0, &self.0, &mut all);
        all
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `scripts/install`, by a shell whose umask is not to matter.
fn install(dest: &Dir, prefix: &str, argument: &Path) -> Said {
    let mut sh = Command::new("sh");
    sh.args(["-c", "umask 077; exec \"$0\" \"$1\""]).arg(root().join("scripts/install")).arg(argument);
    sh.env("DESTDIR", &dest.0).env("PREFIX", prefix);
    Said::by(None, sh)
}

#[test]
fn everything_is_installed_below_destdir_and_prefix_and_taken_away_again() {
    // All are built before their folder is looked at.
    for program in ["netisrd", "ifconfig-carp", "sysctl-carp", "netstat-carp", "route-carp"] {
        assert!(binary(program).exists());
    }
    let dest = Dir::new("install");
    fs::create_dir_all(dest.0.join("opt/x/share/man/man8")).unwrap();
    fs::write(dest.0.join("opt/x/share/man/man8/other.8"), "").unwrap();
    let before = dest.files();
    install(&dest, "/opt/x", &profile_dir()).ok();
    let files = dest.files();
    let mut wanted: BTreeMap<String, u32> = before.clone();
    for program in ["netisrd", "ifconfig-carp", "sysctl-carp", "route-carp", "netstat-carp"] {
        let dir = if program == "netstat-carp" { "bin" } else { "sbin" };
        wanted.insert(format!("opt/x/{dir}/{program}"), 0o755);
        let share = "opt/x/share";
        wanted.insert(format!("{share}/bash-completion/completions/{program}"), 0o644);
        wanted.insert(format!("{share}/zsh/site-functions/_{program}"), 0o644);
        wanted.insert(format!("{share}/fish/vendor_completions.d/{program}.fish"), 0o644);
    }
    for page in fs::read_dir(root().join("man")).unwrap() {
        let page = page.unwrap().file_name().into_string().unwrap();
        let section = page.rsplit('.').next().unwrap();
        wanted.insert(format!("opt/x/share/man/man{section}/{page}"), 0o644);
    }
    wanted.insert("opt/x/lib/systemd/system/netisrd.service".into(), 0o644);
    for example in ["netisrd.conf", "netisrd.default"] {
        wanted.insert(format!("opt/x/share/doc/netisrd/examples/{example}"), 0o644);
    }
    for lab in fs::read_dir(root().join("labs")).unwrap() {
        let lab = lab.unwrap().file_name().into_string().unwrap();
        if lab.ends_with(".toml") {
            wanted.insert(format!("opt/x/share/doc/netisrd/examples/labs/{lab}"), 0o644);
        }
    }
    assert_eq!(files, wanted);
    let hooks = dest.0.join("etc/netisrd/carp.d");
    assert_eq!(fs::metadata(&hooks).unwrap().permissions().mode() & 0o7777, 0o755);
    let unit = fs::read_to_string(dest.0.join("opt/x/lib/systemd/system/netisrd.service")).unwrap();
    assert!(unit.contains("\nExecStart=/opt/x/sbin/netisrd "), "{unit}");
    let mut version = Command::new(dest.0.join("opt/x/sbin/netisrd"));
    version.arg("--version");
    assert!(Said::by(None, version).ok().starts_with("netisrd "));

    install(&dest, "/opt/x", Path::new("-u")).ok();
    assert_eq!(dest.files(), before);
    assert!(!dest.0.join("etc/netisrd").exists());
    assert!(!dest.0.join("opt/x/share/doc/netisrd").exists());
}

#[test]
fn a_prefix_that_is_no_path_is_refused_and_nothing_installed() {
    let dest = Dir::new("prefix");
    let said = install(&dest, "opt", &profile_dir());
    assert!(!said.status.success() && said.stderr.contains("PREFIX must begin with /"), "{said:?}");
    assert_eq!(dest.files(), BTreeMap::new());
}

#[test]
fn the_unit_is_as_hard_as_the_documents_say() {
    let Some(analyze) = find_program("systemd-analyze") else {
        return skip("no program systemd-analyze in PATH: nobody has judged the unit");
    };
    let mut security = Command::new(analyze);
    security.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE]);
    security.arg(root().join("packaging/netisrd.service"));
    let said = Said::by(None, security).ok();
    // Another systemd may look at other things.
    let text = fs::read_to_string(root().join("docs/packaging.md")).unwrap();
    let (_, told) = text.split_once("exposure of ").unwrap();
    let (figure, rest) = told.split_once(" (systemd ").unwrap();
    let version = rest.split(')').next().unwrap();
    let mut which = Command::new(find_program("systemd-analyze").unwrap());
    which.arg("--version");
    if Said::by(None, which).ok().starts_with(&format!("systemd {version} ")) {
        assert!(said.contains(&format!("netisrd.service: {figure} ")), "{figure}: {said}");
    }
}

/// Nobody boots a machine for it at each change.
#[test]
fn the_scripts_of_the_machine_that_systemd_runs_can_be_read_and_all_parts_are_run() {
    let dir = root().join("tests/vm");
    let run = fs::read_to_string(dir.join("run")).unwrap();
    let parts = run.split("${only:-").nth(1).and_then(|l| l.split('}').next()).unwrap();
    let mut named: Vec<&str> = parts.split_whitespace().collect();
    named.sort_unstable();
    let mut scripts = vec![root().join("scripts/vm"), dir.join("run"), dir.join("system")];
    let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    scripts.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "sh")));
    let stems = scripts[3..].iter().map(|path| path.file_stem().unwrap().to_str().unwrap());
    let mut there: Vec<&str> = stems.filter(|stem| *stem != "lib").collect();
    there.sort_unstable();
    assert_eq!(named, there);
    for script in &scripts {
        let mut sh = Command::new("sh");
        sh.arg("-n").arg(script);
        Said::by(None, sh).ok();
    }
}
