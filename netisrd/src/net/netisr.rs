//! `net/netisr.c`: the messages of the network threads and their dispatch.
//!
//! There are two kinds of message, so that what belongs to netisr0 cannot be
//! sent to another netisr.

use crate::dev::{Device, HostSide, RxQueue};
use crate::kern::devctl::{self, Report, Serve};
use crate::kern::frozen::FrozenMachine;
use crate::kern::standstill::{self, Leave, Thaw};
use crate::kern::{carp_kernel, lease, sys_generic};
use crate::machine::{Ctx, Ctx0, Machine, Mbuf, PerCpu};
use crate::net::fate::Fate;
use crate::net::if_::{Hardware, Softc};
use crate::net::if_ethersubr::{self, Isr};
use crate::net::if_llatbl::{self, LlUpdate};
use crate::net::route::{self, RouteTable};
use crate::net::rtsock::Wake;
use crate::net::{if_, if_clone, if_tap, lent};
use crate::netinet::{if_ether, ip_input};
use crate::netinet6::{ip6_input, mld6, nd6};
use compat::net::if_::LinkState;
use compat::net::netisr::SyncMsg;
use compat::qsbr::{Netisr, Netisr0, service_sync};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::msgport::ReplyPort;
use ipnet::IpNet;
use libcarp::kernel::CarpCallout;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use zeroize::Zeroize;

/// `netisr_rollup_limit`: messages dispatched before devices are looked at
/// again.
pub const ROLLUP_LIMIT: usize = 32;

/// Packets that may wait at one netisr's port.
pub const PACKETS_MAX: usize = 4096;
/// Advertisements may still join when other packets may not: whoever floods
/// the wire with those must not make a BACKUP deaf to its master.
const ADS_MAX: usize = 2 * PACKETS_MAX;

/// A message to netisr 1 to n-1.
pub enum Netmsg {
    /// `netmsg_sync_handler`
    Sync(SyncMsg),
    /// `netmsg_packet`: an IPv4 packet whose hash is this netisr's.
    Ip(Mbuf),
    /// The same of IPv6.
    Ip6(Mbuf),
    /// `netmsg_inarp`: what netisr0 learned.
    Neighbour(LlUpdate),
    /// The interface with that index has left: its neighbours are forgotten.
    Purge(u16),
    /// The routing table has changed.
    Routes(RouteTable),
    /// A receive queue of the interface with that index: yours from now on.
    Queue(u16, Box<dyn RxQueue>),
    /// It takes no frame from its queues until it is told that it may.
    Still,
    /// It may again.
    GoOn,
    /// The machine halts.
    Halt,
}

impl From<SyncMsg> for Netmsg {
    fn from(s: SyncMsg) -> Netmsg {
        Netmsg::Sync(s)
    }
}

/// Who makes a system call, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Cred {
    /// Root, or the user that netisrd runs as.
    pub privileged: bool,
}

/// A message to netisr0.
pub enum Netmsg0 {
    /// An IPv4 packet whose hash is netisr0's.
    Ip(Mbuf),
    /// An IPv6 packet whose hash is netisr0's.
    Ip6(Mbuf),
    /// An ARP packet.
    Arp(Mbuf),
    /// Neighbour or listener discovery.
    Nd6(Mbuf),
    /// An advertisement.
    Carp(Mbuf),
    /// `carp_send_ad_timeout_dispatch`, `carp_master_down_timeout_dispatch`
    CarpTimeout(CarpCallout),
    /// A system call.
    Syscall(Cred, Request, ReplyPort<Reply>),
    /// A device becomes an interface; its queues go to netisrs in turn.
    Attach(Box<Device>, ReplyPort<Result<u16, Errno>>),
    /// The host serves a carp interface there from now on.
    HostSide(Box<HostSide>),
    /// A device died: its interface leaves.
    IfDetach(u16),
    /// A device's link came or went.
    LinkState(u16, LinkState),
    /// Something else of a device has changed.
    Hardware(u16, Hardware),
    /// The host has an address on an interface that it shares, or has it no more.
    Lend(u16, IpNet, bool),
    /// The machine stands still until it is told whether to go on; whoever told it
    /// so may be gone, and then it does.
    Freeze(ReplyPort<(FrozenMachine, Report)>, Receiver<Leave>),
    /// The machine, which has nothing yet, goes on as another one.
    Thaw(Box<Thaw>, ReplyPort<Result<Vec<u16>, String>>),
    /// `netmsg_service_sync()` and nothing else.
    Barrier(ReplyPort<()>),
    /// Whether those of a carp interface can be served there.
    Served(u16, bool),
    /// Whether whoever serves them is there.
    Lease(lease::Word),
    /// Stores the number: netisr0 is alive.
    Alive(Arc<AtomicU64>, u64),
    /// Who serves the virtual addresses outside of the machine.
    DevctlServe(Serve),
    /// A configuration of one interface begins, or ends.
    Configuring(bool, ReplyPort<()>),
    /// Whoever is woken when a carp interface changes.
    DevctlListen(Wake),
    /// What has happened since the last time, and how things are.
    DevctlRead(ReplyPort<Report>),
    /// Every MASTER bows out, and every carp interface goes.
    DestroyAll(ReplyPort<()>),
    /// The machine halts: every MASTER bows out.
    Halt(ReplyPort<()>),
}

