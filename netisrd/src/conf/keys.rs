//! The keys, and what each says.

use super::act::Words;
use super::parse::{Assignment, Word};
use super::passwords::Passwords;
use super::place::{Complaint, Place};
use super::{Cards, Conf, Interface, Line, Sysctl};
use crate::dev::host::Existing;
use compat::net::if_::IfName;
use ifconfig_carp::ifconfig::{self, Address};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// `netisrd -n`
const NETISRS_MAX: u16 = 256;
/// `netisrd --hz`
const HZ_MAX: u32 = 10_000;
/// A sysctl whose value is a sum: a write adds to it.
pub(super) const DEMOTION: &str = "net.inet.carp.demotion";

/// A key that begins with `ifconfig_`.
struct IfKey<'a> {
    /// As rc spells the interface.
    of: &'a str,
    part: Part,
}

/// In the order in which rc runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `ifconfig_carp0`
    Own,
    /// `ifconfig_carp0_ipv6`
    Ipv6,
    /// `ifconfig_carp0_alias0`
    Alias(u32),
}

/// Makes sense of assignments.
pub(super) struct Reader<'c> {
    pub(super) complaints: &'c mut Vec<Complaint>,
    /// Some assignment was not understood: what it would have said is missing.
    pub(super) patchy: bool,
    /// What is known of files of passwords.
    pub(super) passwords: Passwords,
    /// Others are not read: the line is as if it had none.
    pub(super) knows_all: bool,
}

