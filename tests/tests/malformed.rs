//! Frames that are wrong in every way we can think of, many of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use std::net::Ipv4Addr;
use tests::lab::{
    self, Forge, Frame, Mac, N1, Needs, Netisrd, Stats, VIP, Wire, arp_request, checksum, ethernet, ipv4,
    on_tap, seal, virtual_host, virtual_mac,
};

const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_MAC: Mac = [1, 0, 0x5e, 0, 0, 0x12];
const PEER_MAC: Mac = [2, 0, 0, 0, 0, 3];
/// How many frames a tap's queue holds for certain.
const BATCH: usize = 100;
/// How many frames are sent in all.
const FRAMES: usize = 20_000;
/// How often each kind is sent by itself.
const EACH: usize = 50;

/// A machine that is MASTER, alone on a tap without a bridge (a bridge drops
/// some of these frames), and what has been done to it.
struct Target {
    machine: Netisrd,
    wire: Wire,
    said: Wire,
    sent: usize,
    /// What the counters must be. `ipackets` is not kept.
    want: Stats,
}

impl Target {
    /// Sends frames, and after each batch one with a bad digest, whose count
    /// tells that the batch was read.
    fn send(&mut self, frames: impl Iterator<Item = Vec<u8>>) {
        let frames: Vec<_> = frames.collect();
        for batch in frames.chunks(BATCH - 1) {
            batch.iter().for_each(|f| self.wire.inject(f));
            self.wire.inject(&bad_digest());
            self.want.badauth += 1;
            self.sent += batch.len() + 1;
            let want = self.want.badauth;
            self.machine.wait_stats("more bad digests", |s| s.badauth >= want);
        }
    }

    /// Asserts that the counters are what was sent, and nothing else happened.
    fn check(&self, what: &str) {
        let want = errors(&self.want);
        // other netisrs may still be at it
        self.machine.wait_stats(what, |s| errors(s) >= want);
        assert_eq!(errors(&self.machine.stats()), want, "{what}");
        assert_eq!(self.machine.state("carp0"), "MASTER", "{what}");
    }
}

/// The counters of faults: ttl, length, checksum, version, digest.
fn errors(s: &Stats) -> [u64; 5] {
    [s.badttl, s.badlen + s.hdrops, s.badsum, s.badver, s.badauth]
}

fn good() -> Forge {
    Forge::worse(PEER, "secret", VIP)
}

fn bad_digest() -> Vec<u8> {
    Forge { pass: "wrong", ..good() }.frame()
}

/// An advertisement in an IPv4 packet of our making.
fn packet(ttl: u8, carp: &[u8]) -> Vec<u8> {
    ethernet(GROUP_MAC, virtual_mac(1), 0x0800, &ipv4(PEER, GROUP, 112, ttl, carp))
}

fn stage(body: impl FnOnce(Target)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = on_tap(lab, "m1", "em0", N1);
        let (wire, said) = (lab.wire("em0"), lab.wire_in("em0"));
        wire.may_have_bad_frames("what is sent is wrong on purpose; what the machine says is not");
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &virtual_host(0));
        machine.wait_master("carp0");
        assert_eq!(errors(&machine.stats()), [0; 5]);
        body(Target { machine, wire, said, sent: 0, want: Stats::default() });
    });
}

