//! Interfaces of the host that are deleted, made again, renamed, or none of wood and
//! copper: bridges and VLANs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tests::lab::{
    self, Events, Host, Lab, N1, N2, Needs, Netisrd, PATIENCE, Said, VIP, command, host_and_client,
    virtual_host, virtual_mac,
};

/// A host `a`, another one `b` with a netisrd that is BACKUP or comes to be MASTER,
/// and a client.
struct Stage<'a> {
    lab: &'a Lab,
    a: Host,
    client: Host,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        let (a, client) = host_and_client(lab);
        body(&Stage { lab, a, client });
    });
}

impl Stage<'_> {
    /// A netisrd on another host, which takes over whenever there is nobody else.
    fn peer(&self) -> Netisrd {
        self.lab.host("b", "br0", &format!("{N2}/24"));
        let machine = self.lab.netisrd("on-b").netns("b").mirrored("v0").start();
        machine.carp("carp0", &virtual_host(100));
        machine.wait_backup("carp0");
        machine
    }

    /// `v0` is gone, and made again, with another Ethernet address.
    fn make_again(&self) {
        let in_a = Some("a");
        self.lab.ip("link add name a type veth peer name v0 netns a");
        self.lab.ip("link set dev a master br0 up");
        self.lab.ip_in(in_a, &format!("addr add {N1}/24 dev v0"));
        self.lab.ip_in(in_a, "link set v0 up");
        self.lab.wait_carrier(in_a, "v0");
        self.lab.wait_forwarding("a");
    }

    fn wait_serves(&self, serves: bool) {
        Events::open(Some("a")).wait_until(&format!("serving {serves}"), || {
            self.a.run("ip -o addr show").ok().contains(&format!(" {VIP}/")) == serves
        });
    }

    fn settings(&self, dev: &str) -> [String; 2] {
        ["arp_ignore", "arp_announce"]
            .map(|leaf| self.a.run(&format!("cat /proc/sys/net/ipv4/conf/{dev}/{leaf}")).ok())
    }
}

/// How many packet sockets there are on a host: the machine's.
fn packet_sockets(host: &Host) -> usize {
    host.run("cat /proc/net/packet").ok().lines().count()
}

#[test]
fn an_interface_that_is_deleted_and_made_again_is_used_again() {
    stage(|s| {
        let before = s.settings("v0");
        let a = s.lab.netisrd("on-a").netns("a").mirrored("v0").start();
        a.sysctl("net.inet.carp.preempt=1");
        a.carp("carp0", &virtual_host(0));
        a.wait_master("carp0");
        s.wait_serves(true);
        let b = s.peer();
        let (raised, open) = (s.settings("v0"), packet_sockets(&s.a));
        // Whether it hears of the end by the queue or only by asking.
        for last in ["link set v0 up", "link set v0 down"] {
            s.lab.ip_in(Some("a"), last);
            s.lab.ip_in(Some("a"), "link del v0");
            a.wait_state("carp0", "INIT", PATIENCE);
            b.wait_master("carp0");
            assert!(!a.ifconfig("-l").ok().contains("v0"));
            s.make_again();
            a.wait_master("carp0");
            b.wait_backup("carp0");
            s.wait_serves(true);
            assert_eq!(s.client.ping(VIP, 2), 2);
            assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
            assert_eq!(s.settings("v0"), raised);
            assert!(a.ifconfig("v0").ok().contains(&N1.to_string()));
        }
        // Addresses come and go as before, and nothing of the old ones is left.
        s.lab.ip_in(Some("a"), &format!("addr del {N1}/24 dev v0"));
        a.wait_state("carp0", "INIT", PATIENCE);
        s.lab.ip_in(Some("a"), "addr add 10.77.0.3/24 dev v0");
        a.wait_master("carp0");
        assert_eq!(packet_sockets(&s.a), open, "{}", s.a.run("cat /proc/net/packet").ok());
        a.signal(Signal::SIGTERM);
        assert!(a.wait_exit().success());
        assert_eq!(s.settings("v0"), before);
    });
}

