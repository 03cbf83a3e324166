//! What goes on by a virtual address while another host takes it over.

use super::{Stage, VIRTUAL, on, stage};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use tests::lab::{self, Lab, Needs, Neighbours, Netisrd, VIP, on_host, virtual_host};

/// Datagrams to the virtual address, one as soon as the last has come to either
/// host; tells whose they are each time that they are another's.
fn stream(s: &Stage<'_>, turns: &Sender<usize>, until: &AtomicBool) {
    let (heard, hear) = mpsc::channel();
    let client = lab::within(Some(&s.client.ns), || UdpSocket::bind("0.0.0.0:0").unwrap());
    let servers = [0, 1].map(|n| {
        let socket = lab::within(Some(&s.hosts[n].ns), || UdpSocket::bind("0.0.0.0:9").unwrap());
        let heard = heard.clone();
        std::thread::spawn(move || {
            let mut datagram = [0; 4];
            while socket.recv(&mut datagram).unwrap() > 0 {
                heard.send((n, u32::from_be_bytes(datagram))).unwrap();
            }
        })
    });
    let mut whose = None;
    for sent in 0_u32.. {
        client.send_to(&sent.to_be_bytes(), (VIP, 9)).unwrap();
        let (n, got) = hear.recv_timeout(lab::PATIENCE).unwrap_or_else(|_| panic!("{sent} is lost"));
        assert_eq!(got, sent);
        if whose.replace(n) != Some(n) {
            turns.send(n).unwrap();
        }
        if until.load(Ordering::Relaxed) {
            break;
        }
    }
    for (n, server) in servers.into_iter().enumerate() {
        client.send_to(&[], (Ipv4Addr::new(10, 77, 0, n as u8 + 1), 9)).unwrap();
        server.join().unwrap();
    }
}

/// A stream ends also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One that advertises when it has something to say and hardly ever else: whoever has to
/// wait for a processor is neither late with the next one, nor with the addresses.
fn patient(s: &Stage<'_>, n: usize, advskew: u8, preempts: bool) -> Netisrd {
    let machine = on_host(s.lab, &s.hosts[n], &on("v0")).start();
    machine.sysctl(&format!("net.inet.carp.preempt={}", u8::from(preempts)));
    machine.carp("carp0", &format!("advbase 100 {}", virtual_host(advskew)));
    machine.sysctl("net.inet.carp.preempt=1");
    machine
}

#[test]
fn a_planned_handover_and_the_way_back_lose_nothing() {
    stage(|s| {
        let a = patient(s, 0, 0, true);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let b = patient(s, 1, 100, false);
        b.wait_backup("carp0");
        let ((turns, turn), until) = (mpsc::channel(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let stream = scope.spawn(|| stream(s, &{ turns }, &until));
            let ends = Ends(&until);
            let takes = |n: usize, machine: &Netisrd, other: &Netisrd| {
                machine.wait_master("carp0");
                other.wait_backup("carp0");
                assert_eq!(turn.recv_timeout(lab::PATIENCE), Ok(n));
            };
            takes(0, &a, &b);
            for _ in 0..3 {
                a.ifconfig("-g carp carpdemote 240").ok();
                takes(1, &b, &a);
                a.ifconfig("-g carp -carpdemote 240").ok();
                // It says how it is now, and need not be waited for.
                b.ifconfig("-g carp carpdemote").ok();
                takes(0, &a, &b);
                b.ifconfig("-g carp -carpdemote").ok();
            }
            drop(ends);
            stream.join().unwrap();
        });
        assert_eq!(turn.iter().next(), None, "and nobody else's");
    });
}

/// The second network's virtual address.
const VIP1: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 100);

/// A router between both networks, with a virtual address on each.
fn router(lab: &Lab, ns: &str, n: u8, advskew: u8) -> Netisrd {
    lab.host(ns, "br0", &format!("10.77.0.{n}/24"));
    lab.ip(&format!("link add name {ns}1 type veth peer name v1 netns {ns}"));
    lab.ip(&format!("link set dev {ns}1 master br1 up"));
    lab.ip_in(Some(ns), &format!("addr add 10.78.0.{n}/24 dev v1"));
    lab.ip_in(Some(ns), "link set v1 up");
    lab.wait_carrier(Some(ns), "v1");
    lab.wait_forwarding(&format!("{ns}1"));
    lab::within(Some(ns), || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let machine = lab.netisrd(&format!("on-{ns}")).netns(ns).mirrored(&on("v0")).mirrored(&on("v1")).start();
    machine.sysctl("net.inet.carp.preempt=1");
    machine.carp("carp0", &virtual_host(advskew));
    machine.carp("carp1", &format!("vhid 2 advskew {advskew} pass secret {VIP1}/24"));
    machine
}

#[test]
fn a_connection_through_a_router_survives_whatever_ends_it_and_sees_no_real_mac() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        lab.bridge("br1");
        let a = router(lab, "a", 1, 0);
        for carp in ["carp0", "carp1"] {
            a.wait_master(carp);
        }
        let b = router(lab, "b", 2, 100);
        let (client, server) = (lab.host("c", "br0", "10.77.0.9/24"), lab.host("s", "br1", "10.78.0.9/24"));
        lab.ip_in(Some(&client.ns), &format!("route add default via {VIP}"));
        lab.ip_in(Some(&server.ns), &format!("route add default via {VIP1}"));
        let seen = Neighbours::watch(Some(&client.ns));
        let listener = lab::within(Some(&server.ns), || TcpListener::bind("10.78.0.9:7").unwrap());
        let echo = std::thread::spawn(move || {
            let (mut here, _) = listener.accept().unwrap();
            let mut there = here.try_clone().unwrap();
            std::io::copy(&mut here, &mut there).unwrap()
        });
        let mut stream = lab::within(Some(&client.ns), || TcpStream::connect("10.78.0.9:7").unwrap());
        stream.set_read_timeout(Some(lab::PATIENCE)).unwrap();
        let mut say = |what: &str| {
            stream.write_all(what.as_bytes()).unwrap();
            let mut heard = vec![0; what.len()];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(heard, what.as_bytes());
        };
        say("by a");
        // Handed over as planned, back, and then lost.
        a.ifconfig("-g carp carpdemote").ok();
        for carp in ["carp0", "carp1"] {
            b.wait_master(carp);
        }
        say("by b");
        a.ifconfig("-g carp -carpdemote").ok();
        for carp in ["carp0", "carp1"] {
            a.wait_master(carp);
        }
        say("by a again");
        a.signal(Signal::SIGKILL);
        for carp in ["carp0", "carp1"] {
            b.wait_master(carp);
        }
        say("by b again");
        drop(stream);
        assert_eq!(echo.join().unwrap(), 28);
        let macs = seen.of(VIP);
        assert!(!macs.is_empty() && macs.iter().all(|mac| *mac == VIRTUAL), "{macs:02x?}");
    });
}
