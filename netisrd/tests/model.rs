//! The lab's model of CARP beside the real one: random machines, commands and
//! faults, and at every step both must be in the same state and the real one
//! must have sent what the model owed.
//!
//! `NETISRD_MODEL_SEEDS=1000` runs as many seeds, `NETISRD_MODEL_SEEDS=17..18`
//! those; `NETISRD_MODEL_LINES` is how much of the history is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "model/acts.rs"]
mod acts;
mod common;

use common::{addr, addr6, del, del6, name};
use compat::net::if_::{IfGroupReq, IfName, IfReq, Iff, LinkState};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use compat::sys::time::{Clock, Time, VirtualClock};
use ipnet::IpNet;
use libcarp::carpreq::{CARPR_STATE_KEEP, CarpReq, SIOCSVH};
use netisrd::dev::lan::{Arrival, Lan, Medium};
use netisrd::dev::{RxQueue, Transmit, Waker};
use netisrd::lab::model::{Advert, Config, Host, HostInput, Input};
use netisrd::lab::record::State;
use netisrd::net::fate::Fate;
use netisrd::sim::{MachineId, World};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

/// What the cards of all machines have done since somebody looked: by whom,
/// the frame, and whether the wire took it.
#[derive(Default)]
struct Seen {
    sent: Vec<(usize, Vec<u8>, bool)>,
    taken: Vec<(usize, Vec<u8>)>,
}

struct Tx(usize, Arc<dyn Transmit>, Arc<Mutex<Seen>>);

impl Transmit for Tx {
    fn transmit(&self, queue: usize, frame: &[u8]) -> Result<(), Errno> {
        let r = self.1.transmit(queue, frame);
        self.2.lock().unwrap().sent.push((self.0, frame.to_vec(), r.is_ok()));
        r
    }

    fn set_promisc(&self, on: bool) -> Result<(), Errno> {
        self.1.set_promisc(on)
    }
}

struct Rx(usize, Box<dyn RxQueue>, Arc<Mutex<Seen>>);

impl RxQueue for Rx {
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn set_waker(&mut self, wake: Waker) {
        self.1.set_waker(wake);
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&[u8])) -> std::io::Result<usize> {
        let Rx(n, inner, seen) = self;
        inner.receive(budget, &mut |frame| {
            seen.lock().unwrap().taken.push((*n, frame.to_vec()));
            input(frame);
        })
    }
}

/// What the wire does, in hundredths; a delay is up to so many milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    loss: u32,
    delay: u32,
    echo: u32,
    garble: u32,
    deaf_to: Option<u8>,
}

struct Wire(Arc<Mutex<Weather>>, Arc<VirtualClock>, ChaCha12Rng);

impl Medium for Wire {
    fn carry(&mut self, from: usize, frame: &Arc<[u8]>, to: &[usize], arrivals: &mut Vec<Arrival>) {
        let w = *self.0.lock().unwrap();
        let mut below = |n: u32| self.2.next_u32() % n;
        if w.deaf_to == Some(frame[12]) {
            return;
        }
        let echo = (below(100) < w.echo).then_some(from);
        for port in to.iter().copied().chain(echo) {
            if below(100) < w.loss {
                continue;
            }
            let at =
                (w.delay > 0).then(|| self.1.now() + Duration::from_micros(u64::from(below(w.delay * 1000))));
            let mut frame = frame.to_vec();
            if below(100) < w.garble {
                // In the advertisement's counter or digest: the checksum is off.
                let last = frame.len() - 1;
                frame[last] ^= 1;
            }
            arrivals.push(Arrival { port, at, frame: frame.into() });
        }
    }
}

/// One machine and its model.
struct Box_ {
    id: MachineId,
    em: IfName,
    index: u16,
    port: usize,
    model: Host,
    /// It had an IPv6 address, and so has a link-local one.
    linklocal: bool,
    /// How fast its clock goes, in millionths.
    rate: u64,
    /// Advertisements that wait at netisr0's port.
    fifo: VecDeque<Vec<u8>>,
    to_carp: u64,
    heard: u32,
}