/// What a dispatched message makes of its netisr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End.
    Halt,
}

/// Dispatches one message on netisr `k`. What it loads it has let go of when
/// this returns; a sync message says so.
pub fn dispatch(m: &Machine, n: &mut Netisr, cpu: &PerCpu, msg: Netmsg) -> Flow {
    match msg {
        Netmsg::Sync(SyncMsg(reply)) => {
            n.quiescent();
            reply.replymsg(());
            Flow::Continue
        }
        Netmsg::Ip(mbuf) => {
            ip_input::ip_input(Ctx { m, n, cpu }, mbuf);
            Flow::Continue
        }
        Netmsg::Ip6(mbuf) => {
            ip6_input::ip6_input(Ctx { m, n, cpu }, mbuf);
            Flow::Continue
        }
        Netmsg::Neighbour(update) => {
            if_llatbl::update_oncpu(Ctx { m, n, cpu }, update);
            Flow::Continue
        }
        Netmsg::Purge(index) => {
            if_llatbl::purge_oncpu(Ctx { m, n, cpu }, index);
            Flow::Continue
        }
        Netmsg::Routes(table) => {
            route::update_oncpu(Ctx { m, n, cpu }, table);
            Flow::Continue
        }
        Netmsg::Queue(index, queue) => {
            cpu.new_queues.borrow_mut().push((index, queue));
            Flow::Continue
        }
        Netmsg::Still => {
            cpu.still.set(true);
            Flow::Continue
        }
        Netmsg::GoOn => {
            cpu.still.set(false);
            Flow::Continue
        }
        Netmsg::Halt => Flow::Halt,
    }
}

