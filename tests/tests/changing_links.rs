//! The host's interface changes under the machine: what its frames may be, and whose
//! address it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use std::process::Command;
use tests::lab::{self, Events, Host, Lab, Mac, Needs, Netisrd, PATIENCE, Proc, VIP, virtual_host};

const VIP6: &str = "fd77::100";
/// A card's next address.
const NEXT: Mac = [2, 0, 0, 0, 0, 0x77];
const BACKING6: &str = "addr add fd77::1/64 dev v0 nodad";

/// A host whose machine is MASTER, and a client.
struct Stage<'a> {
    lab: &'a Lab,
    a: Host,
    client: Host,
    machine: Netisrd,
}

/// On either path of frames, one after the other.
fn on_each_path(name: &str, body: impl Fn(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        for path in ["macvlan", "tap"] {
            let bridge = format!("br{path}");
            lab.bridge(&bridge);
            let host = |ns: &str, n| {
                let ns = format!("{ns}{path}");
                lab.host6(&ns, &bridge, &format!("10.77.0.{n}/24"), &format!("fd77::{n}/64"))
            };
            let (a, client) = (host("a", 1), host("c", 9));
            lab::within(Some(&a.ns), || {
                std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0").unwrap()
            });
            let machine = lab.netisrd(&format!("{name}-{path}")).netns(&a.ns).mirrored(&format!("v0:{path}"));
            let machine = machine.start();
            machine.sysctl("net.inet.carp.preempt=1");
            body(&Stage { lab, a, client, machine });
        }
    });
}

impl Stage<'_> {
    fn ip(&self, words: &str) {
        self.lab.ip_in(Some(&self.a.ns), words);
    }

    fn shown(&self, words: &str) -> String {
        self.a.run(words).stdout
    }

    fn wait(&self, what: &str, is: impl Fn() -> bool) {
        Events::open(Some(&self.a.ns)).wait_until(what, is);
    }

    /// MASTER of both addresses, and Linux has them.
    fn master_of_both(&self) {
        self.machine.carp("carp0", &virtual_host(0));
        self.machine.ifconfig(&format!("carp0 inet6 {VIP6}/64")).ok();
        self.machine.wait_master("carp0");
        self.wait_both();
    }

    fn wait_both(&self) {
        self.wait("both addresses", || {
            let addrs = self.shown("ip -o addr show dev carp0");
            let all = [VIP.to_string().as_str(), VIP6].iter().all(|vip| addrs.contains(&format!(" {vip}/")));
            all && self.shown("ip -o link show dev carp0").contains("LOWER_UP")
        });
    }
}

#[test]
fn frames_too_short_for_ipv6_leave_the_machine_running_and_no_rule_behind() {
    on_each_path("short", |s| {
        s.master_of_both();
        s.wait("its rule", || s.shown("ip -6 rule").contains(VIP6));
        s.ip("link set v0 mtu 1279");
        s.wait("end of IPv6", || {
            !s.shown("ip -6 -o addr").contains(VIP6) && !s.shown("ip -6 rule").contains(VIP6)
        });
        s.machine.wait_master("carp0");
        assert_eq!(s.client.ping(VIP, 3), 3);
        s.ip("link set v0 mtu 1500");
        s.ip(BACKING6);
        s.wait_both();
        assert_eq!((s.client.ping(VIP6, 1), s.client.ping(VIP, 1)), (1, 1));
        // Nothing of its own, whose MAC would be the virtual one.
        assert_eq!(s.shown("ip -6 -o addr show dev carp0").lines().count(), 1);
    });
}

