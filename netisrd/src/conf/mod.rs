//! `/etc/netisrd.conf`: rc.conf's own syntax, parsed and never run.
//!
//! ```text
//!   file.rs    whose the file is, who may write it
//!   parse.rs   sh's assignments, with the place of each character
//!   keys.rs    what each key says, passwords.rs what passfiles do  --> Conf
//!   trial.rs   whether a machine takes it: on one in virtual time
//!   warn.rs    what is worth a word of one that it takes
//!   wanted.rs  what an interface is to be; from one wish to another
//!   plan.rs    from one Conf to another, in steps that can be taken back
//!   turn.rs    the steps, one election of each carp interface at their end
//!   apply.rs   the steps, on the machine                   --> Service
//! ```
//!
//! # Keys
//!
//! | key | value |
//! |---|---|
//! | `cloned_interfaces` | `"carp0 carp1"`: made in this order, destroyed when they are named no more |
//! | `ifconfig_IF` | what follows `ifconfig IF` on a command line: `"vhid 1 pass x 192.168.1.1/24"`; on an interface that is no carp interface FreeBSD's model, `"vhid 1 pass x 192.168.1.1/32"` |
//! | `ifconfig_IF_aliasN` | the same, with `alias` at its end; N counts from 0 without gaps; `"inet6 ..."` too |
//! | `ifconfig_IF_ipv6` | the same, and begins with `inet6` |
//! | `net.inet.carp.preempt` and so on | a line of sysctl.conf(5): set before any interface is touched |
//! | `netisrd_interfaces` | `"eth0 eth1:none"`: as `-i` |
//! | `netisrd_taps` | `"em0@br0"`: as `--tap` |
//! | `netisrd_netisrs` | as `-n` |
//! | `netisrd_socket` | as `-S` |
//! | `netisrd_hz` | as `--hz` |
//!
//! In a key, what is no letter and no digit of an interface's name is `_`, as rc
//! has it: `ifconfig_eth0_10` is for `eth0.10`. A line says what is to be: it
//! has no `create`, `destroy`, `-alias`. A card keeps the addresses that it has:
//! those of the file come on top, and one that the host has too goes when both
//! have it no more. A sysctl is a line of this file and not
//! of another, so that one file is checked and applied as a whole; a name with
//! dots is no variable of sh, so that nothing is ambiguous.
//! `net.inet.carp.demotion` is what this file adds to it.
//!
//! The order: sysctls, cards, cloned interfaces; of each interface its own line,
//! `_ipv6`, then its aliases. Each carp interface that any of them touches holds one
//! election, when all are done, at the start and by a reload.
//!
//! # A reload
//!
//! Its steps are first taken on a machine in virtual time, by a thread of its own; what
//! fails there is told and not begun. A machine that starts must take the file too.
//! Nothing is tried if there is nothing to do for the file as it was, of which nothing was
//! to be said. Only what differs from the file as it was last applied is done: what somebody
//! has changed by hand and the file has not, stays. Not so of a vhid of a card: it goes
//! with its last address, and if none of them stays in the file, it is made anew. A carp
//! interface that is missing is made again; an address that is gone already need not go. A sysctl
//! that leaves the file gets the value back that it had before. Of the
//! keys that begin with `netisrd_`, `netisrd_hz` counts at once, and the others when
//! netisrd starts; a reload says which have changed.

mod act;
mod apply;
pub mod cli;
mod file;
mod keys;
mod parse;
mod passwords;
mod place;
mod plan;
mod trial;
mod turn;
mod wanted;
mod warn;

#[cfg(test)]
mod tests;

pub use apply::{OfCards, Rehearsal, Report, Service, Was};
pub use place::{Errors, Place};
pub use turn::Configuring;

use crate::dev::DataPath;
use crate::dev::host::{Existing, is_ethernet, taken_by};
use act::Words;
use compat::net::if_::IfName;
use ipnet::IpNet;
use keys::Reader;
use passwords::Passwords;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use wanted::Wanted;
use zeroize::Zeroizing;

/// Where the configuration is, unless told.
pub const DEFAULT: &str = "/etc/netisrd.conf";

/// A file that makes sense.
#[derive(Default)]
pub struct Conf {
    path: PathBuf,
    /// As it was read.
    text: Zeroizing<String>,
    /// And the files of passwords with it.
    passwords: Passwords,
    /// What the daemon starts with.
    pub daemon: Daemon,
    sysctls: Vec<Sysctl>,
    /// In the order in which they are configured.
    interfaces: Vec<Interface>,
    warnings: Vec<place::Complaint>,
    /// The cards that the file names, and where.
    card_places: Vec<(IfName, Place)>,
}

