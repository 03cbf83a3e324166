//! An advertisement of ours, read by everybody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use etherparse::{NetSlice, SlicedPacket};
use std::path::Path;
use tests::lab::{self, Advert, Frame, Lab, N1, Needs, Said, VIP, command, on_tap, virtual_host};

/// Computes a digest with nothing of ours: password, vhid, address, counter.
const PYTHON: &str = r#"
import hashlib, hmac, ipaddress, sys
password, vhid, address, counter = sys.argv[1:]
key = password.encode().ljust(20, b"\0")
message = bytes([2, 1, int(vhid)]) + ipaddress.ip_address(address).packed + int(counter).to_bytes(8, "big")
print(hmac.new(key, message, hashlib.sha1).hexdigest())
"#;

/// The literal bytes of an advertisement of vhid 1, 1/100, from 10.77.0.1.
/// `None`: id, checksums, counter and digest, which are looked at by others.
#[rustfmt::skip]
const EXPECTED: [Option<u8>; 34 + 16] = {
    const fn x(b: u8) -> Option<u8> { Some(b) }
    [
        // Ethernet: 01:00:5e:00:00:12 from 00:00:5e:00:01:01, IPv4
        x(0x01), x(0x00), x(0x5e), x(0x00), x(0x00), x(0x12),
        x(0x00), x(0x00), x(0x5e), x(0x00), x(0x01), x(0x01), x(0x08), x(0x00),
        // IPv4: 5 words, lowdelay, 56 bytes, id, DF, ttl 255, 112, checksum, addresses
        x(0x45), x(0x10), x(0x00), x(0x38), None, None, x(0x40), x(0x00),
        x(0xff), x(0x70), None, None, x(10), x(77), x(0), x(1), x(224), x(0), x(0), x(18),
        // CARP: 2/1, vhid, advskew, 7 words, pad, advbase, checksum, counter
        x(0x21), x(1), x(100), x(7), x(0), x(1), None, None,
        None, None, None, None, None, None, None, None,
    ]
};

/// A machine alone on a tap; its first three advertisements.
fn advertisements(lab: &Lab) -> Vec<Frame> {
    let machine = on_tap(lab, "m1", "em0", N1);
    let wire = lab.wire_in("em0");
    machine.carp("carp0", &virtual_host(100));
    machine.wait_master("carp0");
    wire.wait_count(0, 3, "advertisements", |f| f.advert().is_some());
    wire.frames().into_iter().filter(|f| f.advert().is_some()).take(3).collect()
}

#[test]
fn every_byte_of_an_advertisement_is_as_the_protocol_says() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let frames = advertisements(lab);
        for f in &frames {
            assert_eq!(f.bytes.len(), 70);
            for (i, want) in EXPECTED.iter().enumerate() {
                assert!(want.is_none_or(|b| b == f.bytes[i]), "byte {i}: {:02x?}", f.bytes);
            }
            assert_eq!(lab::checksum(&f.bytes[14..34]), 0, "the IP header's checksum");
            assert_eq!(lab::checksum(&f.bytes[34..]), 0, "the advertisement's checksum");
            let a = f.advert().unwrap();
            assert_eq!(a.digest, lab::digest("secret", 1, &[VIP], a.counter));
            etherparse_agrees(&f.bytes);
        }
        let counter = |f: &Frame| f.advert().map(|a| a.counter);
        assert_ne!(counter(&frames[0]), counter(&frames[1]), "a counter is not repeated");
        assert_ne!(counter(&frames[1]), counter(&frames[2]), "a counter is not repeated");
    });
}

fn etherparse_agrees(bytes: &[u8]) {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!("not IPv4: {bytes:02x?}") };
    let header = ip.header();
    assert_eq!((header.ttl(), header.protocol().0, header.dont_fragment()), (255, 112, true));
    assert_eq!((header.dcp().value(), header.ecn().value(), header.more_fragments()), (4, 0, false));
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    assert_eq!(ip.payload().payload.len(), 36);
}

#[test]
fn tcpdump_tshark_and_python_agree_with_an_advertisement() {
    let needs = Needs::namespaces().taps().programs(&["tcpdump", "tshark", "python3"]);
    lab::run(needs, |lab| {
        let frames = advertisements(lab);
        let path = lab.dir().join("ours.pcap");
        lab::write_pcap(&path, &frames);
        tcpdump_agrees(&path, frames.len());
        tshark_agrees(&path, frames.len());
        frames.iter().filter_map(Frame::advert).for_each(|a| python_agrees("secret", &a, &VIP.to_string()));
    });
}

/// Were the decoders to accept everything, or nothing, the test above would
/// tell nothing of ours.
#[test]
fn the_decoders_accept_a_forged_advertisement_and_not_a_damaged_one() {
    lab::run(Needs::namespaces().programs(&["tcpdump", "tshark", "python3"]), |lab| {
        let addr = std::net::Ipv4Addr::new(10, 77, 0, 100);
        let forge = lab::Forge::worse(N1, "secret", addr);
        let frame = |bytes: Vec<u8>| Frame {
            at: std::time::Instant::now(),
            stamp: std::time::Duration::from_secs(1),
            bytes,
        };
        let good = frame(forge.frame());
        let path = lab.dir().join("good.pcap");
        lab::write_pcap(&path, std::slice::from_ref(&good));
        tcpdump_agrees(&path, 1);
        tshark_agrees(&path, 1);
        python_agrees("secret", &good.advert().unwrap(), &addr.to_string());
        let mut bytes = good.bytes;
        bytes[40] ^= 1;
        lab::write_pcap(&path, &[frame(bytes)]);
        assert!(tcpdump(&path).contains("bad"), "{}", tcpdump(&path));
        assert!(tshark(&path).contains("[Checksum Status: Bad]"), "{}", tshark(&path));
    });
}

/// As root tcpdump insists on changing to another user, which a user namespace
/// with one uid does not have; a nested one has no root.
fn tcpdump(path: &Path) -> String {
    let read = |how: &str| Said::by(None, command(&format!("{how} -n -T carp -vv -r {}", path.display())));
    let as_root = read("tcpdump -Z root");
    if as_root.status.success() { as_root.stdout } else { read("unshare --user tcpdump").ok() }
}

fn tcpdump_agrees(path: &Path, count: usize) {
    let text = tcpdump(path);
    assert_eq!(text.matches("CARPv2-advertise 36: vhid=1 advbase=1 ").count(), count, "{text}");
    assert!(!text.contains("bad") && !text.contains("truncated"), "{text}");
}

fn tshark(path: &Path) -> String {
    let options = "-d ip.proto==112,carp -o ip.check_checksum:TRUE -V";
    Said::by(None, command(&format!("tshark {options} -r {}", path.display()))).ok()
}

fn tshark_agrees(path: &Path, count: usize) {
    let text = tshark(path);
    for (words, times) in [
        ("Common Address Redundancy Protocol", count),
        ("[Header checksum status: Good]", count),
        ("[Checksum Status: Good]", count),
        ("Malformed", 0),
    ] {
        assert_eq!(text.matches(words).count(), times, "{words}: {text}");
    }
}

fn python_agrees(pass: &str, a: &Advert, addr: &str) {
    let mut python = command("python3 -c");
    python.args([PYTHON, pass, &a.vhid.to_string(), addr, &a.counter.to_string()]);
    let hex: String = a.digest.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(Said::by(None, python).ok().trim(), hex);
}
