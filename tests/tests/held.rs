//! Settings of the interface that carries carp interfaces stay what serving needs, whoever
//! changes them, and are put back. `ways.rs` has rules and routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use std::net::Ipv4Addr;
use tests::lab::{self, Events, Host, Lab, Mac, Needs, Netisrd, VIP, virtual_host};

/// Both ways to serve.
const PATHS: [&str; 2] = ["macvlan", "tap"];
const VIRTUAL: Mac = [0, 0, 0x5e, 0, 1, 1];

/// Two hosts and a client.
struct Stage<'a> {
    lab: &'a Lab,
    a: Host,
    b: Host,
    client: Host,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let [a, b] =
            ["a", "b"].map(|ns| lab.host(ns, "br0", &format!("10.77.0.{}/24", u8::from(ns == "b") + 1)));
        let client = lab.host("c", "br0", "10.77.0.9/24");
        body(&Stage { lab, a, b, client });
    });
}

impl Stage<'_> {
    /// A MASTER on a host, by that control socket.
    fn master(&self, on: &Host, sock: &str, path: &str, carp: &str) -> Netisrd {
        let sock = self.lab.dir().join(sock);
        let machine = self
            .lab
            .netisrd(&format!("{carp}-{}", on.ns))
            .netns(&on.ns)
            .sock(&sock)
            .mirrored(&format!("v0:{path}"));
        let machine = machine.start();
        machine.carp(carp, &virtual_host(0));
        machine.wait_master(carp);
        wait_serves(on, VIP);
        machine
    }

    /// All that say to the client that they have the virtual address.
    fn who_answers(&self) -> Vec<Mac> {
        self.who_answers_for(VIP)
    }

    fn who_answers_for(&self, address: Ipv4Addr) -> Vec<Mac> {
        let wire = self.lab.wire("br0");
        self.lab.ip_in(Some(&self.client.ns), "neigh flush dev v0");
        assert_eq!(self.client.ping(address, 1), 1);
        // Whoever answers answers before the next question is one.
        self.lab.ip_in(Some(&self.client.ns), "neigh flush dev v0");
        assert_eq!(self.client.ping(address, 1), 1);
        let answers = wire.since(0);
        let mut macs: Vec<Mac> = answers
            .iter()
            .filter_map(|f| f.arp())
            .filter(|arp| arp.spa == address)
            .map(|arp| arp.sha)
            .collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }
}

fn wait_serves(on: &Host, vip: Ipv4Addr) {
    Events::open(Some(&on.ns)).wait_until(&format!("{} with {vip}", on.ns), || {
        on.run("ip -o addr show").ok().contains(&format!(" {vip}/"))
    });
}

fn setting(of: &Host, leaf: &str) -> String {
    of.run(&format!("cat /proc/sys/net/ipv4/conf/v0/{leaf}")).ok().trim().to_owned()
}

/// An address that is renewed is an event, and settings are looked at then.
fn wait_setting(of: &Host, leaf: &str, value: &str) {
    Events::open(Some(&of.ns)).wait_until(&format!("{leaf} {value}"), || setting(of, leaf) == value);
}

fn set(of: &Host, leaf: &str, value: &str) {
    set_at(of, &format!("ipv4/conf/v0/{leaf}"), value);
}

/// Of any interface, `all` or `default`.
fn set_at(of: &Host, leaf: &str, value: &str) {
    let path = format!("/proc/sys/net/{leaf}");
    lab::within(Some(&of.ns), || std::fs::write(&path, value).unwrap_or_else(|e| panic!("{path}: {e}")));
}

fn wait_at(of: &Host, leaf: &str, value: &str) {
    let now = || of.run(&format!("cat /proc/sys/net/{leaf}")).ok().trim().to_owned();
    Events::open(Some(&of.ns)).wait_until(&format!("{leaf} {value}"), || now() == value);
}

/// Waits until the log says why nobody is served, and nobody is.
fn wait_trouble(machine: &Netisrd, mark: usize, why: &str) {
    machine.proc.log.wait_line(mark, why, lab::PATIENCE, |l| l.contains(why));
    machine.wait_state("carp0", "INIT", lab::PATIENCE);
}

fn end(machine: &Netisrd) {
    machine.signal(Signal::SIGTERM);
    assert!(machine.wait_exit().success());
}

