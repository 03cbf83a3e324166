//! Carp interfaces that the host itself serves: macvlans, with Linux's own stack
//! behind the virtual address. `tap_path.rs` has all of it for taps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "mirror/handover.rs"]
mod handover;

use nix::sys::signal::Signal;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use tests::lab::{self, Events, Host, Lab, Mac, Needs, Netisrd, Proc, VIP, Wire, virtual_host};

/// Two hosts with a netisrd each on `v0`, and a client.
struct Stage<'a> {
    lab: &'a Lab,
    hosts: [Host; 2],
    client: Host,
}

/// Which kind of them.
const PATH: &str = if matches!(module_path!().as_bytes(), b"mirror") { "macvlan" } else { "tap" };

const VIRTUAL: Mac = [0, 0, 0x5e, 0, 1, 1];

/// The same, for `-i`.
fn on(card: &str) -> String {
    format!("{card}:{PATH}")
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let hosts =
            [("a", "10.77.0.1/24"), ("b", "10.77.0.2/24")].map(|(ns, cidr)| lab.host(ns, "br0", cidr));
        let client = lab.host("c", "br0", "10.77.0.9/24");
        body(&Stage { lab, hosts, client });
    });
}

impl Stage<'_> {
    fn start(&self, n: usize, advskew: u8) -> Netisrd {
        let ns = &self.hosts[n].ns;
        let machine = self.lab.netisrd(&format!("on-{ns}")).netns(ns).mirrored(&on("v0")).start();
        machine.carp("carp0", &virtual_host(advskew));
        machine
    }

    /// Waits until the host serves the address, or does not.
    fn wait_serves(&self, n: usize, serves: bool) {
        let host = &self.hosts[n];
        let what = format!("{} {} {VIP}", host.ns, if serves { "with" } else { "without" });
        Events::open(Some(&host.ns)).wait_until(&what, || serves_now(host) == serves);
    }

    fn carp0(&self, n: usize) -> String {
        self.hosts[n].run("ip -d -o link show dev carp0").ok()
    }

    /// Every station whose frames have said where the address is.
    fn who_answered(&self, wire: &Wire, since: usize) -> Vec<Mac> {
        let mut macs: Vec<Mac> = wire
            .since(since)
            .iter()
            .filter_map(|f| f.arp().filter(|arp| arp.spa == VIP).map(|arp| arp.sha))
            .collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }
}

fn serves_now(host: &Host) -> bool {
    host.run("ip -o addr show").ok().contains(&format!(" {VIP}/"))
}

#[test]
fn a_master_is_an_interface_with_the_address_and_anybody_else_one_without_a_carrier() {
    stage(|s| {
        let wire = s.lab.wire("br0");
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let b = s.start(1, 100);
        b.wait_backup("carp0");
        assert!(s.carp0(0).contains("link/ether 00:00:5e:00:01:01"), "{}", s.carp0(0));
        let (kind, silent) = if PATH == "macvlan" {
            ("macvlan mode bridge", "state DOWN")
        } else {
            ("tun type tap", "NO-CARRIER")
        };
        assert!(s.carp0(0).contains("LOWER_UP") && s.carp0(0).contains(kind), "{}", s.carp0(0));
        assert!(s.carp0(1).contains(silent) && s.carp0(1).contains(kind), "{}", s.carp0(1));
        assert!(!serves_now(&s.hosts[1]));
        assert_eq!(s.client.ping(VIP, 3), 3);
        assert_eq!(s.client.neighbour(VIP), Some(VIRTUAL));
        // The host reaches it as well, and the other one.
        assert_eq!((s.hosts[0].ping(VIP, 1), s.hosts[1].ping(VIP, 1)), (1, 1));
        // One who asks hears one answer, and nobody's own address with it.
        assert_eq!(s.who_answered(&wire, 0), [VIRTUAL]);

        a.ifconfig("carp0 state backup").ok();
        s.wait_serves(1, true);
        s.wait_serves(0, false);
        assert_eq!(s.client.ping(VIP, 3), 3);
        assert_eq!((s.client.neighbour(VIP), s.who_answered(&wire, 0)), (Some(VIRTUAL), vec![VIRTUAL]));

        b.ifconfig("carp0 destroy").ok();
        assert!(!s.hosts[1].run("ip link show dev carp0").status.success());
        s.wait_serves(0, true);
    });
}

