//! Landlock: which files the process still reaches.

use super::{Later, Outcome};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use std::error::Error;
use std::path::PathBuf;

/// What is asked for; an older kernel does what it can.
const WANTED: ABI = ABI::V6;

/// Leaves the files that `later` names and what is open already, and no TCP
/// but that. No processes are signalled but those that inherit this.
pub(super) fn restrict(later: &Later) -> Result<Outcome, Box<dyn Error>> {
    let all = AccessFs::from_all(WANTED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(folders(&later.cleans, AccessFs::RemoveFile.into()))?
        .add_rules(folders(&later.reads, AccessFs::ReadFile.into()))?
        .add_rules(folders(&later.writes, read | AccessFs::WriteFile | AccessFs::Truncate))?;
    if later.taps {
        let tun = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        rules = rules.add_rules(path_beneath_rules(["/dev/net"], tun))?;
    }
    if later.devices {
        rules = rules.add_rules(path_beneath_rules(["/dev/net", "/proc", "/sys"], all))?;
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Outcome::On(reach(later)),
        RulesetStatus::PartiallyEnforced => {
            Outcome::On(format!("{}, as far as this kernel goes", reach(later)))
        }
        RulesetStatus::NotEnforced => Outcome::Off("this kernel has none"),
    })
}

/// Those that must be there, while [`path_beneath_rules`] leaves out what is not.
fn folders(
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> impl Iterator<Item = Result<PathBeneath<PathFd>, Box<dyn Error>>> {
    paths.iter().map(move |path| Ok(PathBeneath::new(PathFd::new(path)?, access)))
}

/// What is left, in words.
fn reach(later: &Later) -> String {
    let mut parts = vec![format!("files are removed in {}", listed(&later.cleans))];
    if !later.reads.is_empty() {
        parts.push(format!("read in {}", listed(&later.reads)));
    }
    if !later.writes.is_empty() {
        parts.push(format!("written in {}", listed(&later.writes)));
    }
    if later.taps {
        parts.push("taps".to_owned());
    }
    if later.devices {
        parts.push("devices".to_owned());
    }
    parts.join("; ")
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    if paths.is_empty() { "no folder".to_owned() } else { paths.join(" ") }
}
