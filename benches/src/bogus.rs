//! Frames of protocol 112 that no peer has sent, more of them than any network
//! has: what they cost, and how late the master's own advertisements get.
//!
//! ```text
//!   barrage, recorder  n ── v0  netisrd
//!                      u ── v0  ucarp
//!                      k ── v0  keepalived, which is sent VRRP's
//! ```
//!
//! Each has a cable of its own, and all run all the time; one after the other is
//! under fire. The cost is the program's own time, user and kernel: what the kernel
//! does to hand a frame on is the sender's.

use crate::barrage::Barrage;
use crate::figures::emit;
use crate::keepalived::{self, Keepalived, Setup};
use crate::lab::{self, Forge, Host, Lab, N1, Netisrd, PATIENCE, VIP, checksum, ethernet, ipv4, within};
use crate::section::progress;
use crate::served::wait_serves;
use crate::stats::interval_ms;
use crate::usage::Usage;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Capture, Direction};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Frames a second.
pub(crate) const RATE: u32 = 200_000;
/// Milliseconds after which the recorder looks whether it is to end.
const LOOK: u8 = 50;

const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 0x12];
const GROUP_ADDR: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const PASS: &str = "wrong";
/// What nobody here has.
const OTHER_VHID: u8 = 77;

/// Who is under fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Netisrd,
    Ucarp,
    Keepalived,
}

impl Who {
    pub(crate) const ALL: [Who; 3] = [Who::Netisrd, Who::Ucarp, Who::Keepalived];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Netisrd => "netisrd",
            Who::Ucarp => "ucarp",
            Who::Keepalived => keepalived::NAME,
        }
    }

    /// Milliseconds between its advertisements: ours often, so that there are more
    /// of them to be late.
    fn interval_ms(self) -> f64 {
        match self {
            Who::Netisrd => interval_ms(1, 0, ADVSKEW),
            Who::Ucarp | Who::Keepalived => 1000.0,
        }
    }

    /// The frames: a quarter each with a digest that is wrong, of another vhid, with
    /// a TTL that a router has lowered, and of a version that there is not.
    fn frames(self) -> Vec<Vec<u8>> {
        (0..128)
            .flat_map(|n| [(1, 255, 2), (OTHER_VHID, 255, 2), (1, 64, 2), (1, 255, 7)].map(|kind| (n, kind)))
            .map(|(n, (vhid, ttl, version))| match self {
                Who::Keepalived => vrrp(vhid, ttl, version),
                Who::Netisrd | Who::Ucarp => carp(vhid, ttl, version, n),
            })
            .collect()
    }
}

const ADVSKEW: u8 = 25;

fn carp(vhid: u8, ttl: u8, version: u8, counter: u64) -> Vec<u8> {
    let forged = Forge { vhid, counter, ..Forge::worse(STRANGER, PASS, VIP) };
    let mut body = forged.frame()[34..].to_vec();
    finish(&mut body, vhid, ttl, version)
}

/// VRRP's: its password is in it as it is.
fn vrrp(vhid: u8, ttl: u8, version: u8) -> Vec<u8> {
    let mut body = vec![0, vhid, 1, 1, 1, 1, 0, 0];
    body.extend(VIP.octets());
    body.extend(PASS.bytes().chain([0; 8]).take(8));
    finish(&mut body, vhid, ttl, version)
}

/// With the version, the sum and the headers.
fn finish(body: &mut [u8], vhid: u8, ttl: u8, version: u8) -> Vec<u8> {
    (body[0], body[6], body[7]) = (version << 4 | 1, 0, 0);
    let sum = checksum(body).to_be_bytes();
    body[6..8].copy_from_slice(&sum);
    ethernet(GROUP, lab::virtual_mac(vhid), 0x0800, &ipv4(STRANGER, GROUP_ADDR, 112, ttl, body))
}

/// A program, and its cable.
struct Target {
    who: Who,
    cable: String,
    daemon: Daemon,
}

