//! A whole machine under shuttle: packets on every netisr while carp
//! interfaces are created, re-addressed, moved and destroyed. Shuttle picks
//! who runs at each load of a cell, each grace period and each step of a port,
//! by seed; `make verify` runs it (`--cfg shuttle`).
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
use common::{Client, VIP, VMAC, addr, del, name, setvh};

use compat::net::if_::{IfName, IfReq, Iff};
use compat::net::netisr::{PortSync, Proc, domsg};
use compat::qsbr::{Netisr, Netisr0, Seed};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use compat::sys::time::{Time, VirtualClock};
use netisrd::dev::RxQueue;
use netisrd::dev::lan::Lan;
use netisrd::machine::{Booted, Config, Ctx, Machine, PerCpu};
use netisrd::net::netisr::{self, Cred, Flow, Netmsg0};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use std::sync::Arc;
use zerocopy::FromBytes;

const NCPUS: usize = 3;

/// What a netisr sleeps on, in place of a poll.
#[derive(Default)]
struct Sleep {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Sleep {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

enum Token {
    Zero(Netisr0),
    Other(Netisr),
}

impl Token {
    fn any(&self) -> &Netisr {
        match self {
            Token::Zero(n0) => n0,
            Token::Other(n) => n,
        }
    }

    fn run(&mut self, m: &Machine, cpu: &PerCpu) -> (Flow, bool) {
        match self {
            Token::Zero(n0) => netisr::run0(m, n0, cpu),
            Token::Other(n) => netisr::run(m, n, cpu),
        }
    }
}

/// As `host::thread` has it, without a poll.
fn service_loop(m: &Machine, seed: Seed, sleep: Arc<Sleep>) {
    let mut token = match seed.cpuid() {
        0 => Token::Zero(seed.claim0(Box::new(PortSync::new(m.ports.clone())))),
        _ => Token::Other(seed.claim()),
    };
    let cpu = PerCpu::default();
    let mut queues: Vec<(u16, Box<dyn RxQueue>)> = Vec::new();
    loop {
        let (flow, mut more) = token.run(m, &cpu);
        if flow == Flow::Halt {
            return;
        }
        for (index, mut rx) in cpu.new_queues.take() {
            let sleep = sleep.clone();
            rx.set_waker(Arc::new(move || sleep.wake()));
            queues.push((index, rx));
        }
        for (index, rx) in &mut queues {
            let cx = Ctx { m, n: token.any(), cpu: &cpu };
            more |= rx.receive(1, &mut |frame| netisr::input(cx, *index, frame)).unwrap() == 1;
        }
        if !more {
            sleep.sleep();
        }
    }
}

struct Process<'a> {
    m: &'a Machine,
    proc_: Proc,
}

impl Process<'_> {
    fn syscall(&self, req: Request) -> Reply {
        let cred = Cred { privileged: true };
        domsg(&self.proc_, &self.m.port0, |reply| Netmsg0::Syscall(cred, req, reply)).unwrap()
    }

    fn ok(&self, req: Request) {
        assert_eq!(self.syscall(req).error, None);
    }

    fn set_up(&self, ifname: IfName, up: bool) {
        let reply = self.syscall(Request::ioctl(SIOCGIFFLAGS, &IfReq::new(ifname)));
        let mut r = IfReq::read_from_bytes(&reply.arg).unwrap();
        let mut flags = r.flags();
        flags.set(Iff::UP, up);
        r.set_flags(flags);
        self.ok(Request::ioctl(SIOCSIFFLAGS, &r));
    }

