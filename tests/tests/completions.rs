//! The shells' completions of the programs: made by `netisrd`, tried in the
//! shells that there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::lab::{Said, binary, find_program, skip};

const PROGRAMS: [&str; 5] = ["netisrd", "ifconfig-carp", "sysctl-carp", "netstat-carp", "route-carp"];

/// A folder of completions that goes with its test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("completions-{name}-{}", std::process::id()));
        let mut netisrd = Command::new(binary("netisrd"));
        netisrd.arg("completions").arg(&dir);
        Said::by(None, netisrd).ok();
        Dir(dir)
    }

    /// What a shell says of a script.
    fn shell(&self, program: &Path, script: &str) -> String {
        let mut shell = Command::new(program);
        shell.arg("-c").arg(script).current_dir(&self.0).env("NETISRD_SOCK", self.0.join("none"));
        Said::by(None, shell).ok()
    }

    /// What bash offers behind these words.
    fn bash(&self, bash: &Path, words: &[&str]) -> BTreeSet<String> {
        let program = words[0];
        let last = words.len() - 1;
        let script = format!(
            "set -eu; source bash/{program}; COMP_WORDS=({}); COMP_CWORD={last}; COMPREPLY=()
             f=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
             $f {program} \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{}]}}\" || true
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(" "),
            last - 1,
        );
        self.shell(bash, &script).lines().map(str::to_owned).filter(|l| !l.is_empty()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

#[test]
fn every_program_has_completions_for_three_shells_which_can_read_them() {
    let dir = Dir::new("read");
    let files: [fn(&str) -> String; 3] =
        [|p| format!("bash/{p}"), |p| format!("zsh/_{p}"), |p| format!("fish/{p}.fish")];
    for (shell, file) in ["bash", "zsh", "fish"].into_iter().zip(files) {
        let names: BTreeSet<String> = fs::read_dir(dir.0.join(shell))
            .unwrap()
            .map(|e| format!("{shell}/{}", e.unwrap().file_name().into_string().unwrap()))
            .collect();
        assert_eq!(names, PROGRAMS.into_iter().map(file).collect());
        let Some(program) = find_program(shell) else {
            skip(&format!("no program {shell} in PATH: nobody has read its completions"));
            continue;
        };
        for name in names {
            let mut read = Command::new(&program);
            read.arg("-n").arg(dir.0.join(name));
            let said = Said::by(None, read);
            assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
        }
    }
}

#[test]
fn bash_offers_all_options_and_words_of_a_program_by_their_beginning() {
    let Some(bash) = find_program("bash") else { return skip("no program bash in PATH") };
    let dir = Dir::new("bash");
    for table in ifconfig_carp::tables::tables() {
        let all = dir.bash(&bash, &[table.name, ""]);
        let options = table.options.iter().map(|o| format!("-{}", o.short));
        let missing: Vec<String> = options
            .chain(table.words.iter().map(|w| (*w).to_owned()))
            .filter(|word| !all.contains(word))
            .collect();
        assert!(missing.is_empty(), "{}: {missing:?}", table.name);
    }
    assert_eq!(dir.bash(&bash, &["ifconfig-carp", "carp0", "adv"]), set(&["advbase", "advskew"]));
    assert_eq!(dir.bash(&bash, &["netstat-carp", "-p", ""]), set(&["carp"]));
    assert_eq!(dir.bash(&bash, &["ifconfig-carp", "-S", "fi"]), set(&["fish"]));
    assert_eq!(dir.bash(&bash, &["netisrd", "--no-"]), set(&["--no-landlock", "--no-seccomp"]));
    assert_eq!(dir.bash(&bash, &["netisrd", "lab", "run", "--sl"]), set(&["--slack"]));
    assert_eq!(dir.bash(&bash, &["netisrd", "comp"]), set(&[]), "what only builds is not offered");
}

#[test]
fn fish_offers_words_and_values() {
    let Some(fish) = find_program("fish") else { return skip("no program fish in PATH") };
    let dir = Dir::new("fish");
    let offered = |program: &str, line: &str| {
        let said = dir.shell(&fish, &format!("source fish/{program}.fish; complete -C '{line}'"));
        said.lines().filter_map(|l| l.split('\t').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(offered("ifconfig-carp", "ifconfig-carp carp0 adv"), set(&["advbase", "advskew"]));
    assert_eq!(offered("netstat-carp", "netstat-carp -p "), set(&["carp"]));
    assert_eq!(offered("route-carp", "route-carp mo"), set(&["monitor"]));
    assert_eq!(offered("netisrd", "netisrd --no-"), set(&["--no-landlock", "--no-seccomp"]));
}
