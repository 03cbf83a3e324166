//! Frames into a machine with two parents.
//!
//! ```text
//!   choice, then again and again:
//!   kind | time | where, and what is not mended | ...
//!     0       length (2), bytes                  any frame
//!     1..=9   how many, (offset, value) ...      one of ours, changed
//!     10      bits                               a cable comes out, or back in
//! ```

use super::Bytes;
use super::mend::{Leave, mend};
use super::stage::{Stage, advertisements_add_up, scenario};
use crate::lab::{Mac, arp_request, echo_request, echo_request6, ethernet, ipv4, solicitation};
use libcarp::header::Counter;
use libcarp::hmac::Form;
use netisrd::lab::scenario::Scenario;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// As many frames as are thrown of one input.
const FRAMES: usize = 64;
/// The other station's MAC.
const MAC: Mac = [2, 0x66, 0, 0, 0, 2];
/// Its address.
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Throws what the input says, and panics if the machine is not as it must be.
pub fn run(data: &[u8]) {
    let mut data = Bytes::new(data);
    let scenario = scenario(&mut data);
    let mut stage = Stage::new(&scenario);
    let mut cut = [false; 2];
    for _ in 0..FRAMES {
        if data.is_empty() {
            break;
        }
        let kind = data.byte() % 11;
        let time = pause(data.byte());
        let bits = data.byte();
        let lan = usize::from(bits & 1);
        match kind {
            10 => link(&mut stage, &scenario, lan, &mut cut[lan]),
            0 => {
                let len = data.word();
                let frame = data.take(usize::from(len) % 1515).to_vec();
                throw(&mut stage, lan, bits, frame);
            }
            kind => {
                let frame = changed(ours(kind, lan), &mut data);
                throw(&mut stage, lan, bits, frame);
            }
        }
        stage.pass(time);
    }
    stage.pass(Duration::from_secs(5));
    if let Some((m, n0)) = stage.machine() {
        advertisements_add_up(m, n0);
    }
    stage.show();
    stage.finish();
}

/// Nothing, moments, or longer than a master may be silent.
fn pause(byte: u8) -> Duration {
    match byte {
        0..0x80 => Duration::from_millis(u64::from(byte) * 10),
        _ => Duration::from_millis(u64::from(byte - 0x7f) * 125),
    }
}

fn throw(stage: &mut Stage<'_>, lan: usize, bits: u8, mut frame: Vec<u8>) {
    let bit = |n: u8| bits >> n & 1 != 0;
    let leave = Leave { header: bit(1), payload: bit(2), digest: bit(3) };
    let form = if bit(4) { Form::Global } else { Form::All };
    if let Some((m, n0)) = stage.machine() {
        let parent = if lan == 0 { "em0" } else { "em1" };
        let softcs = m.carp.own(n0).carpif_list.borrow();
        mend(&mut frame, leave, |vhid, counter| {
            let sc = softcs.iter().find(|sc| {
                sc.own(n0).vhid.get().is_some_and(|v| v.get() == vhid)
                    && sc.carpdev(n0).is_some_and(|p| p.if_xname.as_str() == parent)
            })?;
            Some(sc.own(n0).hmac.borrow().generate(Counter(counter), form))
        });
    }
    stage.throw(lan, &frame);
}

/// The parent's cable comes out, or back in.
fn link(stage: &mut Stage<'_>, scenario: &Scenario, lan: usize, cut: &mut bool) {
    // The first fault is about nobody, as the last one.
    stage.play.set_fault(1 + lan, &scenario.fault[1 + lan], *cut);
    *cut = !*cut;
}

/// A frame that the machine takes.
fn ours(kind: u8, lan: usize) -> Vec<u8> {
    let vip = if lan == 0 { Ipv4Addr::new(10, 0, 0, 1) } else { Ipv4Addr::new(10, 77, 0, 100) };
    let me: Mac = [0, 0, 0x5e, 0, 1, 1];
    match kind {
        1 | 2 => ethernet(
            [1, 0, 0x5e, 0, 0, 0x12],
            me,
            0x0800,
            &ipv4(PEER, [224, 0, 0, 18].into(), 112, 255, &advertisement()),
        ),
        3 => {
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
            ethernet([0x33, 0x33, 0, 0, 0, 0x12], me, 0x86dd, &ipv6(PEER6, group, 112, 255, &advertisement()))
        }
        4 => arp_request(MAC, PEER, vip),
        5 => echo_request(me, MAC, PEER, vip),
        6 => solicitation(MAC, PEER6, VIP6),
        7 => {
            let flags = [136, 0, 0, 0, 0x20, 0, 0, 0];
            let advert = [&flags[..], &VIP6.octets(), &[2, 1], &MAC].concat();
            let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            ethernet([0x33, 0x33, 0, 0, 0, 1], MAC, 0x86dd, &ipv6(PEER6, all, 58, 255, &advert))
        }
        8 => echo_request6(me, MAC, PEER6, VIP6),
        _ => {
            let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let query =
                [&[58, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0, 0, 10, 0, 0][..], &[0; 16], &[2, 125, 0, 0]];
            let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
            ethernet([0x33, 0x33, 0, 0, 0, 1], MAC, 0x86dd, &ipv6(from, all, 0, 1, &query.concat()))
        }
    }
}

/// Of vhid 1, better than the machine's own.
fn advertisement() -> Vec<u8> {
    [&[0x21, 1, 0, 7, 0, 1, 0, 0][..], &[0; 8], &[0; 20]].concat()
}

fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, next: u8, hlim: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a small payload").to_be_bytes();
    [&[0x60, 0, 0, 0], &len[..], &[next, hlim], &src.octets(), &dst.octets(), payload].concat()
}

/// Some bytes of it are others; one that would be behind its end cuts it.
fn changed(mut frame: Vec<u8>, data: &mut Bytes<'_>) -> Vec<u8> {
    for _ in 0..data.byte() % 64 {
        let (at, value) = (data.byte(), data.byte());
        match frame.get_mut(usize::from(at)) {
            Some(byte) => *byte = value,
            None => frame.truncate(value.into()),
        }
    }
    frame
}