struct Net {
    world: World,
    lan: Arc<Lan>,
    ports: usize,
    seen: Arc<Mutex<Seen>>,
    weather: Arc<Mutex<Weather>>,
    rng: ChaCha12Rng,
    boxes: Vec<Box_>,
    vhosts: usize,
    /// What is known to be wrong too.
    history: Vec<String>,
}

const EXACT: u64 = 1_000_000;

type Outcome = Result<(), String>;

fn carp(v: usize) -> IfName {
    name(&format!("carp{v}"))
}

fn key(n: u32) -> [u8; 20] {
    let mut k = [0; 20];
    k[..7].copy_from_slice(if n == 0 { b"secret\0" } else { b"another" });
    k
}

/// Those of carp interface `v`, which begin with the same digit: the sender of
/// an advertisement is known by it.
fn vhid(v: usize, n: u32) -> u8 {
    (v * 10 + 10) as u8 + n as u8
}

fn said(input: &Input) -> String {
    match input {
        Input::Setvh(c, state) => {
            let password = String::from_utf8_lossy(&c.key);
            let password = password.trim_end_matches('\0');
            format!("vhid {} {}/{} pass {password} state {state:?}", c.vhid, c.advbase, c.advskew)
        }
        _ => format!("{input:?}"),
    }
}

fn net_of(s: &str) -> IpNet {
    s.parse().unwrap()
}

impl Net {
    fn new(seed: u64) -> Net {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let (world, lan) = (World::new(seed), Lan::new());
        let (weather, seen) = (Arc::default(), Arc::default());
        let wire = Wire(Arc::clone(&weather), world.clock(), ChaCha12Rng::seed_from_u64(seed ^ 1));
        lan.set_medium(Some(Box::new(wire)));
        let (n, vhosts) = (2 + rng.next_u32() as usize % 3, 1 + rng.next_u32() as usize % 3);
        let mut net =
            Net { world, lan, ports: 0, seen, weather, rng, boxes: vec![], vhosts, history: vec![] };
        net.world.join(&Arc::clone(&net.lan));
        for k in 0..n {
            let b = net.power_on(k);
            net.boxes.push(b);
            net.set_up(k).unwrap();
        }
        net
    }

    fn below(&mut self, n: u32) -> u32 {
        self.rng.next_u32() % n
    }

    fn power_on(&mut self, k: usize) -> Box_ {
        let ncpus = 1 + self.below(3) as usize;
        let id = self.world.boot(ncpus, 0);
        let em = name(&format!("em{}", k + 2));
        let mut dev = self.lan.attach(em, [2, 0, 0, 0, 0, k as u8 + 2], 1);
        dev.tx = Arc::new(Tx(k, dev.tx, self.seen.clone()));
        let seen = self.seen.clone();
        dev.rx = dev.rx.into_iter().map(|q| Box::new(Rx(k, q, seen.clone())) as Box<dyn RxQueue>).collect();
        let index = self.world.attach(id, dev).unwrap();
        let port = self.ports;
        self.ports += 1;
        let model = Host::new(1);
        Box_ {
            id,
            em,
            index,
            port,
            model,
            linklocal: false,
            rate: EXACT,
            fifo: VecDeque::new(),
            to_carp: 0,
            heard: 0,
        }
    }

    /// Addresses, carp interfaces: what a boot script does.
    fn set_up(&mut self, k: usize) -> Outcome {
        self.parent_addr(k, true, false)?;
        if self.below(2) == 0 {
            self.parent_addr(k, true, true)?;
        }
        if self.below(2) == 0 {
            self.sysctl(k, "net.inet.carp.preempt", 1, HostInput::Preempt(true))?;
        }
        for v in 0..self.vhosts {
            self.vhost_up(k, v)?;
        }
        Ok(())
    }

