//! Each mistake is one line on stderr, and nothing is changed for it.

use crate::machine::Machine;
use crate::{failure, ifconfig, run_on};
use compat::sys::errno::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The line's words first make sense, so that acting too early shows.
fn refused(line: &str, text: &str) {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, line), failure(&format!("ifconfig-carp: {text}")), "{line}");
    assert_eq!(m.log, [""; 0], "nothing is even asked: {line}");
}

#[test]
fn numbers_out_of_range_or_not_numbers_are_refused() {
    for (value, text) in [
        ("0", "vhid must be greater than 0"),
        ("000", "vhid must be greater than 0"),
        ("-1", "vhid must be greater than 0"),
        ("-99999999999999999999", "vhid must be greater than 0"),
        ("256", "vhid 256: must be a number from 1 to 255"),
        ("257", "vhid 257: must be a number from 1 to 255"),
        ("99999999999999999999", "vhid 99999999999999999999: must be a number from 1 to 255"),
        ("abc", "vhid abc: must be a number from 1 to 255"),
        ("1x", "vhid 1x: must be a number from 1 to 255"),
        ("+1", "vhid +1: must be a number from 1 to 255"),
        ("0x1", "vhid 0x1: must be a number from 1 to 255"),
        ("-", "vhid -: must be a number from 1 to 255"),
        ("1.5", "vhid 1.5: must be a number from 1 to 255"),
    ] {
        refused(&format!("carp0 up 10.0.0.1 pass a vhid {value} down"), text);
    }
    for value in ["-1", "255", "256", "x"] {
        refused(
            &format!("carp0 up advskew {value} vhid 1"),
            &format!("advskew {value}: must be a number from 0 to 254"),
        );
    }
    for value in ["-1", "256", "1s"] {
        refused(
            &format!("carp0 up advbase {value}"),
            &format!("advbase {value}: must be a number from 0 to 255"),
        );
    }
}

#[test]
fn an_interval_of_zero_is_refused() {
    let text = "advbase 0 with advskew 0: the interval would be zero";
    refused("carp0 up advbase 0 advskew 0", text);
    refused("carp0 up advskew 0 vhid 1 advbase 0", text);
    // With what the interface has already: asked for, but not set.
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp0 vhid 1 advbase 0"), failure(&format!("ifconfig-carp: {text}")));
    assert_eq!(m.log, ["SIOCGIFINDEX carp0", "sysctl net.route.iflist.2 []", "SIOCGVH carp0"]);
}

#[test]
fn passwords_that_do_not_fit_are_refused_and_not_repeated() {
    let text = |n| format!("pass: {n} bytes are too long: a password has at most 19 bytes");
    refused("carp0 vhid 1 pass 1234567890123456789012345", &text(25));
    refused("carp0 vhid 1 pass 12345678901234567890", &text(20));
    let mut m = Machine::new();
    let args = ["carp0", "pass", "a\0b"].map(OsString::from);
    let expected = failure("ifconfig-carp: pass: a password cannot have a NUL byte in it");
    assert_eq!(run_on(ifconfig_carp::ifconfig::run, &mut m, &args), expected);
    assert_eq!(m.log, [""; 0]);
}

#[test]
fn words_that_are_neither_keyword_nor_address_are_refused() {
    for word in ["foo", "vhidd", "VHID", "--", "-k", "10.0.0.1x", "/"] {
        let text = if word == "/" {
            "/: bad value".into()
        } else {
            format!("{word}: not a keyword and not an address")
        };
        refused(&format!("carp0 up {word} 1"), &text);
    }
    for word in ["10.0.0", "10.0.0.256", "10.0.0.1/33", "10.0.0.1/", "/24", "1", "010.0.0.1", "1.2.3.4/8/8"] {
        refused(&format!("carp0 up {word}"), &format!("{word}: bad value"));
    }
    refused("carp0 up 10.0.0.1 10.0.0.2", "10.0.0.2: a line takes one address only");
    refused("carp0 up 10.0.0.1/-1", "10.0.0.1/-1: not a keyword and not an address");
}

#[test]
fn the_empty_word_and_one_that_is_not_text_are_refused() {
    for (word, shown) in [(OsString::new(), ""), (OsString::from_vec(vec![0xff]), "\u{fffd}")] {
        let mut m = Machine::new();
        let expected = failure(&format!("ifconfig-carp: {shown}: not a keyword and not an address"));
        let args = ["carp0".into(), "up".into(), word.clone()];
        assert_eq!(run_on(ifconfig_carp::ifconfig::run, &mut m, &args), expected);
        let expected = failure(&format!("ifconfig-carp: interface {shown} does not exist"));
        assert_eq!(run_on(ifconfig_carp::ifconfig::run, &mut m, &[word, "up".into()]), expected);
        assert_eq!(m.log, [""; 0]);
    }
}

#[test]
fn an_argument_cannot_make_a_second_line() {
    let mut m = Machine::new();
    let args = ["carp0", "a\nb\u{1b}[2J"].map(OsString::from);
    let expected = failure("ifconfig-carp: a\\nb\\u{1b}[2J: not a keyword and not an address");
    assert_eq!(run_on(ifconfig_carp::ifconfig::run, &mut m, &args), expected);
}

