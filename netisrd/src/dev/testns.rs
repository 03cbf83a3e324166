//! What the device tests share: a network namespace of their own, frames, and
//! waiting with a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Device, RxQueue};
use mio::unix::SourceFd;
use nix::errno::Errno as Linux;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const INSIDE: &str = "NETISRD_TEST_NAMESPACE";
const UNSHARE: [&str; 6] = ["-Urnm", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `body` in a process of its own, in namespaces of its own, and asserts
/// that it passed there. `module` is the caller's `module_path!()`.
pub(crate) fn in_namespace(module: &str, test: &str, body: impl FnOnce()) {
    in_namespace_after(":", module, test, body);
}

/// [`in_namespace`], where the shell commands `prepare` run first and `body`
/// then has no rights over that namespace.
pub(crate) fn without_rights(prepare: &str, module: &str, test: &str, body: impl FnOnce()) {
    in_namespace_after(&format!("{prepare}; set -- unshare --user -- \"$@\""), module, test, body);
}

fn in_namespace_after(prepare: &str, module: &str, test: &str, body: impl FnOnce()) {
    let path = module.split_once("::").map_or(module, |(_, path)| path);
    let name = format!("{path}::{test}");
    if std::env::var(INSIDE).as_deref() == Ok(name.as_str()) {
        return body();
    }
    if let Some(reason) = cannot_run(path.contains("tap::")) {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI must not skip: {reason}");
        // Not by a macro of printing: libtest would keep it to itself.
        let _ = writeln!(std::io::stderr(), "skipped: {name}: {reason}");
        return;
    }
    let out = Command::new("unshare")
        .args(UNSHARE)
        .args(["sh", "-ec", &format!("{prepare}; exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(INSIDE, &name)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&out.stdout);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && stdout.contains("1 passed"), "in the namespace:\n{stdout}\n{stderr}");
    // A measurement is read from here.
    stdout.lines().filter(|line| line.contains("ns per")).for_each(|line| println!("{line}"));
}

/// Why a test cannot run here: no namespaces, or a tun device that this user
/// may not open where one is needed.
fn cannot_run(needs_tun: bool) -> Option<&'static str> {
    let probe = if needs_tun { ": <>/dev/net/tun" } else { ":" };
    let succeeds = |mut c: Command| c.stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    let inside = |script: &str| {
        let mut c = Command::new("unshare");
        c.args(UNSHARE).args(["sh", "-c", script]);
        c
    };
    if !succeeds(inside(":")) {
        Some("unshare gives no namespaces")
    } else if !succeeds(inside(probe)) {
        Some("/dev/net/tun cannot be opened")
    } else {
        None
    }
}

/// `ip` with these arguments, which succeeds.
pub(crate) fn ip(args: &str) {
    let out = Command::new("ip").args(args.split(' ')).output().expect("ip of iproute2");
    assert!(out.status.success(), "ip {args}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Waits until the queue has something to say.
pub(crate) fn wait_readable(queue: &dyn RxQueue, until: Instant) {
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let mut fds = [PollFd::new(queue.poll_fd().unwrap(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap()) {
            Err(Linux::EINTR) => {}
            Ok(0) => panic!("nothing to read"),
            other => return assert_eq!(other, Ok(1)),
        }
    }
}

/// Every frame a queue hands over until `last` is there, `last` with them.
pub(crate) fn frames_until(queue: &mut dyn RxQueue, last: &[u8]) -> Vec<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut frames: Vec<Vec<u8>> = Vec::new();
    while !frames.iter().any(|f| f == last) {
        wait_readable(queue, until);
        while queue.receive(8, &mut |f| frames.push(f.to_vec())).unwrap() == 8 {}
    }
    frames
}

/// Receives as a netisr does, woken by mio's edges alone, until the queue is dead.
pub(crate) fn error_of(queue: &mut dyn RxQueue) -> std::io::Error {
    let mut poll = mio::Poll::new().unwrap();
    let fd = queue.poll_fd().unwrap().as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(4);
    loop {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "no event for a dead queue");
        loop {
            match queue.receive(8, &mut |_| {}) {
                Ok(8) => {}
                Ok(_) => break,
                Err(e) => return e,
            }
        }
    }
}

/// `dst` from `src` as an Ethernet frame of `ethertype`, at least 60 bytes.
pub(crate) fn ether(dst: [u8; 6], src: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = Vec::from_iter(dst.into_iter().chain(src).chain(ethertype.to_be_bytes()));
    f.extend(payload);
    f.resize(f.len().max(60), 0);
    f
}

pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const CARP_GROUP: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
pub(crate) const VIRTUAL: [u8; 6] = [0x00, 0x00, 0x5e, 0x00, 0x01, 0x07];
pub(crate) const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0xee];

/// An ARP request from `src`; `n` makes it its own.
pub(crate) fn arp(dst: [u8; 6], src: [u8; 6], n: u8) -> Vec<u8> {
    let mut p = vec![0, 1, 8, 0, 6, 4, 0, 1];
    p.extend(src);
    p.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, n]);
    ether(dst, src, 0x0806, &p)
}

/// An IPv4 packet of `proto` between documentation addresses; `n` as above.
pub(crate) fn ipv4(dst: [u8; 6], src: [u8; 6], proto: u8, n: u8) -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 46, 0, n, 0x40, 0, 255, proto, 0, 0];
    p.extend([192, 0, 2, 1, 192, 0, 2, n]);
    // A bridge with bridge-nf-call-iptables drops a bad header checksum and
    // cuts what is beyond the length.
    let sum: u32 = p.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    p.extend([n; 26]);
    ether(dst, src, 0x0800, &p)
}

/// An IPv6 packet of `next` whose payload begins with `first`.
pub(crate) fn ipv6(dst: [u8; 6], src: [u8; 6], next: u8, first: u8) -> Vec<u8> {
    let mut p = vec![0x60, 0, 0, 0, 0, 24, next, 255];
    p.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    p.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
    p.push(first);
    p.extend([0; 23]);
    ether(dst, src, 0x86dd, &p)
}

/// The frame with VLAN 5's tag.
pub(crate) fn tagged(frame: &[u8]) -> Vec<u8> {
    let mut f = frame[..12].to_vec();
    f.extend([0x81, 0x00, 0, 5]);
    f.extend(&frame[12..]);
    f
}

/// The only queue of a device.
pub(crate) fn rx(device: &mut Device) -> &mut dyn RxQueue {
    device.rx.first_mut().unwrap().as_mut()
}