    fn vhost_up(&mut self, k: usize, v: usize) -> Outcome {
        self.command(k, v, Request::ioctl(SIOCIFCREATE2, &IfReq::new(carp(v))), Input::Create)?;
        let advskew = [0, 50, 100, 100, 200, 254][self.below(6) as usize];
        let config = Config { vhid: vhid(v, 0), advbase: 1, advskew, key: key(0) };
        self.setvh(k, v, config, None)?;
        self.vaddr(k, v, true, 0)?;
        if self.below(2) == 0 {
            self.vaddr(k, v, true, 2)?;
        }
        Ok(())
    }

    /// What the machine's own clock shows.
    fn local(&self, k: usize) -> Time {
        self.world.look(self.boxes[k].id).map_or(self.world.now(), |(m, _)| m.clock().now())
    }

    fn say(&mut self, k: usize, what: &str) {
        let line = format!("{} m{k} {what}", self.world.now());
        self.history.push(line);
    }

    fn setvh(&mut self, k: usize, v: usize, c: Config, state: Option<State>) -> Outcome {
        let r = CarpReq {
            carpr_state: match state {
                Some(State::Backup) => 1,
                Some(State::Master) => 2,
                _ => CARPR_STATE_KEEP,
            },
            carpr_vhid: c.vhid.into(),
            carpr_advbase: c.advbase.into(),
            carpr_advskew: c.advskew.into(),
            carpr_key: c.key,
        };
        let req = Request::ioctl_with(SIOCSVH, &IfReq::new(carp(v)), r.as_bytes());
        self.command(k, v, req, Input::Setvh(c, state))
    }

    /// 0 and 1 are IPv4, 2 and 3 IPv6, 4 is IPv6's link-local, 5 is the parent's
    /// own.
    fn vaddr(&mut self, k: usize, v: usize, add: bool, which: u32) -> Outcome {
        let ip = match which {
            0 | 1 => format!("10.0.0.{}", 100 + v as u32 * 10 + which),
            2 | 3 => format!("2001:db8::{:x}", 0x100 + v as u32 * 16 + which),
            4 => format!("fe80::{:x}", 0x100 + v),
            _ => format!("10.0.0.{}", k + 2),
        };
        let v6 = ip.contains(':');
        let a: IpAddr = ip.parse().unwrap();
        let req = match (a, add) {
            (IpAddr::V4(a), true) => addr(carp(v), a.octets()),
            (IpAddr::V4(a), false) => del(carp(v), a.octets()),
            (_, true) => addr6(carp(v), &ip, 64),
            (_, false) => del6(carp(v), &ip),
        };
        let net = net_of(&format!("{ip}/{}", if v6 { 64 } else { 24 }));
        self.command(k, v, req, if add { Input::Addr(net) } else { Input::Unaddr(a) })
    }

    fn parent_addr(&mut self, k: usize, add: bool, v6: bool) -> Outcome {
        let em = self.boxes[k].em;
        let ip = if v6 { format!("2001:db8::{}", k + 2) } else { format!("10.0.0.{}", k + 2) };
        let a: IpAddr = ip.parse().unwrap();
        let req = match (a, add) {
            (IpAddr::V4(a), true) => addr(em, a.octets()),
            (IpAddr::V4(a), false) => del(em, a.octets()),
            (_, true) => addr6(em, &ip, 64),
            (_, false) => del6(em, &ip),
        };
        let net = net_of(&format!("{ip}/{}", if v6 { 64 } else { 24 }));
        let what = if add { HostInput::ParentAddr(0, net) } else { HostInput::ParentUnaddr(0, a) };
        self.host_command(k, req, what)
    }

    fn sysctl(&mut self, k: usize, leaf: &str, value: i32, what: HostInput) -> Outcome {
        self.host_command(k, Request::sysctl(leaf, &value.to_ne_bytes()), what)
    }