#[test]
fn a_host_without_ipv6_and_a_parent_too_short_for_it_serve_ipv4() {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        for (path, how) in [("macvlan", "none"), ("tap", "none"), ("macvlan", "short"), ("tap", "short")] {
            let (bridge, ns) = (format!("{path}{how}"), |n: &str| format!("{n}{path}{how}"));
            lab.bridge(&bridge);
            let host = |n: &str, ip| lab.host(&ns(n), &bridge, &format!("10.77.0.{ip}/24"));
            let (a, client) = (host("a", 1), host("c", 9));
            let machine = lab.netisrd(&ns("on-")).netns(&a.ns).mirrored(&format!("v0:{path}"));
            let machine = if how == "none" {
                let hidden = "mount -t tmpfs none /proc/sys/net/ipv6 && exec \"$@\"";
                machine.by(&format!("exec unshare -m sh -c '{hidden}' sh \"$@\""))
            } else {
                lab.ip_in(Some(&a.ns), "link set v0 mtu 1200");
                machine
            };
            let machine = machine.start();
            machine.sysctl("net.inet.carp.preempt=1");
            machine.carp("carp0", &virtual_host(0));
            machine.wait_master("carp0");
            assert_eq!(client.ping(VIP, 3), 3);
            // One with an IPv6 address waits for what is missing; nobody else does.
            machine.ifconfig("v0 inet6 fd77::1/64").ok();
            machine.carp("carp1", &format!("vhid 2 pass secret inet6 {VIP6}/64"));
            machine
                .proc
                .log
                .wait_line(0, "why", PATIENCE, |l| l.contains("carp1: fd77::100/64: no IPv6 there"));
            machine.wait_state("carp1", "INIT", PATIENCE);
            assert_eq!(client.ping(VIP, 1), 1);
            machine.signal(Signal::SIGTERM);
            assert!(machine.wait_exit().success());
        }
    });
}

#[test]
fn carp_interfaces_follow_what_frames_of_their_parent_may_be() {
    on_each_path("mtu", |s| {
        s.master_of_both();
        let mut monitor = Command::new(lab::binary("route-carp"));
        monitor.args(["-n", "monitor"]).env("NETISRD_SOCK", s.machine.tools.sock());
        let monitor = Proc::spawn("monitor", None, monitor);
        // It listens as soon as it is told of anything.
        for unit in 100.. {
            if !monitor.log.is_empty() {
                break;
            }
            s.machine.ifconfig(&format!("carp{unit} create")).ok();
        }
        let says = |who: &str, mtu: u32| s.machine.ifconfig(who).ok().contains(&format!(" mtu {mtu}\n"));
        let told = |mtu| {
            let mut mark = 0;
            while !["v0", "carp0"].iter().all(|who| says(who, mtu)) {
                mark = 1 + monitor.log.wait_line(mark, "a change", PATIENCE, |l| l.contains("RTM_IFINFO"));
            }
        };
        for mtu in [9000, 1500, 1400, 9000] {
            s.ip(&format!("link set v0 mtu {mtu}"));
            s.wait("what Linux says", || {
                s.shown("ip -o link show dev carp0").contains(&format!(" mtu {mtu} "))
            });
            told(mtu);
            assert_eq!((s.machine.state("carp0"), s.client.ping(VIP, 1)), ("MASTER".to_owned(), 1));
        }
        // Whose it is not to change.
        s.ip("link set carp0 mtu 1000");
        s.wait_both();
        s.wait("what it was", || s.shown("ip -o link show dev carp0").contains(" mtu 9000 "));
        assert_eq!((s.client.ping(VIP6, 1), s.machine.state("carp0")), (1, "MASTER".to_owned()));
        monitor.kill();
    });
}

#[test]
fn each_address_of_a_prefix_of_two_is_somebodys() {
    on_each_path("two", |s| {
        s.lab.ip_in(Some(&s.client.ns), "addr add 10.78.0.3/31 dev v0");
        s.machine.carp("carp0", "carpdev v0 vhid 1 pass secret 10.78.0.2/31");
        s.machine.wait_master("carp0");
        s.wait("10.78.0.2", || s.shown("ip -o addr show dev carp0").contains(" 10.78.0.2/"));
        assert_eq!(s.client.ping("10.78.0.2", 3), 3);
    });
}