    /// Everything that changes an `if_carp`, in one life of two carp
    /// interfaces.
    fn reconfigure(&self) {
        let (em0, em1, carp0, carp1) = (name("em0"), name("em1"), name("carp0"), name("carp1"));
        self.ok(addr(em0, [10, 0, 0, 2]));
        self.ok(addr(em1, [10, 0, 1, 2]));
        for carp in [carp0, carp1] {
            self.ok(Request::ioctl(SIOCIFCREATE2, &IfReq::new(carp)));
        }
        self.ok(Request::sysctl("net.inet.carp.preempt", &1i32.to_ne_bytes()));
        self.ok(setvh(carp0, 1, 0));
        self.ok(addr(carp0, VIP));
        self.ok(setvh(carp1, 2, 0));
        self.ok(addr(carp1, [10, 0, 0, 3]));
        // Another place in the list; taken.
        self.ok(setvh(carp0, 7, 0));
        assert_eq!(self.syscall(setvh(carp1, 7, 0)).error, Some(Errno::EEXIST));
        // To the other parent, and the first one down.
        self.ok(del(carp1, [10, 0, 0, 3]));
        self.ok(addr(carp1, [10, 0, 1, 3]));
        self.set_up(em0, false);
        self.set_up(em0, true);
        self.ok(setvh(carp0, 1, 0));
        self.ok(Request::ioctl(SIOCIFDESTROY, &IfReq::new(carp1)));
        self.ok(Request::ioctl(SIOCIFDESTROY, &IfReq::new(carp0)));
    }
}

fn a_whole_machine() {
    let clock = Arc::new(VirtualClock::default());
    clock.advance_to(Time(1));
    let config = Config { ncpus: NCPUS, clock, seed: [7; 32], hz: 0, log: netisrd::machine::trace() };
    let Booted { machine: m, seeds, proc_ } = Machine::boot(config);
    let mut netisrs = Vec::new();
    for seed in seeds {
        let (m, sleep) = (m.clone(), Arc::new(Sleep::default()));
        let wake = sleep.clone();
        let wake = Box::new(move || wake.wake());
        match seed.cpuid() {
            0 => m.port0.set_wake(wake),
            k => m.ports[k - 1].set_wake(wake),
        }
        netisrs.push(thread::spawn(move || service_loop(&m, seed, sleep)));
    }

    let lans = [Lan::new(), Lan::new()];
    let p = Process { m: &m, proc_ };
    for (i, lan) in lans.iter().enumerate() {
        let dev = lan.attach(name(&format!("em{i}")), [2, 0, 0, 0, 0, i as u8], NCPUS);
        domsg(&p.proc_, &m.port0, |reply| Netmsg0::Attach(Box::new(dev), reply)).unwrap().unwrap();
    }
    // Two stations that send without a pause: to virtual MACs, to groups, to
    // everyone, and from different addresses, so that each netisr has some.
    let senders: Vec<_> = lans
        .iter()
        .map(|lan| {
            let station = Client { dev: lan.attach(name("c0"), [2, 0, 0, 0, 0, 0xcc], 1) };
            thread::spawn(move || {
                for i in 0..20u8 {
                    let vmac = [VMAC[0], VMAC[1], VMAC[2], VMAC[3], VMAC[4], [1, 2, 7][usize::from(i) % 3]];
                    station.ping(vmac, [10, 0, 0, i % 4]);
                    station.arp_request(VIP);
                    thread::yield_now();
                }
            })
        })
        .collect();
    p.reconfigure();
    senders.into_iter().for_each(|s| s.join().unwrap());
    domsg(&p.proc_, &m.port0, Netmsg0::Halt).unwrap();
    netisrs.into_iter().for_each(|n| n.join().unwrap());
    // Whatever was freed, nothing holds on to the machine.
    assert_eq!(Arc::strong_count(&m), 1);
}

#[test]
fn a_machine_forwards_while_its_carp_interfaces_come_go_and_move() {
    let runs = std::env::var("SHUTTLE_RUNS").map_or(300, |n| n.parse().unwrap());
    shuttle::check_random(a_whole_machine, runs);
    // Few preemptions at the worst moments, where random ones are too many.
    shuttle::check_pct(a_whole_machine, runs, 3);
}