    fn up(&mut self, k: usize, ifname: IfName, up: bool) -> Request {
        let id = self.boxes[k].id;
        let reply = self.world.syscall(id, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(ifname)));
        let mut r = IfReq::read_from_bytes(&reply.arg).unwrap_or_else(|_| IfReq::new(ifname));
        let mut flags = r.flags();
        flags.set(Iff::UP, up);
        r.set_flags(flags);
        Request::ioctl(SIOCSIFFLAGS, &r)
    }

    fn command(&mut self, k: usize, v: usize, req: Request, input: Input) -> Outcome {
        self.idle()?;
        let error = self.world.syscall(self.boxes[k].id, req).error;
        self.say(
            k,
            &format!("carp{v} {}{}", said(&input), error.map_or(String::new(), |e| format!(": {e:?}"))),
        );
        if error.is_none() {
            let now = self.local(k);
            self.boxes[k].model.input(now, v, input);
        }
        self.observe()?;
        self.idle()
    }

    fn host_command(&mut self, k: usize, req: Request, input: HostInput) -> Outcome {
        self.idle()?;
        let error = self.world.syscall(self.boxes[k].id, req).error;
        self.say(k, &format!("{input:?}{}", error.map_or(String::new(), |e| format!(": {e:?}"))));
        if error.is_none() {
            let (now, b) = (self.local(k), &mut self.boxes[k]);
            let is_addr = matches!(input, HostInput::ParentAddr(0, _));
            if matches!(input, HostInput::ParentAddr(0, IpNet::V6(_))) && !b.linklocal {
                b.linklocal = true;
                let own = net_of(&format!("fe80::ff:fe00:{:x}/64", k + 2));
                b.model.host_input(now, HostInput::ParentAddr(0, own));
            }
            b.model.host_input(now, input);
            if is_addr {
                b.model.host_input(now, HostInput::ParentUp(0, true));
            }
        }
        self.observe()?;
        self.idle()
    }

    /// What the step that was just taken did, told to the models.
    fn observe(&mut self) -> Outcome {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let mut heard = vec![];
        for (k, b) in self.boxes.iter_mut().enumerate() {
            let Some((m, n0)) = self.world.look(b.id) else { continue };
            let to_carp = m.fates.value(Fate::Carp);
            let taken = seen.taken.iter().filter(|(n, _)| *n == k).map(|(_, f)| f.clone());
            if to_carp > b.to_carp {
                b.fifo.extend(taken);
            }
            b.to_carp = to_carp;
            let stats = m.carp.own(n0).stats.get();
            let count = (stats.carps_ipackets + stats.carps_ipackets6) as u32;
            for _ in b.heard..count {
                let frame = b.fifo.pop_front().ok_or("more was heard than came")?;
                heard.push((k, frame));
            }
            b.heard = count;
        }
        let was_heard = heard.iter().map(|(k, _)| *k).collect::<Vec<_>>();
        for (k, frame) in heard {
            let Some(ad) = Advert::parse(&frame) else { continue };
            let v = usize::from(ad.vhid / 10) - 1;
            self.say(k, &format!("hears {ad}"));
            let now = self.local(k);
            self.boxes[k].model.tick(now);
            self.boxes[k].model.input(now, v, Input::Heard(ad));
        }
        for (k, frame, ok) in seen.sent {
            let Some(ad) = Advert::parse(&frame) else { continue };
            let v = usize::from(ad.vhid / 10) - 1;
            self.say(k, &format!("sends {ad}{}", if ok { "" } else { ", in vain" }));
            let now = self.local(k);
            self.boxes[k].model.input(now, v, Input::Sent(ad, ok));
        }
        was_heard.into_iter().try_for_each(|k| self.compare(k))
    }

    fn compare(&self, k: usize) -> Outcome {
        let b = &self.boxes[k];
        let Some((m, n0)) = self.world.look(b.id).filter(|(m, _)| m.port0.is_empty()) else { return Ok(()) };
        let softcs = m.carp.softcs(n0);
        for (v, vhost) in b.model.vhosts().iter().enumerate() {
            let sc = softcs.iter().find(|sc| sc.xname() == format!("carp{v}"));
            let real = sc.map_or(State::Absent, |sc| match sc.state() as i32 {
                0 => State::Init,
                1 => State::Backup,
                _ => State::Master,
            });
            if real != vhost.state() {
                return Err(format!("m{k} carp{v} is {real:?}, the model {:?}", vhost.state()));
            }
        }
        Ok(())
    }

    /// Until nobody has anything to do: then all must be the same, and sent.
    fn idle(&mut self) -> Outcome {
        while self.world.step().is_some() {
            self.observe()?;
        }
        for k in 0..self.boxes.len() {
            if self.world.is_paused(self.boxes[k].id) || !self.world.is_alive(self.boxes[k].id) {
                continue;
            }
            let now = self.local(k);
            self.boxes[k].model.tick(now);
            self.compare(k)?;
            let b = &self.boxes[k];
            for (v, vhost) in b.model.vhosts().iter().enumerate() {
                if let Some(ad) = vhost.surprise() {
                    return Err(format!("m{k} carp{v} sent {ad}"));
                }
                if !vhost.due_to_advertise().is_empty() {
                    return Err(format!("m{k} carp{v} did not send {:?}", vhost.due_to_advertise()));
                }
            }
            if let Some((m, n0)) = self.world.look(b.id) {
                let real = m.carp.own(n0).suppress_preempt.get();
                let reasons: u32 = b.model.vhosts().iter().map(|v| v.reasons()).sum();
                if real != reasons as i32 {
                    return Err(format!("m{k} has {real} reasons, the model {reasons}"));
                }
            }
        }
        Ok(())
    }

    fn run_until(&mut self, end: Time) -> Outcome {
        loop {
            self.idle()?;
            let now = self.world.now();
            let awake = (0..self.boxes.len()).filter(|k| !self.world.is_paused(self.boxes[*k].id));
            let model = awake.filter_map(|k| {
                let left = self.boxes[k].model.next_deadline()? - self.local(k);
                Some(now + left.mul_f64(EXACT as f64 / self.boxes[k].rate as f64))
            });
            let next = self.world.next_event().into_iter().chain(model).min().filter(|t| *t <= end);
            let t = next.unwrap_or(end);
            self.world.advance_to(t);
            if next.is_none() {
                return self.idle();
            }
        }
    }

    fn run(&mut self, actions: usize) -> Outcome {
        for _ in 0..actions {
            // Often at the instants at which timers are due as well.
            let pause = match self.below(4) {
                0 => u64::from(self.below(8)) * 1_000_000,
                1 => u64::from(self.below(500_000)),
                _ => u64::from(self.below(6_000_000)),
            };
            self.run_until(self.world.now() + Duration::from_micros(pause))?;
            self.act()?;
        }
        self.run_until(self.world.now() + Duration::from_secs(20))
    }
}

#[test]
fn the_model_and_the_machines_are_in_the_same_states_whatever_happens() {
    let seeds = match std::env::var("NETISRD_MODEL_SEEDS") {
        Ok(s) => match s.split_once("..") {
            Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
            None => 0..s.parse().unwrap(),
        },
        Err(_) => 0..60,
    };
    for seed in seeds {
        let mut net = Net::new(seed);
        if let Err(what) = net.run(60) {
            let from = std::env::var("NETISRD_MODEL_LINES").map_or(60, |n| n.parse().unwrap());
            let history = &net.history[net.history.len().saturating_sub(from)..];
            panic!("seed {seed} at {}: {what}\n{}", net.world.now(), history.join("\n"));
        }
    }
}
