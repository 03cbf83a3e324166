//! What is worth a word of a configuration.

use super::super::{Cards, Conf};
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
