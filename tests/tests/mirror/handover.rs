//! What goes on by a virtual address while another host takes it over.

use super::{Stage, VIRTUAL, on, stage};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use tests::lab::{self, Lab, Needs, Neighbours, Netisrd, VIP, virtual_host};

/// Datagrams to the virtual address, one as soon as the last has come to either
/// host; whose they were, each as long as it lasted.
fn stream(s: &Stage<'_>, begun: &Barrier, until: &AtomicBool) -> Vec<usize> {
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
    let mut whose = Vec::new();
    for sent in 0_u32.. {
        client.send_to(&sent.to_be_bytes(), (VIP, 9)).unwrap();
        let (n, got) = hear.recv_timeout(lab::PATIENCE).unwrap_or_else(|_| panic!("{sent} is lost"));
        assert_eq!(got, sent);
        if whose.last() != Some(&n) {
            whose.push(n);
        }
        if sent == 0 {
            begun.wait();
        }
        if until.load(Ordering::Relaxed) {
            break;
        }
    }
    for (n, server) in servers.into_iter().enumerate() {
        client.send_to(&[], (Ipv4Addr::new(10, 77, 0, n as u8 + 1), 9)).unwrap();
        server.join().unwrap();
    }
    whose
}

/// A stream ends also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_planned_handover_and_the_way_back_lose_nothing() {
    stage(|s| {
        let [a, b] = [(0, 0), (1, 100)].map(|(n, advskew)| {
            let machine = s.start(n, advskew);
            machine.sysctl("net.inet.carp.preempt=1");
            machine
        });
        a.wait_master("carp0");
        s.wait_serves(0, true);
        b.wait_backup("carp0");
        let (begun, until) = (Barrier::new(2), AtomicBool::new(false));
        let whose = std::thread::scope(|scope| {
            let stream = scope.spawn(|| stream(s, &begun, &until));
            let ends = Ends(&until);
            begun.wait();
            for _ in 0..3 {
                a.ifconfig("-g carp carpdemote 240").ok();
                b.wait_master("carp0");
                a.wait_backup("carp0");
                a.ifconfig("-g carp -carpdemote 240").ok();
                a.wait_master("carp0");
                b.wait_backup("carp0");
            }
            drop(ends);
            stream.join().unwrap()
        });
        assert_eq!(whose, [0, 1, 0, 1, 0, 1, 0]);
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
