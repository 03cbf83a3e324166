//! Carp interfaces whose addresses live on several parents, and move.
#![allow(clippy::unwrap_used)]

use crate::carpreq::CarpReq;
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect::*, World};
use compat::sys::errno::Errno;
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

/// em0 with 10.0.0.2/24 and em1 with 10.0.1.2/24; no carp interface yet.
fn two_parents() -> World {
    let mut w = World::new();
    for (name, addr) in [("em0", [10, 0, 0, 2]), ("em1", [10, 0, 1, 2])] {
        let em = w.ether(name);
        w.add_addr(&em, addr).unwrap();
    }
    w
}

fn carp(w: &mut World, name: &str, vhid: i32, addrs: &[&str]) -> Arc<CarpSoftc> {
    let sc = w.carp_if(name);
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: vhid, ..w.keep("secret") }).unwrap();
    addrs.iter().for_each(|net| w.add(&sc.sc_if, net).unwrap());
    sc
}

fn parent<'a>(w: &'a World, sc: &'a CarpSoftc) -> Option<&'a str> {
    sc.carpdev(&w.n0).map(|ifp| ifp.if_xname.as_str())
}

#[test]
fn whoever_finds_another_parent_does_not_preempt_while_the_rest_is_lost() {
    for mover_first in [true, false] {
        let mut w = two_parents();
        w.carp.own(&w.n0).opts.preempt.set(1);
        let mut both = Vec::new();
        for mover in [mover_first, !mover_first] {
            both.push(match mover {
                true => carp(&mut w, "carp0", 1, &["10.0.0.1/24", "10.0.1.1/24"]),
                false => carp(&mut w, "carp1", 2, &["10.0.0.9/24"]),
            });
        }
        let (mover, stays) = match mover_first {
            true => (&both[0], &both[1]),
            false => (&both[1], &both[0]),
        };
        assert_eq!((parent(&w, mover), parent(&w, stays)), (Some("em0"), Some("em0")));
        w.effects();
        let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
        w.set_up(&em0, false);
        assert_eq!((mover.state(), parent(&w, mover)), (State::Backup, Some("em1")), "{mover_first}");
        assert_eq!((stays.state(), w.carp.own(&w.n0).suppress_preempt.get()), (State::Init, 1));
        let said = w.effects().into_iter().filter(|e| matches!(e, Ad(_, _, base, _) if *base != 255)).count();
        assert_eq!(said, 0, "{mover_first}");
    }
}

#[test]
fn a_mask_that_is_refused_leaves_a_master_a_master() {
    let mut w = two_parents();
    let em0 = w.ia([10, 0, 0, 2]).ifa_ifp.clone();
    w.add(&em0, "10.0.5.2/16").unwrap();
    let sc = carp(&mut w, "carp0", 1, &["10.0.1.1/24"]);
    carp(&mut w, "carp1", 1, &["10.0.7.1/16"]);
    w.pass(4 * SEC);
    assert_eq!((sc.state(), parent(&w, &sc)), (State::Master, Some("em1")));
    w.effects();
    let (ia, before) = (w.ia([10, 0, 1, 1]), w.routes());
    assert_eq!(w.change(&ia, 16), Err(Errno::EEXIST));
    assert_eq!((sc.state(), parent(&w, &sc), w.routes()), (State::Master, Some("em1"), before));
    assert!(!w.effects().iter().any(|e| matches!(e, Ad(..) | IfMsg(..))));
}

#[test]
fn addresses_that_are_left_find_a_parent_of_their_own() {
    let mut w = two_parents();
    let sc = carp(&mut w, "carp0", 1, &["10.0.0.1/24", "10.0.1.1/24"]);
    w.pass(4 * SEC);
    assert_eq!((sc.state(), parent(&w, &sc)), (State::Master, Some("em0")));
    w.effects();
    w.del_addr([10, 0, 0, 1]);
    assert_eq!(w.effects().first(), Some(&Ad("carp0", 1, 255, 255)));
    assert_eq!((sc.state(), parent(&w, &sc)), (State::Backup, Some("em1")));
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
}
