//! Who is what among several machines.

use super::{Frame, Netisrd, PATIENCE, Wire};
use std::net::IpAddr;

/// Enough advertisements of one, and of nobody else, to be sure that nothing
/// changes any more: whoever disagrees has heard them and answered.
const SETTLED: usize = 4;

/// Waits until only one of those who are masters of `vhid` advertises; who.
///
/// # Panics
/// If nobody does, or not alone, for long.
pub fn settle(wire: &Wire, vhid: u8) -> IpAddr {
    let (mut who, mut times) = (None, 0);
    wire.wait_for(wire.mark(), "one master alone", PATIENCE, |f| {
        // both families of one advertisement are one voice
        let Some(a) = f.advert().filter(|a| a.vhid == vhid && !a.is_bow_out()) else { return false };
        match who {
            Some(src) if src == a.src => times += 1,
            Some(IpAddr::V4(_)) if a.src.is_ipv6() => {}
            _ => (who, times) = (Some(a.src), 1),
        }
        times == SETTLED
    });
    who.expect("the one who advertised")
}

/// As [`settle`], and asserts who is MASTER and who BACKUP then; gives the
/// MASTER and the BACKUP of two.
///
/// # Panics
/// As [`settle`], and if not exactly one of them is MASTER and one BACKUP.
pub fn settled<'a>(
    wire: &Wire,
    vhid: u8,
    ifname: [&str; 2],
    machines: [&'a Netisrd; 2],
) -> (&'a Netisrd, &'a Netisrd) {
    settle(wire, vhid);
    let states = [machines[0].state(ifname[0]), machines[1].state(ifname[1])];
    match [states[0].as_str(), states[1].as_str()] {
        ["MASTER", "BACKUP"] => (machines[0], machines[1]),
        ["BACKUP", "MASTER"] => (machines[1], machines[0]),
        _ => panic!("not one master and one backup, but {states:?}"),
    }
}

/// The advertisements among frames, without bow-outs.
pub fn adverts(frames: &[Frame]) -> Vec<super::Advert> {
    frames.iter().filter_map(Frame::advert).filter(|a| !a.is_bow_out()).collect()
}

/// Advertisements of one who is never another: the counter goes up by one each time,
/// nobody bows out, and no skew differs.
///
/// # Panics
/// If not.
pub fn one_voice(wire: &Wire, mark: usize) {
    let frames = wire.since(mark);
    let all: Vec<_> = frames.iter().filter_map(|f| f.advert()).collect();
    assert_eq!(adverts(&frames).len(), all.len(), "nobody bows out");
    for two in all.windows(2) {
        assert_eq!((two[0].src, two[0].advskew), (two[1].src, two[1].advskew), "{two:?}");
        assert_eq!(two[0].counter.wrapping_add(1), two[1].counter, "{two:?}");
    }
}
