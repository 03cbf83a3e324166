//! 255 vhids on one segment, all of them MASTER on one node and BACKUP on the
//! other.

use crate::figures::emit;
use crate::lab::{Host, Lab, N1, N2, PATIENCE, Wire, within};
use crate::section::progress;
use crate::usage::Usage;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Processes started before the next are waited for: ucarp opens its capture
/// at its start, and does that under a lock of the kernel.
const BATCH: u8 = 32;

/// netisrd: one process per node.
pub(crate) fn ours(lab: &Lab, quick: bool) {
    lab.bridge("br0");
    let wire = lab.wire("br0");
    let [first, second] = [("m1", "em0", N1, 0), ("m2", "em1", N2, 100)].map(|(name, dev, ip, advskew)| {
        let machine = lab.netisrd(name).tap(&format!("{dev}@br0")).start();
        machine.ifconfig(&format!("{dev} {ip}/16")).ok();
        if advskew == 0 {
            machine.sysctl("net.inet.carp.preempt=1");
        }
        let from = Instant::now();
        for vhid in 1..=255 {
            let words = format!("vhid {vhid} advskew {advskew} pass secret 10.77.1.{vhid}/16");
            machine.carp(&format!("carp{vhid}"), &words);
        }
        progress(&format!("{name} has 255 vhids after {:.1} s", from.elapsed().as_secs_f64()));
        machine
    });
    measure(lab, wire, quick, &[first.proc.pid()], &[second.proc.pid()]);
}

/// ucarp: 255 processes per node.
pub(crate) fn theirs(lab: &Lab, quick: bool) {
    lab.bridge("br0");
    let wire = lab.wire("br0");
    let first = Herd::start(&lab.host("u1", "br0", &format!("{N1}/16")), 0, &wire);
    let second = Herd::start(&lab.host("u2", "br0", &format!("{N2}/16")), 100, &wire);
    measure(lab, wire, quick, &first.pids(), &second.pids());
}

/// Measures once the roles are as they should be, and only then.
fn measure(lab: &Lab, wire: Wire, quick: bool, first: &[i32], second: &[i32]) {
    let time = Duration::from_secs(if quick { 10 } else { 60 });
    settle(&wire);
    // whoever sends pays for the recorder's copies
    drop(wire);
    progress(&format!("settled; measuring for {} s", time.as_secs()));
    let before = [first, second].map(|pids| Usage::of(pids).unwrap());
    let from = Instant::now();
    thread::sleep(time);
    let after = [first, second].map(|pids| Usage::of(pids).unwrap());
    let minutes = from.elapsed().as_secs_f64() / 60.0;
    for (node, (before, after)) in ["first", "second"].iter().zip(before.iter().zip(after)) {
        let cpu = (after.cpu - before.cpu) / minutes;
        let (rss, pss) = (after.rss, after.pss);
        progress(&format!("{node}: {cpu:.2} CPU s a minute, {rss:.1} MB resident, {pss:.1} MB proportional"));
        emit(&format!("{node}.cpu"), cpu);
        emit(&format!("{node}.rss"), rss);
        emit(&format!("{node}.pss"), pss);
    }
    settle(&lab.wire("br0"));
}

/// The vhids that the first node advertised since, and how often the second
/// did.
fn advertised(wire: &Wire, mark: usize) -> (BTreeSet<u8>, usize) {
    let frames = wire.since(mark);
    let adverts: Vec<_> = frames.iter().filter_map(|f| f.advert()).collect();
    let first = adverts.iter().filter(|a| a.src == N1).map(|a| a.vhid).collect();
    (first, adverts.iter().filter(|a| a.src == N2).count())
}

/// Waits until the first node alone advertises, all 255.
fn settle(wire: &Wire) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mark = wire.mark();
        wire.wait_count(mark, 3 * 255, "advertisements of the first node", |f| f.is_advert_of(N1));
        let (first, others) = advertised(wire, mark);
        if first.len() == 255 && others == 0 {
            return;
        }
        assert!(Instant::now() < until, "the first node advertises {}, the second {others}", first.len());
    }
}

/// The ucarps of one node.
struct Herd(Vec<Child>);

impl Herd {
    fn start(host: &Host, advskew: u8, wire: &Wire) -> Herd {
        let from = Instant::now();
        let mut herd = Herd(Vec::new());
        for batch in (1..=255u8).collect::<Vec<_>>().chunks(BATCH.into()) {
            let spawn = |vhid: &u8| ucarp(host, *vhid, advskew).spawn().expect("ucarp");
            let started: Vec<_> = within(Some(&host.ns), || batch.iter().map(spawn).collect());
            herd.0.extend(started);
            // each vhid is heard of once its first ucarp runs
            let mut missing: BTreeSet<u8> = batch.iter().copied().collect();
            wire.wait_for(wire.mark(), "advertisements of a batch", PATIENCE, |f| {
                if let Some(a) = f.advert() {
                    missing.remove(&a.vhid);
                }
                missing.is_empty()
            });
        }
        progress(&format!("{}: 255 ucarps after {:.1} s", host.ns, from.elapsed().as_secs_f64()));
        herd
    }

    fn pids(&self) -> Vec<i32> {
        self.0.iter().map(|c| c.id() as i32).collect()
    }
}

fn ucarp(host: &Host, vhid: u8, advskew: u8) -> Command {
    let mut command = Command::new("ucarp");
    command.args(["--interface=v0", "--pass=secret", "--advbase=1"]);
    command.arg(format!("--srcip={}", host.ip)).arg(format!("--vhid={vhid}"));
    command.arg(format!("--addr=10.77.1.{vhid}")).arg(format!("--advskew={advskew}"));
    if advskew == 0 {
        command.arg("--preempt");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Drop for Herd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