impl Reader<'_> {
    fn complain(&mut self, at: Place, what: impl Into<String>) {
        self.complaints.push((Some(at), what.into()));
    }

    /// `cards` are those of the command line, which wins.
    pub(super) fn read(&mut self, assignments: Vec<Assignment>, cards: &Cards) -> Conf {
        let mut conf = Conf::default();
        let assignments = self.once_each(assignments);
        let mut of_interfaces = Vec::new();
        for a in &assignments {
            match a.name.as_str() {
                "cloned_interfaces" => self.clones(&mut conf, a),
                "netisrd_interfaces" => {
                    let names = self.names(&mut conf, a, |spec| spec.split(':').next().unwrap_or_default());
                    for wrong in names.iter().filter_map(|spec| Existing::parse(spec).err()) {
                        self.complain(a.at, wrong);
                    }
                    conf.daemon.cards.interfaces = Some(names);
                }
                "netisrd_taps" => {
                    let names = self.names(&mut conf, a, |spec| spec.split('@').next().unwrap_or_default());
                    conf.daemon.cards.taps = Some(names);
                }
                "netisrd_netisrs" => conf.daemon.netisrs = self.number(a, 1, NETISRS_MAX),
                "netisrd_hz" => conf.daemon.hz = self.number(a, 0, HZ_MAX),
                "netisrd_socket" => conf.daemon.socket = self.path(a),
                name if name.contains('.') => self.sysctl(&mut conf, a),
                name if name.starts_with("ifconfig_") => of_interfaces.push(a),
                name => self.unknown(a.at, name),
            }
        }
        conf.daemon.cards = Cards {
            interfaces: cards.interfaces.clone().or(conf.daemon.cards.interfaces.take()),
            taps: cards.taps.clone().or(conf.daemon.cards.taps.take()),
        };
        for (name, at) in conf.card_places.clone() {
            if let Some(clone) = conf.interface(name).map(|clone| clone.at) {
                self.once(at, name, clone);
            }
        }
        self.interfaces(&mut conf, &of_interfaces);
        conf.passwords = core::mem::take(&mut self.passwords);
        conf
    }

    /// sh would take the last, and say nothing of the others.
    fn once_each(&mut self, assignments: Vec<Assignment>) -> Vec<Assignment> {
        let mut seen: BTreeMap<String, Place> = BTreeMap::new();
        let mut kept = Vec::new();
        for a in assignments {
            match seen.get(&a.name) {
                Some(first) => {
                    let what = format!("expected {} once: it is in line {} too", a.name, first.line);
                    self.complain(a.at, what);
                }
                None => {
                    seen.insert(a.name.clone(), a.at);
                    kept.push(a);
                }
            }
        }
        kept
    }

    fn unknown(&mut self, at: Place, name: &str) {
        let what = match name {
            _ if name.starts_with("create_args_") => {
                "expected ifconfig_IF in its place: a carp interface has no arguments of creation"
            }
            "network_interfaces" => "expected netisrd_interfaces and netisrd_taps: the machine's cards",
            "ifconfig" | "sysctl" => "expected ifconfig_IF=\"...\" or NAME.OF.SYSCTL=VALUE",
            _ => {
                "expected a key that there is: cloned_interfaces, ifconfig_IF, ifconfig_IF_aliasN, \
                 ifconfig_IF_ipv6, netisrd_interfaces, netisrd_taps, netisrd_netisrs, netisrd_socket, \
                 netisrd_hz, or the name of a sysctl"
            }
        };
        self.complain(at, what);
    }

    /// The names of a list. With commas it is none, and what else is wrong is found all
    /// the same.
    fn listed(&mut self, a: &Assignment) -> Vec<Word> {
        let mut names = Vec::new();
        for word in a.value.words() {
            if word.text.contains(',') {
                self.complain(word.at, "expected blanks between the names, no commas");
            }
            let parts = word.text.split(',').filter(|name| !name.is_empty());
            names.extend(parts.map(|name| Word { text: name.to_owned().into(), at: word.at }));
        }
        names
    }

    /// `cloned_interfaces`
    fn clones(&mut self, conf: &mut Conf, a: &Assignment) {
        for word in self.listed(a) {
            let unit = word.text.strip_prefix("carp").filter(|unit| is_number(unit));
            let Some(name) = unit.and_then(|_| IfName::new(&word.text)) else {
                self.complain(word.at, "expected carp and a number: the machine makes no other interfaces");
                continue;
            };
            if let Some(first) = conf.interfaces.iter().find(|i| i.name == name).map(|i| i.at) {
                self.once(word.at, name, first);
                continue;
            }
            conf.interfaces.push(Interface::new(name, word.at, true));
        }
    }

    /// Names of cards, or of what makes them.
    fn names(&mut self, conf: &mut Conf, a: &Assignment, name_of: impl Fn(&str) -> &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for word in self.listed(a) {
            let Some(name) = IfName::new(name_of(&word.text)) else {
                self.complain(word.at, "expected the name of an interface, of at most 15 characters");
                continue;
            };
            match conf.card_places.iter().find(|(card, _)| *card == name) {
                Some((_, first)) => self.once(word.at, name, *first),
                None => {
                    conf.card_places.push((name, word.at));
                    names.push(word.text.to_string());
                }
            }
        }
        names
    }

    fn once(&mut self, at: Place, name: IfName, first: Place) {
        self.complain(at, format!("expected {name} once: it is in line {} too", first.line));
    }

    fn only_word(&mut self, a: &Assignment, what: &str) -> Option<Word> {
        let mut words = a.value.words();
        match words.len() {
            1 => words.pop(),
            _ => {
                self.complain(a.value.at, format!("expected {what}"));
                None
            }
        }
    }

    fn number<N: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        a: &Assignment,
        low: N,
        high: N,
    ) -> Option<N> {
        let what = format!("a number from {low} to {high}");
        let word = self.only_word(a, &what)?;
        let number = word.text.parse().ok().filter(|n| is_number(&word.text) && low <= *n && *n <= high);
        if number.is_none() {
            self.complain(word.at, format!("expected {what}"));
        }
        number
    }

    fn path(&mut self, a: &Assignment) -> Option<PathBuf> {
        const WHAT: &str = "a path that begins with /";
        let word = self.only_word(a, WHAT)?;
        if !word.text.starts_with('/') {
            self.complain(word.at, format!("expected {WHAT}"));
            return None;
        }
        Some(PathBuf::from(word.text.as_str()))
    }

    /// A line of sysctl.conf(5).
    fn sysctl(&mut self, conf: &mut Conf, a: &Assignment) {
        let words = a.value.words();
        let [word] = &words[..] else {
            return self.complain(a.value.at, format!("expected a value of {}, without blanks", a.name));
        };
        let value = word.text.to_string();
        if a.name == DEMOTION && value.parse::<i32>().is_err() {
            return self.complain(word.at, "expected a number that is added to the demotion");
        }
        conf.sysctls.push(Sysctl { name: a.name.clone(), value, at: word.at });
    }

    fn interfaces(&mut self, conf: &mut Conf, keys: &[&Assignment]) {
        let (cards, listed) = conf.daemon.cards.names();
        let mut names: Vec<IfName> = cards;
        names.extend(conf.interfaces.iter().map(|i| i.name));
        let mut lines: BTreeMap<IfName, BTreeMap<Part, &Assignment>> = BTreeMap::new();
        for a in keys {
            let Some((name, part)) = self.whose(a, &names, listed) else { continue };
            lines.entry(name).or_default().insert(part, a);
        }
        let mut cards: Vec<Interface> = Vec::new();
        for (name, parts) in lines {
            self.check_numbers(&parts);
            let here = match conf.interfaces.iter_mut().find(|i| i.name == name) {
                Some(clone) => clone,
                None => {
                    let at = parts.values().map(|a| a.at).min().unwrap_or_default();
                    cards.push(Interface::new(name, at, false));
                    let Some(last) = cards.last_mut() else { continue };
                    last
                }
            };
            for (part, a) in parts {
                self.line(here, part, a);
            }
        }
        cards.sort_by_key(|i| i.at);
        // As they are on a BSD: cards are there before what is cloned.
        cards.append(&mut conf.interfaces);
        conf.interfaces = cards;
    }

    /// The interface of a key. Where nothing lists the cards, they are whatever
    /// the command line will say.
    fn whose(&mut self, a: &Assignment, names: &[IfName], listed: bool) -> Option<(IfName, Part)> {
        let named = |of: &str| names.iter().copied().find(|n| in_a_key(n.as_str()) == of);
        let keys = IfKey::all(&a.name);
        if let Some(found) = keys.iter().find_map(|key| Some((named(key.of)?, key.part))) {
            return Some(found);
        }
        let IfKey { of, part } = keys.into_iter().next()?;
        let unit = of.strip_prefix("carp").filter(|unit| is_number(unit));
        if self.patchy {
            // What it belongs to may be what was not understood.
            return None;
        }
        let what = match (unit, IfName::new(of)) {
            (Some(_), _) => format!("expected {of} in cloned_interfaces"),
            (None, Some(name)) if !listed => return Some((name, part)),
            _ => "expected an interface of cloned_interfaces, netisrd_interfaces or netisrd_taps".into(),
        };
        self.complain(a.at, what);
        None
    }

    /// rc stops at the first number that is missing, and says nothing of those
    /// behind it.
    fn check_numbers(&mut self, parts: &BTreeMap<Part, &Assignment>) {
        let numbers = parts.iter().filter_map(|(part, a)| match part {
            Part::Alias(n) => Some((*n, *a)),
            _ => None,
        });
        for (expected, (n, a)) in (0..).zip(numbers) {
            if n != expected {
                let stem = a.name.trim_end_matches(|c: char| c.is_ascii_digit());
                let what = format!("expected {stem}{expected}: they are numbered from 0 without gaps");
                return self.complain(a.at, what);
            }
        }
    }

    fn line(&mut self, interface: &mut Interface, part: Part, a: &Assignment) {
        let mut words = a.value.words();
        if words.is_empty() {
            return;
        }
        let at = words.first().map_or(a.value.at, |w| w.at);
        if part == Part::Ipv6 && words.first().is_some_and(|w| w.text.as_str() != "inet6") {
            return self.complain(at, "expected inet6 and an IPv6 address");
        }
        let is_alias = words.iter().any(|w| matches!(w.text.as_str(), "alias" | "add"));
        if part != Part::Own && !is_alias {
            // As rc does.
            words.push(Word { text: "alias".to_owned().into(), at });
        }
        let passfile = words.windows(2).position(|w| w[0].text.as_str() == "passfile");
        let passfile = passfile.and_then(|n| Some((n, words.get(n + 1)?)));
        if let Some((_, file)) = passfile.filter(|(_, file)| !file.text.starts_with('/')) {
            // Where the daemon runs is not where the file is.
            return self.complain(file.at, "expected a path that begins with /");
        }
        let mut argv: Words = words.iter().map(|w| OsString::from(w.text.as_str())).collect();
        let known = passfile.and_then(|(_, file)| self.passwords.word(&file.text));
        if let Some((n, _)) = passfile.filter(|_| known.is_some() || self.knows_all) {
            argv.replace(n, known.map(|word| ("pass", word)));
        }
        let asked = match ifconfig::read(interface.name, argv.as_slice()) {
            Ok(asked) => asked,
            Err(mistake) => {
                let word = mistake.word.and_then(|n| words.get(n));
                return self.complain(word.map_or(at, |w| w.at), without_secrets(mistake, &words));
            }
        };
        if let Some((word, first)) = interface.wanted.contradicts(&asked) {
            let about = ifconfig::subject(word.as_ref()).unwrap_or(word);
            let here = words.iter().find(|w| match ifconfig::subject(w.text.as_str().as_ref()) {
                Some(subject) => subject == about,
                None => matches!(w.text.as_str(), "group" | "-group") && word.ends_with("group"),
            });
            let what = format!("expected no other {}: it is in line {} too", spelt(word), first.line);
            return self.complain(here.map_or(at, |w| w.at), what);
        }
        if let Some(address) = asked.address {
            if let Some(what) = no_host(address) {
                return self.complain(at, what);
            }
            if let Some(first) = interface.wanted.place_of(address.addr) {
                let what = format!("expected another address: line {} gives it {}", first.line, address.addr);
                return self.complain(at, what);
            }
            // What a card has already it keeps: it may be the host's.
            if part == Part::Own && !is_alias && !interface.is_clone {
                argv.push("alias");
            }
        }
        if let (Some((n, file)), Some(password)) = (passfile, &asked.password) {
            // It is read once.
            self.passwords.keep(&file.text, &password.word());
            argv.replace(n, Some(("pass", password.word())));
        }
        interface.has_pass |= words.iter().any(|w| w.text.as_str() == "pass");
        interface.wanted.add(at, asked);
        interface.lines.push(Line { at, words: argv });
    }
}

