//! `peer`, `mcast` and `carpdev`.

use crate::machine::Machine;
use crate::{fails_and_changes_nothing, ifconfig, requests_of, success};
use compat::net::if_::{IfDrv, IfName};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::SIOCSDRVSPEC;
use libcarp::carpreq::{CARPPEERS, CARPSDEVNAME, CarpPeers};
use zerocopy::IntoBytes;

const HEAD: [&str; 2] = ["SIOCGIFINDEX carp0", "sysctl net.route.iflist.2 []"];
const GET: &str = "SIOCGDRVSPEC carp0 3 len 48 vhid 0";

fn requests(line: &str) -> Vec<String> {
    requests_of(&mut Machine::new(), line)
}

#[test]
fn a_peer_on_a_carp_interface_is_read_and_set_and_the_other_familys_is_kept() {
    for (words, value) in [
        ("peer 10.0.0.3", "peer 10.0.0.3 peer6 -"),
        ("peer 239.1.2.3", "peer 239.1.2.3 peer6 -"),
        ("mcast", "peer 224.0.0.18 peer6 -"),
        ("-peer", "peer 224.0.0.18 peer6 -"),
        ("peer6 2001:db8::3", "peer - peer6 2001:db8::3"),
        ("mcast6", "peer - peer6 ff02::12"),
        ("-peer6", "peer - peer6 ff02::12"),
        ("peer 10.0.0.3 peer6 fe80::3", "peer 10.0.0.3 peer6 fe80::3"),
        ("peer6 fe80::3%carp0 mcast", "peer 224.0.0.18 peer6 fe80::3 scope 2"),
        ("peer 10.0.0.3 mcast", "peer 224.0.0.18 peer6 -"),
    ] {
        let set = format!("SIOCSDRVSPEC carp0 3 vhid 0 {value}");
        assert_eq!(requests(&format!("carp0 {words}")), [&HEAD[..], &[GET, &set]].concat(), "{words}");
    }
}

#[test]
fn the_peer_is_set_before_the_parameters() {
    let expected = [
        "SIOCGVH carp0",
        GET,
        "SIOCSDRVSPEC carp0 3 vhid 0 peer 10.0.0.3 peer6 -",
        "SIOCSVH carp0 state 2 vhid 1 advbase 1 advskew 0 key ....................",
        "SIOCAIFADDR carp0 10.0.0.1 mask 255.255.255.0 (no family) brd -",
    ];
    let sent = requests("carp0 alias 10.0.0.1/24 vhid 1 state master peer 10.0.0.3");
    assert_eq!(sent, [&HEAD[..], &expected].concat());
}

#[test]
fn a_peer_goes_back_when_the_line_fails() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp0 peer 10.0.0.9 peer6 fe80::9"), success(""));
    m.refuse = Some(("SIOCAIFADDR", Errno::EEXIST));
    m.log.clear();
    fails_and_changes_nothing(&mut m, "carp0 mcast alias 10.0.0.1", "SIOCAIFADDR: File exists");
    let undone = "SIOCSDRVSPEC carp0 3 vhid 0 peer 10.0.0.9 peer6 fe80::9";
    assert_eq!(m.log.last().unwrap(), undone);
    m.refuse = Some(("SIOCSDRVSPEC", Errno::EPERM));
    fails_and_changes_nothing(&mut m, "carp0 vhid 3 mcast", "SIOCSDRVSPEC: permission denied");
}

#[test]
fn a_peer_shows_after_the_carp_line_unless_it_is_carps_group() {
    let mut m = Machine::new();
    let shown = |m: &mut Machine| {
        let outcome = ifconfig(m, "carp0");
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        outcome.stdout.split_inclusive('\n').skip(2).collect::<String>()
    };
    assert_eq!(ifconfig(&mut m, "carp0 vhid 1 peer 224.0.0.18 peer6 ff02::12"), success(""));
    let carp = "\tcarp: INIT vhid 1 advbase 1 advskew 0\n";
    assert_eq!(shown(&mut m), format!("{carp}\tgroups: carp\n"));
    m.carp0().carpdev = "em0";
    for (words, peers) in [
        ("peer 10.0.0.3", "peer 10.0.0.3 peer6 ff02::12"),
        ("peer6 2001:db8::3", "peer 10.0.0.3 peer6 2001:db8::3"),
        ("mcast", "peer 224.0.0.18 peer6 2001:db8::3"),
    ] {
        assert_eq!(ifconfig(&mut m, &format!("carp0 {words}")), success(""));
        let expected = format!("{carp}\t      {peers}\n\tcarpdev: em0\n\tgroups: carp\n");
        assert_eq!(shown(&mut m), expected);
    }
}

