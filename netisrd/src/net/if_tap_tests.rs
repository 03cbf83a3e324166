#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::dev::lan::Lan;
use crate::dev::{DataPath, HostSide, Offload, Transmit};
use crate::machine::{Booted, Config, Machine, PerCpu, trace};
use crate::net::netisr::{Cred, Netmsg0};
use compat::net::if_::{IfMsghdr, IfName};
use compat::qsbr::Netisr0;
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::msgport::{ReplyPort, reply_port};
use compat::sys::time::VirtualClock;
use ifconfig_carp::{CallError, Syscalls, ifconfig, sysctl};
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use zerocopy::FromBytes;

/// Keeps what it is given, unless it is full.
#[derive(Default)]
struct Sink {
    frames: Mutex<Vec<Vec<u8>>>,
    is_full: AtomicBool,
    is_off: AtomicBool,
    waiting: Mutex<Vec<Vec<u8>>>,
    dropped: AtomicU64,
    is_hushed: AtomicBool,
    /// What was said, of the card and of whom it bears.
    said: Arc<Mutex<Vec<&'static str>>>,
}

impl Sink {
    fn taken(&self) -> usize {
        std::mem::take(&mut *self.frames.lock().unwrap()).len()
    }
}

impl Offload for Sink {
    fn transmit_offloaded(&self, _queue: usize, frame: &[u8]) -> Result<(), Errno> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Errno::ENOBUFS);
        }
        self.frames.lock().unwrap().push(frame.to_vec());
        Ok(())
    }

    fn has_carrier(&self) -> bool {
        !self.is_off.load(Ordering::Relaxed)
    }

    fn hush(&self) {
        self.said.lock().unwrap().push("hush");
        self.is_hushed.store(true, Ordering::Relaxed);
    }

    fn is_hushed(&self) -> bool {
        self.is_hushed.load(Ordering::Relaxed)
    }

    fn drain(&self, input: &mut dyn FnMut(&[u8])) {
        std::mem::take(&mut *self.waiting.lock().unwrap()).iter().for_each(|f| input(f));
    }
}

/// The card: its finished frames go nowhere.
struct Card(Arc<Sink>);

impl Transmit for Card {
    fn transmit(&self, _queue: usize, frame: &[u8]) -> Result<(), Errno> {
        // 255/255, behind both headers.
        if frame.get(34 + 2) == Some(&255) && frame.get(34 + 5) == Some(&255) {
            self.0.said.lock().unwrap().push("bow-out");
        }
        Ok(())
    }

    fn set_promisc(&self, _on: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn input_drops(&self) -> u64 {
        self.0.dropped.swap(0, Ordering::Relaxed)
    }

    fn offload(&self) -> Option<&dyn Offload> {
        Some(&*self.0)
    }
}

/// A machine of one netisr, this thread, with `em0` and what it sends there.
struct Rig {
    m: Arc<Machine>,
    n0: Netisr0,
    cpu: PerCpu,
    em0: u16,
    card: Arc<Sink>,
}

impl Rig {
    fn new() -> Rig {
        let clock = Arc::new(VirtualClock::default());
        let Booted { machine: m, seeds, .. } =
            Machine::boot(Config { ncpus: 1, clock, seed: [7; 32], hz: 0, log: trace() });
        let n0 = seeds.into_iter().next().unwrap().claim0(Box::new(|| ()));
        let card = Arc::new(Sink::default());
        let mut device = Lan::new().attach(IfName::new("em0").unwrap(), [2, 0, 0, 0, 0, 1], 1);
        (device.tx, device.path) = (Arc::new(Card(card.clone())), DataPath::Tap);
        let mut rig = Rig { m, n0, cpu: PerCpu::default(), em0: 0, card };
        rig.em0 = rig.ask(|reply| Netmsg0::Attach(Box::new(device), reply)).unwrap();
        rig.sysctl("net.inet.carp.preempt=1");
        rig.ifconfig("em0 10.77.0.1/24");
        rig
    }

    fn ask<R>(&mut self, msg: impl FnOnce(ReplyPort<R>) -> Netmsg0) -> R {
        let (reply, waiting) = reply_port();
        self.m.port0.sendmsg(msg(reply));
        loop {
            netisr::run0(&self.m, &mut self.n0, &self.cpu);
            if let Some(answer) = waiting.poll() {
                return answer;
            }
        }
    }

