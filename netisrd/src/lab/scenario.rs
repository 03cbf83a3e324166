//! A scenario: what is on the LANs, what happens when, and what is expected.
//!
//! It is a TOML file; `docs/lab.md` has its keys, and `labs/` some to begin with. What is wrong in one is
//! said with file, line and column.

use super::duration::Span;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// A name, and where it stands in the file.
pub type Name = Spanned<String>;

/// The file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// In a few words.
    pub title: String,
    /// What it teaches.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What every choice is made by, unless told otherwise.
    #[serde(default = "one")]
    pub seed: u64,
    /// How long it takes.
    pub time: Span,
    /// Why real devices cannot run it, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_real: Option<String>,
    /// The LANs.
    #[serde(default)]
    pub lan: BTreeMap<String, LanSpec>,
    /// The machines.
    #[serde(default)]
    pub machine: BTreeMap<String, MachineSpec>,
    /// Stations that ping.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub client: BTreeMap<String, ClientSpec>,
    /// What is done, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<Deed>,
    /// What goes wrong, and how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<FaultSpec>,
    /// What must be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<ExpectSpec>,
}

fn one() -> u64 {
    1
}

/// A LAN.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LanSpec {
    /// What each frame takes; nothing unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
}

/// What a machine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// netisrd.
    #[default]
    Netisrd,
    /// ucarp, on real devices only.
    Ucarp,
}

/// A machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// What it runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: Kind,
    /// Each interface's LAN.
    pub interfaces: BTreeMap<String, Name>,
    /// How many netisrs; 1 unless said, here or on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netisrs: Option<usize>,
    /// Timers are rounded up to ticks of 1/hz second; 0 for exact ones.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hz: u32,
    /// When it is switched on for the first time; `never` waits for a deed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Span>,
    /// The command lines of each boot. For ucarp its arguments.
    #[serde(default)]
    pub boot: Vec<Name>,
}

/// A station that pings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSpec {
    /// Where it is.
    pub lan: Name,
    /// Its address and prefix.
    pub address: IpNet,
    /// What it pings.
    pub ping: IpAddr,
    /// How often; every 100 ms unless said.
    #[serde(default = "tenth")]
    pub interval: Span,
    /// From when on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Span,
    /// Until when; to the end unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

fn tenth() -> Span {
    Span(Duration::from_millis(100))
}

fn is_default<T: Default + PartialEq>(t: &T) -> bool {
    *t == T::default()
}

/// What happens to a machine as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It is switched on, and runs its boot lines.
    Boot,
    /// It is gone from one moment to the next.
    Crash,
    /// It is shut down in order: a MASTER bows out.
    Halt,
    /// It stops, as by SIGSTOP; its clock goes on.
    Pause,
    /// It goes on.
    Resume,
}

/// How a clock goes wrong.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSpec {
    /// Millionths of the world's speed; 1000000 is right.
    #[serde(default = "million")]
    pub ppm: u64,
    /// How far it jumps forwards.
    #[serde(default, skip_serializing_if = "is_default")]
    pub jump: Span,
}

fn million() -> u64 {
    1_000_000
}

/// Something that is done to a machine. One of `run`, `power` and `clock`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deed {
    /// When.
    pub time: Span,
    /// To which.
    pub machine: Name,
    /// A command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Name>,
    /// Power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// Its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockSpec>,
    /// The command is expected to fail.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fails: bool,
}

/// Which frames a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Advertisements, of both families.
    Carp,
    /// ARP.
    Arp,
    /// IPv4, ARP not included.
    Ip,
    /// IPv6.
    Ip6,
}

/// What gets lost between whom.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OneWay {
    /// Senders.
    pub from: Vec<Name>,
    /// Who does not hear them.
    pub to: Vec<Name>,
}

