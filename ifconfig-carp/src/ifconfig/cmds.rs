//! The keywords, and the line they make.

use super::address::{AddressChange, Af, Mode};
use super::carp::{CarpChange, State};
use super::number::{AdvBase, AdvSkew, Vhid};
use super::password::Password;
use super::{Family, group};
use crate::failure::Failure;
use compat::net::if_::{IfName, Iff};
use std::ffi::{OsStr, OsString};

/// What a line asks for, read to its end and checked.
#[derive(Default)]
pub(crate) struct Line {
    /// `create` or `plumb`, the first word.
    pub(crate) create: bool,
    /// `destroy` or `unplumb`, the only word.
    pub(crate) destroy: bool,
    /// In the order of the words.
    pub(crate) steps: Vec<Step>,
    /// What [`Step::Carp`] does.
    pub(crate) carp: CarpChange,
    /// What happens after the last step.
    pub(crate) address: AddressChange,
}

/// What happens where its word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `up`, `-arp` and so on.
    Flag { flag: Iff, on: bool },
    /// Where the first of CARP's keywords stands.
    Carp,
    /// `group G`
    Join(IfName),
    /// `-group G`
    Leave(IfName),
    /// `vhaddr`
    Vhaddr,
}

/// `struct cmd`: a keyword and what it does to the line.
struct Cmd {
    name: &'static str,
    act: Act,
}

/// `c_parameter` and `c_func`.
enum Act {
    Flag(Iff, bool),
    Alias(Mode),
    Bare(fn(&mut Line)),
    /// `NEXTARG`: the next word is the keyword's.
    NextArg(fn(&mut Line, &OsStr) -> Result<(), Failure>),
}

use Act::{Alias, Bare, Flag, NextArg};

const fn cmd(name: &'static str, act: Act) -> Cmd {
    Cmd { name, act }
}

/// `ifconfig.c: basic_cmds`, `ifclone.c: clone_cmds`, `ifgroup.c: group_cmds`,
/// `af_inet6.c: inet6_cmds`, `ifcarp.c: carp_cmds` and FreeBSD's `carp.c`;
/// `carpdev` is OpenBSD's.
const CMDS: &[Cmd] = &[
    cmd("up", Flag(Iff::UP, true)),
    cmd("down", Flag(Iff::UP, false)),
    cmd("arp", Flag(Iff::NOARP, false)),
    cmd("-arp", Flag(Iff::NOARP, true)),
    cmd("debug", Flag(Iff::DEBUG, true)),
    cmd("-debug", Flag(Iff::DEBUG, false)),
    cmd("promisc", Flag(Iff::PPROMISC, true)),
    cmd("-promisc", Flag(Iff::PPROMISC, false)),
    cmd("link0", Flag(Iff::LINK0, true)),
    cmd("-link0", Flag(Iff::LINK0, false)),
    cmd("link1", Flag(Iff::LINK1, true)),
    cmd("-link1", Flag(Iff::LINK1, false)),
    cmd("link2", Flag(Iff::LINK2, true)),
    cmd("-link2", Flag(Iff::LINK2, false)),
    cmd("monitor", Flag(Iff::MONITOR, true)),
    cmd("-monitor", Flag(Iff::MONITOR, false)),
    cmd("staticarp", Flag(Iff::STATICARP, true)),
    cmd("-staticarp", Flag(Iff::STATICARP, false)),
    cmd("add", Alias(Mode::Add)),
    cmd("alias", Alias(Mode::Add)),
    cmd("-alias", Alias(Mode::Delete)),
    cmd("delete", Alias(Mode::Delete)),
    cmd("remove", Alias(Mode::Delete)),
    cmd("netmask", NextArg(|line, v| line.address.inet.set_mask(v))),
    cmd("broadcast", NextArg(|line, v| line.address.inet.set_broadcast(v))),
    cmd("prefixlen", NextArg(|line, v| line.address.inet6.set_prefixlen(v))),
    cmd("destroy", Bare(|line| line.destroy = true)),
    cmd("unplumb", Bare(|line| line.destroy = true)),
    cmd("group", NextArg(|line, v| group::name("group", v).map(|g| line.steps.push(Step::Join(g))))),
    cmd("-group", NextArg(|line, v| group::name("-group", v).map(|g| line.steps.push(Step::Leave(g))))),
    cmd("vhaddr", Bare(|line| line.steps.push(Step::Vhaddr))),
    cmd("vhid", NextArg(|line, v| Vhid::parse(v).map(|x| line.carp("vhid").vhid = Some(x)))),
    cmd("advbase", NextArg(|line, v| AdvBase::parse(v).map(|x| line.carp("advbase").advbase = Some(x)))),
    cmd("advskew", NextArg(|line, v| AdvSkew::parse(v).map(|x| line.carp("advskew").advskew = Some(x)))),
    cmd("pass", NextArg(|line, v| Password::from_word(v).map(|x| line.carp("pass").password = Some(x)))),
    cmd(
        "passfile",
        NextArg(|line, v| Password::from_file(v.as_ref()).map(|x| line.carp("passfile").password = Some(x))),
    ),
    cmd("state", NextArg(|line, v| State::parse(v).map(|x| line.carp("state").state = Some(x)))),
    cmd("peer", NextArg(|line, v| line.carp("peer").peers.set_peer(v))),
    cmd("-peer", Bare(|line| line.carp("-peer").peers.mcast())),
    cmd("mcast", Bare(|line| line.carp("mcast").peers.mcast())),
    cmd("peer6", NextArg(|line, v| line.carp("peer6").peers.set_peer6(v))),
    cmd("-peer6", Bare(|line| line.carp("-peer6").peers.mcast6())),
    cmd("mcast6", Bare(|line| line.carp("mcast6").peers.mcast6())),
    cmd("carpdev", NextArg(|line, v| line.carp("carpdev").set_carpdev(v))),
    cmd("-carpdev", Bare(|line| line.carp("-carpdev").carpdev = Some(IfName::EMPTY))),
];