enum Daemon {
    Netisrd(Netisrd),
    Ucarp(Child),
    Keepalived(Keepalived),
}

impl Target {
    fn start(lab: &Lab, who: Who) -> Target {
        let ns = who.name();
        let cable = format!("c-{ns}");
        lab.netns(ns);
        lab.veth((None, &cable), (Some(ns), "v0"));
        lab.ip_in(Some(ns), &format!("addr add {N1}/24 dev v0"));
        let host = Host { ns: ns.to_owned(), ip: N1, mac: [0; 6] };
        let daemon = match who {
            Who::Netisrd => {
                // as it is: `start` makes it write more
                let it = lab.netisrd(ns).netns(ns).args(&["-i", "v0"]).spawn();
                it.wait_ready();
                it.sysctl("net.inet.carp.preempt=1");
                it.carp("carp0", &format!("vhid 1 advbase 0 advskew {ADVSKEW} pass secret {VIP}/24"));
                wait_serves(&host, VIP);
                Daemon::Netisrd(it)
            }
            Who::Ucarp => Daemon::Ucarp(within(Some(ns), || ucarp().spawn().expect("ucarp"))),
            Who::Keepalived => {
                let it = Keepalived::start(lab, &host, Setup { vrid: 1, priority: 254, addr: VIP });
                wait_serves(&host, VIP);
                Daemon::Keepalived(it)
            }
        };
        Target { who, cable, daemon }
    }

    fn pids(&self) -> Vec<i32> {
        match &self.daemon {
            Daemon::Netisrd(it) => vec![it.proc.pid()],
            Daemon::Ucarp(it) => vec![it.id() as i32],
            Daemon::Keepalived(it) => it.pids(),
        }
    }
}