#[test]
fn each_kind_of_malformed_advertisement_is_counted_as_what_it_is() {
    stage(|mut t| {
        let carp = good().frame()[34..].to_vec();
        let many = |f: Vec<u8>| std::iter::repeat_n(f, EACH);

        for len in 0..36 {
            t.send(std::iter::once(packet(255, &carp[..len])));
            t.want.badlen += 1;
        }
        t.check("too short");

        for version in (0..16).filter(|v| *v != 2) {
            let mut f = good().frame();
            f[34] = version << 4 | 1;
            seal(&mut f);
            t.send(std::iter::once(f));
            t.want.badver += 1;
        }
        t.check("another version");

        let mut f = good().frame();
        f[40] ^= 0x55;
        t.send(many(f));
        t.want.badsum += EACH as u64;
        t.check("a wrong checksum");

        let before = t.machine.stats();
        let mut f = good().frame();
        f[24] ^= 0x55;
        t.send(many(f));
        t.check("a wrong IP checksum is no advertisement at all");
        let heard = t.machine.stats().ipackets - before.ipackets;
        assert!(heard < EACH as u64, "{heard} packets passed with a wrong IP checksum");

        for ttl in [0, 1, 64, 254] {
            t.send(many(packet(ttl, &carp)));
            t.want.badttl += EACH as u64;
        }
        t.check("a wrong ttl");

        for at in 50..70 {
            let mut f = good().frame();
            f[at] ^= 1;
            seal(&mut f);
            t.send(std::iter::once(f));
            t.want.badauth += 1;
        }
        t.check("a wrong digest, whichever byte");

        let mut f = good().frame();
        f[49] ^= 1;
        seal(&mut f);
        t.send(many(f));
        t.want.badauth += EACH as u64;
        t.check("a counter that was not signed");

        let real = real_mac(&t);
        t.send(many(Forge { to: real, ..good() }.frame()));
        t.send(many(good().frame()));
        t.check("a worse master, by unicast and by multicast");
        let total: u64 = errors(&t.want).iter().sum();
        assert!(t.machine.stats().ipackets >= total, "all were received");
    });
}

/// The machine's own Ethernet address, as it tells it.
fn real_mac(t: &Target) -> Mac {
    let mark = t.said.mark();
    t.wire.inject(&arp_request(PEER_MAC, PEER, N1));
    let told = |f: &Frame| f.arp().is_some_and(|a| a.op == 2 && a.spa == N1);
    t.said.next(mark, "its own address", told).arp().unwrap().sha
}

/// Bytes that are the same on every run (xorshift).
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }
}

#[test]
fn twenty_thousand_frames_of_garbage_neither_stop_a_master_nor_flood_its_log() {
    stage(|mut t| {
        let lines = t.machine.proc.log.len();
        let real = real_mac(&t);
        let mut noise = Noise(0x5eed);
        garbage_frames(&mut t, real, &mut noise);
        t.check("garbage in frames");
        garbage_advertisements(&mut t, &mut noise);
        t.check("garbage as advertisements");
        while t.sent < FRAMES {
            t.send(std::iter::repeat_n(bad_digest(), BATCH - 1));
            t.want.badauth += BATCH as u64 - 1;
        }
        t.check("twenty thousand frames");
        let mark = t.said.mark();
        t.said.wait_count(mark, 3, "advertisements, as if nothing had been", |f| f.is_advert_of(N1));
        assert_eq!(real_mac(&t), real, "it still answers");
        assert!(t.machine.proc.is_running());
        let lines = t.machine.proc.log.len() - lines;
        println!("{} frames, {lines} lines of log", t.sent);
        assert!(lines < 200, "{lines} lines of log for {} frames", t.sent);
    });
}

/// Noise of every length behind headers that lead everywhere.
fn garbage_frames(t: &mut Target, real: Mac, noise: &mut Noise) {
    for to in [GROUP_MAC, lab::BROADCAST, virtual_mac(1), virtual_mac(9), real] {
        for ethertype in [0x0800, 0x0806, 0x86dd, 0x8100, 0x88b5] {
            let frames: Vec<_> =
                (0..=100).map(|len| ethernet(to, PEER_MAC, ethertype, &noise.bytes(len))).collect();
            t.send(frames.into_iter());
        }
    }
}

/// Noise of every length as an advertisement of our vhid (another one may be
/// dropped before anything is counted), in a correct IPv4 packet. What is too
/// short or sums up wrongly is counted as that.
fn garbage_advertisements(t: &mut Target, noise: &mut Noise) {
    for _ in 0..4 {
        let mut carps: Vec<_> = (0..=100).map(|len| noise.bytes(len)).collect();
        carps.iter_mut().filter_map(|c| c.get_mut(1)).for_each(|vhid| *vhid = 1);
        t.send(carps.iter().map(|carp| packet(255, carp)));
        for carp in carps {
            match carp.get(..36) {
                None => t.want.badlen += 1,
                Some(head) => {
                    assert_ne!(checksum(head), 0, "choose another seed");
                    t.want.badsum += 1;
                }
            }
        }
    }
}