/// Something that goes wrong, on a LAN or at a machine's interface. Shares are
/// between 0 and 1.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// From when on.
    pub from: Span,
    /// Until when; to the end unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// On which LAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<Name>,
    /// For which frames; all unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// The share of frames that is lost, for each who would hear it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: f64,
    /// The share that comes twice.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duplicate: f64,
    /// The share in which a bit is wrong.
    #[serde(default, skip_serializing_if = "is_default")]
    pub corrupt: f64,
    /// The share that is cut short.
    #[serde(default, skip_serializing_if = "is_default")]
    pub truncate: f64,
    /// The share that others overtake.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reorder: f64,
    /// What each frame takes longer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delay: Span,
    /// What it takes longer at most, besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub jitter: Span,
    /// Senders hear their own frames.
    #[serde(default, skip_serializing_if = "is_default")]
    pub echo: bool,
    /// Who is in one part hears nobody in another. Who is in none hears all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition: Vec<Vec<Name>>,
    /// Who does not hear whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_way: Option<OneWay>,
    /// At which machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Name>,
    /// At which of its interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Name>,
    /// Its cable is out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub link_down: bool,
    /// Whatever it sends fails with ENOBUFS.
    #[serde(default, skip_serializing_if = "is_default")]
    pub send_errors: bool,
}

/// How much may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Loss {
    /// So many pings.
    Count(u64),
    /// Of all that were sent.
    Share(f64),
}

/// Something that must be seen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectSpec {
    /// Which machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Name>,
    /// Which of its carp interfaces; carp0 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Of FreeBSD's model: which vhid of that interface. For two masters: of
    /// which vhid; any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vhid: Option<u8>,
    /// In which state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<super::record::State>,
    /// It is so at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Span>,
    /// It becomes so after that time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// and not later than so long after it,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// and not sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_within: Option<Span>,
    /// It is so from then
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Span>,
    /// until then; to the end unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// On which LAN; any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<Name>,
    /// No two masters of a vhid on a LAN for longer than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_masters_no_longer_than: Option<Span>,
    /// Which client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Name>,
    /// It loses fewer pings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_loss_below: Option<Loss>,
}

/// What is wrong with a scenario, and where.
#[derive(Debug)]
pub struct Error {
    file: PathBuf,
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.text)
    }
}

impl std::error::Error for Error {}

/// Where a name stands, and what is wrong with it.
type Complaint = (Option<Range<usize>>, String);

impl Scenario {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Scenario, Error> {
        let error = |text| Error { file: path.to_path_buf(), at: None, text };
        let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
        Scenario::parse(path, &text)
    }

    /// Reads what stands in a file.
    pub fn parse(path: &Path, text: &str) -> Result<Scenario, Error> {
        let error = |(span, what): Complaint| {
            let at = span.map(|span| line_and_column(text, span.start));
            Error { file: path.to_path_buf(), at, text: what }
        };
        let scenario: Scenario =
            toml::from_str(text).map_err(|e| error((e.span(), e.message().trim().to_owned())))?;
        scenario.check().map_err(error)?;
        Ok(scenario)
    }

