//! Interface groups and their demotion.

use crate::machine::Machine;
use crate::{Outcome, fails_and_changes_nothing, failure, ifconfig, requests_of, success};
use compat::net::if_::IfName;
use compat::sys::errno::Errno;

fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

#[test]
fn an_interface_joins_and_leaves_where_the_words_stand() {
    let mut m = Machine::new();
    let expected = [
        "SIOCGIFINDEX em0",
        "SIOCAIFGROUP em0 lan",
        "SIOCGIFFLAGS em0",
        "SIOCSIFFLAGS em0 0x8842",
        "SIOCAIFGROUP em0 wan",
        "SIOCDIFGROUP em0 lan",
    ];
    assert_eq!(requests_of(&mut m, "em0 group lan down group wan -group lan"), expected);
    assert_eq!(m.em0().groups, ["all", "wan"].map(name));
}

#[test]
fn what_is_so_already_is_no_error_and_is_not_undone() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp0 group carp -group lan"), success(""));
    assert_eq!(m.carp0().groups, ["all", "carp"].map(name));
    m.log.clear();
    m.refuse = Some(("SIOCSIFFLAGS", Errno::EPERM));
    let line = "carp0 group carp group lan -group wan -group carp up";
    fails_and_changes_nothing(&mut m, line, "SIOCSIFFLAGS: permission denied");
    let undone = ["SIOCSIFFLAGS carp0 0x8803", "SIOCAIFGROUP carp0 carp", "SIOCDIFGROUP carp0 lan"];
    assert_eq!(m.log[m.log.len() - 3..], undone);
}

#[test]
fn a_refusal_is_told() {
    let mut m = Machine::new();
    m.refuse = Some(("SIOCAIFGROUP", Errno::EPERM));
    fails_and_changes_nothing(&mut m, "em0 down group a", "SIOCAIFGROUP: permission denied");
    m.refuse = Some(("SIOCDIFGROUP", Errno::EINVAL));
    fails_and_changes_nothing(&mut m, "em0 down -group all", "SIOCDIFGROUP: Invalid argument");
}

#[test]
fn names_that_no_group_can_have_are_refused() {
    for (word, text) in [
        ("lan1", "a group's name cannot end in a digit"),
        ("a/b", "not a name for a group"),
        ("sixteen-letters-", "not a name for a group"),
    ] {
        for keyword in ["group", "-group"] {
            let mut m = Machine::new();
            let line = format!("em0 down {keyword} {word}");
            fails_and_changes_nothing(&mut m, &line, &format!("{keyword} {word}: {text}"));
            assert_eq!(m.log, [""; 0]);
        }
    }
}

#[test]
fn groups_show_last_and_all_does_not() {
    let mut m = Machine::new();
    let em0 = "em0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500\n\
               \tether 02:00:00:00:00:0a\n\
               \tinet 10.0.0.2 netmask 0xffffff00 broadcast 10.0.0.255\n";
    assert_eq!(ifconfig(&mut m, "em0"), success(em0));
    assert_eq!(ifconfig(&mut m, "em0 group lan group dmz"), success(""));
    assert_eq!(ifconfig(&mut m, "em0"), success(&format!("{em0}\tgroups: lan dmz\n")));
    m.em0().groups.clear();
    assert_eq!(ifconfig(&mut m, "em0"), success(em0));
    assert!(!ifconfig(&mut m, "carp0 inet").stdout.contains("groups"));
}

#[test]
fn g_lists_the_members_and_with_v_the_demotion_first() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "-g all"), success("em0\ncarp0\n"));
    assert_eq!(m.log, ["SIOCGIFGMEMB all len 0", "SIOCGIFGMEMB all len 32"]);
    assert_eq!(ifconfig(&mut m, "-gcarp"), success("carp0\n"));
    m.demoted.insert(name("carp"), 128);
    m.log.clear();
    assert_eq!(ifconfig(&mut m, "-v -g carp"), success("carp: carp demote count 128\ncarp0\n"));
    assert_eq!(m.log, ["SIOCGIFGMEMB carp len 0", "SIOCGIFGMEMB carp len 16", "SIOCGIFGATTR carp len 0"]);
    for line in ["-g nobody", "-v -g nobody", "-g nobody carpdemote"] {
        fails_and_changes_nothing(&mut m, line, "group nobody does not exist");
    }
    m.log.clear();
    let text = "group sixteen-letters- does not exist";
    fails_and_changes_nothing(&mut m, "-g sixteen-letters-", text);
    assert_eq!(m.log, [""; 0]);
    m.refuse = Some(("SIOCGIFGMEMB", Errno::EPERM));
    assert_eq!(ifconfig(&mut m, "-g carp"), failure("ifconfig-carp: SIOCGIFGMEMB: permission denied"));
}

#[test]
fn carpdemote_adds_to_the_counter_and_subtracts() {
    let mut m = Machine::new();
    for (words, delta, sum) in [
        ("carpdemote", "+1", 1),
        ("carpdemote 128", "+128", 129),
        ("-carpdemote", "-1", 128),
        ("-carpdemote 50", "-50", 78),
        ("carpdemote 0", "+0", 78),
    ] {
        let expected = [format!("SIOCSIFGATTR carp {delta}")];
        assert_eq!(requests_of(&mut m, &format!("-g carp {words}")), expected);
        assert_eq!(m.demoted[&name("carp")], sum);
    }
    assert_eq!(requests_of(&mut m, "-S /x -g carp -carpdemote 2"), ["SIOCSIFGATTR carp -2"]);
    m.refuse = Some(("SIOCSIFGATTR", Errno::EINVAL));
    fails_and_changes_nothing(&mut m, "-g carp -carpdemote", "SIOCSIFGATTR: Invalid argument");
}

#[test]
fn a_demotion_out_of_range_is_refused() {
    for word in ["carpdemote", "-carpdemote"] {
        for value in ["256", "-1", "x", "+1", "1.5"] {
            let mut m = Machine::new();
            let text = format!("carpdemote {value}: must be a number from 0 to 255");
            fails_and_changes_nothing(&mut m, &format!("-g carp {word} {value}"), &text);
            assert_eq!(m.log, [""; 0]);
        }
    }
}

#[test]
fn g_goes_with_nothing_else() {
    for line in [
        "-g carp em0",
        "-g carp carpdemote 1 2",
        "-g carp up",
        "-g carp -carpdemoted",
        "-a -g carp",
        "-l -g carp",
        "-k -g carp",
        "-u -g carp",
        "-g",
        "-g -carpdemote",
        "-carpdemote",
    ] {
        let mut m = Machine::new();
        let Outcome { status, stdout, stderr } = ifconfig(&mut m, line);
        assert_eq!((status, stdout.as_str()), (1, ""), "{line}");
        assert!(stderr.starts_with("usage: ifconfig-carp "), "{line}: {stderr}");
        assert_eq!(m.log, [""; 0], "{line}");
    }
}
