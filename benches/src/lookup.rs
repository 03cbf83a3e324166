//! From a frame to its softc: what that costs with 1, 16 and 255 vhids.

use crate::callgrind;
use crate::figures::Figures;
use crate::lab::{Forge, Mac, ethernet, ipv4, virtual_mac};
use crate::rig::Rig;
use clap::ValueEnum;
use netisrd::net::if_ethersubr::{Isr, ether_input};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

/// The section's name.
pub(crate) const NAME: &str = "lookup";
/// How many vhids.
pub(crate) const VHIDS: [u8; 3] = [1, 16, 255];
/// Calls between two looks at the clock.
const CALLS: u32 = 20_000;
/// No machine has this vhid, whatever it has.
const NOBODYS: u8 = 0;

const CLIENT: Mac = [2, 0, 0, 0, 0, 0xcc];

/// What frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// To the virtual MAC of the last vhid.
    Unicast,
    /// An advertisement of the last vhid.
    Advert,
    /// An advertisement of a vhid that nobody here has.
    Stranger,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Unicast, Kind::Advert, Kind::Stranger];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Unicast => "unicast",
            Kind::Advert => "advert",
            Kind::Stranger => "stranger",
        }
    }

    fn frame(self, last: u8) -> Vec<u8> {
        let src = Ipv4Addr::new(10, 77, 0, 2);
        let vip = |vhid| Ipv4Addr::new(10, 77, 1, vhid);
        let advert = |vhid| Forge { vhid, ..Forge::worse(src, "secret", vip(vhid)) }.frame();
        match self {
            // as long as an advertisement, so that copying costs the same
            Kind::Unicast => {
                ethernet(virtual_mac(last), CLIENT, 0x0800, &ipv4(src, vip(last), 17, 64, &[0; 36]))
            }
            Kind::Advert => advert(last),
            Kind::Stranger => advert(NOBODYS),
        }
    }
}

/// One frame into the machine, to the message that would be sent on.
#[inline]
fn input(rig: &Rig, frame: &[u8]) {
    let _ = black_box(ether_input(rig.ctx(), rig.index, black_box(frame)));
}

/// Asserts that the frame goes where it is meant to go.
fn check(rig: &Rig, kind: Kind, last: u8) {
    let got = ether_input(rig.ctx(), rig.index, &kind.frame(last));
    let got = got.map(|(isr, mbuf)| (isr, mbuf.rcvif.if_xname.to_string())).ok();
    let want = match kind {
        Kind::Unicast => Some((Isr::Ip, format!("carp{last}"))),
        Kind::Advert => Some((Isr::Carp, format!("carp{last}"))),
        Kind::Stranger => None,
    };
    assert_eq!(got, want, "{kind:?} with {last} vhids");
}

/// What callgrind counts.
pub(crate) fn once(vhids: u8, frames: u32, kind: Kind) {
    let rig = Rig::new(vhids);
    check(&rig, kind, vhids);
    let frame = kind.frame(vhids);
    (0..frames).for_each(|_| input(&rig, &frame));
}

/// Nanoseconds per call, in each of some rounds.
fn time(rounds: u32, mut call: impl FnMut()) -> Vec<f64> {
    let round = |_| {
        let from = Instant::now();
        (0..CALLS).for_each(|_| call());
        from.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..=rounds).map(round).skip(1).collect()
}

/// Measures all kinds and numbers, in this process.
pub(crate) fn measure(quick: bool, figures: &mut Figures) -> Result<(), String> {
    println!("{NAME}: ...");
    let rounds = if quick { 20 } else { 200 };
    for vhids in VHIDS {
        let rig = Rig::new(vhids);
        let mut push = |what: &str, samples: Vec<f64>| {
            samples.iter().for_each(|s| figures.push(NAME, &format!("{what}.{vhids}"), *s));
        };
        for kind in Kind::ALL {
            check(&rig, kind, vhids);
            let frame = kind.frame(vhids);
            push(kind.name(), time(rounds, || input(&rig, &frame)));
        }
        push("step", time(rounds, || assert!(black_box(step(&rig, black_box(vhids))))));
        let dhost = virtual_mac(vhids);
        push("walk", time(rounds, || assert!(black_box(walk(&rig, black_box(dhost))))));
    }
    if callgrind::is_here(NAME) {
        for (vhids, kind) in VHIDS.iter().flat_map(|n| Kind::ALL.map(|kind| (n.to_string(), kind))) {
            let args = ["lookup-once", "--kind", kind.name(), "--vhids", &vhids, "--frames"];
            figures.push(NAME, &format!("ir.{}.{vhids}", kind.name()), callgrind::per_call(&args)?);
        }
    }
    Ok(())
}

/// The lookup alone, as it is: the vhid in the address is the index.
fn step(rig: &Rig, vhid: u8) -> bool {
    let cif = rig.m.ifentry(&rig.n0, rig.index).and_then(|e| e.ifp.if_carp.load(&rig.n0));
    cif.and_then(|cif| cif.by_vhid(vhid)).is_some_and(|scc| scc.scc_softc.is_running_master())
}

/// The same as upstream's `carp_forus` does it: along the list, until there is
/// a running MASTER whose address it is.
fn walk(rig: &Rig, dhost: Mac) -> bool {
    let cif = rig.m.ifentry(&rig.n0, rig.index).and_then(|e| e.ifp.if_carp.load(&rig.n0));
    cif.is_some_and(|cif| {
        cif.iter().any(|scc| scc.scc_softc.is_running_master() && scc.scc_softc.sc_if.lladdr() == dhost)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_where_they_are_meant_to_go() {
        for vhids in [1, 3] {
            let rig = Rig::new(vhids);
            Kind::ALL.iter().for_each(|kind| check(&rig, *kind, vhids));
            assert!(step(&rig, vhids) && walk(&rig, virtual_mac(vhids)));
            assert!(!step(&rig, NOBODYS) && !walk(&rig, virtual_mac(vhids + 1)));
        }
    }
}
