//! Landlock: which files the process still reaches.

use super::{Later, Outcome};
use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, path_beneath_rules,
};

/// What is asked for; an older kernel does what it can.
const WANTED: ABI = ABI::V6;

/// Leaves the files that `later` names and what is open already, and no TCP
/// but that. No processes are signalled but those that inherit this.
pub(super) fn restrict(later: &Later) -> Result<Outcome, RulesetError> {
    let all = AccessFs::from_all(WANTED);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(&later.cleans, AccessFs::RemoveFile))?
        .add_rules(path_beneath_rules(&later.reads, read))?;
    if later.devices {
        rules = rules.add_rules(path_beneath_rules(["/dev/net", "/proc", "/sys"], all))?;
    }
    if later.programs {
        rules = rules
            .add_rules(path_beneath_rules(["/"], read | AccessFs::Execute))?
            // What a shell sends there.
            .add_rules(path_beneath_rules(["/dev/null"], all))?;
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Outcome::On(reach(later)),
        RulesetStatus::PartiallyEnforced => {
            Outcome::On(format!("{}, as far as this kernel goes", reach(later)))
        }
        RulesetStatus::NotEnforced => Outcome::Off("this kernel has none"),
    })
}

/// What is left, in words.
fn reach(later: &Later) -> String {
    let mut parts = vec![format!("files are removed in {}", listed(&later.cleans))];
    if later.programs {
        parts.push("all can be read and run, since programs are".to_owned());
    } else if !later.reads.is_empty() {
        parts.push(format!("read in {}", listed(&later.reads)));
    }
    if later.devices {
        parts.push("devices".to_owned());
    }
    parts.join("; ")
}

fn listed(paths: &[std::path::PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    if paths.is_empty() { "no folder".to_owned() } else { paths.join(" ") }
}