impl IfKey<'_> {
    /// Every way to read it, the most likely first.
    fn all(name: &str) -> Vec<IfKey<'_>> {
        let Some(rest) = name.strip_prefix("ifconfig_") else { return Vec::new() };
        let whole = IfKey { of: rest, part: Part::Own };
        if let Some(of) = rest.strip_suffix("_ipv6") {
            return vec![IfKey { of, part: Part::Ipv6 }, whole];
        }
        let alias = rest.rsplit_once("_alias").filter(|(_, n)| is_number(n));
        match alias.and_then(|(of, n)| Some(IfKey { of, part: Part::Alias(n.parse().ok()?) })) {
            Some(key) => vec![key, whole],
            None => vec![whole],
        }
    }
}

/// Decimal, and the only way to write it.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

/// As rc spells an interface in a variable.
fn in_a_key(ifname: &str) -> String {
    ifname.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What is said of a keyword's value.
fn spelt(word: &str) -> &str {
    match word {
        "pass" => "password",
        word => word,
    }
}

/// A network's own address, and all its hosts'.
fn no_host(address: Address) -> Option<String> {
    let IpNet::V4(net) = IpNet::new(address.addr, address.prefixlen).ok()? else { return None };
    let whose = match net.addr() {
        // Links between two have neither.
        _ if net.prefix_len() >= 31 => return None,
        addr if addr == net.network() => "the network's own",
        addr if addr == net.broadcast() => "the broadcast address of its network",
        _ => return None,
    };
    Some(format!("expected an address that a host can have: {net} is {whose}"))
}

/// What is not understood behind a password is not repeated: it may be its
/// second word.
fn without_secrets(mistake: ifconfig::Mistake, words: &[Word]) -> String {
    let before = mistake.word.map_or(words.len(), |n| n.min(words.len()));
    let after_pass = words.iter().take(before).any(|w| w.text.as_str() == "pass");
    match mistake.unknown && after_pass {
        true => "expected a keyword or an address; a password with blanks goes into a passfile".into(),
        false => mistake.text,
    }
}
