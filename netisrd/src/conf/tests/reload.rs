//! Of reloads: what is done, what is not, and what the peers hear of it.

use super::super::{Conf, Service};
use super::rig::{Rig, SEC, cards, command, lent};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const START: &str = "\
net.inet.carp.preempt=1
cloned_interfaces=\"carp0\"
ifconfig_em0=\"10.0.0.2/24\"
ifconfig_carp0=\"vhid 1 pass secret 10.0.0.1/24\"
";

fn lines(expected: &[&str]) -> Vec<String> {
    expected.iter().map(|l| (*l).to_owned()).collect()
}

#[test]
fn a_file_that_has_not_changed_changes_nothing() {
    let mut rig = Rig::start("unchanged", START);
    assert_eq!((rig.state("carp0"), rig.peer_state()), ("MASTER".into(), "BACKUP".into()));
    let before = rig.dump();
    let same = "# another comment\nifconfig_carp0='vhid  1 pass secret inet 10.0.0.1 netmask 255.255.255.0'\n\
                ifconfig_em0=\"10.0.0.2/24\"; cloned_interfaces=carp0 net.inet.carp.preempt='1'\n";
    for text in [START, same] {
        let (report, changes) = rig.reload(text);
        assert!(report.ok);
        assert_eq!((report.lines, changes), (lines(&["nothing has changed"]), 0));
    }
    assert_eq!(rig.dump(), before);
}

#[test]
fn what_needs_no_transition_makes_none() {
    let mut rig = Rig::start("no-transition", START);
    let changed = "net.inet.carp.preempt=1\nnet.inet.carp.log=2\ncloned_interfaces=\"carp0 carp1\"\n\
                   ifconfig_em0=\"10.0.0.2/24\"\n\
                   ifconfig_carp0=\"vhid 1 advskew 100 pass secret 10.0.0.1/24\"\n\
                   ifconfig_carp1=\"vhid 2 pass other\"\n";
    rig.skews(1);
    let done = [
        "sysctl net.inet.carp.log=2",
        "ifconfig carp0 advskew 100",
        "ifconfig carp1 create",
        "ifconfig carp1 vhid 2 pass *",
    ];
    assert_eq!(rig.reloaded(changed), lines(&done));
    // Neither then nor later: the peer is worse still.
    for _ in 0..50 {
        assert_eq!((rig.state("carp0"), rig.peer_state()), ("MASTER".into(), "BACKUP".into()));
        rig.world.run_for(SEC / 10);
    }
    let skews = rig.skews(1);
    assert!(skews.len() > 2 && skews.iter().all(|skew| *skew == 100 || *skew == 0), "{skews:?}");
    assert!(rig.command("ifconfig carp1").contains("vhid 2"));
    assert_eq!(rig.reloaded(START).len(), 3);
    rig.world.run_for(5 * SEC);
    assert!(rig.skews(1).iter().all(|skew| *skew == 100 || *skew == 0));
    assert_eq!((rig.state("carp0"), rig.peer_state()), ("MASTER".into(), "BACKUP".into()));
}

#[test]
fn what_is_done_by_hand_stays_but_of_a_card_s_vhid_that_is_made_anew() {
    let text = |carp0: u8, of_card: &[u8]| {
        let mut text =
            format!("cloned_interfaces=carp0\nifconfig_carp0='vhid 1 pass secret 10.0.0.{carp0}/24'\n");
        for (n, addr) in of_card.iter().enumerate() {
            text += &format!("ifconfig_em0_alias{n}='vhid 5 pass x 10.0.0.{addr}/32'\n");
        }
        text
    };
    let mut rig = Rig::start("by-hand", &text(1, &[50]));
    for vhid in ["carp0", "em0 vhid 5"] {
        rig.command(&format!("ifconfig {vhid} advskew 77"));
    }
    let has_skew = |rig: &mut Rig| {
        let shown = [rig.command("ifconfig carp0"), rig.command("ifconfig em0")];
        shown.map(|shown| shown.contains("advskew 77"))
    };
    rig.reloaded(&text(7, &[50, 51]));
    assert_eq!(has_skew(&mut rig), [true, true]);
    rig.reloaded(&text(8, &[51]));
    assert_eq!(has_skew(&mut rig), [true, true]);
    // None of its addresses stays.
    rig.reloaded(&text(9, &[52]));
    assert_eq!(has_skew(&mut rig), [true, false]);
}

