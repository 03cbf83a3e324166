//! IPv6 addresses: the requests, what is shown, what is refused.

use crate::machine::Machine;
use crate::{fails_and_changes_nothing, ifconfig, requests_of, success};
use compat::net::if_::IfName;
use compat::netinet6::in6::{SockAddrIn6, mask_of_len6};
use compat::netinet6::in6_var::{In6Addrlifetime, In6AliasReq, In6IfReq, SIOCAIFADDR_IN6, SIOCDIFADDR_IN6};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;

fn requests(line: &str) -> Vec<String> {
    requests_of(&mut Machine::new(), line)
}

/// em0 with a link-local address and one for all links.
fn machine() -> Machine {
    let mut m = Machine::new();
    m.em0().addrs6 = vec![("fe80::1".parse().unwrap(), 64), ("2001:db8::1".parse().unwrap(), 48)];
    m
}

fn refused(line: &str, text: &str) {
    let mut m = machine();
    fails_and_changes_nothing(&mut m, line, text);
    assert_eq!(m.log, [""; 0], "nothing is even asked: {line}");
}

#[test]
fn an_address_is_added_whether_or_not_the_line_says_alias() {
    let expected = ["SIOCGIFINDEX carp0", "SIOCAIFADDR_IN6 carp0 2001:db8::5 mask ffff:ffff:ffff:ffff::"];
    for line in [
        "carp0 inet6 2001:db8::5",
        "carp0 inet6 2001:db8::5/64",
        "carp0 inet6 2001:db8::5 prefixlen 64",
        "carp0 inet6 alias 2001:db8::5/48 prefixlen 64",
        "carp0 prefixlen 48 inet6 2001:db8::5/64 add",
    ] {
        assert_eq!(requests(line), expected, "{line}");
    }
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "em0 inet6 2001:db8::5/128"), success(""));
    assert_eq!(m.em0().addrs6.len(), 3, "no other went for it");
    assert_eq!(m.em0().addrs.len(), 1);
}

#[test]
fn an_address_goes_if_it_is_named() {
    let expected = ["SIOCGIFINDEX em0", "SIOCDIFADDR_IN6 em0 2001:db8::1"];
    for line in
        ["em0 inet6 2001:db8::1 -alias", "em0 inet6 2001:db8::1/48 delete", "em0 inet6 remove 2001:db8::1"]
    {
        assert_eq!(requests_of(&mut machine(), line), expected, "{line}");
    }
    for word in ["-alias", "delete", "remove"] {
        refused(&format!("em0 inet6 {word}"), "'-alias' requires an address");
    }
}

#[test]
fn a_scope_is_the_interfaces_own_name_and_sends_its_index() {
    let expected = ["SIOCGIFINDEX em0", "SIOCAIFADDR_IN6 em0 fe80::9 scope 1 mask ffff:ffff:ffff:ffff::"];
    assert_eq!(requests("em0 inet6 fe80::9%em0/64"), expected);
    let expected = ["SIOCGIFINDEX em0", "SIOCAIFADDR_IN6 em0 fe80::9 mask ffff:ffff:ffff:ffff::"];
    assert_eq!(requests("em0 inet6 fe80::9"), expected);
    let expected = ["SIOCGIFINDEX em0", "SIOCDIFADDR_IN6 em0 fe80::1 scope 1"];
    assert_eq!(requests_of(&mut machine(), "em0 inet6 fe80::1%em0 -alias"), expected);

    refused("em0 inet6 fe80::9%carp0", "fe80::9%carp0: the scope must be the interface itself, em0");
    refused("em0 down inet6 fe80::9%1", "fe80::9%1: the scope must be the interface itself, em0");
    refused("em0 inet6 fe80::9%", "fe80::9%: the scope must be the interface itself, em0");
    refused("em0 inet6 2001:db8::9%em0", "2001:db8::9%em0: only a link-local address has a scope");
    refused("carp1 create inet6 fe80::9%em0", "fe80::9%em0: the scope must be the interface itself, carp1");
}

#[test]
fn a_created_interface_can_be_the_scope() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp create inet6 fe80::9%carp1"), success("carp1\n"));
    let expected = [
        "SIOCGIFINDEX carp",
        "SIOCIFCREATE2 carp",
        "SIOCGIFINDEX carp1",
        "SIOCAIFADDR_IN6 carp1 fe80::9 scope 3 mask ffff:ffff:ffff:ffff::",
    ];
    assert_eq!(m.log, expected);
    let text = "fe80::9%carp1: the scope must be the interface itself, carp2";
    fails_and_changes_nothing(&mut m, "carp create inet6 fe80::9%carp1", text);
}

#[test]
fn the_bytes_of_the_structs_are_the_abis() {
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "carp0 inet6 fe80::7%carp0/10"), success(""));
    assert_eq!(ifconfig(&mut m, "carp0 inet6 fe80::7 -alias"), success(""));
    let (name, addr) = (IfName::new("carp0").unwrap(), "fe80::7".parse().unwrap());
    let ifra = In6AliasReq {
        ifra_name: name,
        ifra_addr: SockAddrIn6::new(addr, 2),
        ifra_dstaddr: SockAddrIn6::default(),
        ifra_prefixmask: SockAddrIn6::new(mask_of_len6(10).unwrap(), 0),
        ifra_flags: 0,
        ifra_lifetime: In6Addrlifetime::INFINITE,
    };
    let expected = [
        Request::ioctl(SIOCAIFADDR_IN6, &ifra),
        Request::ioctl(SIOCDIFADDR_IN6, &In6IfReq::new(name, SockAddrIn6::new(addr, 0))),
    ];
    assert_eq!(m.changes, expected);
}