/// The other data paths: the machine answers alone, or all frames go through it.
#[test]
fn whoever_takes_the_frames_does_so_on_an_interface_that_was_made_again() {
    stage(|s| {
        for path in ["none", "tap"] {
            let a = s.lab.netisrd(path).netns("a").args(&["-i", &format!("v0:{path}")]).start();
            a.sysctl("net.inet.carp.preempt=1");
            a.carp("carp0", &virtual_host(0));
            a.wait_master("carp0");
            assert_eq!(s.client.ping(VIP, 1), 1, "{path}");
            s.lab.ip_in(Some("a"), "link del v0");
            a.wait_state("carp0", "INIT", PATIENCE);
            s.make_again();
            a.wait_master("carp0");
            assert_eq!(s.client.ping(VIP, 2), 2, "{path}");
            assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)), "{path}");
            a.signal(Signal::SIGTERM);
            assert!(a.wait_exit().success(), "{path}");
        }
    });
}

#[test]
fn what_the_configuration_says_of_an_interface_is_done_again_when_it_is_made_again() {
    stage(|s| {
        let conf = s.lab.dir().join("netisrd.conf");
        let text = format!(
            "netisrd_interfaces=\"v0\"\ncloned_interfaces=\"carp0\"\n\
             ifconfig_carp0=\"vhid 1 carpdev v0 pass secret {VIP}/24\"\n\
             ifconfig_v0_alias0=\"vhid 2 pass secret 10.77.0.101/32\"\n"
        );
        fs::write(&conf, text).unwrap();
        fs::set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
        let a = s.lab.netisrd("on-a").netns("a").args(&["-f", conf.to_str().unwrap()]).start();
        for of in ["carp0", "v0"] {
            a.wait_master(of);
        }
        s.lab.ip_in(Some("a"), "link del v0");
        a.wait_state("carp0", "INIT", PATIENCE);
        s.make_again();
        for of in ["carp0", "v0"] {
            a.wait_master(of);
        }
        s.wait_serves(true);
        assert!(a.ifconfig("carp0").ok().contains("carpdev: v0"));
        for addr in [VIP, "10.77.0.101".parse().unwrap()] {
            assert_eq!(s.client.ping(addr, 1), 1, "{addr}");
        }
        assert!(!a.proc.log.lines().iter().any(|l| l.contains("ERROR")), "{:?}", a.proc.log.lines());
    });
}

#[test]
fn settings_are_put_back_on_an_interface_that_was_renamed() {
    stage(|s| {
        let (before, in_a) = (s.settings("v0"), Some("a"));
        let rename = |from: &str, to: &str| {
            s.lab.ip_in(in_a, &format!("link set {from} down"));
            s.lab.ip_in(in_a, &format!("link set {from} name {to}"));
            s.lab.ip_in(in_a, &format!("link set {to} up"));
        };
        for how in [Signal::SIGTERM, Signal::SIGKILL] {
            let a = s.lab.netisrd("on-a").netns("a").mirrored("v0").start();
            a.sysctl("net.inet.carp.preempt=1");
            a.carp("carp0", &virtual_host(0));
            a.wait_master("carp0");
            assert_ne!(s.settings("v0"), before);
            rename("v0", "lan0");
            a.wait_master("carp0");
            s.wait_serves(true);
            assert_ne!(s.settings("lan0"), before);
            a.signal(how);
            a.wait_exit();
            if how == Signal::SIGTERM {
                assert_eq!(s.settings("lan0"), before);
                rename("lan0", "v0");
            }
        }
        // The next one puts back what a dead one has left, whatever it was called.
        let next = s.lab.netisrd("on-a").netns("a").mirrored("lan0").start();
        next.signal(Signal::SIGTERM);
        assert!(next.wait_exit().success());
        assert_eq!(s.settings("lan0"), before);
    });
}

/// A netisrd on `dev` of host `a` takes over from a peer, serves, and hands over.
fn serves_on(s: &Stage<'_>, dev: &str, client: &Host) {
    let a = s.lab.netisrd("on-a").netns("a").mirrored(dev).start();
    a.sysctl("net.inet.carp.preempt=1");
    a.carp("carp0", &virtual_host(0));
    a.wait_master("carp0");
    s.wait_serves(true);
    assert_eq!(client.ping(VIP, 2), 2);
    a.ifconfig("carp0 state backup").ok();
    s.wait_serves(false);
    a.wait_master("carp0");
    s.wait_serves(true);
    assert_eq!(client.ping(VIP, 2), 2);
}

