#![allow(clippy::unwrap_used)]

use super::*;

const GOOD: &str = r#"title = "t"
time = "5s"
[lan.net0]
[machine.a]
interfaces = { em0 = "net0" }
boot = ["ifconfig carp0 create"]
[client.c]
lan = "net0"
address = "10.0.0.9/24"
ping = "10.0.0.2"
[[at]]
time = "1s"
machine = "a"
run = "sysctl net.inet.carp.preempt=1"
[[fault]]
lan = "net0"
from = "1s"
until = "2s"
loss = 0.5
[[expect]]
machine = "a"
state = "MASTER"
by = "4s"
"#;

fn error(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    Scenario::parse(Path::new("x.toml"), &GOOD.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_again() {
    let s = Scenario::parse(Path::new("x.toml"), GOOD).unwrap();
    let text = s.to_toml().unwrap();
    let again = Scenario::parse(Path::new("y.toml"), &text).unwrap();
    assert_eq!(again.to_toml().unwrap(), text);
    assert_eq!((again.fault.len(), again.at.len(), again.expect.len()), (1, 1, 1));
}

#[test]
fn an_error_names_file_line_and_what_was_expected() {
    let cases = [
        (
            "machine = \"a\"\nrun",
            "machine = \"x\"\nrun",
            "x.toml:13:11: expected a machine that there is (a), not \"x\"",
        ),
        ("\"net0\" }", "\"net1\" }", "x.toml:5:22: expected a LAN that there is (net0), not \"net1\""),
        (
            "time = \"1s\"",
            "time = \"soon\"",
            "x.toml:12:8: expected a time such as \"3.4s\", \"300ms\", \"2m\", not \"soon\"",
        ),
        ("loss = 0.5", "loss = 1.5", "x.toml:16:7: expected shares between 0 and 1"),
        ("loss = 0.5", "echo = false", "x.toml:16:7: expected one or more of loss, duplicate"),
        ("by = \"4s\"", "", "x.toml:21:11: expected a state, and one of: by; after and within; from"),
        (
            "\"sysctl net",
            "\"reboot net",
            "x.toml:14:7: expected a command of ifconfig, sysctl, netstat, route",
        ),
        (
            "run = \"sysctl net.inet.carp.preempt=1\"",
            "",
            "x.toml:13:11: expected one of run, power and clock",
        ),
        ("run = \"sysctl", "walk = \"sysctl", "x.toml:14:1: unknown field `walk`"),
        ("[lan.net0]", "", "x.toml:1:1: expected at least one [lan.NAME]"),
        ("\"10.0.0.2\"\n", "\"fd00::1\"\n", "x.toml:8:7: expected address and ping of one family"),
    ];
    for (from, to, want) in cases {
        let seen = error(from, to);
        assert!(seen.starts_with(want), "{seen}\n{want}");
    }
}

const UCARP: &str = r#"title = "t"
time = "5s"
[lan.net0]
[machine.u]
kind = "ucarp"
interfaces = { em0 = "net0" }
ucarp = { own = "10.0.0.3/24", address = "10.0.0.1", vhid = 1, pass = "secret" }
[[at]]
time = "1s"
machine = "u"
power = "crash"
"#;

/// What is wrong with it, for such devices.
fn refused(devices: Devices, text: &str) -> String {
    let path = Path::new("x.toml");
    let scenario = Scenario::parse(path, text).unwrap();
    let complaint = scenario.check_for(devices).unwrap_err();
    Error::new(path, text, complaint).to_string()
}

#[test]
fn ucarp_has_its_keys_and_real_devices() {
    let s = Scenario::parse(Path::new("x.toml"), UCARP).unwrap();
    let spec = s.machine["u"].ucarp.as_ref().unwrap();
    assert_eq!((spec.vhid.get(), spec.advbase.get(), spec.advskew, spec.preempt), (1, 1, 0, false));
    assert!(s.is_only_real() && s.check_for(Devices::Real).is_ok());
    let text = s.to_toml().unwrap();
    assert_eq!(Scenario::parse(Path::new("y.toml"), &text).unwrap().to_toml().unwrap(), text);
    let why = "x.toml:6:22: u is ucarp, a program of Linux: it runs with --real only";
    assert_eq!(refused(Devices::Virtual, UCARP), why);
    let bad = [
        ("kind = \"ucarp\"\n", "", "x.toml:5:22: expected kind = \"ucarp\" beside ucarp = { ... }"),
        ("\nucarp =", "\n#", "x.toml:6:22: expected ucarp = { own, address, vhid, pass, ... }"),
        (
            "em0 = \"net0\"",
            "em0 = \"net0\", em1 = \"net0\"",
            "x.toml:6:22: expected one interface and no boot",
        ),
        ("\"secret\"", "\"a secret of 20 bytes\"", "x.toml:6:22: expected a password of at most 19 bytes"),
        ("vhid = 1", "vhid = 0", "x.toml:7:61: invalid value: integer `0`, expected a nonzero u8"),
        ("power = \"crash\"", "run = \"ifconfig -a\"", "x.toml:11:7: expected power: ucarp has no commands"),
    ];
    for (from, to, want) in bad {
        assert_eq!(UCARP.matches(from).count(), 1, "{from}");
        let seen = Scenario::parse(Path::new("x.toml"), &UCARP.replace(from, to)).unwrap_err().to_string();
        assert!(seen.starts_with(want), "{seen}\n{want}");
    }
}

#[test]
fn what_real_devices_cannot_do_is_refused_with_its_place_and_the_reason() {
    let loss = "loss = 0.5";
    let machine = "machine = \"a\"\ninterface = \"em0\"\nfrom = \"1s\"\nuntil = \"2s\"\nsend_errors = true\n";
    let at_lan = "lan = \"net0\"\nfrom = \"1s\"\nuntil = \"2s\"\nloss = 0.5\n";
    let cases = [
        (loss, "delay = \"1ms\"", "x.toml:16:7: a real bridge does not delay frames"),
        (loss, "jitter = \"1ms\"", "x.toml:16:7: a real bridge does not jitter frames"),
        (loss, "corrupt = 0.5", "x.toml:16:7: a real bridge does not corrupt frames"),
        (loss, "duplicate = 0.5", "x.toml:16:7: a real bridge does not duplicate frames"),
        (loss, "truncate = 0.5", "x.toml:16:7: a real bridge does not truncate frames"),
        (loss, "reorder = 0.5", "x.toml:16:7: a real bridge does not reorder frames"),
        (loss, "echo = true\nonly = \"arp\"", "x.toml:16:7: a real bridge echoes all frames or none"),
        (at_lan, machine, "x.toml:16:11: a tap takes whatever is sent"),
        ("[lan.net0]\n", "[lan.net0]\ndelay = \"1ms\"\n", "x.toml:4:9: a real bridge does not delay"),
        (
            "run = \"sysctl net.inet.carp.preempt=1\"",
            "clock = { ppm = 1000100 }",
            "x.toml:13:11: real machines have one clock, the kernel's",
        ),
        (
            "time = \"5s\"",
            "time = \"5s\"\nnot_real = \"no time\"",
            "x.toml:3:12: real devices cannot run it: no time",
        ),
    ];
    let good = Scenario::parse(Path::new("x.toml"), GOOD).unwrap();
    assert!(good.check_for(Devices::Real).is_ok() && good.check_for(Devices::Virtual).is_ok());
    for (from, to, want) in cases {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        let seen = refused(Devices::Real, &GOOD.replace(from, to));
        assert!(seen.starts_with(want), "{seen}\n{want}");
    }
}

#[test]
fn a_file_that_is_not_there_or_no_text_is_named() {
    let e = Scenario::read(Path::new("/nowhere/x.toml")).unwrap_err().to_string();
    assert!(e.starts_with("/nowhere/x.toml: No such file"), "{e}");
    let bytes = String::from_utf8(b"time = \"5s\"\nx\xff\xfe".to_vec()).unwrap_err();
    let e = Error::no_text(Path::new("x.toml"), &bytes).to_string();
    assert_eq!(e, "x.toml:2:2: expected text in UTF-8");
}

#[test]
fn ticks_and_netisrs_are_those_that_a_machine_can_have() {
    let machine = |line: &str| error("boot = [\"ifconfig carp0 create\"]", line);
    assert_eq!(machine("hz = 4294967295"), "x.toml:6:6: expected hz of a between 0 and 10000");
    for n in ["0", "257"] {
        let want = "x.toml:6:11: expected netisrs of a between 1 and 256";
        assert_eq!(machine(&format!("netisrs = {n}")), want);
    }
}

#[test]
fn clocks_go_and_none_comes_to_the_end_of_its_numbers() {
    let clock = |text: &str| error("run = \"sysctl net.inet.carp.preempt=1\"", text);
    for text in ["clock = { jump = \"213503d\" }", "clock = { ppm = 18446744073709551615 }"] {
        assert_eq!(clock(text), "x.toml:14:9: expected clocks that show less than 292 years");
    }
    assert_eq!(error("\"5s\"", "\"213503d\""), "x.toml:2:8: expected clocks that show less than 292 years");
    let still = "x.toml:14:17: expected a clock that goes: ppm of 1 or more";
    assert_eq!(clock("clock = { ppm = 0 }"), still);
}

/// What is wrong with the good one after each of these changes.
fn refused_all(cases: &[(&str, &str, &str)]) {
    for (from, to, want) in cases {
        let seen = error(from, to);
        assert!(seen.starts_with(&format!("x.toml:{want}")), "{to}:\n{seen}\n{want}");
    }
}

#[test]
fn what_is_not_within_the_run_is_refused() {
    const BY: &str = "by = \"4s\"";
    refused_all(&[
        ("time = \"1s\"", "time = \"5s\"", "12:8: expected a time before the end, which is at 5s, not 5s"),
        ("from = \"1s\"\nuntil = \"2s\"", "from = \"6s\"", "17:8: expected a time before the end"),
        ("until = \"2s\"", "until = \"1s\"", "18:9: expected a time after 1s, not 1s"),
        ("until = \"2s\"", "until = \"0.5s\"", "18:9: expected a time after 1s, not 500ms"),
        (BY, "by = \"5.1s\"", "23:6: expected a time until the end, which is at 5s, not 5.1s"),
        (BY, "after = \"5s\"\nwithin = \"1s\"", "23:9: expected a time before the end"),
        (BY, "from = \"5s\"", "23:8: expected a time before the end"),
        (BY, "from = \"1s\"\nuntil = \"6s\"", "24:9: expected a time until the end"),
        (BY, "from = \"2s\"\nuntil = \"2s\"", "24:9: expected a time after 2s, not 2s"),
        ("ping =", "until = \"0s\"\nping =", "10:9: expected a time after 0s, not 0s"),
        ("ping =", "from = \"5s\"\nping =", "10:8: expected a time before the end"),
        ("ping =", "interval = \"0s\"\nping =", "10:12: expected an interval of at least 1us"),
    ]);
    for to in ["by = \"5s\"", "from = \"4.9s\"\nuntil = \"5s\"", "after = \"4.9s\"\nwithin = \"1s\""] {
        Scenario::parse(Path::new("x.toml"), &GOOD.replace(BY, to)).unwrap();
    }
}

#[test]
fn what_would_be_overlooked_is_refused() {
    const STATE: &str = "machine = \"a\"\nstate = \"MASTER\"\nby = \"4s\"\n";
    const BY: &str = "by = \"4s\"";
    const RUN: &str = "run = \"sysctl net.inet.carp.preempt=1\"";
    const LOSS: &str = "lan = \"net0\"\nfrom = \"1s\"\nuntil = \"2s\"\nloss = 0.5\n";
    let down = |more: &str| {
        let fault = format!("machine = \"a\"\ninterface = \"em0\"\nfrom = \"1s\"\nlink_down = true\n{more}");
        error(LOSS, &fault)
    };
    assert!(down("only = \"arp\"\n").starts_with("x.toml:20:8: expected only beside a lan"));
    refused_all(&[
        (BY, "by = \"4s\"\nlan = \"net0\"", "24:7: expected no lan beside these: only machine, interface"),
        (BY, "by = \"4s\"\nwithin = \"1s\"", "24:10: expected no within beside these"),
        (BY, "by = \"4s\"\nuntil = \"4.5s\"", "24:9: expected no until beside these"),
        (BY, "by = \"4s\"\nping_loss_below = 2", "24:19: expected no ping_loss_below beside these"),
        (BY, "from = \"4s\"\nnot_within = \"1s\"", "24:14: expected no not_within beside these"),
        (BY, "by = \"4s\"\nfrom = \"3s\"", "21:11: expected a state, and one of"),
        (STATE, "two_masters_no_longer_than = \"1s\"\nstate = \"INIT\"", "22:9: expected no state beside"),
        (
            STATE,
            "two_masters_no_longer_than = \"1s\"\nby = \"1s\"",
            "22:6: expected no by beside these: only",
        ),
        (STATE, "client = \"c\"\nping_loss_below = 1\nvhid = 1", "23:8: expected no vhid beside these"),
        (STATE, "client = \"c\"\nping_loss_below = 1\nmachine = \"a\"", "20:1: expected one of: machine"),
        (STATE, "from = \"1s\"", "20:1: expected one of: machine and state; two_masters_no_longer_than"),
        (BY, "by = \"4s\"\nvhid = 0", "24:8: expected a vhid between 1 and 255"),
        (BY, "by = \"4s\"\nvhid = 256", "24:8: invalid value: integer `256`, expected u8"),
        (BY, "by = \"4s\"\ninterface = \"carp1\"", "24:13: expected an interface that a line of a makes"),
        ("carp0 create", "carp1 create", "21:11: expected an interface that a line of a makes"),
        (RUN, "power = \"crash\"\nfails = true", "15:9: expected fails beside a run"),
        (RUN, "power = \"crash\"\nmay_fail = true", "15:12: expected may_fail beside a run"),
        (
            "run =",
            "fails = true\nmay_fail = true\nrun =",
            "15:12: expected may_fail beside a run, and without",
        ),
        ("loss = 0.5", "loss = 0.5\ninterface = \"em0\"", "20:13: expected no interface"),
        (LOSS, "from = \"1s\"\nloss = 0.5\n", "15:1: expected a fault's lan, or its machine"),
        ("loss = 0.5", "loss = 0.5\nmachine = \"a\"", "15:1: expected a fault's lan, or its machine"),
        ("loss = 0.5", "partition = [[\"a\", \"c\"]]", "19:13: expected two parts or more"),
        ("loss = 0.5", "partition = [[\"a\"], [\"c\", \"a\"]]", "19:27: expected a in one part, and once"),
        ("loss = 0.5", "loss = -0.5", "16:7: expected shares between 0 and 1"),
    ]);
    for line in ["ifconfig carp create", "ifconfig carp7 create"] {
        let text =
            GOOD.replace(BY, "by = \"4s\"\ninterface = \"carp7\"").replace("ifconfig carp0 create", line);
        Scenario::parse(Path::new("x.toml"), &text).unwrap();
    }
}

#[test]
fn what_is_done_to_a_machine_finds_it_as_it_must_be() {
    const RUN: &str = "run = \"sysctl net.inet.carp.preempt=1\"";
    let then = |one: &str, other: &str| format!("{one}\n[[at]]\ntime = \"2s\"\nmachine = \"a\"\n{other}");
    let power = |what: &str| format!("power = \"{what}\"");
    let clock = "clock = { ppm = 900000 }";
    refused_all(&[
        (RUN, &then(&power("boot"), &power("boot")), "18:9: expected a to be off at 2s"),
        (RUN, &power("resume"), "14:9: expected a to be paused at 1s"),
        (RUN, &then(&power("pause"), &power("pause")), "18:9: expected a to be running at 2s"),
        (RUN, &then(&power("pause"), &power("boot")), "18:9: expected a to be off at 2s"),
        (RUN, &then(&power("halt"), &power("crash")), "18:9: expected a to be on at 2s"),
        (RUN, &then(&power("crash"), &power("halt")), "18:9: expected a to be on at 2s"),
        (RUN, &then(&power("crash"), clock), "18:9: expected a to be on at 2s"),
    ]);
    for (one, other) in [("pause", "resume"), ("pause", "crash"), ("halt", "boot")] {
        let text = GOOD.replace(RUN, &then(&power(one), &power(other)));
        Scenario::parse(Path::new("x.toml"), &text).unwrap();
    }
}

#[test]
fn names_are_letters_and_digits_and_each_is_of_one_thing() {
    let long = "x.toml:5:35: expected an interface's name of at most 15 letters, not \"em45678901234567\"";
    assert_eq!(error("{ em0 =", "{ em45678901234567 ="), long);
    let what = "expected a name of letters, digits, '-', '_' and '.', not";
    refused_all(&[
        ("{ em0 =", "{ \"\" =", &format!("5:21: {what} \"\"")),
        ("{ em0 =", "{ \"em/0\" =", &format!("5:25: {what} \"em/0\"")),
        ("[machine.a]", "[machine.\"evil\\u001b[31m\"]", &format!("4:1: {what} \"evil\\u{{1b}}[31m\"")),
        ("[lan.net0]", "[lan.net0]\n[lan.\"a b\"]", &format!("4:1: {what} \"a b\"")),
        ("[client.c]", "[client.\"\u{202e}\"]", &format!("7:1: {what} \"\\u{{202e}}\"")),
        ("[client.c]", "[client.a]", "7:1: expected a name of its own: there is a machine a"),
    ]);
}

#[test]
fn what_was_expected_is_said_and_what_stands_there_does_nothing_to_a_terminal() {
    const STATE: &str = "machine = \"a\"\nstate = \"MASTER\"\nby = \"4s\"\n";
    let loss = |below: &str| error(STATE, &format!("client = \"c\"\nping_loss_below = {below}\n"));
    let number = "expected a number of pings such as 10, or a share of them from 0.0 to 1.0";
    let wrong = [
        ("\"5%\"", "invalid type: string \"5%\""),
        ("-1", "invalid value: integer `-1`"),
        ("1.5", "invalid value: floating point `1.5`"),
        ("nan", "invalid value: floating point `NaN`"),
    ];
    for (below, why) in wrong {
        assert_eq!(loss(below), format!("x.toml:22:19: {why}, {number}"));
    }
    refused_all(&[
        (
            "\"10.0.0.9/24\"",
            "\"10.0.0.9\"",
            "9:11: expected an address with its prefix such as \"10.0.0.9/24\"",
        ),
        ("ping = \"10.0.0.2\"", "ping = \"b\"", "10:8: expected an address such as \"10.0.0.1\""),
        ("ping = \"10.0.0.2\"\n", "", "7:1: expected `ping`, which is not there"),
        (
            "time = \"5s\"",
            "time = \"5s\"\ntime = \"6s\"",
            "3:1: expected another key: this one is there already",
        ),
        ("time = \"5s\"\n", "", "1:1: expected `time`, which is not there"),
        (
            "run = \"sysctl",
            "\"wa\\u001blk\" = \"sysctl",
            "14:1: unknown field `wa\\u{1b}lk`, expected one of",
        ),
        ("\"MASTER\"", "\"\\u001b[31m\"", "22:9: unknown variant `\\u{1b}[31m`, expected one of `ABSENT`"),
        ("\"MASTER\"", "\"MASTER", "22:"),
    ]);
    let own = UCARP.replace("10.0.0.3/24", "10.0.0.3");
    let seen = Scenario::parse(Path::new("x.toml"), &own).unwrap_err().to_string();
    assert!(seen.starts_with("x.toml:7:17: expected an address with its prefix"), "{seen}");
    for c in error("title = \"t\"", "title = \"t\u{7}\n\"").chars() {
        assert!(!c.is_control(), "{c:?}");
    }
}
