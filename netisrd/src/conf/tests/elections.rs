//! How many elections there are for what a file says of one interface.

use super::super::Cards;
use super::rig::{Rig, SEC};
use std::fmt::Write;

/// The numbers of carp interfaces' INIT, BACKUP and MASTER that they have come to.
type Entered = [u64; 3];

/// A MASTER at its start, and nothing else.
const ONE: Entered = [0, 0, 1];
/// The same, which has left once and come back.
const AGAIN: Entered = [1, 0, 2];

/// carp0 has these addresses, of both families.
fn carp0(addrs: &[u8]) -> String {
    let mut text = String::from(
        "net.inet.carp.preempt=1\ncloned_interfaces=carp0\nifconfig_em0='10.0.0.2/24'\n\
         ifconfig_em0_ipv6='inet6 2001:db8::2/64'\nifconfig_carp0='vhid 9 pass x 10.0.0.90/24'\n\
         ifconfig_carp0_ipv6='inet6 2001:db8::90/64'\n",
    );
    for (n, addr) in addrs.iter().enumerate() {
        let family = if addr % 2 == 0 { "10.0.0." } else { "inet6 2001:db8::" };
        let len = if addr % 2 == 0 { 24 } else { 64 };
        writeln!(text, "ifconfig_carp0_alias{n}='{family}{addr}/{len}'").unwrap();
    }
    text
}

/// em0 has vhid 9, with these addresses.
fn em0(addrs: &[u8]) -> String {
    let mut text = String::from("net.inet.carp.preempt=1\nifconfig_em0='10.0.0.2/24'\n");
    for (n, addr) in addrs.iter().enumerate() {
        writeln!(text, "ifconfig_em0_alias{n}='vhid 9 pass x 10.0.0.{addr}/32'").unwrap();
    }
    text
}

/// How often vhid 9 has left, as its peers hear it, since the last call.
fn left(rig: &mut Rig) -> usize {
    rig.world.run_for(SEC);
    rig.skews(9).into_iter().filter(|skew| *skew == 255).count()
}

#[test]
fn all_addresses_of_a_file_are_one_election() {
    for (model, all) in [carp0 as fn(&[u8]) -> String, em0].into_iter().zip(["elect", "elect-freebsd"]) {
        let mut rig = Rig::start(all, &model(&[91, 92, 93, 94]));
        assert_eq!((rig.entered(9), left(&mut rig)), (ONE, 0), "{all}");
        // Three more.
        rig.reloaded(&model(&[91, 92, 93, 94, 95, 96, 98]));
        let heard = left(&mut rig);
        assert!(rig.entered(9) == AGAIN && (1..=2).contains(&heard), "{all}: {heard} {:?}", rig.entered(9));
        // And none any more.
        rig.reloaded(&model(&[91]));
        assert_eq!((rig.entered(9), left(&mut rig)), (AGAIN, 0), "{all}");
    }
}

#[test]
fn without_preempt_a_master_that_gets_several_addresses_waits_once() {
    let file = |addrs: &[u8]| carp0(addrs).replace("preempt=1", "preempt=0");
    let mut rig = Rig::start("elect-patient", &file(&[]));
    assert_eq!(rig.entered(9), [0, 1, 1]);
    rig.reloaded(&file(&[92, 94, 96]));
    rig.world.run_for(10 * SEC);
    assert_eq!(rig.entered(9), [1, 2, 2]);
}

#[test]
fn what_is_taken_back_is_no_election_of_its_own() {
    let mut rig = Rig::start("elect-undo", &carp0(&[92]));
    let before = rig.dump();
    left(&mut rig);
    let (report, changes) = rig.reload_refusing(&carp0(&[92, 94, 96, 98]), Some(3));
    assert!(!report.ok && changes == 5, "{report:?} {changes}");
    let heard = left(&mut rig);
    assert!(rig.entered(9) == AGAIN && (1..=2).contains(&heard), "{heard} {:?}", rig.entered(9));
    assert_eq!(rig.dump(), before);
}

#[test]
fn what_waits_for_a_card_is_one_election_when_that_comes() {
    let cards = Cards { interfaces: Some(vec!["em0".into(), "em9".into()]), taps: None };
    let text = "net.inet.carp.preempt=1\ncloned_interfaces=carp0\n\
                ifconfig_carp0='carpdev em9 vhid 9 10.9.0.1/24'\n\
                ifconfig_carp0_alias0='10.9.0.3/24'\nifconfig_carp0_alias1='10.9.0.4/24'\n";
    let mut rig = Rig::start_on("elect-absent", cards, text);
    assert_eq!(rig.comes("em9", "10.9.0.2/24"), Vec::<String>::new());
    assert_eq!((rig.entered(9), left(&mut rig)), (ONE, 0));
}

/// carp0 is whole; what backs carp1 is in the file, or not.
fn two(backing: &str, address: &str) -> String {
    format!(
        "net.inet.carp.preempt=1\nnet.inet.carp.unbacked_demotion_factor=240\n\
         cloned_interfaces='carp0 carp1'\nifconfig_em0='10.0.0.2/24'\n{backing}\
         ifconfig_carp0='vhid 9 pass x 10.0.0.90/24'\nifconfig_carp1='vhid 8 pass x {address}/24'\n"
    )
}

#[test]
fn whatever_nothing_backs_is_known_before_the_first_election() {
    let mut rig = Rig::start("elect-unbacked", &two("", "10.8.0.1"));
    assert_eq!(rig.entered(9), [0, 1, 1], "it preempts nobody, and waits");
    rig.skews(9);
    // In one reload: what backs it comes after the first line.
    rig.reloaded(&two("ifconfig_em0_alias0='10.8.0.2/24'\n", "10.8.0.1"));
    rig.world.run_for(2 * SEC);
    assert_eq!(rig.skews(9).last(), Some(&0));
    assert_eq!((rig.entered(9), rig.entered(8)), ([0, 1, 1], [0, 0, 1]));
}

#[test]
fn what_is_unbacked_only_until_the_next_line_demotes_nobody() {
    let old = two("ifconfig_em0_alias0='10.8.0.2/24'\n", "10.8.0.1");
    let mut rig = Rig::start("elect-renumbered", &old);
    assert_eq!((rig.entered(9), rig.entered(8)), (ONE, ONE));
    rig.skews(9);
    rig.reloaded(&two("ifconfig_em0_alias0='10.7.0.2/24'\n", "10.7.0.1"));
    rig.world.run_for(SEC);
    let skews = rig.skews(9);
    assert!(skews.iter().all(|skew| *skew == 0) && rig.entered(9) == ONE, "{skews:?}");
    assert_eq!(rig.state("carp1"), "MASTER");
    // The factor and what it would count, in one reload.
    let without = old.replace("net.inet.carp.unbacked_demotion_factor=240\n", "");
    rig.reloaded(&without.replace("ifconfig_em0_alias0='10.8.0.2/24'\n", ""));
    rig.skews(9);
    rig.reloaded(&old);
    rig.world.run_for(SEC);
    let skews = rig.skews(9);
    assert!(skews.iter().all(|skew| *skew == 0) && rig.entered(9) == ONE, "{skews:?}");
}