/// Dispatches one message on netisr0.
pub fn dispatch0(m: &Machine, n0: &mut Netisr0, cpu: &PerCpu, msg: Netmsg0) -> Flow {
    let mut cx = Ctx0 { m, n0, cpu };
    match msg {
        Netmsg0::Ip(mbuf) => ip_input::ip_input(cx.any(), mbuf),
        Netmsg0::Ip6(mbuf) => ip6_input::ip6_input(cx.any(), mbuf),
        Netmsg0::Arp(mbuf) => if_ether::arpintr(&mut cx, &mbuf),
        Netmsg0::Nd6(mbuf) => nd6::input(&mut cx, &mbuf),
        Netmsg0::Carp(mbuf) => ip_input::carp_proto_input(&mut cx, &mbuf),
        Netmsg0::CarpTimeout(c) => {
            cx.m.own(cx.n0).inflight.borrow_mut().remove(&c);
            cx.carp(|cx| {
                if let Some(sc) = cx.carp.softc(cx.n0, c.if_index) {
                    libcarp::state::timeout(cx, &sc, c.timer);
                }
            });
        }
        Netmsg0::Syscall(cred, mut req, reply) => {
            let answer = sys_generic::syscall(&mut cx, cred, &req);
            if cred.privileged && sys_generic::changes(&req) {
                devctl::configured(cx.m, cx.n0);
            }
            reply.replymsg(answer);
            // A key may have been in it.
            req.data.zeroize();
        }
        Netmsg0::Attach(dev, reply) => reply.replymsg(attach(&mut cx, *dev)),
        Netmsg0::Freeze(reply, leave) => return standstill::freeze(&mut cx, reply, &leave),
        Netmsg0::Thaw(thaw, reply) => return standstill::thaw(&mut cx, *thaw, reply),
        Netmsg0::HostSide(side) => attach_host(&mut cx, *side),
        Netmsg0::IfDetach(index) => {
            if_::if_detach_index(&mut cx, index);
            devctl::configured(cx.m, cx.n0);
        }
        Netmsg0::LinkState(index, state) => {
            if_::set_link_state(&mut cx, index, state);
            devctl::configured(cx.m, cx.n0);
        }
        Netmsg0::Hardware(index, what) => if_::set_hardware(&mut cx, index, what),
        Netmsg0::Lend(index, net, there) => {
            lent::lend(&mut cx, index, net, there);
            devctl::configured(cx.m, cx.n0);
        }
        Netmsg0::Served(index, is) => lease::served(&mut cx, index, is),
        Netmsg0::Lease(word) => lease::word(&mut cx, word),
        Netmsg0::Alive(at, n) => at.store(n, Ordering::Release),
        Netmsg0::Configuring(is, reply) => configuring(&mut cx, is, reply),
        Netmsg0::DevctlServe(serve) => cx.m.own(cx.n0).devctl.serve(serve),
        Netmsg0::DevctlListen(wake) => cx.m.own(cx.n0).devctl.listen(wake),
        Netmsg0::DevctlRead(reply) => reply.replymsg(devctl::read(&mut cx)),
        Netmsg0::DestroyAll(reply) => {
            destroy_all(&mut cx);
            reply.replymsg(());
        }
        Netmsg0::Barrier(reply) => {
            service_sync(cx.n0, ());
            reply.replymsg(());
        }
        Netmsg0::Halt(reply) => {
            destroy_all(&mut cx);
            let halted = halt(m);
            reply.replymsg(());
            return halted;
        }
    }
    mld6::report_changes(&cx);
    devctl::demoted(cx.m, cx.n0);
    Flow::Continue
}

/// Every netisr ends.
pub(crate) fn halt(m: &Machine) -> Flow {
    for port in &m.ports {
        port.sendmsg(Netmsg::Halt);
    }
    Flow::Halt
}

fn destroy_all(cx: &mut Ctx0<'_>) {
    cx.carp(|cx| libcarp::output::bow_out_all(cx));
    if_clone::destroy_all(cx);
}

fn configuring(cx: &mut Ctx0<'_>, is: bool, reply: ReplyPort<()>) {
    cx.carp(|cx| match is {
        true => libcarp::state::config_begin(cx),
        false => libcarp::state::config_end(cx),
    });
    reply.replymsg(());
}

/// Who reads queue `q` of so many of the interface with that index. Where there are
/// several, one for each netisr, it has its own. What is alone, or beside those, is
/// dealt out by interface, so that all of those do not meet in netisr0.
fn cpu_of(ncpus: usize, if_index: u16, queues: usize, q: usize) -> usize {
    if queues > 1 && q < ncpus { q } else { usize::from(if_index) % ncpus }
}

/// Attaches a device and deals its queues out.
fn attach(cx: &mut Ctx0<'_>, dev: Device) -> Result<u16, Errno> {
    let index = if_::attach_device(cx, &dev)?;
    deal_out(cx, index, dev.rx);
    Ok(index)
}

/// One that has left meanwhile has nobody on its host's side: the queues are closed.
fn attach_host(cx: &mut Ctx0<'_>, side: HostSide) {
    if if_::set_host(cx, side.if_index, &side.tx) {
        deal_out(cx, side.if_index, side.rx);
    }
}

/// Gives the queues of the interface with that index to those who read them.
pub(crate) fn deal_out(cx: &mut Ctx0<'_>, index: u16, queues: Vec<Box<dyn RxQueue>>) {
    let n = queues.len();
    for (q, queue) in queues.into_iter().enumerate() {
        match cpu_of(cx.m.ncpus(), index, n, q) {
            0 => cx.cpu.new_queues.borrow_mut().push((index, queue)),
            cpu => {
                cx.m.ports[cpu - 1].sendmsg(Netmsg::Queue(index, queue));
            }
        }
    }
}

/// `netisr_queue` or, on the right netisr already, `netisr_handle`: a frame
/// from queue to protocol. A netisr that is [`PACKETS_MAX`] packets behind gets
/// no more; they count as input drops of their interface.
pub fn input(cx: Ctx<'_>, if_index: u16, frame: &[u8]) {
    input_batched(cx, if_index, frame);
    wakeup(cx);
}