#[test]
fn what_a_command_does_is_done_in_the_host_when_it_returns() {
    stage(|s| {
        let a = s.start(0, 0);
        let link = || s.hosts[0].run("ip -o link show dev carp1");
        for vhid in 1..=20 {
            a.ifconfig("carp1 create").ok();
            assert!(link().ok().contains("carp1"));
            a.ifconfig(&format!("carp1 vhid {vhid} pass x 10.0.0.77/24")).ok();
            let mac = format!("00:00:5e:00:01:{vhid:02x}");
            assert!(link().ok().contains(&mac), "{mac}: {}", link().ok());
            a.ifconfig("carp1 destroy").ok();
            assert!(!link().status.success());
        }
    });
}

#[test]
fn an_end_in_order_leaves_nothing_and_a_settings_are_as_they_were() {
    stage(|s| {
        let settings = || {
            let of = |leaf: &str| s.hosts[0].run(&format!("cat /proc/sys/net/ipv4/conf/v0/{leaf}")).ok();
            [of("arp_ignore"), of("arp_announce")]
        };
        let before = settings();
        let links = s.hosts[0].run("ip -o link").ok().lines().count();
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        assert_ne!(settings(), before);
        a.signal(Signal::SIGTERM);
        assert!(a.wait_exit().success());
        assert_eq!((settings(), s.hosts[0].run("ip -o link").ok().lines().count()), (before, links));
        assert!(!serves_now(&s.hosts[0]));
    });
}

#[test]
fn a_killed_netisrd_is_silent_before_its_peer_takes_over_and_the_next_one_cleans_up() {
    stage(|s| {
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let b = s.start(1, 100);
        b.wait_backup("carp0");
        let before = s.hosts[0].run("cat /proc/sys/net/ipv4/conf/v0/arp_ignore").ok();
        for how in [Signal::SIGSTOP, Signal::SIGKILL] {
            a.signal(how);
            // The kernel has taken the address away by the time that the peer has it.
            s.wait_serves(1, true);
            assert!(!serves_now(&s.hosts[0]));
            assert_eq!(s.client.ping(VIP, 3), 3);
            if how == Signal::SIGSTOP {
                // It comes back as what it was, and gives way or stays: one of both.
                a.signal(Signal::SIGCONT);
                s.wait_serves(0, true);
                s.wait_serves(1, false);
            }
        }
        // What it has left is removed, and the setting is not taken for the host's.
        let squatter = (PATH == "macvlan").then(|| {
            let link = s.carp0(0);
            let owner = link.split("alias ").nth(1).and_then(|rest| rest.get(..16)).expect(&link);
            assert!(owner.starts_with("netisrd "), "{owner}");
            // Nor is the name, whoever takes it.
            let take = || UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(owner).unwrap()).unwrap();
            lab::within(Some(&s.hosts[0].ns), || lab::as_user(1001, take))
        });
        let again = s.start(0, 0);
        again.wait_backup("carp0");
        assert!(!s.carp0(0).contains("LOWER_UP"), "{}", s.carp0(0));
        drop(squatter);
        again.signal(Signal::SIGTERM);
        assert!(again.wait_exit().success());
        assert_ne!(s.hosts[0].run("cat /proc/sys/net/ipv4/conf/v0/arp_ignore").ok(), before);
    });
}

#[test]
fn what_somebody_does_to_it_is_undone() {
    stage(|s| {
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let ns = Some(s.hosts[0].ns.as_str());
        let harms = ["link del carp0", "addr flush dev carp0", "link set carp0 down"];
        // A macvlan's is nobody's to set.
        let carrier = (PATH == "tap").then_some("link set carp0 carrier off");
        for harm in harms.into_iter().chain(carrier) {
            let events = Events::open(ns);
            s.lab.ip_in(ns, harm);
            events.wait_until(&format!("{VIP} again after {harm}"), || {
                let link = s.hosts[0].run("ip -o link show dev carp0");
                link.stdout.contains("LOWER_UP") && serves_now(&s.hosts[0])
            });
            assert_eq!(s.client.ping(VIP, 1), 1, "{harm}");
        }
        let own: Ipv4Addr = "10.77.0.1".parse().unwrap();
        assert_eq!(s.client.ping(own, 1), 1);
        assert_eq!(s.client.neighbour(own), Some(s.hosts[0].mac));
    });
}

