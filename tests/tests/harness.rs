//! The laboratory itself: what the other tests stand on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::lab::{self, Frame, Needs, PATIENCE, Pinger, Ucarp, UcarpSetup, show_mac, virtual_mac};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
/// Makes [`a_test_that_only_hangs`] hang, holding a lock on this file.
const HANG: &str = "NETISRD_LAB_HANG";
/// Makes [`a_test_whose_capture_wants_reading`] have it read.
const READ: &str = "NETISRD_LAB_READ";

#[test]
fn two_ucarps_elect_one_master() {
    lab::run(Needs::namespaces().programs(&["ucarp", "ping"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let h1 = lab.host("u1", "br0", "10.77.0.1/24");
        let h2 = lab.host("u2", "br0", "10.77.0.2/24");
        let client = lab.host("c1", "br0", "10.77.0.9/24");
        let u1 = Ucarp::start(lab, &h1, &UcarpSetup::new(VIP, 0));
        u1.wait_state("MASTER");
        let u2 = Ucarp::start(lab, &h2, &UcarpSetup::new(VIP, 100));
        u2.wait_state("BACKUP");
        wire.wait_count(wire.mark(), 4, "advertisements of the master", |f| f.is_advert_of(h1.ip));
        assert_eq!((u1.state(), u2.state()), ("MASTER".into(), "BACKUP".into()));
        assert!(wire.frames().iter().all(|f| !f.is_advert_of(h2.ip)), "a backup is silent");
        for f in wire.frames().iter().filter(|f| f.advert().is_some()) {
            let a = f.advert().unwrap();
            assert_eq!((a.vhid, a.advbase, a.advskew), (1, 1, 0));
            assert_eq!(a.digest, lab::digest("secret", 1, &[VIP], a.counter));
        }
        assert_eq!(client.ping(VIP, 2), 2);
        assert_eq!(client.neighbour(VIP).map(show_mac), Some(show_mac(h1.mac)));

        let pinger = Pinger::start(&client, VIP, Duration::from_millis(10));
        pinger.wait_answer();
        let mark = wire.mark();
        u1.signal(Signal::SIGKILL);
        u1.proc.wait_exit(PATIENCE);
        // the address stays on a dead ucarp's host
        lab.ip_in(Some("u1"), "addr del 10.77.0.100/24 dev v0");
        u2.wait_state("MASTER");
        wire.wait_count(mark, 2, "advertisements of the successor", |f| f.is_advert_of(h2.ip));
        pinger.wait_answer();
        client.wait_neighbour(VIP, h2.mac);
        println!("longest gap: {:?}", pinger.longest_gap());
        wire.write_pcap(&lab.dir().join("two.pcap"));
        assert!(!u1.saw_bad_digest() && !u2.saw_bad_digest());
    });
}

#[test]
fn ucarp_yields_to_a_forged_better_advertisement_and_counts_a_bad_one() {
    lab::run(Needs::namespaces().programs(&["ucarp"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let host = lab.host("u1", "br0", "10.77.0.1/24");
        let ucarp = Ucarp::start(lab, &host, &UcarpSetup::new(VIP, 100));
        ucarp.wait_state("MASTER");
        let mut forge = lab::Forge::worse(Ipv4Addr::new(10, 77, 0, 3), "wrong", VIP);
        wire.inject(&forge.frame());
        ucarp.proc.log.wait_line(0, "a bad digest", PATIENCE, |l| l.contains("Bad digest"));
        assert_eq!(ucarp.state(), "MASTER");
        (forge.pass, forge.advskew) = ("secret", 0);
        let mark = wire.mark();
        wire.inject(&forge.frame());
        ucarp.wait_state("BACKUP");
        assert!(wire.since(mark).iter().any(|f| f.src() == virtual_mac(1)), "the wire sees what it sends");
    });
}

#[test]
fn whoever_asks_a_wire_knows_of_all_that_has_passed() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let asks = lab::arp_request([2, 0, 0, 0, 0, 1], VIP, VIP);
        for passed in 1..=1000 {
            wire.inject(&asks);
            assert_eq!(wire.mark(), passed);
        }
        assert_eq!(wire.since(0).len(), 1000);
    });
}