/// What netisrd starts with, as far as the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    /// Its cards.
    pub cards: Cards,
    /// `-n`
    pub netisrs: Option<u16>,
    /// `-S`
    pub socket: Option<PathBuf>,
    /// `--hz`
    pub hz: Option<u32>,
}

/// Network cards, each kind if somebody says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cards {
    /// `-i`
    pub interfaces: Option<Vec<String>>,
    /// `--tap`
    pub taps: Option<Vec<String>>,
}

impl Cards {
    /// Their names, and whether anybody says which there are.
    fn names(&self) -> (Vec<IfName>, bool) {
        let all = self.tap_names().chain(self.interface_names()).collect();
        (all, self.interfaces.is_some() || self.taps.is_some())
    }

    fn tap_names(&self) -> impl Iterator<Item = IfName> + '_ {
        let all = self.taps.iter().flatten();
        all.filter_map(|spec| IfName::new(spec.split_once('@').map_or(spec, |(tap, _)| tap)))
    }

    /// Whether macvlans carry its virtual addresses somewhere.
    fn has_macvlans(&self) -> bool {
        self.macvlan_names().next().is_some()
    }

    /// Where they do.
    fn macvlan_names(&self) -> impl Iterator<Item = IfName> + '_ {
        self.paths().filter(|(_, path)| *path == DataPath::Macvlan).map(|(name, _)| name)
    }

    /// Whether the host answers for the virtual addresses on it, as far as it is known.
    fn host_serves(&self, name: IfName) -> bool {
        self.paths().any(|(card, path)| card == name && path.is_served_by_host())
    }

    fn paths(&self) -> impl Iterator<Item = (IfName, DataPath)> + '_ {
        let all = self.interfaces.iter().flatten().filter_map(|spec| Existing::parse(spec).ok());
        all.filter_map(|it| Some((IfName::new(&it.name)?, it.path)))
    }

    fn interface_names(&self) -> impl Iterator<Item = IfName> + '_ {
        let all = self.interfaces.iter().flatten();
        all.filter_map(|spec| IfName::new(spec.split(':').next().unwrap_or_default()))
    }
}

struct Sysctl {
    name: String,
    value: String,
    at: Place,
}

struct Interface {
    name: IfName,
    at: Place,
    is_clone: bool,
    /// As they are typed.
    lines: Vec<Line>,
    /// What they come to.
    wanted: Wanted,
    has_pass: bool,
}

struct Line {
    at: Place,
    words: Words,
}

impl Interface {
    fn new(name: IfName, at: Place, is_clone: bool) -> Interface {
        let wanted = Wanted::new(is_clone);
        Interface { name, at, is_clone, lines: Vec::new(), wanted, has_pass: false }
    }
}

/// The addresses that a card has, though the file does not give it any.
pub type Lent<'a> = &'a dyn Fn(IfName) -> Result<Vec<IpNet>, String>;

/// Those that a card has on this host.
///
/// # Errors
/// The kernel does not say.
pub fn lent_by_host(name: IfName) -> Result<Vec<IpNet>, String> {
    crate::dev::host::addresses(name.as_str()).map_err(|e| format!("{name}: {}", e.desc()))
}

/// Whether a machine that is as `before` says takes all that leads to `after`:
/// what a reload finds out before it begins.
///
/// # Errors
/// The step that it does not take.
pub fn rehearse(before: Conf, after: &Conf) -> Result<(), Errors> {
    let applied = plan::Applied::default().then(before, std::collections::BTreeMap::new());
    let mut complaints = Vec::new();
    trial::change(&applied, after, &|_| Ok(Vec::new()), &mut complaints);
    if complaints.is_empty() { Ok(()) } else { Err(after.errors(complaints)) }
}

