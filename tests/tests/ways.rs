//! What a virtual address says leaves from the virtual MAC, whoever it is said to and
//! whatever becomes of the host's rules and routes; and goes where the host says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::IpAddr;
use tests::lab::{self, Events, Host, Lab, Mac, Needs, Netisrd, VIP, Wire, virtual_host};

/// Both ways to serve.
const PATHS: [&str; 2] = ["macvlan", "tap"];
const VIRTUAL: Mac = [0, 0, 0x5e, 0, 1, 1];
const VIP6: &str = "fd77::100";

/// A host `a` that shall serve, a client on its network, a router, and a client behind it.
struct Stage<'a> {
    lab: &'a Lab,
    a: Host,
    near: Host,
    far: Host,
    wire: Wire,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        lab.bridge("br1");
        let host = |ns: &str, net: u8, n: &str| {
            lab.host6(
                ns,
                &format!("br{}", net - 77),
                &format!("10.{net}.0.{n}/24"),
                &format!("fd{net}::{n}/64"),
            )
        };
        let (a, near, far) = (host("a", 77, "1"), host("c", 77, "9"), host("s", 78, "9"));
        host("r", 77, "254");
        lab.ip("link add name r1 type veth peer name v1 netns r");
        lab.ip("link set dev r1 master br1 up");
        lab::within(Some("r"), || {
            for (leaf, value) in [
                ("ipv6/conf/v1/disable_ipv6", "0"),
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
            ] {
                std::fs::write(format!("/proc/sys/net/{leaf}"), value).unwrap();
            }
        });
        for words in
            ["addr add 10.78.0.254/24 dev v1", "addr add fd78::254/64 dev v1 nodad", "link set v1 up"]
        {
            lab.ip_in(Some("r"), words);
        }
        lab.wait_carrier(Some("r"), "v1");
        lab.wait_forwarding("r1");
        lab.ip_in(Some("s"), "route add default via 10.78.0.254");
        lab.ip_in(Some("s"), "-6 route add default via fd78::254");
        let wire = lab.wire("br0");
        body(&Stage { lab, a, near, far, wire });
    });
}

impl Stage<'_> {
    fn machine(&self, path: &str) -> Netisrd {
        self.lab.netisrd(&format!("by-{path}")).netns("a").mirrored(&format!("v0:{path}")).start()
    }

    fn ip(&self, words: &str) {
        self.lab.ip_in(Some("a"), words);
    }

    /// What `ip route get` says of a way from a virtual address.
    fn way(&self, to: &str, from: &str) -> String {
        self.a.run(&format!("ip route get {to} from {from}")).ok()
    }

    /// An address that is renewed is an event, and time for a look.
    fn wait_way(&self, to: &str, from: &str, dev: &str) {
        Events::open(Some("a")).wait_until(&format!("{from} to {to} by {dev}"), || {
            let said = self.a.run(&format!("ip route get {to} from {from}"));
            said.stdout.contains(&format!(" dev {dev} "))
        });
    }

    /// The Ethernet addresses that a virtual address's answers come from, however far they
    /// go: echoes to both clients.
    fn answers_come_from(&self, vip: IpAddr, to: &[&Host]) -> Vec<Mac> {
        let mark = self.wire.mark();
        for client in to {
            assert_eq!(client.ping(vip, 2), 2, "{} to {vip}", client.ns);
        }
        let frames = self.wire.since(mark);
        let mut macs: Vec<Mac> = frames
            .iter()
            .filter(|f| f.is_echo_reply_of(vip) && f.src() != self.router())
            .map(|f| f.src())
            .collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }

    /// It says on what it was told.
    fn router(&self) -> Mac {
        let mac = self.lab.ip_in(Some("r"), "-br link show dev v0");
        let mut bytes = mac.split_whitespace().nth(2).unwrap().split(':');
        std::array::from_fn(|_| u8::from_str_radix(bytes.next().unwrap(), 16).unwrap())
    }
}

