//! Which requests a line sends, all of them and in order.

use crate::machine::Machine;
use crate::{failure, ifconfig, requests_of, run_on, success};
use compat::net::if_::{IfAliasReq, IfName, IfReq, Iff};
use compat::netinet::in_::SockAddrIn;
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::SIOCAIFADDR;
use libcarp::carpreq::{CarpReq, SIOCSVH};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use zerocopy::IntoBytes;

/// Asks what carp0 is: CARP's keywords are about it, or about a virtual host.
const KIND: &str = "sysctl net.route.iflist.2 []";
/// No key.
const NO_KEY: &str = "....................";

/// Runs a line that must succeed silently on a fresh machine.
fn requests(line: &str) -> Vec<String> {
    requests_of(&mut Machine::new(), line)
}

#[test]
fn create_asks_whether_the_name_is_taken_and_then_for_it() {
    let expected = ["SIOCGIFINDEX carp1", "SIOCIFCREATE2 carp1"];
    assert_eq!(requests("carp1 create"), expected);
    assert_eq!(requests("carp1 plumb"), expected);
}

#[test]
fn a_name_without_a_unit_gets_one_and_the_rest_of_the_line_uses_it() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp create"), success("carp1\n"));
    assert_eq!(m.log, ["SIOCGIFINDEX carp", "SIOCIFCREATE2 carp"]);
    m.log.clear();
    assert_eq!(ifconfig(&mut m, "carp create inet 10.0.0.9 -arp"), success("carp2\n"));
    let expected = [
        "SIOCGIFINDEX carp",
        "SIOCIFCREATE2 carp",
        "SIOCGIFFLAGS carp2",
        "SIOCSIFFLAGS carp2 0x8882",
        "SIOCGIFADDR carp2",
        "SIOCAIFADDR carp2 10.0.0.9 mask - brd -",
    ];
    assert_eq!(m.log, expected);
}

#[test]
fn a_created_interface_is_gone_again_if_the_rest_of_the_line_fails() {
    let mut m = Machine::new();
    m.refuse = Some(("SIOCSVH", Errno::EINVAL));
    let expected = failure("ifconfig-carp: SIOCSVH: Invalid argument");
    assert_eq!(ifconfig(&mut m, "carp create vhid 1"), expected);
    assert_eq!(m.log.last().unwrap(), "SIOCIFDESTROY carp1");
    assert_eq!(m.ifaces.len(), 2);
}

#[test]
fn a_line_that_fails_at_its_end_takes_back_what_it_did() {
    let mut m = Machine::new();
    m.refuse = Some(("SIOCAIFADDR", Errno::EEXIST));
    let expected = failure("ifconfig-carp: SIOCAIFADDR: File exists");
    assert_eq!(ifconfig(&mut m, "carp0 vhid 1 pass x up 10.0.0.9/24"), expected);
    let clear = i32::MIN;
    let log = [
        "SIOCGIFINDEX carp0".to_owned(),
        KIND.into(),
        "SIOCGVH carp0".into(),
        "SIOCSVH carp0 state -1 vhid 1 advbase 1 advskew 0 key x...................".into(),
        "SIOCGIFFLAGS carp0".into(),
        "SIOCSIFFLAGS carp0 0x8803".into(),
        "SIOCGIFADDR carp0".into(),
        "SIOCAIFADDR carp0 10.0.0.9 mask 255.255.255.0 (no family) brd -".into(),
        "SIOCSIFFLAGS carp0 0x8802".into(),
        format!("SIOCSVH carp0 state -1 vhid {clear} advbase 1 advskew 0 key {NO_KEY}"),
    ];
    assert_eq!(m.log, log);
}

#[test]
fn create_of_what_exists_fails_alone_and_is_no_matter_with_more_behind_it() {
    let mut m = Machine::new();
    let expected = failure("ifconfig-carp: interface carp0 already exists");
    for line in ["carp0 create", "carp0 create inet", "carp0 create inet6"] {
        assert_eq!(ifconfig(&mut m, line), expected);
        assert_eq!(std::mem::take(&mut m.log), ["SIOCGIFINDEX carp0"]);
    }
    let expected = ["SIOCGIFINDEX carp0", "SIOCGIFFLAGS carp0", "SIOCSIFFLAGS carp0 0x8803"];
    assert_eq!(requests("carp0 create up"), expected);
}

#[test]
fn destroy_is_one_request() {
    for line in ["carp0 destroy", "carp0 unplumb"] {
        assert_eq!(requests(line), ["SIOCGIFINDEX carp0", "SIOCIFDESTROY carp0"]);
    }
}

#[test]
fn the_keywords_of_carp_make_one_pair_and_the_address_comes_last() {
    let expected = [
        "SIOCGIFINDEX carp0",
        KIND,
        "SIOCGVH carp0",
        "SIOCSVH carp0 state -1 vhid 1 advbase 1 advskew 0 key mekmitasdigoat......",
        "SIOCGIFADDR carp0",
        "SIOCAIFADDR carp0 10.0.0.1 mask 255.255.255.0 (no family) brd -",
    ];
    assert_eq!(requests("carp0 vhid 1 pass mekmitasdigoat 10.0.0.1/24"), expected);
    assert_eq!(requests("carp0 10.0.0.1/24 vhid 1 pass mekmitasdigoat"), expected);
    assert_eq!(requests("carp0 inet 10.0.0.1/24 vhid 7 pass mekmitasdigoat vhid 1"), expected);
}

