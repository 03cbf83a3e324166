//! `sysctl-carp`.

use crate::machine::Machine;
use crate::{Outcome, failure, run, success};
use compat::sys::ctlsock::CtlType;
use compat::sys::errno::Errno;

fn machine() -> Machine {
    let mut m = Machine::default();
    for (name, value) in [
        ("net.inet.carp.allow", 1),
        ("net.inet.carp.preempt", 0),
        ("net.inet.carp.suppress_preempt", 0),
        ("net.inet.carpet", 9),
        ("kern.negative", -5),
    ] {
        m.sysctls.insert(name, (CtlType::Int, i32::to_ne_bytes(value).to_vec()));
    }
    m.sysctls.insert("kern.ostype", (CtlType::String, b"DragonFly\0".to_vec()));
    m.sysctls.insert("net.inet.carp.stats", (CtlType::Opaque, (0..128).collect()));
    m.refuse_set = Some(("net.inet.carp.suppress_preempt", Errno::EPERM));
    m
}

fn sysctl(machine: &mut Machine, line: &str) -> Outcome {
    run(ifconfig_carp::sysctl::run, machine, line)
}

#[test]
fn values_are_shown_with_their_names_or_without() {
    let mut m = machine();
    assert_eq!(sysctl(&mut m, "net.inet.carp.preempt"), success("net.inet.carp.preempt: 0\n"));
    assert_eq!(m.log, ["sysctl net.inet.carp.preempt []"]);
    assert_eq!(sysctl(&mut m, "-n net.inet.carp.preempt kern.negative"), success("0\n-5\n"));
    assert_eq!(sysctl(&mut m, "-N net.inet.carp.preempt"), success("net.inet.carp.preempt\n"));
    assert_eq!(sysctl(&mut m, "-e kern.ostype"), success("kern.ostype=DragonFly\n"));
}

#[test]
fn setting_shows_what_was_and_what_is() {
    let mut m = machine();
    assert_eq!(sysctl(&mut m, "net.inet.carp.preempt=1"), success("net.inet.carp.preempt: 0 -> 1\n"));
    let expected = [
        "sysctl net.inet.carp.preempt []".to_owned(),
        format!("sysctl net.inet.carp.preempt {:?}", 1i32.to_ne_bytes()),
        "sysctl net.inet.carp.preempt []".to_owned(),
    ];
    assert_eq!(m.log, expected);
    assert_eq!(sysctl(&mut m, "-n net.inet.carp.preempt=-0x10"), success("1 -> -16\n"));
    assert_eq!(sysctl(&mut m, "-w kern.ostype=x"), success("kern.ostype: DragonFly -> x\n"));
}

#[test]
fn a_prefix_shows_what_is_under_it_and_a_all() {
    let carp = "net.inet.carp.allow: 1\nnet.inet.carp.preempt: 0\nnet.inet.carp.suppress_preempt: 0\n";
    assert_eq!(sysctl(&mut machine(), "net.inet.carp"), success(carp));
    let kern = "kern.negative: -5\nkern.ostype: DragonFly\n";
    assert_eq!(sysctl(&mut machine(), "-a"), success(&format!("{kern}{carp}net.inet.carpet: 9\n")));
    assert_eq!(sysctl(&mut machine(), "-aN kern"), success("kern.negative\nkern.ostype\n"));
}

#[test]
fn opaque_values_are_shown_on_demand() {
    let mut m = machine();
    assert_eq!(sysctl(&mut m, "net.inet.carp.stats"), success(""));
    let sixteen = "000102030405060708090a0b0c0d0e0f";
    let expected = format!("net.inet.carp.stats: Format:S Length:128 Dump:0x{sixteen}...\n");
    assert_eq!(sysctl(&mut m, "-o net.inet.carp.stats"), success(&expected));
    assert!(sysctl(&mut m, "-A").stdout.contains(&expected));
    let whole: String = (0..128).map(|b| format!("{b:02x}")).collect();
    let expected = success(&format!("Format:S Length:128 Dump:0x{whole}\n"));
    assert_eq!(sysctl(&mut m, "-xn net.inet.carp.stats"), expected);
}

