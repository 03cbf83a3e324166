//! FreeBSD's model: virtual hosts of an interface that is no carp interface.

use crate::machine::Machine;
use crate::{fails_and_changes_nothing, ifconfig, requests_of, success};
use compat::net::if_::{IfAliasReq, IfAliasReqVhid, IfName, IfReq};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::{SockAddrIn6, mask_of_len6};
use compat::netinet6::in6_var::{In6Addrlifetime, In6AliasReq, In6AliasReqVhid, SIOCAIFADDR_IN6_VHID};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::SIOCAIFADDR_VHID;
use libcarp::carpreq::{CarpReq, SIOCSVH};
use zerocopy::IntoBytes;

const HEAD: [&str; 2] = ["SIOCGIFINDEX em0", "sysctl net.route.iflist.1 []"];
const NO_KEY: &str = "....................";

fn requests(line: &str) -> Vec<String> {
    requests_of(&mut Machine::new(), line)
}

/// em0 with the virtual hosts 1, which has two addresses, and 7.
fn machine() -> Machine {
    let mut m = Machine::new();
    let em0 = m.em0();
    let carpr = CarpReq { carpr_state: 2, carpr_vhid: 1, carpr_advbase: 1, ..CarpReq::default() };
    em0.vhosts.insert(1, carpr);
    let mut other = CarpReq { carpr_state: 1, carpr_vhid: 7, carpr_advskew: 100, ..carpr };
    other.carpr_key[..4].copy_from_slice(b"pa\"s");
    em0.vhosts.insert(7, other);
    em0.addrs.push(([10, 0, 0, 1].into(), [255, 255, 255, 255].into()));
    em0.owners.insert([10, 0, 0, 1].into(), 1);
    em0.addrs6.push(("fe80::1".parse().unwrap(), 64));
    em0.addrs6.push(("2001:db8::1".parse().unwrap(), 128));
    em0.owners.insert("2001:db8::1".parse().unwrap(), 1);
    m
}

#[test]
fn a_new_virtual_host_begins_with_the_defaults_and_its_address_takes_no_others_place() {
    let expected = [
        "SIOCGVH em0 vhid 1",
        &format!("SIOCSVH em0 state -1 vhid 1 advbase 1 advskew 0 key {NO_KEY}"),
        "SIOCAIFADDR_VHID em0 10.0.0.1 mask 255.255.255.255 (no family) brd - vhid 1",
    ];
    for line in ["em0 vhid 1 10.0.0.1/32", "em0 inet 10.0.0.1/32 vhid 1", "em0 vhid 1 alias 10.0.0.1/32"] {
        let mut m = Machine::new();
        assert_eq!(requests_of(&mut m, line), [&HEAD[..], &expected].concat(), "{line}");
        assert_eq!(m.em0().addrs.len(), 2);
    }
    let expected = [
        "SIOCGVH em0 vhid 9",
        "SIOCSVH em0 state -1 vhid 9 advbase 2 advskew 50 key mekmitasdigoat......",
        "SIOCAIFADDR_IN6_VHID em0 2001:db8::9 mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff vhid 9",
    ];
    let line = "em0 vhid 9 advbase 2 advskew 50 pass mekmitasdigoat inet6 2001:db8::9/128";
    assert_eq!(requests(line), [&HEAD[..], &expected].concat());
}

#[test]
fn what_a_line_does_not_name_of_a_virtual_host_goes_back_as_it_came() {
    let mut m = machine();
    let key = "pa\\\"s................";
    let expected =
        ["SIOCGVH em0 vhid 7", &format!("SIOCSVH em0 state 2 vhid 7 advbase 1 advskew 100 key {key}")];
    assert_eq!(requests_of(&mut m, "em0 vhid 7 state master"), [&HEAD[..], &expected].concat());
    let expected =
        ["SIOCGVH em0 vhid 7", &format!("SIOCSVH em0 state -1 vhid 7 advbase 1 advskew 0 key {key}")];
    assert_eq!(requests_of(&mut m, "em0 advskew 0 vhid 7"), [&HEAD[..], &expected].concat());
    let text = "advbase 0 with advskew 0: the interval would be zero";
    fails_and_changes_nothing(&mut m, "em0 vhid 7 advbase 0", text);
}