#[test]
fn rules_and_routes_that_somebody_removes_are_made_again() {
    stage(|s| {
        for path in PATHS {
            let machine = s.machine(path);
            machine.carp("carp0", &virtual_host(0));
            machine.ifconfig(&format!("carp0 inet6 {VIP6}/64")).ok();
            machine.wait_master("carp0");
            let both = [(VIP.to_string(), "10.77.0.9"), (VIP6.to_string(), "fd77::9")];
            for harm in [
                "rule del from 10.77.0.100",
                "-6 rule del from fd77::100",
                "route flush table all proto 112",
                "-6 route flush table all proto 112",
            ] {
                for (vip, client) in &both {
                    s.wait_way(client, vip, "carp0");
                }
                // All that there are: a service that takes foreign rules away.
                while s.a.run(&format!("ip {harm}")).status.success() && harm.contains("rule") {}
                for (vip, client) in &both {
                    s.wait_way(client, vip, "carp0");
                    let macs = s.answers_come_from(vip.parse().unwrap(), &[&s.near]);
                    assert_eq!(macs, [VIRTUAL], "{path}: {harm}: {vip}");
                }
            }
            machine.ifconfig("carp0 destroy").ok();
            let left = || {
                s.a.run("ip rule").ok()
                    + &s.a.run("ip -6 rule").ok()
                    + &s.a.run("ip route show table all proto 112").ok()
            };
            Events::open(Some("a"))
                .wait_until("no rule and no route", || !left().contains("100") && !left().contains("carp0"));
        }
    });
}

#[test]
fn an_address_alone_and_a_client_behind_a_router_hear_the_virtual_mac_too() {
    stage(|s| {
        for path in PATHS {
            s.ip("route add default via 10.77.0.254");
            let machine = s.machine(path);
            machine.ifconfig(&format!("v0 vhid 1 pass mekmitasdigoat {VIP}/32")).ok();
            machine.ifconfig(&format!("v0 inet6 {VIP6}/128 vhid 1")).ok();
            s.wait_way("10.77.0.9", &VIP.to_string(), "1@v0");
            s.wait_way("10.78.0.9", &VIP.to_string(), "1@v0");
            assert_eq!(s.answers_come_from(VIP.into(), &[&s.near, &s.far]), [VIRTUAL], "{path}");
            // A way that comes later is a way.
            s.wait_way("fd77::9", VIP6, "1@v0");
            s.ip("-6 route add default via fd77::254");
            s.wait_way("fd78::9", VIP6, "1@v0");
            assert_eq!(s.answers_come_from(VIP6.parse().unwrap(), &[&s.near, &s.far]), [VIRTUAL], "{path}");
            // And one that goes is none.
            s.ip("route del default");
            s.ip("-6 route del default");
            Events::open(Some("a")).wait_until("no way", || {
                !s.a.run(&format!("ip route get 10.78.0.9 from {VIP}")).status.success()
            });
            // What the host itself begins is not the virtual address's.
            assert!(s.a.run("ip route get 10.77.0.9").ok().contains("src 10.77.0.1 "));
        }
    });
}

#[test]
fn what_the_main_table_says_of_other_interfaces_goes_before() {
    stage(|s| {
        s.ip("link add d0 type bridge");
        s.ip("link set d0 up");
        for words in [
            "default via 10.77.0.254",
            "10.80.0.0/16 via 10.77.0.253",
            "10.80.1.0/24 dev d0",
            "10.77.0.64/26 dev d0",
            "10.81.0.0/16 via 10.77.0.254 proto bird",
        ] {
            s.ip(&format!("route add {words}"));
        }
        let machine = s.machine("macvlan");
        machine.carp("carp0", &virtual_host(0));
        machine.wait_master("carp0");
        let vip = VIP.to_string();
        s.wait_way("10.77.0.9", &vip, "carp0");
        for (to, by) in [
            ("10.99.0.1", "via 10.77.0.254 dev carp0 "),
            ("10.80.0.1", "via 10.77.0.253 dev carp0 "),
            ("10.80.1.1", "dev d0 "),
            ("10.77.0.70", "dev d0 "),
            ("10.77.0.130", "dev carp0 "),
            // A routing daemon's.
            ("10.81.0.1", "via 10.77.0.254 dev v0 "),
        ] {
            assert!(s.way(to, &vip).contains(by), "{to}: {}", s.way(to, &vip));
        }
        machine.sysctl("net.inet.carp.setroute=0");
        s.wait_way("10.99.0.1", &vip, "v0");
        Events::open(Some("a")).wait_until("no rule", || !s.a.run("ip rule").ok().contains(&vip));
    });
}