#[test]
fn each_mistake_is_one_line_and_sets_nothing() {
    for (line, text) in [
        ("net.foo", "unknown oid 'net.foo'"),
        ("net.foo=1", "unknown oid 'net.foo'"),
        ("net.inet.carp.", "unknown oid 'net.inet.carp.'"),
        ("=1", "unknown oid ''"),
        ("net.inet.carp=1", "oid 'net.inet.carp' isn't a leaf node"),
        ("net.inet.carp.preempt=x", "invalid integer 'x'"),
        ("net.inet.carp.preempt=", "invalid integer ''"),
        ("net.inet.carp.preempt=1x", "invalid integer '1x'"),
        ("net.inet.carp.preempt=0x", "invalid integer '0x'"),
        ("net.inet.carp.preempt=--1", "invalid integer '--1'"),
        ("net.inet.carp.preempt=2147483648", "invalid integer '2147483648'"),
        ("net.inet.carp.preempt=99999999999999999999", "invalid integer '99999999999999999999'"),
        ("net.inet.carp.stats=1", "oid 'net.inet.carp.stats' is type 5, cannot set that"),
        ("kern.ostype=", "kern.ostype: empty value"),
    ] {
        let mut m = machine();
        assert_eq!(sysctl(&mut m, line), failure(&format!("sysctl-carp: {text}")), "{line}");
        assert_eq!(m.changes, [], "{line}");
    }
    let expected = failure("sysctl-carp: net.inet.carp.suppress_preempt: Operation not permitted");
    assert_eq!(sysctl(&mut machine(), "net.inet.carp.suppress_preempt=1"), expected);
}

#[test]
fn the_ends_of_the_range_are_integers() {
    let expected = success("net.inet.carp.preempt: 0 -> -2147483648\n");
    assert_eq!(sysctl(&mut machine(), "net.inet.carp.preempt=-2147483648"), expected);
    let expected = success("net.inet.carp.preempt: 0 -> 2147483647\n");
    assert_eq!(sysctl(&mut machine(), "net.inet.carp.preempt=0x7fffffff"), expected);
}

#[test]
fn a_demotion_goes_up_and_down_by_what_is_typed() {
    let mut m = machine();
    let name = "net.inet.carp.demotion";
    m.sysctls.insert(name, (CtlType::Int, vec![0; 4]));
    assert_eq!(sysctl(&mut m, &format!("{name}=240")), success(&format!("{name}: 0 -> 240\n")));
    // The machine adds; this one stores.
    assert_eq!(sysctl(&mut m, &format!("{name}=-240")), success(&format!("{name}: 240 -> -240\n")));
    let sent: Vec<&[u8]> = m.changes.iter().map(|r| r.data.as_slice()).collect();
    assert_eq!(sent, [240i32.to_ne_bytes(), (-240i32).to_ne_bytes()]);
}

#[test]
fn what_is_wrong_with_one_word_does_not_stop_the_others() {
    let expected = Outcome {
        status: 1,
        stdout: "net.inet.carp.preempt: 0 -> 1\nkern.ostype: DragonFly\n".into(),
        stderr: "sysctl-carp: unknown oid 'a'\nsysctl-carp: unknown oid 'b'\n".into(),
    };
    assert_eq!(sysctl(&mut machine(), "a net.inet.carp.preempt=1 b kern.ostype"), expected);
    assert_eq!(sysctl(&mut machine(), "-i a"), success(""));
    let silent = Outcome { status: 1, stdout: String::new(), stderr: String::new() };
    assert_eq!(sysctl(&mut machine(), "-q a"), silent);
}

#[test]
fn options_that_make_no_sense_get_the_usage_text() {
    for line in ["", "-n", "-n -N a", "-Z"] {
        let outcome = sysctl(&mut machine(), line);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{line}");
        assert!(outcome.stderr.starts_with("usage: sysctl-carp "), "{line}");
    }
}