#[test]
fn another_password_is_no_reason_to_leave() {
    let mut rig = Rig::start("password", START);
    rig.skews(1);
    let changed = START.replace("pass secret", "pass new");
    assert_eq!(rig.reloaded(&changed), lines(&["ifconfig carp0 pass *"]));
    command(&mut rig.world, rig.peer, "ifconfig carp0 pass new");
    rig.world.run_for(5 * SEC);
    assert_eq!((rig.state("carp0"), rig.peer_state()), ("MASTER".into(), "BACKUP".into()));
    assert!(rig.skews(1).iter().all(|skew| *skew == 0));
    // None at all is a change too.
    assert_eq!(rig.reloaded(&START.replace("pass secret ", "")), lines(&["ifconfig carp0 pass *"]));
    assert!(!rig.dump().contains("new"));
}

#[test]
fn what_has_left_the_file_leaves_the_machine() {
    let text = "cloned_interfaces='carp0 carp1'\nnet.inet.carp.dscp=5\nnet.inet.carp.demotion=10\n\
                ifconfig_em0_alias0='vhid 5 pass x 10.0.0.50/32'\nifconfig_em0_alias1='10.0.0.60/24'\n\
                ifconfig_em0_alias2='vhid 6 10.0.0.61/32'\nifconfig_em0_alias3='vhid 6 10.0.0.62/32'\n\
                ifconfig_carp0='vhid 1 advskew 9 pass secret 10.0.0.1/24'\n\
                ifconfig_carp0_ipv6='inet6 2001:db8::1/64'\nifconfig_carp1='vhid 2 10.0.0.4/24 -arp'\n";
    let mut rig = Rig::start("leaves", "");
    let nothing = rig.dump();
    rig.reloaded(text);
    let rest = "cloned_interfaces=carp0\nifconfig_carp0='vhid 1 10.0.0.1/24'\n\
                ifconfig_em0_alias0='vhid 6 10.0.0.62/32'\n";
    let done = [
        "sysctl net.inet.carp.dscp=4",
        "sysctl net.inet.carp.demotion=-10",
        "ifconfig carp1 destroy",
        "em0 without vhid 5",
        "ifconfig em0 10.0.0.60 -alias",
        "ifconfig em0 vhid 6 10.0.0.61 -alias",
        "ifconfig carp0 advskew 0 pass *",
        "ifconfig carp0 inet6 2001:db8::1 -alias",
    ];
    assert_eq!(rig.reloaded(rest), lines(&done));
    assert!(rig.command("ifconfig em0").contains("10.0.0.62"));
    assert_eq!(rig.reloaded("").len(), 2);
    assert_eq!(rig.dump(), nothing);
}

#[test]
fn a_bad_file_changes_nothing_at_all() {
    let mut rig = Rig::start("bad", START);
    let before = rig.dump();
    for bad in ["foo=bar\n", "ifconfig_em0_alias0='vhid 256 10.0.0.9/32'\n", "ifconfig_em9=up\n", "a='\n"] {
        let (report, changes) = rig.reload(&format!("net.inet.carp.log=2\ncloned_interfaces=carp9\n{bad}"));
        assert!(!report.ok && changes == 0, "{bad}: {report:?}");
        assert!(report.lines.iter().all(|l| l.contains("netisrd.conf:3:")), "{report:?}");
    }
    rig.file.write_mode(START, 0o666);
    let report = rig.reload_as_it_is();
    assert!(report.lines[0].ends_with("mode 0666 lets others write it: chmod go-w it first"), "{report:?}");
    assert_eq!(rig.dump(), before);
}