/// The same of one of several frames: [`wakeup`] comes after the last. To wake a
/// netisr costs more than what it does for a frame.
pub fn input_batched(cx: Ctx<'_>, if_index: u16, frame: &[u8]) {
    let fate =
        if_ethersubr::ether_input(cx, if_index, frame).map_or_else(|fate| fate, |(isr, m)| queue(cx, isr, m));
    cx.m.fates.count(cx.n.cpuid(), fate);
}

/// Wakes the netisrs that frames were queued for.
pub fn wakeup(cx: Ctx<'_>) {
    for cpu in cx.cpu.to_wake.borrow_mut().drain(..) {
        match cpu {
            0 => cx.m.port0.wakeup(),
            cpu => cx.m.ports[cpu - 1].wakeup(),
        }
    }
}

/// The same of a frame behind its `virtio_net_hdr`, between a card and the host's
/// side of a carp interface.
pub fn input_offloaded(cx: Ctx<'_>, if_index: u16, frame: &[u8]) {
    let fate = if_tap::input(cx, if_index, frame);
    cx.m.fates.count(cx.n.cpuid(), fate);
}

/// A queue of that interface is dead. A card's takes its interface along; the host
/// has removed its side of a carp interface, and may make another.
pub fn queue_died(cx: Ctx<'_>, if_index: u16, why: &std::io::Error) {
    match cx.m.ifentry(cx.n, if_index).map(|e| &e.softc) {
        Some(Softc::Nic(_)) => {
            tracing::warn!("interface {if_index}: {why}");
            cx.m.port0.sendmsg(Netmsg0::IfDetach(if_index));
        }
        _ => tracing::debug!("interface {if_index}: {why}"),
    }
}

fn queue(cx: Ctx<'_>, isr: Isr, mbuf: Mbuf) -> Fate {
    let rcvif = mbuf.rcvif.clone();
    let (fate, queued) = match isr {
        Isr::Arp => (Fate::Arp, queue0(cx, PACKETS_MAX, Netmsg0::Arp(mbuf))),
        Isr::Nd6 => (Fate::Nd6, queue0(cx, PACKETS_MAX, Netmsg0::Nd6(mbuf))),
        Isr::Carp => (Fate::Carp, queue0(cx, ADS_MAX, Netmsg0::Carp(mbuf))),
        Isr::Ip => (Fate::Ip, queue_ip(cx, false, mbuf)),
        Isr::Ip6 => (Fate::Ip6, queue_ip(cx, true, mbuf)),
    };
    if queued {
        return fate;
    }
    rcvif.stats.iqdrops.add(1);
    Fate::QueueFull
}

fn queue_ip(cx: Ctx<'_>, ip6: bool, mbuf: Mbuf) -> bool {
    match ip_input::ip_cpu(cx.m.ncpus(), ip6, &mbuf.data) {
        cpu if cpu == cx.n.cpuid() => {
            let input = if ip6 { ip6_input::ip6_input } else { ip_input::ip_input };
            input(cx, mbuf);
            true
        }
        0 => queue0(cx, PACKETS_MAX, if ip6 { Netmsg0::Ip6(mbuf) } else { Netmsg0::Ip(mbuf) }),
        cpu => {
            let msg = if ip6 { Netmsg::Ip6(mbuf) } else { Netmsg::Ip(mbuf) };
            wake_later(cx, cpu);
            cx.m.ports[cpu - 1].queue_packet(PACKETS_MAX, msg).is_ok()
        }
    }
}

fn queue0(cx: Ctx<'_>, limit: usize, msg: Netmsg0) -> bool {
    wake_later(cx, 0);
    cx.m.port0.queue_packet(limit, msg).is_ok()
}

fn wake_later(cx: Ctx<'_>, cpu: usize) {
    let mut to_wake = cx.cpu.to_wake.borrow_mut();
    if !to_wake.contains(&cpu) {
        to_wake.push(cpu);
    }
}