impl Conf {
    /// Reads a file, makes sense of it, and tries it on a machine in virtual time.
    /// `cards` are those that the command line names.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(path: &Path, cards: &Cards, lent: Lent<'_>) -> Result<Conf, Errors> {
        Conf::read_and(path, cards, |conf, complaints| trial::whole(conf, lent, complaints))
    }

    fn read_and(
        path: &Path,
        cards: &Cards,
        try_it: impl FnOnce(&Conf, &mut Vec<place::Complaint>) -> Vec<place::Complaint>,
    ) -> Result<Conf, Errors> {
        let file::Text { text, open_to_all } =
            file::read(path).map_err(|what| Errors::new(path, vec![(None, what)]))?;
        let mut conf = Conf::parse_and(path, &text, cards, try_it)?;
        if open_to_all && let Some(i) = conf.interfaces.iter().find(|i| i.has_pass) {
            let what = "warning: everybody can read this password: chmod 600 the file, or use a passfile";
            conf.warnings.push((Some(i.at), what.into()));
        }
        Ok(conf)
    }

    /// The same of what is in a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(path: &Path, text: &str, cards: &Cards, lent: Lent<'_>) -> Result<Conf, Errors> {
        Conf::parse_and(path, text, cards, |conf, complaints| trial::whole(conf, lent, complaints))
    }

    /// As another process has read it, with the passwords that it has found. A machine
    /// has taken it; what makes no sense here, and a password that is not among those, is
    /// left out.
    fn as_it_was(path: &Path, text: &str, cards: &Cards, passwords: Passwords) -> Conf {
        let mut complaints = Vec::new();
        let assignments = parse::parse(text, &mut complaints);
        let patchy = !complaints.is_empty();
        let mut reader = Reader { complaints: &mut complaints, patchy, passwords, knows_all: true };
        Conf { path: path.to_path_buf(), text: text.to_owned().into(), ..reader.read(assignments, cards) }
    }

    fn parse_and(
        path: &Path,
        text: &str,
        cards: &Cards,
        try_it: impl FnOnce(&Conf, &mut Vec<place::Complaint>) -> Vec<place::Complaint>,
    ) -> Result<Conf, Errors> {
        let mut complaints = Vec::new();
        let assignments = parse::parse(text, &mut complaints);
        let patchy = !complaints.is_empty();
        let passwords = Passwords::default();
        let mut reader = Reader { complaints: &mut complaints, patchy, passwords, knows_all: false };
        let mut conf = reader.read(assignments, cards);
        conf.path = path.to_path_buf();
        conf.text = Zeroizing::new(text.to_owned());
        if !patchy {
            let warnings = try_it(&conf, &mut complaints);
            conf.warnings.extend(warnings);
        }
        match complaints.is_empty() {
            true => Ok(conf),
            false => Err(Errors::new(path, complaints)),
        }
    }

    /// Whether this host has what the file names: what is no Ethernet can be no card, and
    /// what is not there is worth a word.
    ///
    /// # Errors
    /// What is none.
    fn suits_host(mut self) -> Result<Conf, Errors> {
        let interfaces: BTreeSet<IfName> = self.daemon.cards.interface_names().collect();
        let macvlans: BTreeSet<IfName> = self.daemon.cards.macvlan_names().collect();
        let mut complaints = Vec::new();
        for (name, at) in self.card_places.iter().filter(|(name, _)| interfaces.contains(name)) {
            match is_ethernet(name.as_str()) {
                Some(true) => {
                    let taken = taken_by(name.as_str()).filter(|_| macvlans.contains(name));
                    self.warnings.extend(taken.map(|what| (Some(*at), format!("warning: {what}"))));
                }
                Some(false) => {
                    complaints.push((Some(*at), format!("expected an Ethernet interface: {name} is none")));
                }
                None => {
                    let what = "this host has none of that name; it is used once it is there and up";
                    self.warnings.push((Some(*at), format!("warning: {name}: {what}")));
                }
            }
        }
        if complaints.is_empty() { Ok(self) } else { Err(self.errors(complaints)) }
    }

    /// What is worth a word, though nothing is wrong.
    pub fn warnings(&self) -> Errors {
        Errors::new(&self.path, self.warnings.clone())
    }

    /// The folders of the file and of its passfiles, once each: what is read
    /// again at a reload.
    pub fn folders(&self) -> Vec<PathBuf> {
        let files = [self.path.as_path()].into_iter().chain(self.passwords.files());
        let folders: BTreeSet<PathBuf> = files.filter_map(|f| f.parent()).map(Path::to_path_buf).collect();
        folders.into_iter().collect()
    }

    fn errors(&self, complaints: Vec<place::Complaint>) -> Errors {
        Errors::new(&self.path, complaints)
    }

    fn interface(&self, name: IfName) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.name == name)
    }

    fn sysctl(&self, name: &str) -> Option<&Sysctl> {
        self.sysctls.iter().find(|s| s.name == name)
    }
}
