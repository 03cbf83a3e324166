//! A scenario: what is on the LANs, what happens when, and what is expected.
//!
//! It is a TOML file; `docs/lab.md` has its keys, and `labs/` some to begin with. What is wrong in one is
//! said with file, line and column.

use super::duration::Span;
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;

mod check;
mod devices;
mod place;
mod values;

pub(super) use place::printable;
pub use place::{Error, Source};

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
    pub not_real: Option<Name>,
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
    /// Where it was read.
    #[serde(skip)]
    pub source: Source,
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
    pub delay: Option<Spanned<Span>>,
}

impl LanSpec {
    /// What each frame takes.
    pub fn delay(&self) -> Duration {
        self.delay.as_ref().map_or(Duration::ZERO, |d| d.as_ref().0)
    }
}

/// What a machine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// netisrd.
    #[default]
    Netisrd,
    /// ucarp, on real devices only: a virtual host, called `carp0`.
    Ucarp,
}

/// How ucarp is started.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UcarpSpec {
    /// The machine's own address and prefix.
    #[serde(deserialize_with = "values::address")]
    pub own: Ipv4Net,
    /// The virtual address.
    #[serde(deserialize_with = "values::address")]
    pub address: Ipv4Addr,
    /// Its vhid.
    pub vhid: NonZeroU8,
    /// The password.
    pub pass: String,
    /// Seconds; 1 unless said.
    #[serde(default = "second")]
    pub advbase: NonZeroU8,
    /// 256ths of a second.
    #[serde(default, skip_serializing_if = "is_default")]
    pub advskew: u8,
    /// It takes over from who is worse.
    #[serde(default, skip_serializing_if = "is_default")]
    pub preempt: bool,
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
    /// When it is switched on for the first time; at the beginning unless said,
    /// or by its first deed if that is its boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Span>,
    /// The command lines of each boot.
    #[serde(default)]
    pub boot: Vec<Name>,
    /// Of ucarp: how it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ucarp: Option<UcarpSpec>,
}

/// A station that pings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSpec {
    /// Where it is.
    pub lan: Name,
    /// Its address and prefix.
    #[serde(deserialize_with = "values::address")]
    pub address: IpNet,
    /// What it pings.
    #[serde(deserialize_with = "values::address")]
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

fn second() -> NonZeroU8 {
    NonZeroU8::MIN
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
    /// It may fail or not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub may_fail: bool,
    /// It does not let first what else is due at that moment, or under way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rush: bool,
}

/// Which frames a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Advertisements, of both families.
    Carp,
    /// ARP.
    Arp,
    /// IPv4, advertisements included.
    Ip,
    /// IPv6, advertisements included.
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
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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

/// Where a scenario is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// In memory, in virtual time.
    Virtual,
    /// The kernel's.
    Real,
}

impl Scenario {
    /// Reads a file that is to run in virtual time.
    pub fn read(path: &Path) -> Result<Scenario, Error> {
        Scenario::read_for(Devices::Virtual, path)
    }

    /// Reads a file, and refuses what such devices cannot do.
    pub fn read_for(devices: Devices, path: &Path) -> Result<Scenario, Error> {
        let bytes = std::fs::read(path).map_err(|e| Error::not_read(path, &e))?;
        let text = String::from_utf8(bytes).map_err(|e| Error::no_text(path, &e))?;
        let scenario = Scenario::parse(path, &text)?;
        scenario.check_for(devices).map_err(|complaint| Error::new(path, &text, complaint))?;
        Ok(scenario)
    }

    /// Reads what stands in a file, wherever it is to run.
    pub fn parse(path: &Path, text: &str) -> Result<Scenario, Error> {
        let scenario: Scenario = toml::from_str(text).map_err(|e| Error::not_parsed(path, text, &e))?;
        scenario.check().map_err(|complaint| Error::new(path, text, complaint))?;
        Ok(Scenario { source: Source::new(path, text), ..scenario })
    }

    /// Whether a file that says it would be read again.
    pub fn is_sound(&self) -> bool {
        self.check().is_ok()
    }

    /// The file that says it.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests;
