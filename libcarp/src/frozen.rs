//! CARP that stands still: what one machine hands to another that goes on in its
//! place, at the same moment of the same clock, without anybody's noticing.
//!
//! What is configured (vhid, key, parent, peers, addresses) the other machine has
//! been given as a command would; this is what has happened since. No BSD has this.

use crate::carpreq::CarpStats;
use crate::header::Counter;
use crate::kernel::{CarpCallout, Cx, Timer};
use crate::peers::Peer;
use crate::reason::Reason;
use crate::softc::{Carp, CarpSoftc, State};
use crate::sysctl::OIDS;
use crate::{clone, state, vhaddr};
use compat::sys::ctlsock::CtlType;
use compat::sys::socket::Af;
use compat::sys::sysctl::{int_in, int_out};
use compat::sys::time::Time;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use triomphe::Arc;
use zerocopy::{FromBytes, IntoBytes};

/// `net.inet.carp.demotion`, of which a write adds.
const DEMOTION: &str = "net.inet.carp.demotion";

/// What of a softc only time has made. Times are nanoseconds of the machine's
/// clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenSoftc {
    /// `sc_carpdev`, by name: the same must be the parent again.
    parent: Option<String>,
    state: i32,
    since: u64,
    reason: String,
    entered: [u64; 3],
    advbase: u8,
    advskew: u8,
    advertised: u8,
    counter: u64,
    lastads: Vec<Option<(u64, [u8; 20])>>,
    reannounce: u8,
    sendad_errors: u32,
    sendad_success: u32,
    sendad_demotes: Option<i32>,
    suppress: Option<i32>,
    #[serde(default)]
    unbacked: Option<i32>,
    unserved: bool,
    heard: [bool; 2],
    /// Address, advbase, advskew, when.
    peers: Vec<(IpAddr, u8, u8, u64)>,
    /// When each fires.
    callouts: [Option<u64>; 3],
}

/// The same of the globals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenCarp {
    demotion: i64,
    suppress_preempt: i32,
    echoes: u64,
    stats: Vec<u8>,
}

/// What of `carp_opts` is not as it is by default, by name: whoever goes on has those,
/// and need not know one that nobody uses. (A default that changed would change for them.)
/// They come before all that they have a say in.
pub fn opts(cx: &mut Cx<'_>) -> Vec<(String, i32)> {
    let now = all_opts(cx);
    let fresh = Carp::new(&cx.carp.brand);
    let by_default = all_opts(&Cx { carp: &fresh, n0: &mut *cx.n0, kern: cx.kern });
    now.into_iter().zip(by_default).filter(|(now, before)| now != before).map(|(now, _)| now).collect()
}

fn all_opts(cx: &Cx<'_>) -> Vec<(String, i32)> {
    let written = OIDS.iter().filter(|o| o.ctltype == CtlType::Int && o.write.is_some());
    let kept = written.filter(|o| o.name != DEMOTION);
    kept.filter_map(|o| Some((o.name.to_owned(), int_in(&(o.read)(cx)).ok()?))).collect()
}

/// Sets them, where all are as by default.
///
/// # Errors
/// A sentence: one that there is not here, or another value than it takes.
pub fn set_opts(cx: &Cx<'_>, opts: &[(String, i32)]) -> Result<(), String> {
    for (name, value) in opts {
        let write = OIDS.iter().find(|o| o.name == name).and_then(|o| o.write);
        let write = write.ok_or_else(|| {
            format!("{name} is {value}, and this netisrd has no such sysctl: give it back its default first")
        })?;
        write(cx, &int_out(*value)).map_err(|e| format!("{name}={value}: {e}"))?;
    }
    Ok(())
}

/// The globals as they are.
pub fn freeze(cx: &Cx<'_>) -> FrozenCarp {
    let own = cx.carp.own(cx.n0);
    FrozenCarp {
        demotion: own.demotion.get(),
        suppress_preempt: own.suppress_preempt.get(),
        echoes: own.echoes.get(),
        stats: own.stats().as_bytes().to_vec(),
    }
}