    /// The file that says it.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.lan.is_empty() || self.machine.is_empty() {
            return Err((None, "expected at least one [lan.NAME] and one [machine.NAME]".into()));
        }
        for spec in self.machine.values() {
            spec.interfaces.values().try_for_each(|lan| one_of("LAN", lan, self.lan.keys()))?;
            if spec.kind == Kind::Netisrd {
                spec.boot.iter().try_for_each(command)?;
            }
        }
        for spec in self.client.values() {
            one_of("LAN", &spec.lan, self.lan.keys())?;
            if spec.address.addr().is_ipv4() != spec.ping.is_ipv4() {
                return Err((Some(spec.lan.span()), "expected address and ping of one family".into()));
            }
        }
        self.at.iter().try_for_each(|deed| self.check_deed(deed))?;
        self.fault.iter().try_for_each(|fault| self.check_fault(fault))?;
        self.expect.iter().try_for_each(|expect| self.check_expect(expect))
    }

    fn check_deed(&self, deed: &Deed) -> Result<(), Complaint> {
        one_of("machine", &deed.machine, self.machine.keys())?;
        let given = [deed.run.is_some(), deed.power.is_some(), deed.clock.is_some()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err((Some(deed.machine.span()), "expected one of run, power and clock".into()));
        }
        deed.run.iter().try_for_each(command)
    }

    fn check_fault(&self, fault: &FaultSpec) -> Result<(), Complaint> {
        let stations = || self.machine.keys().chain(self.client.keys());
        let at_lan = fault.loss
            + fault.duplicate
            + fault.corrupt
            + fault.truncate
            + fault.reorder
            + if fault.echo { 1.0 } else { 0.0 }
            > 0.0
            || !fault.delay.0.is_zero()
            || !fault.jitter.0.is_zero()
            || !fault.partition.is_empty()
            || fault.one_way.is_some();
        match (&fault.lan, &fault.machine) {
            (Some(lan), None) => {
                one_of("LAN", lan, self.lan.keys())?;
                if !at_lan || fault.link_down || fault.send_errors {
                    let what = "expected one or more of loss, duplicate, corrupt, truncate, reorder, \
                                delay, jitter, echo, partition, one_way";
                    return Err((Some(lan.span()), what.into()));
                }
            }
            (None, Some(machine)) => {
                one_of("machine", machine, self.machine.keys())?;
                let Some(interface) = &fault.interface else {
                    return Err((Some(machine.span()), "expected an interface".into()));
                };
                let interfaces = self.machine.get(machine.as_ref()).map(|m| m.interfaces.keys());
                one_of("interface", interface, interfaces.into_iter().flatten())?;
                if at_lan || fault.link_down == fault.send_errors {
                    return Err((Some(machine.span()), "expected link_down or send_errors".into()));
                }
            }
            _ => return Err((None, "expected a fault's lan, or its machine and interface".into())),
        }
        let shares = [fault.loss, fault.duplicate, fault.corrupt, fault.truncate, fault.reorder];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            let span = fault.lan.as_ref().map(Spanned::span);
            return Err((span, "expected shares between 0 and 1".into()));
        }
        let one_way = fault.one_way.iter().flat_map(|w| w.from.iter().chain(&w.to));
        let mut named = fault.partition.iter().flatten().chain(one_way);
        named.try_for_each(|name| one_of("station", name, stations()))
    }

    fn check_expect(&self, expect: &ExpectSpec) -> Result<(), Complaint> {
        expect.lan.iter().try_for_each(|lan| one_of("LAN", lan, self.lan.keys()))?;
        match (&expect.machine, expect.two_masters_no_longer_than, &expect.client) {
            (Some(machine), None, None) => {
                one_of("machine", machine, self.machine.keys())?;
                let given = [
                    expect.by.is_some(),
                    expect.after.is_some() && expect.within.is_some(),
                    expect.from.is_some(),
                ];
                if expect.state.is_none() || given.iter().filter(|g| **g).count() != 1 {
                    let what = "expected a state, and one of: by; after and within; from";
                    return Err((Some(machine.span()), what.into()));
                }
                Ok(())
            }
            (None, Some(_), None) => Ok(()),
            (None, None, Some(client)) => {
                one_of("client", client, self.client.keys())?;
                if expect.ping_loss_below.is_none() {
                    return Err((Some(client.span()), "expected ping_loss_below".into()));
                }
                Ok(())
            }
            _ => Err((
                expect.machine.as_ref().or(expect.client.as_ref()).map(Spanned::span),
                "expected one of: machine and state; two_masters_no_longer_than; client and ping_loss_below"
                    .into(),
            )),
        }
    }
}

/// The programs that a machine has.
pub const PROGRAMS: [&str; 4] = ["ifconfig", "sysctl", "netstat", "route"];

/// A command line is words, of which the first is a program that there is.
fn command(line: &Name) -> Result<(), Complaint> {
    let words = shlex::split(line.as_ref());
    match words.as_deref() {
        Some([program, ..]) if PROGRAMS.contains(&program.as_str()) => Ok(()),
        Some(_) => Err((Some(line.span()), format!("expected a command of {}", PROGRAMS.join(", ")))),
        None => Err((Some(line.span()), "expected quotes that end".into())),
    }
}

fn one_of<'a>(
    what: &str,
    name: &Name,
    all: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), Complaint> {
    if all.clone().any(|one| one == name.as_ref()) {
        return Ok(());
    }
    let all: Vec<_> = all.map(String::as_str).collect();
    Err((
        Some(name.span()),
        format!("expected a {what} that there is ({}), not {:?}", all.join(", "), name.as_ref()),
    ))
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
