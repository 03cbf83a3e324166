//! Each test gives up the privileges of a thread of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::fs::{self, File};
use std::process::Command;
use std::thread;

fn alone<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    thread::scope(|s| s.spawn(f).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn filtered<T: Send>(later: &Later, f: impl FnOnce() -> T + Send) -> T {
    filtered_by(|| seccomp::restrict(later), f)
}

type Filtered = Result<Outcome, Box<dyn std::error::Error>>;

fn filtered_by<T: Send>(filter: impl FnOnce() -> Filtered + Send, f: impl FnOnce() -> T + Send) -> T {
    alone(|| {
        let outcome = filter().expect("a filter");
        assert!(matches!(outcome, Outcome::On(_)), "{outcome:?}");
        f()
    })
}

fn open_socket(family: AddressFamily) -> nix::Result<()> {
    socket(family, SockType::Datagram, SockFlag::empty(), None).map(drop)
}

fn run_a_program() -> io::Result<bool> {
    Command::new("true").status().map(|status| status.success())
}

#[test]
fn a_machine_can_start_threads_and_talk_to_the_kernel_and_nothing_else() {
    filtered(&Later::default(), || {
        assert_eq!(thread::Builder::new().name("one".into()).spawn(|| 7).unwrap().join().unwrap(), 7);
        assert_eq!(open_socket(AddressFamily::Netlink), Ok(()));
        mio::Poll::new().unwrap();
        for family in [AddressFamily::Inet, AddressFamily::Inet6, AddressFamily::Unix, AddressFamily::Packet]
        {
            assert_eq!(open_socket(family), Err(Errno::EPERM), "{family:?}");
        }
        assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(run_a_program().unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(nix::sys::signal::kill(nix::unistd::getppid(), None), Err(Errno::EPERM));
        assert_eq!(unshare(CloneFlags::CLONE_NEWUTS), Err(Errno::EPERM));
    });
}

#[test]
fn each_thing_that_is_switched_on_widens_the_filter_by_itself_alone() {
    let reads = Later { reads: vec!["/dev".into()], ..Later::default() };
    filtered(&reads, || {
        File::open("/dev/null").unwrap();
        assert_eq!(open_socket(AddressFamily::Unix), Err(Errno::EPERM));
        assert_eq!(run_a_program().unwrap_err().raw_os_error(), Some(libc::EPERM));
    });
    filtered(&Later { devices: true, ..Later::default() }, || {
        assert_eq!(open_socket(AddressFamily::Inet), Ok(()));
        File::open("/dev/null").unwrap();
        assert_eq!(run_a_program().unwrap_err().raw_os_error(), Some(libc::EPERM));
    });
    let tun = || File::options().read(true).write(true).open("/dev/net/tun");
    filtered(&Later { taps: true, ..Later::default() }, || {
        // What has no right or no tun here fails by itself; what the filter refuses is EPERM.
        let refused = |e: io::Error| assert_ne!(e.raw_os_error(), Some(libc::EPERM));
        tun().map(drop).unwrap_or_else(refused);
        File::open("/dev/null").unwrap();
        assert_eq!(open_socket(AddressFamily::Packet), Err(Errno::EPERM));
        assert_eq!(run_a_program().unwrap_err().raw_os_error(), Some(libc::EPERM));
    });
    let ours = caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap();
    filtered(&Later { interfaces: true, ..Later::default() }, || {
        // Refused, if it is, for want of rights and not by the filter.
        assert_eq!(open_socket(AddressFamily::Packet).is_ok(), ours);
        assert_eq!(open_socket(AddressFamily::Inet), Err(Errno::EPERM));
        assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(libc::EPERM));
    });
    let mut child = Command::new("true").spawn().unwrap();
    filtered(&Later { child: true, ..Later::default() }, || {
        assert!(child.wait().unwrap().success());
        assert_eq!(run_a_program().unwrap_err().raw_os_error(), Some(libc::EPERM));
    });
    filtered_by(seccomp::restrict_programs, || {
        assert!(run_a_program().unwrap());
        assert_eq!(unshare(CloneFlags::CLONE_NEWUTS), Err(Errno::EPERM));
    });
}

#[test]
fn only_files_that_are_named_are_reached() {
    let dir = std::env::temp_dir().join(format!("privilege-{}", std::process::id()));
    let [read, clean, other] = ["read", "clean", "other"].map(|name| dir.join(name));
    for folder in [&read, &clean, &other] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
    }
    let later = Later { reads: vec![read.clone()], cleans: vec![clean.clone()], ..Later::default() };
    let (outcome, seen) = alone(|| {
        let outcome = landlock::restrict(&later).unwrap();
        let seen = [
            fs::read(read.join("file")).is_ok(),
            fs::read_dir(&read).is_ok(),
            fs::write(read.join("file"), "y").is_ok(),
            fs::read(other.join("file")).is_ok(),
            fs::remove_file(other.join("file")).is_ok(),
            fs::read(clean.join("file")).is_ok(),
            fs::remove_file(clean.join("file")).is_ok(),
        ];
        (outcome, seen)
    });
    let written = alone(|| {
        let outcome = landlock::restrict(&Later { writes: vec![other.clone()], ..later.clone() }).unwrap();
        let new = fs::write(other.join("new"), "z").is_ok();
        (outcome, fs::write(other.join("file"), "z").is_ok(), new)
    });
    let missing = Later { reads: vec![dir.join("missing")], ..Later::default() };
    assert!(alone(|| landlock::restrict(&missing).map_err(|e| e.to_string())).is_err());
    fs::remove_dir_all(&dir).unwrap();
    match outcome {
        Outcome::On(_) => {
            assert_eq!(seen, [true, false, false, false, false, false, true]);
            assert!(matches!(written, (Outcome::On(_), true, false)), "{written:?}");
        }
        // Off is off.
        Outcome::Off(why) => {
            assert_eq!(why, "this kernel has none");
            assert_eq!(seen, [true; 7]);
            assert_eq!(written, (Outcome::Off(why), true, true));
        }
    }
}

#[test]
fn two_capabilities_are_left_at_most_and_programs_get_no_more() {
    for programs in [CapsHashSet::new(), KEPT.into_iter().collect()] {
        alone(|| {
            let had = caps::read(None, CapSet::Permitted).unwrap();
            let may_bound = had.contains(&Capability::CAP_SETPCAP);
            let kept: CapsHashSet = had.into_iter().filter(|c| KEPT.contains(c)).collect();
            let outcome = lower_caps(&programs).unwrap();
            let now = |set| caps::read(None, set).unwrap();
            assert_eq!(now(CapSet::Permitted), kept);
            assert_eq!(now(CapSet::Effective), kept);
            assert!(now(CapSet::Inheritable).is_empty());
            assert!(now(CapSet::Ambient).is_empty());
            let bound: CapsHashSet = kept.intersection(&programs).copied().collect();
            let how = if may_bound { named(&bound) } else { "left as it was (no CAP_SETPCAP)".to_owned() };
            assert_eq!(outcome, Outcome::On(format!("{}; bounding set: {how}", named(&kept))));
            assert!(!may_bound || now(CapSet::Bounding) == bound);
        });
    }
}