#[test]
fn a_peer_comes_first_unless_the_virtual_host_is_new() {
    let svh = format!("SIOCSVH em0 state -1 vhid 1 advbase 1 advskew 0 key {NO_KEY}");
    let get = "SIOCGDRVSPEC em0 3 len 48 vhid 1";
    let set = "SIOCSDRVSPEC em0 3 vhid 1 peer 10.0.0.3 peer6 fe80::3 scope 1";
    let line = "em0 vhid 1 peer 10.0.0.3 peer6 fe80::3%em0";
    let there = [HEAD[0], HEAD[1], "SIOCGVH em0 vhid 1", get, set, &svh];
    assert_eq!(requests_of(&mut machine(), line), there);
    let new = [HEAD[0], HEAD[1], "SIOCGVH em0 vhid 1", &svh, get, set];
    assert_eq!(requests(line), new);
}

#[test]
fn the_keywords_of_carp_require_a_vhid() {
    for (words, word) in [
        ("advbase 1", "advbase"),
        ("up advskew 1 pass x", "advskew"),
        ("pass x", "pass"),
        ("state master", "state"),
        ("peer 10.0.0.3", "peer"),
        ("mcast 10.0.0.1", "mcast"),
        ("-peer6", "-peer6"),
    ] {
        let mut m = machine();
        let text = format!("'{word}' requires vhid: em0 is not a carp interface");
        fails_and_changes_nothing(&mut m, &format!("em0 {words}"), &text);
        assert_eq!(m.log, HEAD, "{words}");
    }
}

#[test]
fn an_address_goes_by_its_own_name_and_the_vhid_is_not_made_for_it() {
    assert_eq!(requests_of(&mut machine(), "em0 10.0.0.1 -alias"), [HEAD[0], "SIOCDIFADDR em0 10.0.0.1"]);
    let expected = [HEAD[0], HEAD[1], HEAD[1], "SIOCDIFADDR em0 10.0.0.1"];
    assert_eq!(requests_of(&mut machine(), "em0 vhid 1 10.0.0.1/32 -alias"), expected);
    let expected = [HEAD[0], HEAD[1], HEAD[1], "SIOCDIFADDR_IN6 em0 2001:db8::1"];
    assert_eq!(requests_of(&mut machine(), "em0 inet6 2001:db8::1 delete vhid 1"), expected);
    let sent = requests_of(&mut machine(), "em0 vhid 1 advskew 5 10.0.0.1 -alias");
    assert!(sent[4].starts_with("SIOCSVH em0 state -1 vhid 1 advbase 1 advskew 5"), "{sent:?}");
}

#[test]
fn an_address_of_another_virtual_host_or_of_none_is_not_this_ones() {
    for line in ["em0 vhid 7 10.0.0.1 -alias", "em0 vhid 1 10.0.0.2 delete", "em0 vhid 3 -alias 10.0.0.1"] {
        let mut m = machine();
        fails_and_changes_nothing(&mut m, line, "SIOCDIFADDR: Can't assign requested address");
        assert_eq!(m.changes, []);
    }
    let text = "SIOCDIFADDR_IN6: Can't assign requested address";
    fails_and_changes_nothing(&mut machine(), "em0 vhid 1 inet6 fe80::1 -alias", text);
    fails_and_changes_nothing(&mut machine(), "em0 vhid 1 -alias", "'-alias' requires an address");
    let text = "'netmask' requires an address";
    fails_and_changes_nothing(&mut machine(), "em0 vhid 1 netmask 255.0.0.0", text);
}

#[test]
fn a_line_that_fails_takes_a_new_virtual_host_away_again() {
    let mut m = Machine::new();
    m.refuse = Some(("SIOCAIFADDR_VHID", Errno::EEXIST));
    let line = "em0 vhid 3 pass x peer 10.0.0.3 10.0.0.9";
    fails_and_changes_nothing(&mut m, line, "SIOCAIFADDR: File exists");
    let undone = [
        "SIOCSDRVSPEC em0 3 vhid 3 peer 224.0.0.18 peer6 ff02::12".to_owned(),
        format!("SIOCSVH em0 state -1 vhid {} advbase 1 advskew 0 key {NO_KEY}", i32::MIN + 3),
    ];
    assert_eq!(m.log[m.log.len() - 2..], undone);

    let mut m = machine();
    m.refuse = Some(("SIOCAIFADDR_IN6_VHID", Errno::EEXIST));
    let line = "em0 vhid 7 advskew 3 pass y mcast6 inet6 2001:db8::7";
    fails_and_changes_nothing(&mut m, line, "SIOCAIFADDR_IN6: File exists");
    m.refuse = Some(("SIOCGVH", Errno::EPERM));
    fails_and_changes_nothing(&mut m, "em0 down vhid 7 advskew 3", "SIOCGVH: permission denied");
}

