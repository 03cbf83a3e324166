//! Random sequences of everything that can happen to two carp interfaces on
//! two parents. After each step what is counted, joined, listed, routed and
//! armed is what its causes add up to, and no MASTER has left silently.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::carpreq::{CARPR_VHID_CLEAR, CarpPeers, CarpReq};
use crate::ifaddr::{self, IfaddrEvent};
use crate::kernel::{CarpCallout, Timer};
use crate::softc::{CarpSoftc, State};
use crate::sysctl::OIDS;
use crate::testutil::{Effect, World};
use crate::testutil_machine::same_route;
use crate::{Ifaddr, Ifnet, ioctl, state};
use compat::net::if_::{IFT_CARP, Iff, LinkState};
use compat::netinet::in_::SockAddrIn;
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use compat::sys::sysctl;
use core::net::IpAddr;
use std::time::Duration;
use triomphe::Arc;

struct Chaos {
    w: World,
    ems: [Arc<Ifnet>; 2],
    scs: [Arc<CarpSoftc>; 2],
    state: u64,
}

const ADDRS: [&str; 12] = [
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.0.3/24",
    "10.0.0.9/25",
    "10.0.1.1/24",
    "10.0.1.2/24",
    "2001:db8::1/64",
    "2001:db8::2/64",
    "2001:db8::3/64",
    "2001:db8:1::1/64",
    "fe80::1/64",
    "fe80::2/64",
];

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut w = World::new();
        let ems = [w.ether("em0"), w.ether("em1")];
        let scs = [w.carp_if("carp0"), w.carp_if("carp1")];
        Chaos { w, ems, scs, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn random(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 33) as usize % below
    }

    fn sc(&mut self) -> Arc<CarpSoftc> {
        let n = self.random(2);
        self.scs[n].clone()
    }

    fn em(&mut self) -> Arc<Ifnet> {
        let n = self.random(2);
        self.ems[n].clone()
    }

    fn addresses(&self, ifp: &Arc<Ifnet>) -> Vec<Arc<Ifaddr>> {
        let all = self.w.kern.ifaddrs.borrow();
        all.iter().filter(|ia| Arc::ptr_eq(&ia.ifa_ifp, ifp)).cloned().collect()
    }

    fn add(&mut self, ifp: &Arc<Ifnet>) -> String {
        let net = ADDRS[self.random(ADDRS.len())];
        let addr: core::net::IpAddr = net.split('/').next().unwrap().parse().unwrap();
        if self.addresses(ifp).iter().any(|ia| ia.ifa_addr == addr) {
            return "nothing".into();
        }
        let r = self.w.add(ifp, net);
        format!("add {net} to {}: {r:?}", ifp.if_xname)
    }

    fn del(&mut self, ifp: &Arc<Ifnet>) -> String {
        let mine = self.addresses(ifp);
        if mine.is_empty() {
            return "nothing".into();
        }
        let ia = mine[self.random(mine.len())].clone();
        self.w.del(&ia);
        format!("delete {} of {}", ia.ifa_addr, ifp.if_xname)
    }

    fn change(&mut self, ifp: &Arc<Ifnet>) -> String {
        let mine = self.addresses(ifp);
        if mine.is_empty() {
            return "nothing".into();
        }
        let ia = mine[self.random(mine.len())].clone();
        let len = if ia.ifa_addr.is_ipv4() { [24, 25][self.random(2)] } else { [64, 48][self.random(2)] };
        let r = self.w.change(&ia, len);
        format!("{} of {} to /{len}: {r:?}", ia.ifa_addr, ifp.if_xname)
    }

    fn parent(&mut self, up: bool) -> String {
        let ifp = self.em();
        if ifp.flags().contains(Iff::UP) == up {
            return "nothing".into();
        }
        self.w.set_up(&ifp, up);
        format!("{} up {up}", ifp.if_xname)
    }

    fn setvh(&mut self) -> String {
        let sc = self.sc();
        let vhid = [1, 2, 3, CARPR_VHID_CLEAR, 0][self.random(5)];
        let skew = [0, 50, 100, 254][self.random(4)];
        let state = [-1, -1, -1, 1, 2][self.random(5)];
        let req =
            CarpReq { carpr_state: state, carpr_vhid: vhid, carpr_advskew: skew, ..self.w.keep("secret") };
        let r = self.w.setvh(&sc, req);
        format!("{} vhid {vhid} advskew {skew} state {state}: {r:?}", sc.xname())
    }

    fn step(&mut self) -> String {
        match self.random(21) {
            0..=2 => {
                let ifp = self.em();
                self.add(&ifp)
            }
            3..=5 => {
                let ifp = self.sc().sc_if.clone();
                self.add(&ifp)
            }
            6 => {
                let ifp = self.em();
                self.del(&ifp)
            }
            7 => {
                let ifp = self.sc().sc_if.clone();
                self.del(&ifp)
            }
            8 => {
                let ifp = if self.random(2) == 0 { self.em() } else { self.sc().sc_if.clone() };
                self.change(&ifp)
            }
            9 => self.parent(false),
            10 | 11 => self.parent(true),
            12 | 13 => self.setvh(),
            14 => {
                let (sc, up) = (self.sc(), self.random(4) > 0);
                if up {
                    self.w.up(&sc)
                } else {
                    self.w.down(&sc)
                }
                format!("{} up {up}", sc.xname())
            }
            15 => {
                let (sc, n) = (self.sc(), self.random(3));
                let ifp = self.ems.get(n).cloned();
                let r = self.w.cx(|cx| ifaddr::set_carpdev(cx, &sc, ifp.as_ref()));
                format!("{} carpdev {:?}: {r:?}", sc.xname(), ifp.map(|i| i.if_xname))
            }
            16 => {
                let (ifp, up) = (self.em(), self.random(3) > 0);
                ifp.set_link_state(&self.w.n0, if up { LinkState::Up } else { LinkState::Down });
                self.w.cx(|cx| ifaddr::carpdev_state(cx, &ifp));
                format!("{} link {up}", ifp.if_xname)
            }
            17 => {
                let sc = self.sc();
                let (base, skew) = [(1, 0), (1, 100), (1, 254), (255, 255)][self.random(4)];
                let inet6 = self.random(2) == 0;
                if sc.own(&self.w.n0).vhid.get().is_some() {
                    let _ = if inet6 { self.w.hear6(&sc, base, skew) } else { self.w.hear(&sc, base, skew) };
                }
                format!("{} hears {base}/{skew} over IPv6 {inet6}", sc.xname())
            }
            18 => {
                let sc = self.sc();
                let to = [[0, 0, 0, 0], [10, 0, 0, 77], [224, 0, 0, 99]][self.random(3)];
                let p = CarpPeers { carpp_addr: SockAddrIn::new(to.into()), ..CarpPeers::default() };
                self.w.cx(|cx| ioctl::setpeers(cx, &sc, &p)).unwrap();
                format!("{} peer {to:?}", sc.xname())
            }
            19 => {
                let begins = self.random(2) == 0;
                self.w.cx(|cx| if begins { state::config_begin(cx) } else { state::config_end(cx) });
                format!("a configuration begins {begins}")
            }
            _ => {
                let broken = self.random(4) == 0;
                self.w.kern.output_error.set(broken.then_some(Errno::ENETDOWN));
                let (preempt, setroute) = (self.random(2) as i32, (self.random(4) > 0) as i32);
                self.w.carp.own(&self.w.n0).opts.preempt.set(preempt);
                let unbacked = [0, 240][self.random(2)];
                for (leaf, value) in [("setroute", setroute), ("unbacked_demotion_factor", unbacked)] {
                    let name = format!("net.inet.carp.{leaf}");
                    let set = self.w.cx(|cx| sysctl::sysctl(OIDS, cx, &name, &value.to_ne_bytes(), true));
                    set.unwrap().unwrap();
                }
                let ms = self.random(6000) as u64;
                self.w.pass(Duration::from_millis(ms));
                format!("{ms} ms, sending fails {broken}, setroute {setroute}")
            }
        }
    }

    fn armed(&self, sc: &CarpSoftc, timer: Timer) -> bool {
        let c = CarpCallout { if_index: sc.sc_if.if_index, timer };
        self.w.kern.callouts.borrow().deadline(c).is_some()
    }

    fn check(&self) {
        let n0 = &self.w.n0;
        for ifp in &self.ems {
            let backed: Vec<_> =
                self.scs.iter().filter(|sc| sc.carpdev(n0).is_some_and(|p| Arc::ptr_eq(p, ifp))).collect();
            assert_eq!(ifp.own(n0).if_pcount.get(), u32::from(!backed.is_empty()), "promiscuous");
            let listed: Vec<_> = ifp.if_carp.load(n0).map_or(vec![], |cif| cif.iter().collect());
            assert_eq!(listed.len(), backed.len(), "listed");
            assert!(listed.windows(2).all(|w| w[0].scc_vhid <= w[1].scc_vhid), "sorted");
            for scc in listed {
                assert_eq!(scc.scc_vhid, scc.scc_softc.own(n0).vhid.get(), "the list's vhid");
                if let Some(v) = scc.scc_vhid {
                    let found = ifp.if_carp.load(n0).and_then(|cif| cif.by_vhid(v.get()));
                    assert!(
                        found.is_some_and(|f| Arc::ptr_eq(&f.scc_softc, &scc.scc_softc)),
                        "found by vhid"
                    );
                }
            }
            assert!(
                !ifp.flags().contains(Iff::UP) <= backed.is_empty(),
                "a parent that is down backs nobody"
            );
        }
        self.check_routes();
        let mut reasons = 0;
        for sc in &self.scs {
            self.check_softc(sc);
            let own = sc.own(n0);
            reasons += [&own.suppress, &own.unbacked, &own.sendad_demotes]
                .iter()
                .filter(|reason| reason.get().is_some_and(|factor| factor != 0))
                .count();
        }
        let own = self.w.carp.own(n0);
        assert_eq!((own.suppress_preempt.get(), own.demotion.get()), (reasons as i32, 240 * reasons as i64));
    }

    /// One address holds the route of each prefix: a MASTER's, if the route
    /// could come to it.
    fn check_routes(&self) {
        let (n0, all) = (&self.w.n0, self.w.kern.ifaddrs.borrow().clone());
        let linklocal = |ia: &Ifaddr| matches!(ia.ifa_addr, IpAddr::V6(a) if a.is_unicast_link_local());
        let holders = |ia: &Arc<Ifaddr>| -> Vec<&Arc<Ifaddr>> {
            all.iter().filter(|o| o.has_route(n0) && same_route(n0, o, ia)).collect()
        };
        for ia in all.iter().filter(|ia| !linklocal(ia)) {
            let n = holders(ia).len();
            assert!(n <= 1, "{n} routes to the prefix of {}", ia.ifa_addr);
            let up = self.ems.iter().any(|em| Arc::ptr_eq(em, &ia.ifa_ifp))
                && ia.ifa_ifp.flags().contains(Iff::UP);
            assert!(!up || n == 1, "no route to the prefix of {}", ia.ifa_addr);
        }
        let setroute = self.w.carp.own(n0).opts.setroute();
        for sc in &self.scs {
            for vha in sc.own(n0).vha_list().iter() {
                let ia = &vha.vha_ia;
                let entitled = setroute && sc.is_running_master() && vha.is_active(n0);
                assert!(entitled || !ia.has_route(n0), "{} has a route of {}", sc.xname(), ia.ifa_addr);
                if entitled && !ia.has_route(n0) {
                    let held = holders(ia);
                    assert!(!held.is_empty(), "{} has no route for {}", sc.xname(), ia.ifa_addr);
                    let parent = sc.carpdev(n0).unwrap();
                    let elsewhere = held.iter().all(|h| !Arc::ptr_eq(&h.ifa_ifp, parent));
                    assert!(elsewhere, "the parent of {} keeps the route of {}", sc.xname(), ia.ifa_addr);
                }
            }
        }
    }

    /// Who has ceased to be MASTER without a bow-out, though neither a better
    /// one was heard nor the link lost.
    fn left_silently(&self, mut master: [bool; 2], what: &str) -> Option<&'static str> {
        let mut bowed_out = [false; 2];
        let index = |name: &str| usize::from(name == "carp1");
        for e in self.w.effects() {
            match e {
                Effect::Ad(name, _, base, skew) | Effect::Ad6(name, _, base, skew) => {
                    bowed_out[index(name)] = (base, skew) == (255, 255);
                }
                Effect::IfMsg(name, state) => {
                    let i = index(name);
                    let leaves = std::mem::replace(&mut master[i], state == State::Master) && !master[i];
                    if leaves && !bowed_out[i] && !what.contains("hears") && !what.contains("link") {
                        return Some(name);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn check_softc(&self, sc: &Arc<CarpSoftc>) {
        let n0 = &self.w.n0;
        let own = sc.own(n0);
        let list = own.vha_list();
        assert!(list.windows(2).all(|w| w[0].addr() < w[1].addr()), "ascending");
        let mine = self.addresses(&sc.sc_if);
        assert_eq!(list.len(), mine.len(), "every address of a carp interface is virtual");
        for af in Af::ALL {
            let active = list.iter().filter(|v| v.is_active(n0) && v.vha_ia.af() == af).count();
            assert_eq!(own.af(af).naddrs.get(), active, "naddrs");
            let group = own.af(af).dst.get();
            let wanted = (active > 0 && group.is_multicast()).then_some(group);
            assert_eq!(own.af(af).joined.get(), wanted, "joined");
            let name = if sc.xname() == "carp0" { "carp0" } else { "carp1" };
            let joined =
                self.w.kern.groups.borrow().iter().filter(|(n, g)| *n == name && Af::of(*g) == af).count();
            assert_eq!(joined, usize::from(wanted.is_some()), "as the kernel knows it");
            let source = own.af(af).ia.borrow().clone();
            let all = self.w.kern.ifaddrs.borrow().clone();
            if let Some(ia) = source {
                assert!(all.iter().any(|i| Arc::ptr_eq(i, &ia)), "the source exists");
                assert!(sc.carpdev(n0).is_some_and(|p| Arc::ptr_eq(p, &ia.ifa_ifp)), "on the parent");
            } else {
                assert!(active == 0 || own.bound.borrow().is_some(), "a source");
            }
        }
        for vha in list.iter().filter(|v| v.is_active(n0)) {
            if let Some(back) = vha.iaback(n0) {
                assert!(
                    sc.carpdev(n0).is_some_and(|p| Arc::ptr_eq(p, &back.ifa_ifp)),
                    "backed by the parent"
                );
                let bound = own.bound.borrow().is_some();
                assert!(bound || vha.vha_ia.same_prefix(n0, &back), "of the same prefix");
            }
        }
        let parent = sc.carpdev(n0);
        assert_eq!(parent.is_some(), own.naddrs() > 0, "a parent as long as there is an active address");
        if let (Some(p), Some(b)) = (parent, &*own.bound.borrow()) {
            assert!(Arc::ptr_eq(p, b), "the parent that was chosen");
        }
        let runnable = sc.sc_if.is_up_and_running()
            && own.vhid.get().is_some()
            && parent.is_some_and(|p| p.link_state() != LinkState::Down);
        let configuring = self.w.carp.own(n0).configuring.borrow();
        let waits = configuring.as_ref().is_some_and(|all| all.contains_key(&sc.sc_if.if_index));
        let runs = sc.state() != State::Init;
        assert!(runs <= runnable && runnable <= (runs || waits), "runs if it can");
        let [ad, md, md6] = Timer::ALL.map(|t| self.armed(sc, t));
        match sc.state() {
            State::Init => assert!(!ad && !md && !md6, "nothing armed in INIT"),
            State::Master => assert!(ad && !md && !md6, "a MASTER advertises"),
            State::Backup => {
                assert!(!ad && (md || md6), "a BACKUP waits for its master");
                let used = |af| own.af(af).naddrs.get() > 0;
                assert!(md <= used(Af::Inet) && md6 <= used(Af::Inet6), "where it has addresses");
            }
        }
        let forgiven = own.sendad_demotes.get().is_none();
        assert!(forgiven || runs || waits, "a failure ends in INIT, unless that is only for a while");
        let down = match parent {
            Some(p) => p.link_state() == LinkState::Down,
            None => {
                let missed = own.lost_parent.borrow().clone().or_else(|| own.bound.borrow().clone());
                let is_down = |p: &Arc<Ifnet>| !p.flags().contains(Iff::UP);
                let could = |ia: &Arc<Ifaddr>| {
                    is_down(&ia.ifa_ifp)
                        && ia.ifa_ifp.if_type != IFT_CARP
                        && list.iter().any(|vha| vha.vha_ia.same_prefix(n0, ia))
                };
                missed.map_or_else(|| self.w.kern.ifaddrs.borrow().iter().any(could), |p| is_down(&p))
            }
        };
        let wants = sc.sc_if.flags().contains(Iff::UP) && own.vhid.get().is_some() && !list.is_empty();
        assert_eq!(own.suppress.get().is_some(), wants && down, "suppressed while the parent is missed");
        let unbacked = list.iter().any(|vha| !vha.is_active(n0));
        let known = own.unbacked.get().is_some() == (wants && !down && unbacked);
        assert!(known || configuring.is_some(), "unbacked, unless that may only be for a while");
    }
}

#[test]
fn whatever_happens_everything_adds_up() {
    let seeds = std::env::var("CARP_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let mut c = Chaos::new(seed);
        let mut story = Vec::new();
        for _ in 0..300 {
            let masters = [0, 1].map(|i| c.scs[i].state() == State::Master);
            c.w.effects();
            let what = c.step();
            if what == "nothing" {
                continue;
            }
            let silent = c.left_silently(masters, &what);
            story.push(what);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                c.check();
                assert_eq!(silent, None, "left without a word");
            }));
            if checked.is_err() {
                let from = story.len().saturating_sub(25);
                panic!("seed {seed}, after\n{}", story[from..].join("\n"));
            }
        }
        // All goes: nothing is left.
        for sc in &c.scs {
            c.w.cx(|cx| crate::clone::destroy(cx, sc));
        }
        for sc in c.scs.clone() {
            for ia in c.addresses(&sc.sc_if) {
                c.w.cx(|cx| ifaddr::ifaddr(cx, &ia, IfaddrEvent::Delete)).unwrap();
            }
            c.w.cx(|cx| crate::clone::destroyed(cx, &sc));
        }
        let own = c.w.carp.own(&c.w.n0);
        assert_eq!((own.suppress_preempt.get(), own.demotion.get()), (0, 0), "seed {seed}");
        assert!(c.w.kern.groups.borrow().is_empty() && c.w.kern.callouts.borrow().next().is_none());
        assert!(c.ems.iter().all(|e| e.own(&c.w.n0).if_pcount.get() == 0));
    }
}