#[test]
fn addresses_show_after_those_of_ipv4_with_the_scope_of_a_link_local_one() {
    let head = "em0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500\n";
    let inet = "\tinet 10.0.0.2 netmask 0xffffff00 broadcast 10.0.0.255\n";
    let inet6 = "\tinet6 fe80::1%em0 prefixlen 64 scopeid 0x1\n\tinet6 2001:db8::1 prefixlen 48\n";
    let mut m = machine();
    let all = format!("{head}\tether 02:00:00:00:00:0a\n{inet}{inet6}");
    assert_eq!(ifconfig(&mut m, "em0"), success(&all));
    assert_eq!(ifconfig(&mut m, "em0 inet6"), success(&format!("{head}{inet6}")));
    assert_eq!(ifconfig(&mut m, "em0 inet"), success(&format!("{head}{inet}")));
    assert_eq!(ifconfig(&mut m, "-au inet6"), success(&format!("{head}{inet6}")));
    assert_eq!(ifconfig(&mut m, "-l inet6"), success("em0 carp0\n"));
}

#[test]
fn the_address_is_last_and_what_comes_before_is_taken_back_if_it_fails() {
    let mut m = machine();
    m.refuse = Some(("SIOCAIFADDR_IN6", Errno::EEXIST));
    let line = "carp0 vhid 1 pass x up group lan inet6 2001:db8::5";
    fails_and_changes_nothing(&mut m, line, "SIOCAIFADDR_IN6: File exists");
    let expected = [
        "SIOCGIFINDEX carp0",
        "sysctl net.route.iflist.2 []",
        "SIOCGVH carp0",
        "SIOCSVH carp0 state -1 vhid 1 advbase 1 advskew 0 key x...................",
        "SIOCGIFFLAGS carp0",
        "SIOCSIFFLAGS carp0 0x8803",
        "SIOCAIFGROUP carp0 lan",
        "SIOCAIFADDR_IN6 carp0 2001:db8::5 mask ffff:ffff:ffff:ffff::",
        "SIOCDIFGROUP carp0 lan",
        "SIOCSIFFLAGS carp0 0x8802",
        "SIOCSVH carp0 state -1 vhid -2147483648 advbase 1 advskew 0 key ....................",
    ];
    assert_eq!(m.log, expected);
    fails_and_changes_nothing(&mut m, "carp create inet6 2001:db8::5", "SIOCAIFADDR_IN6: File exists");
    assert_eq!(m.log.last().unwrap(), "SIOCIFDESTROY carp1");
}

#[test]
fn an_address_that_is_not_there_is_foreseen() {
    for line in ["em0 down inet6 2001:db8::9 -alias", "carp0 vhid 1 inet6 -alias 2001:db8::1"] {
        let mut m = machine();
        let text = "SIOCDIFADDR_IN6: Can't assign requested address";
        fails_and_changes_nothing(&mut m, line, text);
        assert_eq!(m.changes, [], "{line}");
    }
}

#[test]
fn what_is_no_address_of_ipv6_is_refused() {
    let not = |word: &str| format!("{word}: not an address that a host can have");
    for word in ["::", "ff02::1"] {
        refused(&format!("em0 down inet6 {word}"), &not(word));
    }
    for (word, text) in [
        ("2001:db8::1::", "2001:db8::1::: bad value"),
        ("12345::", "12345::: bad value"),
        ("2001:db8::1/", "2001:db8::1/: bad value"),
        ("2001:db8::1/+1", "2001:db8::1/+1: bad value"),
        ("2001:db8::1/64%em0", "2001:db8::1/64%em0: bad value"),
        ("2001:db8::1/0", "prefixlen 0: must be a number from 1 to 128"),
        ("2001:db8::1/129", "prefixlen 129: must be a number from 1 to 128"),
        ("10.0.0.1", "10.0.0.1: not an IPv6 address"),
        ("10.0.0.1/24", "10.0.0.1/24: not an IPv6 address"),
        ("10.0.0", "10.0.0: bad value"),
        ("2001", "2001: bad value"),
        ("foo", "foo: not a keyword and not an address"),
        ("em0%", "em0%: not a keyword and not an address"),
    ] {
        refused(&format!("em0 down inet6 {word}"), text);
    }
    refused("em0 inet6 2001:db8::1 2001:db8::2", "2001:db8::2: a line takes one address only");
    for value in ["0", "129", "-1", "x"] {
        let text = format!("prefixlen {value}: must be a number from 1 to 128");
        refused(&format!("em0 inet6 2001:db8::1 prefixlen {value}"), &text);
    }
}

#[test]
fn an_address_of_ipv6_without_inet6_says_what_to_type() {
    for word in ["2001:db8::1", "2001:db8::1/64", "fe80::1%em0", "::ffff:10.0.0.1"] {
        refused(&format!("em0 down {word}"), &format!("{word}: an IPv6 address: type 'inet6 {word}'"));
        refused(&format!("em0 inet {word}"), &format!("{word}: an IPv6 address: type 'inet6 {word}'"));
    }
}

#[test]
fn words_of_the_other_family_are_refused() {
    refused("em0 inet6 2001:db8::1 netmask 255.0.0.0", "'netmask' does not go with 'inet6'");
    refused("em0 broadcast 10.0.0.255 inet6 2001:db8::1", "'broadcast' does not go with 'inet6'");
    let text = "'prefixlen' goes with 'inet6'; in inet, type ADDRESS/LEN";
    refused("em0 10.0.0.1 prefixlen 24", text);
    refused("em0 inet6 prefixlen 64", "'prefixlen' requires an address");
    refused("em0 inet6 alias", "'alias' requires an address");
    refused("em0 inet 10.0.0.1 inet6 2001:db8::1", "'inet' and 'inet6' do not go together");
    refused("em0 10.0.0.1 inet6 up", "10.0.0.1: not an IPv6 address");
}
