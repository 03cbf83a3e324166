//! What is printed, all of it.

use crate::machine::{Iface, Machine};
use crate::{failure, ifconfig, success};
use compat::net::if_::Iff;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::sys::errno::Errno;
use libcarp::carpreq::{CarpReq, IfCarpVhaddr, IfCarpVhaddr6};

const EM0: &str = "\
em0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tether 02:00:00:00:00:0a
\tinet 10.0.0.2 netmask 0xffffff00 broadcast 10.0.0.255
";

const CARP0: &str = "\
carp0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tether 00:00:5e:00:01:01
\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255
\tinet 10.0.0.7 netmask 0xffffffff broadcast 10.0.0.7
\tcarp: MASTER vhid 1 advbase 1 advskew 0
\tcarpdev: em0
\tgroups: carp
";

/// em0 and a carp0 that is the master.
fn machine() -> Machine {
    let mut m = Machine::new();
    let carp0 = m.carp0();
    carp0.flags = Iff::from_bits_retain(0x8843);
    carp0.lladdr = [0, 0, 0x5e, 0, 1, 1];
    carp0.addrs.push(([10, 0, 0, 1].into(), [255, 255, 255, 0].into()));
    carp0.addrs.push(([10, 0, 0, 7].into(), [255, 255, 255, 255].into()));
    carp0.carp = CarpReq { carpr_state: 2, carpr_vhid: 1, carpr_advbase: 1, ..CarpReq::default() };
    carp0.carpdev = "em0";
    m
}

#[test]
fn one_interface_shows_link_addresses_carp_and_parent() {
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "carp0"), success(CARP0));
    let expected = [
        "SIOCGIFINDEX carp0",
        "sysctl net.route.iflist.2 []",
        "SIOCGVH carp0",
        "SIOCGDRVSPEC carp0 3 len 48 vhid 0",
        "SIOCGDRVSPEC carp0 0 len 16",
        "SIOCGIFGROUP carp0 len 0",
        "SIOCGIFGROUP carp0 len 32",
    ];
    assert_eq!(m.log, expected);
    m.log.clear();
    assert_eq!(ifconfig(&mut m, "em0"), success(EM0));
    let expected = [
        "SIOCGIFINDEX em0",
        "sysctl net.route.iflist.1 []",
        "SIOCGVH em0 vhid 0",
        "SIOCGIFGROUP em0 len 0",
        "SIOCGIFGROUP em0 len 16",
    ];
    assert_eq!(m.log, expected);
}

#[test]
fn all_interfaces_show_in_the_machines_order() {
    let all = format!("{EM0}{CARP0}");
    for line in ["", "-a", "-v -a", "-k", "-a -S /elsewhere"] {
        assert_eq!(ifconfig(&mut machine(), line), success(&all), "{line:?}");
    }
    assert_eq!(ifconfig(&mut Machine::default(), "-a"), success(""));
}

#[test]
fn u_and_d_choose_by_the_up_flag() {
    let mut m = machine();
    m.carp0().flags = Iff::from_bits_retain(0x8802);
    assert_eq!(ifconfig(&mut m, "-a -u"), success(EM0));
    assert_eq!(ifconfig(&mut m, "-u"), success(EM0));
    let down = CARP0.replace("8843<UP,BROADCAST,RUNNING,", "8802<BROADCAST,");
    assert_eq!(ifconfig(&mut m, "-ad"), success(&down));
    assert_eq!(ifconfig(&mut m, "-u carp0"), success(""));
    assert_eq!(ifconfig(&mut m, "-lu"), success("em0\n"));
    assert_eq!(ifconfig(&mut m, "-ld"), success("carp0\n"));
}

#[test]
fn l_lists_the_names_on_one_line() {
    assert_eq!(ifconfig(&mut machine(), "-l"), success("em0 carp0\n"));
    assert_eq!(ifconfig(&mut machine(), "-l inet"), success("em0 carp0\n"));
    assert_eq!(ifconfig(&mut machine(), "-l ether"), success("em0\n"));
    assert_eq!(ifconfig(&mut Machine::default(), "-l"), success("\n"));
}