#[test]
fn peers_that_make_no_sense_are_refused() {
    for (words, text) in [
        ("peer x", "peer x: bad value"),
        ("peer 10.0.0.3/24", "peer 10.0.0.3/24: bad value"),
        ("peer 0.0.0.0", "peer 0.0.0.0: bad value"),
        ("peer 255.255.255.255", "peer 255.255.255.255: bad value"),
        ("peer 2001:db8::1", "peer 2001:db8::1: bad value"),
        ("peer6 10.0.0.3", "peer6 10.0.0.3: bad value"),
        ("peer6 ::", "peer6 ::: bad value"),
        ("peer6 fe80::1/64", "peer6 fe80::1/64: bad value"),
        ("peer6 fe80::1%em0", "fe80::1%em0: the scope must be the interface itself, carp0"),
        ("peer6 2001:db8::1%carp0", "2001:db8::1%carp0: only a link-local address has a scope"),
    ] {
        let mut m = Machine::new();
        fails_and_changes_nothing(&mut m, &format!("carp0 up {words}"), text);
        assert_eq!(m.log, [""; 0], "{words}");
    }
}

#[test]
fn carpdev_looks_whether_the_parent_is_there_and_sets_it() {
    let mut m = Machine::new();
    let expected = ["SIOCGIFINDEX em0", "SIOCGDRVSPEC carp0 4 len 16", "SIOCSDRVSPEC carp0 4 \"em0\""];
    assert_eq!(requests_of(&mut m, "carp0 carpdev em0"), [&HEAD[..], &expected].concat());
    let expected = ["SIOCGDRVSPEC carp0 4 len 16", "SIOCSDRVSPEC carp0 4 \"\""];
    assert_eq!(requests_of(&mut m, "carp0 -carpdev"), [&HEAD[..], &expected].concat());
    let expected = [
        "SIOCGIFINDEX carp1",
        "SIOCIFCREATE2 carp1",
        "SIOCGIFINDEX em0",
        // Whether somebody has that vhid there.
        "SIOCGVH em0 vhid 0",
        "sysctl net.route.iflist.0 []",
        "sysctl net.route.iflist.2 []",
        "sysctl net.route.iflist.3 []",
        "sysctl net.route.iflist.4 []",
        "SIOCGVH carp0",
        "SIOCGVH carp1",
        "SIOCGDRVSPEC carp1 4 len 16",
        "SIOCSDRVSPEC carp1 4 \"em0\"",
        "SIOCSVH carp1 state -1 vhid 2 advbase 1 advskew 0 key x...................",
        "SIOCGIFADDR carp1",
        "SIOCAIFADDR carp1 10.0.0.1 mask 255.255.255.0 (no family) brd -",
    ];
    assert_eq!(requests("carp1 create 10.0.0.1/24 vhid 2 carpdev em0 pass x"), expected);
}

#[test]
fn the_parent_goes_back_when_the_line_fails() {
    let mut m = Machine::new();
    m.carp0().wanted_carpdev = IfName::new("em7").unwrap();
    m.refuse = Some(("SIOCAIFADDR", Errno::EEXIST));
    for line in ["carp0 carpdev em0 vhid 1 peer 10.0.0.3 10.0.0.1", "carp0 -carpdev 10.0.0.1"] {
        fails_and_changes_nothing(&mut m, line, "SIOCAIFADDR: File exists");
        assert!(m.log.iter().any(|l| l == "SIOCSDRVSPEC carp0 4 \"em7\""), "{:?}", m.log);
    }
}

#[test]
fn a_parent_that_cannot_be_is_refused_before_anything_is_done() {
    let mut m = Machine::new();
    fails_and_changes_nothing(&mut m, "carp0 up carpdev em9", "interface em9 does not exist");
    assert_eq!(m.changes, []);
    let text = "carpdev sixteen-letters-: not a name for an interface";
    fails_and_changes_nothing(&mut m, "carp0 up carpdev sixteen-letters-", text);
    for line in ["em0 carpdev carp0", "em0 vhid 1 -carpdev"] {
        fails_and_changes_nothing(&mut m, line, "carpdev: em0 is not a carp interface");
        assert_eq!(m.changes, []);
    }
}

#[test]
fn the_bytes_of_the_structs_are_the_abis() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp0 carpdev em0 peer 10.0.0.3 peer6 2001:db8::3"), success(""));
    let (name, parent) = (IfName::new("carp0").unwrap(), IfName::new("em0").unwrap());
    let peers = CarpPeers {
        carpp_vhid: 0,
        carpp_addr: SockAddrIn::new([10, 0, 0, 3].into()),
        carpp_addr6: SockAddrIn6::new("2001:db8::3".parse().unwrap(), 0),
    };
    let ifd = |cmd, len| IfDrv { ifd_name: name, ifd_cmd: cmd, ifd_len: len, ifd_data: 0 };
    let expected = [
        Request::ioctl_with(SIOCSDRVSPEC, &ifd(CARPSDEVNAME, 16), parent.as_bytes()),
        Request::ioctl_with(SIOCSDRVSPEC, &ifd(CARPPEERS, 48), peers.as_bytes()),
    ];
    assert_eq!(m.changes, expected);
}