#[test]
fn a_setting_that_somebody_changes_is_held_and_what_he_set_is_put_back() {
    stage(|s| {
        for path in PATHS {
            set(&s.a, "arp_ignore", "2");
            set(&s.a, "arp_announce", "0");
            let a = s.master(&s.a, "a.sock", path, "carp0");
            let held = |mark: usize, leaf: &str| {
                a.proc
                    .log
                    .wait_line(mark, leaf, lab::PATIENCE, |l| l.contains(&format!("v0/{leaf}: set to")));
            };
            let mark = a.proc.log.len();
            set(&s.a, "arp_ignore", "0");
            held(mark, "arp_ignore");
            set(&s.a, "arp_announce", "1");
            held(mark, "arp_announce");
            assert_eq!(
                (setting(&s.a, "arp_ignore"), setting(&s.a, "arp_announce")),
                ("1".into(), "2".into())
            );
            assert_eq!(s.who_answers(), [VIRTUAL], "{path}");
            // It is said once, and held all the same.
            set(&s.a, "arp_ignore", "0");
            set(&s.a, "arp_announce", "0");
            wait_setting(&s.a, "arp_ignore", "1");
            wait_setting(&s.a, "arp_announce", "2");
            let said = a.proc.log.since(mark).iter().filter(|l| l.contains(": set to")).count();
            assert_eq!((said, setting(&s.a, "arp_ignore")), (2, "1".into()));
            // What serving can do with is his to choose, and stays.
            set(&s.a, "arp_ignore", "8");
            assert_eq!(s.who_answers(), [VIRTUAL], "{path}");
            end(&a);
            assert_eq!(
                (setting(&s.a, "arp_ignore"), setting(&s.a, "arp_announce")),
                ("8".into(), "0".into())
            );
        }
    });
}

#[test]
fn the_last_of_several_on_an_interface_puts_back_what_was_there() {
    stage(|s| {
        for (path, how) in [("macvlan", Signal::SIGTERM), ("tap", Signal::SIGKILL)] {
            let first = s.master(&s.a, "n.1", path, "carp0");
            let second = s
                .lab
                .netisrd("second")
                .netns("a")
                .sock(&s.lab.dir().join("n.2"))
                .mirrored(&format!("v0:{path}"));
            let second = second.start();
            second.carp("carp1", "vhid 2 pass secret 10.77.0.101/24");
            second.wait_master("carp1");
            first.signal(how);
            first.wait_exit();
            // Whatever is held is held at once: nothing was put back meanwhile.
            assert_eq!(
                (setting(&s.a, "arp_ignore"), setting(&s.a, "arp_announce")),
                ("1".into(), "2".into())
            );
            assert!(!second.proc.log.lines().iter().any(|l| l.contains(": set to")), "{path}");
            end(&second);
            assert_eq!(
                (setting(&s.a, "arp_ignore"), setting(&s.a, "arp_announce")),
                ("0".into(), "0".into())
            );
            let left = std::fs::read_dir(s.lab.dir()).unwrap().map(|f| f.unwrap().file_name());
            assert!(!left.into_iter().any(|name| name.to_string_lossy().ends_with(".saved")));
        }
    });
}

#[test]
fn what_one_has_saved_is_nobody_elses_however_much_their_sockets_are_alike() {
    stage(|s| {
        set(&s.a, "arp_announce", "1");
        let first = s.master(&s.a, "n.1", "macvlan", "carp0");
        first.signal(Signal::SIGKILL);
        first.wait_exit();
        // Its host's is another interface, though it may have the same number.
        let other = s.master(&s.b, "n.2", "macvlan", "carp0");
        end(&other);
        assert_eq!((setting(&s.b, "arp_ignore"), setting(&s.b, "arp_announce")), ("0".into(), "0".into()));
        let again = s.master(&s.a, "n.1", "macvlan", "carp0");
        end(&again);
        assert_eq!((setting(&s.a, "arp_ignore"), setting(&s.a, "arp_announce")), ("0".into(), "1".into()));
    });
}

