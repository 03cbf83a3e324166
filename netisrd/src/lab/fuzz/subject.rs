//! What a violation is about. A scenario that is made smaller must break the same
//! rule in the same place: else what was found becomes something else on the way.

use crate::lab::judge::{Rule, Violation};
use crate::lab::scenario::Scenario;

/// What two violations have in common that are one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    rule: Rule,
    machine: Option<String>,
    /// The interface or vhid that it names; of a command its error, and of a panic
    /// its first line.
    named: Option<String>,
}

impl Subject {
    /// Of a violation of that scenario.
    pub(super) fn of(scenario: &Scenario, violation: &Violation) -> Subject {
        let machine = violation.machine.and_then(|n| scenario.machine.keys().nth(n)).cloned();
        let text = violation.text.as_str();
        let named = match violation.rule {
            Rule::Command => text.split_once(": status ").map(|(_, error)| error.to_owned()),
            Rule::Panic => text.lines().next().map(str::to_owned),
            Rule::Livelock => None,
            _ => named(scenario, text),
        };
        Subject { rule: violation.rule, machine, named }
    }
}

/// The interface or the vhid that is named first.
fn named(scenario: &Scenario, text: &str) -> Option<String> {
    let mut words = text.split_whitespace().map(|word| word.trim_end_matches([':', ',']));
    let word = words.find(|w| *w == "vhid" || (is_interface(w) && !scenario.machine.contains_key(*w)))?;
    match word {
        "vhid" => words.next().map(|vhid| format!("vhid {vhid}")),
        ifname => Some(ifname.to_owned()),
    }
}

/// `carp0`, `em1`
fn is_interface(word: &str) -> bool {
    let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
    name.len() < word.len() && !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::path::Path;

    fn of(rule: Rule, machine: Option<usize>, text: &str) -> Subject {
        let scenario = "title = \"t\"\ntime = \"1s\"\n[lan.net0]\n\
                        [machine.m0]\ninterfaces = { em0 = \"net0\" }\n\
                        [machine.m1]\ninterfaces = { em0 = \"net0\" }\n";
        let scenario = Scenario::parse(Path::new("x.toml"), scenario).unwrap();
        Subject::of(&scenario, &Violation { at: Default::default(), rule, machine, text: text.to_owned() })
    }

    #[test]
    fn a_violation_is_about_its_machine_and_the_interface_or_vhid_that_it_names_first() {
        let cases = [
            (Rule::Model, Some(1), "carp0 is INIT, and should be BACKUP", Some("carp0")),
            (Rule::IfCarp, Some(0), "em1: vhid 3 stands behind 4", Some("em1")),
            (Rule::LostMaster, Some(0), "m0 carp2 was a healthy MASTER, and nobody is better", Some("carp2")),
            (
                Rule::TwoMasters,
                None,
                "vhid 7 has several MASTERs since 1.5s: m0 carp0, m1 carp0",
                Some("vhid 7"),
            ),
            (Rule::Reasons, Some(1), "3 reasons not to preempt are counted, there are 2", None),
            (Rule::Command, Some(1), "m1: ifconfig carp9: status 1: no carp9", Some("1: no carp9")),
            (Rule::Panic, None, "assertion failed\n  left: 1", Some("assertion failed")),
        ];
        for (rule, machine, text, named) in cases {
            let expected =
                Subject { rule, machine: machine.map(|n| format!("m{n}")), named: named.map(str::to_owned) };
            assert_eq!(of(rule, machine, text), expected, "{text}");
        }
    }
}
