#![allow(clippy::unwrap_used)]

use super::*;

const GOOD: &str = r#"title = "t"
time = "5s"
[lan.net0]
[machine.a]
interfaces = { em0 = "net0" }
boot = ["ifconfig em0 10.0.0.2/24"]
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
        ("[lan.net0]", "", "x.toml: expected at least one [lan.NAME]"),
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
            "{ em0",
            "{ \"em%d\"",
            "x.toml:5:25: expected a name that an interface of Linux can have, not \"em%d\"",
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
fn a_file_that_is_not_there_is_named() {
    let e = Scenario::read(Path::new("/nowhere/x.toml")).unwrap_err().to_string();
    assert!(e.starts_with("/nowhere/x.toml: No such file"), "{e}");
}

#[test]
fn ticks_and_netisrs_are_those_that_a_machine_can_have() {
    let machine = |line: &str| error("boot = [\"ifconfig em0 10.0.0.2/24\"]", line);
    assert_eq!(machine("hz = 4294967295"), "x.toml: expected hz of a between 0 and 10000");
    for n in ["0", "257"] {
        assert_eq!(machine(&format!("netisrs = {n}")), "x.toml: expected netisrs of a between 1 and 256");
    }
}

#[test]
fn no_clock_comes_to_the_end_of_its_numbers() {
    let clock = |text: &str| error("run = \"sysctl net.inet.carp.preempt=1\"", text);
    for text in ["clock = { jump = \"213503d\" }", "clock = { ppm = 18446744073709551615 }"] {
        assert_eq!(clock(text), "x.toml: expected clocks that show less than 292 years");
    }
    assert!(error("\"5s\"", "\"213503d\"").ends_with("less than 292 years"));
}