#[test]
fn where_what_is_set_for_all_interfaces_is_in_the_way_nobody_is_served_until_it_is_not() {
    stage(|s| {
        for path in PATHS {
            set_at(&s.a, "ipv4/conf/all/arp_ignore", "8");
            let sock = s.lab.dir().join("a.sock");
            let a = s.lab.netisrd("a").netns(&s.a.ns).sock(&sock).mirrored(&format!("v0:{path}")).start();
            a.carp("carp0", &virtual_host(0));
            wait_trouble(&a, 0, "carp0: net.ipv4.conf.all.arp_ignore is 8, more than 2");
            for (leaf, bad) in [("arp_ignore", "3"), ("arp_ignore", "4"), ("arp_announce", "3")] {
                // With these everybody can do.
                for (leaf, fair) in [("arp_ignore", "2"), ("arp_announce", "2"), ("rp_filter", "1")] {
                    set_at(&s.a, &format!("ipv4/conf/all/{leaf}"), fair);
                }
                a.wait_master("carp0");
                wait_serves(&s.a, VIP);
                assert_eq!(s.who_answers(), [VIRTUAL], "{path}");
                let mark = a.proc.log.len();
                set_at(&s.a, &format!("ipv4/conf/all/{leaf}"), bad);
                wait_trouble(&a, mark, &format!("carp0: net.ipv4.conf.all.{leaf} is {bad}, more than 2"));
                let has = s.a.run("ip -o addr show").ok().contains(&format!(" {VIP}/"));
                assert!(!has, "{path} {leaf} {bad}");
                assert_eq!(s.a.run(&format!("cat /proc/sys/net/ipv4/conf/all/{leaf}")).ok().trim(), bad);
            }
            end(&a);
            for leaf in ["arp_ignore", "arp_announce", "rp_filter"] {
                set_at(&s.a, &format!("ipv4/conf/all/{leaf}"), "0");
            }
        }
    });
}

#[test]
fn a_filter_of_questions_needs_a_route_and_is_none_of_a_new_interface() {
    stage(|s| {
        for path in PATHS {
            set(&s.a, "arp_filter", "1");
            set_at(&s.a, "ipv4/conf/default/arp_filter", "1");
            let a = s.master(&s.a, "a.sock", path, "carp0");
            a.sysctl("net.inet.carp.setroute=0");
            let rules = || s.a.run("ip rule show").ok();
            Events::open(Some(&s.a.ns)).wait_until("no rule", || !rules().contains(&VIP.to_string()));
            assert_eq!(s.who_answers(), [VIRTUAL], "{path}");
            let mark = a.proc.log.len();
            set_at(&s.a, "ipv4/conf/all/arp_filter", "1");
            wait_trouble(&a, mark, "net.ipv4.conf.all.arp_filter is 1, and it has no route");
            a.sysctl("net.inet.carp.setroute=1");
            a.wait_master("carp0");
            wait_serves(&s.a, VIP);
            assert_eq!(s.who_answers(), [VIRTUAL], "{path}");
            end(&a);
            set_at(&s.a, "ipv4/conf/all/arp_filter", "0");
        }
    });
}

#[test]
fn a_carp_interface_forwards_as_its_parent_does_and_is_nobodys_proxy() {
    stage(|s| {
        let behind = s.lab.host("d", "br0", "10.66.0.9/24");
        s.lab.ip_in(Some(&s.a.ns), &format!("link add x0 type veth peer name x1 netns {}", behind.ns));
        s.lab.ip_in(Some(&s.a.ns), "addr add 10.88.0.1/24 dev x0");
        s.lab.ip_in(Some(&s.a.ns), "link set x0 up");
        s.lab.ip_in(Some(&behind.ns), "addr add 10.88.0.9/24 dev x1");
        s.lab.ip_in(Some(&behind.ns), "link set x1 up");
        s.lab.ip_in(Some(&behind.ns), "route add 10.77.0.0/24 via 10.88.0.1");
        s.lab.ip_in(Some(&s.client.ns), &format!("route add 10.88.0.0/24 via {VIP}"));
        set_at(&s.a, "ipv4/conf/all/proxy_arp", "1");
        for path in PATHS {
            for leaf in ["ipv4/conf/x0", "ipv4/conf/v0", "ipv6/conf/v0"] {
                set_at(&s.a, &format!("{leaf}/forwarding"), "1");
            }
            let a = s.master(&s.a, "a.sock", path, "carp0");
            assert_eq!(s.client.ping("10.88.0.9", 1), 1, "{path}");
            // A proxy's answer waits, but not here.
            set_at(&s.a, "ipv4/neigh/carp0/proxy_delay", "0");
            assert_eq!(s.who_answers_for(s.b.ip), [s.b.mac], "{path}");
            wait_at(&s.a, "ipv6/conf/carp0/forwarding", "1");
            assert!(a.sysctl("net.inet6.ip6.forwarding").trim().ends_with('1'));
            // Whoever changes it here, or there.
            set_at(&s.a, "ipv4/conf/carp0/forwarding", "0");
            wait_at(&s.a, "ipv4/conf/carp0/forwarding", "1");
            for family in ["ipv4", "ipv6"] {
                set_at(&s.a, &format!("{family}/conf/v0/forwarding"), "0");
                wait_at(&s.a, &format!("{family}/conf/carp0/forwarding"), "0");
            }
            assert!(a.sysctl("net.inet6.ip6.forwarding").trim().ends_with('0'));
            end(&a);
        }
    });
}
