//! Of the keys: what each says, and what is wrong with one.

use super::super::{Cards, Conf, Daemon};
use super::wrong;
use crate::dev::host::Existing;
use std::path::Path;

fn conf(text: &str) -> Conf {
    Conf::parse(Path::new("f"), text, &Cards::default(), &|_| Ok(Vec::new()))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The command lines of a file, in the order in which they are run.
fn lines(text: &str) -> Vec<String> {
    super::super::plan::from_nothing(&conf(text), &Default::default())
        .iter()
        .map(|step| step.act.to_string())
        .collect()
}

#[test]
fn a_file_says_what_netisrd_starts_with() {
    let text = "netisrd_interfaces=\"eth0 eth1\"\nnetisrd_taps='em0@br0 em1'\nnetisrd_netisrs=2\n\
                netisrd_socket=/run/x.sock\nnetisrd_hz=100\n";
    let names = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    let (interfaces, taps) = (names(&["eth0", "eth1"]), names(&["em0@br0", "em1"]));
    let expected = Daemon {
        cards: Cards { interfaces: interfaces.clone(), taps },
        netisrs: Some(2),
        socket: Some("/run/x.sock".into()),
        hz: Some(100),
    };
    assert_eq!(conf(text).daemon, expected);
    assert_eq!(conf("").daemon, Daemon::default());
    // The command line wins, each kind for itself.
    let cards = Cards { interfaces: None, taps: names(&["em7"]) };
    let of_both = Conf::parse(Path::new("f"), text, &cards, &|_| Ok(Vec::new())).unwrap().daemon.cards;
    assert_eq!(of_both, Cards { interfaces, taps: names(&["em7"]) });
}

#[test]
fn lines_are_run_in_the_order_of_rc() {
    let text = "ifconfig_carp0_alias1=\"10.0.0.3/24\"\nifconfig_carp0_alias0=\"inet 10.0.0.2/24\"\n\
                ifconfig_carp0_ipv6=\"inet6 2001:db8::1/64\"\ncloned_interfaces=\"carp1 carp0\"\n\
                ifconfig_carp0=\"vhid 1 pass secret 10.0.0.1/24\"\nifconfig_eth0=\"10.0.0.9/24\"\n\
                ifconfig_eth0_alias0=\"vhid 3 pass secret 10.0.0.4/32\"\n\
                net.inet.carp.preempt=\"1\"\nnet.inet.carp.log=2\n";
    let expected = [
        "sysctl net.inet.carp.preempt=1",
        "sysctl net.inet.carp.log=2",
        "ifconfig eth0 10.0.0.9/24 alias",
        "ifconfig eth0 vhid 3 pass * 10.0.0.4/32 alias",
        "ifconfig carp1 create",
        "ifconfig carp0 create",
        "ifconfig carp0 vhid 1 pass * 10.0.0.1/24",
        "ifconfig carp0 inet6 2001:db8::1/64 alias",
        "ifconfig carp0 inet 10.0.0.2/24 alias",
        "ifconfig carp0 10.0.0.3/24 alias",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn a_key_spells_its_interface_as_rc_does() {
    let text = "netisrd_interfaces='eth0.10 br-lan'\nifconfig_eth0_10='10.0.0.1/24'\n\
                ifconfig_br_lan_alias0='10.1.0.1/24'\n";
    assert_eq!(lines(text), ["ifconfig eth0.10 10.0.0.1/24 alias", "ifconfig br-lan 10.1.0.1/24 alias"]);
    assert_eq!(lines("ifconfig_em0=\"\"\n"), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_key_is_told_with_its_place() {
    let known = "expected a key that there is: cloned_interfaces, ifconfig_IF, ifconfig_IF_aliasN, \
                 ifconfig_IF_ipv6, netisrd_interfaces, netisrd_taps, netisrd_netisrs, netisrd_socket, \
                 netisrd_hz, or the name of a sysctl";
    let unlisted = "expected an interface of cloned_interfaces, netisrd_interfaces or netisrd_taps";
    let clone = "expected carp and a number: the machine makes no other interfaces";
    for (text, expected) in [
        ("clonde_interfaces=\"carp0\"", format!("1:1: {known}")),
        ("ifconfig_carp0=\"vhid 1\"", "1:1: expected carp0 in cloned_interfaces".into()),
        ("netisrd_interfaces=eth1\nifconfig_eth0=up", format!("2:1: {unlisted}")),
        ("ifconfig_=up", format!("1:1: {unlisted}")),
        ("cloned_interfaces=\"carp0 vlan0\"", format!("1:26: {clone}")),
        ("cloned_interfaces=\"carp\"", format!("1:20: {clone}")),
        ("cloned_interfaces=\"carp01\"", format!("1:20: {clone}")),
        ("cloned_interfaces=\"carp0 carp0\"", "1:26: expected carp0 once: it is in line 1 too".into()),
        ("netisrd_taps=\"em0@br0 em0\"", "1:23: expected em0 once: it is in line 1 too".into()),
        (
            "netisrd_taps=em0\nnetisrd_interfaces=em0:tap",
            "2:20: expected em0 once: it is in line 1 too".into(),
        ),
        (
            "netisrd_interfaces=\"a-name-too-long-for-it\"",
            "1:21: expected the name of an interface, of at most 15 characters".into(),
        ),
        ("netisrd_netisrs=257", "1:17: expected a number from 1 to 256".into()),
        ("netisrd_netisrs=+2", "1:17: expected a number from 1 to 256".into()),
        ("netisrd_hz=\"1 2\"", "1:12: expected a number from 0 to 10000".into()),
        ("netisrd_socket=run", "1:16: expected a path that begins with /".into()),
        ("netisrd_hz=1\nnetisrd_hz=1", "2:1: expected netisrd_hz once: it is in line 1 too".into()),
        (
            "create_args_carp0='vhid 1'",
            "1:1: expected ifconfig_IF in its place: a carp interface has no arguments of creation".into(),
        ),
    ] {
        assert_eq!(wrong(text), [expected], "{text:?}");
    }
    let clash = wrong("netisrd_taps=carp0\ncloned_interfaces=carp0");
    assert_eq!(clash[0], "1:14: expected carp0 once: it is in line 2 too");
}

#[test]
fn a_list_with_commas_is_no_name() {
    for list in ["eth0,eth1", "eth0, eth1", "eth0:tap,eth1:none", "eth0,eth1,eth2,eth3,eth4"] {
        let said = ["1:21: expected blanks between the names, no commas"];
        assert_eq!(wrong(&format!("netisrd_interfaces='{list}'\nifconfig_eth1=up")), said, "{list}");
    }
    let blanks = |column: u32| [format!("1:{column}: expected blanks between the names, no commas")];
    assert_eq!(wrong("netisrd_taps=em0@br0,em1"), blanks(14));
    assert_eq!(wrong("cloned_interfaces='carp0 carp1,carp2'"), blanks(26));
    // Nor is it one on a command line.
    let said = Existing::checked("eth0,eth1").unwrap_err();
    assert_eq!(said, "expected one interface: each has an -i of its own, not a comma");
}

#[test]
fn aliases_have_numbers_without_gaps() {
    let alias = |n: &str| format!("ifconfig_em0_alias{n}='10.0.0.1{n}/24'\n");
    let said = |all: &[&str]| wrong(&all.iter().map(|n| alias(n)).collect::<String>());
    let expected = |line: u32, n: u32| {
        [format!("{line}:1: expected ifconfig_em0_alias{n}: they are numbered from 0 without gaps")]
    };
    assert_eq!(said(&["0", "1", "2"]), [""; 0]);
    assert_eq!(said(&["2", "1", "0"]), [""; 0]);
    assert_eq!(said(&["1"]), expected(1, 0));
    assert_eq!(said(&["0", "2", "3"]), expected(2, 1));
    // Numbers are written in one way; this one is an interface's name.
    assert_eq!(wrong("netisrd_taps=em0\nifconfig_em0_alias00='10.0.0.9/24'").len(), 1);
}

#[test]
fn a_line_is_checked_by_the_code_that_runs_it() {
    let carp0 = |line: &str| wrong(&format!("cloned_interfaces=carp0\nifconfig_carp0=\"{line}\"\n"));
    for (line, expected) in [
        ("vhid 256", "2:22: vhid 256: must be a number from 1 to 255"),
        ("vhid 1 advskew", "2:24: 'advskew' requires argument"),
        ("vhid 1 frob", "2:24: frob: not a keyword and not an address"),
        ("advbase 0 advskew 0", "2:17: advbase 0 with advskew 0: the interval would be zero"),
        ("10.0.0.1/33", "2:17: 10.0.0.1/33: bad value"),
        ("up destroy", "2:20: expected what is to be, not 'destroy'"),
        ("10.0.0.1 -alias", "2:26: expected what is to be, not '-alias'"),
        ("passfile secret", "2:26: expected a path that begins with /"),
        // What only a machine can tell.
        ("carpdev em9", "2:17: ifconfig carp0 carpdev em9: interface em9 does not exist"),
    ] {
        assert_eq!(carp0(line), [expected], "{line}");
    }
    let em0 = "2:16: ifconfig em0 advskew 3: 'advskew' requires vhid: em0 is not a carp interface";
    assert_eq!(wrong("netisrd_taps=em0\nifconfig_em0=\" advskew 3\""), [em0]);
    assert_eq!(wrong("ifconfig_em0_alias0='vhid 3'"), ["1:22: 'alias' requires an address"]);
    assert_eq!(wrong("ifconfig_em0_ipv6='2001:db8::1'"), ["1:20: expected inet6 and an IPv6 address"]);
    assert_eq!(wrong("net.inet.carp.frob=1"), ["1:20: unknown oid 'net.inet.carp.frob'"]);
    assert_eq!(wrong("net.inet.carp.preempt=yes"), ["1:23: invalid integer 'yes'"]);
    let demotion = "1:24: expected a number that is added to the demotion";
    assert_eq!(wrong("net.inet.carp.demotion=0x10"), [demotion]);
}

#[test]
fn two_lines_that_do_not_go_together_are_found_without_the_machine() {
    let text = "cloned_interfaces='carp0 carp1'\nifconfig_carp0='vhid 1 carpdev em0'\n\
                ifconfig_carp1='vhid 1 carpdev em0'\nifconfig_em0='10.0.0.9/24'\n";
    assert_eq!(wrong(text), ["3:17: expected another vhid: carp0 has 1 on em0, in line 2"]);
}

#[test]
fn an_interface_has_an_address_once() {
    let text = "ifconfig_em0='10.0.0.9/24'\nifconfig_em0_alias0='vhid 3 10.0.0.9/32'\n";
    assert_eq!(wrong(text), ["2:22: expected another address: line 1 gives it 10.0.0.9"]);
}

#[test]
fn lines_of_an_interface_do_not_contradict_each_other() {
    let carp0 = |first: &str, second: &str| {
        let text = format!("ifconfig_carp0='{first}'\nifconfig_carp0_alias0='10.0.0.9/24 {second}'\n");
        wrong(&format!("netisrd_taps=em0 cloned_interfaces=carp0\n{text}"))
    };
    for (first, second, word) in [
        ("vhid 1", "vhid 2", "vhid"),
        ("vhid 1 advbase 1", "advbase 2", "advbase"),
        ("vhid 1 advskew 0", "advskew 7", "advskew"),
        ("vhid 1 pass secret", "pass other", "password"),
        ("vhid 1 state master", "state backup", "state"),
        ("vhid 1 peer 10.0.0.3", "mcast", "peer"),
        ("vhid 1 mcast6", "peer6 fe80::3", "peer6"),
        ("vhid 1 carpdev em0", "-carpdev", "carpdev"),
        ("vhid 1 -arp", "arp", "-arp"),
        ("vhid 1 10.0.0.8/24 down", "up", "down"),
        ("vhid 1 group dmz", "-group dmz", "group"),
    ] {
        let expected = format!("3:36: expected no other {word}: it is in line 2 too");
        assert_eq!(carp0(first, second), [expected], "{first}; {second}");
    }
    // What is said twice is said.
    assert_eq!(
        carp0("vhid 1 pass x advskew 3 group dmz -arp", "vhid 1 pass x advskew 3 group dmz -arp"),
        [""; 0]
    );
    // Virtual hosts of a card are several.
    let card = "ifconfig_em0='vhid 1 pass x 10.0.0.1/32'\nifconfig_em0_alias0='vhid 2 pass y 10.0.0.2/32'\n";
    assert_eq!(wrong(card), [""; 0]);
    let again = format!("{card}ifconfig_em0_alias1='vhid 2 pass z 10.0.0.3/32'\n");
    assert_eq!(wrong(&again), ["3:29: expected no other password: it is in line 2 too"]);
    assert_eq!(wrong("ifconfig_em0='vhid 1 vhid 2 10.0.0.1/32'"), ["1:22: expected vhid once in a line"]);
}

#[test]
fn what_would_back_an_address_is_told_with_the_prefix_that_counts() {
    let warned = |address: &str, card: &str| {
        let text = format!(
            "netisrd_taps=em0\ncloned_interfaces=carp1\nifconfig_em0='{card}'\nifconfig_carp1='vhid 9 \
             pass x {address}'\n"
        );
        conf(&text).warnings().lines().map(|l| l.to_string()).collect::<Vec<_>>()
    };
    let told = |what: &str| [format!("f:4:17: warning: nothing backs {what}")];
    let em0 = "10.9.0.11/24";
    // Without a length it is the class's.
    let of_class = told("10.9.0.77/8: no interface has an address of 10.0.0.0/8, but em0 has 10.9.0.11/24");
    assert_eq!(warned("10.9.0.77", em0), of_class);
    let host = told("10.9.0.77/32: no interface has an address of 10.9.0.77/32, but em0 has 10.9.0.11/24");
    assert_eq!(warned("10.9.0.77/32", em0), host);
    let far = told("10.8.0.77/24: no interface has an address of 10.8.0.0/24");
    assert_eq!(warned("10.8.0.77/24", em0), far);
    let inet6 = told("fd09::77/48: no interface has an address of fd09::/48, but em0 has fd09::11/64");
    assert_eq!(warned("inet6 fd09::77/48", "inet6 fd09::11/64"), inet6);
    assert_eq!(warned("10.9.0.77/24", em0), [""; 0]);
}

#[test]
fn whose_addresses_a_killed_ones_host_would_keep_too_long_is_told() {
    let warned = |path: &str, advbase: u8| {
        let text = format!(
            "netisrd_interfaces=eth0{path}\nifconfig_eth0='10.0.0.1/24'\nifconfig_eth0_alias0='vhid 1 advbase \
             {advbase} advskew 100 10.0.0.9/24'\n"
        );
        conf(&text)
            .warnings()
            .lines()
            .map(|l| l.starts_with("f:3:") && l.contains(": warning: advbase 0:"))
            .collect::<Vec<_>>()
    };
    for path in ["", ":macvlan"] {
        assert_eq!((warned(path, 0), warned(path, 1)), (vec![true], vec![]), "{path}");
    }
    for path in [":tap", ":none"] {
        assert!(warned(path, 0).is_empty(), "{path}");
    }
}

#[test]
fn an_address_is_one_that_a_host_can_have() {
    let said = |address: &str| wrong(&format!("ifconfig_em0='vhid 1 {address}'"));
    let expected =
        |net: &str, is: &str| [format!("1:15: expected an address that a host can have: {net} is {is}")];
    assert_eq!(said("192.168.1.0/24"), expected("192.168.1.0/24", "the network's own"));
    assert_eq!(said("10.3.255.255/14"), expected("10.3.255.255/14", "the broadcast address of its network"));
    for good in ["192.168.1.0/23", "192.168.0.255/23", "192.168.1.0/31", "192.168.1.1/31", "10.0.0.0/32"] {
        assert_eq!(said(good), [""; 0], "{good}");
    }
}

#[test]
fn no_error_repeats_a_password() {
    const SECRET: &str = "hunter2";
    for line in [
        "vhid 1 pass hunter2 frob hunter2",
        "vhid 1 pass my hunter2 10.0.0.1/24",
        "vhid 1 pass hunter2hunter2hunter2",
        "vhid 1 pass hunter2 advskew 300",
        "vhid 1 pass hunter2 carpdev em9",
        "vhid 1 pass $hunter2",
        "vhid 1 pass hun\"ter2 hunter2",
        "vhid 1 pass \" hunter2",
        "vhid 1 pass hunter2\nreboot hunter2",
        "vhid 1 pass `hunter2`",
    ] {
        for quote in ["\"", "'", ""] {
            let text = format!("cloned_interfaces=carp0\nifconfig_carp0={quote}{line}{quote}\n");
            let said = wrong(&text);
            // There it is a character like any other.
            let means_nothing = quote == "'" && line.contains(['$', '`', '"']);
            assert!(!said.is_empty() || means_nothing, "{text}");
            assert!(!said.iter().any(|l| l.contains(SECRET)), "{text}: {said:?}");
        }
    }
}