    fn ifconfig(&mut self, words: &str) {
        self.command(ifconfig::run, &format!("ifconfig-carp {words}"));
    }

    fn sysctl(&mut self, words: &str) {
        self.command(sysctl::run, &format!("sysctl-carp {words}"));
    }

    fn command(
        &mut self,
        run: fn(&[OsString], &mut dyn Syscalls, &mut dyn std::io::Write, &mut dyn std::io::Write) -> u8,
        line: &str,
    ) {
        let argv: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(&argv, self, &mut out, &mut err), 0, "{line}: {}", String::from_utf8_lossy(&err));
    }

    /// carpN with vhid N, and where the host hears it.
    fn carp(&mut self, n: u8) -> (u16, Arc<Sink>) {
        self.ifconfig(&format!("carp{n} create"));
        self.ifconfig(&format!("carp{n} vhid {n} pass secret 10.77.0.10{n}/24"));
        let name = IfName::new(&format!("carp{n}")).unwrap();
        let if_index = self.m.ifunit(&self.n0, name).unwrap().ifp.if_index;
        let tx = Arc::new(Sink { said: self.card.said.clone(), ..Sink::default() });
        self.m.port0.sendmsg(Netmsg0::HostSide(Box::new(HostSide {
            if_index,
            rx: Vec::new(),
            tx: tx.clone(),
        })));
        self.ask(Netmsg0::Barrier);
        (if_index, tx)
    }

    /// The fate of one frame, and that it had no other.
    fn input(&self, if_index: u16, frame: &[u8]) -> Fate {
        let count = || Fate::ALL.map(|f| self.m.fates.value(f));
        let before = count();
        netisr::input_offloaded(Ctx { m: &self.m, n: &self.n0, cpu: &self.cpu }, if_index, frame);
        let after = count();
        let met: Vec<Fate> =
            Fate::ALL.into_iter().filter(|f| after[*f as usize] != before[*f as usize]).collect();
        assert_eq!(after.iter().sum::<u64>(), before.iter().sum::<u64>() + 1);
        met[0]
    }
}

impl Syscalls for Rig {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        let request = request.clone();
        Ok(self.ask(|reply| Netmsg0::Syscall(Cred { privileged: true }, request, reply)))
    }
}

/// A long one, behind its header.
fn frame(dhost: [u8; 6]) -> Vec<u8> {
    let eh = EtherHeader { dhost, shost: [2, 0, 0, 0, 0, 9], ether_type: 0x0800 };
    [vec![0; VNET_HDR_LEN], eh.frame(&[0x45; 40_000])].concat()
}

const VMAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 1];
const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];

#[test]
fn a_frame_goes_to_the_host_while_it_has_a_carrier_and_every_one_is_accounted_for() {
    let mut rig = Rig::new();
    assert_eq!(rig.input(rig.em0, &frame(VMAC)), Fate::NotForUs);
    let (carp1, one) = rig.carp(1);
    let (_, two) = rig.carp(2);
    assert_eq!(rig.input(rig.em0, &frame(VMAC)), Fate::ToHost);
    assert_eq!(*one.frames.lock().unwrap(), [frame(VMAC)], "with its header, and whole");
    assert_eq!((one.taken(), two.taken()), (1, 0));
    assert_eq!(rig.input(rig.em0, &frame(GROUP)), Fate::ToHost);
    assert_eq!((one.taken(), two.taken()), (1, 1));
    one.is_full.store(true, Ordering::Relaxed);
    assert_eq!(rig.input(rig.em0, &frame(VMAC)), Fate::Refused);
    assert_eq!(rig.input(rig.em0, &frame(GROUP)), Fate::ToHost);
    assert_eq!((one.taken(), two.taken()), (0, 1));
    two.is_off.store(true, Ordering::Relaxed);
    assert_eq!(rig.input(rig.em0, &frame(GROUP)), Fate::Refused);
    one.is_off.store(true, Ordering::Relaxed);
    assert_eq!(rig.input(rig.em0, &frame(GROUP)), Fate::NotForUs);
    assert_eq!(rig.input(rig.em0, &frame(VMAC)), Fate::NotForUs);
    assert_eq!(rig.input(rig.em0, &frame([0, 0, 0x5e, 0, 1, 9])), Fate::NotForUs);
    assert_eq!(rig.input(rig.em0, &frame([2, 0, 0, 0, 0, 1])), Fate::NotForUs);
    assert_eq!(rig.input(rig.em0, &[]), Fate::Short);
    assert_eq!(rig.input(99, &frame(VMAC)), Fate::NoInterface);
    rig.ifconfig("em0 down");
    assert_eq!(rig.input(rig.em0, &frame(VMAC)), Fate::Stopped);
    let ifp = rig.m.ifentry(&rig.n0, carp1).unwrap().ifp.clone();
    assert_eq!((ifp.stats.ipackets.value(), ifp.stats.iqdrops.value()), (5, 3));
}

