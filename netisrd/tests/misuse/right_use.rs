//! Right use of everything that the other programs misuse.

use compat::net::netisr::{PortSync, domsg};
use compat::qsbr::Seed;
use compat::sys::ctlsock::{Request, SYSCTL_NAMES};
use compat::sys::msgport::reply_port;
use compat::sys::time::VirtualClock;
use netisrd::machine::{Booted, Config, Ctx, Ctx0, Machine, PerCpu};
use netisrd::net::netisr::{Cred, Flow, Netmsg, Netmsg0, dispatch, dispatch0, run, run0};
use std::sync::Arc;

/// Any netisr reads what is published.
fn read(cx: Ctx<'_>) -> bool {
    cx.m.ifnets.load(cx.n).is_some() && cx.m.addrs.load(cx.n).is_some()
}

/// netisr0 reads what is its own too, and may act as any netisr.
fn read0(cx: &Ctx0<'_>) -> u16 {
    read(cx.any());
    cx.m.own(cx.n0).next_index.get()
}

fn netisr0(m: &Machine, seed: Seed) {
    let cpu = PerCpu::default();
    let mut n0 = seed.claim0(Box::new(PortSync::new(m.ports.clone())));
    let cred = Cred { privileged: true };
    let (reply, waiting) = reply_port();
    let names = Request::sysctl(SYSCTL_NAMES, &[]);
    dispatch0(m, &mut n0, &cpu, Netmsg0::Syscall(cred, names, reply));
    assert!(waiting.poll().is_some());
    assert_eq!(read0(&Ctx0 { m, n0: &mut n0, cpu: &cpu }), 1);
    while run0(m, &mut n0, &cpu).0 == Flow::Continue {
        std::thread::yield_now();
    }
}

fn netisr1(m: &Machine, seed: Seed) {
    let cpu = PerCpu::default();
    let mut n = seed.claim();
    dispatch(m, &mut n, &cpu, Netmsg::Routes(Vec::new().into()));
    read(Ctx { m, n: &n, cpu: &cpu });
    while run(m, &mut n, &cpu).0 == Flow::Continue {
        std::thread::yield_now();
    }
}

#[test]
fn it_compiles_and_runs() {
    let config = Config {
        ncpus: 2,
        clock: Arc::new(VirtualClock::default()),
        seed: [0; 32],
        hz: 0,
        log: netisrd::machine::trace(),
    };
    let Booted { machine: m, seeds, proc_ } = Machine::boot(config);
    let [seed0, seed1] = <[Seed; 2]>::try_from(seeds).ok().unwrap();
    let (m0, m1) = (m.clone(), m.clone());
    let threads =
        [std::thread::spawn(move || netisr0(&m0, seed0)), std::thread::spawn(move || netisr1(&m1, seed1))];
    m.ports[0].sendmsg(Netmsg::Routes(Vec::new().into()));
    // No such interface.
    m.port0.sendmsg(Netmsg0::IfDetach(9));
    assert_eq!(domsg(&proc_, &m.port0, Netmsg0::Halt), Some(()));
    for t in threads {
        t.join().unwrap();
    }
}
