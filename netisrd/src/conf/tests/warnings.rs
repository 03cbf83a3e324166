//! What is worth a word of a configuration, and what is said of one that a machine does
//! not take.

use super::super::{Cards, Conf};
use super::rig::Rig;
use super::wrong;
use std::path::Path;

/// What is told of a file; the host has 10.9.0.2 on eth0.
fn warned(text: &str) -> Vec<String> {
    let lent = |name: compat::net::if_::IfName| {
        Ok(Vec::from_iter((name.as_str() == "eth0").then(|| "10.9.0.2/24".parse().unwrap())))
    };
    let conf = Conf::parse(Path::new("f"), text, &Cards::default(), &lent).unwrap_or_else(|e| panic!("{e}"));
    conf.warnings().lines().map(|l| l.strip_prefix("f:").expect("the file").to_owned()).collect()
}

#[test]
fn an_address_that_only_another_card_could_back_is_told_with_the_parent() {
    let text = |first: &str, second: &str| {
        format!(
            "netisrd_taps='em0 em1'\ncloned_interfaces=carp0\nifconfig_em0='10.9.0.2/24'\n\
             ifconfig_em1='10.8.0.2/24'\nifconfig_carp0='vhid 1 pass x {first}'\n\
             ifconfig_carp0_alias0='{second}'\n"
        )
    };
    let why = "and a carp interface has one parent";
    let told =
        format!("6:24: warning: nothing backs 10.8.0.1/24 on carp0's parent em0: em1 has 10.8.0.2/24, {why}");
    assert_eq!(warned(&text("10.9.0.1/24", "10.8.0.1/24")), [told]);
    let told =
        format!("6:24: warning: nothing backs 10.9.0.1/24 on carp0's parent em1: em0 has 10.9.0.2/24, {why}");
    assert_eq!(warned(&text("10.8.0.1/24", "10.9.0.1/24")), [told]);
    // Of another length it is none that could.
    let told = "6:24: warning: nothing backs 10.8.0.1/16: no interface has an address of 10.8.0.0/16, but em1 has \
                10.8.0.2/24";
    assert_eq!(warned(&text("10.9.0.1/24", "10.8.0.1/16")), [told]);
}

#[test]
fn an_address_that_only_a_card_that_is_down_could_back_is_told_with_that() {
    let text = "netisrd_interfaces=eth0\ncloned_interfaces=carp0\nifconfig_eth0=down\n\
                ifconfig_carp0='vhid 1 pass x 10.9.0.1/24'\n";
    assert_eq!(warned(text), ["4:17: warning: nothing backs 10.9.0.1/24: eth0 has 10.9.0.2/24, and is down"]);
}

#[test]
fn a_virtual_address_that_the_host_has_itself_is_told_where_the_host_serves() {
    let text = |path: &str, address: &str| {
        format!(
            "netisrd_interfaces='eth0{path}'\ncloned_interfaces=carp2\n\
             ifconfig_carp2='vhid 1 pass x 10.9.0.1/24'\nifconfig_carp2_alias0='{address}'\n"
        )
    };
    let told = "4:24: warning: 10.9.0.2 is eth0's own address on the host: carp2 stays INIT";
    for path in ["", ":macvlan", ":tap"] {
        assert_eq!(warned(&text(path, "10.9.0.2/24")), [told], "{path}");
        assert_eq!(warned(&text(path, "10.9.0.3/24")), [""; 0], "{path}");
    }
    // The machine answers itself, and there it is the owner's.
    assert_eq!(warned(&text(":none", "10.9.0.2/24")), [""; 0]);
}

#[test]
fn a_carp_interface_with_addresses_and_no_vhid_is_told_by_a_check_and_a_reload() {
    let text = "cloned_interfaces=carp0\nifconfig_carp0='pass x'\nifconfig_carp0_alias0='10.0.0.8/24'\n";
    let told = "warning: carp0 has no vhid: it stays INIT";
    let card = "netisrd_taps=em0\nifconfig_em0='10.0.0.1/24'\n";
    assert_eq!(warned(&(card.to_owned() + text)), [format!("4:17: {told}")]);
    let mut rig = Rig::start("no-vhid", "");
    let said = rig.reloaded(text);
    assert!(said[0].ends_with(told), "{said:?}");
    assert_eq!(rig.state("carp0"), "");
    // It stays as it is, and that is said again.
    let said = rig.reloaded(text);
    assert!(said.len() == 2 && said[0].ends_with(told) && said[1] == "nothing has changed", "{said:?}");
    // A command may be to give it one, and what has no address is nobody's.
    assert_eq!(warned("cloned_interfaces=carp0\nifconfig_carp0='pass x'\n"), [""; 0]);
}

#[test]
fn a_vhid_that_is_taken_is_told_with_whose_it_is_and_where_that_is_said() {
    let text = |carp0: &str, carp1: &str| {
        format!(
            "netisrd_taps='em0 em1'\ncloned_interfaces='carp0 carp1'\nifconfig_em0='10.9.0.2/24'\n\
             ifconfig_em1='10.8.0.2/24'\nifconfig_carp0='{carp0}'\nifconfig_carp1='{carp1}'\n"
        )
    };
    let told = ["6:17: expected another vhid: carp0 has 7 on em0, in line 5"];
    for (carp0, carp1) in [
        ("vhid 7 10.9.0.1/24", "vhid 7 10.9.0.3/24"),
        ("vhid 7 10.9.0.1/24", "carpdev em0 vhid 7 10.1.0.3/24"),
        ("carpdev em0 vhid 7 10.1.0.1/24", "vhid 7 pass secret 10.9.0.3/24"),
        ("carpdev em0 vhid 7", "carpdev em0 vhid 7"),
    ] {
        assert_eq!(wrong(&text(carp0, carp1)), told, "{carp0}; {carp1}");
    }
    // Of a card; of the other one it is another.
    let of_card = "netisrd_taps='em0 em1'\ncloned_interfaces='carp0'\nifconfig_em0='10.9.0.2/24'\n\
                   ifconfig_em0_alias0='vhid 7 10.9.0.1/32'\nifconfig_carp0='vhid 7 10.9.0.3/24'\n";
    assert_eq!(wrong(of_card), ["5:17: expected another vhid: em0 has 7 on em0, in line 4"]);
    assert_eq!(wrong(&text("vhid 7 10.9.0.1/24", "vhid 7 10.8.0.1/24")), [""; 0]);
}

#[test]
fn a_sysctl_s_value_that_it_does_not_take_is_told_with_those_that_it_does() {
    for (line, told) in [
        ("dscp=64", "1:20: expected a number from 0 to 63: net.inet.carp.dscp does not take 64"),
        ("dscp=x", "1:20: expected a number from 0 to 63: net.inet.carp.dscp does not take x"),
        (
            "unbacked_demotion_factor=-1",
            "1:40: expected a number from 0 to 2147483647: net.inet.carp.unbacked_demotion_factor does not take -1",
        ),
    ] {
        assert_eq!(wrong(&format!("net.inet.carp.{line}")), [told]);
    }
}
