//! Settings of the interface that carries carp interfaces stay what serving needs, whoever
//! changes them, and are put back. `ways.rs` has rules and routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
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

    /// All that say to the client that they have the address.
    fn who_answers(&self) -> Vec<Mac> {
        let wire = self.lab.wire("br0");
        self.lab.ip_in(Some(&self.client.ns), "neigh flush dev v0");
        assert_eq!(self.client.ping(VIP, 1), 1);
        // Whoever answers answers before the next question is one.
        self.lab.ip_in(Some(&self.client.ns), "neigh flush dev v0");
        assert_eq!(self.client.ping(VIP, 1), 1);
        let answers = wire.since(0);
        let mut macs: Vec<Mac> =
            answers.iter().filter_map(|f| f.arp()).filter(|arp| arp.spa == VIP).map(|arp| arp.sha).collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }
}

fn wait_serves(on: &Host, vip: std::net::Ipv4Addr) {
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
    let path = format!("/proc/sys/net/ipv4/conf/v0/{leaf}");
    lab::within(Some(&of.ns), || std::fs::write(path, value).unwrap());
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
