//! All that `mirror.rs` says of macvlans, of taps as well; and what is theirs alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod mirror;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tests::lab::{self, Events, Host, Lab, Needs, VIP, on_host, virtual_host};

const VIP6: &str = "fd77::100";
/// More than any window, and no multiple of anything.
const MEGABYTES: usize = (24 << 20) + 4711;

/// What comes at `at` of a stream.
fn byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Sends all of it while it comes back, and looks at each byte.
fn there_and_back(stream: &TcpStream) {
    stream.set_read_timeout(Some(lab::PATIENCE)).unwrap();
    let (mut out, mut back) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
    let sender = thread::spawn(move || {
        let all: Vec<u8> = (0..MEGABYTES).map(byte).collect();
        out.write_all(&all).unwrap();
        out.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    back.read_to_end(&mut heard).unwrap();
    sender.join().unwrap();
    assert_eq!(heard.len(), MEGABYTES);
    assert_eq!((0..MEGABYTES).find(|at| heard[*at] != byte(*at)), None);
}

/// Packets and bytes that `carp0` has received and sent.
fn counted(host: &Host) -> [u64; 4] {
    let all = lab::within(Some(&host.ns), || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let carp0 = all.lines().find_map(|line| line.trim().strip_prefix("carp0:")).unwrap();
    let counters: Vec<u64> = carp0.split_whitespace().map(|n| n.parse().unwrap()).collect();
    [counters[1], counters[0], counters[9], counters[8]]
}

/// Until `carp0` has its addresses, and then a carrier.
fn wait_served(a: &Host, addresses: &[&str]) {
    Events::open(Some(&a.ns)).wait_until("addresses and a carrier", || {
        let (addrs, link) = (a.run("ip -o addr show dev carp0"), a.run("ip -o link show dev carp0"));
        let has = |address: &&str| addrs.stdout.contains(&format!(" {address}/"));
        link.stdout.contains("LOWER_UP") && addresses.iter().all(has)
    });
}

/// A host `a` with a machine that is MASTER, and a client `c`.
fn with_a_master(body: impl FnOnce(&Lab, &Host, &Host, &lab::Netisrd)) {
    with_a_master_by(&[], body);
}

fn with_a_master_by(args: &[&str], body: impl FnOnce(&Lab, &Host, &Host, &lab::Netisrd)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let a = lab.host6("a", "br0", "10.77.0.1/24", "fd77::1/64");
        let c = lab.host6("c", "br0", "10.77.0.9/24", "fd77::9/64");
        lab::within(Some("a"), || {
            std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0").unwrap()
        });
        let machine = on_host(lab, &a, "v0:tap").args(args).start();
        machine.carp("carp0", &virtual_host(0));
        machine.ifconfig(&format!("carp0 inet6 {VIP6}/64")).ok();
        machine.wait_master("carp0");
        wait_served(&a, &[&VIP.to_string(), VIP6]);
        body(lab, &a, &c, &machine);
    });
}

#[test]
fn a_connection_carries_megabytes_in_whole_segments_over_both_families() {
    with_a_master(|_, a, c, _| {
        let listener = lab::within(Some("a"), || TcpListener::bind("[::]:7").unwrap());
        let echo = thread::spawn(move || {
            for _ in 0..2 {
                let (mut here, _) = listener.accept().unwrap();
                let mut there = here.try_clone().unwrap();
                std::io::copy(&mut here, &mut there).unwrap();
            }
        });
        for vip in [IpAddr::from(VIP), VIP6.parse().unwrap()] {
            let before = counted(a);
            let stream = lab::within(Some(&c.ns), || TcpStream::connect((vip, 7)).unwrap());
            there_and_back(&stream);
            let after = counted(a);
            let [rx_packets, rx_bytes, tx_packets, tx_bytes] = [0, 1, 2, 3].map(|n| after[n] - before[n]);
            assert!(
                rx_bytes > MEGABYTES as u64 && tx_bytes > MEGABYTES as u64,
                "{vip}: {rx_bytes} {tx_bytes}"
            );
            // Far longer than a frame on the wire: nobody has cut them.
            let longest = 1514 * 3;
            assert!(rx_bytes / rx_packets > longest, "{vip}: {rx_bytes} in {rx_packets}");
            assert!(tx_bytes / tx_packets > longest / 3, "{vip}: {tx_bytes} in {tx_packets}");
        }
        echo.join().unwrap();
    });
}

/// Sends to the virtual MAC without a pause, whoever takes it.
fn flood(c: &Host, until: &AtomicBool) {
    let socket = lab::within(Some(&c.ns), || UdpSocket::bind("0.0.0.0:0").unwrap());
    while !until.load(Ordering::Relaxed) {
        // Nobody may listen: that is told of an earlier one.
        let _ = socket.send_to(&[7; 1000], (VIP, 9));
    }
}

#[test]
fn a_carp_interface_comes_and_goes_while_frames_run() {
    with_a_master(|lab, a, c, machine| {
        // It is MASTER as soon as it is there.
        machine.sysctl("net.inet.carp.preempt=1");
        let vmac = "lladdr 00:00:5e:00:01:01 dev v0 nud permanent";
        lab.ip_in(Some("c"), &format!("neigh replace {VIP} {vmac}"));
        let until = AtomicBool::new(false);
        thread::scope(|s| {
            s.spawn(|| flood(c, &until));
            let flooded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for _ in 0..20 {
                    machine.ifconfig("carp0 state backup").ok();
                    machine.ifconfig("carp0 vhid 2").ok();
                    machine.ifconfig("carp0 vhid 1").ok();
                    machine.ifconfig("carp0 destroy").ok();
                    machine.carp("carp0", &virtual_host(0));
                }
            }));
            until.store(true, Ordering::Relaxed);
            flooded.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        machine.wait_master("carp0");
        wait_served(a, &[&VIP.to_string()]);
        assert_eq!(c.ping(VIP, 1), 1);
    });
}