fn ucarp() -> Command {
    let mut command = Command::new("ucarp");
    command.args(["--interface=v0", "--pass=secret", "--advbase=1", "--advskew=0", "--vhid=1", "--preempt"]);
    command.arg(format!("--srcip={N1}")).arg(format!("--addr={VIP}"));
    // a line for each bad frame: its reader is not what is measured
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Target {
    /// The kernel's stamps, in seconds, of what the program advertises meanwhile.
    fn advertisements(&self, meanwhile: impl FnOnce()) -> Vec<f64> {
        let capture = Capture::from_device(self.cable.as_str()).and_then(|c| {
            // the kernel looks at each frame of the barrage too, and hands on none
            let mut c = c.immediate_mode(true).open()?.setnonblock()?;
            c.direction(Direction::In)?;
            c.filter(&format!("ip proto 112 and src host {N1}"), true)?;
            Ok(c)
        });
        let mut capture = capture.unwrap_or_else(|e| panic!("capture on {}: {e}", self.cable));
        let over = AtomicBool::new(false);
        let record = || {
            let mut stamps = Vec::new();
            loop {
                match capture.next_packet() {
                    Ok(p) => stamps.push(p.header.ts.tv_sec as f64 + p.header.ts.tv_usec as f64 / 1e6),
                    Err(pcap::Error::TimeoutExpired) if over.load(Ordering::Acquire) => return stamps,
                    Err(pcap::Error::TimeoutExpired) => {
                        let mut fds = [PollFd::new(capture.as_fd(), PollFlags::POLLIN)];
                        let _ = poll(&mut fds, PollTimeout::from(LOOK));
                    }
                    Err(e) => panic!("capture on {}: {e}", self.cable),
                }
            }
        };
        thread::scope(|s| {
            let recorder = s.spawn(record);
            meanwhile();
            over.store(true, Ordering::Release);
            recorder.join().expect("the recorder does not panic")
        })
    }

    /// Waits until it advertises, which only a MASTER does.
    fn wait_master(&self) {
        let until = Instant::now() + PATIENCE;
        while self.advertisements(|| thread::sleep(Duration::from_secs(1))).is_empty() {
            assert!(Instant::now() < until, "{} does not advertise", self.who.name());
        }
    }

    /// Milliseconds that each of these came later after the one before than it
    /// should have.
    fn late(&self, stamps: &[f64]) -> Vec<f64> {
        let gaps = stamps.windows(2).map(|w| (w[1] - w[0]) * 1e3);
        gaps.map(|gap| (gap - self.who.interval_ms()).max(0.0)).collect()
    }

    /// Frames that it has taken so far, if it tells.
    fn taken(&self) -> Option<f64> {
        match &self.daemon {
            Daemon::Netisrd(it) => Some(it.stats().ipackets as f64),
            Daemon::Ucarp(_) | Daemon::Keepalived(_) => None,
        }
    }

    /// Fires at it; how late its advertisements were.
    fn under_fire(&self, barrage: &Barrage, time: Duration) -> Vec<f64> {
        let name = self.who.name();
        let used = || Usage::of(&self.pids()).expect("a process that runs").cpu;
        let (before, taken) = (used(), self.taken());
        let mut sent = None;
        let stamps = self.advertisements(|| sent = Some(barrage.fire(RATE, time)));
        let sent = sent.expect("it was fired");
        let frames = sent.frames as f64;
        let ns = (used() - before) * 1e9 / frames;
        let rate = frames / sent.time.as_secs_f64();
        emit(&format!("{name}.ns"), ns);
        emit(&format!("{name}.rate"), rate);
        if let Some((before, after)) = taken.zip(self.taken()) {
            // another vhid's are not CARP's to count
            let share = (after - before) / (frames * 3.0 / 4.0);
            emit(&format!("{name}.taken"), share);
            progress(&format!("{name}: {:.0} per cent of its vhid's frames judged", share * 100.0));
        }
        let late = self.late(&stamps);
        let worst = late.iter().copied().reduce(f64::max);
        let worst = worst.map_or_else(|| "not heard".to_owned(), |ms| format!("{ms:.2} ms late"));
        progress(&format!("{name}: {rate:.0} frames a second, {ns:.0} ns a frame, {worst}"));
        emit(
            &format!("{name}.adverts"),
            stamps.len() as f64 / (sent.time.as_secs_f64() * 1e3 / self.who.interval_ms()),
        );
        late
    }
}

pub(crate) fn measure(lab: &Lab, quick: bool) {
    let (rounds, time) = if quick { (1, Duration::from_secs(2)) } else { (3, Duration::from_secs(5)) };
    let there =
        Who::ALL.into_iter().filter(|who| lab::find_program(who.name()).is_some() || *who == Who::Netisrd);
    let targets: Vec<_> = there.map(|who| Target::start(lab, who)).collect();
    targets.iter().for_each(Target::wait_master);
    let barrages: Vec<_> = targets.iter().map(|t| Barrage::new(&t.cable, t.who.frames())).collect();
    let mut late: Vec<Vec<f64>> = vec![Vec::new(); targets.len()];
    for _ in 0..rounds {
        for ((target, barrage), late) in targets.iter().zip(&barrages).zip(&mut late) {
            late.extend(target.under_fire(barrage, time));
            if let Daemon::Netisrd(it) = &target.daemon {
                emit("netisrd.master", f64::from(u8::from(it.state("carp0") == "MASTER")));
            }
        }
        // and nobody under fire, for what the machine itself makes late
        if let Some(target) = targets.first() {
            let stamps = target.advertisements(|| thread::sleep(time / 2));
            target
                .late(&stamps)
                .into_iter()
                .reduce(f64::max)
                .into_iter()
                .for_each(|ms| emit("netisrd.quiet", ms));
        }
    }
    for (target, late) in targets.iter().zip(&mut late) {
        let name = target.who.name();
        late.sort_by(f64::total_cmp);
        // one that was silent has none
        if let Some(worst) = late.last() {
            emit(&format!("{name}.late.max"), *worst);
            emit(&format!("{name}.late.p99"), late[(late.len() * 99 / 100).min(late.len() - 1)]);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Daemon::Ucarp(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