#[test]
fn who_has_a_peer_hears_it_at_its_cards_next_address() {
    lab::run(Needs::namespaces().taps(), |lab| {
        for path in ["macvlan", "tap", "none"] {
            at_the_next_address(lab, path);
        }
    });
}

fn at_the_next_address(lab: &Lab, path: &str) {
    let bridge = format!("br{path}");
    lab.bridge(&bridge);
    let host = |n: u8| lab.host(&format!("{path}{n}"), &bridge, &format!("10.77.0.{n}/24"));
    let (a, b, wire) = (host(1), host(2), lab.wire(&bridge));
    let start = |host: &Host, peer: &Host, advskew: u8| {
        let machine = lab.netisrd(&format!("on-{}", host.ns)).netns(&host.ns);
        let machine = machine.mirrored(&format!("v0:{path}")).start();
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &format!("{} peer {}", virtual_host(advskew), peer.ip));
        machine
    };
    let first = start(&b, &a, 0);
    first.wait_master("carp0");
    let on_a = start(&a, &b, 100);
    on_a.wait_backup("carp0");
    // Who knows the old address hears of the next one.
    let mark = wire.mark();
    lab.ip_in(Some(&a.ns), "link set v0 address 02:00:00:00:00:77");
    wire.wait_count(mark, 4, "advertisements", |f| f.is_advert_of(b.ip) && f.dst() == NEXT);
    assert!(on_a.ifconfig("v0").ok().contains("ether 02:00:00:00:00:77"));
    assert_eq!(on_a.state("carp0"), "BACKUP");
    // And so does who comes anew.
    first.proc.kill();
    on_a.wait_master("carp0");
    start(&b, &a, 0).wait_master("carp0");
    on_a.wait_backup("carp0");
}

#[test]
fn an_interface_with_a_long_name_has_vhids_of_its_own() {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        for (path, card, vhid) in [
            ("macvlan", "enx001122334455", 1),
            ("tap", "enx001122334455", 255),
            ("macvlan", "enp65s0f0np0", 100),
        ] {
            let (bridge, ns) = (format!("br{path}{vhid}"), |n: &str| format!("{n}{path}{vhid}"));
            lab.bridge(&bridge);
            let host = |n: &str, ip: u8| lab.host(&ns(n), &bridge, &format!("10.77.0.{ip}/24"));
            let (a, client) = (host("a", 1), host("c", 9));
            for words in ["down", &format!("name {card}")] {
                lab.ip_in(Some(&a.ns), &format!("link set v0 {words}"));
            }
            lab.ip_in(Some(&a.ns), &format!("link set {card} up"));
            lab.wait_carrier(Some(&a.ns), card);
            let start = || lab.netisrd(&ns("on-")).netns(&a.ns).mirrored(&format!("{card}:{path}")).start();
            let machine = start();
            let one = format!("{card} vhid {vhid} pass secret {VIP}/32");
            machine.ifconfig(&one).ok();
            let vhids = || {
                let is_one = |l: &&str| l.contains(&format!("{vhid}@"));
                let links = a.run("ip -o link").ok();
                links
                    .lines()
                    .filter(is_one)
                    .map(|l| l.split_whitespace().nth(1).unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            let served = || client.ping(VIP, 3) == 3;
            machine.wait_state(card, "MASTER", PATIENCE);
            assert!(served());
            let before = vhids();
            assert_eq!(before.len(), 1, "{before:?}");
            // It is the same to another process, and to the next one.
            let heir = lab.netisrd(&ns("heir-")).netns(&a.ns).sock(machine.tools.sock());
            let heir = heir.mirrored(&format!("{card}:{path}")).args(&["--takeover"]).start();
            machine.wait_exit();
            assert_eq!((vhids(), served()), (before.clone(), true));
            heir.ifconfig(&format!("{card} {VIP} -alias")).ok();
            Events::open(Some(&a.ns)).wait_until("its end", || vhids().is_empty());
            heir.ifconfig(&one).ok();
            heir.wait_state(card, "MASTER", PATIENCE);
            assert_eq!(vhids(), before);
        }
    });
}