#[test]
fn a_carp_interface_that_comes_again_is_served_again() {
    with_a_master(|lab, a, c, machine| {
        for round in 0..3 {
            assert_eq!(c.ping(VIP, 1), 1, "round {round}");
            machine.ifconfig("carp0 destroy").ok();
            machine.carp("carp0", &virtual_host(0));
            machine.wait_master("carp0");
            wait_served(a, &[&VIP.to_string()]);
        }
        assert_eq!(c.ping(VIP, 1), 1);
        // It follows its parent.
        let events = Events::open(Some("a"));
        lab.ip_in(Some("a"), "link set v0 mtu 1400");
        events
            .wait_until("the parent's MTU", || a.run("ip -o link show dev carp0").ok().contains("mtu 1400"));
        assert_eq!(c.ping(VIP, 1), 1);
    });
}

#[test]
fn whoever_kills_it_takes_the_interface_along_and_a_stopped_one_passes_nothing() {
    with_a_master(|_, a, c, machine| {
        let own: Ipv4Addr = "10.77.0.1".parse().unwrap();
        assert_eq!((c.ping(VIP, 1), c.ping(own, 1)), (1, 1));
        machine.signal(nix::sys::signal::Signal::SIGSTOP);
        // At once, before its addresses have gone.
        assert_eq!((c.ping_nobody(VIP, 1), c.ping(own, 1)), (0, 1));
        machine.signal(nix::sys::signal::Signal::SIGKILL);
        Events::open(Some("a"))
            .wait_until("carp0 gone", || !a.run("ip link show dev carp0").status.success());
    });
}

/// Asks `VIP` for numbers, each once it has the one before, by so many flows, until it
/// is to end: how many it has asked for of each. One that is lost is never asked again.
fn ask_in_turn(c: &Host, flows: usize, until: &AtomicBool) -> u64 {
    let flow = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((VIP, 7)).unwrap();
        socket.set_read_timeout(Some(lab::PATIENCE)).unwrap();
        socket
    };
    let flows: Vec<_> = lab::within(Some(&c.ns), || (0..flows).map(|_| flow()).collect());
    let mut asked = 0u64;
    while !until.load(Ordering::Relaxed) {
        flows.iter().for_each(|flow| assert_eq!(flow.send(&asked.to_ne_bytes()).unwrap(), 8));
        for flow in &flows {
            let mut heard = [0; 8];
            let n = flow.recv(&mut heard).unwrap_or_else(|e| panic!("{asked} is lost: {e}"));
            assert_eq!((n, u64::from_ne_bytes(heard)), (8, asked), "each once");
        }
        asked += 1;
    }
    asked
}

/// Another netisrd, in the place of that one.
fn goes_on(lab: &Lab, old: &lab::Netisrd, name: &str) -> lab::Netisrd {
    goes_on_with(lab, old, name, &[])
}

fn goes_on_with(lab: &Lab, old: &lab::Netisrd, name: &str, args: &[&str]) -> lab::Netisrd {
    let new = lab.netisrd(name).netns("a").mirrored("v0:tap").args(args).takeover(old).spawn();
    new.wait_ready();
    assert_eq!(old.wait_exit().code(), Some(0));
    new
}