/// Were `tshark` to find fault with nothing, no laboratory's capture would tell
/// anything.
#[test]
fn tshark_finds_fault_with_what_is_damaged_and_with_nothing_else() {
    lab::run(Needs::namespaces().programs(&["tshark"]), |lab| {
        let (a, b) = ("fd77::1".parse().unwrap(), "fd77::2".parse().unwrap());
        let advert = lab::Forge::worse(Ipv4Addr::new(10, 77, 0, 3), "secret", VIP).frame();
        let solicit = lab::solicitation([2, 0, 0, 0, 0, 1], a, b);
        let echo = lab::echo_request6([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], a, b);
        let good = [advert, solicit, echo, lab::arp_request([2, 0, 0, 0, 0, 1], VIP, VIP)];
        let faults = |all: &[Vec<u8>]| {
            let frame = |bytes: &Vec<u8>| Frame {
                at: std::time::Instant::now(),
                stamp: Duration::from_secs(1),
                bytes: bytes.clone(),
            };
            lab::faults(&all.iter().map(frame).collect::<Vec<_>>(), lab.dir(), "selftest").unwrap()
        };
        assert_eq!(faults(&good), "");
        // an IP header's, an advertisement's, a solicitation's and an echo's sum
        for (which, at) in [(0, 24), (0, 40), (1, 56), (2, 56)] {
            let mut bad = good.clone();
            bad[which][at] ^= 1;
            let said = faults(&bad);
            assert_eq!(said.lines().count(), 1, "{which} {at}: {said}");
            assert!(said.starts_with(&format!("{}\t", which + 1)), "{which} {at}: {said}");
        }
        for which in 0..good.len() {
            let mut bad = good.clone();
            let len = bad[which].len();
            bad[which].truncate(len - 3);
            assert_eq!(faults(&bad).lines().count(), 1, "{which} cut short");
        }
    });
}

/// Not a test of its own: the next one starts it.
#[test]
fn a_test_whose_capture_wants_reading() {
    if env::var_os(READ).is_some() {
        assert_eq!(lab::faults(&[], &env::temp_dir(), "nothing"), None);
    }
}

#[test]
fn a_capture_that_tshark_cannot_read_fails_under_ci_and_is_said_to_be_skipped_elsewhere() {
    let without_tshark = |ci: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "a_test_whose_capture_wants_reading"]);
        let out = command.env(READ, "1").env("PATH", "/nonexistent").env("CI", ci).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (succeeds, said) = without_tshark("true");
    assert!(!succeeds && said.contains("CI must not skip, but no program tshark in PATH"), "{said}");
    let (succeeds, said) = without_tshark("");
    assert!(succeeds && said.contains("\nskipped: no program tshark in PATH"), "{said}");
}

#[test]
fn a_laboratory_has_nothing_of_the_outside() {
    lab::run(Needs::namespaces(), |lab| {
        let links = lab.ip("-o link show");
        assert_eq!(links.lines().count(), 1, "only lo: {links}");
        assert_eq!(std::process::id(), 1, "a process namespace of its own");
        assert_eq!(fs::read_dir("/run").unwrap().count(), 2, "/run has netns and lab only");
        lab.netns("n1");
        lab.veth((None, "a"), (Some("n1"), "b"));
        assert!(lab.has_link("a") && !lab.has_link("b"));
    });
}

/// Not a test of its own: the next two start it.
#[test]
fn a_test_that_only_hangs() {
    let Some(path) = env::var_os(HANG) else { return };
    lab::run(Needs::namespaces().programs(&["flock"]), move |_| {
        let mut holder = Command::new("flock");
        holder.arg(path).args(["sh", "-c", "echo locked; setsid sleep 600 & exec sleep 600"]);
        let holder = lab::Proc::spawn("holder", None, holder);
        holder.log.wait_line(0, "locked", PATIENCE, |l| l == "locked");
        println!("hanging");
        if env::var_os("NETISRD_LAB_PANIC").is_some() {
            std::mem::forget(holder);
            panic!("as told");
        }
        holder.wait_exit(Duration::from_secs(600));
    });
}

/// Starts the above in a process of its own and returns once nothing holds the
/// lock any more; whether that process succeeded.
fn with_a_hanging_test(panics: bool) -> bool {
    let path = env::temp_dir().join(format!("netisrd-lab-{}-{panics}", std::process::id()));
    let file = File::create(&path).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "a_test_that_only_hangs", "--nocapture"])
        .env(HANG, &path)
        .stdout(Stdio::piped());
    if panics {
        command.env("NETISRD_LAB_PANIC", "1").stderr(Stdio::null());
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.inspect(|l| println!("  {l}"));
    assert!(lines.any(|l| l.contains("hanging")), "the test that hangs did not get there");
    if !panics {
        child.kill().unwrap();
    }
    lines.for_each(drop);
    let success = child.wait().unwrap().success();
    // blocks as long as anything of that laboratory is alive
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    fs::remove_file(&path).unwrap();
    success
}

#[test]
fn nothing_survives_a_killed_test() {
    match Needs::namespaces().programs(&["flock", "setsid"]).check() {
        Ok(_) => assert!(!with_a_hanging_test(false)),
        Err(reason) => lab::skip(&reason),
    }
}

#[test]
fn a_panic_in_the_laboratory_fails_the_test_and_leaves_nothing() {
    match Needs::namespaces().programs(&["flock", "setsid"]).check() {
        Ok(_) => assert!(!with_a_hanging_test(true)),
        Err(reason) => lab::skip(&reason),
    }
}