#[test]
fn a_family_leaves_out_the_others_and_carp() {
    let head = "carp0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500\n";
    let inet = "\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255\n\
                \tinet 10.0.0.7 netmask 0xffffffff broadcast 10.0.0.7\n";
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "carp0 inet"), success(&format!("{head}{inet}")));
    let link = success(&format!("{head}\tether 00:00:5e:00:01:01\n"));
    for word in ["link", "ether", "lladdr"] {
        assert_eq!(ifconfig(&mut m, &format!("carp0 {word}")), link);
    }
    assert!(m.log.iter().all(|l| !l.contains("SIOCGVH")), "{:?}", m.log);
}

#[test]
fn a_fresh_carp_interface_has_no_carp_line_and_no_parent() {
    let expected = "carp0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> metric 0 mtu 1500\n\
                    \tether 00:00:00:00:00:00\n";
    let with = |line: &str| success(&format!("{expected}{line}\tgroups: carp\n"));
    assert_eq!(ifconfig(&mut Machine::new(), "carp0"), with(""));
    let mut m = Machine::new();
    m.carp0().carp.carpr_vhid = 0;
    assert_eq!(ifconfig(&mut m, "carp0"), with(""), "0 is not set, as -1 is");
    m.refuse = Some(("SIOCGDRVSPEC", Errno::ENXIO));
    assert_eq!(ifconfig(&mut m, "carp0"), with("\tcarpdev: none\n"));
    m.refuse = Some(("SIOCGVH", Errno::ENXIO));
    assert_eq!(ifconfig(&mut m, "carp0"), with(""), "it was just destroyed");
    m.refuse = Some(("SIOCGIFGROUP", Errno::ENXIO));
    assert_eq!(ifconfig(&mut m, "carp0"), success(expected), "so it was");
}

#[test]
fn states_have_names_and_others_are_unknown() {
    for (state, name) in [(0, "INIT"), (1, "BACKUP"), (2, "MASTER"), (3, "<UNKNOWN>"), (-1, "<UNKNOWN>")] {
        let mut m = machine();
        m.carp0().carp.carpr_state = state;
        let expected = CARP0.replace("MASTER", name);
        assert_eq!(ifconfig(&mut m, "carp0"), success(&expected));
    }
}

#[test]
fn k_shows_a_key_that_there_is_with_what_does_not_print_escaped() {
    let mut m = machine();
    m.carp0().carp.carpr_key = *b"a \"b\\\x01\xff\0c\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(ifconfig(&mut m, "carp0"), success(CARP0));
    let expected = CARP0.replace("\tcarpdev", "\tkey \"a \\\"b\\\\\\x01\\xff\\x00c\"\n\tcarpdev");
    assert_eq!(ifconfig(&mut m, "-k carp0"), success(&expected));
    m.carp0().carp.carpr_key = [0; 20];
    assert_eq!(ifconfig(&mut m, "-k carp0"), success(CARP0));
}

#[test]
fn every_flag_has_its_name_and_unknown_bits_have_none() {
    let mut m = machine();
    m.carp0().flags = Iff::from_bits_retain(u32::MAX);
    m.carp0().addrs.truncate(1);
    let expected = "carp0: flags=ffffffff<UP,BROADCAST,DEBUG,LOOPBACK,POINTOPOINT,SMART,RUNNING,NOARP,PROMISC,\
                    ALLMULTI,SIMPLEX,LINK0,LINK1,LINK2,MULTICAST,PPROMISC,MONITOR,STATICARP,NPOLLING,IDIRECT> \
                    metric 0 mtu 1500\n\
                    \tinet 10.0.0.1 --> 10.0.0.255 netmask 0xffffff00 broadcast 10.0.0.255\n";
    assert_eq!(ifconfig(&mut m, "carp0 inet"), success(expected));
}