#[test]
fn virtual_addresses_find_and_lose_the_hosts_addresses() {
    stage(|s| {
        let ns = Some(s.hosts[0].ns.as_str());
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        s.lab.ip_in(ns, "addr del 10.77.0.1/24 dev v0");
        a.wait_state("carp0", "INIT", lab::PATIENCE);
        s.wait_serves(0, false);
        // It comes to live on another one of the prefix as well.
        s.lab.ip_in(ns, "addr add 10.77.0.3/24 dev v0");
        a.wait_master("carp0");
        s.wait_serves(0, true);
        assert_eq!(s.client.ping(VIP, 1), 1);
        // Whatever the interface is called now, it is the one.
        s.lab.ip_in(ns, "link set v0 down");
        a.wait_state("carp0", "INIT", lab::PATIENCE);
        s.lab.ip_in(ns, "link set v0 name lan0");
        s.lab.ip_in(ns, "link set lan0 up");
        a.wait_master("carp0");
        s.wait_serves(0, true);
        assert_eq!(s.client.ping(VIP, 1), 1);
        s.lab.ip_in(ns, "addr add 10.77.1.3/24 dev lan0");
        a.carp("carp1", "vhid 2 pass secret 10.77.1.100/24");
        a.wait_master("carp1");
    });
}

#[test]
fn an_interface_that_is_deleted_takes_its_mirrors_along() {
    stage(|s| {
        let ns = Some(s.hosts[0].ns.as_str());
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        s.lab.ip_in(ns, "link del v0");
        a.wait_state("carp0", "INIT", lab::PATIENCE);
        assert!(!serves_now(&s.hosts[0]));
        a.signal(Signal::SIGTERM);
        assert!(a.wait_exit().success());
    });
}

#[test]
fn everybody_reaches_everybody_by_their_own_addresses_too() {
    lab::run(Needs::namespaces().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let host = |ns, n| lab.host6(ns, "br0", &format!("10.77.0.{n}/24"), &format!("2001:db8::{n}/64"));
        let (a, b, client) = (host("a", 1), host("b", 2), host("c", 9));
        let wire = lab.wire("br0");
        let strict = || std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        let router = || std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        for host in [&a, &b] {
            lab::within(Some(&host.ns), strict);
            lab::within(Some(&host.ns), router);
        }
        let machines = [(&a, 0), (&b, 100)].map(|(host, advskew)| {
            let machine = lab.netisrd(&format!("on-{}", host.ns)).netns(&host.ns).mirrored(&on("v0")).start();
            machine.carp("carp0", &virtual_host(advskew));
            machine.ifconfig("carp0 inet6 2001:db8::100/64").ok();
            machine
        });
        machines[0].wait_master("carp0");
        machines[1].wait_backup("carp0");
        Events::open(Some(&a.ns)).wait_until("2001:db8::100", || {
            a.run("ip -6 -o addr show dev carp0").ok().contains("2001:db8::100")
        });
        for (from, to) in [(&a, 2), (&b, 1), (&client, 1), (&client, 2), (&a, 9), (&b, 100), (&client, 100)] {
            for address in [format!("10.77.0.{to}"), format!("2001:db8::{to}")] {
                assert_eq!(from.ping(&address, 1), 1, "{} to {address}", from.ns);
            }
        }
        // What the host itself begins is not the virtual address's.
        assert!(a.run("ip route get 10.77.0.9").ok().contains("src 10.77.0.1 "));
        assert!(a.run("ip route get 10.77.0.9 from 10.77.0.100").ok().contains("dev carp0"));
        // Who was a router is one for whoever hears that it is elsewhere now.
        let is_router = || client.run("ip -6 neigh show 2001:db8::100").ok().contains("router");
        assert!(is_router());
        machines[0].ifconfig("carp0 state backup").ok();
        machines[1].wait_master("carp0");
        Events::open(Some(&a.ns))
            .wait_until("silence", || !a.run("ip -o link show dev carp0").ok().contains("LOWER_UP"));
        // Linux reports its memberships from the virtual MAC whenever an IPv6 address
        // lives on, and a's last report may have come after b's first advertisement.
        wire.next(wire.mark(), "an advertisement of b", |f| f.is_advert_of(b.ip));
        assert_eq!(client.ping("2001:db8::100", 1), 1);
        assert!(is_router());
        // Nor is anything left of it when it is not there any more.
        machines[0].ifconfig("carp0 destroy").ok();
        machines[1].wait_master("carp0");
        Events::open(Some(&a.ns)).wait_until("no rule", || {
            ["ip rule", "ip -6 rule"].iter().all(|words| !a.run(words).ok().contains("100 lookup"))
        });
        assert_eq!((client.ping("10.77.0.1", 1), client.ping("2001:db8::1", 1)), (1, 1));
    });
}

