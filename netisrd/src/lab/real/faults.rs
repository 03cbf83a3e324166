//! What goes wrong on real LANs: frames that a bridge's firewall drops, ports
//! that send back what they hear, cables that are out.

use super::hands::Hands;
use super::net::{self, Port};
use crate::lab::scenario::{FaultSpec, Kind, Name, Only, Power, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;

/// The faults of the moment.
pub(super) struct Faults {
    lans: Vec<String>,
    ports: Vec<Port>,
    active: BTreeMap<usize, FaultSpec>,
    /// Ports of those whom nobody is to hear, and who hear nobody.
    silent: BTreeSet<String>,
}

/// Whether the kernel's firewall is needed.
pub(super) fn need_nft(scenario: &Scenario) -> bool {
    let pauses = |name: &Name| scenario.machine.get(name.as_ref()).is_some_and(|m| m.kind == Kind::Ucarp);
    scenario.fault.iter().any(drops)
        || scenario.at.iter().any(|d| d.power == Some(Power::Pause) && pauses(&d.machine))
}

/// Whether it is a fault by which frames are dropped.
fn drops(fault: &FaultSpec) -> bool {
    fault.loss > 0.0 || !fault.partition.is_empty() || fault.one_way.is_some()
}

impl Faults {
    /// None yet.
    pub(super) fn new(scenario: &Scenario, ports: &[Port]) -> Result<Faults, String> {
        let lans = scenario.lan.keys().cloned().collect();
        let faults = Faults { lans, ports: ports.to_vec(), active: BTreeMap::new(), silent: BTreeSet::new() };
        if need_nft(scenario) {
            nft(&faults.rules())?;
        }
        Ok(faults)
    }

    /// A fault of a LAN begins or ends, by its number.
    pub(super) fn set(&mut self, number: usize, fault: &FaultSpec, over: bool, hands: &Hands) {
        match over {
            false => self.active.insert(number, fault.clone()),
            true => self.active.remove(&number),
        };
        if drops(fault) {
            self.load(hands);
        }
        if fault.echo {
            self.echo(fault, hands);
        }
    }

    /// Whether a machine's cable is out.
    pub(super) fn is_out(&self, machine: &str, ifname: &str) -> bool {
        let of = |name: &Option<Name>| name.as_ref().map(|n| n.as_ref().clone());
        self.active.values().any(|f| {
            f.link_down
                && of(&f.machine).as_deref() == Some(machine)
                && of(&f.interface).as_deref() == Some(ifname)
        })
    }

    /// From now on nobody hears who is behind that port, or everybody does
    /// again.
    pub(super) fn silence(&mut self, port: &str, on: bool, hands: &Hands) {
        match on {
            true => self.silent.insert(port.to_owned()),
            false => self.silent.remove(port),
        };
        self.load(hands);
    }

    /// Every port of that fault's LAN sends back what it hears, or not.
    fn echo(&self, fault: &FaultSpec, hands: &Hands) {
        let lan = fault.lan.as_ref().map(|l| l.as_ref());
        let echoes = self.active.values().any(|f| f.echo && f.lan.as_ref().map(|l| l.as_ref()) == lan);
        let word = if echoes { "on" } else { "off" };
        let of_lan = self.ports.iter().filter(|p| self.lans.get(p.lan) == lan);
        let line = |p: &Port| format!("link set dev {} type bridge_slave hairpin {word}", p.name);
        let lines: Vec<_> = of_lan.map(line).collect();
        hands.then(move || net::ip(None, &lines));
    }

    /// All rules anew, in one step.
    fn load(&self, hands: &Hands) {
        let rules = self.rules();
        hands.then(move || nft(&rules));
    }

    fn rules(&self) -> String {
        let mut text = String::from(
            "table bridge lab\ndelete table bridge lab\ntable bridge lab {\n chain forward {\n  \
             type filter hook forward priority 0; policy accept;\n",
        );
        for port in &self.silent {
            for way in ["iifname", "oifname"] {
                // A string takes all that is written to it.
                let _ = writeln!(text, "  {way} \"{port}\" drop");
            }
        }
        for fault in self.active.values() {
            self.rules_of(fault, &mut text);
        }
        text.push_str(" }\n}\n");
        text
    }

    fn rules_of(&self, fault: &FaultSpec, text: &mut String) {
        let lan = self.lans.iter().position(|l| fault.lan.as_ref().is_some_and(|f| f.as_ref() == l));
        let on_lan = || self.ports.iter().filter(|p| Some(p.lan) == lan);
        let of = |names: &[Name]| set(on_lan().filter(|p| names.iter().any(|n| *n.as_ref() == p.station)));
        let mut ways: Vec<(String, String)> = Vec::new();
        for (i, from) in fault.partition.iter().enumerate() {
            let others = fault.partition.iter().enumerate().filter(|(j, _)| *j != i);
            ways.extend(others.map(|(_, to)| (of(from), of(to))));
        }
        ways.extend(fault.one_way.iter().map(|w| (of(&w.from), of(&w.to))));
        let kinds: &[&str] = match fault.only {
            None => &[""],
            Some(Only::Carp) => &["ip protocol 112 ", "ip6 nexthdr 112 "],
            Some(Only::Arp) => &["ether type arp "],
            Some(Only::Ip) => &["ether type ip "],
            Some(Only::Ip6) => &["ether type ip6 "],
        };
        for kind in kinds {
            for (from, to) in ways.iter().filter(|(from, to)| !from.is_empty() && !to.is_empty()) {
                let _ = writeln!(text, "  iifname {from} oifname {to} {kind}drop");
            }
            if fault.loss > 0.0 {
                let share = (fault.loss * f64::from(MILLION)).round();
                let _ = writeln!(
                    text,
                    "  iifname {} {kind}numgen random mod {MILLION} < {share} drop",
                    set(on_lan())
                );
            }
        }
    }
}

fn nft(rules: &str) -> Result<(), String> {
    net::feed(Command::new("nft").args(["-f", "-"]), rules)
}

const MILLION: u32 = 1_000_000;

/// nft's set of the ports' names; nothing for none.
fn set<'a>(ports: impl Iterator<Item = &'a Port>) -> String {
    let names: Vec<_> = ports.map(|p| format!("\"{}\"", p.name)).collect();
    if names.is_empty() { String::new() } else { format!("{{ {} }}", names.join(", ")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::Path;

    const SCENARIO: &str = r#"title = "t"
time = "5s"
[lan.net0]
[machine.a]
interfaces = { em0 = "net0" }
[machine.b]
interfaces = { em0 = "net0" }
[[fault]]
lan = "net0"
from = "1s"
"#;

    /// The rules while that fault lasts, but for what all have.
    fn rules(fault: &str) -> String {
        let scenario = Scenario::parse(Path::new("x.toml"), &format!("{SCENARIO}{fault}\n")).unwrap();
        let port = |name: &str, station: &str| Port { name: name.into(), lan: 0, station: station.into() };
        let faults = Faults {
            lans: vec!["net0".into()],
            ports: vec![port("m0i0", "a"), port("m1i0", "b")],
            active: scenario.fault.iter().cloned().enumerate().collect(),
            silent: BTreeSet::new(),
        };
        let text = faults.rules();
        let (_, rules) = text.split_once("policy accept;\n").unwrap();
        rules.strip_suffix(" }\n}\n").unwrap().lines().map(str::trim).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_fault_is_rules_of_the_ports_that_it_concerns() {
        let all = r#"{ "m0i0", "m1i0" }"#;
        let (a, b) = (r#"{ "m0i0" }"#, r#"{ "m1i0" }"#);
        assert_eq!(
            rules(r#"partition = [["a"], ["b"]]"#),
            format!("iifname {a} oifname {b} drop; iifname {b} oifname {a} drop")
        );
        assert_eq!(
            rules("only = \"ip6\"\none_way = { from = [\"a\"], to = [\"b\"] }"),
            format!("iifname {a} oifname {b} ether type ip6 drop")
        );
        assert_eq!(
            rules("only = \"carp\"\nloss = 0.25"),
            format!(
                "iifname {all} ip protocol 112 numgen random mod 1000000 < 250000 drop; \
                 iifname {all} ip6 nexthdr 112 numgen random mod 1000000 < 250000 drop"
            )
        );
        assert_eq!(rules("echo = true"), "");
    }
}
