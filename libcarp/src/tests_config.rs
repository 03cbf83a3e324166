//! Configurations of several steps: one election for all that they say.
#![allow(clippy::unwrap_used)]

use crate::carpreq::CarpReq;
use crate::reason::{Reason, Transition};
use crate::softc::{CarpSoftc, State};
use crate::testutil::{Effect, Effect::*, World, master, skew};
use crate::{clone, state};
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

fn begin(w: &mut World) {
    w.cx(|cx| state::config_begin(cx));
}

fn end(w: &mut World) {
    w.cx(|cx| state::config_end(cx));
}

/// em0 with addresses of both families, and preempt.
fn world() -> World {
    let mut w = World::new();
    w.carp.own(&w.n0).opts.preempt.set(1);
    let em0 = w.ether("em0");
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    w.add(&em0, "2001:db8::2/64").unwrap();
    w
}

fn carp(w: &mut World, name: &str, vhid: i32, nets: &[&str]) -> Arc<CarpSoftc> {
    let sc = w.carp_if(name);
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: vhid, ..w.keep("secret") }).unwrap();
    nets.iter().for_each(|net| w.add(&sc.sc_if, net).unwrap());
    sc
}

fn of_carp0(old: State, new: State, reason: Reason) -> (&'static str, Transition) {
    ("carp0", Transition { old, new, reason })
}

/// The skews of its advertisements.
fn ads(effects: &[Effect]) -> Vec<u8> {
    effects.iter().filter_map(|e| if let Ad(_, _, _, skew) = e { Some(*skew) } else { None }).collect()
}

#[test]
fn several_addresses_of_one_configuration_are_one_election() {
    let mut w = world();
    begin(&mut w);
    let nets = ["10.0.0.1/24", "10.0.0.5/24", "2001:db8::1/64", "2001:db8::5/64"];
    let sc = carp(&mut w, "carp0", 1, &nets);
    let said = w.effects();
    assert!(!said.iter().any(|e| matches!(e, Ad(..) | Ad6(..) | Arp(..) | Na(..) | IfMsg(..))), "{said:?}");
    assert_eq!((sc.state(), sc.own(&w.n0).naddrs(), w.timers(&sc)), (State::Init, 4, (None, None)));
    end(&mut w);
    assert_eq!(w.kern.notified.take(), [of_carp0(State::Init, State::Master, Reason::Preempting)]);
    assert_eq!(ads(&w.effects()), [0]);
    // It is over: the next address is an election of its own.
    w.add(&sc.sc_if, "10.0.0.6/24").unwrap();
    assert_eq!(ads(&w.effects()), [255, 0]);
    assert_eq!(w.kern.notified.take().len(), 2);
    end(&mut w);
    assert_eq!((w.effects(), w.kern.notified.take()), (vec![], vec![]));
}

#[test]
fn a_master_that_gets_several_addresses_leaves_once() {
    for preempt in [0, 1] {
        let (mut w, sc) = master();
        w.carp.own(&w.n0).opts.preempt.set(preempt);
        w.kern.notified.take();
        begin(&mut w);
        for n in 5..8 {
            w.add_addr(&sc.sc_if, [10, 0, 0, n]).unwrap();
        }
        assert_eq!(w.routes(), ["10.0.0.2 em0"], "who is no MASTER has no route");
        end(&mut w);
        let (state, reason) = match preempt {
            0 => (State::Backup, Reason::Started),
            _ => (State::Master, Reason::Preempting),
        };
        let expected =
            [of_carp0(State::Master, State::Init, Reason::Configured), of_carp0(State::Init, state, reason)];
        assert_eq!(w.kern.notified.take(), expected);
        let said = ads(&w.effects());
        assert_eq!(said, if preempt == 0 { vec![255] } else { vec![255, 100] });
    }
}

#[test]
fn who_waits_for_the_end_of_a_configuration_waits_for_nothing_else() {
    let (mut w, sc) = World::with_carp0(100);
    assert_eq!(sc.state(), State::Backup);
    begin(&mut w);
    w.add_addr(&sc.sc_if, [10, 0, 0, 5]).unwrap();
    assert_eq!((sc.state(), w.timers(&sc)), (State::Init, (None, None)));
    w.kern.logged.take();
    w.pass(10 * SEC);
    assert_eq!((sc.state(), w.kern.logged.take()), (State::Init, vec![]));
    end(&mut w);
    assert_eq!((sc.state(), w.timers(&sc)), (State::Backup, (None, Some(3 * SEC + skew(100)))));
}

#[test]
fn who_is_backup_or_master_goes_on_while_another_is_configured() {
    let (mut w, sc) = World::with_carp0(100);
    begin(&mut w);
    w.setvh(&sc, CarpReq { carpr_advskew: 50, ..w.keep("secret") }).unwrap();
    assert_eq!(sc.state(), State::Backup);
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.effects();
    w.pass(2 * SEC);
    assert_eq!(ads(&w.effects()), [50, 50]);
    end(&mut w);
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
}

#[test]
fn who_is_destroyed_or_stopped_while_it_waits_holds_no_election() {
    let mut w = world();
    begin(&mut w);
    let (gone, down) =
        (carp(&mut w, "carp0", 1, &["10.0.0.1/24"]), carp(&mut w, "carp1", 2, &["10.0.0.5/24"]));
    w.cx(|cx| clone::destroy(cx, &gone));
    w.del_addr([10, 0, 0, 1]);
    w.cx(|cx| clone::destroyed(cx, &gone));
    w.down(&down);
    w.effects();
    end(&mut w);
    assert_eq!((w.effects(), w.kern.notified.take()), (vec![], vec![]));
    w.up(&down);
    assert_eq!((gone.state(), down.state()), (State::Init, State::Master));
}

#[test]
fn a_state_that_is_asked_for_while_it_waits_is_its_state_at_the_end() {
    for (wanted, preempt) in [(State::Master, 0), (State::Backup, 1)] {
        let mut w = world();
        w.carp.own(&w.n0).opts.preempt.set(preempt);
        begin(&mut w);
        let sc = carp(&mut w, "carp0", 1, &["10.0.0.1/24"]);
        w.setvh(&sc, CarpReq { carpr_state: wanted as i32, carpr_vhid: 1, ..w.keep("secret") }).unwrap();
        assert_eq!(sc.state(), State::Init);
        end(&mut w);
        assert_eq!(sc.state(), wanted);
    }
}