#[test]
fn who_cannot_be_served_is_no_master() {
    stage(|s| {
        let b = s.start(1, 100);
        b.wait_master("carp0");
        s.wait_serves(1, true);
        s.lab.ip_in(Some("a"), "link add carp0 type veth peer name other");
        let a = s.lab.netisrd("on-a").netns("a").mirrored(&on("v0")).start();
        a.sysctl("net.inet.carp.preempt=1");
        let mark = a.proc.log.len();
        a.carp("carp0", &virtual_host(0));
        let told = "carp0: cannot be made: the host has an interface carp0 that is not this netisrd's";
        a.proc.log.wait_line(mark, "what is in its way", lab::PATIENCE, |l| l.ends_with(told));
        a.wait_state("carp0", "INIT", lab::PATIENCE);
        assert_eq!(s.client.ping(VIP, 3), 3);
        // It is said once, and tried again.
        s.lab.ip_in(Some("a"), "link del carp0");
        a.wait_master("carp0");
        s.wait_serves(0, true);
        s.wait_serves(1, false);
        let said = a.proc.log.since(mark).iter().filter(|l| l.contains("cannot be made")).count();
        assert_eq!((said, s.client.ping(VIP, 3)), (1, 3));
    });
}

#[test]
fn an_address_of_the_card_itself_is_no_virtual_one() {
    stage(|s| {
        let wire = s.lab.wire("br0");
        let a = s.lab.netisrd("on-a").netns("a").args(&["-i", &on("v0")]).start();
        a.carp("carp0", "vhid 1 pass secret 10.77.0.1/24");
        a.proc.log.wait_line(0, "why", lab::PATIENCE, |l| l.contains("10.77.0.1 is v0's own address"));
        a.wait_state("carp0", "INIT", lab::PATIENCE);
        assert_eq!(s.client.ping("10.77.0.1", 1), 1);
        assert_eq!(s.client.neighbour(s.hosts[0].ip), Some(s.hosts[0].mac));
        // And it is none's for the others.
        assert!(wire.since(0).iter().filter_map(|f| f.arp()).all(|arp| arp.sha != VIRTUAL));
        a.ifconfig("carp0 10.77.0.100/24").ok();
        a.wait_master("carp0");
    });
}

#[test]
fn an_address_lives_on_however_often_the_machine_is_asked() {
    stage(|s| {
        let a = s.start(0, 0);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let monitor = Proc::spawn("monitor", Some("a"), lab::command("ip monitor address"));
        // Three advertisements long: longer than an address lives.
        let wire = s.lab.wire("br0");
        while wire.since(0).iter().filter(|f| f.advert().is_some()).count() < 3 {
            a.ifconfig("carp0 advskew 1").ok();
        }
        a.ifconfig("carp0 destroy").ok();
        let gone = |l: &str| l.contains("Deleted") && l.contains(&VIP.to_string());
        monitor.log.wait_line(0, "its end", lab::PATIENCE, gone);
        assert_eq!(monitor.log.lines().iter().filter(|l| gone(l)).count(), 1);
        monitor.kill();
    });
}