/// netisr0's turn: callouts that are due, then up to [`ROLLUP_LIMIT`]
/// messages. Says whether to go on, and whether messages are left. Callouts
/// are looked at once: whatever their interval, other messages get through.
pub fn run0(m: &Machine, n0: &mut Netisr0, cpu: &PerCpu) -> (Flow, bool) {
    if carp_kernel::is_late(m, n0) && catch_up(m, n0, cpu) == Flow::Halt {
        return (Flow::Halt, false);
    }
    carp_kernel::softclock(m, n0);
    for _ in 0..ROLLUP_LIMIT {
        let Some(msg) = m.port0.getport() else { return (Flow::Continue, false) };
        if dispatch0(m, n0, cpu, msg) == Flow::Halt {
            return (Flow::Halt, false);
        }
    }
    (Flow::Continue, true)
}

/// netisr0 has not run for a while: what has come meanwhile goes before the callouts
/// that have become due. A BACKUP would take over from a master that it need only have
/// heard, and a MASTER advertise what it is no more. What is still in the queues of the
/// other netisrs belongs to it: they look at them between two synchronisations.
fn catch_up(m: &Machine, n0: &mut Netisr0, cpu: &PerCpu) -> Flow {
    for _ in 0..2 {
        service_sync(n0, ());
    }
    for _ in 0..m.port0.len() {
        let Some(msg) = m.port0.getport() else { break };
        if dispatch0(m, n0, cpu, msg) == Flow::Halt {
            return Flow::Halt;
        }
    }
    Flow::Continue
}

/// Another netisr's turn: up to [`ROLLUP_LIMIT`] messages. A synchronisation
/// ends it: while netisr0 makes one change after another the next is there at
/// once, and frames would wait for 32 of them.
pub fn run(m: &Machine, n: &mut Netisr, cpu: &PerCpu) -> (Flow, bool) {
    let port = &m.ports[n.cpuid() - 1];
    for _ in 0..ROLLUP_LIMIT {
        let Some(msg) = port.getport() else { return (Flow::Continue, false) };
        let sync = matches!(msg, Netmsg::Sync(_));
        if dispatch(m, n, cpu, msg) == Flow::Halt {
            return (Flow::Halt, false);
        }
        if sync {
            break;
        }
    }
    (Flow::Continue, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Booted, Config, trace};
    use compat::sys::msgport::reply_port;
    use compat::sys::time::VirtualClock;
    use std::sync::Arc;

    #[test]
    fn a_synchronisation_ends_the_turn() {
        let clock = Arc::new(VirtualClock::default());
        let Booted { machine: m, seeds, .. } =
            Machine::boot(Config { ncpus: 2, clock, seed: [0; 32], hz: 0, log: trace() });
        let Some(seed) = seeds.into_iter().nth(1) else { return };
        let (mut n, cpu) = (seed.claim(), PerCpu::default());
        for _ in 0..2 {
            m.ports[0].sendmsg(SyncMsg(reply_port().0).into());
        }
        assert_eq!((run(&m, &mut n, &cpu), m.ports[0].len()), ((Flow::Continue, true), 1));
        m.ports[0].sendmsg(Netmsg::Halt);
        assert_eq!((run(&m, &mut n, &cpu), m.ports[0].len()), ((Flow::Continue, true), 1));
        assert_eq!(run(&m, &mut n, &cpu).0, Flow::Halt);
    }

    #[test]
    fn a_neighbour_that_waits_when_its_interface_leaves_is_forgotten_too() {
        let clock = Arc::new(VirtualClock::default());
        let Booted { machine: m, seeds, .. } =
            Machine::boot(Config { ncpus: 2, clock, seed: [0; 32], hz: 0, log: trace() });
        let mut seeds = seeds.into_iter();
        let (Some(zero), Some(one)) = (seeds.next(), seeds.next()) else { return };
        let (mut n0, cpu0) = (zero.claim0(Box::new(|| ())), PerCpu::default());
        let (mut n, cpu) = (one.claim(), PerCpu::default());
        let addr = core::net::IpAddr::from([10, 0, 0, 9]);
        let update = LlUpdate { if_index: 1, addr, lladdr: [2; 6], heard: m.clock().now(), create: true };
        assert!(m.ports[0].sendmsg_packet(PACKETS_MAX, Netmsg::Neighbour(update)).is_ok());
        if_llatbl::ifdetach(&Ctx0 { m: &m, n0: &mut n0, cpu: &cpu0 }, 1);
        assert_eq!(run(&m, &mut n, &cpu), (Flow::Continue, false));
        assert!(cpu.lltable.borrow().is_empty());
    }
}