#[test]
fn addresses_show_whose_they_are_and_each_virtual_host_has_its_lines() {
    let head = "em0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500\n\
                \tether 02:00:00:00:00:0a\n\
                \tinet 10.0.0.2 netmask 0xffffff00 broadcast 10.0.0.255\n\
                \tinet 10.0.0.1 netmask 0xffffffff broadcast 10.0.0.1 vhid 1\n\
                \tinet6 fe80::1%em0 prefixlen 64 scopeid 0x1\n\
                \tinet6 2001:db8::1 prefixlen 128 vhid 1\n";
    let one = "\tcarp: MASTER vhid 1 advbase 1 advskew 0\n";
    let seven = "\tcarp: BACKUP vhid 7 advbase 1 advskew 100";
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "em0"), success(&format!("{head}{one}{seven}\n")));
    let expected = [
        HEAD[0],
        HEAD[1],
        "SIOCGVH em0 vhid 0",
        "SIOCGDRVSPEC em0 3 len 48 vhid 1",
        "SIOCGDRVSPEC em0 3 len 48 vhid 7",
        "SIOCGIFGROUP em0 len 0",
        "SIOCGIFGROUP em0 len 16",
    ];
    assert_eq!(m.log, expected);
    let keys = format!("{head}{one}{seven} key \"pa\\\"s\"\n");
    assert_eq!(ifconfig(&mut m, "-k em0"), success(&keys));
    assert_eq!(ifconfig(&mut m, "em0 vhid 1 peer 10.0.0.3 group lan"), success(""));
    let peer = "\t      peer 10.0.0.3 peer6 ff02::12\n";
    let all = format!("{head}{one}{peer}{seven}\n\tgroups: lan\n");
    assert_eq!(ifconfig(&mut m, "em0"), success(&all));
    assert_eq!(ifconfig(&mut m, "em0 inet6").stdout.lines().count(), 3);
}

#[test]
fn a_vhid_that_cannot_be_is_nonsense_and_no_virtual_host_is_not() {
    let mut m = machine();
    m.em0().vhosts.get_mut(&7).unwrap().carpr_vhid = 300;
    let outcome = ifconfig(&mut m, "em0");
    assert_eq!(outcome.stderr, "ifconfig-carp: SIOCGVH: netisrd's answer makes no sense\n");
    m.em0().vhosts.clear();
    assert_eq!(ifconfig(&mut m, "em0").stderr, "");
    m.refuse = Some(("SIOCGVH", Errno::ENXIO));
    assert!(!ifconfig(&mut m, "em0").stdout.contains("carp:"), "it was just destroyed");
}

#[test]
fn the_bytes_of_the_structs_are_the_abis() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "em0 vhid 5 10.1.2.3/8"), success(""));
    assert_eq!(ifconfig(&mut m, "em0 vhid 5 inet6 2001:db8::5"), success(""));
    let name = IfName::new("em0").unwrap();
    let carpr = CarpReq { carpr_state: -1, carpr_vhid: 5, carpr_advbase: 1, ..CarpReq::default() };
    let ifra = IfAliasReq {
        ifra_name: name,
        ifra_addr: SockAddrIn::new([10, 1, 2, 3].into()),
        ifra_broadaddr: SockAddrIn::default(),
        ifra_mask: SockAddrIn { sin_family: 0, ..SockAddrIn::new([255, 0, 0, 0].into()) },
    };
    let ifra6 = In6AliasReq {
        ifra_name: name,
        ifra_addr: SockAddrIn6::new("2001:db8::5".parse().unwrap(), 0),
        ifra_dstaddr: SockAddrIn6::default(),
        ifra_prefixmask: SockAddrIn6::new(mask_of_len6(64).unwrap(), 0),
        ifra_flags: 0,
        ifra_lifetime: In6Addrlifetime::INFINITE,
    };
    let svh = Request::ioctl_with(SIOCSVH, &IfReq::new(name), carpr.as_bytes());
    let expected = [
        svh.clone(),
        Request::ioctl(SIOCAIFADDR_VHID, &IfAliasReqVhid { ifra, ifra_vhid: 5 }),
        svh,
        Request::ioctl(SIOCAIFADDR_IN6_VHID, &In6AliasReqVhid { ifra: ifra6, ifra_vhid: 5, ifra_pad: 0 }),
    ];
    assert_eq!(m.changes, expected);
}