#[test]
fn what_a_line_does_not_name_goes_back_as_it_came() {
    let mut m = Machine::new();
    m.carp0().carp = CarpReq {
        carpr_state: 2,
        carpr_vhid: 9,
        carpr_advskew: 3,
        carpr_advbase: 4,
        carpr_key: *b"nineteen characters\0",
    };
    let mut sent = |line: &str| requests_of(&mut m, line).pop().unwrap();
    let key = "nineteen characters.";
    let expected = format!("SIOCSVH carp0 state -1 vhid 9 advbase 4 advskew 100 key {key}");
    assert_eq!(sent("carp0 advskew 100"), expected);
    let expected = format!("SIOCSVH carp0 state -1 vhid 9 advbase 0 advskew 100 key {key}");
    assert_eq!(sent("carp0 advbase 0"), expected);
    let expected = format!("SIOCSVH carp0 state 2 vhid 9 advbase 0 advskew 100 key {key}");
    assert_eq!(sent("carp0 state MASTER"), expected);
    let expected = format!("SIOCSVH carp0 state 1 vhid 9 advbase 0 advskew 100 key {key}");
    assert_eq!(sent("carp0 state backup"), expected);
    let expected = "SIOCSVH carp0 state -1 vhid 9 advbase 0 advskew 100 key b...................";
    assert_eq!(sent("carp0 pass b"), expected);
}

#[test]
fn a_vhid_that_is_not_set_stays_so_and_an_empty_password_is_one() {
    let mut m = Machine::new();
    let args = ["carp0", "pass", "", "advskew", "254"].map(Into::into);
    assert_eq!(run_on(ifconfig_carp::ifconfig::run, &mut m, &args), success(""));
    let expected = format!("SIOCSVH carp0 state -1 vhid -1 advbase 1 advskew 254 key {NO_KEY}");
    assert_eq!(m.log, ["SIOCGIFINDEX carp0", KIND, "SIOCGVH carp0", &expected]);
}

#[test]
fn alias_adds_and_delete_takes_away_wherever_the_word_stands() {
    let add = ["SIOCGIFINDEX carp0", "SIOCAIFADDR carp0 10.0.0.1 mask 255.255.0.0 (no family) brd -"];
    for line in ["carp0 alias 10.0.0.1/16", "carp0 10.0.0.1 netmask 0xffff0000 add"] {
        assert_eq!(requests(line), add, "{line}");
    }
    let named = ["SIOCGIFINDEX em0", "SIOCDIFADDR em0 10.0.0.2"];
    for line in ["em0 -alias 10.0.0.2", "em0 inet 10.0.0.2/24 delete", "em0 10.0.0.2 remove"] {
        assert_eq!(requests(line), named, "{line}");
    }
    assert_eq!(requests("em0 delete"), ["SIOCGIFINDEX em0", "SIOCDIFADDR em0 -"]);
}

#[test]
fn a_new_address_takes_the_first_ones_place_if_there_is_one() {
    let mut m = Machine::new();
    let expected = [
        "SIOCGIFINDEX em0",
        "SIOCGIFADDR em0",
        "SIOCAIFADDR em0 10.0.0.3 mask 255.255.255.128 (no family) brd 10.0.0.127",
        "SIOCDIFADDR em0 10.0.0.2",
    ];
    let line = "em0 10.0.0.3 netmask 255.255.255.128 broadcast 10.0.0.127";
    assert_eq!(requests_of(&mut m, line), expected);
    assert_eq!(m.ifaces[0].addrs, [([10, 0, 0, 3].into(), [255, 255, 255, 128].into())]);
    // Its own place it keeps.
    assert_eq!(requests("em0 10.0.0.2/25").len(), 3);
    // carp0 has none: EADDRNOTAVAIL is not an error then, but any other is.
    assert_eq!(requests("carp0 10.0.0.3").len(), 3);
    m.refuse = Some(("SIOCAIFADDR", Errno::EPERM));
    let expected = failure("ifconfig-carp: SIOCAIFADDR: permission denied");
    assert_eq!(ifconfig(&mut m, "em0 10.0.0.4"), expected);
    assert_eq!(m.ifaces[0].addrs.len(), 1);
}

#[test]
fn a_netmask_alone_is_for_the_address_there_is() {
    let expected = ["SIOCGIFINDEX em0", "SIOCAIFADDR em0 - mask 255.0.0.0 (no family) brd -"];
    assert_eq!(requests("em0 netmask 255.0.0.0"), expected);
}

