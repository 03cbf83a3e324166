//! A line as values: for one who keeps lines in a file and compares them.

use super::cmds::{self, At, Line, Step};
use super::password::Password;
use crate::failure::Failure;
use crate::iflist;
use crate::kernel::Kernel;
use crate::syscalls::Syscalls;
use compat::net::if_::{IfName, Iff};
use compat::netinet::in_::len_of_mask;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a line asks for. Of what it does not mention it asks nothing.
#[derive(Debug, Default)]
pub struct Asked {
    /// `vhid`
    pub vhid: Option<u8>,
    /// `advbase`
    pub advbase: Option<u8>,
    /// `advskew`
    pub advskew: Option<u8>,
    /// `pass`, `passfile`
    pub password: Option<Password>,
    /// `state`: `master` or `backup`
    pub state: Option<&'static str>,
    /// `peer`, `mcast`
    pub peer: Option<Ipv4Addr>,
    /// `peer6`, `mcast6`
    pub peer6: Option<Ipv6Addr>,
    /// `carpdev`; [`IfName::EMPTY`] is `-carpdev`
    pub carpdev: Option<IfName>,
    /// `up`, `-arp` and so on: [`flag_word`] knows the words
    pub flags: Vec<(Iff, bool)>,
    /// `group G` and `-group G`
    pub groups: Vec<(IfName, bool)>,
    /// The address.
    pub address: Option<Address>,
}

/// An address that an interface is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Of either family.
    pub addr: IpAddr,
    /// As the line says, or as goes without saying.
    pub prefixlen: u8,
    /// `broadcast`
    pub broadcast: Option<Ipv4Addr>,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// At which word; `None` of words that do not go together.
    pub word: Option<usize>,
    /// Whether that word was not understood at all: it may be anything, a piece
    /// of a password too.
    pub unknown: bool,
    /// One sentence.
    pub text: String,
}

/// Reads a line for `name` that says what is to be, the words behind the
/// interface: the code that the command reads lines with, without its verbs.
///
/// # Errors
/// What the command would say of the line, whatever the machine; a word that acts or
/// asks in place of saying what is to be; and a second one about the same thing, of
/// which the command takes the last.
pub fn read(name: IfName, words: &[OsString]) -> Result<Asked, Mistake> {
    let mut said = Vec::new();
    let allow = |word: &OsStr| no_verb(word).and_then(|()| once(word, &mut said));
    let line = Line::parse_allowing(words, allow).map_err(|(at, e)| mistake(at, &e))?;
    let whole = |e: Failure| mistake(At::Line, &e);
    line.check_scope(name).map_err(whole)?;
    if line.address.wanted().is_none() && line.address.inet.has_mask() {
        return Err(whole(Failure::message("'netmask' requires an address")));
    }
    let carp = line.carp;
    let (peer, peer6) = carp.peers.values();
    let mut asked = Asked {
        vhid: carp.vhid.map(u8::from),
        advbase: carp.advbase.map(u8::from),
        advskew: carp.advskew.map(u8::from),
        password: carp.password,
        state: carp.state.map(|s| s.word()),
        peer,
        peer6,
        carpdev: carp.carpdev,
        address: line.address.wanted(),
        ..Asked::default()
    };
    for step in line.steps {
        match step {
            Step::Flag { flag, on } => asked.flags.push((flag, on)),
            Step::Join(group) => asked.groups.push((group, true)),
            Step::Leave(group) => asked.groups.push((group, false)),
            Step::Carp | Step::Vhaddr => {}
        }
    }
    Ok(asked)
}

/// An address that an interface has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Has {
    /// The interface.
    pub ifname: String,
    /// The virtual host whose it is, on an interface that is no carp interface;
    /// else 0.
    pub vhid: u8,
    /// The address.
    pub addr: IpAddr,
    /// And how much of it is the network's.
    pub prefixlen: u8,
}

/// All addresses of the machine.
///
/// # Errors
/// What the command would say.
pub fn addresses(calls: &mut dyn Syscalls) -> Result<Vec<Has>, String> {
    let interfaces = iflist::read(&mut Kernel::new(calls)).map_err(|e| e.to_string())?;
    let has = |ifname: &str, ifa: &iflist::Ifa| {
        let (addr, prefixlen) = match &ifa.addr {
            iflist::Addr::Inet(inet) => (inet.addr.into(), len_of_mask(inet.netmask)?),
            iflist::Addr::Inet6(inet6) => (inet6.addr.into(), inet6.prefixlen),
        };
        Some(Has { ifname: ifname.to_owned(), vhid: ifa.vhid, addr, prefixlen })
    };
    Ok(interfaces.iter().flat_map(|i| i.addrs.iter().filter_map(|ifa| has(&i.name, ifa))).collect())
}

/// The keyword that sets a flag so.
pub fn flag_word(flag: Iff, on: bool) -> Option<&'static str> {
    Line::flag_word(flag, on)
}

fn no_verb(word: &OsStr) -> Result<(), Failure> {
    let verbs = ["create", "plumb", "destroy", "unplumb", "vhaddr", "-alias", "delete", "remove"];
    match verbs.iter().find(|verb| word == **verb) {
        Some(verb) => Err(Failure::Message(format!("expected what is to be, not '{verb}'"))),
        None => Ok(()),
    }
}

/// `-arp` is about the same as `arp`, `passfile` as `pass`.
pub fn subject(word: &OsStr) -> Option<&'static str> {
    cmds::subject(word)
}