/// A softc as it is. `fired` are callouts whose message is under way.
pub fn freeze_softc(cx: &Cx<'_>, sc: &CarpSoftc, fired: &dyn Fn(CarpCallout) -> bool) -> FrozenSoftc {
    let own = sc.own(cx.n0);
    let callout = |timer| {
        let c = CarpCallout { if_index: sc.sc_if.if_index, timer };
        let due = || fired(c).then(|| cx.kern.now());
        cx.kern.callout_deadline(cx.n0, c).or_else(due).map(|at| at.0)
    };
    FrozenSoftc {
        parent: sc.carpdev(cx.n0).map(|p| p.if_xname.to_string()),
        state: sc.state() as i32,
        since: own.history.since().0,
        reason: own.history.reason().to_string(),
        entered: own.history.counts(),
        advbase: own.advbase.get(),
        advskew: own.advskew.get(),
        advertised: own.advertised.get(),
        counter: own.counter.get().0,
        lastads: own.lastads.borrow().iter().map(|ad| ad.map(|(counter, md)| (counter.0, md))).collect(),
        reannounce: own.reannounce.get(),
        sendad_errors: own.sendad_errors.get(),
        sendad_success: own.sendad_success.get(),
        sendad_demotes: own.sendad_demotes.get(),
        suppress: own.suppress.get(),
        unbacked: own.unbacked.get(),
        unserved: own.unserved.get(),
        heard: Af::ALL.map(|af| own.af(af).heard.get()),
        peers: own.peers.all().iter().map(|p| (p.src, p.advbase, p.advskew, p.heard.0)).collect(),
        callouts: Timer::ALL.map(callout),
    }
}

/// A softc that is configured as the frozen one goes on as that one: nothing is
/// said and nobody told, since nothing has happened. Its kernel must be one that
/// tells nobody.
///
/// # Errors
/// A sentence: it cannot live as that one did.
pub fn thaw_softc(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, f: &FrozenSoftc) -> Result<(), String> {
    let parent = sc.carpdev(cx.n0).map(|p| p.if_xname.to_string());
    if parent != f.parent {
        let of = |p: &Option<String>| p.clone().unwrap_or_else(|| "none".into());
        return Err(format!(
            "{}: its parent would be {}, and was {}",
            sc.xname(),
            of(&parent),
            of(&f.parent)
        ));
    }
    let wrong = |what: &str| format!("{}: {what} makes no sense", sc.xname());
    let state = State::from_i32(f.state).ok_or_else(|| wrong("its state"))?;
    let reason = Reason::from_word(&f.reason).ok_or_else(|| wrong("its reason"))?;
    let own = sc.own(cx.n0);
    if state != State::Init && own.naddrs() == 0 {
        return Err(format!("{}: no address of it would be active", sc.xname()));
    }
    clone::stop_callouts(cx, sc);
    sc.store_state(cx.n0, state);
    sc.sc_if.set_link_state(cx.n0, state::link_state(state));
    own.history.restore(Time(f.since), reason, f.entered);
    own.advbase.set(f.advbase);
    own.advskew.set(f.advskew);
    own.advertised.set(f.advertised);
    own.counter.set(Counter(f.counter));
    for (ad, was) in own.lastads.borrow_mut().iter_mut().zip(&f.lastads) {
        *ad = was.map(|(counter, md)| (Counter(counter), md));
    }
    own.reannounce.set(f.reannounce);
    own.sendad_errors.set(f.sendad_errors);
    own.sendad_success.set(f.sendad_success);
    own.sendad_demotes.set(f.sendad_demotes);
    own.suppress.set(f.suppress);
    own.unbacked.set(f.unbacked);
    own.unserved.set(f.unserved);
    for (af, heard) in Af::ALL.into_iter().zip(f.heard) {
        own.af(af).heard.set(heard);
    }
    for (src, advbase, advskew, heard) in &f.peers {
        let (advbase, advskew, heard) = (*advbase, *advskew, Time(*heard));
        own.peers.heard(Peer { src: *src, advbase, advskew, heard });
    }
    let now = cx.kern.now();
    for (timer, at) in Timer::ALL.into_iter().zip(f.callouts) {
        if let Some(at) = at {
            state::callout_reset(cx, sc, timer, Time(at) - now);
        }
    }
    Ok(())
}