#[test]
fn vhaddr_asks_for_the_size_and_then_for_the_table() {
    let mut m = machine();
    let vhaddr = |flags, addr: [u8; 4], baddr: [u8; 4]| IfCarpVhaddr {
        carpa_flags: flags,
        carpa_addr: SockAddrIn::new(addr.into()),
        carpa_baddr: SockAddrIn::new(baddr.into()),
    };
    m.carp0().vhaddrs = vec![
        vhaddr(2, [10, 0, 0, 1], [10, 0, 0, 2]),
        vhaddr(0, [192, 168, 100, 200], [0; 4]),
        vhaddr(3, [10, 0, 0, 2], [10, 0, 0, 2]),
    ];
    let expected = "virtual addr    backing addr    flags\n\
                    10.0.0.1        10.0.0.2        *\n\
                    192.168.100.200 *               *\n\
                    10.0.0.2        10.0.0.2        O\n";
    assert_eq!(ifconfig(&mut m, "carp0 vhaddr"), success(expected));
    let requests = [
        "SIOCGIFINDEX carp0",
        "SIOCGDRVSPEC carp0 1 len 0",
        "SIOCGDRVSPEC carp0 1 len 108",
        "SIOCGDRVSPEC carp0 2 len 0",
    ];
    assert_eq!(m.log, requests);
    m.log.clear();
    let vhaddr6 = |flags, addr: &str, baddr: &str| IfCarpVhaddr6 {
        carpa_flags: flags,
        carpa_addr: SockAddrIn6::new(addr.parse().unwrap(), 2),
        carpa_baddr: SockAddrIn6::new(baddr.parse().unwrap(), 1),
    };
    m.carp0().vhaddrs6 = vec![
        vhaddr6(2, "fe80::200:5eff:fe00:101", "fe80::1"),
        vhaddr6(1, "2001:db8:1111:2222:3333:4444:5555:6666", "::"),
    ];
    let both = format!(
        "{expected}\
         virtual addr                            backing addr                            flags\n\
         fe80::200:5eff:fe00:101                 fe80::1                                 *\n\
         2001:db8:1111:2222:3333:4444:5555:6666  *                                       O\n"
    );
    assert_eq!(ifconfig(&mut m, "carp0 vhaddr"), success(&both));
    assert_eq!(m.log[3..], ["SIOCGDRVSPEC carp0 2 len 0", "SIOCGDRVSPEC carp0 2 len 120"]);
    m.carp0().vhaddrs6.clear();
    m.carp0().vhaddrs.clear();
    assert_eq!(ifconfig(&mut m, "carp0 vhaddr"), success(""));
    let expected = failure("ifconfig-carp: SIOCGDRVSPEC: Invalid argument");
    assert_eq!(ifconfig(&mut m, "em0 vhaddr"), expected);
}

#[test]
fn an_interface_without_a_broadcast_flag_shows_no_broadcast_address() {
    let mut m = machine();
    m.ifaces = vec![Iface {
        flags: Iff::UP,
        addrs: vec![([127, 0, 0, 1].into(), [0; 4].into())],
        ..Iface::ether("lo0")
    }];
    let expected = "lo0: flags=1<UP> metric 0 mtu 1500\n\
                    \tether 02:00:00:00:00:0a\n\
                    \tinet 127.0.0.1 netmask 0x0\n";
    assert_eq!(ifconfig(&mut m, "lo0"), success(expected));
}

#[test]
fn s_names_the_machine_before_it_is_asked() {
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "-l -S /tmp/a.sock"), success("em0 carp0\n"));
    assert_eq!(m.selected.unwrap().to_str(), Some("/tmp/a.sock"));
    let mut m = machine();
    assert_eq!(ifconfig(&mut m, "-l"), success("em0 carp0\n"));
    assert_eq!(m.selected, None);
}

#[test]
fn help_and_version_ask_nothing_of_the_machine() {
    let mut m = machine();
    assert!(ifconfig(&mut m, "-h").stdout.starts_with("usage: ifconfig-carp "));
    assert_eq!(ifconfig(&mut m, "--help"), ifconfig(&mut m, "-h"));
    assert_eq!(ifconfig(&mut m, "-h").status, 0);
    let version = format!("ifconfig-carp {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(ifconfig(&mut m, "-V"), success(&version));
    assert_eq!(m.log, [""; 0]);
}