#[test]
fn flags_are_got_and_set_one_by_one_in_the_order_of_the_line() {
    let expected = [
        "SIOCGIFINDEX carp0",
        KIND,
        "SIOCGIFFLAGS carp0",
        "SIOCSIFFLAGS carp0 0x8803",
        "SIOCGVH carp0",
        &format!("SIOCSVH carp0 state -1 vhid 3 advbase 2 advskew 0 key {NO_KEY}"),
        "SIOCGIFFLAGS carp0",
        "SIOCSIFFLAGS carp0 0x88803",
        "SIOCGIFFLAGS carp0",
        "SIOCSIFFLAGS carp0 0x88802",
    ];
    assert_eq!(requests("carp0 up vhid 3 staticarp down advbase 2"), expected);
}

#[test]
fn each_flag_word_has_its_bit() {
    for (word, flag) in [
        ("-arp", Iff::NOARP),
        ("debug", Iff::DEBUG),
        ("promisc", Iff::PPROMISC),
        ("link0", Iff::LINK0),
        ("link1", Iff::LINK1),
        ("link2", Iff::LINK2),
        ("monitor", Iff::MONITOR),
        ("staticarp", Iff::STATICARP),
        ("up", Iff::UP),
    ] {
        let mut m = Machine::new();
        let before = m.carp0().flags;
        assert_eq!(ifconfig(&mut m, &format!("carp0 {word}")), success(""));
        assert_eq!(m.carp0().flags, before | flag, "{word}");
        let off = match word {
            "-arp" => "arp".to_owned(),
            "up" => "down".to_owned(),
            other => format!("-{other}"),
        };
        assert_eq!(ifconfig(&mut m, &format!("carp0 {off}")), success(""));
        assert_eq!(m.carp0().flags, before, "{off}");
    }
}

#[test]
fn with_u_or_d_only_an_interface_in_that_state_is_configured() {
    let none = ["SIOCGIFINDEX carp0", "SIOCGIFFLAGS carp0"];
    assert_eq!(requests("-u carp0 delete"), none);
    assert_eq!(requests("-d carp0 destroy"), [&none[..], &["SIOCIFDESTROY carp0"]].concat());
}

#[test]
fn the_bytes_of_the_structs_are_the_abis() {
    let mut m = Machine::new();
    assert_eq!(ifconfig(&mut m, "carp0 vhid 5 pass x 10.1.2.3/8 broadcast 10.9.9.9"), success(""));
    let name = IfName::new("carp0").unwrap();
    let mut carpr = CarpReq { carpr_state: -1, carpr_vhid: 5, carpr_advbase: 1, ..CarpReq::default() };
    carpr.carpr_key[0] = b'x';
    let ifra = IfAliasReq {
        ifra_name: name,
        ifra_addr: SockAddrIn::new([10, 1, 2, 3].into()),
        ifra_broadaddr: SockAddrIn::new([10, 9, 9, 9].into()),
        ifra_mask: SockAddrIn { sin_family: 0, ..SockAddrIn::new([255, 0, 0, 0].into()) },
    };
    let expected = [
        Request::ioctl_with(SIOCSVH, &IfReq::new(name), carpr.as_bytes()),
        Request::ioctl(SIOCAIFADDR, &ifra),
    ];
    assert_eq!(m.changes, expected);
}

#[test]
fn a_password_file_gives_its_first_line_if_nobody_else_may_open_it() {
    let dir = std::env::temp_dir().join(format!("ifconfig-carp-pass-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let file = |name: &str, mode: u32, text: &str| {
        let path = dir.join(name);
        let mut f = std::fs::File::create(&path).unwrap();
        f.write_all(text.as_bytes()).unwrap();
        // Whatever the umask is.
        f.set_permissions(Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good", 0o600, "se cret\nsecond line\n");
    let sent = requests(&format!("carp0 passfile {good}")).pop().unwrap();
    assert_eq!(sent, "SIOCSVH carp0 state -1 vhid -1 advbase 1 advskew 0 key se cret.............");

    let (open, long) = (file("open", 0o640, "x"), file("long", 0o600, &"y".repeat(25)));
    let (nul, empty) = (file("nul", 0o400, "a\0b"), file("empty", 0o600, ""));
    let (blank, dos) = (file("blank", 0o600, "\nsecret\n"), file("dos", 0o600, "secret\r\n"));
    let (none, itself) = (dir.join("none"), dir.display());
    for (path, text) in [
        (open.clone(), format!("{open}: mode 0640 is open to others: chmod 600 it first")),
        (long, "25 bytes are too long: a password has at most 19 bytes".to_owned()),
        (nul, "a password cannot have a NUL byte in it".to_owned()),
        (empty.clone(), format!("{empty}: the file is empty")),
        (blank.clone(), format!("{blank}: its first line is empty")),
        (dos.clone(), format!("{dos}: its first line ends with a carriage return: end lines as Unix does")),
        (none.display().to_string(), format!("{}: No such file or directory", none.display())),
        (itself.to_string(), format!("{itself}: not a regular file")),
    ] {
        let mut m = Machine::new();
        let expected = failure(&format!("ifconfig-carp: passfile: {text}"));
        assert_eq!(ifconfig(&mut m, &format!("carp0 passfile {path}")), expected);
        assert_eq!(m.log, [""; 0]);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