#[test]
fn a_bridge_can_be_the_parent() {
    stage(|s| {
        let in_a = Some("a");
        s.lab.ip_in(in_a, "link add name lan0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        s.lab.ip_in(in_a, &format!("addr del {N1}/24 dev v0"));
        s.lab.ip_in(in_a, "link set v0 master lan0");
        s.lab.ip_in(in_a, &format!("addr add {N1}/24 dev lan0"));
        s.lab.ip_in(in_a, "link set lan0 up");
        s.lab.wait_carrier(in_a, "lan0");
        serves_on(s, "lan0", &s.client);
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
    });
}

#[test]
fn a_vlan_can_be_the_parent() {
    stage(|s| {
        let on = |ns: &str, addr: &str| {
            let add = command("ip link add link v0 name v0.7 type vlan id 7");
            let added = Said::by(Some(ns), add);
            if !added.status.success() {
                let why = added.stderr.trim();
                let missing = ["Unknown device type", "not supported"].iter().any(|w| why.contains(w));
                assert!(missing, "{why}");
                return Err(why.to_owned());
            }
            s.lab.ip_in(Some(ns), "addr flush dev v0");
            s.lab.ip_in(Some(ns), &format!("addr add {addr}/24 dev v0.7"));
            s.lab.ip_in(Some(ns), "link set v0.7 up");
            s.lab.wait_carrier(Some(ns), "v0.7");
            Ok(())
        };
        match on("a", &N1.to_string()).and_then(|()| on("c", "10.77.0.9")) {
            Ok(()) => serves_on(s, "v0.7", &s.client),
            // Not for want of a package: in CI neither.
            Err(why) => println!("skipped: this kernel has no VLANs: {why}"),
        }
    });
}

#[test]
fn who_lives_in_another_namespace_of_processes_keeps_what_it_has() {
    stage(|s| {
        let apart = "exec unshare --pid --fork --kill-child --mount-proc \"$@\"";
        let start = |name: &str| s.lab.netisrd(name).netns("a").mirrored("v0").by(apart).start();
        let removes = |m: &Netisrd| m.proc.log.lines().iter().any(|l| l.contains("carp0: removed"));
        let one = start("one");
        one.carp("carp0", &virtual_host(0));
        one.wait_master("carp0");
        s.wait_serves(true);
        let index = || s.a.run("ip -o link show dev carp0").ok().split(':').next().map(str::to_owned);
        let before = index();
        let two = start("two");
        assert!(!removes(&two), "{:?}", two.proc.log.lines());
        assert_eq!((index(), one.state("carp0")), (before, "MASTER".to_owned()));
        one.signal(Signal::SIGKILL);
        one.wait_exit();
        let three = start("three");
        assert!(removes(&three), "{:?}", three.proc.log.lines());
    });
}

#[test]
fn of_a_port_of_a_bridge_it_is_told_what_serves_in_its_place() {
    stage(|s| {
        let in_a = Some("a");
        s.lab.ip_in(in_a, "link add name br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        s.lab.ip_in(in_a, "addr del 10.77.0.1/24 dev v0");
        s.lab.ip_in(in_a, "link set v0 master br1");
        s.lab.ip_in(in_a, "addr add 10.77.0.1/24 dev br1");
        s.lab.ip_in(in_a, "link set br1 up");
        s.lab.wait_carrier(in_a, "br1");
        let start = |card: &str, carpdev: &str| {
            let a = s.lab.netisrd(&format!("on-{card}")).netns("a").mirrored(card).start();
            a.carp("carp0", &format!("{carpdev} {}", virtual_host(0)));
            a
        };
        let end = |a: Netisrd| {
            a.signal(Signal::SIGTERM);
            assert!(a.wait_exit().success());
        };
        let a = start("v0", "carpdev v0");
        let told =
            "carp0: cannot be made: v0 is a port of the bridge br1: use -i br1, or -i v0:tap with carpdev v0";
        a.proc.log.wait_line(0, told, PATIENCE, |l| l.ends_with(told));
        let told = "carp: demoted by 240 to 240 (not served by the host)";
        a.proc.log.wait_line(0, told, PATIENCE, |l| l.ends_with(told));
        assert_eq!(a.state("carp0"), "INIT");
        end(a);
        for (card, carpdev) in [("br1", "carpdev br1"), ("v0:tap", "carpdev v0")] {
            let a = start(card, carpdev);
            a.wait_master("carp0");
            s.wait_serves(true);
            assert_eq!((s.client.ping(VIP, 2), s.client.ping(N1, 2)), (2, 2), "{card}");
            end(a);
            s.wait_serves(false);
        }
    });
}