#[test]
fn the_host_is_heard_only_while_it_is_master() {
    let mut rig = Rig::new();
    let (carp1, _) = rig.carp(1);
    assert_eq!(rig.input(carp1, &frame([2; 6])), Fate::FromHost);
    assert_eq!(*rig.card.frames.lock().unwrap(), [frame([2; 6])]);
    rig.card.is_full.store(true, Ordering::Relaxed);
    assert_eq!(rig.input(carp1, &frame([2; 6])), Fate::Refused);
    rig.card.is_full.store(false, Ordering::Relaxed);
    rig.card.taken();
    rig.ifconfig("carp1 state backup");
    assert_eq!(rig.input(carp1, &frame([2; 6])), Fate::NotMaster);
    rig.ifconfig("carp1 destroy");
    assert_eq!(rig.input(carp1, &frame([2; 6])), Fate::NoInterface);
    assert_eq!(rig.card.taken(), 0);
}

#[test]
fn the_host_has_said_all_before_a_master_bows_out() {
    for how in ["carp1 state backup", "carp1 down", "carp1 10.77.0.109/24 alias", "carp1 destroy"] {
        let mut rig = Rig::new();
        let (carp1, _) = rig.carp(1);
        rig.ifconfig(how);
        assert_eq!(rig.card.said.lock().unwrap()[..2], ["hush", "bow-out"], "{how}");
        if how != "carp1 destroy" {
            assert_eq!(rig.input(carp1, &frame([2; 6])), Fate::NotMaster, "{how}");
        }
    }
}

#[test]
fn what_came_before_a_master_yields_is_still_the_hosts() {
    let mut rig = Rig::new();
    let (_, one) = rig.carp(1);
    rig.card.waiting.lock().unwrap().push(frame(VMAC));
    rig.ifconfig("carp1 state backup");
    assert_eq!((one.taken(), rig.m.fates.value(Fate::ToHost)), (1, 1));
    // It is not asked again.
    rig.card.waiting.lock().unwrap().push(frame(VMAC));
    rig.ifconfig("carp1 destroy");
    assert_eq!(one.taken(), 0);
}

#[test]
fn what_the_host_had_no_room_for_is_an_input_drop_for_whoever_asks() {
    let mut rig = Rig::new();
    rig.card.dropped.store(7, Ordering::Relaxed);
    let (em0, iqdrops) =
        (rig.em0, |rig: &Rig| rig.m.ifentry(&rig.n0, rig.em0).unwrap().ifp.stats.iqdrops.value());
    assert_eq!(iqdrops(&rig), 0);
    let list = |rig: &mut Rig| {
        let cx = crate::machine::Ctx0 { m: &rig.m, n0: &mut rig.n0, cpu: &rig.cpu };
        let all = crate::net::rt_sysctl::iflist(&cx, em0).unwrap();
        IfMsghdr::read_from_prefix(&all).unwrap().0.ifm_data.ifi_iqdrops
    };
    assert_eq!((list(&mut rig), list(&mut rig)), (7, 7));
    rig.card.dropped.store(2, Ordering::Relaxed);
    let report = rig.ask(Netmsg0::DevctlRead);
    assert_eq!((report.iqdrops, iqdrops(&rig)), (vec![(IfName::new("em0").unwrap(), 9)], 9));
}
