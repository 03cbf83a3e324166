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