/// What a keyword gives a value that can be given once: of two such keywords, as of
/// two such values, typed lines take the last.
pub(crate) fn subject(word: &OsStr) -> Option<&'static str> {
    let named = |name: &str| CMDS.iter().find(|c| c.name == name).map(|c| c.name);
    match CMDS.iter().find(|c| word == c.name)?.name {
        "passfile" => Some("pass"),
        "-peer" | "mcast" => Some("peer"),
        "-peer6" | "mcast6" => Some("peer6"),
        "down" => Some("up"),
        "alias" | "add" | "group" | "-group" => None,
        name => named(name.trim_start_matches('-')),
    }
}

/// The keywords.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    ["create", "plumb"].into_iter().chain(CMDS.iter().map(|c| c.name))
}

/// Where in a line a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// That keyword.
    Word(usize),
    /// That word, which is none and was taken for an address.
    Unknown(usize),
    /// That word, which is a keyword's.
    Argument(usize),
    /// Words that do not go together.
    Line,
}

impl Line {
    /// The words behind the interface: `ifconfig.c: ifconfig`.
    pub(crate) fn parse(words: &[OsString]) -> Result<Line, Failure> {
        Line::parse_allowing(words, |_| Ok(())).map_err(|(_, failure)| failure)
    }

    /// The same, and of a mistake where it is. `allow` is asked before each
    /// keyword and address.
    pub(crate) fn parse_allowing(
        words: &[OsString],
        mut allow: impl FnMut(&OsStr) -> Result<(), Failure>,
    ) -> Result<Line, (At, Failure)> {
        let mut line = Line::default();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            allow(word).map_err(|e| (At::Word(at), e))?;
            at = match at {
                0 if word == "create" || word == "plumb" => {
                    line.create = true;
                    1
                }
                _ => line.word(at, word, words.get(at + 1))?,
            };
        }
        let whole = |e| (At::Line, e);
        line.carp.check().map_err(whole)?;
        line.address.check().map_err(whole)?;
        if line.destroy && (line.create || words.len() > 1) {
            return Err((At::Line, Failure::message("'destroy' goes with no other keyword")));
        }
        Ok(line)
    }

    /// Takes a word and maybe its argument; the number of the next one comes
    /// back.
    fn word(&mut self, at: usize, word: &OsStr, next: Option<&OsString>) -> Result<usize, (At, Failure)> {
        match CMDS.iter().find(|c| word == c.name).map(|c| &c.act) {
            Some(Flag(flag, on)) => self.steps.push(Step::Flag { flag: *flag, on: *on }),
            Some(Alias(mode)) => self.address.mode = *mode,
            Some(Bare(act)) => act(self),
            Some(NextArg(act)) => {
                let Some(argument) = next else {
                    let word = word.to_string_lossy();
                    return Err((At::Word(at), Failure::Message(format!("'{word}' requires argument"))));
                };
                act(self, argument).map_err(|e| (At::Argument(at + 1), e))?;
                return Ok(at + 2);
            }
            None => self.no_keyword(word).map_err(|e| (At::Unknown(at), e))?,
        }
        Ok(at + 1)
    }

    fn no_keyword(&mut self, word: &OsStr) -> Result<(), Failure> {
        if word == "create" || word == "plumb" {
            let word = word.to_string_lossy();
            return Err(Failure::Message(format!("'{word}' comes first after the interface")));
        }
        match Family::named(word) {
            Some(Family::Inet) => self.address.set_family(Af::Inet),
            Some(Family::Inet6) => self.address.set_family(Af::Inet6),
            Some(Family::Link) => {
                let word = word.to_string_lossy();
                Err(Failure::Message(format!("'{word}' only shows: it goes with no other keyword")))
            }
            None => self.address.set_addr(word),
        }
    }

    /// Scopes must be the name of the interface that the line is for.
    pub(crate) fn check_scope(&self, name: IfName) -> Result<(), Failure> {
        self.address.check_scope(name)?;
        self.carp.peers.check_scope(name)
    }

    /// The keyword that sets a flag so.
    pub(crate) fn flag_word(wanted: Iff, wanted_on: bool) -> Option<&'static str> {
        let is = |act: &Act| matches!(act, Flag(flag, on) if (*flag, *on) == (wanted, wanted_on));
        CMDS.iter().find(|c| is(&c.act)).map(|c| c.name)
    }

    fn carp(&mut self, word: &'static str) -> &mut CarpChange {
        if self.carp.word.is_none() {
            self.carp.word = Some(word);
            self.steps.push(Step::Carp);
        }
        &mut self.carp
    }
}