/// Where each netisr may run. `machine` has changed something and changed it back: every
/// netisr has settled by then.
fn processors(machine: &lab::Netisrd) -> Vec<CpuSet> {
    machine.ifconfig("carp9 create").ok();
    machine.ifconfig("carp9 destroy").ok();
    let tasks = format!("/proc/{}/task", machine.proc.pid());
    let tasks = std::fs::read_dir(tasks).unwrap().map(|task| task.unwrap());
    let mut netisrs: Vec<(usize, i32)> = tasks
        .filter_map(|task| {
            let comm = std::fs::read_to_string(task.path().join("comm")).unwrap();
            let cpuid = comm.trim_end().strip_prefix("netisr ")?.parse().unwrap();
            Some((cpuid, task.file_name().to_str()?.parse().unwrap()))
        })
        .collect();
    netisrs.sort_unstable();
    netisrs.into_iter().map(|(_, task)| sched_getaffinity(Pid::from_raw(task)).unwrap()).collect()
}

#[test]
fn netisrs_are_bound_to_the_processors_whose_frames_they_carry_and_only_while_they_do() {
    with_a_master_by(&["--fanout", "cpu", "-n", "2"], |lab, _, _, machine| {
        let free = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let of = |set: CpuSet| (0..CpuSet::count()).filter(move |cpu| set.is_set(*cpu).unwrap());
        let is_free = |place: &CpuSet| *place == free;
        let bound = |places: &[CpuSet]| {
            for (cpuid, place) in places.iter().enumerate() {
                let own: Vec<usize> = of(free).filter(|cpu| cpu % 2 == cpuid).collect();
                // One that has none is given no frame, and runs where it can.
                let own = if own.is_empty() { of(free).collect() } else { own };
                assert_eq!(of(*place).collect::<Vec<_>>(), own, "netisr {cpuid}");
            }
        };
        bound(&processors(machine));
        // Of a successor the sockets say how it is, however many netisrs it has.
        let new = goes_on_with(lab, machine, "new", &["-n", "3"]);
        let places = processors(&new);
        bound(&places[..2]);
        assert!(is_free(&places[2]), "{places:?}");
        let mark = new.proc.log.len();
        lab.ip_in(Some("a"), "link del v0");
        new.proc.log.wait_line(mark, "the end of v0", lab::PATIENCE, |l| l.contains("v0: detached"));
        assert!(processors(&new).iter().all(is_free));
        assert!(!new.proc.log.since(0).iter().any(|l| l.contains("not bound")));
        // And the one that comes is dealt out by flow: it has one queue.
        lab.ip("link add name a type veth peer name v0 netns a");
        let mark = new.proc.log.len();
        lab.ip_in(Some("a"), "link set v0 up");
        new.proc.log.wait_line(mark, "v0 anew", lab::PATIENCE, |l| l.contains("v0: attached"));
        assert!(processors(&new).iter().all(is_free));
    });
}

#[test]
fn an_interface_that_came_again_goes_on_too() {
    with_a_master(|lab, a, c, machine| {
        let mark = machine.proc.log.len();
        lab.ip_in(Some("a"), "link del v0");
        machine.proc.log.wait_line(mark, "the end of v0", lab::PATIENCE, |l| l.contains("v0: detached"));
        lab.ip("link add name a type veth peer name v0 netns a");
        lab.ip("link set dev a master br0 up");
        lab.ip_in(Some("a"), "addr add 10.77.0.1/24 dev v0");
        lab.ip_in(Some("a"), "link set v0 up");
        machine.wait_master("carp0");
        wait_served(a, &[&VIP.to_string()]);
        let _new = goes_on(lab, machine, "new");
        lab::Pinger::start(c, VIP, std::time::Duration::from_millis(100)).wait_answer();
    });
}

#[test]
fn no_frame_is_lost_or_comes_twice_while_another_netisrd_goes_on() {
    with_a_master(|lab, a, c, machine| {
        let server = lab::within(Some(&a.ns), || UdpSocket::bind((VIP, 7)).unwrap());
        let echo = thread::spawn(move || {
            let mut buf = [0; 16];
            for n in 0u64.. {
                let (len, from) = server.recv_from(&mut buf).unwrap();
                if len == 0 {
                    return n;
                }
                server.send_to(&buf[..len], from).unwrap();
            }
            unreachable!()
        });
        const FLOWS: usize = 8;
        let until = AtomicBool::new(false);
        let mut last: Option<lab::Netisrd> = None;
        let asked = thread::scope(|s| {
            let asking = s.spawn(|| ask_in_turn(c, FLOWS, &until));
            let went_on = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for name in ["second", "third", "fourth"] {
                    last = Some(goes_on(lab, last.as_ref().unwrap_or(machine), name));
                }
            }));
            until.store(true, Ordering::Relaxed);
            went_on.and(asking.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        assert!(asked > 100, "{asked}");
        let end = lab::within(Some(&a.ns), || UdpSocket::bind("0.0.0.0:0").unwrap());
        end.send_to(&[], (VIP, 7)).unwrap();
        assert_eq!(echo.join().unwrap(), asked * FLOWS as u64, "none came twice");
    });
}
