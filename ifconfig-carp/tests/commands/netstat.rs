//! `netstat-carp`.

use crate::machine::Machine;
use crate::{Outcome, failure, run, success};
use compat::sys::ctlsock::{CtlType, Request};
use compat::sys::errno::Errno;
use libcarp::carpreq::CarpStats;
use zerocopy::IntoBytes;

/// The counters that have lines are 0, 1, 2 and so on in turn.
fn stats() -> CarpStats {
    CarpStats {
        carps_ipackets: 1,
        carps_ipackets6: 2,
        carps_badif: 100,
        carps_badttl: 1,
        carps_hdrops: 0,
        carps_badsum: 5,
        carps_badver: 1,
        carps_badlen: 7,
        carps_badauth: 8,
        carps_badvhid: 0,
        carps_badaddrs: 10,
        carps_opackets: u64::MAX,
        carps_opackets6: 1,
        carps_onomem: 13,
        carps_ostates: 100,
        carps_preempt: 100,
    }
}

fn machine() -> Machine {
    let mut m = Machine::default();
    m.sysctls.insert("net.inet.carp.stats", (CtlType::Opaque, stats().as_bytes().to_vec()));
    m
}

fn netstat(machine: &mut Machine, line: &str) -> Outcome {
    run(ifconfig_carp::netstat::run, machine, line)
}

const ALL: &str = "\
carp:
\t1 packet received (IPv4)
\t2 packets received (IPv6)
\t\t1 packet discarded for wrong TTL
\t\t0 packets shorter than header
\t\t5 discarded for bad checksums
\t\t1 discarded packet with a bad version
\t\t7 discarded because packet too short
\t\t8 discarded for bad authentication
\t\t0 discarded for bad vhid
\t\t10 discarded because of a bad address list
\t18446744073709551615 packets sent (IPv4)
\t1 packet sent (IPv6)
\t\t13 send failed due to mbuf memory error
";

#[test]
fn s_shows_all_lines_and_a_second_one_leaves_zeros_out() {
    assert_eq!(netstat(&mut machine(), "-s -p carp"), success(ALL));
    assert_eq!(netstat(&mut machine(), "-s"), success(ALL));
    let nonzero: String =
        ALL.lines().filter(|l| !l.starts_with("\t\t0 ")).map(|l| format!("{l}\n")).collect();
    assert_eq!(nonzero.lines().count(), 12);
    assert_eq!(netstat(&mut machine(), "-ss -p carp"), success(&nonzero));
    assert_eq!(netstat(&mut machine(), "-s -s -pcarp"), success(&nonzero));
}

#[test]
fn z_shows_the_counters_and_clears_them() {
    let mut m = machine();
    assert_eq!(netstat(&mut m, "-s -z -p carp"), success(ALL));
    assert_eq!(m.changes, [Request::sysctl("net.inet.carp.stats", &[0; 128])]);
    assert_eq!(netstat(&mut m, "-s -s -p carp"), success("carp:\n"));
    assert_eq!(m.changes.len(), 1, "without -z nothing is written");
}

#[test]
fn mistakes_and_refusals_are_one_line() {
    let mut m = machine();
    let expected = failure("netstat-carp: foo: unknown or uninstrumented protocol");
    assert_eq!(netstat(&mut m, "-s -p foo"), expected);
    assert_eq!(netstat(&mut m, "-p carp"), success("carp: no PCB routine\n"));
    assert_eq!(m.log, [""; 0]);
    m.refuse = Some(("net.inet.carp.stats", Errno::EPERM));
    let expected = failure("netstat-carp: sysctl: net.inet.carp.stats: Operation not permitted");
    assert_eq!(netstat(&mut m, "-s -z"), expected);
    m.refuse = None;
    m.sysctls.insert("net.inet.carp.stats", (CtlType::Opaque, vec![0; 100]));
    let expected = failure("netstat-carp: net.inet.carp.stats: netisrd's answer makes no sense");
    assert_eq!(netstat(&mut m, "-s"), expected);
    for line in ["", "-z", "-s foo", "-p"] {
        assert!(netstat(&mut m, line).stderr.starts_with("usage: netstat-carp "), "{line}");
    }
}