#[test]
fn a_step_that_fails_takes_back_what_came_before_it() {
    let text = "net.inet.carp.preempt=0\nnet.inet.carp.demotion=7\ncloned_interfaces='carp0 carp1'\n\
                ifconfig_em0='10.0.0.2/24 debug'\nifconfig_em0_alias0='vhid 5 pass x 10.0.0.50/32'\n\
                ifconfig_carp0='vhid 1 advskew 9 pass other peer 10.0.0.3 group dmz 10.0.0.5/24'\n\
                ifconfig_carp1='vhid 2 10.0.0.4/24'\n";
    let mut rig = Rig::start("undo", START);
    let before = rig.dump();
    let mut failed = 0;
    loop {
        let (report, _) = rig.reload_refusing(text, Some(failed + 1));
        if report.ok {
            break;
        }
        failed += 1;
        rig.world.run_for(10 * SEC);
        let told = report.lines.join("\n");
        assert!(!told.contains("not taken back"), "{told}");
        assert_eq!(rig.dump(), before, "after {told}");
        assert!(told.contains("netisrd.conf:"), "{told}");
    }
    assert!(failed > 10, "{failed}");
    assert!(rig.dump().contains("10.0.0.50"));
}

#[test]
fn what_was_done_by_hand_stays_if_the_file_has_not_changed_there() {
    let mut rig = Rig::start("by-hand", START);
    rig.command("ifconfig carp0 advskew 30");
    rig.command("sysctl net.inet.carp.preempt=0");
    rig.command("ifconfig em0 10.0.0.70/24 alias");
    rig.command("sysctl net.inet.carp.demotion=3");
    assert_eq!(rig.reloaded(START), lines(&["nothing has changed"]));
    let more = format!("{START}net.inet.carp.demotion=4\nifconfig_carp0_alias0='10.0.0.71/24'\n");
    let done = ["sysctl net.inet.carp.demotion=4", "ifconfig carp0 10.0.0.71/24 alias"];
    assert_eq!(rig.reloaded(&more), lines(&done));
    let shown = rig.dump();
    for kept in ["advskew 30", "preempt: 0", "10.0.0.70", "demotion: 7", "10.0.0.71"] {
        assert!(shown.contains(kept), "{kept}: {shown}");
    }
    // What is gone need not go, and what is there need not come.
    rig.command("ifconfig carp0 10.0.0.71 -alias");
    rig.command("ifconfig carp1 create");
    let other =
        format!("{START}ifconfig_carp1='vhid 9 10.0.0.72/24'\n").replace("=\"carp0\"", "='carp0 carp1'");
    rig.reloaded(&other);
    assert!(rig.dump().contains("10.0.0.72"));
    // A carp interface that the file has is there.
    rig.command("ifconfig carp0 destroy");
    rig.command("ifconfig carp1 destroy");
    let done = ["ifconfig carp0 create", "ifconfig carp0 vhid 1 pass * 10.0.0.1/24"];
    assert_eq!(rig.reloaded(START), lines(&done));
}

#[test]
fn carp_interfaces_change_vhids_and_addresses_with_each_other() {
    let swap = |a: &str, b: &str| {
        format!(
            "cloned_interfaces='carp0 carp1'\nifconfig_carp0='vhid {a} pass x 10.0.0.{a}/24'\n\
             ifconfig_carp1='vhid {b} pass x 10.0.0.{b}/24'\n"
        )
    };
    let mut rig = Rig::start("swap", &swap("7", "8"));
    rig.reloaded(&swap("8", "7"));
    rig.world.run_for(10 * SEC);
    let other = rig.dump();
    let mut fresh = Rig::start("swap-fresh", &swap("8", "7"));
    assert_eq!(other, fresh.dump());
}

#[test]
fn what_a_running_netisrd_cannot_change_is_told_by_name() {
    let mut rig = Rig::start("daemon", START);
    let other = format!("{START}netisrd_taps=em0\nnetisrd_netisrs=7\nnetisrd_socket=/run/x\n");
    let expected = [
        "warning: netisrd_taps has changed: that needs a restart",
        "warning: netisrd_socket has changed: that needs a restart",
        "warning: netisrd_netisrs has changed: that needs a restart, or without a transition netisrd --takeover",
        "nothing has changed",
    ];
    // As long as the file says something else than what runs.
    for _ in 0..2 {
        assert_eq!(rig.reloaded(&other), lines(&expected));
    }
    assert_eq!(rig.reloaded(START), lines(&["nothing has changed"]));
}