/// After all softcs: the globals, and whose the prefix routes are.
///
/// # Errors
/// The counters are not those of this CARP.
pub fn thaw(cx: &Cx<'_>, f: &FrozenCarp) -> Result<(), String> {
    let stats = CarpStats::read_from_bytes(&f.stats).map_err(|_| "the counters make no sense")?;
    for sc in cx.carp.softcs(cx.n0).iter().filter(|sc| sc.state() != State::Master) {
        vhaddr::delroutes(cx, sc);
    }
    vhaddr::claim_routes(cx);
    let own = cx.carp.own(cx.n0);
    own.demotion.set(f.demotion);
    own.suppress_preempt.set(f.suppress_preempt);
    own.echoes.set(f.echoes);
    own.count(|s| *s = stats);
    // What was to be said had been.
    own.unsaid.set(false);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testutil::World;

    /// A world whose carp0 has lived, and another whose carp0 has not.
    fn lived(state: State) -> (World, Arc<CarpSoftc>) {
        let (mut w, sc) = World::with_carp0(100);
        w.kern.now.set(Time(2_000_000_000));
        if state == State::Master {
            w.cx(|cx| state::master_down(cx, &sc, Reason::MasterTimedOut));
        }
        w.kern.now.set(Time(2_300_000_000));
        w.cx(|cx| crate::demote::demote_adj(cx, 7, "test"));
        (w, sc)
    }

    #[test]
    fn whoever_thaws_is_as_the_frozen_one_was_and_says_nothing() {
        for state in [State::Backup, State::Master] {
            let (mut old, was) = lived(state);
            let (f, g) = old.cx(|cx| (freeze_softc(cx, &was, &|_| false), freeze(cx)));
            let (mut new, sc) = World::with_carp0(0);
            new.kern.now.set(old.kern.now.get());
            new.kern.effects.borrow_mut().clear();
            new.kern.notified.borrow_mut().clear();
            new.cx(|cx| {
                thaw_softc(cx, &sc, &f).unwrap();
                thaw(cx, &g).unwrap();
            });
            assert_eq!(new.cx(|cx| (freeze_softc(cx, &sc, &|_| false), freeze(cx))), (f, g));
            assert_eq!(sc.sc_if.link_state(), was.sc_if.link_state());
            let said = new.kern.effects.take();
            assert!(said.iter().all(|e| matches!(e, crate::testutil::Effect::Route(..))), "{said:?}");
            assert!(new.kern.notified.take().is_empty());
        }
    }

    #[test]
    fn a_callout_whose_message_is_under_way_is_due_at_once() {
        let (mut old, was) = lived(State::Master);
        old.cx(|cx| clone::stop_callouts(cx, &was));
        let f = old.cx(|cx| freeze_softc(cx, &was, &|c| c.timer == Timer::Ad));
        assert_eq!(f.callouts, [Some(2_300_000_000), None, None]);
    }

    #[test]
    fn another_parent_and_what_makes_no_sense_are_refused() {
        let (mut old, was) = lived(State::Master);
        let f = old.cx(|cx| freeze_softc(cx, &was, &|_| false));
        let (mut new, sc) = World::with_carp0(0);
        let mut refused = |f: FrozenSoftc| new.cx(|cx| thaw_softc(cx, &sc, &f)).unwrap_err();
        let parent = Some("em1".to_owned());
        let said = refused(FrozenSoftc { parent, ..f.clone() });
        assert_eq!(said, "carp0: its parent would be em0, and was em1");
        assert_eq!(refused(FrozenSoftc { state: 3, ..f.clone() }), "carp0: its state makes no sense");
        assert_eq!(refused(FrozenSoftc { reason: "x".into(), ..f }), "carp0: its reason makes no sense");
        assert_eq!(sc.state(), State::Backup);
    }

    #[test]
    fn options_go_by_name_and_only_those_that_are_not_as_by_default() {
        let (mut old, _) = World::with_carp0(0);
        assert_eq!(old.cx(opts), []);
        old.carp.own(&old.n0).opts.preempt.set(1);
        old.carp.own(&old.n0).opts.dscp.set(0);
        old.cx(|cx| crate::demote::demote_adj(cx, 7, "test"));
        let all = old.cx(opts);
        let expected = [("net.inet.carp.dscp", 0), ("net.inet.carp.preempt", 1)];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value)));
        let (mut new, _) = World::with_carp0(0);
        new.cx(|cx| set_opts(cx, &all)).unwrap();
        assert_eq!(new.cx(opts), all);
        assert_eq!(new.cx(|cx| all_opts(cx)), old.cx(|cx| all_opts(cx)));
    }

    #[test]
    fn an_option_that_is_in_use_and_unknown_here_is_refused_by_a_sentence() {
        let (mut new, _) = World::with_carp0(0);
        let refused = new.cx(|cx| set_opts(cx, &[("net.inet.carp.other".into(), 240)]));
        let told =
            "net.inet.carp.other is 240, and this netisrd has no such sysctl: give it back its default first";
        assert_eq!(refused, Err(told.into()));
    }
}
