//! Interfaces of the host that have not come when the machine is configured.

use super::super::{Cards, Conf, Service, Was};
use super::rig::{Rig, SEC, lent};

const EM9: &str = "10.9.0.2/24";

fn cards() -> Cards {
    Cards { interfaces: Some(vec!["em0".into(), "em9".into()]), taps: None }
}

/// carp0 lives on em0; carp1, with that skew, wherever that is said.
fn text(skew: u8, carp1: &str) -> String {
    format!(
        "cloned_interfaces=\"carp0 carp1\"\nifconfig_em9=\"group wan\"\n\
         ifconfig_carp0=\"vhid 1 pass secret 10.0.0.1/24\"\n\
         ifconfig_carp1=\"vhid 2 advskew {skew} {carp1} pass secret 10.0.0.7/24\"\n"
    )
}

fn shown(rig: &mut Rig) -> String {
    rig.command("ifconfig carp1")
}

/// It waits, and has nothing that could live elsewhere.
fn assert_waits(rig: &mut Rig) {
    let shown = shown(rig);
    assert!(!shown.contains("vhid") && !shown.contains("inet"), "{shown}");
}

#[test]
fn what_is_to_live_on_a_card_that_is_not_there_has_nothing_until_it_comes() {
    let mut rig = Rig::start_on("absent", cards(), &text(0, "carpdev em9"));
    assert_eq!(rig.state("carp0"), "MASTER");
    assert_waits(&mut rig);
    assert_eq!(rig.reloaded(&text(0, "carpdev em9")), ["nothing has changed"]);
    assert_eq!(rig.reloaded(&text(7, "carpdev em9")), ["nothing has changed"]);
    assert_waits(&mut rig);
    assert_eq!(rig.comes("em9", EM9), Vec::<String>::new());
    rig.world.run_for(10 * SEC);
    assert_eq!(rig.state("carp1"), "MASTER");
    let all = shown(&mut rig);
    assert!(all.contains("carpdev: em9") && all.contains("vhid 2 advbase 1 advskew 7"), "{all}");
    assert!(rig.command("ifconfig em9").contains("wan"));
    // It is as if it had been there: what follows is only what differs.
    assert_eq!(rig.reloaded(&text(9, "carpdev em9")), ["ifconfig carp1 advskew 9"]);
}

#[test]
fn who_gets_another_parent_waits_for_that_and_who_waits_may_get_one_that_is_there() {
    let mut rig = Rig::start_on("absent-moves", cards(), &text(0, "carpdev em0"));
    assert_eq!(rig.state("carp1"), "MASTER");
    let moved = rig.reloaded(&text(0, "carpdev em9"));
    assert_eq!(moved, ["ifconfig carp1 destroy", "ifconfig carp1 create"]);
    assert_waits(&mut rig);
    rig.reloaded(&text(5, "carpdev em0"));
    rig.world.run_for(10 * SEC);
    assert_eq!(rig.state("carp1"), "MASTER");
    // One that cannot be done takes all of it back.
    let before = rig.dump();
    let (report, _) = rig.reload_refusing(&text(0, "carpdev em9"), Some(1));
    assert!(!report.ok, "{report:?}");
    assert_eq!(rig.dump(), before);
    // A vhid that it does not have yet is nobody's.
    rig.reloaded(&text(0, "carpdev em9"));
    let swapped = text(0, "carpdev em9").replace("vhid 1", "vhid 3").replace("vhid 2", "vhid 1");
    rig.reloaded(&swapped.replace("vhid 3", "vhid 2"));
    assert!(rig.command("ifconfig carp0").contains("vhid 2"));
    assert_waits(&mut rig);
    assert_eq!(rig.comes("em9", EM9), Vec::<String>::new());
    assert!(shown(&mut rig).contains("vhid 1"));
}

#[test]
fn a_card_that_is_missing_is_a_reason_to_yield_where_it_would_back_an_address_and_that_has_a_factor() {
    let text = |factor: i32, carp1: &str| {
        format!("net.inet.carp.unbacked_demotion_factor={factor}\n")
            + &text(0, carp1).replace(".0.7/", ".9.7/")
    };
    let demotion = |rig: &mut Rig| rig.command("sysctl -n net.inet.carp.demotion");
    for (factor, carp1, expected) in [(0, "", "0\n"), (240, "carpdev em9", "0\n"), (240, "", "240\n")] {
        let mut rig = Rig::start_on("absent-yields", cards(), &text(factor, carp1));
        assert_eq!(demotion(&mut rig), expected, "{factor} {carp1}");
        assert_eq!(rig.comes("em9", "10.0.9.2/24"), Vec::<String>::new());
        assert_eq!(demotion(&mut rig), "0\n", "{factor} {carp1}");
    }
}

#[test]
fn who_waits_waits_in_another_process_too() {
    let mut rig = Rig::start_on("absent-follows", cards(), &text(0, "carpdev em9"));
    let was: Was = serde_json::from_value(serde_json::to_value(rig.service.was()).unwrap()).unwrap();
    let conf = Conf::parse(&rig.file.path(), &text(0, "carpdev em9"), &cards(), &lent).unwrap();
    let (service, differs) = Service::follow(conf, cards(), Some(was));
    assert!(!differs);
    rig.service = service;
    assert_eq!(rig.reload_as_it_is().lines, ["nothing has changed"]);
    assert_eq!(rig.comes("em9", EM9), Vec::<String>::new());
    rig.world.run_for(10 * SEC);
    assert_eq!(rig.state("carp1"), "MASTER");
}

#[test]
fn what_failed_when_a_card_came_is_done_by_a_reload() {
    let text = format!("{}ifconfig_em9_alias0='vhid 5 pass x 10.9.0.5/32'\n", text(0, "carpdev em9"));
    let mut rig = Rig::start_on("absent-refused", cards(), &text);
    assert_eq!(rig.comes_refusing("em9", EM9, Some(3)).len(), 1);
    assert!(!rig.command("ifconfig em9").contains("10.9.0.5"));
    let done = rig.reload_as_it_is().lines;
    assert!(done.iter().any(|line| line.contains("10.9.0.5")), "{done:?}");
    assert!(rig.command("ifconfig em9").contains("10.9.0.5"));
    assert_eq!(rig.reload_as_it_is().lines, ["nothing has changed"]);
}