#[test]
fn ticks_are_changed_at_once_and_told() {
    let mut rig = Rig::start("hz", START);
    assert_eq!(rig.reloaded(&format!("{START}netisrd_hz=100\n")), lines(&["netisrd_hz=100"]));
    assert_eq!(rig.reloaded(&format!("{START}netisrd_hz=100\n")), lines(&["nothing has changed"]));
    assert_eq!(rig.reloaded(START), lines(&["netisrd_hz=0"]));
}

#[test]
fn a_password_that_all_may_read_is_worth_a_word() {
    let mut rig = Rig::start("readable", START);
    rig.file.write_mode(START, 0o644);
    let report = rig.reload_as_it_is();
    assert!(report.ok);
    assert!(
        report.lines[0].contains("netisrd.conf:2:20: warning: everybody can read this password"),
        "{report:?}"
    );
}

/// START with its password in a file, and that.
fn with_passfile(rig: &Rig) -> (PathBuf, String) {
    let file = rig.file.path().with_file_name("secret");
    let text = START.replace("pass secret", &format!("passfile {}", file.display()));
    (file, text)
}

fn write_passfile(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_password_file_is_read_again() {
    let mut rig = Rig::start("passfile", START);
    let (file, text) = with_passfile(&rig);
    let write = |text: &str| write_passfile(&file, text);
    write("secret\n");
    assert_eq!(rig.reloaded(&text), lines(&["nothing has changed"]));
    write("other\n");
    assert_eq!(rig.reloaded(&text), lines(&["ifconfig carp0 pass *"]));
    write("");
    let (report, changes) = rig.reload(&text);
    assert!(!report.ok && changes == 0, "{report:?}");
}

#[test]
fn another_process_goes_on_with_the_passwords_that_were_read() {
    let mut rig = Rig::start("passfile-follows", START);
    let (file, text) = with_passfile(&rig);
    let write = |text: &str| write_passfile(&file, text);
    write("secret\n");
    rig.reloaded(&text);
    let follow = |rig: &mut Rig, was| {
        let now = fs::read_to_string(rig.file.path()).unwrap();
        let conf = Conf::parse(&rig.file.path(), &now, &cards(), &lent).unwrap();
        let (service, differs) = Service::follow(conf, cards(), Some(was));
        rig.service = service;
        differs
    };
    let was = |rig: &Rig| serde_json::to_value(rig.service.was()).unwrap();
    let told = |was: serde_json::Value| serde_json::from_value(was).unwrap();
    let old = was(&rig);
    assert!(!follow(&mut rig, told(old.clone())));
    // Another password, since it was read.
    write("other\n");
    assert!(follow(&mut rig, told(old.clone())));
    assert_eq!(rig.reload_as_it_is().lines, ["ifconfig carp0 pass *"]);
    // In another file, and the old one is gone.
    let old = was(&rig);
    let moved = file.with_file_name("moved");
    fs::rename(&file, &moved).unwrap();
    rig.file.write(&text.replace(&*file.to_string_lossy(), &moved.to_string_lossy()));
    assert!(follow(&mut rig, told(old.clone())));
    assert_eq!(rig.reload_as_it_is().lines, ["nothing has changed"]);
    // An older program, which does not tell what it had read; and a line of its that is
    // none any more.
    let mut older = old;
    older.as_object_mut().unwrap().remove("passwords");
    older["text"] = format!("{}no.such.line\n", older["text"].as_str().unwrap()).into();
    assert!(follow(&mut rig, told(older)));
    assert_eq!(rig.reload_as_it_is().lines, ["ifconfig carp0 pass *"]);
    assert!(rig.command("ifconfig -k carp0").contains("other"));
}

#[test]
fn a_file_that_says_what_it_said_is_tried_only_if_there_is_something_to_do_for_it() {
    let mut rig = Rig::start("untried", START);
    // A trial would fail.
    let no_card = || Err("no cards".to_owned());
    rig.file.write(START);
    let rehearsed = rig.rehearse(no_card());
    assert!(rehearsed.is_ok());
    rig.file.write(&START.replace("vhid 1 pass", "vhid 1  pass"));
    assert_eq!(rig.rehearse(no_card()).map(drop).unwrap_err().lines().count(), 1);
    rig.file.write(START);
    rig.command("ifconfig carp0 destroy");
    assert_eq!(rig.rehearse(no_card()).map(drop).unwrap_err().lines().count(), 1);
}