/// Words that are no keywords are not repeated: they may be of a password.
fn once(word: &OsStr, said: &mut Vec<&'static str>) -> Result<(), Failure> {
    let length = || word.as_encoded_bytes().contains(&b'/').then_some("prefixlen");
    let subject = subject(word);
    if let Some(addr) = address(word).filter(|_| subject.is_none()) {
        if said.contains(&"address") {
            let what = match addr {
                IpAddr::V4(_) => "expected one address in a line: another has a line of its own",
                IpAddr::V6(_) => {
                    "expected one address in a line: one of IPv6 has a line of its own that begins with inet6"
                }
            };
            return Err(Failure::message(what));
        }
        said.push("address");
    }
    let about = match subject.or_else(length) {
        Some("netmask") => "prefixlen",
        Some(about) => about,
        None => return Ok(()),
    };
    if said.contains(&about) {
        return Err(Failure::Message(format!("expected {} once in a line", spelt(about))));
    }
    said.push(about);
    Ok(())
}

/// Without its scope and length.
fn address(word: &OsStr) -> Option<IpAddr> {
    word.to_str()?.split(['%', '/']).next()?.parse().ok()
}

fn spelt(about: &str) -> &str {
    match about {
        "prefixlen" => "a prefix length or netmask",
        "pass" => "a password",
        word => word,
    }
}

fn mistake(at: At, failure: &Failure) -> Mistake {
    let (word, unknown) = match at {
        At::Word(n) | At::Argument(n) => (Some(n), false),
        At::Unknown(n) => (Some(n), true),
        At::Line => (None, false),
    };
    Mistake { word, unknown, text: failure.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(line: &str) -> Result<Asked, Mistake> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        read(IfName::new("carp0").unwrap(), &words)
    }

    #[test]
    fn a_line_is_read_as_values() {
        let a = asked("vhid 7 pass secret advskew 9 -arp group dmz 10.0.0.1 broadcast 10.0.0.9").unwrap();
        assert_eq!((a.vhid, a.advskew, a.advbase), (Some(7), Some(9), None));
        assert_eq!(a.password.unwrap().word(), "secret");
        let address =
            Address { addr: "10.0.0.1".parse().unwrap(), prefixlen: 8, broadcast: "10.0.0.9".parse().ok() };
        assert_eq!(a.address, Some(address));
        assert_eq!(a.flags.iter().map(|(f, on)| flag_word(*f, *on)).collect::<Vec<_>>(), [Some("-arp")]);
        assert_eq!(a.groups, [(IfName::new("dmz").unwrap(), true)]);
        let a = asked("inet6 2001:db8::1 mcast peer6 fe80::2%carp0").unwrap();
        assert_eq!(a.address.map(|a| (a.addr, a.prefixlen)), Some(("2001:db8::1".parse().unwrap(), 64)));
        assert_eq!((a.peer, a.peer6), ("224.0.0.18".parse().ok(), "fe80::2".parse().ok()));
    }

    #[test]
    fn a_mistake_says_at_which_word_it_is_and_whether_that_may_be_anything() {
        for (line, word, unknown) in [
            ("vhid 1 advskew 255", Some(3), false),
            ("vhid 1 advskew", Some(2), false),
            ("vhid 1 frob", Some(2), true),
            ("vhid 1 10.0.0.300", Some(2), true),
            ("advbase 0 advskew 0", None, false),
            ("inet6 fe80::1%em0", None, false),
            ("netmask 255.0.0.0", None, false),
            ("up destroy", Some(1), false),
            ("create up", Some(0), false),
            ("10.0.0.1 -alias", Some(1), false),
            ("pass 01234567890123456789", Some(1), false),
            ("vhid 1 vhid 2", Some(2), false),
            ("pass vhid vhid 1 pass secret", Some(4), false),
            ("mcast peer 10.0.0.3", Some(1), false),
            ("carpdev em0 -carpdev", Some(2), false),
            ("up -arp down", Some(2), false),
            ("netmask 255.0.0.0 10.0.0.1/24", Some(2), false),
            ("inet6 2001:db8::1/64 prefixlen 80", Some(2), false),
        ] {
            let m = asked(line).unwrap_err();
            assert_eq!((m.word, m.unknown), (word, unknown), "{line}: {}", m.text);
            assert!(!m.text.is_empty());
        }
    }

    #[test]
    fn a_second_address_is_told_where_it_belongs() {
        let one = "expected one address in a line: another has a line of its own";
        let inet6 =
            "expected one address in a line: one of IPv6 has a line of its own that begins with inet6";
        for (line, word, text) in [
            ("vhid 1 pass x 10.9.0.1/24 fd09::1/64", 5, inet6),
            ("10.9.0.1 fd09::1", 1, inet6),
            ("10.9.0.1/24 inet6 fd09::1/64", 2, inet6),
            ("inet6 fd09::1/64 fe80::2%carp0/64", 2, inet6),
            ("10.9.0.1/24 10.9.0.2/24", 1, one),
            ("10.9.0.1 netmask 255.0.0.0 10.9.0.2", 3, one),
            ("inet6 fd09::1/64 10.9.0.1/24", 2, one),
        ] {
            let mistake = Mistake { word: Some(word), unknown: false, text: text.to_owned() };
            assert_eq!(asked(line).unwrap_err(), mistake, "{line}");
        }
        assert!(asked("10.9.0.1 netmask 255.0.0.0 broadcast 10.9.0.2").is_ok());
    }
}