#[test]
fn a_keyword_without_its_argument_is_refused() {
    for word in [
        "vhid",
        "advbase",
        "advskew",
        "pass",
        "passfile",
        "state",
        "netmask",
        "broadcast",
        "prefixlen",
        "group",
        "-group",
        "peer",
        "peer6",
        "carpdev",
    ] {
        refused(&format!("carp0 up {word}"), &format!("'{word}' requires argument"));
    }
}

#[test]
fn values_of_other_keywords_are_checked() {
    refused("carp0 up state init", "state init: must be master or backup");
    refused("carp0 up state 2", "state 2: must be master or backup");
    for mask in ["255.0.255.0", "0xff00ff00", "24", "0x", "0x+f", "0x1ffffffff", "foo"] {
        refused(&format!("carp0 up 10.0.0.1 netmask {mask}"), &format!("netmask {mask}: bad value"));
    }
    refused("carp0 up 10.0.0.1 broadcast 10.0.0.1/8", "broadcast 10.0.0.1/8: bad value");
}

#[test]
fn words_that_do_not_go_together_are_refused() {
    refused("carp0 up alias", "'alias' requires an address");
    refused("carp0 up broadcast 10.0.0.255", "'broadcast' requires an address");
    refused("carp0 destroy up", "'destroy' goes with no other keyword");
    refused("carp0 vhid 1 unplumb", "'destroy' goes with no other keyword");
    refused("carp0 create destroy", "'destroy' goes with no other keyword");
    refused("carp0 up create", "'create' comes first after the interface");
    refused("carp0 link up", "'link' only shows: it goes with no other keyword");
}

#[test]
fn an_interface_that_is_not_there_is_only_asked_for() {
    for line in ["em9", "em9 up", "em9 inet", "em9 destroy", "em9 vhid 1", "-k em9"] {
        let mut m = Machine::new();
        let expected = failure("ifconfig-carp: interface em9 does not exist");
        assert_eq!(ifconfig(&mut m, line), expected, "{line}");
        assert_eq!(m.log, ["SIOCGIFINDEX em9"], "{line}");
    }
    refused("sixteen-letters- up", "interface sixteen-letters- does not exist");
    refused("sixteen-letters- create", "sixteen-letters-: not a name for an interface");
}

#[test]
fn what_can_be_foreseen_to_fail_is_not_begun() {
    for line in ["carp0 down -alias 10.9.9.9", "carp0 vhid 9 delete", "carp0 state backup -alias 10.9.9.9"] {
        let mut m = Machine::new();
        let expected = failure("ifconfig-carp: SIOCDIFADDR: Can't assign requested address");
        assert_eq!(ifconfig(&mut m, line), expected, "{line}");
        assert_eq!(m.changes, [], "{line}");
    }
    for line in ["em0 224.0.0.1", "em0 0.0.0.0", "em0 255.255.255.255"] {
        let mut m = Machine::new();
        let addr = &line[4..];
        let expected = failure(&format!("ifconfig-carp: {addr}: not an address that a host can have"));
        assert_eq!(ifconfig(&mut m, line), expected);
        assert_eq!(m.changes, []);
    }
}

#[test]
fn what_the_machine_refuses_is_told_with_the_ioctls_name() {
    for (ioctl, errno, line, text) in [
        ("SIOCSVH", Errno::EINVAL, "carp0 vhid 1 10.0.0.1", "SIOCSVH: Invalid argument"),
        ("SIOCSVH", Errno::EPERM, "carp0 vhid 1 10.0.0.1", "SIOCSVH: permission denied"),
        ("SIOCSVH", Errno::EEXIST, "carp0 vhid 1 10.0.0.1", "SIOCSVH: File exists"),
        ("SIOCGVH", Errno::ENXIO, "carp0 vhid 1 10.0.0.1", "SIOCGVH: no such interface"),
        ("SIOCAIFADDR", Errno::ENOENT, "em0 alias 10.0.0.1", "SIOCAIFADDR: No such file or directory"),
        ("SIOCSIFFLAGS", Errno::EPERM, "em0 down", "SIOCSIFFLAGS: permission denied"),
        ("SIOCIFCREATE2", Errno::EINVAL, "foo0 create", "SIOCIFCREATE2: Invalid argument"),
        ("SIOCIFDESTROY", Errno(999), "em0 destroy", "SIOCIFDESTROY: Unknown error: 999"),
        ("SIOCGIFINDEX", Errno::EPERM, "em0 up", "SIOCGIFINDEX: permission denied"),
    ] {
        let mut m = Machine::new();
        m.refuse = Some((ioctl, errno));
        assert_eq!(ifconfig(&mut m, line), failure(&format!("ifconfig-carp: {text}")), "{line}");
        assert!(m.log.last().is_some_and(|l| l.starts_with(ioctl)), "nothing follows: {:?}", m.log);
    }
    let mut m = Machine::new();
    let expected = failure("ifconfig-carp: SIOCDIFADDR: Can't assign requested address");
    assert_eq!(ifconfig(&mut m, "em0 -alias 10.0.0.77"), expected);
}

#[test]
fn options_that_make_no_sense_get_the_usage_text() {
    for line in ["-x", "-a -l", "-u -d", "-a em0", "-a inet up", "-l em0", "-S", "--alias", "-ab", "-g"] {
        let mut m = Machine::new();
        let outcome = ifconfig(&mut m, line);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{line}");
        assert!(outcome.stderr.starts_with("usage: ifconfig-carp "), "{line}: {}", outcome.stderr);
        assert_eq!(m.log, [""; 0], "{line}");
    }
}
