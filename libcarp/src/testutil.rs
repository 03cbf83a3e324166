//! The kernel of the tests: time stands still until it is told to move, and
//! every effect is recorded, in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use crate::carpreq::{CARPR_STATE_KEEP, CarpReq};
use crate::header::CarpHeader;
use crate::hmac::Form;
use crate::ifaddr::{self, IfaddrEvent};
use crate::input::{self, DropReason};
use crate::kernel::{CarpCallout, Cx, Kernel, Level, Timer};
use crate::reason::Transition;
use crate::softc::{Carp, CarpSoftc, State};
use crate::{Ifaddr, Ifnet, clone, ioctl, state};
use compat::net::if_::{IFT_CARP, IFT_ETHER, IfName, Iff};
use compat::net::if_var::IfAttach;
use compat::netinet::ip::Ip;
use compat::netinet6::ip6::Ip6;
use compat::qsbr::{self, Brand, Netisr0};
use compat::sys::callout::Callouts;
use compat::sys::errno::Errno;
use compat::sys::socket::Af;
use compat::sys::time::Time;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use ipnet::IpNet;
use std::time::Duration;
use triomphe::Arc;

/// One thing that CARP did to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An advertisement: interface, vhid, advbase, advskew.
    Ad(&'static str, u8, u8, u8),
    /// The same over IPv6.
    Ad6(&'static str, u8, u8, u8),
    /// Gratuitous ARP.
    Arp(&'static str, Ipv4Addr),
    /// An unsolicited neighbour advertisement.
    Na(&'static str, core::net::Ipv6Addr),
    Promisc(&'static str, bool),
    /// CARP's IPv4 group.
    Join(&'static str),
    Leave(&'static str),
    /// Any other group.
    JoinGroup(&'static str, IpAddr),
    LeaveGroup(&'static str, IpAddr),
    Route(Ipv4Addr, &'static str, &'static str),
    Unroute(Ipv4Addr),
    Route6(core::net::Ipv6Addr, &'static str, &'static str),
    Unroute6(core::net::Ipv6Addr),
    IfMsg(&'static str, State),
}

pub struct FakeKernel {
    pub now: Cell<Time>,
    pub random: Cell<u64>,
    pub callouts: RefCell<Callouts<CarpCallout>>,
    pub effects: RefCell<Vec<Effect>>,
    /// Every packet, as sent.
    pub wire: RefCell<Vec<Vec<u8>>>,
    pub ifaddrs: RefCell<Vec<Arc<Ifaddr>>>,
    pub logged: RefCell<Vec<String>>,
    pub notified: RefCell<Vec<(&'static str, Transition)>>,
    /// What `ip_output` says.
    pub output_error: Cell<Option<Errno>>,
    /// In which family only; `None`: in both.
    pub output_error_af: Cell<Option<Af>>,
    /// The groups that are joined.
    pub groups: RefCell<std::collections::BTreeSet<(&'static str, IpAddr)>>,
    /// Interfaces whose state an `IfMsg` reports.
    softcs: RefCell<Vec<Arc<CarpSoftc>>>,
}

/// Names as `&'static str`, so that effects are written short.
fn name_of(ifp: &Ifnet) -> &'static str {
    match ifp.if_xname.as_str() {
        "em0" => "em0",
        "em1" => "em1",
        "carp0" => "carp0",
        "carp1" => "carp1",
        other => panic!("no test has {other}"),
    }
}

impl FakeKernel {
    fn did(&self, e: Effect) {
        self.effects.borrow_mut().push(e);
    }

    fn routed(&self, n0: &Netisr0, from: &'static str, to: &Arc<Ifaddr>) {
        let name = name_of(&to.ifa_ifp);
        self.did(match to.prefix(n0) {
            IpNet::V4(net) => Effect::Route(net.addr(), from, name),
            IpNet::V6(net) => Effect::Route6(net.addr(), from, name),
        });
    }
}

impl Kernel for FakeKernel {
    fn now(&self) -> Time {
        self.now.get()
    }

    fn arc4random(&self, _: &Netisr0) -> u64 {
        self.random
            .set(self.random.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
        self.random.get()
    }

    fn callout_reset(&self, _: &Netisr0, c: CarpCallout, after: Duration) {
        self.callouts.borrow_mut().reset(c, self.now.get() + after);
    }

    fn callout_stop(&self, _: &Netisr0, c: CarpCallout) {
        self.callouts.borrow_mut().stop(c);
    }

    fn callout_deadline(&self, _: &Netisr0, c: CarpCallout) -> Option<Time> {
        self.callouts.borrow().deadline(c)
    }

    fn ip_output(&self, n0: &Netisr0, cifp: &Arc<Ifnet>, af: Af, packet: &[u8]) -> Result<(), Errno> {
        let sc = self.softcs.borrow().iter().find(|sc| Arc::ptr_eq(&sc.sc_if, cifp)).cloned();
        if sc.is_none_or(|sc| sc.carpdev(n0).is_none_or(|p| !p.flags().contains(Iff::UP))) {
            return Err(Errno::ENETDOWN);
        }
        let body = match af {
            Af::Inet => &packet[Ip::parse(packet).unwrap().hlen..],
            Af::Inet6 => Ip6::parse(packet).unwrap().payload(packet),
        };
        let h = CarpHeader::parse(body).unwrap();
        let ad = [Effect::Ad, Effect::Ad6][af as usize];
        self.did(ad(name_of(cifp), h.vhid, h.advbase, h.advskew));
        self.wire.borrow_mut().push(packet.to_vec());
        let fails = self.output_error_af.get().is_none_or(|only| only == af);
        self.output_error.get().filter(|_| fails).map_or(Ok(()), Err)
    }

    fn announce(&self, _: &Netisr0, cifp: &Arc<Ifnet>, ia: &Arc<Ifaddr>) {
        self.did(match ia.ifa_addr {
            IpAddr::V4(a) => Effect::Arp(name_of(cifp), a),
            IpAddr::V6(a) => Effect::Na(name_of(cifp), a),
        });
    }

    fn ifpromisc(&self, n0: &Netisr0, ifp: &Arc<Ifnet>, on: bool) -> Result<(), Errno> {
        let pcount = &ifp.own(n0).if_pcount;
        pcount.set(if on { pcount.get() + 1 } else { pcount.get() - 1 });
        self.did(Effect::Promisc(name_of(ifp), on));
        Ok(())
    }

    fn addmulti(&self, _: &Netisr0, ifp: &Arc<Ifnet>, group: IpAddr) {
        let carp = group == IpAddr::from([224, 0, 0, 18]);
        let name = name_of(ifp);
        self.did(if carp { Effect::Join(name) } else { Effect::JoinGroup(name, group) });
        assert!(self.groups.borrow_mut().insert((name, group)), "{name} joined {group} twice");
    }

    fn delmulti(&self, _: &Netisr0, ifp: &Arc<Ifnet>, group: IpAddr) {
        let carp = group == IpAddr::from([224, 0, 0, 18]);
        let name = name_of(ifp);
        self.did(if carp { Effect::Leave(name) } else { Effect::LeaveGroup(name, group) });
        assert!(self.groups.borrow_mut().remove(&(name, group)), "{name} left {group} twice");
    }

    fn rtchange(&self, n0: &Netisr0, old: &Arc<Ifaddr>, new: &Arc<Ifaddr>) {
        if old.has_route(n0) {
            old.set_route(n0, false);
            new.set_route(n0, true);
            self.routed(n0, name_of(&old.ifa_ifp), new);
        }
    }

    fn rtadd(&self, n0: &Netisr0, ia: &Arc<Ifaddr>) {
        if self.in_addprefix(n0, ia) {
            self.routed(n0, "", ia);
        }
    }

    fn rtdelete(&self, n0: &Netisr0, ia: &Arc<Ifaddr>) {
        match (self.in_scrubprefix(n0, ia), ia.prefix(n0)) {
            ((true, Some(heir)), _) => self.routed(n0, name_of(&ia.ifa_ifp), &heir),
            ((true, None), IpNet::V4(net)) => self.did(Effect::Unroute(net.addr())),
            ((true, None), IpNet::V6(net)) => self.did(Effect::Unroute6(net.addr())),
            ((false, _), _) => {}
        }
    }

    fn rt_ifmsg(&self, _: &Netisr0, ifp: &Arc<Ifnet>) {
        let state = self.softcs.borrow().iter().find(|s| Arc::ptr_eq(&s.sc_if, ifp)).map(|s| s.state());
        self.did(Effect::IfMsg(name_of(ifp), state.unwrap_or(State::Init)));
    }

    fn devctl_notify(&self, _: &Netisr0, sc: &CarpSoftc, t: Transition) {
        self.notified.borrow_mut().push((name_of(&sc.sc_if), t));
    }

    fn hush(&self, _: &Netisr0, _: &CarpSoftc) {}

    fn ifaddrs(&self, _: &Netisr0) -> Vec<Arc<Ifaddr>> {
        self.ifaddrs.borrow().clone()
    }

    fn log(&self, _: Level, line: fmt::Arguments<'_>) {
        self.logged.borrow_mut().push(line.to_string());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cx(clone::crash);
    }
}

/// A machine of one netisr with CARP in it.
pub struct World {
    pub brand: Brand,
    pub carp: Carp,
    pub n0: Netisr0,
    pub kern: FakeKernel,
    next_index: u16,
}

impl World {
    pub fn new() -> World {
        let (brand, mut seeds) = qsbr::machine(1);
        let n0 = seeds.remove(0).claim0(Box::new(|| {}));
        let kern = FakeKernel {
            now: Cell::new(Time(0)),
            random: Cell::new(1),
            callouts: RefCell::default(),
            effects: RefCell::default(),
            wire: RefCell::default(),
            ifaddrs: RefCell::default(),
            logged: RefCell::default(),
            notified: RefCell::default(),
            output_error: Cell::new(None),
            output_error_af: Cell::new(None),
            groups: RefCell::default(),
            softcs: RefCell::default(),
        };
        World { carp: Carp::new(&brand), brand, n0, kern, next_index: 1 }
    }

    /// em0 with 10.0.0.2/24, and carp0 on it: vhid 1, password `secret`,
    /// 10.0.0.1/24; in BACKUP, with nothing recorded.
    pub fn with_carp0(advskew: i32) -> (World, Arc<CarpSoftc>) {
        let mut w = World::new();
        let em0 = w.ether("em0");
        w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
        let sc = w.carp_if("carp0");
        w.up(&sc);
        w.setvh(&sc, CarpReq { carpr_vhid: 1, carpr_advskew: advskew, ..w.keep("secret") }).unwrap();
        w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
        w.effects();
        (w, sc)
    }

    pub fn cx<R>(&mut self, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        self.carp.enter(&mut self.n0, &self.kern, f)
    }

    fn attach(&mut self, name: &str, if_type: u8, flags: Iff) -> Arc<Ifnet> {
        let index = self.next_index;
        self.next_index += 1;
        let name = IfName::new(name).unwrap();
        let lladdr = [2, 0, 0, 0, 0, index as u8];
        let (shared_with_host, served_by_host) = (false, false);
        let a = IfAttach { name, index, if_type, flags, mtu: 1500, lladdr, shared_with_host, served_by_host };
        Arc::new(Ifnet::new(&self.brand, a))
    }

    pub fn ether(&mut self, name: &str) -> Arc<Ifnet> {
        self.attach(name, IFT_ETHER, Iff::UP | Iff::RUNNING | Iff::BROADCAST | Iff::MULTICAST)
    }

    pub fn carp_if(&mut self, name: &str) -> Arc<CarpSoftc> {
        let ifp = self.attach(name, IFT_CARP, clone::CARP_IF_FLAGS);
        let sc = self.cx(|cx| clone::create(cx, ifp));
        self.kern.softcs.borrow_mut().push(sc.clone());
        sc
    }

    pub fn up(&mut self, sc: &Arc<CarpSoftc>) {
        sc.sc_if.set_flags(&self.n0, Iff::UP);
        self.cx(|cx| ioctl::sifflags(cx, sc));
    }

    pub fn down(&mut self, sc: &Arc<CarpSoftc>) {
        sc.sc_if.clear_flags(&self.n0, Iff::UP);
        self.cx(|cx| ioctl::sifflags(cx, sc));
    }

    /// A request that keeps the state and sets nothing but the key.
    pub fn keep(&self, pass: &str) -> CarpReq {
        let mut req = CarpReq { carpr_state: CARPR_STATE_KEEP, carpr_advbase: 1, ..CarpReq::default() };
        req.carpr_key[..pass.len()].copy_from_slice(pass.as_bytes());
        req
    }

    pub fn setvh(&mut self, sc: &Arc<CarpSoftc>, req: CarpReq) -> Result<(), Errno> {
        self.cx(|cx| ioctl::setvh(cx, sc, &req))
    }

    /// An IPv4 address with 24 bits of prefix.
    pub fn add_addr(&mut self, ifp: &Arc<Ifnet>, addr: [u8; 4]) -> Result<(), Errno> {
        self.add(ifp, &format!("{}/24", Ipv4Addr::from(addr)))
    }

    /// As the machine does it: an address that CARP refuses is gone again.
    pub fn add(&mut self, ifp: &Arc<Ifnet>, net: &str) -> Result<(), Errno> {
        let ia = Arc::new(Ifaddr::new(&self.brand, ifp.clone(), net.parse().unwrap()));
        self.kern.ifaddrs.borrow_mut().push(ia.clone());
        if ifp.if_type == IFT_ETHER {
            self.kern.in_addprefix(&self.n0, &ia);
        }
        let r = self.cx(|cx| ifaddr::ifaddr(cx, &ia, IfaddrEvent::Add));
        if r.is_err() {
            self.kern.ifaddrs.borrow_mut().pop();
        }
        r
    }

    /// The address, the newest if several interfaces have it.
    pub fn ia(&self, addr: impl Into<IpAddr>) -> Arc<Ifaddr> {
        let addr = addr.into();
        self.kern.ifaddrs.borrow().iter().rev().find(|i| i.ifa_addr == addr).expect("address").clone()
    }

    /// What was done since the last call.
    pub fn effects(&self) -> Vec<Effect> {
        self.kern.effects.take()
    }

    /// The deadlines of the advertisement and master-down callouts, from now.
    pub fn timers(&self, sc: &CarpSoftc) -> (Option<Duration>, Option<Duration>) {
        let at = |timer| {
            let c = CarpCallout { if_index: sc.sc_if.if_index, timer };
            self.kern.callouts.borrow().deadline(c).map(|t| t - self.kern.now.get())
        };
        (at(Timer::Ad), at(Timer::Md))
    }

    /// The deadline of IPv6's master-down callout, from now.
    pub fn timer6(&self, sc: &CarpSoftc) -> Option<Duration> {
        let c = CarpCallout { if_index: sc.sc_if.if_index, timer: Timer::Md6 };
        self.kern.callouts.borrow().deadline(c).map(|t| t - self.kern.now.get())
    }

    /// Time passes; callouts fire.
    pub fn pass(&mut self, d: Duration) {
        let end = self.kern.now.get() + d;
        loop {
            let next = self.kern.callouts.borrow().next().filter(|t| *t <= end);
            let Some(t) = next else { break };
            self.kern.now.set(t);
            let due = self.kern.callouts.borrow_mut().expire(t).unwrap();
            self.cx(|cx| {
                let sc = cx.carp.softc(cx.n0, due.if_index).expect("a callout of a live interface");
                state::timeout(cx, &sc, due.timer);
            });
        }
        self.kern.now.set(end);
    }

    /// The interface hears a packet.
    pub fn hear_packet(&mut self, sc: &CarpSoftc, packet: &[u8]) -> Result<(), DropReason> {
        let ip = Ip::parse(packet).unwrap();
        self.cx(|cx| input::proto_input(cx, &sc.sc_if, &ip, packet))
    }

    /// The interface hears a peer with its own vhid, addresses and key.
    pub fn hear(&mut self, sc: &CarpSoftc, advbase: u8, advskew: u8) -> Result<(), DropReason> {
        let packet = self.ad_of_peer(sc, advbase, advskew, 7777);
        self.hear_packet(sc, &packet)
    }

    /// The same over IPv6.
    pub fn hear6(&mut self, sc: &CarpSoftc, advbase: u8, advskew: u8) -> Result<(), DropReason> {
        let packet = peer_packet6(&self.ad_of_peer(sc, advbase, advskew, 7778)[20..]);
        self.hear_packet6(sc, &packet)
    }

    /// The interface hears an IPv6 packet.
    pub fn hear_packet6(&mut self, sc: &CarpSoftc, packet: &[u8]) -> Result<(), DropReason> {
        let ip6 = Ip6::parse(packet).unwrap();
        self.cx(|cx| input::proto_input6(cx, &sc.sc_if, &ip6, packet))
    }

    pub fn ad_of_peer(&self, sc: &CarpSoftc, advbase: u8, advskew: u8, counter: u64) -> Vec<u8> {
        let own = sc.own(&self.n0);
        let counter = crate::header::Counter(counter);
        let md = own.hmac.borrow().generate(counter, Form::All);
        let h = CarpHeader::new(own.vhid.get().unwrap(), advbase, advskew, counter, md);
        peer_packet(&h.emit(), 255, [224, 0, 0, 18])
    }
}

/// The same over IPv6, from fe80::3.
pub fn peer_packet6(body: &[u8]) -> Vec<u8> {
    let (src, dst) = ("fe80::3".parse().unwrap(), "ff02::12".parse().unwrap());
    Ip6 { plen: 0, nxt: 112, hlim: 255, src, dst }.packet(body)
}

/// An IPv4 packet of protocol 112 from 10.0.0.3.
pub fn peer_packet(body: &[u8], ttl: u8, dst: [u8; 4]) -> Vec<u8> {
    let src = [10, 0, 0, 3].into();
    Ip { hlen: 20, tos: 0x10, len: 0, id: 1, off: 0x4000, ttl, p: 112, src, dst: dst.into() }.packet(body)
}

/// The skew as a time.
pub fn skew(s: u8) -> Duration {
    crate::types::Interval::new(0, s).duration()
}

/// carp0 as MASTER with advskew 100, nothing recorded.
pub fn master() -> (World, Arc<CarpSoftc>) {
    let (mut w, sc) = World::with_carp0(100);
    w.pass(Duration::from_secs(4));
    assert_eq!(sc.state(), State::Master);
    w.effects();
    (w, sc)
}
